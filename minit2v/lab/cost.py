"""The cost explorer: sliders over a clip's sizes, and bars that follow. Every figure is one of `minit2v.cost`."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from html import escape

from minit2v.cost import Setup, lines
from minit2v.cost.words import brief, human
from minit2v.errors import UserError
from minit2v.lab.live import Sliders
from minit2v.lab.page import COLORS, Figure

CHOICES = {  # what each slider offers; any combination of them is legal
    "seconds": (1, 2, 3, 4, 5, 6, 8, 10),
    "fps": (8, 12, 16, 24, 30),
    "size": (128, 256, 384, 512, 640, 768, 1024),
    "VAE, time": (1, 2, 4, 8),
    "VAE, space": (4, 8, 16, 32),
    "patch": (1, 2, 4),
    "heads": (1, 2, 4, 8, 16),
    "attention": ("full", "factorised", "spatial", "temporal"),
}
CHAPTER = {
    "seconds": 4, "fps": 16, "size": 512, "VAE, time": 1, "VAE, space": 8, "patch": 1, "heads": 8, "attention": "full",
}  # fmt: skip
BARS = {  # label: path, color
    "tokens": ("tokens.total", "blue"),
    "scores of a layer": ("scores.{attention}.layer", "red"),
    "the same, full": ("scores.full.layer", "orange"),
    "FLOPs of a pass": ("flops.forward", "green"),
    "bytes at the peak": ("bytes.denoise", "pink"),
    "time of the clip": ("time.latency", "sky"),
}


def setup_of(choices: dict, base: Setup) -> Setup:
    """The setup that the sliders say. A causal video VAE takes n · time + 1 frames: there, one is added.

    Raises `UserError` for a combination that no slider offers and that does not divide.
    """
    time, space, patch = (choices[name] for name in ("VAE, time", "VAE, space", "patch"))
    frames = choices["seconds"] * choices["fps"]
    if time > 1:
        frames = frames // time * time + 1
    size = choices["size"]
    return replace(
        base, seconds=None, frames=frames, fps=choices["fps"], height=size, width=size, vae=(time, space, space),
        patch=(1, patch, patch), heads=choices["heads"], attention=choices["attention"], window=None,
    )  # fmt: skip


def figures(setup: Setup) -> dict:
    """label: line, for each bar."""
    found = {line.path: line for line in lines(setup)}
    return {label: found[path.format(attention=setup.attention)] for label, (path, _) in BARS.items()}


def explorer(base: Setup | None = None, start: dict | None = None) -> Explorer:
    """Sliders and live bars, and a still picture for pages that cannot run them.

    base: what has no slider (width, layers, steps, guidance, device; default: the chapter's example with two layers, of
    which factorised attention makes one spatial and one temporal).
    start: where the sliders stand at first, keys of `CHOICES`; the bars are compared with that. Raises `UserError` for
    a name or a value that no slider has.
    """
    for name, value in (start or {}).items():
        if name not in CHOICES or value not in CHOICES[name]:
            legal = CHOICES.get(name, tuple(CHOICES))
            raise UserError(f"no slider stands at {name} = {value}; legal: {', '.join(map(str, legal))}")
    return Explorer(base or Setup(layers=2), {**CHAPTER, **(start or {})})


class Explorer(Sliders):
    """What `explorer` returns: sliders over the bars."""

    choices = CHOICES

    def __init__(self, base: Setup, start: dict):
        self.base, self.start = base, start
        self.first = figures(setup_of(start, base))

    def page(self, choices: dict) -> str:
        """The bars for one position of the sliders, as HTML."""
        setup = setup_of(choices, self.base)
        grid, latents = setup.grid, setup.latents
        said = (
            f"{setup.frames} frames of {setup.height} × {setup.width} → latents {latents.frames} × {latents.height} × "
            f"{latents.width} × {latents.channels} → tokens {grid.frames} × {grid.height} × {grid.width}; "
            f"{setup.attention} attention, {setup.heads} heads, {setup.steps} steps on one {setup.device.name}"
        )
        scale = "Equal steps to the right are equal factors; the marks show where the bars stood at first."
        return f"<p>{escape(said)}</p>{bars(figures(setup), self.first)}<p>{scale}</p>"

    @property
    def still(self) -> Figure:
        """Scores of a layer and time of the clip against its length, one curve per kind of attention."""
        return _curves(self.base, self.start)

    def __repr__(self) -> str:
        return "\n".join(f"{label}: {told(line)}" for label, line in self.first.items())


# ---- bars --------------------------------------------------------------------------------------------------------

LABELS, WIDE, ROW, DECADES = 150, 420, 30, 20  # px; a bar's whole width is so many powers of ten


def told(line) -> str:
    """A figure, exact where it is a count, and in words."""
    return human(line.value, line.unit) if line.unit else brief(line.value)


def length(value) -> float:
    """A bar's length in px: equal steps are equal factors, from 1 (of a time: from a nanosecond) to 10²⁰."""
    return max(0.0, min(1.0, math.log10(max(value, Fraction(1, 10**12))) / DECADES)) * WIDE


