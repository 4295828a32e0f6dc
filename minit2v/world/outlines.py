"""Outlines and patterns of every subject, turned every way: what the oracle compares a clip with.

They are drawn once by the renderer, large, and brought to a common place and size. So are the outlines of a
clip; what is left is shape alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy import ndimage

from minit2v.world import captions, render, scenes

GRID, REACH = 28, 1.15  # samples across a normalized outline, and its half width in square roots of its area
LARGE = 40.0  # px: the width at which templates are drawn
BLURS = (0.0, 0.1, 0.2)  # of the templates, in square roots of the area: a soft clip still has a shape
TURNS = {"box": (18, np.pi / 2), "triangle": (24, 2 * np.pi / 3), "star": (15, 2 * np.pi / 5)}  # templates, period


@dataclass(frozen=True)
class Outlines:
    """n templates. pictures (n, GRID²): centered on their centroids, of unit area.   subjects (n,): names.

    angle (n,): rad.   area (n,): in squared widths.   centroid (n, 2): from the subject's center, in widths.
    blur (n,): index into BLURS.
    """

    pictures: np.ndarray
    subjects: np.ndarray
    angle: np.ndarray
    area: np.ndarray
    centroid: np.ndarray
    blur: np.ndarray

    def overlap(self, pictures: np.ndarray) -> np.ndarray:
        """Intersection over union of soft pictures (T, GRID²) with every template: (T, n), 1 for equal ones.

        Formula: a·b / (|a|² + |b|² - a·b), Tanimoto's; for masks of zeros and ones it counts pixels.
        """
        both = pictures @ self.pictures.T
        return both / ((pictures**2).sum(axis=1)[:, None] + (self.pictures**2).sum(axis=1) - both + 1e-6)


def normalize(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """mask (T, h, w) -> pictures (T, GRID²), area (T,) in px, centroid (T, 2) in px from the upper left corner."""
    mask = mask.astype(np.float32)
    columns, rows = mask.sum(axis=1), mask.sum(axis=2)  # (T, w), (T, h)
    area = columns.sum(axis=1)
    ticks = [np.arange(marginal.shape[1]) + 0.5 for marginal in (columns, rows)]
    centroid = np.stack([columns @ ticks[0], rows @ ticks[1]], axis=1) / np.maximum(area, 1e-6)[:, None]
    return on_grid(mask, centroid, area), area, centroid


def on_grid(images: np.ndarray, centroid: np.ndarray, area: np.ndarray) -> np.ndarray:
    """images (T, h, w) sampled on the grid that makes an outline's area one: (T, GRID²)."""
    step = REACH * np.sqrt(area)[:, None] * ((np.arange(GRID) + 0.5) / GRID * 2 - 1)  # (T, GRID)
    return sample(images, centroid[:, :1] + step, centroid[:, 1:] + step).reshape(len(images), -1)


