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
LEAST_FIT = 0.15  # mean correlation below which no place is recognized; pure noise reaches 0.02
JUMP_COST = 0.01  # of correlation, per px between neighboring frames: breaks the ties of periodic patterns
LIKE_STONE = 0.10  # mean difference in luminance up to which the middle may be a pillar
FINE = 4  # samples per px of the maps


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
    """Finds place, camera and pillar. luma (T, h, w) in 0..1; free (T, h, w) bool: neither subject nor shadow."""
    if world.rich:
        band, difference = _middle(luma, free, world)
        if difference < LIKE_STONE:
            outside = free.copy()
            outside[:, :, slice(*band)] = False
            ground = _match(luma, outside, replace(world, cameras=("hold",)))
            inside = free & ~outside
            if difference < np.abs(luma - ground.luma)[inside].mean():  # less like the place behind it
                return replace(ground, band=band)
    return _match(luma, free, world)


def _middle(luma: np.ndarray, free: np.ndarray, world: World) -> tuple[tuple[int, int], float]:
    """The columns where a pillar would stand, and how much they differ from it in the mean."""
    half = scenes.PILLAR_WIDTH / 2
    first, end = round(world.width / 2 - half), round(world.width / 2 + half)
    across = (np.arange(first, end) + 0.5 - world.width / 2) / half
    stone = np.dot(render.STONE, WEIGHTS) * np.clip(1 - 0.35 * across**2, 0.5, 1)
    seen = np.abs(luma[:, :, first:end] - stone)[free[:, :, first:end]]
    return (first, end), float(seen.mean()) if seen.size >= 20 else np.inf


# --- Matching -------------------------------------------------------------------------------------------------


def _match(luma: np.ndarray, free: np.ndarray, world: World) -> Ground:
    key = (len(luma), world.height, world.width, world.fps)
    picture, mask = (a.reshape(len(luma), -1).astype(np.float32) for a in (luma, free))
    names = [(place, move) for place in world.backgrounds for move in world.cameras]
    first = min(len(luma), round(scenes.CAMERA_STEADY * world.fps) + 1)  # as long as a camera is sure to move
    early, within = picture[:first], mask[:first]
    score = [correlation(early, within, *_nominal(first, *key[1:], *name), np.multiply).mean() for name in names]
    name, move = names[int(np.argmax(score))]
    camera, zoom, fit = _follow(picture, mask, name, key)
    seen = _in_clips_light(_view(camera, zoom, name, world), luma, free)
    clear = max(score) >= LEAST_FIT
    if world.long:
        clear, move = clear and fit.mean() >= LEAST_FIT, _nearest(camera, zoom, world)
    return Ground(*((name, move) if clear else (None, None)), camera, zoom, fit, seen)


def _nearest(camera: np.ndarray, zoom: np.ndarray, world: World) -> str:
    """The move of a long clip's camera, (T, 2) and (T,): the nearest of those that arrive or follow a subject.

    A picture that is 4 px off does not fit a pattern of 8 px any more, so long clips are compared by the way itself:
    a camera that arrives half a second late has still done as it was told.
    """
    time, error = np.arange(len(zoom)) / world.fps, {}
    for move in world.cameras:
        for motions in ((move.removeprefix("pan "),), (move.removeprefix("pan "), "still"), ("still",)):
            where, scale = scenes._camera(captions.Meaning("box", motions, camera=move), time)
            off = np.sum((camera - where) ** 2, axis=1) + (world.width / 4 * np.log(zoom / scale)) ** 2
            error[move] = min(error.get(move, np.inf), off.mean())
    return min(error, key=error.get)


def correlation(picture, mask, templates, squares, pairing) -> np.ndarray:
    """Correlation of pictures (T, p) with templates within mask (T, p), `squares` being theirs.

    pairing: `np.multiply` for one template (T, p) per picture -> (T, 1); `np.matmul` for all (n, p) -> (T, n).
    """

    def total(a, b):
        return np.einsum("tp,tp->t", a, b)[:, None] if pairing is np.multiply else a @ b.T

    count = mask.sum(axis=1, keepdims=True) + 1e-6
    centered = mask * (picture - (mask * picture).sum(axis=1, keepdims=True) / count)
    variance = (centered**2).sum(axis=1, keepdims=True) / count
    mean = total(mask, templates) / count
    spread = total(mask, squares) / count - mean**2
    return total(centered, templates) / count / np.sqrt(np.maximum(variance, 1e-5) * np.maximum(spread, 1e-5))


