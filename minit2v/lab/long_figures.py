"""Figures of long clips: errors past the training length, window plans, tracks, drift, what is forgotten, cameras."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.patches import Rectangle

from minit2v import media
from minit2v.lab import drawings
from minit2v.lab.drawings import _sheet, _write, described
from minit2v.lab.live import Sliders
from minit2v.lab.long import WAYS, WINDOW, Bill, bill
from minit2v.lab.page import COLORS, Figure, Html, table
from minit2v.world.windows import Window, plan

STYLES = (("red", "s", "--"), ("orange", "D", "-."), ("blue", "o", "-"), ("green", "^", ":"), ("black", "x", "-"))
LOOKS = dict(zip(WAYS, STYLES, strict=False))  # color, marker, dashes: all three differ
CHOICES = {"frames": tuple(range(17, 258, 4)), "context": (0, 1, 5, 9, 13)}  # of the planner's sliders
START = {"frames": 69, "context": 9}


# ---- positions -----------------------------------------------------------------------------------------------------


def errors(lines: dict[str, np.ndarray], trained: int) -> Figure:
    """The denoiser's error for each latent frame, a line for each way to hand the clip over."""
    canvas, (panel,) = drawings.panels(1)
    said = []
    for (name, values), (color, mark, dashes) in zip(lines.items(), STYLES, strict=False):
        panel.plot(values, color=COLORS[color], marker=mark, linestyle=dashes, lw=2, ms=6, label=name)
        said.append(f"{name}: {values[1:trained].mean():.2f} in latent frames 1 to {trained - 1}, "
                    f"{values[trained:].mean():.2f} beyond")  # fmt: skip
    panel.axvspan(-0.4, trained - 0.6, color=COLORS["sky"], alpha=0.15, lw=0)
    panel.annotate("positions of training", (-0.3, panel.get_ylim()[1]), va="top", fontsize=10)
    panel.set(xlabel="latent frame", ylabel="error of the guess")
    panel.set_xticks(range(0, len(values), 2))
    panel.legend(frameon=False, loc="lower right")
    frames = 4 * (len(values) - 1) + 1
    alt = f"How far the denoiser's guess at real clips of {frames} frames is off, latent frame by latent frame. "
    return described(canvas, alt + "; ".join(said) + ".")


# ---- plans and bills -----------------------------------------------------------------------------------------------


def plans(cases: dict[str, Sequence[Window]]) -> Figure:
    """Which frames each window covers: a block of rows for each plan, frames that are known before it hatched."""
    rows = sum(len(windows) for windows in cases.values())
    canvas, axes = _sheet(980, 40 + 26 * rows + 34 * len(cases))
    last, y, said = max(windows[-1].end for windows in cases.values()), 30, []
    left, step = 40, 900 / max(windows[-1].end for windows in cases.values())
    for name, windows in cases.items():
        told = f"{name}: {len(windows)} windows, {sum(w.frames for w in windows)} frames drawn for {windows[-1].end}"
        _write(axes, left, y - 12, told, 11, "bold")
        for number, window in enumerate(windows):
            x, top = left + step * window.start, y + 26 * number
            known, made = step * window.known, step * (window.frames - window.known)
            axes.add_patch(Rectangle((x, top), known, 19, fc="#ffffff", ec=COLORS["blue"], hatch="////", lw=1))
            axes.add_patch(Rectangle((x + known, top), made, 19, fc=COLORS["sky"], ec=COLORS["blue"], lw=1))
        said.append(told)
        y += 26 * len(windows) + 34
    for t in range(0, last + 1, 8):
        _write(axes, left + step * t, y - 14, str(t), 9, across="center")
    alt = (
        f"Windows of {WINDOW} frames as bars over the frames of the clip, one below the other, like stairs; hatched "
        f"where a window is given frames of the one before. {'; '.join(said)}."
    )
    return described(canvas, alt)


class Planner(Sliders):
    """Sliders for a clip's length and its context, over what it costs."""

    choices, start = CHOICES, START

    def __init__(self, config):
        self.config = config

    def page(self, choices: dict) -> str:
        """The bill for one position of the sliders, beside that of one piece, as HTML."""
        frames, context = choices["frames"], choices["context"]
        return bill_table(self.config, frames, (0, context) if context else (0,)).html

    @property
    def still(self) -> Figure:
        """The plans of three contexts."""
        return plans({_named(context): plan(START["frames"], WINDOW, context) for context in (1, 5, 9)})

    def __repr__(self) -> str:
        return f"windows of clips of {CHOICES['frames'][0]} to {CHOICES['frames'][-1]} frames"


def _named(context: int) -> str:
    return f"context {context}" if context else "in one piece"


