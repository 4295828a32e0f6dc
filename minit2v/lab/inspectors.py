"""Inspectors: one figure each, with bounds that were agreed on before anything went wrong. Outside them they ring."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from minit2v.clip import Clip
from minit2v.identity import identity_drift
from minit2v.lasting import frame_adherence
from minit2v.metrics import flicker, muddiness, roughness, speed_ratio
from minit2v.physics import finite_mean
from minit2v.world.captions import parse
from minit2v.world.render import render
from minit2v.world.scenes import scene


@dataclass(frozen=True)
class Inspector:
    """Looks at a clip through one figure, and rings outside its bounds. Clips are summed up by `over`."""

    says: str
    measure: Callable[[Clip], float]
    low: float = -np.inf
    high: float = np.inf
    over: Callable = finite_mean

    @property
    def bounds(self) -> str:
        """When it is content, in words."""
        low, high = np.isfinite([self.low, self.high])
        return " and ".join([f"at least {self.low:g}"] * bool(low) + [f"at most {self.high:g}"] * bool(high))

    def rings(self, value: float) -> bool:
        """Whether a value is out of bounds. One that cannot be measured (nan) rings no bell."""
        return bool(value < self.low or value > self.high)


def likeness(clip: Clip) -> float:
    """How like neighboring frames are, 1: the same. The kind of consistency that a clip gets for standing still."""
    return 1 - float(np.abs(np.diff(clip.frames.astype(np.float32), axis=0)).mean()) / 255


def burnt(clip: Clip) -> float:
    """Share of the color values that lie at an end of the scale. The world's own colors keep away from both."""
    return float(((clip.frames <= 2) | (clip.frames >= 253)).mean())


def contrast(clip: Clip) -> float:
    """Spread of the values within frames, over that of the world's own clip of the prompt; about 1 is right."""
    return float(clip.frames.std((1, 2)).mean() / _own_spread(clip.prompt, clip.seed or 0))


@lru_cache
def _own_spread(prompt: str, seed: int) -> float:
    return float(render(scene(parse(prompt), seed)).std((1, 2)).mean())


def seam(clip: Clip) -> float:
    """The jump across the two middle lines, over that across lines 8 and 16 px beside them, both one level more.

    A line's jump is the 30th percentile along it, so that an edge of the subject that lies there does not count.
    """
    frames, middle, jumps = clip.frames.astype(np.float32), clip.frames.shape[1] // 2 - 1, 0
    for axis in (1, 2):
        steps = np.moveaxis(np.abs(np.diff(frames, axis=axis)).mean(-1), axis, 0)  # (lines, t, along)
        jumps = jumps + np.quantile(steps, 0.3, axis=-1).mean(axis=1) / 2
    beside = jumps[[middle - 16, middle - 8, middle + 8, middle + 16]].mean()
    return float((jumps[middle] + 1) / (beside + 1))


INSPECTORS = {
    "as asked": Inspector(
        "share of the attributes that are as the prompt asks", lambda c: finite_mean(list(c.matches.values())), low=0.7
    ),
    "frame by frame": Inspector(
        "share of single frames that show the right thing", lambda c: frame_adherence(c.frames[::8], c.meaning), low=0.6
    ),
    "likeness": Inspector("likeness of neighboring frames", likeness, low=0.94),
    "flicker": Inspector(
        "change that motion does not explain, levels", lambda c: flicker(c.frames, c.reading.track), high=0.7
    ),
    "drift": Inspector(
        "identity drift, in tolerances",
        lambda c: identity_drift(c.frames, c.reading.track, c.meaning)["summary"], high=1.2,
    ),
    "speed": Inspector(
        "speed, share of what was asked",
        lambda c: speed_ratio(c.reading.track, c.meaning, c.world), low=0.6, high=1.5, over=np.median,
    ),
    "jerk": Inspector("jerk beyond what was asked, px", lambda c: roughness(c.reading.track, c.meaning), high=2.5),
    "mud": Inspector(
        "muddiness of the outline", lambda c: muddiness(c.frames, c.reading.track, c.meaning), high=0.4
    ),
    "burnt": Inspector("share of burnt color values", burnt, high=0.01),
    "contrast": Inspector("contrast, over the world's", contrast, 0.8, 1.35),
    "seam": Inspector("jump across the middle lines", seam, high=2.0),
}  # fmt: skip
