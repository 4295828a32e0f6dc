"""From frames to a track: what stands out from the background, where, how wide, how turned, how painted.

Measuring only; `oracle` decides. The subject is whatever is most colorful: backgrounds, shadows, ink and the
pillar are close to gray. Its outline is compared with drawn ones of every subject, turned every way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy import ndimage

from minit2v.world import captions, render, scenes
from minit2v.world.ground import WEIGHTS, Ground

LEAST_AREA = 12  # px: less is no subject
GRID, REACH = 28, 1.15  # samples across a normalized outline, and its half width in square roots of its area
SQUARE = np.ones((1, 3, 3), dtype=bool)
CROSS = ndimage.generate_binary_structure(2, 1)[None]
IN_PLANE = np.pad(CROSS, ((1, 1), (0, 0), (0, 0)))  # neighbors within a frame, never between frames


@dataclass
class Track:
    """What was measured on each of T frames; nan where nothing was seen.

    center (T, 2): of the subject, screen px.   width, height (T,): screen px.   angle (T,): rad, unwrapped.
    area (T,): screen px.   visible (T,) bool: in full view.   mask (T, h, w) bool.   rgb (T, 3): mean bright color,
    0..1.   texture_fraction (T,): dark share of the inside.   camera (T, 2), zoom (T,): from the background alone,
    world px and screen px per world px.   position (T, 2), world_width (T,): the camera's motion taken out.
    mouth (T,): 0 shut to 1 open.   tilt (T,): water height at the right wall, in widths.
    shadow (T, 2): from subject to shadow, world px.   likeness (T,): overlap with the best outline, 0 to 1.
    ground_fit (T,): correlation with the place.
    """

    center: np.ndarray
    width: np.ndarray
    height: np.ndarray
    angle: np.ndarray
    area: np.ndarray
    visible: np.ndarray
    mask: np.ndarray
    rgb: np.ndarray
    texture_fraction: np.ndarray
    camera: np.ndarray
    zoom: np.ndarray
    position: np.ndarray
    world_width: np.ndarray
    mouth: np.ndarray
    tilt: np.ndarray
    shadow: np.ndarray
    likeness: np.ndarray
    ground_fit: np.ndarray


# --- Segmentation ---------------------------------------------------------------------------------------------


def segment(video: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The subject's pixels, bool (T, h, w), and how vivid each pixel is, 0 gray to about 1, from video (T, h, w, 3).

    Opponent colors mix linearly, so a pixel half covered by the subject has half its distance from gray: that is
    the outline. Dark stripes and dots have less distance, but relative to their brightness as much.
    """
    red, green, blue = np.moveaxis(video, -1, 0)
    opponent = np.stack([red - green, (red + green) / 2 - blue])  # (2, T, h, w)
    opponent -= np.median(opponent[:, :, ::2, ::2], axis=(1, 2, 3), keepdims=True)
    vivid = np.hypot(*opponent)
    seeds = vivid[vivid > 0.18]
    if len(seeds) < LEAST_AREA:
        return np.zeros(vivid.shape, dtype=bool), vivid
    cover = vivid / np.percentile(seeds, 75)
    top = np.maximum(np.maximum(red, green), blue)
    saturation = (top - np.minimum(np.minimum(red, green), blue)) / (top + 0.02)
    own = np.median(saturation[cover > 0.8])
    mask = (cover > 0.5) | ((cover > 0.2) & (saturation > 0.6 * own))
    return _solid(_largest(mask)), cover


def _largest(mask: np.ndarray) -> np.ndarray:
    """Keeps the largest piece of each frame; cracks of 2 px do not part it."""
    labels, count = ndimage.label(ndimage.binary_dilation(mask, CROSS), IN_PLANE)
    labels *= mask
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    flat = labels.reshape(len(mask), -1)  # (T, h * w)
    keep = np.take_along_axis(flat, sizes[flat].argmax(axis=1)[:, None], axis=1)
    return ((flat == keep) & (flat > 0)).reshape(mask.shape)