def bill_table(config, frames: int, contexts: Sequence[int]):
    """The bills of a clip of so many frames, one row for each context."""
    rows = []
    for context in contexts:
        each: Bill = bill(config, frames, context)
        figures = (each.windows, each.frames, each.tokens, each.scores, each.flops)
        rows.append([_named(context), *(f"{figure:,}" for figure in figures)])
    head = [f"{frames} frames", "windows", "frames drawn", "tokens at once", "scores per head, layer", "FLOPs per step"]
    return table(head, rows)


def memory(frames: Sequence[int], found: dict[str, Sequence[int]]) -> Figure:
    """Peak bytes of live tensors against the clip's length, one line for each way."""
    canvas, (panel,) = drawings.panels(1, 2.8)
    said = []
    for (name, values), (color, mark, dashes) in zip(found.items(), STYLES[::2], strict=False):
        panel.plot(frames, np.array(values) / 1e6, color=COLORS[color], marker=mark, linestyle=dashes, lw=2, label=name)
        said.append(f"{name}: {', '.join(f'{value / 1e6:.0f}' for value in values)} MB")
    panel.set(xlabel="frames of the clip", ylabel="MB of live tensors", ylim=(0, None), xticks=list(frames))
    panel.legend(frameon=False)
    return described(canvas, f"Memory at {', '.join(map(str, frames))} frames. {'; '.join(said)}.")


# ---- what a context says and forgets -------------------------------------------------------------------------------


def tracks(cases: dict[str, tuple[Sequence[np.ndarray], Sequence[int]]]) -> Figure:
    """How far right the ball is, over time: a panel for each case, (tracks, frames where windows meet)."""
    canvas, panels = drawings.panels(len(cases), 3.4, sharey=True)
    said = []
    for panel, (name, (found, seams)) in zip(panels, cases.items(), strict=True):
        for lift, (values, color, dashes) in enumerate(
            zip(found, ("blue", "red", "green", "black"), ("-", "--", "-.", ":"), strict=False)
        ):
            panel.plot(values - 30 * lift, color=COLORS[color], linestyle=dashes, lw=1.8)
        for seam in seams:
            panel.axvline(seam, color="#888888", lw=0.8, linestyle=":")
        panel.set_title(name, fontsize=11)
        panel.set(xlabel="frame", yticks=[-30 * i for i in range(len(found))])
        panel.set_yticklabels([f"seed {i}" for i in range(len(found))])
        said.append(f"{name}: windows meet at frames {', '.join(map(str, seams))}")
    alt = (
        "The ball's place across the picture, a wave for each of several seeds; dotted lines where windows meet. "
        f"{'; '.join(said)}. With one frame of context a wave may be mirrored at a dotted line; with five it never is."
    )
    return described(canvas, alt)


def forgetting(found: dict[int, dict[int, float]]) -> Figure:
    """context: {frames hidden: certainty}, as a grid of cells: ✓ certain, ? a guess, and the number."""
    contexts, hidden = list(found), list(next(iter(found.values())))
    left, wide, high = 250, 92, 44
    canvas, axes = _sheet(980, 84 + high * len(contexts))
    for column, frames in enumerate(hidden):
        _write(axes, left + wide * (column + 0.5), 40, str(frames), 12, "bold", across="center")
    _write(axes, left, 16, "frames for which nothing of the ball was seen", 11)
    said = []
    for row, context in enumerate(contexts):
        y = 60 + high * row
        told = f"the window knows {context} frame{'s' if context > 1 else ''}"
        _write(axes, left - 14, y + high / 2, told, across="right")
        for column, frames in enumerate(hidden):
            sure = found[context][frames]
            kept = sure > 0.9
            fill = "#cfe6f5" if kept else "#ffffff"
            axes.add_patch(Rectangle((left + wide * column, y), wide - 4, high - 4, fc=fill, ec=COLORS["blue"], lw=1))
            mark = f"{'✓' if kept else '?'} {sure:.2f}"
            _write(axes, left + wide * (column + 0.5) - 2, y + high / 2 - 2, mark, 12, across="center")
        kept = [frames for frames in hidden if found[context][frames] > 0.9]
        said.append(f"{context} known: {f'remembered up to {max(kept)} hidden' if kept else 'never remembered'}")
    alt = (
        f"A grid: how sure the best denoiser is of the color of a ball that comes out from behind a pillar. Rows: "
        f"how many frames the window knows; columns: {', '.join(map(str, hidden))} frames hidden. {'; '.join(said)}. "
        "Else it is a guess among four."
    )
    return described(canvas, alt)


