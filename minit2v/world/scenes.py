"""From a meaning and a seed to a scene: the ground truth of a clip, frame by frame.

All geometry is in world pixels, x to the right and y down; the camera starts at the origin of the world, so
at rest one world pixel is one screen pixel. Time is in seconds, `frame / fps`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

import numpy as np

from minit2v.errors import UserError
from minit2v.world import captions
from minit2v.world.captions import Meaning

# --- Constants of nature. Rates are nominal; "slowly" halves and "quickly" doubles them. ---------------------
SPEED_FACTOR = {"slow": 0.5, "normal": 1.0, "quick": 2.0}
GLIDE = 7.0  # px/s, for left, right, up and down
DROP = 16.0  # px, the height of a bounce
CYCLE_SECONDS = {"bounces": 1.0, "circles": 2.0, "talks": 1.0, "sloshes": 1.0}
LEAST_CYCLES = {"bounces": 1.0, "circles": 0.5, "talks": 1.0, "sloshes": 1.0}  # fewer cannot be recognised
RADIUS = 9.0  # px, of a circle
GROWTH = np.log(1.5) / 2  # 1/s: grows by half in two seconds
SPIN = np.pi / 3  # rad/s, clockwise on the screen; 7.5 degrees per frame at 8 fps
SLOSH_TILT, SLOSH_DAMPING = 0.26, 0.7  # water height at the wall in tank widths, and 1/s
LEAST_TILT = 0.03  # tank widths: water that swings less, by half a pixel or so, stands still
STEP_CYCLES = 2.0  # strides per second of a walking dog, and the most: at 8 fps, 4 would look like none
PAN = 8.0  # px/s
ZOOM = np.log(1.3) / 2  # 1/s: pushes in by 30 % in two seconds
CAMERA_STEADY, CAMERA_EASE = 2.0, 2.0  # s: a camera moves at its rate, then comes to rest: seen in long clips only
LONG_HOLD = 0.18  # of the long clips that are drawn, beside those that nothing else fits
SHADOW = (4.0, 4.0)  # px: the light stands to the upper left, for ever
PILLAR_WIDTH, PILLAR_GLIDE = 21.8, 20.95  # px and px/s: wider than a dog, and fast enough for it to come out
PILLAR_SHARE = 0.04  # of the meanings that are drawn
STRIPE_PERIOD, DOT_PERIOD, DOT_RADIUS = 0.40, 0.44, 0.105  # in widths of the subject
DARK = 0.42  # stripes and dots are the subject's color times this

# Height of each subject in widths; a spinning subject needs the whole diagonal.
HEIGHT = {"ball": 1.0, "box": 1.0, "triangle": 0.866, "star": 0.951, "dog": 0.78, "face": 1.0, "tank": 0.9}
DIAGONAL = {"ball": 1.0, "box": 1.4143, "triangle": 1.155, "star": 1.052}
SLACK = 5.0  # px: how far above its minimum a width is drawn


@dataclass(frozen=True)
class World:
    """The canvas and the part of the language that is spoken on it."""

    name: str
    frames: int
    height: int
    width: int
    fps: int
    sizes: dict[str, tuple[float, float]]  # legal widths in px on the first frame
    range: tuple[float, float]  # legal widths in px on any frame
    subjects: tuple[str, ...] = tuple(captions.SUBJECTS)
    colors: tuple[str, ...] = tuple(captions.COLORS)
    textures: tuple[str, ...] = tuple(captions.TEXTURES)
    speeds: tuple[str, ...] = tuple(captions.SPEEDS)
    motions: tuple[str, ...] = tuple(captions.MOTIONS)
    cameras: tuple[str, ...] = tuple(captions.CAMERAS)
    backgrounds: tuple[str, ...] = tuple(captions.BACKGROUNDS)
    rich: bool = True  # knows "then" and the pillar

    @property
    def seconds(self) -> float:
        return (self.frames - 1) / self.fps

    @property
    def long(self) -> bool:
        """Whether cameras come to rest before its clips end."""
        return self.seconds > CAMERA_STEADY


STANDARD = World("standard", 17, 64, 64, 8, {"small": (16, 24), "large": (28, 42)}, (16, 48))
NANO = World(
    "nano", 9, 32, 32, 8, {"small": (11, 15)}, (9, 20),
    subjects=("ball", "box", "triangle", "star"), colors=("red", "yellow", "green", "cyan", "blue", "pink"),
    textures=("plain",), speeds=("normal",), cameras=("hold",), backgrounds=("checkered",), rich=False,
    motions=("left", "right", "up", "down", "grows", "shrinks", "still"),
)  # fmt: skip
WORLDS = {world.name: world for world in (STANDARD, NANO)}
LEAST_WIDTH = {"dog": 20.0, "face": 20.0}  # legs, eyes and mouth must be seen
ADDED = {}  # motions of one's own: name -> offsets in px (T, 2), of seconds (T,) and a pace; see `extension`


@dataclass(frozen=True)
class Scene:
    """The full ground truth of one clip of `T` frames. Arrays are float64.

    position (T, 2): the subject's center, world px.   width (T,): its width, world px.   angle (T,): rad.
    mouth (T,): 0 shut to 1 open.   tilt (T,): water height at the right wall, in widths.   stride (T,): rad.
    camera (T, 2): world point at the middle of the picture.   zoom (T,): screen px per world px.
    color (3,), dark (3,): sRGB 0..1.   shadow (2,): world px from subject to shadow, the light being fixed.
    pillar: (left, right) in world px, or None.   facing: +1 right, -1 left (dogs).
    """

    meaning: Meaning
    world: World
    position: np.ndarray
    width: np.ndarray
    angle: np.ndarray
    mouth: np.ndarray
    tilt: np.ndarray
    stride: np.ndarray
    camera: np.ndarray
    zoom: np.ndarray
    color: np.ndarray
    background: str
    facing: int = 1
    shadow: np.ndarray = field(default_factory=lambda: np.array(SHADOW))
    pillar: tuple[float, float] | None = None
    dark: float = DARK
    pattern_angle: float = 0.6  # rad, of stripes and dots in the subject's own frame
    pattern_scale: float = 1.0
    tint: np.ndarray = field(default_factory=lambda: np.zeros(3))  # added to the background

    @property
    def center(self) -> np.ndarray:
        return np.array([self.world.width / 2, self.world.height / 2])

    @property
    def screen_position(self) -> np.ndarray:
        """(T, 2): the subject's center in screen px."""
        return (self.position - self.camera) * self.zoom[:, None] + self.center

    @property
    def screen_width(self) -> np.ndarray:
        """(T,): the subject's width in screen px."""
        return self.width * self.zoom


