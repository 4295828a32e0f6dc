"""Where the camera is, read from the background alone.

Each background of this world is a fixed place, and the camera starts at its origin. So the oracle knows every
place by heart, as a person knows a street: it draws what each camera would see there, and compares that with
the picture wherever the subject does not stand in the way. Comparison is by correlation, so that a clip may be
lighter, flatter or tinted without harm.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from minit2v.world import captions, render, scenes
from minit2v.world.scenes import World

WEIGHTS = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # of red, green and blue in the luminance
LEAST_FIT = 0.25  # mean correlation below which no place is recognized
JUMP_COST = 0.01  # of correlation, per px between neighboring frames: breaks ties of periodic patterns


@dataclass
class Ground:
    """What the background says. `camera` (T, 2) in world px, `zoom` (T,), `fit` (T,): correlation, -1 to 1.

    name, move: of the place and of the camera, None when unreadable.   luma (T, h, w): the place as this camera
    sees it, in the clip's own brightness.   band: columns (first, last + 1) of a pillar, or None.
    """

    name: str | None
    move: str | None
    camera: np.ndarray
    zoom: np.ndarray
    fit: np.ndarray
    luma: np.ndarray
    band: tuple[int, int] | None = None


def look(luma: np.ndarray, free: np.ndarray, world: World) -> Ground:
    """Finds place and camera. luma (T, h, w) in 0..1; free (T, h, w) bool: neither subject nor shadow."""
    ground = _match(luma, free, world)
    if not world.rich:
        return ground
    band = _band(world)
    outside = free.copy()
    outside[:, :, slice(*band)] = False
    unmoved = _match(luma, outside, replace(world, cameras=("hold",)))
    return replace(unmoved, band=band) if _pillar_stands(luma, free, band, unmoved) else ground


def _match(luma: np.ndarray, free: np.ndarray, world: World) -> Ground:
    key = (len(luma), world.height, world.width, world.fps)
    names, picture = [(b, c) for b in world.backgrounds for c in world.cameras], _flat(luma)
    mask = _flat(free)
    scores = np.stack([correlation(picture, mask, _nominal(*key, *name)) for name in names])  # (names, T)
    best = int(scores.mean(axis=1).argmax())
    name, move = names[best]
    sure = scores[best].mean() >= LEAST_FIT
    camera, zoom, fit = _follow(picture, mask, name, key, move)
    seen = _shown(_blank(camera, zoom, name, world))
    return Ground(name if sure else None, move if sure else None, camera, zoom, fit, _in_clips_light(seen, luma, free))


def correlation(picture: np.ndarray, mask: np.ndarray, templates: np.ndarray) -> np.ndarray:
    """Masked correlation of (T, p) pictures with templates: (T, p), one each, or (n, p), every one with every one."""
    product = (lambda a, b: np.einsum("tp,tp->t", a, b)) if len(templates.shape) == 2 else None
    product = product or (lambda a, b: a @ b[0].T)
    count = product(mask, np.ones_like(templates)) + 1e-6
    seen = mask * picture
    mean_i, mean_t = product(seen, np.ones_like(templates)) / count, product(mask, templates) / count
    var_i = product(seen * picture, np.ones_like(templates)) / count - mean_i**2
    var_t = product(mask, templates**2) / count - mean_t**2
    cross = product(seen, templates) / count - mean_i * mean_t
    return cross / np.sqrt(np.maximum(var_i, 1e-5) * np.maximum(var_t, 1e-5))


def _flat(pictures: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(pictures.reshape(len(pictures), -1), dtype=np.float32)


# --- What the places look like --------------------------------------------------------------------------------


def _blank(camera: np.ndarray, zoom: np.ndarray, background: str, world: World) -> scenes.Scene:
    """An empty scene: its subject is out of sight."""
    frames, zero = len(zoom), np.zeros(len(zoom))
    return scenes.Scene(
        captions.Meaning("box"), replace(world, frames=frames), np.full((frames, 2), 1e4), zero + 16.0,
        zero, zero, zero, zero, camera, zoom, np.zeros(3), background,
    )  # fmt: skip


def _shown(scene: scenes.Scene) -> np.ndarray:
    return render.render(scene) @ (WEIGHTS / 255)


def _canvas(height: int, width: int, fps: int) -> World:
    return replace(scenes.STANDARD, height=height, width=width, fps=fps)


@lru_cache(maxsize=64)
def _nominal(frames: int, height: int, width: int, fps: int, background: str, move: str) -> np.ndarray:
    """(T, h * w): the place under one of the named cameras."""
    meaning = captions.Meaning("box", camera=move)
    camera, zoom = scenes._camera(meaning, np.arange(frames) / fps)
    return _flat(_shown(_blank(camera, zoom, background, _canvas(height, width, fps))))


@lru_cache(maxsize=8)
def _atlas(frames: int, height: int, width: int, fps: int, background: str) -> tuple[np.ndarray, ...]:
    """The place from many cameras: three families, shifted in x, shifted in y, zoomed."""
    seconds = (frames - 1) / fps
    reach, growth = np.ceil(1.4 * scenes.PAN * seconds) + 3, 1.4 * scenes.ZOOM * seconds + 0.04
    x, y = np.arange(-reach, reach + 0.5), np.arange(-5, 5.5)
    log = np.linspace(-growth, growth, 2 * int(np.ceil(growth / 0.02)) + 1)
    camera = np.zeros((len(x) + len(y) + len(log), 2))
    camera[: len(x), 0], camera[len(x) : len(x) + len(y), 1] = x, y
    zoom = np.exp(np.concatenate([0 * x, 0 * y, log]))
    pictures = _flat(_shown(_blank(camera, zoom, background, _canvas(height, width, fps))))
    return camera, zoom, pictures


def _follow(picture, mask, background, key, move) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The camera of each frame on its own: the best of the atlas, close to the frame before, between its grid."""
    camera, zoom, pictures = _atlas(*key, background)
    scores = correlation(picture, mask, pictures[None])  # (T, n)
    place = np.column_stack([camera, np.log(zoom) * 32])  # px at the middle of a half picture
    found, before = [], np.zeros(3)
    for score in scores:
        cost = score - JUMP_COST * np.abs(place - before).sum(axis=1)
        best = int(cost.argmax())
        before = place[best] + _between(score, place, best)
        found.append((*before, score[best]))
    x, y, log, fit = np.array(found).T
    return np.column_stack([x, y]), np.exp(log / 32), fit


