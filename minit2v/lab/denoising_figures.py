"""Figures of denoising: what is known at a noise level, when it is decided, what too few steps lose, guidance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from minit2v import media
from minit2v.diffusion import FlowMatching
from minit2v.lab import drawings
from minit2v.lab.denoising import QUESTIONS, Few, by_formula
from minit2v.lab.drawings import described
from minit2v.lab.page import COLORS, Figure
from minit2v.lab.players import Steps, step_slider

STYLES = {  # color, marker, dashes: all three differ
    "background": ("blue", "o", "-"), "direction": ("red", "s", "--"), "texture": ("green", "^", "-."),
    "shade": ("orange", "D", ":"), "word": ("black", "x", "-"),
}  # fmt: skip


def in_the_fog(system, few: Few, data: Tensor, noise: Tensor, levels: Sequence[float], moments: int = 4) -> Steps:
    """A slider over noise levels: above, data mixed with noise, decoded; below, what the best denoiser knows of it."""
    pictures, labels = [], []
    for level in levels:
        sigma = torch.full(data.shape[:2], float(level))
        x = FlowMatching.add_noise(data, noise, sigma)
        both = system.decode(torch.cat([x, few.data(x, sigma)]).float())  # (2, t, h, w, 3)
        rows = [media.strip(media.enlarge(frames, 96), moments) for frames in both]
        pictures.append(np.concatenate([rows[0], np.full_like(rows[0][:4], 255), rows[1]]))
        labels.append(f"noise level {level:.2f}: clearest guess {few.weights(x, sigma).max():.0%}")
    alt = (
        f"{moments} frames at noise levels from {levels[0]} down to {levels[-1]}. Above, the mixture, in which the eye "
        "finds little; below, what can be known of it: first ghosts of many clips at once, then one clip, sharp."
    )
    return step_slider(pictures, labels, alt, still=4)


def what_is_known(levels: Sequence[float], found: np.ndarray, apart: dict[str, float]) -> Figure:
    """Certainty of every question against the noise level: marks are measured, lines are the formula for two clips."""
    canvas, (panel,) = drawings.panels(1, 4.4)
    fine, said = np.linspace(min(levels), max(levels), 300), []
    for q, (name, (color, mark, dashes)) in enumerate(STYLES.items()):
        panel.plot(fine, by_formula(apart[name], fine), color=COLORS[color], linestyle=dashes, lw=1.6)
        label = f"{name}: {' or '.join(QUESTIONS[name])}" + (", the control" if not apart[name] else "")
        panel.plot(levels, found[:, q], color=COLORS[color], marker=mark, linestyle="", ms=7, label=label)
        sure = [level for level, value in zip(levels, found[:, q], strict=True) if value >= 0.9]
        said.append(f"{name} is known to 90 % from level {max(sure):.2f} on" if sure else f"{name} is never known")
    panel.axhline(0.9, color="#999999", lw=0.8)
    panel.set(xlim=(max(levels) + 0.004, min(levels)), ylim=(0.45, 1.03), ylabel="certainty of the right answer")
    panel.set_xlabel("noise level: pure noise on the left, clearer to the right")
    panel.legend(frameon=False, fontsize=10, loc="center right")
    alt = "How sure one can be of five things while noise goes away; all begin at one half, a mere guess. "
    return described(canvas, alt + "; ".join(said) + ". Measured marks lie on the lines of the formula.")


def decisions(paths: dict[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """What each of some samples believes, step by step, one panel per schedule: title: (noise levels, (steps, b))."""
    canvas, panels = drawings.panels(len(paths), 3.6, sharey=True)
    said = []
    for panel, (title, (levels, beliefs)) in zip(panels, paths.items(), strict=True):
        steps = np.arange(1, len(levels) + 1)
        for path in beliefs.T:
            side = "blue" if path[-1] > 0.5 else "red"
            dashes = "-" if path[-1] > 0.5 else "--"
            panel.plot(steps, path, color=COLORS[side], linestyle=dashes, marker=".", lw=1.2, alpha=0.8)
        open_ = int(((beliefs > 0.05) & (beliefs < 0.95)).any(axis=1).sum())
        panel.set_title(title, pad=16)
        panel.set(xlabel="step", xticks=[1, *range(5, len(levels) + 1, 5)])
        for i in (0, len(levels) // 2, len(levels) - 1):
            panel.annotate(f"σ {levels[i]:.2f}", (steps[i], 1.06), ha="center", fontsize=9, annotation_clip=False)
        said.append(f"{title}: some sample is undecided at {open_} of {len(levels)} steps")
    panels[0].set(ylim=(-0.05, 1.12), yticks=(0, 0.5, 1), ylabel="belief: left 0, right 1")
    alt = "Belief of each sample whether its ball moves right, from one half to 0 or 1, step by step. "
    return described(canvas, alt + "; ".join(said) + ".")


def falling(steps: Sequence[int], errors: dict[str, Sequence[float]], contrast: Sequence[float]) -> Figure:
    """Left, the error of samplers against their steps, on logarithmic scales; right, Euler's contrast."""
    canvas, (left, right) = drawings.panels(2)
    said = []
    for (name, values), (color, mark, dashes) in zip(errors.items(), list(STYLES.values())[:2], strict=True):
        left.plot(steps, values, color=COLORS[color], marker=mark, linestyle=dashes, lw=2)
        left.annotate(f"  {name}", (steps[-1], values[-1]), color=COLORS[color], va="center", fontsize=11)
        said.append(f"{name} from {values[0]:.2f} to {values[-1]:.5f}")
    left.set(xscale="log", yscale="log", xlabel="steps", title="error, as a share of the clip")
    right.plot(steps, contrast, color=COLORS["blue"], marker="o", lw=2)
    right.axhline(1, color="#666666", lw=0.8, linestyle=":")
    right.set(xscale="log", xlabel="steps", title="contrast of Euler's clip; 1 is right", ylim=(0, 1.08))
    for panel in (left, right):
        panel.set_xticks(steps, labels=[str(count) for count in steps])
        panel.minorticks_off()
    left.margins(x=0.16)
    alt = (
        f"Left: error against {steps[0]} to {steps[-1]} steps, on logarithmic scales: {'; '.join(said)}. "
        f"Right: contrast of Euler's clip, rising from {contrast[0]:.2f} to {contrast[-1]:.2f}; 1 would be right."
    )
    return described(canvas, alt)


