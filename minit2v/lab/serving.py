"""Shipping it: what a clip costs when people wait for it, in a queue and on machines that somebody pays for.

Prices and seconds are those of `minit2v.arithmetic.device`, exact fractions, for a published model at its own width.
What is not in them: text encoder and decoder, machines that stand idle, and clips that are made a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache
from html import escape

import numpy as np

from minit2v.arithmetic import ClipShape, Cost
from minit2v.arithmetic.device import DEVICES, Served, Serving, roofline, serve
from minit2v.cost.words import human
from minit2v.lab.live import Sliders
from minit2v.lab.page import COLORS, Figure, Html, table
from minit2v.open_models import find, forward

# ---- prices ----------------------------------------------------------------------------------------------------------

SIZES = {240: 416, 480: 832, 720: 1280}  # lines: columns; all divide by the VAE and the patch
CHOICES = {
    "lines": tuple(SIZES), "steps": (1, 2, 4, 8, 15, 30, 50), "passes": (1, 2),
    "reused": ("0", "1/4", "1/3", "1/2"), "batch": (1, 2, 4, 8), "devices": (1, 2, 4, 8), "device": tuple(DEVICES),
}  # fmt: skip
START = {"lines": 480, "steps": 50, "passes": 2, "reused": "0", "batch": 1, "devices": 1, "device": "h100"}


@cache
def a_pass(model: str, lines: int) -> Cost:
    """One pass of a published model's denoiser over its usual number of frames, in so many lines."""
    found = find(model)
    return forward(replace(found, clip=ClipShape(found.clip.frames, lines, SIZES[lines]))).total


def served(model: str, choices: dict) -> Served:
    """Latency, throughput and price for one position of the sliders. `Serving` says what each of them means."""
    how = Serving(**{name: choices[name] for name in ("steps", "passes", "batch", "devices")},
                  reused=Fraction(choices["reused"]))  # fmt: skip
    return serve(a_pass(model, choices["lines"]), Cost(), DEVICES[choices["device"]], how)


def ladder(model: str, levers: Sequence[tuple[str, dict]], start: dict = START) -> list[tuple[str, Served]]:
    """One lever after the other, each on top of those before: what it is called, and what a clip costs then."""
    now, found = dict(start), [("as published", served(model, start))]
    for name, change in levers:
        now |= change
        found.append((name, served(model, now)))
    return found


class Explorer(Sliders):
    """A slider for each lever over latency, throughput and price."""

    choices = CHOICES

    def __init__(self, model: str = "wan2.1-t2v-14b", start: dict | None = None):
        self.model, self.start = model, {**START, **(start or {})}

    def page(self, choices: dict) -> str:
        """What comes of one position of the sliders, beside the start, as HTML."""
        return self.told(choices).html

    def told(self, choices: dict) -> Html:
        """The same as a table."""
        first, now = served(self.model, self.start), served(self.model, choices)
        bound = roofline(a_pass(self.model, choices["lines"]), DEVICES[choices["device"]]).bound
        rows = [
            ["until the clips are done", human(now.latency, "s"), factor(now.latency, first.latency)],
            ["clips an hour, all devices", f"{float(now.clips_per_hour):,.3g}",
             factor(now.clips_per_hour, first.clips_per_hour)],
            ["money for a clip", human(now.price, "$"), factor(now.price, first.price)],
        ]  # fmt: skip
        title = find(self.model).title
        return table(["", "now", "against the start"], rows, f"{title}, {choices['lines']} lines, {bound}-bound")

    @property
    def still(self) -> Figure:
        """Price against the steps: with and without guidance's second pass, in each size."""
        return prices(self.model, self.start)

    def __repr__(self) -> str:
        return repr(self.told(self.start))


def factor(now, first) -> str:
    """How much of the start's figure that is."""
    ratio = Fraction(now) / Fraction(first)
    return "as at first" if ratio == 1 else f"× {float(ratio):.3g}" if ratio > 1 else f"÷ {float(1 / ratio):.3g}"


def prices(model: str, start: dict) -> Figure:
    """Money for a clip against the number of steps, a line per size, dashed with guidance's second pass."""
    from matplotlib.figure import Figure as Canvas

    from minit2v.lab.drawings import described

    canvas, said = Canvas(figsize=(9.8, 3.8), layout="constrained"), []
    panel, steps = canvas.subplots(), CHOICES["steps"]
    for lines, color, mark in zip(SIZES, ("green", "blue", "red"), ("^", "o", "s"), strict=True):
        for passes, dashes in ((1, "-"), (2, "--")):
            every = [served(model, {**start, "lines": lines, "steps": n, "passes": passes}).price for n in steps]
            name = f"{lines} lines, {passes} pass{'es' if passes > 1 else ''} a step"
            panel.plot(steps, [float(p) for p in every], color=COLORS[color], marker=mark, linestyle=dashes, label=name)
            said.append(f"{name}: {human(every[0], '$')} at {steps[0]} step, {human(every[-1], '$')} at {steps[-1]}")
    panel.set(xscale="log", yscale="log", xlabel="steps", ylabel="$ for a clip")
    panel.set_xticks(steps, labels=[str(n) for n in steps])
    panel.minorticks_off()
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    title = find(model).title
    return described(canvas, f"What a clip of {escape(title)} costs, on logarithmic scales. {'; '.join(said)}.")


# ---- a queue ---------------------------------------------------------------------------------------------------------


def arrivals(count: int, load: float, seed: int = 0) -> np.ndarray:
    """When people ask, by chance (Poisson): (count,), in units of the time that one clip takes. load: how many ask in
    that time; at 1 the machine can just keep up."""
    return np.random.default_rng(seed).exponential(1 / load, count).cumsum()


def queue(asked: np.ndarray, seconds: Callable[[int], float], most: int = 1) -> np.ndarray:
    """How long each person waits until the clip is there, (n,). One machine takes whoever stands in line, at most
    `most` at once, and a batch of n takes seconds(n)."""
    free, waited, i = 0.0, np.zeros(len(asked)), 0
    while i < len(asked):
        begin = max(free, asked[i])
        end = min(i + most, int(np.searchsorted(asked, begin, side="right")))
        free = begin + seconds(end - i)
        waited[i:end] = free - asked[i:end]
        i = end
    return waited


def by_formula(load: float) -> float:
    """The mean time until the clip is there, one at a time, in clips: 1 + load / (2 (1 - load)), the queue M/D/1
    (Pollaczek and Khinchine, 1930 and 1932)."""
    return 1 + load / (2 * (1 - load))


def fixed(share: float) -> Callable[[int], float]:
    """seconds(n) of a batch, 1 for one clip: `share` of it is the same for any n (weights are read once), the rest
    grows with n. 0: compute-bound; 1: memory-bound."""
    return lambda n: share + (1 - share) * n
