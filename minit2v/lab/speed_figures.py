"""Figures of speed: quality against passes, caches beside their rivals, which steps may be skipped, queues."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from minit2v.clip import Clip
from minit2v.lab import drawings
from minit2v.lab.drawings import _arrow, _sheet, _write, described
from minit2v.lab.page import COLORS, Figure
from minit2v.lab.players import Steps, step_slider

# ---- fewer steps -----------------------------------------------------------------------------------------------------


def steps_slider(series: dict[int, Sequence[Clip]]) -> Steps:
    """A slider over numbers of steps: the same prompts and the same noise, one row per prompt."""
    from minit2v import media

    pictures = [
        np.concatenate([media.strip(media.enlarge(clip.frames, 96), 5) for clip in clips]) for clips in series.values()
    ]
    labels = [f"{count} step{'s' if count > 1 else ''}, {2 * count} passes" for count in series]
    rows = "; ".join(clip.prompt for clip in next(iter(series.values())))
    alt = f"The same noise with {', '.join(map(str, series))} steps. Rows: {rows}. With one step all is a blur."
    return step_slider(pictures, labels, alt, still=4)


PANELS = {"asked": "share of attributes right", "motion": "speed, of what was asked", "flicker": "flicker, levels"}
MARKS = {  # of ways that are no row of step counts: color, marker
    "no guidance": ("black", "X"), "guidance kept, every other step": ("green", "^"),
    "blocks kept, every other step": ("orange", "D"), "student": ("pink", "P"),
}  # fmt: skip


def quality(found: dict) -> Figure:
    """Stored figures of many clips against passes per clip: Euler and Heun as lines with bands, other ways as marks."""
    canvas, panels = drawings.panels(len(PANELS), 4.2)
    ways = found["ways"] | ({"student": found["student"]} if "student" in found else {})
    said = []
    for panel, (figure, title) in zip(panels, PANELS.items(), strict=True):
        for sampler, color, mark, dashes in (("euler", "blue", "o", "-"), ("heun", "red", "s", "--")):
            some = sorted((way["passes"], *way[figure]) for name, way in ways.items() if name.startswith(sampler))
            passes, middle, low, high = np.array(some, dtype=float).T
            panel.fill_between(passes, low, high, color=COLORS[color], alpha=0.16, lw=0)
            panel.plot(passes, middle, color=COLORS[color], marker=mark, linestyle=dashes, label=sampler.capitalize())
            points = ", ".join(f"{y:.2f} at {x:.0f}" for x, y in zip(passes, middle, strict=True))
            said.append(f"{title}, {sampler}: {points}")
        for name, (color, mark) in MARKS.items():
            if name in ways:
                panel.plot(ways[name]["passes"], ways[name][figure][0], color=COLORS[color], marker=mark, ms=9,
                           linestyle="", label=name)  # fmt: skip
                said.append(f"{name}: {ways[name][figure][0]:.2f} at {ways[name]['passes']}")
        panel.set(xscale="log", title=title, xlabel="passes of the network for a clip")
        panel.set_xticks([2, 4, 8, 16, 40], labels=["2", "4", "8", "16", "40"])
        panel.minorticks_off()
    canvas.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return described(canvas, f"Quality against passes, {found['n']} held-out prompts, bands 95 %. {'; '.join(said)}.")


# ---- caches ----------------------------------------------------------------------------------------------------------


def rivals(fewer: dict[str, Sequence[tuple[float, float]]], ways: dict[str, tuple[float, float]], other: float):
    """How far from the exact clip, against the share of the passes that was paid: fewer steps as lines, caches as
    marks, and dotted, as a control, how far apart two clips are that have nothing to do with each other."""
    canvas, (panel,) = drawings.panels(1, 4.4)
    said, styles = [], (("blue", "o", "-"), ("red", "s", "--"))
    for (name, points), (color, mark, dashes) in zip(fewer.items(), styles, strict=False):
        x, y = np.array(sorted(points)).T
        panel.plot(x, y, color=COLORS[color], marker=mark, linestyle=dashes, label=name)
        said.append(f"{name}: " + ", ".join(f"{b:.2f} at {a:.0%}" for a, b in zip(x, y, strict=True)))
    looks = (("orange", "D"), ("sky", "v"), ("green", "^"), ("pink", "P"), ("black", "X"), ("yellow", "*"))
    for (name, (x, y)), (color, mark) in zip(ways.items(), looks, strict=False):
        panel.plot(x, y, color=COLORS[color], marker=mark, ms=11, linestyle="", label=name, mec="#333333", mew=0.6)
        said.append(f"{name}: {y:.2f} at {x:.0%}")
    panel.axhline(other, color="#666666", linestyle=":", lw=1.4)
    panel.text(0.05, other * 0.93, "control: another clip altogether", fontsize=9, color="#444444", va="top")
    panel.set(yscale="log", ylabel="distance from the exact clip,\nas a share of its size", xlim=(0, 1))
    panel.set_xticks([0, 0.25, 0.5, 0.75, 1], labels=["0", "25 %", "50 %", "75 %", "100 %"])
    panel.set_xlabel("share of the passes that is paid")
    panel.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    alt = f"Distance from the exact clip against the passes paid; the control lies at {other:.2f}. "
    return described(canvas, f"{alt}{'; '.join(said)}.")


def which_steps(runs: Sequence[Sequence[int]], off: Sequence[float], changes: Sequence[float], levels: Tensor):
    """Left, how much what the blocks add changes from step to step; right, how far off a clip is if three neighboring
    steps are skipped, with the noise level at which they begin."""
    canvas, (left, right) = drawings.panels(2, 3.8)
    left.plot(range(1, len(changes) + 1), changes, color=COLORS["blue"], marker="o")
    left.set(xlabel="step", ylabel="change since the step before", ylim=(0, None), title="what the blocks add")
    left.set_xticks(range(1, len(changes) + 1, 3))
    names = [f"{run[0]}–{run[-1]}\nσ {float(levels[run[0]]):.2f}" for run in runs]
    right.bar(names, off, color=COLORS["orange"], edgecolor="#333333")
    right.set(xlabel="steps that are skipped", ylabel="distance from the exact clip", title="three steps from memory")
    told = ", ".join(f"{run[0]} to {run[-1]}: {value:.2f}" for run, value in zip(runs, off, strict=True))
    alt = (
        f"Left, change of what the blocks add from step to step: {changes[0]:.2f} at first, {min(changes):.2f} at "
        f"least, {changes[-1]:.2f} at last. Right, distance from the exact clip if three steps are skipped. {told}."
    )
    return described(canvas, alt)


# ---- students --------------------------------------------------------------------------------------------------------


def paths(panels: dict[str, Tensor], notes: Sequence[str]) -> Figure:
    """Paths from noise to one of two clips, -1 or +1, one panel for each way: (moments, b) each."""
    canvas, axes = drawings.panels(len(panels), 3.6, sharey=True)
    for panel, (name, path), note in zip(axes, panels.items(), notes, strict=True):
        moments = np.linspace(1, 0, len(path))
        for one in path.detach().T.numpy():
            panel.plot(moments, one, color=COLORS["blue" if one[0] > 0 else "red"], lw=0.9,
                       linestyle="-" if one[0] > 0 else "--", marker="o" if len(path) < 4 else "", ms=3)  # fmt: skip
        for clip in (-1, 1):
            panel.axhline(clip, color="#666666", lw=0.8, linestyle=":")
        panel.set(xlim=(1.03, -0.03), xlabel="noise level", title=f"{name}\n{note}", ylim=(-2.6, 2.6))
    said = "; ".join(f"{name}: {note}" for name, note in zip(panels, notes, strict=True))
    return described(canvas, f"Paths from noise, left, to the two clips at -1 and +1, right. {said}.")


# ---- batches, devices, queues ----------------------------------------------------------------------------------------


def batches(sizes: Sequence[int], foretold: dict[str, Sequence[float]], measured: Sequence[float]) -> Figure:
    """Time for each clip against the batch, as a share of that of a batch of one: by the roofline, and measured."""
    canvas, (panel,) = drawings.panels(1, 3.8)
    said, styles = [], (("blue", "o", "-"), ("green", "^", "--"), ("orange", "D", "-."))
    for (name, times), (color, mark, dashes) in zip(foretold.items(), styles, strict=False):
        share = [float(t / times[0]) for t in times]
        panel.plot(sizes, share, color=COLORS[color], marker=mark, linestyle=dashes, label=f"roofline: {name}")
        said.append(f"{name}: down to {min(share):.2f}")
    panel.plot(sizes, [t / measured[0] for t in measured], color=COLORS["red"], marker="s", linestyle=":", lw=2,
               label="measured here, ours")  # fmt: skip
    panel.axhline(1, color="#666666", lw=0.8)
    panel.set(xscale="log", xlabel="clips in a batch", ylabel="time for each clip,\nas a share of one alone")
    panel.set_xticks(sizes, labels=[str(n) for n in sizes])
    panel.set_ylim(0, None)
    panel.minorticks_off()
    panel.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return described(canvas, f"Time for each clip against the batch. By the roofline, {'; '.join(said)}. "
                              "Squares: measured on this machine.")  # fmt: skip


def shared_out(tokens: int, heads: int, devices: int = 2) -> Figure:
    """A layer's queries as a board, tokens across and heads down, and who holds which part of it."""

    canvas, axes = _sheet(980, 210)
    looks = (("sky", "//"), ("orange", ".."), ("green", "\\\\"), ("pink", "xx"))
    boards = ((20, "own tokens, all heads", "tokens"), (360, "all tokens, own heads", "heads"),
              (700, "own tokens, all heads", "tokens"))  # fmt: skip
    for x, title, cut in boards:
        _write(axes, x + 110, 24, title, 12, "bold", across="center")
        for i in range(devices):
            color, hatch = looks[i % len(looks)]
            part = 220 / devices if cut == "tokens" else 220, 110 / devices if cut == "heads" else 110
            place = (x + i * part[0] * (cut == "tokens"), 44 + i * part[1] * (cut == "heads"))
            axes.add_patch(_patch(place, *part, COLORS[color], hatch))
            _write(axes, place[0] + part[0] / 2, place[1] + part[1] / 2, f"device {i}", 11, "bold", across="center")
        _write(axes, x + 110, 172, f"{tokens} tokens →", 10, across="center")
    for x, said in ((245, "all-to-all:\nq, k, v"), (585, "attention, then\nall-to-all: the answer")):
        _arrow(axes, x, 100, x + 110, 100)
        _write(axes, x + 55, 70, said, 10, across="center")
    alt = (
        f"Ulysses on {devices} devices. A board of {tokens} tokens across and {heads} heads down is cut by tokens; an "
        "exchange of all with all cuts it by heads instead, so that each device has whole sequences for its heads; "
        "after attention it is exchanged back."
    )
    return described(canvas, alt)


