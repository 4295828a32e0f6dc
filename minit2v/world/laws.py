"""The world's laws of motion, and which of them a track obeys.

Every motion, alone or followed by another, is written down at many paces as the signals that it would give. The
law nearest to the measured signals is the motion that is read, and its pace is the speed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import permutations

import numpy as np

from minit2v.world import scenes
from minit2v.world.captions import Meaning
from minit2v.world.ground import vertex
from minit2v.world.scenes import STANDARD, World
from minit2v.world.tracking import Track

# One unit of disagreement for each signal: position in px, log width, angle in rad, mouth, tilt in widths.
SIGNALS = ("x", "y", "log width", "angle", "mouth", "tilt")
UNIT = np.array([1.0, 1.0, 0.05, 0.12, 0.25, 0.05])
PAIR_COST, PAIR_FACTOR = 0.1, 1.2  # two motions explain more by chance than one does, of noise above all
MOST_LEFT = 0.5  # a motion leaves at most this share of what standing still would leave unexplained
UNCLEAR = 3.0  # units, root mean square: above it no law describes what is seen
PACES = 2.0 ** np.arange(-1.5, 1.51, 0.125)  # half a step of speed beyond "slowly" and "quickly"
FINER = 2.0 ** np.arange(-0.5, 0.51, 0.02)


@dataclass
class Law:
    """The motion that was read, if any law fits; its speed, if the pace is near a named one; pace over the nominal
    pace of "normal" (nan when nothing moves); root mean square disagreement in units of `UNIT`; and how the width
    changes by that law, (T,)."""

    motions: tuple[str, ...]
    speed: str | None
    speed_ratio: float
    residual: float
    scale: np.ndarray


def read(track: Track, motions: tuple[str, ...], world: World, pillar: bool) -> Law:
    """The law nearest to a track among `motions`, alone and in pairs. Past a pillar a glide has its own pace."""
    book = _book(world.frames, world.fps, motions, world.rich, pillar)
    columns = [*track.position.T, np.log(track.world_width), track.angle, track.mouth, track.tilt]
    seen = np.stack(columns, axis=1) / UNIT  # (T, 6)
    cost = misfit(seen, book.signals, track.visible)
    score = np.where(book.paired, PAIR_FACTOR * cost + PAIR_COST, cost)
    score[1:][cost[1:] > MOST_LEFT * cost[0]] = np.inf  # entry 0 stands still
    best = int(score.argmin())
    order, pace, hidden = book.entries[best]
    residual, scale = float(np.sqrt(cost[best])), np.exp(book.signals[best, :, 2] * UNIT[2])
    if residual > UNCLEAR:
        return Law((), None, float("nan"), residual, scale)
    if order == ("still",) or track.visible.sum() < 2:
        return Law(order, "normal", float("nan"), residual, scale)
    finer = _paces(world.frames, world.fps, order, tuple(pace * FINER), hidden)
    cost = misfit(seen, finer, track.visible)
    low = int(np.clip(cost.argmin(), 1, len(FINER) - 2))
    ratio = pace * FINER[low] * (FINER[1] / FINER[0]) ** vertex(cost[low - 1 : low + 2])
    return Law(order, "normal" if hidden else _speed(pace, world), float(ratio), residual, scale)


def misfit(seen: np.ndarray, laws: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Mean over visible frames of the squared distance between seen (T, 6) and laws (n, T, 6), each signal up to a
    constant: where a subject stands, how wide it is and which way it looks are no part of a motion. (n,)"""
    laws, seen = laws[:, visible], seen[visible]
    seen = seen - seen.mean(axis=0)
    flat = laws.reshape(len(laws), -1)
    squares = np.einsum("np,np->n", flat, flat) - len(seen) * (laws.mean(axis=1) ** 2).sum(axis=1)
    return np.maximum(squares - 2 * flat @ seen.ravel() + (seen**2).sum(), 0) / len(seen)


def _speed(pace: float, world: World) -> str | None:
    """The named speed whose pace is less than half a step (a factor of 1.41) away."""
    steps = {speed: abs(np.log2(pace / scenes.SPEED_FACTOR[speed])) for speed in world.speeds}
    speed = min(steps, key=steps.get)
    return speed if steps[speed] <= 0.51 else None


# --- The book of laws -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Book:
    """n laws: entries (motions, pace, whether past a pillar), signals (n, T, 6) in units, paired (n,) bool."""

    entries: tuple[tuple[tuple[str, ...], float, bool], ...]
    signals: np.ndarray
    paired: np.ndarray


@lru_cache(maxsize=16)
def _book(frames: int, fps: int, motions: tuple[str, ...], rich: bool, pillar: bool) -> _Book:
    orders = [(motion,) for motion in motions if motion != "still"]
    orders += permutations(motions, 2) if rich else []
    entries, parts = [(("still",), 1.0, False)], [_paces(frames, fps, ("still",), (1.0,), False)]
    for order in orders:
        for hidden in (False, True) if pillar and order in (("left",), ("right",)) else (False,):
            grid = _grid(order, (frames - 1) / fps)
            paces = tuple(pace for pace in grid if all(_seen_enough(m, pace, order, frames, fps) for m in order))
            entries += [(order, pace, hidden) for pace in paces]
            parts.append(_paces(frames, fps, order, paces, hidden))
    return _Book(tuple(entries), np.concatenate(parts), np.array([len(order) == 2 for order, *_ in entries]))


def _grid(order: tuple[str, ...], seconds: float) -> np.ndarray:
    """PACES; for cycles that go on for longer than the standard clip, paces between them too, for an error of the pace
    adds up to an error of the phase."""
    cyclic = scenes.CYCLE_SECONDS.keys() & set(order)
    halvings = np.clip(np.ceil(np.log2(seconds / len(order) / STANDARD.seconds)), 0, 2) if cyclic and seconds else 0
    return 2.0 ** np.arange(-1.5, 1.51, 0.125 / 2**halvings)


def _seen_enough(motion: str, pace: float, order: tuple[str, ...], frames: int, fps: int) -> bool:
    """Whether a cyclic motion has the time to show its cycle: see `scenes.LEAST_CYCLES`."""
    seconds = (frames - 1) / fps / len(order) * pace
    return seconds >= 0.9 * scenes.LEAST_CYCLES.get(motion, 0) * scenes.CYCLE_SECONDS.get(motion, 0)


@lru_cache(maxsize=1024)
def _paces(frames: int, fps: int, order: tuple[str, ...], paces: tuple[float, ...], hidden: bool) -> np.ndarray:
    """(paces, T, 6): one motion, or two, at many paces, the nominal one being 1."""
    share = replace(STANDARD, frames=frames, fps=fps).seconds / len(order)
    meaning, time = Meaning("ball", order, pillar=hidden), np.arange(frames) / fps
    signals = np.zeros((len(paces), frames, len(SIGNALS)))
    for row, pace in zip(signals, paces, strict=True):
        truth = scenes.Truth(row[:, :2], np.ones(frames), *np.zeros((4, frames)), None, None)
        for part, motion in enumerate(order):  # a faster clock is a faster motion
            scenes._act(truth, motion, np.clip(time - part * share, 0, share) * pace, meaning)
        row[:, 2:] = np.stack([np.log(truth.scale), truth.angle, truth.mouth, truth.tilt], axis=1)
    return signals / UNIT