def _solid(mask: np.ndarray) -> np.ndarray:
    """Closes cracks and fills what is enclosed: eyes, a mouth."""
    mask = mask | ndimage.binary_erosion(ndimage.binary_dilation(mask, SQUARE), SQUARE, border_value=1)
    labels, count = ndimage.label(~mask, IN_PLANE)
    outside = np.zeros(count + 1, dtype=bool)
    for edge in (labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1]):
        outside[edge.ravel()] = True
    outside[0] = False
    return ~outside[labels]


# --- Outlines: every subject, turned every way, drawn large ----------------------------------------------------

TURNS = {"ball": (1, 2 * np.pi), "box": (18, np.pi / 2), "triangle": (24, 2 * np.pi / 3), "star": (15, 2 * np.pi / 5)}


@dataclass(frozen=True)
class Outlines:
    """Templates: pictures (n, GRID * GRID) centered on their centroids and scaled to unit area, and for each its
    subject, angle (rad), area in squared widths, and centroid (n, 2) from the center, in widths."""

    pictures: np.ndarray
    subjects: np.ndarray
    angle: np.ndarray
    area: np.ndarray
    centroid: np.ndarray
    facing: np.ndarray
    period: dict


def _draw(subject: str, angle=0.0, stride=0.0, tilt=0.0, facing=1, texture="plain", mouth=0.0, width=40.0):
    """A large subject before a far-off ground, one frame per entry of the longest array: the scene."""
    angle, stride, tilt, mouth = np.broadcast_arrays(*np.atleast_1d(angle, stride, tilt, mouth))
    frames, zero = len(angle), np.zeros(len(angle))
    return scenes.Scene(
        captions.Meaning(subject, texture=texture), replace(scenes.STANDARD, frames=frames), np.zeros((frames, 2)),
        zero + width, angle, mouth, tilt, stride, np.zeros((frames, 2)), zero + 1, np.array([1.0, 0.0, 0.0]),
        "checkered", facing=facing,
    )  # fmt: skip


@lru_cache(maxsize=8)
def outlines(subjects: tuple[str, ...]) -> Outlines:
    rows = []
    for subject in subjects:
        if subject in TURNS:
            count, period = TURNS[subject]
            angle = np.arange(count) * period / count
            batches = [(_draw(subject, angle), angle, 1)]
        elif subject == "dog":
            stride = np.array([-0.5, -0.25, 0.0, 0.25, 0.5])
            batches = [(_draw("dog", stride=stride, facing=side), 0 * stride, side) for side in (1, -1)]
        elif subject == "tank":
            tilt = np.linspace(-0.22, 0.22, 7)
            batches = [(_draw("tank", tilt=tilt), 0 * tilt, 1)]
        else:
            continue  # a face has the outline of a ball
        for scene, angle, facing in batches:
            mask = _water(scene) if subject == "tank" else render.subject_mask(scene)
            pictures, area, centroid = normalize(mask)
            place = (centroid - scene.screen_position) / 40.0
            rows += [
                (p, subject, a, s / 1600.0, c, facing) for p, a, s, c in zip(pictures, angle, area, place, strict=True)
            ]
    pictures, names, angle, area, centroid, facing = zip(*rows, strict=True)
    periods = {subject: TURNS[subject][1] for subject in subjects if subject in TURNS}
    return Outlines(
        np.stack(pictures),
        np.array(names),
        np.array(angle),
        np.array(area),
        np.stack(centroid),
        np.array(facing),
        periods,
    )


def _water(scene: scenes.Scene) -> np.ndarray:
    """What of a tank is colorful: its water."""
    picture = render.render(scene) / np.float32(255)
    return np.clip((picture[..., 0] - picture[..., 1]) / 0.9, 0, 1) * (render.subject_mask(scene) > 0.5)