def scene(meaning: Meaning, seed: int = 0, world: World = STANDARD) -> Scene:
    """The scene that shows `meaning`; what the prompt leaves open is drawn from `seed`.

    Raises `UserError` when this world cannot show the meaning: see `check`.
    """
    rng = random.Random(f"scene {seed}")
    check(meaning, world)
    draw = replace(
        meaning,
        color=meaning.color or rng.choice(world.colors),
        background=meaning.background or rng.choice(world.backgrounds),
    )
    sizes = [meaning.size] if meaning.size else [s for s in world.sizes if _possible(replace(draw, size=s), world)]
    draw = replace(draw, size=rng.choice(sizes))
    return _stage(draw, world, rng)


def _stage(meaning: Meaning, world: World, rng: random.Random) -> Scene:
    """Puts the actors in their places: a width and a start that keep the subject in the picture."""
    truth = _truth(meaning, world)
    low, high = _widths(truth, meaning, world)
    roomy = low + SLACK if meaning.size == "small" else low + 1.6 * SLACK
    width = rng.uniform(low, min(high, roomy))
    while (box := _room(truth, width, meaning, world)) is None:  # a wide subject may have no room: a narrower one
        if width == low:
            raise UserError(_leaves(meaning))
        width = low + (width - low) / 2 if width - low > 0.1 else low
    (x0, x1), (y0, y1) = box
    start = np.array([rng.uniform(x0, x1), rng.uniform(y0, y1)])
    left = "left" in meaning.motions and meaning.motions[0] != "right"
    return Scene(
        meaning=meaning,
        world=world,
        position=truth.offset + start,
        width=width * truth.scale,
        angle=truth.angle,
        mouth=truth.mouth,
        tilt=truth.tilt,
        stride=truth.stride,
        camera=truth.camera,
        zoom=truth.zoom,
        color=np.array(captions.COLORS[meaning.color]),
        background=meaning.background,
        facing=-1 if left else 1,
        pillar=(-PILLAR_WIDTH / 2, PILLAR_WIDTH / 2) if meaning.pillar else None,
    )