def _follow(picture, mask, place: str, key: tuple) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The camera of each frame by itself: the best of the atlas, near the frame before, and between grid points."""
    spots, pictures, squares = _atlas(*key, place)
    scores = correlation(picture, mask, pictures, squares, np.matmul)  # (T, n)
    found, before = [], np.zeros(3)
    for score in scores:
        best = int((score - JUMP_COST * np.abs(spots - before).sum(axis=1)).argmax())
        before = spots[best] + _between(score, spots, best)
        found.append((*before, score[best]))
    x, y, log_zoom, fit = np.array(found).T
    return np.column_stack([x, y]), np.exp(log_zoom / ZOOM_PX), fit


def _between(score: np.ndarray, spots: np.ndarray, best: int) -> np.ndarray:
    """The step from grid point `best` to the top of the parabola through it and its neighbors."""
    if best in (0, len(score) - 1):
        return np.zeros(3)
    step = (spots[best + 1] - spots[best - 1]) / 2
    seam = np.abs(step).sum() > 1.5 or np.count_nonzero(step) != 1  # between two families
    return np.zeros(3) if seam else step * vertex(-score[best - 1 : best + 2])


def vertex(three: np.ndarray) -> float:
    """Where a parabola through values at -1, 0 and 1 is lowest, within half a step."""
    bend = three[0] + three[2] - 2 * three[1]
    return float(np.clip(0.5 * (three[0] - three[2]) / bend, -0.5, 0.5)) if bend > 1e-9 else 0.0


def _in_clips_light(seen: np.ndarray, luma: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Scales a drawn place to the brightness and contrast of the clip: one line through all free pixels."""
    x, y = seen[free], luma[free]
    if len(x) < 10:
        return seen
    slope = max(np.mean((x - x.mean()) * (y - y.mean())) / (x.var() + 1e-6), 0.0)
    return (seen - x.mean()) * np.float32(slope) + y.mean()


# --- What the places look like --------------------------------------------------------------------------------


def _empty(camera: np.ndarray, zoom: np.ndarray, place: str, height: int, width: int) -> scenes.Scene:
    """A scene whose subject is far out of sight."""
    frames, zero = len(zoom), np.zeros(len(zoom))
    world = replace(scenes.STANDARD, frames=frames, height=height, width=width)
    return scenes.Scene(
        captions.Meaning("box"), world, np.full((frames, 2), 1e4), zero + 16.0,
        zero, zero, zero, zero, camera, zoom, np.zeros(3), place,
    )  # fmt: skip


def _drawn(scene: scenes.Scene) -> tuple[np.ndarray, np.ndarray]:
    """Luminance and its square, (n, h * w)."""
    pictures = (render.render(scene) @ (WEIGHTS / 255)).reshape(len(scene.zoom), -1)
    return pictures, pictures**2


@lru_cache(maxsize=64)
def _nominal(frames: int, height: int, width: int, fps: int, place: str, move: str):
    """The place under one of the named cameras, a picture per frame."""
    camera, zoom = scenes._camera(captions.Meaning("box", camera=move), np.arange(frames) / fps)
    return _drawn(_empty(camera, zoom, place, height, width))


ZOOM_PX = 32.0  # px that a point moves, halfway out, per unit of log zoom: so that distances can be added


@lru_cache(maxsize=8)
def _atlas(frames: int, height: int, width: int, fps: int, place: str):
    """The place from many cameras: shifted in x, shifted in y, zoomed. spots (n, 3) in px, and the pictures."""
    seconds = (frames - 1) / fps
    reach, growth = np.ceil(1.4 * scenes.PAN * seconds) + 3, 1.4 * scenes.ZOOM * seconds + 0.04
    log = np.linspace(-growth, growth, 2 * int(np.ceil(growth / 0.02)) + 1)
    families = (np.arange(-reach, reach + 0.5), np.arange(-5, 5.5), log * ZOOM_PX)
    spots = np.concatenate([np.outer(steps, axis) for steps, axis in zip(families, np.eye(3), strict=True)])
    return spots, *_drawn(_empty(spots[:, :2], np.exp(spots[:, 2] / ZOOM_PX), place, height, width))


@lru_cache(maxsize=8)
def _map(place: str, half_height: int, half_width: int) -> np.ndarray:
    """Luminance of the place around its origin, FINE samples per px."""
    step = (np.arange(FINE) + 0.5) / FINE - 0.5  # px: pictures from cameras this far apart are interleaved
    camera = np.stack(np.meshgrid(step, step), axis=-1).reshape(-1, 2)  # x changes first
    height, width = 2 * half_height, 2 * half_width
    pictures, _ = _drawn(_empty(camera, np.ones(FINE * FINE), place, height, width))
    pictures = pictures.reshape(FINE, FINE, height, width)  # (y step, x step, row, column)
    return pictures.transpose(2, 0, 3, 1).reshape(height * FINE, width * FINE)


def _view(camera: np.ndarray, zoom: np.ndarray, place: str, world: World) -> np.ndarray:
    """The place as a camera sees it, (T, h, w), from the map: 30 times faster than drawing it."""
    x = (np.arange(world.width) + 0.5 - world.width / 2) / zoom[:, None] + camera[:, :1]  # (T, w), world px
    y = (np.arange(world.height) + 0.5 - world.height / 2) / zoom[:, None] + camera[:, 1:]
    half_height, half_width = (64 * int(np.ceil((np.abs(a).max() + 1) / 64)) for a in (y, x))
    chart = _map(place, half_height, half_width)
    rows, columns = (np.floor((a + half) * FINE).astype(int) for a, half in ((y, half_height), (x, half_width)))
    return chart[rows[:, :, None], columns[:, None, :]]
