"""Figures of the spacetime transformer: the cut, the clocks of its positions, how news travels, words, timetables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from minit2v import media
from minit2v.attention import rotary_3d
from minit2v.lab.page import COLORS, Figure
from minit2v.lab.players import Steps, step_slider


def cut(frames: np.ndarray, grid: Sequence[int]) -> Figure:
    """A clip's frames with the lines along which they are cut, and below them the tokens as one sequence."""
    from minit2v.lab.drawings import _arrow, _paste, _sheet, _write, described

    f, h, w = grid
    per, side, gap = (len(frames) - 1) // (f - 1), 150, 30
    canvas, axes = _sheet(max(980, f * (side + gap) + 20), 330)
    for k in range(f):
        x, y = 30 + k * (side + gap), 44
        _paste(axes, frames[k * per], x, y, side, side)
        for i in range(h + 1):
            axes.plot([x, x + side], [y + i * side / h] * 2, color="#ffffff", lw=1.2)
        for i in range(w + 1):
            axes.plot([x + i * side / w] * 2, [y, y + side], color="#ffffff", lw=1.2)
        said = "frame 0" if k == 0 else f"frames {per * (k - 1) + 1} to {per * k}"
        _write(axes, x + side / 2, 14, f"latent frame {k}", 11, "bold", across="center")
        _write(axes, x + side / 2, 30, said, 10, across="center")
        left, wide = 30 + k * (f * (side + gap) - gap) / f, (f * (side + gap) - gap) / f - 4
        _arrow(axes, x + side / 2, y + side + 4, left + wide / 2, 236)
        for i in range(h * w):  # every frame's run of tokens, in two tones that alternate
            cell = wide / (h * w)
            tone = COLORS["sky"] if k % 2 else COLORS["blue"]
            corners = [left + i * cell, left + (i + 1) * cell - 1.6]
            axes.fill([corners[0], corners[1], corners[1], corners[0]], [240, 240, 264, 264], color=tone, lw=0)
        _write(axes, left + wide / 2, 280, f"tokens {k * h * w} to {(k + 1) * h * w - 1}", 10, across="center")
    said = f"one sequence of {f} × {h} × {w} = {f * h * w} tokens, row by row, frame by frame"
    _write(axes, 30, 312, said, 12, "bold")
    alt = (
        f"{f} latent frames, each cut by {h} rows and {w} columns of lines. Arrows lead down to one long row of "
        f"{f * h * w} tokens: {h * w} for the first latent frame, then {h * w} for the next, and so on."
    )
    return described(canvas, alt)


def clocks(head_dim: int, frames: Sequence[int], theta: float = 100.0) -> Figure:
    """The hands that rotary positions turn with time: one column per pair of channels, one row per frame."""
    from minit2v.lab.drawings import _sheet, _write, described

    angles = rotary_3d(max(frames) + 1, 1, 1, head_dim, theta).angle()[:, 0]  # (f, pairs)
    hands = [i for i in range(angles.shape[1]) if angles[:, i].abs().max() > 0]  # those of time
    step, radius = 84, 30
    canvas, axes = _sheet(max(980, 200 + step * len(hands)), 50 + step * len(frames))
    for column, hand in enumerate(hands):
        slow = angles[1, hand].item()
        _write(axes, 190 + step * column, 18, f"{np.degrees(slow):.0f}° a frame", 10, across="center")
        for row, frame in enumerate(frames):
            x, y, turn = 190 + step * column, 66 + step * row, angles[frame, hand].item()
            ring = np.linspace(0, 2 * np.pi, 60)
            axes.plot(x + radius * np.sin(ring), y - radius * np.cos(ring), color="#888888", lw=1)
            axes.plot([x, x + radius * np.sin(turn)], [y, y - radius * np.cos(turn)], color=COLORS["blue"], lw=2.6)
    for row, frame in enumerate(frames):
        _write(axes, 130, 66 + step * row, f"latent frame {frame}", across="right")
    alt = (
        f"Clocks, one row for each of the latent frames {', '.join(map(str, frames))}, one column for each pair of "
        f"channels that belongs to time. In frame 0 all hands point up. The first column's hand turns fastest, "
        f"{np.degrees(angles[1, hands[0]].item()):.0f} degrees a frame, the last one's hardly moves."
    )
    return described(canvas, alt)


def travels(found: dict[str, Tensor], source: int, target: int) -> Figure:
    """How far the news of one disturbed token has come, layer by layer: one panel for each layout.

    found: title: (layers + 1, f, n) from `transformer.heard`; a panel shows the loudest token of each frame.
    source and target: latent frames that are marked.
    """
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure as Canvas

    from minit2v.lab.drawings import described

    tones = ListedColormap([(0.92 - 0.92 * t, 0.96 - 0.51 * t, 1 - 0.3 * t) for t in np.linspace(0, 1, 64)])
    canvas = Canvas(figsize=(9.8, 5.6), layout="constrained")
    said = []
    panels = canvas.subplots(2, 2, sharex=True, sharey=True).flat
    for panel, (title, moved) in zip(panels, found.items(), strict=True):
        loudest, tokens = moved.amax(dim=-1).numpy(), moved[0].numel()
        shown = np.ma.masked_less(loudest, 1e-12)
        drawn = panel.imshow(np.ma.log10(shown), cmap=tones, vmin=-5, vmax=0, aspect="auto", origin="lower")
        panel.set_facecolor("#ffffff")
        heard = np.flatnonzero(loudest[:, target] > 1e-12)
        when = f"arrives after layer {heard[0]}" if len(heard) else "never arrives"
        panel.set_title(f"{title}: {when}", fontsize=11)
        for column, mark in ((source, "from"), (target, "to")):
            panel.axvline(column, color=COLORS["red"], lw=1.4, linestyle="-" if mark == "from" else "--")
        if len(heard):
            panel.plot(target, heard[0], marker="*", ms=15, color=COLORS["orange"], mec="#000000", mew=0.8)
        panel.set_yticks(range(len(loudest)), labels=["in", *range(1, len(loudest))])
        said.append(f"{title}: {when}, {int((moved[-1] > 1e-12).sum())} of {tokens} tokens in the end")
    for panel in canvas.axes[2:]:
        panel.set_xlabel("latent frame")
    for panel in (canvas.axes[0], canvas.axes[2]):
        panel.set_ylabel("after layer")
    bar = canvas.colorbar(drawn, ax=canvas.axes, shrink=0.7, label="how far tokens move; white: not at all")
    bar.set_ticks([-4, -2, 0], labels=["0.0001", "0.01", "1"])
    alt = (
        f"Four grids of layers over latent frames. A token of latent frame {source} is disturbed; colored are cells "
        f"where tokens move. When the news comes to latent frame {target}: {'; '.join(said)}."
    )
    return described(canvas, alt)


