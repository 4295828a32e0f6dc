"""How the field measures, in small: stand-ins for FVD, CLIP score and VBench, and clips that fool them.

The published measures need large learned networks, which this course does not have at hand. What stands here is
simpler, and is named as what it is. Each stand-in keeps the *form* of its model: what is averaged over what, what is
compared with what. So it shares the blindness that follows from the form, which is what the lesson is about, and says
nothing about how fine the published networks see.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from minit2v.lab.page import COLORS, Figure
from minit2v.metrics import measure, summarize
from minit2v.world.captions import Meaning
from minit2v.world.oracle import judge, matches
from minit2v.world.render import render
from minit2v.world.scenes import STANDARD, sample_meaning, scene

TURNED = ("left", "right", "up", "down", "grows", "shrinks")  # motions that are another motion when played backwards
SEEN_IN_A_FRAME = ("subject", "color", "texture", "background")

# ---- FVD: a distance between two heaps of clips --------------------------------------------------------------------


def describe(frames: np.ndarray, cells: int = 2) -> np.ndarray:
    """A clip, uint8 (t, h, w, 3), in a few numbers: the stand-in for the features of a video classifier.

    Of each of cells × cells parts of the picture: the mean color, its spread, and how much it changes between
    neighboring frames, each averaged over the clip: 9 · cells² numbers, in levels of 255.
    """
    t, h, w, _ = frames.shape
    parts = frames.astype(np.float64).reshape(t, cells, h // cells, cells, w // cells, 3)
    change = np.abs(np.diff(parts, axis=0)).mean(axis=(0, 2, 4))  # (cells, cells, 3)
    mean, spread = parts.mean(axis=(2, 4)).mean(axis=0), parts.std(axis=(2, 4)).mean(axis=0)
    return np.concatenate([each.ravel() for each in (mean, spread, change)])


def frechet(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The Fréchet distance of two heaps of vectors (n, d) and (m, d), each taken as a normal distribution.

    |μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁ Σ₂)^½), 0 is best. FVD (Unterthiner et al. 2018) is this on the features of a
    network that recognises actions (I3D). Blind to everything that the features do not hold and to prompts, and biased:
    the fewer clips, the larger.
    """
    first, second = (np.cov(each, rowvar=False) for each in (ours, theirs))
    roots = np.sqrt(np.linalg.eigvals(first @ second).real.clip(0)).sum()  # the trace of the square root
    apart = np.square(ours.mean(axis=0) - theirs.mean(axis=0)).sum()
    return float(max(0.0, apart + np.trace(first) + np.trace(second) - 2 * roots))


def fvd_like(clips: Sequence[np.ndarray], real: Sequence[np.ndarray]) -> float:
    """The distance of a heap of clips from a heap of real ones: `frechet` on `describe`."""
    return frechet(*(np.stack([describe(frames) for frames in heap]) for heap in (clips, real)))


# ---- CLIP score: frame by frame ------------------------------------------------------------------------------------


def clip_like(frames: np.ndarray, meaning: Meaning, every: int = 4) -> float:
    """How well each frame by itself fits the prompt, averaged over the frames: 1 is best.

    The stand-in for the likeness of a picture and a text (CLIP, Radford et al. 2021; averaged over frames by Wu et al.
    2021, GODIVA) is the share of `SEEN_IN_A_FRAME` that the oracle reads as asked in that frame alone. Blind by form to
    the order of the frames and to whether anything moves.
    """
    shares = []
    for frame in frames[::every]:
        right = matches(judge(frame[None]), meaning)
        shares.append(np.mean([right[name] for name in SEEN_IN_A_FRAME if name in right]))
    return float(np.mean(shares))


# ---- VBench: one figure per question -------------------------------------------------------------------------------

WEIGHTS = {  # of the dimensions over time in VBench's quality score (Huang et al. 2024; its scripts/constant.py)
    "subject consistency": 1.0, "background consistency": 1.0, "temporal flickering": 1.0, "motion smoothness": 1.0,
    "dynamic degree": 0.5,
}  # fmt: skip


