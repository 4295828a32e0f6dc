"""Figures drawn from a clip's own tensors: the factory, and film strips with notes. Each carries a description."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import FancyBboxPatch
from PIL import Image

from minit2v.clip import Clip, in_words
from minit2v.lab.factory import Trace
from minit2v.lab.page import COLORS, Figure

DPI, SHARP, WIDE = 100, 1.5, 980  # drawn in px of a page so wide, stored sharper than that
INK, PAPER = "#1e1e1e", "#ffffff"
RIGHT, WRONG = COLORS["blue"], "#a84300"  # vermilion, dark enough for small letters


def described(canvas: Canvas, alt: str) -> Figure:
    """A matplotlib figure as a picture for the page, with words for people who cannot see it."""
    out = io.BytesIO()
    canvas.savefig(out, format="png", dpi=SHARP * DPI, facecolor=PAPER)
    return Figure(Image.open(out).convert("RGB").quantize(256, dither=Image.Dither.NONE), alt)


def panels(count: int, high: float = 3.8, rows: int = 1, **kwargs):
    """(canvas, panels): so many side by side, in so many rows, as wide as a page and `high` inches. kwargs: those of
    `subplots`."""
    canvas = Canvas(figsize=(9.8, high), layout="constrained")
    drawn = np.atleast_1d(canvas.subplots(rows, count, **kwargs))
    for panel in drawn.flat:
        panel.spines[["top", "right"]].set_visible(False)
    return canvas, drawn


# ---- film strips -------------------------------------------------------------------------------------------


def strips(clips: Sequence[np.ndarray], labels: Sequence[str], notes: Sequence[str], about: str, moments=6) -> Figure:
    """One row per clip, uint8 (t, h, w, 3): its label, `moments` of its frames from first to last, and a note.

    `about` says what the rows have in common; with labels and notes it becomes the description. A note that begins
    with ✓ or ✗ is drawn in blue or vermilion as well; sign and words say it without the color.
    """
    left, tile, gap, head = 130, 128 / SHARP, 4, 24  # px; a frame's pixel is stored as 2 x 2
    canvas, axes = _sheet(WIDE, head + len(clips) * (tile + gap))
    times = np.linspace(0, len(clips[0]) - 1, moments).round().astype(int)
    for column, t in enumerate(times):
        _write(axes, left + column * (tile + gap) + tile / 2, 11, f"frame {t}", across="center")
    for row, (frames, label, note) in enumerate(zip(clips, labels, notes, strict=True)):
        top = head + row * (tile + gap)
        _write(axes, left - 10, top + tile / 2, _fold(label, 17), across="right")
        for column, t in enumerate(times):
            _paste(axes, frames[t], left + column * (tile + gap), top, tile, tile)
        color = {"✓": RIGHT, "✗": WRONG}.get(note[:1], INK)
        _write(axes, left + moments * (tile + gap) + 8, top + tile / 2, _fold(note, 46), color=color)
    rows = "; ".join(f"{label}: {', '.join(note.splitlines())}" for label, note in zip(labels, notes, strict=True))
    return described(canvas, f"{about} {moments} frames of each. {rows}.")


def verdict(clip: Clip) -> str:
    """A note: what the oracle reads in a clip, or what in it is not as asked."""
    wrong = [f"{name} ({in_words(getattr(clip.reading, name))})" for name, right in clip.matches.items() if not right]
    return f"✗ not as asked: {', '.join(wrong)}" if wrong else f"✓ {clip.reading.sentence()}"


def scores(figures: dict[str, float]) -> str:
    """A note: the headlines of `metrics.measure`."""
    shown = {"flicker": "flicker", "drift": "identity_drift", "speed": "motion"}
    values = "   ".join(f"{word} {round(figures[name], 2) + 0.0:.2f}" for word, name in shown.items())  # never -0.00
    return f"{'✓ as asked' if figures['adherence'] else '✗ not as asked'}\n{values}"


def _fold(text: str, width: int) -> str:
    return "\n".join(textwrap.fill(line, width) for line in text.splitlines())


# ---- curves ------------------------------------------------------------------------------------------------

MARKS = (("blue", "o", "-"), ("red", "s", "--"), ("green", "^", ":"))  # color, marker and dashes all differ


def curves(lines: dict[str, np.ndarray], across: str, up: str, alt: str) -> Figure:
    """At most three series over frame 0, 1, …, each named at its end."""
    canvas = Canvas(figsize=(9.8, 3.4))
    axes = canvas.add_axes((0.08, 0.16, 0.62, 0.8))
    for (name, values), (color, marker, dashes) in zip(lines.items(), MARKS, strict=False):
        axes.plot(values, color=COLORS[color], marker=marker, linestyle=dashes, lw=2, ms=6)
        seen = np.flatnonzero(np.isfinite(values))
        if len(seen):
            place = (seen[-1], values[seen[-1]])
            axes.annotate("  " + name, place, color=COLORS[color], va="center", fontsize=11, annotation_clip=False)
    axes.set_xlabel(across, fontsize=11)
    axes.set_ylabel(up, fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    return described(canvas, alt)


# ---- the factory -------------------------------------------------------------------------------------------


def factory(trace: Trace) -> Figure:
    """The whole system on one page, with this prompt's own tensors on the belts and their shapes beside them."""
    canvas, axes = _sheet(WIDE, 548)
    _text_line(axes, trace)
    _video_line(axes, trace)
    _tape(axes, trace)
    shape = {name: stage.shape for name, stage in trace.stages.items()}
    alt = (
        f"The factory, drawn with the tensors of one prompt. The text encoder turns “{trace.clip.prompt}” into text "
        f"tokens, {shape['text tokens']}. Below, noise of {shape['noise']} enters the denoiser, which runs "
        f"{len(trace.steps)} times, looks at the text tokens every time, and gives clean latents, {shape['latents']}. "
        f"The VAE decoder turns these into the tape of {len(trace.clip.frames)} frames: the first latent frame "
        f"becomes one frame, every other one four. At the end the oracle reads: {trace.clip.reading.sentence()}."
    )
    return described(canvas, alt)


