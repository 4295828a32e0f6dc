"""Is it still the same thing? Color, size, shape and texture of a subject against its own first frame.

`track` is what the oracle measured (`judge(frames).track`). A frozen clip is perfect here: never read these figures
without a motion figure beside them.
"""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
from scipy import ndimage

from minit2v.physics import finite_mean, rms, sides, span, whole
from minit2v.world.captions import Meaning
from minit2v.world.oracle import lab

# What counts as no longer the same: dE, log of the width, share of the outline, lost correlation.
TOLERANCE = {"color": 10.0, "size": 0.1, "shape": 0.15, "texture": 0.3}
# Bounds of verdicts, on the same figures: so wide that a VAE, which blurs an outline by a pixel, is within them.
KEPT = {"color": 10.0, "size": 0.15, "texture": 0.6}
LEAST_OVERLAP = {"large": 0.8, "small": 0.65}  # of outlines after best alignment; of small ones a pixel is more


def sample(images: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Bilinear values of images (t, h, w, c) at screen points x, y (t, …), px: (t, …, c)."""
    time = np.arange(len(images)).reshape(-1, *[1] * (x.ndim - 1))
    height, width = images.shape[1:3]
    x, y = np.clip(x - 0.5, 0, width - 1), np.clip(y - 0.5, 0, height - 1)  # a pixel's center lies at .5
    left, top = np.minimum(x.astype(int), width - 2), np.minimum(y.astype(int), height - 2)
    fx, fy = (x - left)[..., None], (y - top)[..., None]
    upper = images[time, top, left] * (1 - fx) + images[time, top, left + 1] * fx
    lower = images[time, top + 1, left] * (1 - fx) + images[time, top + 1, left + 1] * fx
    return upper * (1 - fy) + lower * fy


def _rings(images: np.ndarray, mask: np.ndarray, radii: int = 20, angles: int = 48) -> np.ndarray:
    """images (t, h, w) around the mask's centroid: (t, radii, angles), out to 1.8 radii of a disc of its area.

    Place and size are divided out; a turn of the subject is a shift along the last axis. Outside the picture is 0.
    """
    height, width = mask.shape[1:]
    rows, columns = np.arange(height) + 0.5, np.arange(width) + 0.5
    area = mask.sum(axis=(1, 2))
    x, y = mask.sum(axis=1) @ columns / area, mask.sum(axis=2) @ rows / area
    radius = np.sqrt(area / np.pi)[:, None] * _radius(radii)  # (t, r)
    angle = 2 * np.pi * np.arange(angles) / angles
    x = x[:, None, None] + radius[..., None] * np.cos(angle)
    y = y[:, None, None] + radius[..., None] * np.sin(angle)
    framed = np.pad(images.astype(np.float32), ((0, 0), (1, 1), (1, 1)))  # what touches the border must end there
    return sample(framed[..., None], x + 1, y + 1)[..., 0]


def _radius(radii: int) -> np.ndarray:
    return 1.8 * (np.arange(radii) + 0.5) / radii


def _turned(rings: np.ndarray, turns: bool) -> np.ndarray:
    """(t, r, a) -> (t, s, r, a): the same, turned by each of s angles (by none, if the subject does not spin)."""
    angles = rings.shape[2]
    shift = np.arange(angles)[:, None] if turns else np.zeros((1, 1), dtype=int)
    return np.moveaxis(rings[:, :, (np.arange(angles) + shift) % angles], 2, 1)


def _outside_mouth(radii: int, angles: int) -> np.ndarray:
    """(r, a) weights: 0 where a face has its mouth (see `render`), 1 elsewhere."""
    angle = 2 * np.pi * np.arange(angles) / angles
    u, v = (_radius(radii)[:, None] * f(angle) / 2 for f in (np.cos, np.sin))  # in widths
    return 1.0 - ((np.abs(u) < 0.28) & (v > -0.02) & (v < 0.45))


def drift_curves(frames: np.ndarray, track, meaning: Meaning) -> dict[str, np.ndarray]:
    """How far the subject is from its own first frame, over time: name -> (t,), 0 on that frame.

    color: |Lab(t) - Lab(0)|, CIELAB dE (1976). size: |log of width over zoom, minus its value at 0|; while the
    prompt lets it grow or shrink, what remains beside the best steady growth. shape:
    1 - intersection over union of the two outlines, put on one centroid and one area, in the best of 48 turns
    if it spins (else unturned). texture: 1 - `texture_correlation`. nan where the subject is hidden, except
    that shape is 1 where it should be seen and is not.
    """
    seen, mask = whole(track, meaning), track.mask
    curves = {name: np.full(len(seen), np.nan) for name in TOLERANCE}
    if not meaning.pillar:
        curves["shape"][~mask.any(axis=(1, 2))] = 1.0
    if not seen.any():
        return curves
    first = np.flatnonzero(seen)[0]
    colors = lab(track.rgb[seen])
    curves["color"][seen] = np.linalg.norm(colors - colors[0], axis=-1)
    curves["size"][seen] = np.abs(_size_change(track, meaning, seen))
    turns = "spins" in meaning.motions
    if meaning.subject != "tank":  # what is seen of it is its water, and that moves
        curves["shape"][seen] = 1 - _overlap(_rings(mask[seen], mask[seen]), turns)
    curves["texture"][:] = 1 - texture_correlation(frames, track, meaning)
    return {name: np.where(np.arange(len(seen)) == first, 0.0, curve) for name, curve in curves.items()}


def _size_change(track, meaning: Meaning, seen: np.ndarray) -> np.ndarray:
    """Log of the width against the first seen frame, without the best steady growth while one is due: (seen,)."""
    size, frames = np.log(track.world_width)[seen], np.arange(len(seen))
    due = [span(motion, meaning, len(seen)) for motion in ("grows", "shrinks") if motion in meaning.motions]
    if not due:
        return size - size[0]
    trend = np.stack([np.clip(frames, part.start, part.stop - 1)[seen] for part in due], axis=1)
    trend, size = (trend - trend[0]).astype(float), size - size[0]
    return size - trend @ np.linalg.lstsq(trend, size, rcond=None)[0]


def _overlap(rings: np.ndarray, turns: bool) -> np.ndarray:
    """Intersection over union of soft outlines (t, r, a) with the first one, in the best turn: (t,)."""
    first, area = rings[0], _radius(rings.shape[1])[:, None]
    other = _turned(rings, turns)
    both = (np.minimum(first, other) * area).sum(axis=(2, 3))
    either = (np.maximum(first, other) * area).sum(axis=(2, 3))
    return (both / either).max(axis=1)


def texture_correlation(frames: np.ndarray, track, meaning: Meaning) -> np.ndarray:
    """Is the pattern on the subject that of the first frame? (t,), in [-1, 1], 1 is best, nan where hidden.

    Formula: (2 cov(p₀, p) + c) / (var p₀ + var p + c) over the subject's inside, p being the mean of rgb in
    [0, 1] on 20 rings of 48 points, put on one centroid and one area, in the best of 48 turns if it spins.
    c = 0.03²; for contrasts far above 0.03 this is the correlation, and two plain subjects read 1.
    A face is compared outside its mouth. A tank reads nan: its water moves.
    Blind to color, size and shape, and to a pattern that slides over a subject that spins.
    Source: chapter, "clothing texture can change"; contrast-structure term of SSIM (Wang et al. 2004, eq. 13).
    """
    seen, mask = whole(track, meaning), track.mask
    correlation = np.full(len(seen), np.nan)
    if meaning.subject == "tank" or not seen.any():
        return correlation
    turns = "spins" in meaning.motions
    core = ndimage.binary_erosion(mask[seen], _box(3))
    inside = _turned(_rings(core, mask[seen]), turns)  # (t, s, r, a)
    pattern = _turned(_rings(frames[seen].mean(axis=-1) / 255, mask[seen]), turns)
    weight = np.minimum(inside, inside[:1, :1]) * _radius(inside.shape[2])[:, None]
    if meaning.subject == "face":
        weight = weight * _outside_mouth(*inside.shape[2:])
    weight = weight / np.maximum(weight.sum(axis=(2, 3), keepdims=True), 1e-9)

    def moment(a, b):
        mean_a, mean_b = ((weight * p).sum(axis=(2, 3)) for p in (a, b))
        return (weight * a * b).sum(axis=(2, 3)) - mean_a * mean_b

    first, c = pattern[:1, :1], 0.03**2
    alike = (2 * moment(first, pattern) + c) / (moment(first, first) + moment(pattern, pattern) + c)
    correlation[seen] = alike.max(axis=1)
    return correlation


def identity_drift(frames: np.ndarray, track, meaning: Meaning) -> dict[str, float]:
    """Does the subject stay itself? Mean over time of the four `drift_curves`, and one summary. 0 is best.

    color in dE, size in log units (0.1 is 10 %), shape and texture in 1 - agreement; summary is the rms of the
    four, each over its TOLERANCE, so 1 means "as far off as one would just not accept".
    Blind to: whether the subject was right to begin with, and the order of the frames. A frozen clip scores 0:
    read it beside a motion figure. A walking dog's legs cost some shape.
    Source: chapter, "the same dog must remain the same dog".
    """
    curves = drift_curves(frames, track, meaning)
    drift = {name: finite_mean(curve[1:]) for name, curve in curves.items()}
    return {"summary": rms([drift[name] / TOLERANCE[name] for name in drift]), **drift}


def permanence(frames: np.ndarray, track, meaning: Meaning) -> float:
    """Does the same object come out from behind the pillar? 1 yes, 0 no, nan if the prompt has no pillar.

    The frames that show it best on both sides are compared (`physics.sides`): color, size, outline and texture must
    have `stayed`. 0 if it is not seen on both sides, or not hidden in between.
    Blind to where it comes out: see `physics.emergence_error`. Source: chapter, "long-range consistency".
    """
    if not meaning.pillar:
        return math.nan
    both = sides(track, meaning)
    if both is None:
        return 0.0
    view = replace(track, **{field.name: getattr(track, field.name)[list(both)] for field in fields(track)})
    view.visible = np.ones(2, dtype=bool)
    change = at_end(frames[list(both)], view, replace(meaning, pillar=False))
    return stayed(change, "small", tuple(change))


def whenever_seen(track):
    """The track, with the subject taken for visible wherever anything of it is. Blind to what is hidden of it.
    Source: none; a subject that is cut by the border is still there."""
    return replace(track, visible=np.isfinite(track.width))


def at_end(frames: np.ndarray, track, meaning: Meaning, last: int = 1) -> dict[str, float]:
    """How far the subject is at the end from its own first frame: `typical` of the last `last` frames. What is seen in
    part counts, as far as it is seen. Blind to what happens in between.
    Source: chapter, "the same dog must remain the same dog".
    """
    return typical(drift_curves(frames, whenever_seen(track), meaning), meaning, slice(-last, None))


def typical(curves: dict[str, np.ndarray], meaning: Meaning, part: slice) -> dict[str, float]:
    """Medians of the `drift_curves` over a part of the frames: inf for what is not to be seen there, nan for what is
    never compared (a tank's outline and pattern). Blind to single frames. Source: as the curves'.
    """
    change = {}
    for name, curve in curves.items():
        values = curve[part][np.isfinite(curve[part])]
        never = meaning.subject == "tank" and name in ("shape", "texture")
        change[name] = math.nan if never else float(np.median(values)) if len(values) else math.inf
    return change


def stayed(change: dict[str, float], size: str | None, names=("color", "shape")) -> float:
    """1 if what `at_end` tells is within bounds, else 0: those of KEPT, and outlines that overlap by `LEAST_OVERLAP` of
    a subject of that size (that of a small one, if it is not known).

    Blind to whatever is not among `names`. Source: dE 10 and the overlaps are the course's bars for image-to-video.
    """
    bounds = KEPT | {"shape": 1 - LEAST_OVERLAP.get(size, LEAST_OVERLAP["small"])}
    return float(not any(change[name] > bounds[name] for name in names))  # nan is within bounds


def edge_sharpness(frames: np.ndarray, track) -> float:
    """How sharp is the subject's outline? About 1 for an edge one pixel wide, towards 0 as it blurs.

    Formula: mean over the outline's pixels of 2 G / R, G the largest |∇s| within 1 px (central differences), R the
    range of s within 3 px, s the frame projected on the line from the color around the subject to its own. No
    unit: an ideal edge has G = R/2. A Gaussian blur of 1 px makes it about 0.63, one of 2 px 0.41.
    Blind to where the edge is, and to what is sharp elsewhere. Source: chapter, "if denoising steps are too
    few, motion looks muddy".
    """
    mask, video = track.mask, frames / np.float32(255)
    around = ndimage.binary_dilation(mask, _box(7)) & ~ndimage.binary_dilation(mask, _box(3))
    count = np.maximum(around.sum(axis=(1, 2)), 1)
    other = np.einsum("thwc,thw->tc", video, around) / count[:, None]
    axis = np.nan_to_num(track.rgb) - other
    axis = axis / np.maximum((axis**2).sum(axis=1, keepdims=True), 1e-6)
    s = np.einsum("thwc,tc->thw", video - other[:, None, None], axis)
    steep = ndimage.maximum_filter(np.hypot(*np.gradient(s, axis=(1, 2))), (1, 3, 3))
    step = ndimage.maximum_filter(s, (1, 7, 7)) - ndimage.minimum_filter(s, (1, 7, 7))
    outline = mask & ~ndimage.binary_erosion(mask, _box(3), border_value=1)
    return finite_mean((2 * steep / np.maximum(step, 0.05))[outline])


def _box(size: int) -> np.ndarray:
    """A square in every frame, for the morphology of masks (t, h, w)."""
    return np.ones((1, size, size), dtype=bool)
