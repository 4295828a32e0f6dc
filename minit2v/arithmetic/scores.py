"""Attention scores: how many pairs of tokens look at each other (the chapter, section 4; `minit2v.attention`).

With T frames of HW places each, one head of one layer computes

    full        every token, every token                      (T · HW)²
    spatial     within a frame                                T · HW²
    temporal    a place over time                             HW · T²
    factorised  a spatial layer, then a temporal one          T · HW² + HW · T²  =  T · HW · (HW + T)
    windowed    full, but at most w frames away               HW² · (T · (2w + 1) − w · (w + 1))

Full over factorised is T · HW / (T + HW): 15.75 for 16 frames of 32 × 32 places, not a thousand. That takes one full
layer for a spatial *and* a temporal one. Layer for layer, where layers take turns, it is twice as much.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from minit2v.arithmetic.checks import whole
from minit2v.arithmetic.clip import TokenGrid
from minit2v.errors import UserError, nearest

# The layouts that the layers of each kind take in turn.
KINDS = {
    "full": ("full",),
    "spatial": ("spatial",),
    "temporal": ("temporal",),
    "factorised": ("spatial", "temporal"),
    "windowed": ("full",),
}


def frame_pairs(frames: int, window: int | None = None) -> int:
    """Ordered pairs of frames at most `window` apart: T · (2w + 1) − w · (w + 1), with w ≤ T − 1. None: all, T²."""
    w = frames - 1 if window is None else min(window, frames - 1)
    return frames * (2 * w + 1) - w * (w + 1)


def pairs(layout: str, grid: TokenGrid, window: int | None = None) -> int:
    """Scores of one head in one layer of that layout; see the module's table. A window reaches over time only."""
    if layout == "spatial":
        return grid.frames * grid.places**2
    near = frame_pairs(grid.frames, window)
    return near * (grid.places**2 if layout == "full" else grid.places)


def turns(kind: str, layers: int) -> dict[str, int]:
    """How many layers have each layout: factorised ones take turns, the spatial first.

    Raises `UserError` for a kind that is not in `KINDS`.
    """
    if kind not in KINDS:
        hint = nearest(kind, KINDS)
        raise UserError(f"unknown attention {kind!r}; one of {', '.join(KINDS)}{hint and '; ' + hint}")
    choice = KINDS[kind]
    return {layout: (layers - i + len(choice) - 1) // len(choice) for i, layout in enumerate(choice)}


@dataclass(frozen=True)
class Scores:
    """How many scores a model computes. `kind` is a key of `KINDS`."""

    kind: str
    grid: TokenGrid
    heads: int
    layers: int
    steps: int = 1
    passes: int = 1  # forward passes per step: 2 with classifier-free guidance
    window: int | None = None  # frames; None: no window

    def __post_init__(self):
        turns(self.kind, 1)
        for name in ("heads", "layers", "steps", "passes"):
            object.__setattr__(self, name, whole(name, getattr(self, name)))
        if self.window is not None:
            object.__setattr__(self, "window", whole("window", self.window, least=0))
        elif self.kind == "windowed":
            raise UserError("windowed attention needs a window: give how many frames away a token may look")

    @property
    def head(self) -> int:
        """One head in one layer; factorised: in one layer of either layout, both together."""
        return sum(pairs(layout, self.grid, self.window) for layout in KINDS[self.kind])

    @property
    def layer(self) -> int:
        """All heads of one layer; factorised: of a spatial and a temporal layer together."""
        return self.heads * self.head

    @property
    def step(self) -> int:
        """All layers in one denoising step, guidance's second pass included."""
        counts = turns(self.kind, self.layers).items()
        return self.passes * self.heads * sum(n * pairs(layout, self.grid, self.window) for layout, n in counts)

    @property
    def clip(self) -> int:
        """All steps."""
        return self.steps * self.step


def saving(grid: TokenGrid) -> Fraction:
    """What factorised attention saves, exactly: T · HW / (T + HW), one full layer against a spatial and a temporal."""
    return Fraction(pairs("full", grid), pairs("spatial", grid) + pairs("temporal", grid))
