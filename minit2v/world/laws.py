"""The world's laws of motion, and which of them a track obeys.

Every legal motion, alone or in a pair, at every speed, is written down once as the signals that it would give.
The law nearest to the measured signals is the motion that is read.
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
PAIR_COST = 0.05  # two motions explain more by chance than one does
UNCLEAR = 3.0  # units, root mean square: above it no law describes what is seen
PACES = np.exp(np.linspace(np.log(0.1), np.log(4), 75))


@dataclass(frozen=True)
class Laws:
    """Every legal motion at three speeds: meanings (n,), signals (n, T, 6), scale (n, T)."""

    meanings: tuple[Meaning, ...]
    signals: np.ndarray
    scale: np.ndarray


@lru_cache(maxsize=32)
def _laws(frames: int, fps: int, motions: tuple[str, ...], speeds: tuple[str, ...], rich: bool, pillar: bool) -> Laws:
    world = replace(STANDARD, frames=frames, fps=fps)
    orders = [(m,) for m in motions] + (list(permutations(motions, 2)) if rich and frames > 2 else [])
    meanings = [Meaning("ball", texture="dotted", motions=("still",))]
    meanings += [Meaning("ball", (m,), speed="normal", pillar=True) for m in ("left", "right") if pillar]
    for order in orders:
        for speed in sorted(speeds, key=lambda s: s != "normal"):
            meaning = Meaning("ball", order, texture="dotted", speed=speed)
            if order != ("still",) and not scenes._unobservable(meaning, world):
                meanings.append(meaning)
    truths = [scenes._truth(meaning, world) for meaning in meanings]
    return Laws(tuple(meanings), np.stack([signals(t) for t in truths]), np.stack([t.scale for t in truths]))


def signals(truth: scenes.Truth) -> np.ndarray:
    """(T, 6), see `SIGNALS`, in units."""
    columns = [*truth.offset.T, np.log(truth.scale), truth.angle, truth.mouth, truth.tilt]
    return np.stack(columns, axis=1) / UNIT


@dataclass
class Law:
    """The motion that was read: none when no law fits; pace over the nominal pace of "normal" (nan when nothing
    moves); root mean square disagreement in units of `UNIT`; and how the width changes by that law, (T,)."""

    motions: tuple[str, ...]
    speed: str | None
    speed_ratio: float
    residual: float
    scale: np.ndarray


def read(track: Track, motions: tuple[str, ...], world: World, pillar: bool) -> Law:
    """The law nearest to a track among `motions`, alone and in pairs. Behind a pillar a glide has its own pace."""
    laws = _laws(world.frames, world.fps, motions, world.speeds, world.rich, pillar)
    columns = [*track.position.T, np.log(track.world_width), track.angle, track.mouth, track.tilt]
    seen = np.stack(columns, axis=1) / UNIT  # (T, 6)
    pairs = np.array([len(meaning.motions) - 1 for meaning in laws.meanings])
    cost = misfit(seen, laws.signals, track.visible) + PAIR_COST * pairs
    best = int(cost.argmin())
    meaning, residual = laws.meanings[best], float(np.sqrt(cost[best]))
    if residual > UNCLEAR:
        return Law((), None, float("nan"), residual, laws.scale[best])
    return Law(meaning.motions, meaning.speed, _pace(seen, meaning, track.visible, world), residual, laws.scale[best])


def misfit(seen: np.ndarray, laws: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Mean over visible frames of the squared distance between seen (T, 6) and laws (n, T, 6), each signal up to a
    constant: where a subject stands, how wide it is and which way it looks are no part of a motion."""
    gap = laws[:, visible] - seen[visible]
    gap -= gap.mean(axis=1, keepdims=True)
    return np.einsum("nts,nts->n", gap, gap) / visible.sum()


def _pace(seen: np.ndarray, meaning: Meaning, visible: np.ndarray, world: World) -> float:
    """The factor on the nominal rates that fits best, between 0.1 and 4; nan when nothing moves."""
    if meaning.motions == ("still",) or visible.sum() < 2:
        return float("nan")
    bank = _paced(world.frames, world.fps, meaning.motions, meaning.pillar)
    cost = misfit(seen, bank, visible)
    best = int(np.clip(cost.argmin(), 1, len(PACES) - 2))
    return float(PACES[best] * (PACES[1] / PACES[0]) ** vertex(cost[best - 1 : best + 2]))


@lru_cache(maxsize=512)
def _paced(frames: int, fps: int, motions: tuple[str, ...], pillar: bool) -> np.ndarray:
    """(paces, T, 6): one motion, or two, at many paces."""
    world, nominal = replace(STANDARD, frames=frames, fps=fps), scenes.PILLAR_GLIDE / scenes.GLIDE if pillar else 1.0
    share = world.seconds / len(motions)
    time = np.arange(frames) / fps
    bank = []
    for pace in PACES * nominal:
        zero = np.zeros(frames)
        truth = scenes.Truth(np.zeros((frames, 2)), np.ones(frames), *(zero.copy() for _ in range(4)), None, None)
        for part, motion in enumerate(motions):  # a faster clock is a faster motion
            scenes._act(truth, motion, np.clip(time - part * share, 0, share) * pace, Meaning("ball"))
        bank.append(signals(truth))
    return np.stack(bank)