def best_shift(shifts: Sequence[float], errors: dict[str, Sequence[float]], steps: int) -> Figure:
    """The error of a sampler with so many steps against the timestep shift; the lowest point of each line is marked."""
    canvas, (panel,) = drawings.panels(1, 3.4)
    said = []
    for (name, values), (color, mark, dashes) in zip(errors.items(), STYLES.values(), strict=False):
        best = int(np.argmin(values))
        panel.plot(shifts, values, color=COLORS[color], marker=mark, linestyle=dashes, lw=1.8, ms=5, label=name)
        panel.plot(shifts[best], values[best], marker="o", ms=15, mfc="none", mec=COLORS[color], mew=2)
        said.append(f"{name}: least at shift {shifts[best]:g}")
    panel.set(xscale="log", yscale="log", xlabel="timestep shift", ylabel=f"error of {steps} Euler steps")
    panel.set_xticks(shifts, labels=[f"{shift:g}" for shift in shifts])
    panel.set_yticks([0.1, 0.2, 0.5, 1], labels=["0.1", "0.2", "0.5", "1"])
    panel.minorticks_off()
    panel.legend(frameon=False, loc="upper center")
    return described(canvas, f"Error of {steps} Euler steps against the timestep shift. {'; '.join(said)}.")


def beyond(places: dict[str, tuple[float, float]], walk: dict[float, tuple[float, float]]) -> Figure:
    """Guidance in a plane: the corners are groups of clips, the walk is what is believed at each guidance scale."""
    canvas, (panel,) = drawings.panels(1, 4.2)
    for name, (x, y) in places.items():
        panel.plot(x, y, marker="s", ms=11, color=COLORS["blue"])
        panel.annotate(name, (x, y), (0, -12), textcoords="offset points", ha="center", va="top", fontsize=10)
    track = np.array(list(walk.values()))
    panel.annotate("", track[-1], track[0], arrowprops=dict(arrowstyle="-|>", color=COLORS["red"], lw=1.6))
    for scale, (x, y) in walk.items():
        panel.plot(x, y, marker="o", ms=8, color=COLORS["red"])
        panel.annotate(f"{scale:g}", (x, y), (0, 8), textcoords="offset points", ha="center", fontsize=11)
    corners = np.array(list(places.values()))[[0, 1, 3, 2, 0]]
    panel.plot(*corners.T, color="#999999", lw=0.8, linestyle="--")
    panel.set(xlabel="direction: all left −1, all right +1", ylabel="background: floor −1, sky +1")
    panel.margins(0.16)
    said = "; ".join(f"scale {scale:g} at {x:.1f} across" for scale, (x, y) in walk.items())
    alt = (
        f"A square whose corners are four groups of clips, and what is believed as guidance grows: {said}. It "
        "ends at +1: what lies farther to the right is no mixture of clips any more."
    )
    return described(canvas, alt)