def gallery(pictures: Sequence[np.ndarray], labels: Sequence[str], about: str, columns: int = 5) -> Figure:
    """Pictures (h, w, 3) in rows, each with a label below."""
    big = [media.enlarge(each[None], 192)[0] for each in pictures]
    page = media.sheet(list(zip(big, labels, strict=True)), columns)
    return Figure(page, f"{about} {'; '.join(labels)}.")


def drift(curves: dict[str, np.ndarray], about: str) -> Figure:
    """Drift over the seconds, in tolerances: a line for each way, black for real clips."""
    canvas, (panel,) = drawings.panels(1)
    said = []
    for name, values in curves.items():
        color, mark, dashes = LOOKS.get(name, ("pink", "v", ":") if name.startswith("9") else STYLES[-1])
        seconds = np.arange(1, len(values) + 1)
        panel.plot(seconds, values, color=COLORS[color], marker=mark, linestyle=dashes, lw=1.8, ms=6, label=name)
        said.append(f"{name}: {values[0]:.1f} in second 1, {values[-1]:.1f} in the last")
    panel.axhline(1, color="#888888", lw=0.8)
    panel.annotate("just not acceptable", (1, 1), (2, 3), textcoords="offset points", fontsize=9, va="bottom")
    panel.set(xlabel="second of the clip", ylabel="drift, tolerances", ylim=(0, None))
    panel.legend(frameon=False, loc="upper left", fontsize=9, ncols=2)
    return described(canvas, f"{about} {'; '.join(said)}.")


def stored_drift(found: dict | None):
    """The identity curves of a bigger run, as benchmarks/drift.py stores them; without one, how to make it."""
    if found is None:
        said = "No bigger run is stored. This command makes one, in about an hour: python benchmarks/drift.py"
        return Html(f"<p>{said}</p>", said)
    curves = {way: np.array(figures["identity"]["mean"]) for way, figures in found.items()}
    return drift(curves, f"Drift over {len(next(iter(curves.values())))} seconds, from the stored run.")


# ---- cameras -------------------------------------------------------------------------------------------------------


def cameras(shots: dict[str, tuple], fps: int = 8) -> Figure:
    """Camera tracks, lines as told and marks as measured: name: (scene, track). Left: how far it went; right: zoom."""
    canvas, (left, right) = drawings.panels(2, 3.6)
    said = []
    for (name, (told, track)), (color, mark, dashes) in zip(shots.items(), STYLES, strict=True):
        time = np.arange(len(told.camera)) / fps
        for panel, truth, seen in ((left, told.camera[:, 0], track.camera[:, 0]), (right, told.zoom, track.zoom)):
            panel.plot(time, truth, color=COLORS[color], linestyle=dashes, lw=1.4)
            panel.plot(time[::3], seen[::3], color=COLORS[color], marker=mark, linestyle="", ms=6, label=name)
        said.append(f"{name}: {told.camera[-1, 0]:+.0f} px across, zoom {told.zoom[-1]:.2f} in the end")
    left.set(xlabel="seconds", ylabel="camera, px to the right")
    right.set(xlabel="seconds", ylabel="zoom")
    left.legend(frameon=False, fontsize=9)
    alt = f"Five camera paths over {time[-1]:.0f} seconds; measured marks lie on the lines that were asked for. "
    return described(canvas, alt + "; ".join(said) + ".")


def teleports(found: dict[str, dict[float, int]], threshold: float = 2.0) -> Figure:
    """Jumps that are counted, against how far the camera was moved: place: {px: count}, a row of marks for each."""
    canvas, (panel,) = drawings.panels(1, 2.6)
    said = []
    for row, (place, counts) in enumerate(found.items()):
        for px, count in counts.items():
            color, mark = ("blue", "o") if count else ("red", "x")
            panel.plot(px, row, color=COLORS[color], marker=mark, ms=10, mew=2.4, linestyle="")
        said.append(f"{place}: missed at {', '.join(f'{px:g}' for px, count in counts.items() if not count)} px")
    panel.axvline(threshold, color="#888888", lw=0.8, linestyle=":")
    panel.set(xlabel="px by which the camera jumps; blue circle: counted, red cross: not counted")
    panel.set_yticks(range(len(found)), labels=list(found))
    panel.set_ylim(-0.6, len(found) - 0.4)
    return described(canvas, f"Which jumps of a camera are counted. {'; '.join(said)}; all others are counted.")


def asked_table(rows: Sequence[tuple[Window, str]], caption: str):
    """What each window is asked for, as a table."""
    cells = [[str(i + 1), f"{w.start} to {w.end - 1}", str(w.known), prompt] for i, (w, prompt) in enumerate(rows)]
    return table(["window", "frames", "known", "asked for"], cells, caption)