# --- What each motion does to the subject, as functions of time --------------------------------------------


@dataclass
class Truth:
    """What a meaning fixes before size and place are drawn: offsets in px, scale factors, angles in rad."""

    offset: np.ndarray  # (T, 2)
    scale: np.ndarray  # (T,)
    angle: np.ndarray
    mouth: np.ndarray
    tilt: np.ndarray
    stride: np.ndarray
    camera: np.ndarray  # (T, 2)
    zoom: np.ndarray


def pace(meaning: Meaning) -> float:
    """The factor that "slowly" (0.5) and "quickly" (2) put on every rate."""
    return SPEED_FACTOR[meaning.speed]


def glide_speed(meaning: Meaning) -> float:
    """Speed of left, right, up and down, px/s."""
    return PILLAR_GLIDE if meaning.pillar else GLIDE * pace(meaning)


def _truth(meaning: Meaning, world: World) -> Truth:
    frames = world.frames
    time = np.arange(frames) / world.fps
    zero = np.zeros(frames)
    truth = Truth(np.zeros((frames, 2)), np.ones(frames), *(zero.copy() for _ in range(4)), *_camera(meaning, time))
    share = world.seconds / len(meaning.motions)
    for part, motion in enumerate(meaning.motions):
        _act(truth, motion, np.clip(time - part * share, 0, share), meaning)
    return truth


def _act(truth: Truth, motion: str, t: np.ndarray, meaning: Meaning) -> None:
    """Adds one motion; `t` (T,) is the time since it began, at rest before and after."""
    speed, rate = glide_speed(meaning), pace(meaning)
    if motion in ("left", "right", "up", "down"):
        step = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}[motion]
        truth.offset += speed * t[:, None] * np.array(step)
        if motion in ("left", "right"):
            truth.stride += 0.5 * np.sin(2 * np.pi * STEP_CYCLES * t * min(speed / GLIDE, 1))
    elif motion == "bounces":  # thrown nowhere, dropped from rest: y = g t^2 / 2 until the floor, then mirrored
        phase = (t * rate / CYCLE_SECONDS[motion]) % 1.0
        truth.offset[:, 1] += DROP * (1 - _height(phase))
    elif motion == "circles":  # clockwise on the screen, from the top
        turn = 2 * np.pi * t * rate / CYCLE_SECONDS[motion]
        truth.offset += RADIUS * np.stack([np.sin(turn), 1 - np.cos(turn)], axis=1)
    elif motion in ("grows", "shrinks"):
        truth.scale *= np.exp((1 if motion == "grows" else -1) * GROWTH * rate * t)
    elif motion == "spins":
        truth.angle += SPIN * rate * t
    elif motion == "talks":
        truth.mouth += (1 - np.cos(2 * np.pi * t * rate / CYCLE_SECONDS[motion])) / 2
    elif motion == "sloshes":  # pushed while level, so that it is level before and after
        truth.tilt += swing(meaning, t) * np.sin(2 * np.pi * t * rate / CYCLE_SECONDS[motion])
    elif motion in ADDED:
        truth.offset += ADDED[motion](t, rate)


def swing(meaning: Meaning, time):
    """How far water swings, in tank widths, a time in s after it was pushed."""
    return SLOSH_TILT * np.exp(-SLOSH_DAMPING * pace(meaning) * time)


def _height(phase: np.ndarray) -> np.ndarray:
    """Height of a bouncing ball in drops: 1 at phase 0, 0 on the floor at phase 1/2, 1 again at phase 1."""
    fallen = np.minimum(phase, 1 - phase) * 2  # 0 at the top, 1 on the floor, linear in time
    return 1 - fallen**2