def normalize(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """mask (T, h, w) -> pictures (T, GRID²) on a grid fixed to the centroid and to the square root of the area;
    area (T,) in px; centroid (T, 2) in px, pixel centers lying at halves."""
    frames, height, width = mask.shape
    mask = mask.astype(np.float32)
    columns, rows = mask.sum(axis=1), mask.sum(axis=2)  # (T, w), (T, h)
    area = columns.sum(axis=1)
    safe = np.maximum(area, 1e-6)
    centroid = np.stack([columns @ (np.arange(width) + 0.5), rows @ (np.arange(height) + 0.5)], axis=1) / safe[:, None]
    ticks = (np.arange(GRID) + 0.5) / GRID * 2 - 1
    step = REACH * np.sqrt(safe)[:, None] * ticks  # (T, GRID)
    x, y = centroid[:, :1] + step - 0.5, centroid[:, 1:] + step - 0.5
    return _sample(mask, x, y).reshape(frames, -1), area, centroid


def _sample(images: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Bilinear samples of images (T, h, w) at the grid x (T, g) by y (T, g); nothing lies outside."""
    across, down = _tent(x, images.shape[2]), _tent(y, images.shape[1])  # (T, g, w), (T, g, h)
    return down @ images @ across.transpose(0, 2, 1)  # (T, g, g)


def _tent(x: np.ndarray, size: int) -> np.ndarray:
    return np.maximum(1 - np.abs(x[:, :, None] - np.arange(size)), 0).astype(np.float32)


def overlaps(pictures: np.ndarray, bank: Outlines) -> np.ndarray:
    """Intersection over union of every picture with every outline: (T, n)."""
    both = pictures @ bank.pictures.T
    return both / ((pictures**2).sum(axis=1)[:, None] + (bank.pictures**2).sum(axis=1) - both + 1e-6)


# --- Paint ------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def patterns() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Dark patterns of a disc: name -> (pictures (n, GRID²), angles (n,)); a face's are of its mouth, opening."""
    striped, dotted = np.arange(24) * np.pi / 24, np.arange(12) * np.pi / 36
    drawn = {
        "striped": _draw("ball", striped, texture="striped"),
        "dotted": _draw("ball", dotted, texture="dotted"),
        "face": _draw("face", mouth=np.array([0.0, 0.5, 1.0])),
    }
    inside = disc()
    bank = {}
    for name, scene in drawn.items():
        red = render.render(scene)[..., 0] / np.float32(255)
        area, middle = np.full(len(red), np.pi * 400), np.full((len(red), 2), 32.0)
        bank[name] = (_centered(own_grid((1 - red) / (1 - scenes.DARK), middle, np.sqrt(area)), inside), scene.angle)
    return bank


def disc() -> np.ndarray:
    """(GRID²,) bool: well inside a disc of unit area."""
    ticks = REACH * ((np.arange(GRID) + 0.5) / GRID * 2 - 1)
    return (np.hypot(ticks[:, None], ticks) < 0.80 / np.sqrt(np.pi)).ravel()


def own_grid(images: np.ndarray, centroid: np.ndarray, root: np.ndarray) -> np.ndarray:
    """images (T, h, w) on the grid of `normalize`: (T, GRID²)."""
    step = REACH * root[:, None] * ((np.arange(GRID) + 0.5) / GRID * 2 - 1)
    x, y = centroid[:, :1] + step - 0.5, centroid[:, 1:] + step - 0.5
    return _sample(images.astype(np.float32), x, y).reshape(len(images), -1)


def _centered(pictures: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Zero mean and unit length within `inside`, zero without."""
    mean = pictures[:, inside].mean(axis=1, keepdims=True)
    pictures = (pictures - mean) * inside
    return pictures / (np.linalg.norm(pictures, axis=1, keepdims=True) + 1e-6)


def alike(pictures: np.ndarray, name: str) -> np.ndarray:
    """Correlation of dark maps (T, GRID²) with the patterns of one name: (T, n)."""
    return _centered(pictures, disc()) @ patterns()[name][0].T


def darkness(video: np.ndarray, mask: np.ndarray, vivid: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How dark each pixel is, 0 as bright as the subject's own color and 1 as dark as a stripe: (T, h, w);
    the dark share of each inside, (T,); the mean color of its bright part, (T, 3)."""
    light = video @ WEIGHTS
    inside = ndimage.binary_erosion(mask, CROSS)
    dark, share, color = np.zeros_like(light), np.full(len(mask), np.nan), np.full((len(mask), 3), np.nan)
    for t in np.flatnonzero(mask.sum(axis=(1, 2)) >= LEAST_AREA):
        within = inside[t] if inside[t].sum() >= LEAST_AREA else mask[t]
        bright = within & (vivid[t] > 0.8 * np.percentile(vivid[t][within], 85))  # not dark, not mixed
        own = np.median(light[t][bright])
        dark[t] = np.clip((1 - light[t] / own) / (1 - scenes.DARK), 0, 1.6)
        share[t] = np.minimum(dark[t][within], 1).mean()
        color[t] = video[t][bright].mean(axis=0)
    return dark, share, color


def mouth(dark: np.ndarray, center: np.ndarray, width: np.ndarray) -> np.ndarray:
    """How far a mouth is open, 0 to 1, from the dark area in the lower half of a face."""
    ticks = (np.arange(24) + 0.5) / 24
    x = center[:, :1] + width[:, None] * (ticks * 0.56 - 0.28) - 0.5
    y = center[:, 1:] + width[:, None] * (ticks * 0.40 + 0.0) - 0.5
    ink = np.minimum(_sample(dark, x, y) / 1.4, 1).mean(axis=(1, 2)) * 0.56 * 0.40  # in squared widths
    return (ink / (np.pi * 0.2) - 0.045) / 0.13


def tilt(cover: np.ndarray, center: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Half the slope of the water's surface, from its height in each column: (T,)."""
    ticks = (np.arange(24) + 0.5) / 24
    u = ticks * 0.8 - 0.4
    x = center[:, :1] + width[:, None] * u - 0.5
    y = center[:, 1:] + width[:, None] * (ticks - 0.5) - 0.5
    height = _sample(cover.astype(np.float32), x, y).mean(axis=1)  # (T, 24), in widths
    return (height - height.mean(axis=1, keepdims=True)) @ u / (u @ u) / 2


# --- Shadow -------------------------------------------------------------------------------------------------------


def shadow_offset(luma: np.ndarray, mask: np.ndarray, ground: Ground, reach: int = 8) -> np.ndarray:
    """From subject to shadow, screen px (T, 2): the shift of the outline that best explains what is darkened.

    Minimizes sum over p outside the subject of (darkening(p) - outline(p - shift))², by correlation.
    """
    frames, height, width = mask.shape
    tall, wide = height + 2 * reach, width + 2 * reach
    near = ndimage.binary_dilation(mask, SQUARE)
    darkened = np.clip((1 - luma / np.maximum(ground.luma, 0.05)) / (1 - render.SHADE), -0.5, 1.5)
    spectrum = np.fft.rfft2(mask.astype(np.float32), s=(tall, wide)).conj()
    reward = np.fft.rfft2(np.where(near, 0, 1 - 2 * darkened), s=(tall, wide))
    cost = np.fft.irfft2(reward * spectrum, s=(tall, wide))  # (T, tall, wide), by shift modulo the size
    cost = np.roll(cost, (reach, reach), axis=(1, 2))[:, : 2 * reach + 1, : 2 * reach + 1]
    offset = np.full((frames, 2), np.nan)
    for t in np.flatnonzero(mask.any(axis=(1, 2))):
        y, x = np.unravel_index(cost[t].argmin(), cost[t].shape)
        if cost[t, y, x] < -0.02 * mask[t].sum() and 0 < x < 2 * reach and 0 < y < 2 * reach:
            sub = (_vertex(cost[t, y, x - 1 : x + 2]), _vertex(cost[t, y - 1 : y + 2, x]))
            offset[t] = np.array([x, y]) - reach + sub
    return offset


def _vertex(three: np.ndarray) -> float:
    bend = three[0] + three[2] - 2 * three[1]
    return float(np.clip(0.5 * (three[0] - three[2]) / bend, -0.5, 0.5)) if bend > 1e-9 else 0.0