def sample(images: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Bilinear samples of images (T, h, w) at x (T, g) by y (T, g), in px, pixel centers at halves; zero outside."""
    across, down = _tent(x, images.shape[2]), _tent(y, images.shape[1])  # (T, g, w), (T, g, h)
    return down @ images.astype(np.float32) @ across.transpose(0, 2, 1)  # (T, g, g)


def _tent(x: np.ndarray, size: int) -> np.ndarray:
    return np.maximum(1 - np.abs(x[:, :, None] - 0.5 - np.arange(size)), 0).astype(np.float32)


# --- Drawing the templates ------------------------------------------------------------------------------------


def _draw(subject: str, angle=0.0, stride=0.0, tilt=0.0, mouth=0.0, facing=1, texture="plain") -> scenes.Scene:
    """A large red subject in the middle, one frame per entry of the array that is given."""
    angle, stride, tilt, mouth = np.broadcast_arrays(*np.atleast_1d(angle, stride, tilt, mouth))
    frames, zero = len(angle), np.zeros(len(angle))
    return scenes.Scene(
        captions.Meaning(subject, texture=texture), replace(scenes.STANDARD, frames=frames), np.zeros((frames, 2)),
        zero + LARGE, angle, mouth, tilt, stride, np.zeros((frames, 2)), zero + 1, np.array([1.0, 0.0, 0.0]),
        "checkered", facing=facing,
    )  # fmt: skip


def _postures(subject: str) -> list[scenes.Scene]:
    if subject == "dog":
        return [_draw("dog", stride=np.linspace(-0.5, 0.5, 5), facing=side) for side in (1, -1)]
    if subject == "tank":
        return [_draw("tank", tilt=np.linspace(-scenes.SLOSH_TILT, scenes.SLOSH_TILT, 13))]
    count, period = TURNS.get(subject, (1, 0.0))
    return [_draw(subject, angle=np.arange(count) * period / count)]


def _outline(scene: scenes.Scene) -> np.ndarray:
    """What of a subject is colorful: all of it, or a tank's water."""
    if scene.meaning.subject != "tank":
        return render.subject_mask(scene)
    inside = render.subject_mask(replace(scene, width=0.94 * scene.width)) > 0.5  # within the glass, and
    inside[:, : int(scene.center[1] - 0.25 * LARGE)] = False  # below the seam of glass and air, which shows color
    red, green, _ = np.moveaxis(render.render(scene) / np.float32(255), -1, 0)
    return np.clip(red - green, 0, 1) * inside


@lru_cache(maxsize=8)
def outlines(subjects: tuple[str, ...]) -> Outlines:
    """The templates of some subjects; a face has the outline of a ball and needs none of its own."""
    parts = []
    for subject in (s for s in subjects if s != "face"):
        for scene in _postures(subject):
            mask = _outline(scene)
            _, area, centroid = normalize(mask)
            for level, blur in enumerate(BLURS):
                sigma = blur * np.sqrt(area.mean())
                pictures = on_grid(ndimage.gaussian_filter(mask, (0, sigma, sigma)), centroid, area)
                offset = (centroid - scene.screen_position) / LARGE
                names, levels = np.full(len(area), subject), np.full(len(area), level)
                parts.append((pictures, names, scene.angle, area / LARGE**2, offset, levels))
    return Outlines(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


# --- Patterns on a disc ---------------------------------------------------------------------------------------

PATTERN_PERIOD = {"striped": np.pi, "dotted": np.pi / 3}
_TICKS = REACH * ((np.arange(GRID) + 0.5) / GRID * 2 - 1)
INSIDE = (np.hypot(_TICKS[:, None], _TICKS) < 0.8 / np.sqrt(np.pi)).ravel()  # (GRID²,) well inside a disc


@lru_cache(maxsize=1)
def patterns() -> dict[str, np.ndarray]:
    """Dark patterns of a disc, (n, GRID²) each: a striped and a dotted ball, turning, and a face opening its mouth."""
    drawn = {
        "striped": _draw("ball", angle=np.arange(24) * np.pi / 24, texture="striped"),
        "dotted": _draw("ball", angle=np.arange(12) * np.pi / 36, texture="dotted"),
        "face": _draw("face", mouth=np.array([0.0, 0.5, 1.0])),
    }
    return {name: _centered(_dark_map(scene)) for name, scene in drawn.items()}


def _dark_map(scene: scenes.Scene) -> np.ndarray:
    dark = (1 - render.render(scene)[..., 0] / np.float32(255)) / (1 - scenes.DARK)
    area = np.full(len(dark), np.pi * LARGE**2 / 4)
    return on_grid(dark, scene.screen_position, area)


def _centered(pictures: np.ndarray) -> np.ndarray:
    """Zero mean and unit length inside the disc, zero outside."""
    pictures = (pictures - pictures[:, INSIDE].mean(axis=1, keepdims=True)) * INSIDE
    return pictures / (np.linalg.norm(pictures, axis=1, keepdims=True) + 1e-6)


def alike(pictures: np.ndarray, pattern: str) -> np.ndarray:
    """Correlation of dark maps (T, GRID²) with one of `patterns`, in all its positions: (T, n)."""
    return _centered(pictures) @ patterns()[pattern].T