def _text_line(axes, trace: Trace) -> None:
    text = trace.stages["text tokens"]
    _box(axes, 20, 20, 222, 66, PAPER)
    _write(axes, 131, 53, _fold(f"“{trace.clip.prompt}”", 28), size=12, across="center")
    _arrow(axes, 242, 53, 270, 53)
    _machine(axes, 272, 20, 140, 66, "text encoder", "words to features")
    _arrow(axes, 412, 53, 438, 53)
    _paste(axes, _heat(text.tensor.numpy()), 440, 26, 130, 54)
    _write(axes, 582, 53, f"text tokens: {text.shape}\nwords × channels")
    _arrow(axes, 505, 82, 505, 162, WRONG)
    said = f"guidance from the text, scale {trace.clip.guidance:g},\nat every step"
    _write(axes, 517, 122, said, color=WRONG)


def _video_line(axes, trace: Trace) -> None:
    dit, steps = trace.system.model.denoiser.config, len(trace.steps)
    noise, latents = trace.stages["noise"], trace.stages["latents"]
    f, n, cube = trace.stages["denoiser's tokens"].tensor.shape
    colors = _colors(latents.tensor.numpy())
    for x, stage, name in ((20, noise, "noise"), (664, latents, "clean latents")):
        for k, picture in enumerate(colors(stage.tensor.numpy())):
            _paste(axes, picture, x + k * 60, 186, 56, 56)
        _write(axes, x, 173, f"{name}: {stage.shape}", weight="bold")
        _write(axes, x, 256, "latent frames × channels × height × width", size=10)
    _arrow(axes, 320, 214, 368, 214)
    what = f"cuts {f * n} cubes of {cube} numbers,\nlets them attend to each other\nin {dit.layers} blocks"
    _machine(axes, 370, 164, 240, 100, "denoiser", what)
    _arrow(axes, 610, 214, 658, 214)
    bend = dict(arrowstyle="-|>", color=INK, lw=1.6, connectionstyle="arc3,rad=-0.3")
    axes.annotate("", (400, 266), (580, 266), arrowprops=bend)
    said = f"{steps} times, while the noise level falls from {trace.steps[0].sigma:g} to 0"
    _write(axes, 490, 309, said, across="center")


