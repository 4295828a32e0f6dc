"""Figures of a training run: clips that sharpen, the loss beside the exam, and runs with a piece left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from minit2v import media
from minit2v.clip import Clip
from minit2v.lab import drawings
from minit2v.lab.drawings import _fold, _paste, _sheet, _write, described
from minit2v.lab.page import COLORS, Figure
from minit2v.lab.players import Steps, step_slider
from minit2v.metrics import wilson

STYLES = (("blue", "o", "-"), ("red", "s", "--"), ("green", "^", "-."), ("orange", "D", ":"), ("black", "x", "-"))


def sharpening(seen: Mapping[int, Sequence[Clip]], prompts: Sequence[str], steps: Sequence[int]) -> Figure:
    """The same prompts from the same noise, one row each, after more and more steps: three frames of every clip."""
    left, tile, gap, head = 176, 40, 3, 26  # px
    wide, high = 3 * tile + 2 + gap * 3, tile + 32  # below the frames, room for a note of two lines
    canvas, axes = _sheet(left + len(steps) * wide + 6, head + len(prompts) * high)
    said = []
    for column, step in enumerate(steps):
        _write(axes, left + column * wide + 1.5 * tile, 12, f"step {step:,}", 11, "bold", across="center")
        right = sum(all(clip.matches.values()) for clip in seen[step])
        said.append(f"after {step:,} steps {right} of {len(prompts)} are entirely as asked")
        for row, clip in enumerate(seen[step]):
            x, y = left + column * wide, head + row * high
            for k, frame in enumerate(clip.frames[[0, len(clip.frames) // 2, -1]]):
                _paste(axes, frame, x + k * (tile + 1), y, tile, tile)
            wrong = [name for name, fine in clip.matches.items() if not fine]
            more = f"\nand {len(wrong) - 2} more" if len(wrong) > 2 else ""
            note = f"✗ {', '.join(wrong[:2])}{more}" if wrong else "✓ as asked"
            middle = y + tile + 9 + 5 * note.count("\n")  # the first line stays where it is
            _write(axes, x, middle, note, 8, color="#a84300" if wrong else COLORS["blue"])
    for row, prompt in enumerate(prompts):
        _write(axes, 4, head + row * high + tile / 2, _fold(prompt, 27), 10)
    alt = (
        f"A grid: {len(prompts)} prompts, one row each, drawn from the same noise after more and more steps; "
        f"first, middle and last frame of each clip. It begins as fog, then the floor, a colored spot, a thing that "
        f"moves, and at last its outline. {'; '.join(said)}."
    )
    return described(canvas, alt)


def stages(seen: Mapping[int, Sequence[Clip]], prompts: Sequence[str], moments: int = 5) -> Steps:
    """A slider over the steps of training: every prompt's clip, and whether it is as asked."""
    pictures, labels = [], []
    for step, clips in seen.items():
        rows = [media.strip(media.enlarge(clip.frames, 64), moments) for clip in clips]
        gap = np.full_like(rows[0][:4], 255)
        pictures.append(np.concatenate([piece for row in rows for piece in (row, gap)][:-1]))
        right = sum(all(clip.matches.values()) for clip in clips)
        labels.append(f"after {step:,} steps: {right} of {len(clips)} as asked")
    alt = f"From above: {'; '.join(prompts)}. {moments} frames of each clip; with more steps, outlines sharpen."
    return step_slider(pictures, labels, alt, still=4)


def loss_and_exam(losses: np.ndarray, marks: np.ndarray, final: tuple[int, float, int] | None = None) -> Figure:
    """Above, the loss, rows (step, loss); below, on the same axis, rows (step, share right, how many were asked), with
    the 95 % interval. final: the last exam, with more prompts."""
    canvas, (above, below) = drawings.panels(1, 5.2, rows=2, sharex=True)
    above.plot(*losses.T, color=COLORS["blue"], lw=1.2)
    above.set(ylabel="loss", ylim=(0, None))
    bounds = np.array([wilson(round(share * n), int(n)) for _, share, n in marks])
    below.fill_between(marks[:, 0], *bounds.T, color=COLORS["orange"], alpha=0.25, lw=0)
    below.plot(marks[:, 0], marks[:, 1], color=COLORS["red"], marker="o", lw=2)
    below.set(ylabel="held-out prompts\nentirely right", xlabel="step", ylim=(-0.03, 1.03))
    at = len(losses) // 4
    said = f"a quarter of the way it stands at {losses[at, 1]:.2f}, and at the end at {losses[-5:, 1].mean():.2f}"
    if final:
        step, share, n = final
        low, high = wilson(round(share * n), n)
        below.errorbar([step], [share], [[share - low], [high - share]], color=COLORS["black"], marker="D", capsize=4)
    alt = (
        f"Two curves over {losses[-1, 0]:,.0f} steps. The loss falls fast at first, then ever slower: {said}. The "
        f"share of held-out prompts that are entirely right is {marks[0, 1]:.0%} after {marks[0, 0]:.0f} steps and "
        f"{marks[-1, 1]:.0%} after {marks[-1, 0]:,.0f}; it rises late."
    )
    return described(canvas, alt)