def lit(frames: np.ndarray, weights: np.ndarray, most: float) -> np.ndarray:
    """A clip (t, h, w, 3), pale, and orange where its tokens ask for a word: weights (f, h', w'), `most` full."""
    per = (len(frames) - 1) // (len(weights) - 1)
    of = [0] + [1 + (t - 1) // per for t in range(1, len(frames))]  # the latent frame of each frame
    tall, wide = frames.shape[1] // weights.shape[1], frames.shape[2] // weights.shape[2]
    share = np.kron(weights[of] / most, np.ones((1, tall, wide)))[..., None].clip(0, 1)
    pale = 150 + 0.4 * frames.mean(axis=-1, keepdims=True)
    return ((1 - share) * pale + share * np.array([190, 70, 0])).round().astype(np.uint8)


def words(frames: np.ndarray, weights: np.ndarray, said: Sequence[str], notes: Sequence[str]) -> Steps:
    """A slider over the words of a prompt: where in the clip each is asked for. weights (words, f, h', w')."""
    pairs = [(frames, lit(frames, each, each.max())) for each in weights]
    pictures = [np.concatenate([media.strip(media.enlarge(clip, 96), 5) for clip in pair]) for pair in pairs]
    labels = [f"{word}: {note}" for word, note in zip(said, notes, strict=True)]
    alt = "The clip above; below, dark orange where its tokens ask for one word. " + "; ".join(labels) + "."
    return step_slider(pictures, labels, alt, still=len(pictures))


def timetables(found: dict[str, np.ndarray]) -> Figure:
    """Noise level of every latent frame (across) at every moment of sampling (down): one panel for each task."""
    from matplotlib.figure import Figure as Canvas

    from minit2v.lab.drawings import described

    canvas = Canvas(figsize=(9.8, 2.9), layout="constrained")
    said = []
    for panel, (task, table) in zip(canvas.subplots(1, len(found)), found.items(), strict=True):
        panel.imshow(1 - 0.75 * table, cmap="gray", vmin=0, vmax=1, aspect="auto")
        for (moment, frame), level in np.ndenumerate(table):
            ink = "#ffffff" if level > 0.6 else "#000000"
            said_level = f"{level:.2f}".rstrip("0").rstrip(".")
            panel.text(frame, moment, said_level, ha="center", va="center", color=ink, fontsize=10)
        panel.set_title(task, fontsize=11)
        panel.set_xticks(range(table.shape[1]))
        panel.set_yticks(range(len(table)))
        panel.set_xlabel("latent frame")
        clean = [str(frame) for frame in range(table.shape[1]) if not table[:, frame].any()]
        said.append(f"{task}: {'frame ' + ' and '.join(clean) + ' at 0 throughout' if clean else 'no frame is given'}")
    canvas.axes[0].set_ylabel("moment")
    alt = "Tables of noise levels, which fall from 1 to 0, moment by moment, but for frames that are given. "
    return described(canvas, f"{alt}{'; '.join(said)}.")


def gates(levels: Sequence[float], found: dict[str, np.ndarray]) -> Figure:
    """How far each layer's gates are open against the noise level: name: (levels, layers)."""
    from matplotlib.figure import Figure as Canvas

    from minit2v.lab.drawings import described

    canvas = Canvas(figsize=(9.8, 3.2), layout="constrained")
    said = []
    for panel, (name, values) in zip(canvas.subplots(1, len(found), sharey=True), found.items(), strict=True):
        tones = np.linspace(0.75, 0.0, values.shape[1])
        for layer in range(values.shape[1]):
            color = (tones[layer], 0.45 + 0.4 * tones[layer], 0.7 + 0.25 * tones[layer])
            panel.plot(levels, values[:, layer], color=color, marker="o", ms=4, lw=2)
            label = f"layer {layer + 1}" if layer in (0, values.shape[1] - 1) else None
            panel.plot(levels[-1], values[-1, layer], color=color, marker="o", ms=4, label=label)
        panel.set(title=name, xlabel="noise level", ylim=(0, 1.1 * max(map(np.max, found.values()))))
        panel.legend(frameon=False, loc="lower right")
        panel.spines[["top", "right"]].set_visible(False)
        mean = values.mean(axis=1)
        said.append(f"{name}: {mean[0]:.2f} at level {levels[0]:g}, {mean[-1]:.2f} at level {levels[-1]:g}, on average")
    canvas.axes[0].set_ylabel("how far open")
    return described(canvas, f"How far the gates of each layer are open, against the noise level. {'; '.join(said)}.")