def _between(score: np.ndarray, place: np.ndarray, best: int) -> np.ndarray:
    """The step from grid point `best` to the top of the parabola through it and its neighbors."""
    if best in (0, len(score) - 1):
        return np.zeros(3)
    step = (place[best + 1] - place[best - 1]) / 2
    if np.abs(step).sum() > 1.5 or np.count_nonzero(step) > 1:  # the seam between two families
        return np.zeros(3)
    left, top, right = score[best - 1 : best + 2]
    bend = left + right - 2 * top
    return step * np.clip(0.5 * (left - right) / bend, -0.5, 0.5) if bend < -1e-6 else np.zeros(3)


def _in_clips_light(seen: np.ndarray, luma: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Scales a drawn place to the brightness and contrast of the clip: one line through all free pixels."""
    if free.sum() < 10:
        return seen
    slope, offset = np.polyfit(seen[free], luma[free], 1)
    return (max(slope, 0) * seen + offset).astype(np.float32)


# --- The pillar -----------------------------------------------------------------------------------------------


def _band(world: World) -> tuple[int, int]:
    half = scenes.PILLAR_WIDTH / 2
    return round(world.width / 2 - half), round(world.width / 2 + half)


def _pillar_stands(luma: np.ndarray, free: np.ndarray, band: tuple[int, int], ground: Ground) -> bool:
    """Whether the middle of the picture looks more like the pillar than like the place behind it."""
    columns = np.arange(*band) + 0.5
    across = (2 * columns - sum(band)) / (band[1] - band[0])
    pillar = (render.STONE @ WEIGHTS) * np.clip(1 - 0.35 * across**2, 0.5, 1)
    middle, open_ = luma[:, :, slice(*band)], free[:, :, slice(*band)]
    if open_.sum() < 20:
        return False
    as_pillar = np.abs(middle - pillar)[open_].mean()
    return as_pillar < np.abs(middle - ground.luma[:, :, slice(*band)])[open_].mean()