def bars(now: dict, first: dict) -> str:
    """Bars on a logarithmic scale as SVG; a black mark shows where each one stood at first, and a factor says it."""
    rows, words = [], []
    for i, (label, line) in enumerate(now.items()):
        y, scale = i * ROW, 10**9 if line.unit == "s" else 1
        factor = Fraction(line.value) / Fraction(first[label].value)
        change = "" if factor == 1 else f" (× {brief(factor)})" if factor > 1 else f" (÷ {brief(1 / factor)})"
        mark = LABELS + length(first[label].value * scale)
        text = f"{told(line)}{change}"
        words.append(f"{label}: {text}")
        rows.append(
            f"<text x='0' y='{y + 19}' font-size='13'>{escape(label)}</text>"
            f"<rect x='{LABELS}' y='{y + 5}' width='{length(line.value * scale):.1f}' height='20' "
            f"fill='{COLORS[BARS[label][1]]}'/>"
            f"<line x1='{mark:.1f}' x2='{mark:.1f}' y1='{y + 2}' y2='{y + 28}' stroke='#000000' stroke-width='2'/>"
            f"<text x='{LABELS + WIDE + 10}' y='{y + 19}' font-size='13'>{escape(text)}</text>"
        )
    alt = escape("; ".join(words), quote=True)
    return (
        f"<svg role='img' aria-label='{alt}' viewBox='0 0 860 {len(now) * ROW}' width='100%' style='max-width:860px' "
        f"font-family='sans-serif'><rect width='100%' height='100%' fill='#ffffff'/>{''.join(rows)}</svg>"
    )


# ---- the still picture -------------------------------------------------------------------------------------------

MARKS = {"full": ("red", "o", "-"), "spatial": ("orange", "s", "--"), "factorised": ("blue", "^", ":"),
         "temporal": ("green", "v", "-.")}  # fmt: skip


def _curves(base: Setup, start: dict) -> Figure:
    from matplotlib.figure import Figure as Canvas

    from minit2v.lab.drawings import described

    seconds = CHOICES["seconds"]
    canvas = Canvas(figsize=(9.8, 3.8), layout="constrained")
    panels = canvas.subplots(1, 2)
    said = []
    for kind, (color, marker, dashes) in MARKS.items():
        points = [figures(setup_of({**start, "attention": kind, "seconds": s}, base)) for s in seconds]
        drawn = [("scores of a layer", "scores of a layer"), ("time of the clip", "seconds to make the clip")]
        for panel, (label, title) in zip(panels, drawn, strict=True):
            values = [float(point[label].value) for point in points]
            panel.plot(seconds, values, color=COLORS[color], marker=marker, linestyle=dashes, lw=2, label=kind)
            panel.set(yscale="log", xlabel="seconds of clip", title=title)
            panel.spines[["top", "right"]].set_visible(False)
        ends = [told(points[i]["scores of a layer"]) for i in (0, -1)]
        said.append(f"{kind} from {ends[0]} to {ends[1]}")
    panels[1].legend(frameon=False)
    alt = (
        f"Two panels over clips of {seconds[0]} to {seconds[-1]} seconds, both on logarithmic scales. Scores of one "
        f"layer: {'; '.join(said)}. On the right, how long the clip takes on one {base.device.name}, in the same order."
    )
    return described(canvas, alt)
