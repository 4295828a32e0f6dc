"""From a scene to frames: signed distances, anti-aliased over one pixel, all frames of a clip at once.

A shape is a signed distance function of (u, v), the subject's own frame in units of its width: negative
inside. `coverage` turns a distance in screen pixels into the share of the pixel that the shape covers.
"""

from __future__ import annotations

import numpy as np

from minit2v.world.scenes import DOT_PERIOD, DOT_RADIUS, HEIGHT, STRIPE_PERIOD, Scene

SHADE = 0.62  # a shadow multiplies what lies under it by this
INK = (0.10, 0.10, 0.12)  # eyes, mouths and glass
AIR = (0.92, 0.92, 0.92)
STONE = (0.60, 0.60, 0.61)


def render(scene: Scene) -> np.ndarray:
    """Draws a scene: uint8 (frames, height, width, 3), sRGB."""
    x, y = _world_grid(scene)  # (t, h, w) each, world px
    image = _background(scene, x, y)  # (3, t, h, w): whole planes are faster to blend than pixels
    u, v = _own_frame(scene, x - scene.shadow[0], y - scene.shadow[1])
    shadow = _cover(scene, _silhouette(scene, u, v), softness=2.0)  # (t, h, w)
    image *= 1 - (1 - SHADE) * shadow
    u, v = _own_frame(scene, x, y)
    _blend(image, _paint(scene, u, v), _cover(scene, _silhouette(scene, u, v)))
    _features(scene, image, u, v)
    if scene.pillar is not None:
        _pillar(scene, image, x)
    frames = (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(frames, 0, -1))  # (t, h, w, 3)


def subject_mask(scene: Scene) -> np.ndarray:
    """How much of each pixel the subject covers, the pillar in front of it: float32 (t, h, w) in [0, 1]."""
    x, y = _world_grid(scene)
    cover = _cover(scene, _silhouette(scene, *_own_frame(scene, x, y)))
    return cover * (1 - _pillar_cover(scene, x)) if scene.pillar is not None else cover


def shadow_mask(scene: Scene) -> np.ndarray:
    """Where the shadow is seen: float32 (t, h, w) in [0, 1]."""
    x, y = _world_grid(scene)
    u, v = _own_frame(scene, x - scene.shadow[0], y - scene.shadow[1])
    return _cover(scene, _silhouette(scene, u, v), softness=2.0) * (1 - subject_mask(scene))


def flow(scene: Scene) -> np.ndarray:
    """Where each pixel's content goes by the next frame: float32 (t - 1, h, w, 2), screen px, (x, y).

    The subject moves as a rigid body that may also turn and grow; legs, mouths and water are not counted.
    """
    x, y = _world_grid(scene)
    x, y = x[:-1], y[:-1]
    turn, grow = np.diff(scene.angle), scene.width[1:] / scene.width[:-1]
    now, then = scene.position[:-1], scene.position[1:]
    dx, dy = x - _t(now[:, 0]), y - _t(now[:, 1])
    moved_x = _t(then[:, 0]) + _t(grow) * (_t(np.cos(turn)) * dx - _t(np.sin(turn)) * dy)
    moved_y = _t(then[:, 1]) + _t(grow) * (_t(np.sin(turn)) * dx + _t(np.cos(turn)) * dy)
    on = subject_mask(scene)[:-1] > 0.5
    after = np.stack([np.where(on, moved_x, x), np.where(on, moved_y, y)], axis=-1)  # world px, next frame
    screen = (after - scene.camera[1:, None, None]) * scene.zoom[1:, None, None, None] + scene.center
    rows, columns = np.mgrid[: scene.world.height, : scene.world.width] + 0.5
    return (screen - np.stack([columns, rows], axis=-1)).astype(np.float32)


# --- Coordinates -------------------------------------------------------------------------------------------


def _t(values: np.ndarray) -> np.ndarray:
    """(t,) -> (t, 1, 1), to go with pictures."""
    return np.asarray(values, dtype=np.float32)[:, None, None]


