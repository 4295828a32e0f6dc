"""Figures of image to video: pictures made fit, two ways to hand one over, identity against motion, whose error."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from minit2v import media
from minit2v.clip import Clip
from minit2v.lab.page import COLORS, Figure, Html, table
from minit2v.lab.players import Steps, step_slider
from minit2v.pictures import Picture


def prepared(sources: dict[str, Image.Image], ready: dict[str, Picture]) -> Figure:
    """Pictures of any size, left, and what a clip begins with, right, with what was done to them."""
    from minit2v.lab.drawings import _arrow, _fold, _paste, _sheet, _write, described

    tile, gap = 96, 26
    canvas, axes = _sheet(980, 20 + len(sources) * (tile + gap))
    said = []
    for row, (name, image) in enumerate(sources.items()):
        top, scale = 14 + row * (tile + gap), tile / max(image.size)
        wide, high = (max(2.0, side * scale) for side in image.size)
        shown = np.asarray(image.convert("RGBA"))
        _paste(axes, shown, 20 + (tile - wide) / 2, top + (tile - high) / 2, wide, high)
        _write(axes, 130, top + tile / 2, _fold(f"{name}\n{image.width} × {image.height} px", 28))
        _arrow(axes, 340, top + tile / 2, 396, top + tile / 2)
        _paste(axes, ready[name].frames[0], 410, top, tile, tile)
        notes = "; ".join(ready[name].notes) or "nothing was done"
        _write(axes, 524, top + tile / 2, _fold(notes, 56))
        said.append(f"{name}, {image.width} × {image.height} px: {notes}")
    return described(canvas, f"Pictures and what becomes of them before a clip begins. {'. '.join(said)}.")


def two_ways(picture: np.ndarray, frames: int = 5) -> Figure:
    """Left, the picture as a frame without noise; right, beside the noise of every frame, with a mask. (1, h, w, 3)."""
    from minit2v.lab.drawings import _paste, _sheet, _write, described

    dice, tile, gap = np.random.default_rng(0), 66, 8
    grain = dice.integers(40, 215, (frames, 8, 8, 1)).repeat(3, axis=-1).astype(np.uint8)
    canvas, axes = _sheet(980, 330)
    left, right = 110, 610
    _write(axes, 20, 20, "a noise level for each frame (transformer)", 13, "bold")
    _write(axes, right - 110, 20, "channel concatenation (U-Net)", 13, "bold")
    for k in range(frames):
        x, y = left + k * (tile + gap), right + k * (tile + gap) - 20
        _write(axes, x + tile / 2, 52, f"frame {k}", 10, across="center")
        _write(axes, y + tile / 2, 52, f"frame {k}", 10, across="center")
        _paste(axes, picture[0] if k == 0 else grain[k], x, 66, tile, tile)
        _write(axes, x + tile / 2, 152, "0" if k == 0 else "σ", 14, "bold", across="center")
        _paste(axes, grain[k], y, 66, tile, tile)
        _paste(axes, picture[0], y, 66 + tile + gap, tile, tile)
        flag = np.full((1, 1, 3), 255 if k == 0 else 0, np.uint8)
        _paste(axes, flag, y, 66 + 2 * (tile + gap), tile, tile)
        _frame(axes, y, 66 + 2 * (tile + gap), tile)
        ink = "#000000" if k == 0 else "#ffffff"
        _write(axes, y + tile / 2, 66 + 2.5 * tile + 2 * gap, "1" if k == 0 else "0", 14, "bold", ink, "center")
    _write(axes, left - 12, 99, "latents", across="right")
    _write(axes, left - 12, 152, "level", across="right")
    for row, name in enumerate(("noise, level σ", "the source", "the mask")):
        _write(axes, right - 32, 66 + row * (tile + gap) + tile / 2, name, across="right")
    _write(axes, 20, 212, "One frame has no noise, and its level says so.\nThe sampler never steps it.", 12)
    said = "More input channels, in every frame alike.\nAll frames are noise, and all are drawn."
    _write(axes, right - 110, 306, said, 12)
    alt = (
        f"Two ways to hand a picture over. Left: {frames} latent frames, the first of which is the picture itself with "
        f"the noise level 0, the others noise at level sigma. Right: {frames} frames of noise; below each of them the "
        "picture once more, and below that a mask, white with a 1 for frame 0 and black with a 0 for all others."
    )
    return described(canvas, alt)


def _frame(axes, x: float, y: float, side: float) -> None:
    axes.plot([x, x + side, x + side, x, x], [y, y, y + side, y + side, y], color="#1e1e1e", lw=1)


def told(found: dict[str, dict[str, float]]) -> Html:
    """What became of the pictures, as a table: medians, and the share that is kept. found: from `pictures.middle`."""
    names = {"color": "color, dE", "overlap": "outline, IoU", "motion": "speed ratio", "kept": "kept, share"}
    rows = [[who, *(f"{values[name]:.2f}" for name in names)] for who, values in found.items()]
    return table(["", *names.values()], rows, "Medians; the subject of the last frame against the picture")


def trade(knobs: dict[str, tuple[Sequence[float], np.ndarray, np.ndarray]]) -> Figure:
    """Identity above, motion below, against one knob in each column. knobs: name: (settings, color (s, 3), motion
    (s, 3)), means with their bands; the knobs turn towards a firmer hold from left to right."""
    from matplotlib.figure import Figure as Canvas

    from minit2v.lab.drawings import described

    canvas = Canvas(figsize=(9.8, 5.4), layout="constrained")
    panels, said = canvas.subplots(2, len(knobs), sharey="row", sharex="col", squeeze=False), []
    for column, (name, (settings, color, motion)) in enumerate(knobs.items()):
        places = np.arange(len(settings))
        for row, (values, hue, mark, what) in enumerate(
            ((color, "blue", "o", "color, dE"), (motion, "red", "s", "speed ratio"))
        ):
            panel = panels[row, column]
            panel.fill_between(places, values[:, 1], values[:, 2], color=COLORS[hue], alpha=0.18, lw=0)
            panel.plot(places, values[:, 0], color=COLORS[hue], marker=mark, lw=2, ms=7)
            panel.spines[["top", "right"]].set_visible(False)
            pairs = zip(settings, values[:, 0], strict=True)
            said.append(f"{name}, {what}: " + ", ".join(f"{y:.2f} at {x:g}" for x, y in pairs))
        panels[0, column].set_title(f"{name}\n← freer        firmer →", fontsize=11)
        panels[1, column].axhline(1, color="#666666", lw=0.8, linestyle=":")
        panels[1, column].set_xticks(places, labels=[f"{setting:g}" for setting in settings])
        panels[1, column].set_xlabel("noise level")
    panels[0, 0].set(ylabel="how far the color is from\nthe picture's; 0 is kept", ylim=(-4, None))
    panels[1, 0].set(ylabel="how fast it moves;\n1 as asked, 0 frozen", ylim=(-0.08, None))
    alt = "Above, how far the color is from the picture's at the end; below, how fast things move; with 95 % bands. "
    return described(canvas, f"{alt}{'; '.join(said)}.")


def holds(series: dict[float, Sequence[Clip]], speed: Sequence[float]) -> Steps:
    """A slider over how firmly the picture is held: the same pictures, prompts and noise, one row each."""
    pictures = [
        np.concatenate([media.strip(media.enlarge(clip.frames, 96), 6) for clip in clips]) for clips in series.values()
    ]
    labels = [f"begun at level {sigma:g}: speed ratio {ratio:.2f}" for sigma, ratio in zip(series, speed, strict=True)]
    prompts = "; ".join(clip.prompt for clip in next(iter(series.values())))
    alt = f"Clips begun from the picture on every frame, with less and less noise on it. Rows: {prompts}. "
    return step_slider(pictures, labels, alt + "; ".join(labels) + ".", still=4).smaller()


def whose(found: dict[str, dict[str, float]]) -> Figure:
    """The first frames' distance from their pictures, in two parts. found: name: {"vae": …, "model": …}, levels."""
    from matplotlib.figure import Figure as Canvas

    from minit2v.lab.drawings import described

    canvas = Canvas(figsize=(9.8, 0.62 * len(found) + 1.1), layout="constrained")
    panel, said = canvas.subplots(), []
    for row, (name, parts) in enumerate(reversed(found.items())):
        for shift, part, hue, hatch in ((0.19, "vae", "sky", ""), (-0.19, "model", "orange", "//")):
            panel.barh(row + shift, parts[part], 0.36, color=COLORS[hue], hatch=hatch, edgecolor="white")
            panel.text(parts[part] + 0.5, row + shift, f"{part} {parts[part]:.1f}", va="center", fontsize=10)
        said.append(f"{name}: VAE {parts['vae']:.1f}, model {parts['model']:.1f}")
    panel.set_yticks(range(len(found)), labels=list(reversed(found)))
    panel.set_xlabel("distance of the first frame from its picture, rms levels of 255")
    panel.margins(x=0.12)
    panel.spines[["top", "right"]].set_visible(False)
    return described(canvas, f"Whose error it is that the first frame is not the picture. {'; '.join(said[::-1])}.")