def by_level(levels: Sequence[float], found: Mapping[str, np.ndarray]) -> Figure:
    """The loss at every noise level, for models of several ages."""
    canvas, (panel,) = drawings.panels(1, 3.8)
    said = []
    for (name, values), (color, mark, dashes) in zip(found.items(), STYLES, strict=False):
        panel.plot(levels, values, color=COLORS[color], marker=mark, linestyle=dashes, lw=1.8, ms=5, label=name)
        said.append(f"{name}: {values[0]:.2f} at level {levels[0]}, {values[-1]:.2f} at {levels[-1]}")
    panel.set(xlabel="noise level: pure noise on the right", ylabel="loss at that level", ylim=(0, None))
    panel.legend(frameon=False, fontsize=10)
    return described(canvas, f"The loss against the noise level. {'; '.join(said)}.")


def drawn_levels(named: Mapping[str, np.ndarray]) -> Figure:
    """How often training draws each noise level, one histogram for each way to draw."""
    canvas, panels = drawings.panels(len(named), 2.6, sharey=True)
    said = []
    for panel, (name, levels), (color, *_) in zip(panels, named.items(), STYLES, strict=False):
        panel.hist(levels, bins=25, range=(0, 1), density=True, color=COLORS[color], alpha=0.85)
        panel.set(title=name, xlabel="noise level", xticks=[0, 0.5, 1])
        said.append(f"{name}: half of the samples lie above {np.median(levels):.2f}")
    panels[0].set_ylabel("how often")
    return described(canvas, f"Histograms of noise levels. {'; '.join(said)}.")


def ladder(runs: Mapping[str, Mapping], about: str) -> Figure:
    """Shares of prompts right, {name: {"right": share, "n": how many}}, as bars with their 95 % intervals."""
    canvas, (panel,) = drawings.panels(1, 0.55 * len(runs) + 1)
    said = []
    for row, (name, run) in enumerate(runs.items()):
        share, n = run["right"], run["n"]
        low, high = wilson(round(share * n), n)
        color = COLORS["blue" if row == 0 else "sky"]
        panel.barh(row, share, color=color, height=0.6)
        panel.errorbar([share], [row], xerr=[[share - low], [high - share]], color=COLORS["black"], capsize=4, lw=1.2)
        panel.annotate(f"{share:.1%}", (high, row), (8, 0), textcoords="offset points", va="center", fontsize=10)
        said.append(f"{name}: {share:.1%} of {n}")
    panel.set_yticks(range(len(runs)), labels=list(runs))
    panel.invert_yaxis()
    panel.set(xlim=(0, 1.08), xlabel="held-out prompts entirely right, with 95 % intervals")
    return described(canvas, f"{about} {'; '.join(said)}.")


def longer(runs: Mapping[str, Sequence[Sequence[float]]]) -> Figure:
    """Exams over clips seen, {name: rows (clips seen, share right, how many were asked)}, on a logarithmic axis."""
    canvas, (panel,) = drawings.panels(1, 3.8)
    said = []
    for (name, rows), (color, mark, dashes) in zip(runs.items(), STYLES, strict=False):
        rows = np.array(rows)
        bounds = np.array([wilson(round(share * n), int(n)) for _, share, n in rows])
        errors = np.abs(bounds.T - rows[:, 1])
        panel.errorbar(rows[:, 0], rows[:, 1], errors, color=COLORS[color], marker=mark, linestyle=dashes, capsize=3,
                       lw=1.8, label=name)  # fmt: skip
        said.append(f"{name}: {rows[-1, 1]:.0%} after {rows[-1, 0]:,.0f} clips")
    panel.set(xscale="log", xlabel="clips seen in training", ylabel="held-out prompts\nentirely right", ylim=(0, 1.03))
    panel.legend(frameon=False, fontsize=10, loc="upper left")
    return described(canvas, f"The exam against the clips seen in training. {'; '.join(said)}.")
