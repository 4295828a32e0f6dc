"""Numbers for clips: what each one sees, in which units, and what it is blind to.

`frames` is uint8 (t, h, w, 3). `track` is what the oracle measured in them (`judge(frames).track`); no metric sees
a scene. What does not apply to a clip is nan: leave it out.

A frozen clip is perfectly consistent. So the two functions that make tables, `with_controls` and `report`, put a
motion figure beside every figure.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import numpy as np
from scipy import ndimage

from minit2v import physics
from minit2v.identity import edge_sharpness, identity_drift, permanence
from minit2v.lasting import comes_out, held
from minit2v.physics import finite_mean, nominal, rms, span
from minit2v.world.captions import Meaning
from minit2v.world.oracle import Reading, judge, matches
from minit2v.world.render import render
from minit2v.world.scenes import SHADOW, STANDARD, Scene, World, sample_meaning, scene

DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}


# --- Adherence ---------------------------------------------------------------------------------------------


def wilson(k: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % score interval of k successes in n trials.

    (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n), p = k/n; (0, 1) for n = 0. Blind to trials that are not
    independent. Source: E. B. Wilson, "Probable inference", J. Am. Stat. Assoc. 22, 1927.
    """
    if n == 0:
        return 0.0, 1.0
    p, spread = k / n, z * z / n
    half = z * np.sqrt(p * (1 - p) / n + spread / (4 * n))
    return max(0.0, (p + spread / 2 - half) / (1 + spread)), min(1.0, (p + spread / 2 + half) / (1 + spread))


def adherence(readings: list[Reading], meanings: list[Meaning]) -> dict:
    """Do the clips show what the prompts say? 1 is best.

    overall: share of clips in which every attribute that the prompt fixes is read as asked; interval: its
    Wilson interval; attributes: share of the clips that are right on one attribute, of those whose prompt
    fixes it. Blind to whatever the prompt leaves open, to flicker and to physics. Source: chapter, "if text
    guidance is weak, prompt adherence drops".
    """
    right = [matches(reading, meaning) for reading, meaning in zip(readings, meanings, strict=True)]
    joint = [all(clip.values()) for clip in right]
    names = sorted({name for clip in right for name in clip})
    return {
        "overall": finite_mean(joint),
        "n": len(joint),
        "interval": list(wilson(sum(joint), len(joint))),
        "attributes": {name: finite_mean([clip[name] for clip in right if name in clip]) for name in names},
    }


# --- Flicker -----------------------------------------------------------------------------------------------


def flicker(frames: np.ndarray, track) -> float:
    """Change between nearby frames that steady camera motion and a moving subject do not explain.

    Formula: (1 - a) B + a S, with a the subject's mean share of the picture.
    B = mean |I(t) - (I⁻ + I⁺)/2| over background pixels and rgb, where I is a frame under a Gaussian blur of
    1 px (so that resampling costs nothing), and I⁻, I⁺ are its neighbors, shifted and scaled by the camera's
    *median* step (of two seconds, in a long clip): a camera that jitters is flicker. The subject, its shadow and
    3 px around them are left out.
    S = mean |C(t) - (C(t-1) + C(t+1))/2|, C the subject's measured color.
    Units: levels of 255. 0 is best. A brightness jitter of s levels per frame reads 0.98 s; noise that differs
    from pixel to pixel is damped to 0.28 of that by the blur.
    Blind to: blur, slow drift, the order of the frames under a camera that holds, how the subject moves, and
    flicker of its texture. A frozen clip scores a perfect 0: read it beside a motion figure.
    Source: chapter, "flicker may appear between nearby frames"; compare VBench's temporal flickering
    (Huang et al. 2024), which compensates no motion and so prefers clips that stand still.
    """
    if len(frames) < 3:
        return math.nan
    soft = ndimage.gaussian_filter(frames.astype(np.float32), (0, 1, 1, 0))
    (before, seen_before), (after, seen_after) = _neighbor(soft, track, -1), _neighbor(soft, track, 1)
    change = np.abs(soft[1:-1] - (before + after) / 2).mean(axis=-1)  # (t - 2, h, w)
    busy = _busy(track)
    inside = seen_before & seen_after
    calm = inside & ~(busy[:-2] | busy[1:-1] | busy[2:])
    if calm.mean() < 0.05:  # a subject that fills the picture leaves nothing else to look at
        calm = inside
    color = 255 * track.rgb
    subject = finite_mean(np.abs(color[1:-1] - (color[:-2] + color[2:]) / 2))
    share = float(track.mask.mean()) if np.isfinite(subject) else 0.0
    return (1 - share) * finite_mean(change[calm]) + (share * subject if share else 0.0)