def _patch(place, wide, high, color, hatch):
    from matplotlib.patches import Rectangle

    return Rectangle(place, wide, high, facecolor=color, edgecolor="#1e1e1e", lw=1, hatch=hatch, alpha=0.55)


def waiting(loads: Sequence[float], means: dict[str, Sequence[float]], formula: Sequence[float]) -> Figure:
    """The mean time until a clip is there against the load: simulated, a line per way of batching, and the formula."""
    canvas, (panel,) = drawings.panels(1, 3.8)
    styles = (("blue", "o", "-"), ("red", "s", "--"), ("green", "^", "-."))
    said = []
    for (name, values), (color, mark, dashes) in zip(means.items(), styles, strict=False):
        panel.plot(loads, values, color=COLORS[color], marker=mark, linestyle=dashes, label=name)
        said.append(f"{name}: {values[0]:.1f} to {values[-1]:.1f}")
    panel.plot(loads, formula, color="#000000", marker="x", linestyle="", ms=9, label="one at a time, by formula")
    panel.set(xlabel="load: share of the time that one clip at a time would keep the machine busy")
    panel.set_ylabel("mean time until a clip is there,\nin times of one clip")
    panel.set_ylim(0, None)
    panel.legend(frameon=False, loc="upper left")
    return described(canvas, f"Waiting against the load, from {loads[0]:.0%} to {loads[-1]:.0%}. {'; '.join(said)}.")


def falling(rungs: Sequence[tuple[str, float]]) -> Figure:
    """A price after one lever and another, as bars on a logarithmic scale."""
    canvas, (panel,) = drawings.panels(1, 3.2)
    names, prices = zip(*reversed(list(rungs)), strict=True)
    panel.barh(names, prices, color=COLORS["sky"], edgecolor="#333333")
    for i, price in enumerate(prices):
        panel.text(price * 1.06, i, f"{100 * price:.1f} cents", va="center", fontsize=10)
    panel.set(xscale="log", xlabel="$ for a clip", xlim=(min(prices) / 2, max(prices) * 2.2))
    said = "; ".join(f"{name}: {100 * price:.1f} cents" for name, price in rungs)
    return described(canvas, f"What a clip costs after one lever and another. {said}.")
