"""Does a clip keep the laws of its world? The camera, the light, gravity, water.

Each function takes what the oracle measured (`judge(frames).track`) and the prompt's meaning; none sees a
scene. Figures are in px of the world and in seconds. What does not apply to a clip is nan: leave it out.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from minit2v.world.captions import Meaning
from minit2v.world.scenes import CYCLE_SECONDS, DROP, PILLAR_WIDTH, SHADOW, STANDARD, Scene, World, pace, scene

# What counts as lawful: (least, most) of each figure of `laws`, and of `identity.permanence`.
LAWFUL = {
    "shadow_error": (0.0, 1.5), "camera_error": (0.0, 2.0), "camera_jumps": (0, 0), "bounce_residual": (0.0, 1.5),
    "gravity_ratio": (0.8, 1.25), "slosh_residual": (0.0, 1.0), "volume_error": (0.0, 0.15),
    "permanence": (1, 1),
}  # fmt: skip


def finite_mean(values) -> float:
    """Mean of the finite values, nan if there are none."""
    values = np.asarray(values, dtype=np.float64)
    values = values[np.isfinite(values)]
    return float(values.mean()) if values.size else math.nan


def rms(values) -> float:
    """Root mean square of the finite values, nan if there are none."""
    return float(np.sqrt(finite_mean(np.square(values))))


def nominal(meaning: Meaning, world: World, frames: int) -> Scene:
    """A scene of `meaning`: its motions are what the prompt asks for; its place and width mean nothing."""
    return scene(meaning, 0, replace(world, frames=frames))


def span(motion: str, meaning: Meaning, frames: int) -> slice | None:
    """The frames in which `motion` is due: all of them, a half if the prompt says "then", None if it is not asked."""
    if motion not in meaning.motions:
        return None
    part, length = meaning.motions.index(motion), (frames - 1) / len(meaning.motions)
    return slice(round(part * length), round((part + 1) * length) + 1)


def whole(track, meaning: Meaning, reach: int = 0) -> np.ndarray:
    """(t,) bool: the subject is in full view, and neither it nor what lies up to `reach` px to its right is behind the
    pillar of a prompt that has one."""
    if not meaning.pillar:
        return track.visible
    middle, half = track.mask.shape[2] // 2, int(PILLAR_WIDTH // 2) - 1
    return track.visible & ~track.mask[:, :, middle - half - reach : middle + half].any(axis=(1, 2))


def sides(track, meaning: Meaning) -> tuple[int, int] | None:
    """The frames that show the subject best before and after the pillar: the first on the side where its motion begins
    and the last on the other, of those with 95 % of the side's largest outline. None without a pillar, if it is not
    seen on both sides in turn, and if never less than half of it is seen in between. Blind to what is seen."""
    if not meaning.pillar:
        return None
    area, middle = track.mask.sum(axis=(1, 2)), track.mask.shape[2] / 2
    across = track.mask.sum(axis=1) @ (np.arange(track.mask.shape[2]) + 0.5) / np.maximum(area, 1) - middle
    ahead = np.where(area > 0, across * (-1 if "left" in meaning.motions else 1), 0.0)
    near, far = (np.where(side, area, 0) for side in (ahead < 0, ahead > 0))
    if not near.any() or not far.any():
        return None
    before, after = (int(np.flatnonzero(part >= 0.95 * part.max())[end]) for part, end in ((near, 0), (far, -1)))
    if before >= after:
        return None
    return (before, after) if 2 * area[before:after].min() < min(area[before], area[after]) else None


# --- Camera and light --------------------------------------------------------------------------------------


def camera_error(track, meaning: Meaning, world: World = STANDARD) -> float:
    """How far the camera is from where the prompt puts it: rms over frames, px, 0 is best.

    Formula: √mean(|c - ĉ|² + (w/4 · log(z/ẑ))²), c the camera, z its zoom, hats the prompt's, w the picture's
    width: the second term is how far a point halfway to the edge is off. Blind to what the picture shows.
    A frozen clip is perfect under a camera that holds. Source: chapter, "camera push-ins".
    """
    truth = nominal(meaning, world, len(track.camera))
    shift = np.sum((track.camera - truth.camera) ** 2, axis=1)
    return float(np.sqrt(finite_mean(shift + (world.width / 4 * np.log(track.zoom / truth.zoom)) ** 2)))


def camera_jumps(track, world: World = STANDARD, threshold: float = 2.0) -> int:
    """Number of steps of the camera that are more than `threshold` px from its median step; 0 is best.

    A step is (Δc, w/4 · Δlog z), so that a jump of the zoom counts too. A frame that jumps away and back counts
    twice. Blind to a camera that drifts slowly, and to jumps by a whole period of the ground; a frozen clip is
    perfect. Source: chapter, "the same camera should not teleport".
    """
    steps = np.column_stack([np.diff(track.camera, axis=0), world.width / 4 * np.diff(np.log(track.zoom))])
    seen = np.isfinite(steps).all(axis=1)
    if not seen.any():
        return 0
    return int((np.linalg.norm(steps[seen] - np.median(steps[seen], axis=0), axis=1) > threshold).sum())


def shadow_error(track, meaning: Meaning) -> float:
    """Distance between the shadow's offset from its subject and the one that the light asks for, px, 0 is best.

    Formula: mean |s(t) - SHADOW| over the frames where subject and shadow are in full view; nan if there are none, and
    for a tank, of which the oracle sees the water only. Blind to the shadow's shape and darkness, and to frames
    that lack it; a frozen clip is perfect. Source: chapter, "the same shadow must move sensibly".
    """
    seen = whole(track, meaning, reach=int(SHADOW[0]) + 2)
    return finite_mean(np.linalg.norm(track.shadow[seen] - SHADOW, axis=1)) if meaning.subject != "tank" else math.nan


# --- Gravity and water -------------------------------------------------------------------------------------


def bounce(track, meaning: Meaning, world: World = STANDARD) -> tuple[float, float]:
    """(residual, gravity ratio) of the best elastic bounce; nan for prompts without one.

    residual: rms over frames, px, 0 is best, of y(t) against floor - g/2 · τ(P - τ), τ = (t - t₀) mod P: parabolas
    under ONE gravity, each from floor to floor. floor and g by least squares, the period P (half to twice the
    nominal one) and t₀ by search. ratio: g over the nominal gravity, 1 is right, 0 floats.
    The residual is blind to standing still (g = 0 fits a frozen clip): read both. Both are blind to x.
    Source: chapter, "physics can break".
    """
    rate = pace(meaning) / CYCLE_SECONDS["bounces"]
    values, time = _due(track, track.position[:, 1], "bounces", meaning, world)
    if len(values) < 4:
        return math.nan, math.nan
    period, start = np.meshgrid(np.linspace(0.5, 2, 61) / rate, np.arange(48) / 48)
    period, start = period.reshape(-1, 1), (start * period).reshape(-1, 1)
    fall = (time - start) % period
    residual, (_, gravity) = _fit(values, np.stack([np.ones_like(fall), -fall * (period - fall) / 2], axis=-1))
    return residual, float(gravity) / (8 * DROP * rate**2)


def slosh_residual(track, meaning: Meaning, world: World = STANDARD) -> float:
    """Distance of the water's height at the wall from the best damped oscillation: rms over frames, px, 0 is best.

    Formula: tilt(t) · width against e^(-δt) (a cos ωt + b sin ωt); a, b by least squares, ω (half to twice the
    nominal rate) and δ in [0, 3] 1/s by search: water that gains height by itself does not fit.
    nan for prompts without a slosh. Blind to level water that never moves (a = b = 0): read `speed_ratio` beside it.
    Source: chapter, "water may slosh the wrong way".
    """
    rate = pace(meaning) / CYCLE_SECONDS["sloshes"]
    values, time = _due(track, track.tilt * track.width, "sloshes", meaning, world)
    if len(values) < 5:
        return math.nan
    swing, damping = np.meshgrid(np.linspace(0.5, 2, 61) * 2 * np.pi * rate, np.linspace(0, 3, 31))
    swing, damping = swing.reshape(-1, 1), damping.reshape(-1, 1)
    waves = np.stack([np.cos(swing * time), np.sin(swing * time)], axis=-1)  # (n, t, 2)
    return _fit(values, waves * np.exp(-damping * time)[..., None])[0]


def volume_error(track, meaning: Meaning) -> float:
    """Change of the water's volume: rms over frames of log(A(t) / A(0)), 0.1 is 10 %, 0 is best.

    A is the area of the colored water over zoom². nan unless the subject is a tank. Blind to where the water
    is; a frozen clip is perfect. Source: chapter, "water may slosh the wrong way".
    """
    area = (track.area / track.zoom**2)[track.visible]
    return rms(np.log(area[1:] / area[0])) if meaning.subject == "tank" and len(area) > 1 else math.nan


def emergence_error(track, meaning: Meaning, world: World = STANDARD) -> float:
    """How far from where its motion leads does it come out from behind the pillar? px, 0 is best.

    Formula: |Δp - Δp̂|, Δp the way from the frame that shows it best before the pillar to the one after (`sides`), Δp̂
    that of a glide at the pillar's pace. nan without a pillar, or where `sides` finds none.
    Blind to what comes out: see `identity.permanence`. Source: chapter, "long-range consistency".
    """
    found = sides(track, meaning)
    if found is None:
        return math.nan
    before, after = found
    glide = nominal(meaning, world, len(track.center)).position
    return float(np.linalg.norm(track.position[after] - track.position[before] - (glide[after] - glide[before])))


def _due(track, signal, motion: str, meaning: Meaning, world: World) -> tuple[np.ndarray, np.ndarray]:
    """A signal while `motion` is due and the subject is in full view: values, and their times in s since it began."""
    frames = span(motion, meaning, len(signal))
    values = np.where(track.visible, signal, np.nan)[frames] if frames else np.empty(0)
    seen = np.isfinite(values)
    return values[seen], np.flatnonzero(seen) / world.fps


def _fit(values: np.ndarray, bases: np.ndarray) -> tuple[float, np.ndarray]:
    """Least squares of values (t,) on each basis of (n, t, k): the least rms residual, and its coefficients (k,)."""
    q, _ = np.linalg.qr(bases)
    residual = values - (q @ (q.transpose(0, 2, 1) @ values)[..., None])[..., 0]  # (n, t)
    best = (residual**2).sum(axis=1).argmin()
    return rms(residual[best]), np.linalg.lstsq(bases[best], values, rcond=None)[0]


# --- All of them -------------------------------------------------------------------------------------------


def laws(track, meaning: Meaning, world: World = STANDARD) -> dict[str, float]:
    """Every figure above by name: shadow_error, camera_error, camera_jumps, bounce_residual, gravity_ratio,
    slosh_residual, volume_error."""
    residual, gravity = bounce(track, meaning, world)
    return {
        "shadow_error": shadow_error(track, meaning),
        "camera_error": camera_error(track, meaning, world),
        "camera_jumps": camera_jumps(track, world),
        "bounce_residual": residual,
        "gravity_ratio": gravity,
        "slosh_residual": slosh_residual(track, meaning, world),
        "volume_error": volume_error(track, meaning),
    }


def lawful(figures: dict[str, float]) -> float:
    """1 if every figure that applies lies within LAWFUL, else 0. `figures`: those of `laws`, and permanence if known.

    Blind to laws that no figure measures; a frozen clip breaks those of what moves only.
    """
    within = [least <= figures[name] <= most for name, (least, most) in LAWFUL.items() if not _absent(figures, name)]
    return float(all(within))


def _absent(figures: dict[str, float], name: str) -> bool:
    return math.isnan(figures.get(name, math.nan))