def _world_grid(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """World coordinates of every pixel's center: two float32 (t, h, w)."""
    world = scene.world
    column = np.arange(world.width, dtype=np.float32) + 0.5 - world.width / 2
    row = np.arange(world.height, dtype=np.float32) + 0.5 - world.height / 2
    x = column[None, None, :] / _t(scene.zoom) + _t(scene.camera[:, 0])
    y = row[None, :, None] / _t(scene.zoom) + _t(scene.camera[:, 1])
    shape = (len(scene.zoom), world.height, world.width)
    return np.broadcast_to(x, shape), np.broadcast_to(y, shape)


def _own_frame(scene: Scene, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """World -> the subject's own frame, in widths, turned back and facing right."""
    dx = (x - _t(scene.position[:, 0])) / _t(scene.width)
    dy = (y - _t(scene.position[:, 1])) / _t(scene.width)
    if scene.angle.any():
        cos, sin = _t(np.cos(scene.angle)), _t(np.sin(scene.angle))
        dx, dy = cos * dx + sin * dy, cos * dy - sin * dx
    return dx * scene.facing if scene.meaning.subject == "dog" else dx, dy


def _cover(scene: Scene, distance: np.ndarray, softness: float = 1.0) -> np.ndarray:
    """Signed distance in widths -> the covered share of each pixel, an edge being `softness` px wide."""
    return np.clip(0.5 - distance * _t(scene.screen_width / softness), 0, 1)


def _rgb(color) -> np.ndarray:
    """A color -> (3, 1, 1, 1), to go with planes."""
    return np.asarray(color, dtype=np.float32).reshape(3, 1, 1, 1)


def _blend(image: np.ndarray, paint: np.ndarray, cover: np.ndarray) -> None:
    """Lays `paint`, (3, 1, 1, 1) or (3, t, h, w), over the image (3, t, h, w) where it covers it (t, h, w)."""
    image += cover * (paint - image)


# --- Shapes: signed distances in widths --------------------------------------------------------------------


def _disc(u, v, radius: float):
    return np.sqrt(u * u + v * v) - radius


def _ellipse(u, v, a, b):
    """Approximate distance to an ellipse of half axes a and b: exact on its outline."""
    p, q = u / a, v / b
    level = np.sqrt(p * p + q * q) + 1e-6
    return (level - 1) * level / (np.sqrt((p / a) ** 2 + (q / b) ** 2) + 1e-6)


def _slab(u, v, half_width, half_height):
    return np.maximum(np.abs(u) - half_width, np.abs(v) - half_height)


def _limb(u, v, top, foot, thickness: float):
    """A capsule from `top` to `foot`, each (u, v)."""
    du, dv = foot[0] - top[0], foot[1] - top[1]
    along = np.clip(((u - top[0]) * du + (v - top[1]) * dv) / (du * du + dv * dv), 0, 1)
    return np.sqrt((u - top[0] - along * du) ** 2 + (v - top[1] - along * dv) ** 2) - thickness


def _triangle(u, v):
    """Equilateral, side 1, centered on its bounding box; the tip is up."""
    half = HEIGHT["triangle"] / 2
    return np.maximum(v - half, 0.866 * np.abs(u) - 0.5 * (v + half))


def _star(u, v):
    """Five fat arms, 1 wide; the inner corners lie at half the outer radius."""
    outer, sector = 1 / 1.902, 2 * np.pi / 5
    v = v + 0.5 * HEIGHT["star"] - outer  # the center of the arms, above the bounding box's
    angle = np.abs((np.arctan2(u, -v) + sector / 2) % sector - sector / 2)  # 0 on an arm's axis
    radius = np.sqrt(u * u + v * v)
    along, across = radius * np.cos(angle), radius * np.sin(angle)
    tip, corner = (outer, 0.0), (0.5 * outer * np.cos(sector / 2), 0.5 * outer * np.sin(sector / 2))
    normal = np.array([corner[1] - tip[1], tip[0] - corner[0]])
    normal /= np.linalg.norm(normal)
    return normal[0] * (along - tip[0]) + normal[1] * (across - tip[1])


def _dog(u, v, stride):
    """Body, head, snout, ear, tail and four legs, seen from the side, facing right; `stride` swings the legs."""
    body = _ellipse(u + 0.06, v + 0.02, 0.34, 0.17)
    head = np.minimum(_disc(u - 0.29, v + 0.19, 0.145), _slab(u - 0.41, v + 0.155, 0.09, 0.065))
    ear = _limb(u, v, (0.24, -0.33), (0.29, -0.26), 0.06)
    tail = _limb(u, v, (-0.37, -0.09), (-0.455, -0.28), 0.045)
    shape = np.minimum(np.minimum(body, head), np.minimum(ear, tail))
    for hip, phase in ((-0.30, 1), (-0.20, -1), (0.10, 1), (0.20, -1)):
        foot = (hip + 0.24 * np.sin(phase * stride), 0.335 + 0 * stride)
        shape = np.minimum(shape, _limb(u, v, (hip, 0.05), foot, 0.055))
    return shape


def _silhouette(scene: Scene, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    subject = scene.meaning.subject
    if subject in ("ball", "face"):
        return _disc(u, v, 0.5)
    if subject == "dog":
        return _dog(u, v, _t(scene.stride))
    if subject == "tank":
        return _slab(u, v, 0.5, 0.45)
    if subject == "box":
        return _slab(u, v, 0.5, 0.5)
    return _triangle(u, v) if subject == "triangle" else _star(u, v)


# --- Paint -------------------------------------------------------------------------------------------------


def _paint(scene: Scene, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The subject's color with its texture, float32 (3, t, h, w) or (3, 1, 1, 1)."""
    color = _rgb(scene.color)
    texture = scene.meaning.texture
    if scene.meaning.subject == "tank" or texture == "plain":
        return color
    distance = _stripes(scene, u, v) if texture == "striped" else _dots(scene, u, v)
    return color - _cover(scene, distance) * (color * (1 - scene.dark))


def _pattern_frame(scene: Scene, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    cos, sin = np.float32(np.cos(scene.pattern_angle)), np.float32(np.sin(scene.pattern_angle))
    return cos * u + sin * v, cos * v - sin * u


def _stripes(scene: Scene, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Distance to dark stripes, half a period wide; one runs through the middle."""
    period = STRIPE_PERIOD * scene.pattern_scale
    across, _ = _pattern_frame(scene, u, v)
    return np.abs((across / period + 0.5) % 1.0 - 0.5) * period - period / 4


def _dots(scene: Scene, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Distance to dark dots on a hexagonal lattice; one lies in the middle."""
    a, b = DOT_PERIOD * scene.pattern_scale, DOT_PERIOD * scene.pattern_scale * np.sqrt(3)
    p, q = _pattern_frame(scene, u, v)
    nearest = [
        ((p / a + shift) % 1.0 - 0.5) ** 2 * a * a + ((q / b + shift) % 1.0 - 0.5) ** 2 * b * b for shift in (0.5, 0.0)
    ]
    return np.sqrt(np.minimum(*nearest)) - DOT_RADIUS * scene.pattern_scale


def _features(scene: Scene, image: np.ndarray, u: np.ndarray, v: np.ndarray) -> None:
    """What is drawn on top of the silhouette: eyes, a mouth that opens, water behind glass."""
    subject = scene.meaning.subject
    if subject == "dog":
        _blend(image, _rgb(INK), _cover(scene, _disc(u - 0.31, v + 0.22, 0.05)))
    elif subject == "face":
        _blend(image, _rgb(INK), _cover(scene, _disc(np.abs(u) - 0.19, v + 0.14, 0.085)))
        opening = _t(0.045 + 0.13 * scene.mouth)
        _blend(image, _rgb(INK), _cover(scene, _ellipse(u, v - 0.2, 0.2, opening)))
    elif subject == "tank":
        air = np.maximum(_slab(u, v, 0.44, 0.39), v - _t(scene.tilt) * -2 * u + 0.02)  # above the water's surface
        _blend(image, _rgb(AIR), _cover(scene, air))
        glass = np.abs(_slab(u, v, 0.47, 0.42)) - 0.03
        _blend(image, _rgb(INK), _cover(scene, glass))


def _pillar_cover(scene: Scene, x: np.ndarray) -> np.ndarray:
    middle, half = sum(scene.pillar) / 2, (scene.pillar[1] - scene.pillar[0]) / 2
    return np.clip(0.5 - (np.abs(x - middle) - half) * _t(scene.zoom), 0, 1)


def _pillar(scene: Scene, image: np.ndarray, x: np.ndarray) -> None:
    middle, half = sum(scene.pillar) / 2, (scene.pillar[1] - scene.pillar[0]) / 2
    roundness = 1 - 0.35 * ((x - middle) / half) ** 2  # darker towards its sides
    _blend(image, _rgb(STONE) * np.clip(roundness, 0.5, 1), _pillar_cover(scene, x))


# --- Backgrounds: fixed places, functions of world coordinates ----------------------------------------------


def _background(scene: Scene, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """float32 (3, t, h, w). Gray enough that the subject is always the most saturated thing."""
    sharp = _t(scene.zoom)  # edges stay one screen px wide
    if not np.ptp(scene.zoom) and not np.ptp(scene.camera):  # the camera holds: one picture serves all frames
        x, y, sharp = x[:1], y[:1], sharp[:1]
    place = {"checkered": _checkered, "brick": _brick, "starry": _starry}[scene.background]
    low, high, amount = place(x, y, sharp)
    low, high = _rgb(low + scene.tint), _rgb(high + scene.tint)
    return np.broadcast_to(low + amount * (high - low), (3, len(scene.zoom), *x.shape[1:])).copy()


def _square_wave(x: np.ndarray, sharp: np.ndarray, period: float) -> np.ndarray:
    """+1 and -1 in turn, half a period each, with edges one px wide."""
    ramp = (np.abs((x / period) % 1.0 - 0.5) - 0.25) * period  # distance from the nearest edge, signed
    return np.clip(2 * ramp * sharp, -1, 1)


def _checkered(x, y, sharp):
    """Tiles of 8 px, two light grays."""
    return (0.70, 0.70, 0.71), (0.86, 0.86, 0.85), 0.5 + 0.5 * _square_wave(x, sharp, 16) * _square_wave(y, sharp, 16)


def _brick(x, y, sharp):
    """Bricks of 16 x 8 px with mortar 1.6 px wide, every other row shifted by half a brick."""
    row = np.floor(y / 8)
    to_bed = np.abs((y / 8 + 0.5) % 1.0 - 0.5) * 8  # distance to the nearest horizontal joint
    to_joint = np.abs((x / 16 + 0.5 * (row % 2) + 0.5) % 1.0 - 0.5) * 16
    mortar = np.clip(0.5 + (0.8 - np.minimum(to_bed, to_joint)) * sharp, 0, 1)
    return (0.70, 0.64, 0.59), (0.86, 0.84, 0.81), mortar


_STAR_SHIFT = np.random.default_rng(7).uniform(-3, 3, size=(64, 64, 2)).astype(np.float32)


def _starry(x, y, sharp):
    """One star of 2.4 px in each cell of 12 px, at its own place in the cell; the sky repeats after 768 px."""
    column, row = np.floor(x / 12).astype(int), np.floor(y / 12).astype(int)
    shift = _STAR_SHIFT[row % 64, column % 64]
    dx, dy = x - (column + 0.5) * 12 - shift[..., 0], y - (row + 0.5) * 12 - shift[..., 1]
    glow = np.clip(0.5 + (1.2 - np.sqrt(dx * dx + dy * dy)) * sharp, 0, 1)
    return (0.42, 0.44, 0.52), (0.90, 0.90, 0.93), glow
