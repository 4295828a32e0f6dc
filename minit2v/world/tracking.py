"""From frames to a track: what stands out from the background, where, how wide, how turned, how painted.

Measuring only; `oracle` decides. The subject is whatever is most colorful: backgrounds, shadows, ink and the
pillar are close to gray.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft, ndimage

from minit2v.world import render, scenes
from minit2v.world.ground import WEIGHTS, Ground, vertex
from minit2v.world.outlines import sample

LEAST_AREA = 12  # px: less is no subject
MOST_AREA = 0.7  # of the picture: more is noise, for the largest subject leaves a margin
VIVID = 0.18  # distance from gray, of 1 or so: less is no color
IN_PLANE = np.zeros((3, 3, 3), dtype=bool)  # neighbors within a frame, never between frames
IN_PLANE[1] = ndimage.generate_binary_structure(2, 1)


@dataclass
class Track:
    """What was measured on each of T frames; nan where nothing was seen.

    center (T, 2): of the subject, screen px.   width, height (T,): screen px.   angle (T,): rad, unwrapped, 0 for
    what cannot be seen to turn.   area (T,): screen px, of a tank its water's.   visible (T,) bool: in full view.
    mask (T, h, w) bool: the subject with all that belongs to it.   rgb (T, 3): mean color of its bright part, 0..1.
    texture_fraction (T,): dark share of its inside.   camera (T, 2), zoom (T,): from the background alone, world px
    and screen px per world px.   position (T, 2), world_width (T,): the camera's motion taken out.   mouth (T,): 0
    shut to 1 open.   tilt (T,): water height at the right wall, in widths.   shadow (T, 2): from subject to shadow,
    world px.   likeness (T,): overlap with the nearest outline, 0 to 1.   ground_fit (T,): correlation with the place.
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


def empty_track(mask: np.ndarray, ground: Ground) -> Track:
    """The track of nothing, camera apart."""
    one, two, three = (np.full((len(mask), *last), np.nan) for last in ((), (2,), (3,)))
    return Track(
        two, one, one, one, one, np.zeros(len(mask), dtype=bool), mask, three, one, ground.camera, ground.zoom,
        two, one, one, one, two, one, ground.fit,
    )  # fmt: skip


# --- Segmentation ---------------------------------------------------------------------------------------------