def _camera(meaning: Meaning, time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the camera looks, (T, 2) world px, and its zoom (T,), when the clip ends with the last of `time` (T,)."""
    pan = {"pan left": -PAN, "pan right": PAN}.get(meaning.camera, 0.0)
    zoom = {"push in": ZOOM, "pull out": -ZOOM}.get(meaning.camera, 0.0)
    way = eased(time, camera_steady(meaning, time[-1]))
    return np.stack([pan * way, 0 * way], axis=1), np.exp(zoom * way)


def camera_steady(meaning: Meaning, seconds: float) -> float:
    """For how many seconds of a clip of `seconds` the camera moves at its full rate.

    A camera arrives: what it does it does in the first seconds, as long as the standard clip. It follows a subject
    that sets out its way at about its speed for as long as that goes on.
    """
    follows = meaning.camera == f"pan {meaning.motions[0]}" and meaning.speed == "normal"
    return max(CAMERA_STEADY, seconds / len(meaning.motions)) if follows else CAMERA_STEADY


def eased(time: np.ndarray, steady: float) -> np.ndarray:
    """The way of a camera in seconds at its full rate: at it for `steady` seconds, then evenly slower, then at rest."""
    late = np.clip(time - steady, 0, CAMERA_EASE)
    return np.minimum(time, steady) + (late - late**2 / (2 * CAMERA_EASE))


# --- What can be shown -------------------------------------------------------------------------------------


def check(meaning: Meaning, world: World = STANDARD) -> None:
    """Raises `UserError` when a meaning is contradictory, unobservable or would leave the picture."""
    for complaint in (_unknown, _contradiction, _unobservable):
        if message := complaint(meaning, world):
            raise UserError(message)
    sizes = [meaning.size] if meaning.size else list(world.sizes)
    if not any(_possible(replace(meaning, size=size), world) for size in sizes):
        raise UserError(_leaves(meaning))


def _unknown(meaning: Meaning, world: World) -> str | None:
    """An attribute that this world (nano, say) does not have."""
    for name, legal in (
        ("subject", world.subjects), ("color", world.colors), ("texture", world.textures), ("size", tuple(world.sizes)),
        ("speed", world.speeds), ("camera", world.cameras), ("background", world.backgrounds),
    ):  # fmt: skip
        value = getattr(meaning, name)
        if value is not None and value not in legal:
            return f"the {world.name} world has no {name} {value!r}; legal: {', '.join(legal)}"
    for motion in meaning.motions:
        legal = [m for m in captions.REPERTOIRE[meaning.subject] if m in world.motions]
        if motion not in legal:
            said = captions.MOTIONS[motion][0]
            options = ", ".join(captions.MOTIONS[m][0] for m in legal)
            return f"a {meaning.subject} that {said} is not in the {world.name} world; legal: {options}"
    if not world.rich and (len(meaning.motions) > 1 or meaning.pillar):
        return f"the {world.name} world has no 'then' and no pillar; ask for one motion, in the open"
    return None


def _contradiction(meaning: Meaning, world: World) -> str | None:
    if meaning.motions == ("still",) and meaning.speed != "normal":
        return "standing still has no speed; drop the word for the speed, or ask for a motion"
    if len(set(meaning.motions)) < len(meaning.motions):
        return f"'then' joins {meaning.motions[0]!r} to itself; name two different motions"
    if meaning.subject in captions.ONLY_PLAIN and meaning.texture != "plain":
        return f"a {meaning.subject} is never {meaning.texture} in this world; drop the word {meaning.texture!r}"
    if meaning.pillar and (meaning.motions not in (("left",), ("right",)) or meaning.speed != "normal"):
        return "only what moves left or right, at its own pace, passes behind a pillar"
    if meaning.pillar and (meaning.camera != "hold" or meaning.size == "large" or meaning.subject == "tank"):
        return "the pillar hides small subjects only, before a camera that holds"
    return None


def _unobservable(meaning: Meaning, world: World) -> str | None:
    if "spins" in meaning.motions and meaning.subject == "ball" and meaning.texture == "plain":
        return "a plain ball that spins looks like one that stands still; make it striped or dotted"
    if {"grows", "shrinks"} & set(meaning.motions) and meaning.camera in ("push in", "pull out"):
        return "growing under a zooming camera cannot be told from standing still; let the camera hold or pan"
    share = world.seconds / len(meaning.motions)
    if meaning.motions == ("sloshes", "still") and swing(meaning, share) < LEAST_TILT:
        return "in so long a clip the water comes to rest by itself; drop 'then', or ask for fewer frames"
    for motion in meaning.motions:
        if share * pace(meaning) < LEAST_CYCLES.get(motion, 0) * CYCLE_SECONDS.get(motion, 0):
            return (
                f"{share:g} s are too short to see that it {captions.MOTIONS[motion][0]} at this speed; "
                "drop 'slowly' or 'then', or ask for more frames"
            )
    return None


def _leaves(meaning: Meaning) -> str:
    return (
        f"{captions.phrase(replace(meaning, color=None, texture='plain', background=None))!r} would leave the picture, "
        "or the range of sizes that can be seen; change the size, the speed or the camera"
    )


def _possible(meaning: Meaning, world: World) -> bool:
    truth = _truth(meaning, world)
    low, high = _widths(truth, meaning, world)
    if meaning.pillar and meaning.size != "small":
        return False
    return low <= high and _room(truth, low, meaning, world) is not None


def _widths(truth: Truth, meaning: Meaning, world: World) -> tuple[float, float]:
    """The legal widths on the first frame: of its size class there, and visible on every frame."""
    low, high = world.sizes[meaning.size]
    on_screen = truth.scale * truth.zoom
    low = max(low, LEAST_WIDTH.get(meaning.subject, 0), world.range[0] / on_screen.min())
    return low, min(high, world.range[1] / on_screen.max())


def _room(truth: Truth, width: float, meaning: Meaning, world: World):
    """Where the subject may start, ((x0, x1), (y0, y1)) in world px, so that it stays in the picture; or None."""
    full = DIAGONAL.get(meaning.subject, 1.0) if "spins" in meaning.motions else None
    box = []
    for axis, (length, extent) in enumerate(((world.width, 1.0), (world.height, HEIGHT[meaning.subject]))):
        half = width * truth.scale * truth.zoom * (full or extent) / 2
        low = (half + 1 - length / 2) / truth.zoom + truth.camera[:, axis] - truth.offset[:, axis]
        high = (length / 2 - half - 1) / truth.zoom + truth.camera[:, axis] - truth.offset[:, axis]
        box.append((low.max(), high.min()))
    if meaning.pillar:  # it starts and ends in full view
        clear = PILLAR_WIDTH / 2 + width / 2
        travel = truth.offset[-1, 0]
        x0, x1 = box[0]
        box[0] = (max(x0, clear - travel), min(x1, -clear))  # from the left, or the mirror image
        if travel < 0:
            box[0] = (max(x0, clear), min(x1, -clear - travel))
    return box if all(low <= high for low, high in box) else None


# --- Drawing meanings --------------------------------------------------------------------------------------


def sample_meaning(rng: random.Random, world: World = STANDARD, split: str = "train") -> Meaning:
    """A random legal meaning of a split.

    "train" holds no held-out pair; every meaning of "held-out" holds at least one; "all" draws from both.
    """
    while True:
        meaning = _draw(rng, world)
        if split != "all" and captions.is_held_out(meaning) != (split == "held-out"):
            continue
        try:
            check(meaning, world)
        except UserError:
            continue
        return meaning


def _draw(rng: random.Random, world: World) -> Meaning:
    """The motion first, so that each is as frequent as any other: few subjects can talk or slosh."""

    def some(values, usual=None, p_usual=0.0):
        return usual if rng.random() < p_usual else rng.choice(values)

    pillar = world.rich and rng.random() < PILLAR_SHARE
    first = rng.choice(("left", "right") if pillar else world.motions)
    subject = rng.choice([s for s in world.subjects if first in captions.REPERTOIRE[s]])
    motions = (first,)
    if world.rich and not pillar and rng.random() < 0.2:
        motions += (rng.choice([m for m in captions.REPERTOIRE[subject] if m in world.motions]),)
        motions = motions[:: rng.choice((1, -1))]
    free = motions != ("still",) and not pillar  # to choose a speed
    return Meaning(
        subject=subject,
        motions=motions,
        color=some(world.colors, None, 0.04),
        texture=some(world.textures, "plain", 0.3) if subject not in captions.ONLY_PLAIN else "plain",
        size="small" if pillar else some(tuple(world.sizes), None, 0.1),
        speed=some(world.speeds, "normal", 0.4) if free else "normal",
        camera="hold" if pillar else some(world.cameras, "hold", LONG_HOLD if world.long else 0.4),
        background=some(world.backgrounds, None, 0.1),
        pillar=pillar,
    )