def _tape(axes, trace: Trace) -> None:
    """The decoder, and the frames in groups: one, then four for each further latent frame."""
    frames, per = trace.clip.frames, trace.system.vae.config.temporal
    tile, gap, between, y = 50, 2, 16, 420
    _arrow(axes, 810, 268, 810, 304)
    _machine(axes, 720, 306, 180, 52, "VAE decoder", "latents to pixels")
    _arrow(axes, 810, 358, 810, 394)
    x, places = 20, []
    for t, frame in enumerate(frames):
        if t and (t - 1) % per == 0:
            x += between - gap
        _paste(axes, frame, x, y, tile, tile)
        places.append(x)
        x += tile + gap
    for k in range(1 + (len(frames) - 1) // per):
        first, last = (0, 0) if k == 0 else (per * (k - 1) + 1, per * k)
        left, right = places[first], places[last] + tile
        axes.plot([left, left, right, right], [y - 5, y - 9, y - 9, y - 5], color=INK, lw=1.2)
        _write(axes, (left + right) / 2, y - 18, f"latent {k}", size=10, across="center")
    _write(axes, 20, 378, f"frames: {trace.stages['frames'].shape}", weight="bold")
    said = "the oracle, which sees these frames alone, reads: " + trace.clip.reading.sentence()
    _write(axes, 20, 510, _fold(said, 120), size=12)


# ---- pens --------------------------------------------------------------------------------------------------


def _sheet(wide: float, high: float):
    """An empty page measured in px, y downwards."""
    canvas = Canvas(figsize=(wide / DPI, high / DPI))
    axes = canvas.add_axes((0, 0, 1, 1))
    axes.axis("off")
    axes.set(xlim=(0, wide), ylim=(high, 0), autoscale_on=False)
    return canvas, axes


def _paste(axes, picture: np.ndarray, x: float, y: float, wide: float, high: float) -> None:
    axes.imshow(picture, extent=(x, x + wide, y + high, y), interpolation="nearest", aspect="auto")


def _write(axes, x, y, text, size=11, weight="normal", color=INK, across="left") -> None:
    axes.text(x, y, text, fontsize=size * 72 / DPI * 1.1, weight=weight, color=color, ha=across, va="center")


def _box(axes, x, y, wide, high, fill) -> None:
    style = "round,pad=0,rounding_size=8"
    axes.add_patch(FancyBboxPatch((x, y), wide, high, style, facecolor=fill, edgecolor=COLORS["blue"], lw=1.6))


def _machine(axes, x, y, wide, high, name, what) -> None:
    _box(axes, x, y, wide, high, "#eaf4fb")
    below = 10 + 7 * what.count("\n")
    _write(axes, x + wide / 2, y + high / 2 - below - 1, name, 13, "bold", across="center")
    _write(axes, x + wide / 2, y + high / 2 + 12, what, across="center")


def _arrow(axes, x0, y0, x1, y1, color=INK) -> None:
    axes.annotate("", (x1, y1), (x0, y0), arrowprops=dict(arrowstyle="-|>", color=color, lw=1.6, shrinkA=0, shrinkB=0))


def _heat(matrix: np.ndarray) -> np.ndarray:
    """A matrix as gray levels, its 2nd to 98th percentile from black to white."""
    low, high = np.percentile(matrix, (2, 98))
    gray = ((matrix - low) / (high - low + 1e-9)).clip(0, 1)
    return np.repeat(gray[..., None], 3, axis=-1)


def _colors(latents: np.ndarray):
    """A function that shows latents (f, c, h, w) as pictures (f, h, w, 3): the three directions among the channels
    in which the given latents differ most, as red, green and blue."""
    pixels = np.moveaxis(latents, 1, -1).reshape(-1, latents.shape[1])
    middle = pixels.mean(axis=0)
    axes = np.linalg.svd(pixels - middle, full_matrices=False)[2][:3]
    spread = 2.5 * (pixels @ axes.T).std(axis=0)

    def pictures(some: np.ndarray) -> np.ndarray:
        return (((np.moveaxis(some, 1, -1) - middle) @ axes.T) / spread / 2 + 0.5).clip(0, 1)

    return pictures