def segment(video: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The subject's pixels, bool (T, h, w), and how vivid each pixel is, about 0 to 1, from video (T, h, w, 3).

    Opponent colors mix linearly, so a pixel half covered by the subject has half its distance from gray: that is
    the outline. Dark stripes and dots have less distance, but relative to their brightness as much.
    """
    red, green, blue = np.ascontiguousarray(np.moveaxis(video, -1, 0))
    opponent = red - green, (red + green) / 2 - blue
    vivid = np.hypot(*(axis - np.median(axis[:, ::2, ::2]) for axis in opponent))
    seeds = vivid[vivid > VIVID]
    if len(seeds) < LEAST_AREA:
        return np.zeros(vivid.shape, dtype=bool), vivid
    vivid /= np.percentile(seeds, 75)
    top, bottom = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    saturation = (top - bottom) / (top + 0.02)
    own = np.median(saturation[vivid > 0.8])
    return _solid(_largest((vivid > 0.5) | ((vivid > 0.2) & (saturation > 0.6 * own)))), vivid


def grow(mask: np.ndarray, by: int = 1) -> np.ndarray:
    """Widens mask (T, h, w) by whole pixels in each frame, diagonals included."""
    for _ in range(by):
        mask = mask.copy()
        mask[:, 1:] |= mask[:, :-1].copy()
        mask[:, :-1] |= mask[:, 1:].copy()
        mask[:, :, 1:] |= mask[:, :, :-1].copy()
        mask[:, :, :-1] |= mask[:, :, 1:].copy()
    return mask


def shrink(mask: np.ndarray) -> np.ndarray:
    return ~grow(~mask)


def _largest(mask: np.ndarray) -> np.ndarray:
    """Keeps the largest piece of each frame; cracks of 2 px do not part it."""
    labels, count = ndimage.label(grow(mask), IN_PLANE)
    labels *= mask
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    flat = labels.reshape(len(mask), -1)  # (T, h * w)
    keep = np.take_along_axis(flat, sizes[flat].argmax(axis=1)[:, None], axis=1)
    return ((flat == keep) & (flat > 0)).reshape(mask.shape)


def _solid(mask: np.ndarray) -> np.ndarray:
    """Closes cracks and fills what is enclosed: eyes, a mouth."""
    closed = shrink(grow(mask))
    mask = mask.copy()
    mask[:, 1:-1, 1:-1] |= closed[:, 1:-1, 1:-1]  # the picture's border is no part of a crack
    labels, count = ndimage.label(~mask, IN_PLANE)
    hole = np.ones(count + 1, dtype=bool)
    for edge in (labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1]):
        hole[edge] = False
    hole[0] = True  # the mask itself
    return hole[labels]


def soften(mask: np.ndarray, vivid: np.ndarray, plain: bool) -> tuple[np.ndarray, np.ndarray]:
    """How much of each pixel the subject covers, float32 (T, h, w): its edge by how vivid that is.

    Twice: with the edge that a sharp picture has, to measure with, and with the haze of a blurred one, to recognize
    the shape by.
    """
    if plain:  # nothing of it is dark, so what is dark is ink beside it
        mask = _solid(mask & (vivid > 0.5))
    core = shrink(mask)
    bright = core & (vivid > (0.5 if plain else 0.3))  # neither eyes nor mouth
    total, count = ((values * bright).astype(np.float32) for values in (vivid, np.ones_like(vivid)))
    near = [ndimage.uniform_filter(values, (0, 5, 5)) for values in (total, count)]
    own = np.where(near[1] > 0.01, near[0] / np.maximum(near[1], 0.01), 1)  # of the parts inside nearby
    edge = np.clip(vivid / own, 0, 1)
    edge[shrink(core)] = 1
    return tuple(np.where(grow(mask, reach), edge, 0).astype(np.float32) for reach in (1, 2))


def box(center: np.ndarray, width: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """How much of each pixel a tank's whole box covers, float32 (T, h, w)."""
    half = width[:, None] / 2
    x = half - np.abs(np.arange(shape[2]) + 0.5 - center[:, :1])  # (T, w): inwards from the nearer wall
    y = half * scenes.HEIGHT["tank"] - np.abs(np.arange(shape[1]) + 0.5 - center[:, 1:])
    across, down = np.clip(x + 0.5, 0, 1), np.clip(y + 0.5, 0, 1)
    return (down[:, :, None] * across[:, None, :]).astype(np.float32)


# --- Paint ----------------------------------------------------------------------------------------------------


def paint(video: np.ndarray, mask: np.ndarray, vivid: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How dark each pixel is, 0 as bright as the subject's own color and 1 as dark as a stripe: (T, h, w);
    the dark share of each inside, (T,); the mean color of its bright part, (T, 3)."""
    light, inside = video @ WEIGHTS, shrink(mask)
    dark, share, color = np.zeros_like(light), np.full(len(mask), np.nan), np.full((len(mask), 3), np.nan)
    for t in np.flatnonzero(mask.sum(axis=(1, 2)) >= LEAST_AREA):
        within = inside[t] if inside[t].sum() >= LEAST_AREA else mask[t]
        bright = within & (vivid[t] > 0.8 * np.percentile(vivid[t][within], 85))  # not dark, not mixed
        dark[t] = np.clip((1 - light[t] / (light[t][bright].mean() + 1e-3)) / (1 - scenes.DARK), 0, 1.6)
        share[t] = np.minimum(dark[t][within], 1).mean()
        color[t] = video[t][bright].mean(axis=0)
    return dark, share, color


def mouth(dark: np.ndarray, center: np.ndarray, width: np.ndarray) -> np.ndarray:
    """How far a mouth is open, 0 to 1, from the dark area of a face below its eyes: an ellipse pi a b, a known."""
    ticks = (np.arange(24) + 0.5) / 24
    x, y = center[:, :1] + width[:, None] * (ticks * 0.56 - 0.28), center[:, 1:] + width[:, None] * ticks * 0.40
    area = np.minimum(sample(dark, x, y) / 1.4, 1).mean(axis=(1, 2)) * 0.56 * 0.40  # in squared widths
    return (area / (np.pi * 0.2) - 0.045) / 0.13


def tilt(water: np.ndarray, center: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Half the slope of the water's surface, from its height in each column: (T,)."""
    ticks = (np.arange(24) + 0.5) / 24
    u = ticks * 0.8 - 0.4
    x, y = center[:, :1] + width[:, None] * u, center[:, 1:] + width[:, None] * (ticks - 0.5)
    height = sample(water, x, y).mean(axis=1)  # (T, 24), in widths
    return (height - height.mean(axis=1, keepdims=True)) @ u / (u @ u) / 2


# --- Shadow ---------------------------------------------------------------------------------------------------


def shadow_offset(luma: np.ndarray, cover: np.ndarray, ground: Ground, reach: int = 8) -> np.ndarray:
    """From subject to shadow, screen px (T, 2): the shift of the blurred outline that best explains what is darkened.

    Minimizes the sum over p outside the subject of (darkening(p) - outline(p - shift))², up to `reach` px.
    """
    size = [fft.next_fast_len(n + 2 * reach, real=True) for n in cover.shape[1:]]
    outside = (~grow(cover > 0.5)).astype(np.float32)
    darkened = np.clip((1 - luma / np.maximum(ground.luma, 0.05)) / (1 - render.SHADE), -0.5, 1.5) * outside
    outline = ndimage.uniform_filter(cover.astype(np.float32), (0, 3, 3))
    products = ((outside, outline**2), (-2 * darkened.astype(np.float32), outline))
    cost = fft.irfft2(sum(fft.rfft2(a, size) * fft.rfft2(b, size).conj() for a, b in products), size)
    cost = np.roll(cost, (reach, reach), axis=(1, 2))[:, : 2 * reach + 1, : 2 * reach + 1]  # (T, y shift, x shift)
    offset = np.full((len(cover), 2), np.nan)
    for t in np.flatnonzero(cover.any(axis=(1, 2))):
        y, x = np.unravel_index(cost[t].argmin(), cost[t].shape)
        inner = 0 < x < 2 * reach and 0 < y < 2 * reach
        if inner and cost[t, y, x] < -0.02 * cover[t].sum():  # else no shadow is better than any
            sub = vertex(cost[t, y, x - 1 : x + 2]), vertex(cost[t, y - 1 : y + 2, x])
            offset[t] = np.array([x, y]) - reach + sub
    return offset