def _neighbor(soft: np.ndarray, track, side: int) -> tuple[np.ndarray, np.ndarray]:
    """For frames 1 … t-2 the frame before (side -1) or after (+1) as a steady camera predicts it, and where it can."""
    frames, height, width, _ = soft.shape
    which = slice(1 + side, frames - 1 + side)
    steps = slice(0, frames - 2) if side < 0 else slice(1, frames - 1)
    step = side * _steady(np.diff(track.camera, axis=0))[steps]  # (t - 2, 2), world px
    ratio = np.exp(side * _steady(np.diff(np.log(track.zoom))[:, None])[steps])  # (t - 2, 1)
    shift = step * track.zoom[which, None]  # (t - 2, 2)
    across, columns = _resample(width, ratio, shift[:, 0])
    down, rows = _resample(height, ratio, shift[:, 1])
    planes = np.moveaxis(soft[which], -1, 1)  # (t - 2, 3, h, w)
    planes = down[:, None] @ planes @ across[:, None].swapaxes(2, 3)
    return np.moveaxis(planes, 1, -1), rows[:, :, None] & columns[:, None]


def _steady(steps: np.ndarray, near: int = STANDARD.frames - 1) -> np.ndarray:
    """steps (t, n) -> for each the median of those `near` it, of all in a short clip: a long clip's camera arrives."""
    starts = np.clip(np.arange(len(steps)) - near // 2, 0, max(0, len(steps) - near))
    return np.stack([np.median(steps[start : start + near], axis=0) for start in starts])


def _resample(length: int, ratio: np.ndarray, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cubic convolution (Keys 1981) along one axis scaled about its middle and shifted: weights (t, length, length),
    and which places lie inside, (t, length)."""
    middle = (length - 1) / 2
    place = (np.arange(length) - middle) * ratio + middle - shift[:, None]  # (t, length), px
    d = np.abs(place[..., None] - np.arange(length))
    near, far = (1.5 * d - 2.5) * d * d + 1, ((2.5 - 0.5 * d) * d - 4) * d + 2
    weights = np.where(d < 1, near, np.where(d < 2, far, 0))
    return weights.astype(np.float32), (place >= 1) & (place <= length - 2)


def _busy(track) -> np.ndarray:
    """(t, h, w) bool: the subject, its shadow, and 3 px around both."""
    reach = np.ones((1, 7, 7), dtype=bool)
    near = ndimage.binary_dilation(track.mask, reach)
    down, right = (round(offset * float(np.mean(track.zoom))) for offset in SHADOW[::-1])
    shadow = np.zeros_like(near)
    shadow[:, down:, right:] = near[:, :-down, :-right]
    return near | shadow


# --- Motion ------------------------------------------------------------------------------------------------


def _steps(values: np.ndarray) -> np.ndarray:
    """(t,) or (t, 2) -> lengths of the steps between neighboring frames, (t - 1,)."""
    return np.linalg.norm(np.diff(values.reshape(len(values), -1), axis=0), axis=1)


def _slope(values: np.ndarray, seen: np.ndarray) -> float:
    """Least-squares slope per frame over the frames that are `seen`."""
    time = np.flatnonzero(seen) - np.flatnonzero(seen).mean()
    return float(time @ values[seen] / (time @ time))


def speed_ratio(track, meaning: Meaning, world: World = STANDARD) -> float:
    """How fast the subject does what the prompt says, over the nominal speed: 1 right, below 1 stiff, 0 static.

    left, right, up, down: least-squares slope of the position along that direction; grows, shrinks: of the log
    width; spins: of the angle. bounces, circles, talks, sloshes: length of the path of y, position, mouth,
    tilt. Each over the same figure of the nominal scene on the same frames; the mean over the parts joined by
    "then". nan if nothing should move. Negative if it moves the wrong way.
    Blind to what else moves, and for the four paths to jitter, which lengthens them: see `roughness`. A real mouth
    reads 0.83, because the oracle sees it open less far than it does.
    Source: chapter, "motion can become stiff".
    """
    truth = nominal(meaning, world, len(track.center))
    ratios = []
    for motion in [motion for motion in meaning.motions if motion != "still"]:
        due = span(motion, meaning, len(track.center))
        measured, asked = (np.asarray(signal)[due] for signal in _signals(track, truth, motion))
        seen = np.isfinite(measured.reshape(len(measured), -1)).all(axis=1) & track.visible[due]
        if seen.sum() < 2:
            ratios.append(0.0)
        elif motion in ("bounces", "circles", "talks", "sloshes"):
            ratios.append(_steps(measured[seen]).sum() / _steps(asked[seen]).sum())
        else:
            ratios.append(_slope(measured, seen) / _slope(asked, seen))
    return finite_mean(ratios)


def _signals(track, truth: Scene, motion: str) -> tuple[np.ndarray, np.ndarray]:
    """What shows a motion, as measured and as asked for."""
    if motion in DIRECTIONS:
        return track.position @ DIRECTIONS[motion], truth.position @ DIRECTIONS[motion]
    if motion in ("grows", "shrinks"):
        return np.log(track.world_width), np.log(truth.width)
    pick = {
        "bounces": lambda clip: clip.position[:, 1], "circles": lambda clip: clip.position,
        "spins": lambda clip: clip.angle, "talks": lambda clip: clip.mouth, "sloshes": lambda clip: clip.tilt,
    }[motion]  # fmt: skip
    return pick(track), pick(truth)


def stiffness(ratio: float) -> float:
    """How much of the asked motion is missing, from its speed ratio: 0 all is there, 1 it stands still.

    Formula: 1 - ratio, held between 0 and 1; nan where nothing should move. Blind to what moves too fast.
    Source: chapter, "if conditioning is too strong, motion can become stiff".
    """
    return float(np.clip(1 - ratio, 0, 1))


def muddiness(frames: np.ndarray, track, meaning: Meaning) -> float:
    """How smeared is a subject that should move? 0 is as sharp as an edge one pixel wide, 1 nothing that can be seen.

    Formula: 1 - `edge_sharpness`, not below 0; nan for prompts in which nothing moves. A quick clip whose frames are
    each the mean of five reads 0.3 to 0.5. Blind to the motion itself: a frozen clip is not muddy, so read it
    beside a motion figure. Source: chapter, "if denoising steps are too few, motion looks muddy".
    """
    if meaning.motions == ("still",):
        return math.nan
    sharp = edge_sharpness(frames, track) if track.visible.any() else 0.0
    return float(np.clip(1 - np.nan_to_num(sharp), 0, 1))


def roughness(track, meaning: Meaning, world: World = STANDARD) -> float:
    """Jerk beyond what the prompt asks for, px/frame³; 0 is best, real clips as the oracle sees them lie near 0.5.

    Formula: √max(0, J² - Ĵ²), J the rms third difference of the position (camera taken out), Ĵ that of the
    nominal scene, on the same frames: a bounce may hit the floor. Blind to slow errors, to the wrong
    direction and to a clip that stands still. Source: minimum-jerk smoothness (Flash and Hogan 1985).
    """
    position = np.where(track.visible[:, None], track.position, np.nan)
    jerk = np.linalg.norm(np.diff(position, n=3, axis=0), axis=1)
    asked = np.linalg.norm(np.diff(nominal(meaning, world, len(track.center)).position, n=3, axis=0), axis=1)
    seen = np.isfinite(jerk)
    return float(np.sqrt(max(0.0, rms(jerk) ** 2 - rms(asked[seen]) ** 2))) if seen.any() else math.nan


# --- One clip, all figures ---------------------------------------------------------------------------------


def measure(
    frames: np.ndarray, meaning: Meaning, world: World = STANDARD, reading: Reading | None = None
) -> dict[str, float]:
    """Every figure of one clip against what its prompt means, by name; nan where it does not apply.

    A name without a dot is a headline (adherence, flicker, identity_drift, motion, physics, camera, permanence, held),
    "motion.roughness" a part. camera: 1 if the oracle reads the camera command asked for, else 0.
    """
    reading = reading or judge(frames, world)
    track, right = reading.track, matches(reading, meaning)
    obeyed, ratio = float(right["camera"]), speed_ratio(track, meaning, world)
    pillar, end = comes_out(frames, track, meaning, world), held(frames, reading, meaning, world)
    drift, figures = identity_drift(frames, track, meaning), physics.laws(track, meaning, world)
    figures["permanence"] = permanence(frames, track, meaning)
    return {
        "adherence": float(all(right.values())),
        **{f"adherence.{name}": float(ok) for name, ok in right.items()},
        "flicker": flicker(frames, track),
        "identity_drift": drift.pop("summary"),
        **{f"identity_drift.{name}": value for name, value in drift.items()},
        "motion": ratio,
        "motion.roughness": roughness(track, meaning, world),
        "motion.edge_sharpness": edge_sharpness(frames, track),
        "motion.stiffness": stiffness(ratio),
        "motion.muddiness": muddiness(frames, track, meaning),
        "physics": physics.lawful(figures),
        **{f"physics.{name}": value for name, value in figures.items()},
        "camera": obeyed,
        "camera.moving": obeyed if meaning.camera != "hold" else math.nan,
        "permanence": pillar.pop("verdict"),
        **{f"permanence.{name}": value for name, value in pillar.items()},
        "held": end.pop("verdict"),
        **{f"held.{name}": value for name, value in end.items()},
    }


# --- Tables, with controls ---------------------------------------------------------------------------------


def controls(frames: np.ndarray, other: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
    """What every figure is held against: the real clip, its first frame frozen, its frames shuffled, another clip.

    `other` is the clip of another prompt. The shuffle is never the identity (for three frames or more).
    """
    order = np.random.default_rng(seed).permutation(len(frames))
    if (order == np.arange(len(frames))).all():
        order = np.roll(order, 1)
    return {
        "real": frames,
        "frozen": np.repeat(frames[:1], len(frames), axis=0),
        "shuffled": frames[order],
        "other": other,
    }


def with_controls(
    metric: str | Callable[[np.ndarray], float],
    frames: np.ndarray,
    other: np.ndarray,
    meaning: Meaning,
    world: World = STANDARD,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """One metric on a clip and its controls: {"real": {name: value, "motion": value}, "frozen": …}.

    `metric` is a name of `measure` or any function of frames. The motion figure cannot be left out.
    """
    name, table = metric if isinstance(metric, str) else metric.__name__, {}
    for control, clip in controls(frames, other, seed).items():
        figures = measure(clip, meaning, world)
        value = figures[metric] if isinstance(metric, str) else float(metric(clip))
        table[control] = {name: value, "motion": figures["motion"]}
    return table


def report(
    clips: list[np.ndarray],
    meanings: list[Meaning],
    world: World = STANDARD,
    real: list[np.ndarray] | None = None,
    most_controls: int = 50,
    seed: int = 0,
) -> dict:
    """All figures of many clips as one JSON object (None stands for nan).

    adherence: as `adherence` tells, and controls. flicker, identity_drift, motion, physics: {"value", "controls":
    {"real", "frozen", "shuffled", "other"}, "parts": {name: {"value", "controls"}}}; the consistency figures also
    hold "motion", {"value", "controls"}, and flicker holds "ratio", value over real on the same prompts. Values are
    means over the clips that a figure applies to; motion is the median speed ratio of the prompts that move, physics
    the share of clips within every bound of `physics.LAWFUL` that applies. camera, and where there are pillars or the
    clips are long, permanence and held: the same, with "n" and the Wilson "interval" of the share.

    The controls are built from `real`: clips of the same meanings, for the first `most_controls` of them; rendered
    here if not given. Give reconstructions to hold a denoiser against what its VAE can show.
    """
    count = min(len(clips), most_controls)
    if real is None:
        real = [render(scene(meaning, seed + i, world)) for i, meaning in enumerate(meanings[:count])]
    readings = [judge(clip, world) for clip in clips]
    rows = {"value": [measure(*each) for each in zip(clips, meanings, [world] * len(clips), readings, strict=True)]}
    for i, meaning in enumerate(meanings[:count]):
        other = real[(i + 1) % count] if count > 1 else _another(meaning, world, seed)
        for name, clip in controls(real[i], other, seed + i).items():
            rows.setdefault(name, []).append(measure(clip, meaning, world))
    summary = {name: summarize(figures) for name, figures in rows.items()}
    sections = {name: _section(name, summary) for name in ("flicker", "identity_drift", "motion", "physics")}
    now, floor = (finite_mean([row["flicker"] for row in rows[name][:count]]) for name in ("value", "real"))
    sections["flicker"]["ratio"] = _json(now / max(floor, 1e-6))
    for name in ("camera", "permanence", "held"):
        verdicts = [row[name] for row in rows["value"] if math.isfinite(row[name])]
        if verdicts:
            share = {"n": len(verdicts), "interval": list(wilson(sum(verdicts), len(verdicts)))}
            sections[name] = _section(name, summary) | share
    said = adherence(readings, meanings) | {"controls": _entry("adherence", summary)["controls"]}
    return {"adherence": said | {"overall": _json(said["overall"])}, **sections}


def summarize(rows: list[dict[str, float]]) -> dict[str, float]:
    """Many `measure`s -> one: means over the finite values, for "motion" (the speed ratio) the median."""
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: [row[name] for row in rows if math.isfinite(row.get(name, math.nan))] for name in names}
    return {
        name: float(np.median(values)) if name == "motion" and values else finite_mean(values)
        for name, values in columns.items()
    }


def _section(name: str, summary: dict[str, dict[str, float]]) -> dict:
    parts = [key for key in summary["value"] if key.startswith(f"{name}.")]
    section = _entry(name, summary)
    if name != "motion":
        section["motion"] = _entry("motion", summary)  # never without: a frozen clip is consistent
    return section | {"parts": {part.split(".")[1]: _entry(part, summary) for part in parts}} if parts else section


def _entry(name: str, summary: dict[str, dict[str, float]]) -> dict:
    value = {group: _json(figures.get(name, math.nan)) for group, figures in summary.items()}
    return {"value": value.pop("value"), "controls": value}


def _json(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _another(meaning: Meaning, world: World, seed: int) -> np.ndarray:
    """A clip of some other prompt."""
    rng = random.Random(seed)
    while (other := sample_meaning(rng, world, "all")) == meaning:
        pass
    return render(scene(other, seed, world))