def vbench_like(frames: np.ndarray) -> dict[str, float]:
    """The five dimensions over time, each in [0, 1], 1 is best, and their weighted mean as "total".

    temporal flickering is VBench's own formula, 1 - mean |change| / 255. The others are stand-ins. consistency: the
    cosine between histograms of colors, vivid pixels for the subject and dull ones for the background, of each frame
    with the first and the previous one (VBench: of DINO's and CLIP's features). smoothness: every second frame foretold
    as the mean of its neighbors (VBench: by a network that interpolates). dynamic degree: 1 if in a quarter of the
    pairs of neighbors the twentieth of the pixels that change most changes by 20 levels or more (VBench: optical flow).
    """
    video = frames.astype(np.float64)
    change = np.abs(np.diff(video, axis=0))  # (t - 1, h, w, 3)
    between = np.abs(video[1:-1:2] - (video[:-2:2] + video[2::2]) / 2)
    busy = np.sort(change.mean(axis=-1).reshape(len(change), -1), axis=1)[:, -max(1, change[0, ..., 0].size // 20) :]
    vivid = np.ptp(video, axis=-1) > 60
    found = {
        "subject consistency": _alike(_histograms(video, vivid)),
        "background consistency": _alike(_histograms(video, ~vivid)),
        "temporal flickering": 1 - change.mean() / 255,
        "motion smoothness": 1 - between.mean() / 255,
        "dynamic degree": float((busy.mean(axis=1) >= 20).mean() >= 0.25),
    }
    total = sum(WEIGHTS[name] * value for name, value in found.items()) / sum(WEIGHTS.values())
    return {**{name: float(value) for name, value in found.items()}, "total": float(total)}


def _histograms(video: np.ndarray, where: np.ndarray, bins: int = 6) -> np.ndarray:
    """How often each color occurs among some pixels of each frame: (t, bins³)."""
    index = (video * bins / 256).astype(int) @ np.array([bins * bins, bins, 1])  # (t, h, w)
    rows = [np.bincount(frame[mask], minlength=bins**3) for frame, mask in zip(index, where, strict=True)]
    return np.stack(rows).astype(float)


def _alike(rows: np.ndarray) -> float:
    """Mean cosine of each row with the first one and the one before it."""
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    return float(((rows[1:] @ rows[0] + (rows[1:] * rows[:-1]).sum(axis=1)) / 2).mean())


# ---- clips that fool -----------------------------------------------------------------------------------------------


def draw(n: int, seed: int = 0) -> tuple[list[Meaning], list[np.ndarray], list[np.ndarray]]:
    """n meanings whose motion is another one when played backwards, a real clip of each, and another real clip."""
    rng, meanings = random.Random(seed), []
    while len(meanings) < n:
        meaning = sample_meaning(rng, STANDARD, "all")
        plain = meaning.camera == "hold" and not meaning.pillar and None not in (meaning.color, meaning.background)
        if plain and len(meaning.motions) == 1 and meaning.motions[0] in TURNED and meaning.speed != "slow":
            meanings.append(meaning)
    heaps = ([render(scene(meaning, at + i)) for i, meaning in enumerate(meanings)] for at in (seed, seed + n))
    return meanings, *heaps


def spoiled(clips: Sequence[np.ndarray], seed: int = 0) -> dict[str, list[np.ndarray]]:
    """What is held against the measures: name -> the same clips, each with one thing done to it.

    "real" is the control; "tinted" is the other control, as right as a real clip and 6 levels brighter.
    """
    rng = np.random.default_rng(seed)
    flash = rng.choice([-16, 16], size=len(clips[0]))[:, None, None, None]
    return {
        "real": list(clips),
        "tinted": [_shifted(frames, 6) for frames in clips],
        "frozen": [np.repeat(frames[:1], len(frames), axis=0) for frames in clips],
        "lazy": [frames[np.arange(len(frames)) // 4] for frames in clips],
        "backwards": [frames[::-1] for frames in clips],
        "shuffled": [frames[rng.permutation(len(frames))] for frames in clips],
        "prompts swapped": [*clips[1:], clips[0]],
        "flickering": [_shifted(frames, flash) for frames in clips],
    }


def _shifted(frames: np.ndarray, by) -> np.ndarray:
    return (frames.astype(int) + by).clip(0, 255).astype(np.uint8)


GOOD = {  # column: is more better? speed: 1 is best
    "FVD-like": False, "CLIP-like": True, "VBench-like": True,
    "adherence": True, "flicker": False, "drift": False, "speed": None, "roughness": False,
}  # fmt: skip
FIELD, EXACT = tuple(GOOD)[:3], tuple(GOOD)[3:]


def scorecard(
    heaps: dict[str, list[np.ndarray]], meanings: Sequence[Meaning], real: Sequence[np.ndarray], judged: int = 10
) -> dict[str, dict[str, float]]:
    """All measures of all heaps: heap -> measure (a key of `GOOD`) -> figure.

    real: other real clips, for FVD-like. What looks at one clip at a time is the mean over the first `judged` of them.
    """
    table = {}
    for name, clips in heaps.items():
        few = list(zip(clips[:judged], meanings, strict=False))
        mean = summarize([measure(*each) for each in few])
        table[name] = {
            "FVD-like": fvd_like(clips, real),
            "CLIP-like": float(np.mean([clip_like(*each) for each in few])),
            "VBench-like": float(np.mean([vbench_like(frames)["total"] for frames, _ in few])),
            "adherence": mean["adherence"],
            "flicker": mean["flicker"],
            "drift": mean["identity_drift"],
            "speed": mean["motion"],
            "roughness": mean["motion.roughness"],
        }
    return table


def fooled(measure_: str, value: float, real: float, slack: float = 0.02) -> bool:
    """Whether a measure rates a clip at least as well as the real one, give or take a fiftieth of the real figure
    (or of 1, or of a level, where the real figure is small)."""
    if GOOD[measure_] is None:
        value, real = -abs(value - 1), -abs(real - 1)
    elif not GOOD[measure_]:
        value, real = -value, -real
    return value >= real - slack * max(1.0, abs(real))


def told(value: float) -> str:
    """A figure in three digits or so, and never -0.00."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{round(value, 2) + 0.0:.2f}"


def drawn(table: dict[str, dict[str, float]]) -> Figure:
    """The scorecard: a row per heap, a column per measure; hatched where a measure sees nothing wrong."""
    from matplotlib.figure import Figure as Canvas
    from matplotlib.patches import Rectangle

    from minit2v.lab.drawings import INK, described

    canvas = Canvas(figsize=(9.8, 0.44 * len(table) + 1.5))
    axes = canvas.add_axes((0, 0, 1, 1))
    left, wide = 1.9, 1.02
    axes.set(xlim=(0, left + wide * len(GOOD) + 0.05), ylim=(len(table) + 0.75, -1.55))
    axes.axis("off")
    said = []
    for j, name in enumerate(GOOD):
        axes.text(left + (j + 0.5) * wide, -0.28, name, ha="center", fontsize=11)
    for first, count, title in ((0, len(FIELD), "as the field measures"), (len(FIELD), len(EXACT), "exactly")):
        x = [left + first * wide + 0.06, left + (first + count) * wide - 0.06]
        axes.plot(x, [-0.72, -0.72], color=INK, lw=1)
        axes.text(sum(x) / 2, -1.0, title, ha="center", fontsize=11, weight="bold")
    for i, (heap, figures) in enumerate(table.items()):
        axes.text(left - 0.12, i + 0.5, heap, ha="right", va="center", fontsize=11)
        blind = []
        for j, (name, value) in enumerate(figures.items()):
            blind_here = heap not in ("real", "tinted") and fooled(name, value, table["real"][name])
            blind += [name] if blind_here else []
            if blind_here:
                corner = left + j * wide + 0.03, i + 0.05
                axes.add_patch(Rectangle(corner, wide - 0.06, 0.9, facecolor="#f7d9c4", lw=0))
                edge = dict(facecolor=COLORS["red"], hatch="////", edgecolor="white", lw=0)
                axes.add_patch(Rectangle(corner, 0.12, 0.9, **edge))
            axes.text(left + (j + 0.54) * wide, i + 0.5, told(value), ha="center", va="center", fontsize=11)
        numbers = ", ".join(f"{name} {told(value)}" for name, value in figures.items())
        said.append(f"{heap}: {numbers}" + (f" (fooled: {', '.join(blind)})" if blind else ""))
    note = "shaded, with a hatched edge: the measure rates the clips as well as real ones, and they are not"
    axes.text(left, len(table) + 0.45, note, fontsize=10, va="center")
    return described(canvas, f"A table of {len(table)} heaps of clips under {len(GOOD)} measures. {'; '.join(said)}.")
