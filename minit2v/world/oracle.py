"""The judge: frames in, what they show out. It never sees the prompt, the scene or the seed.

No network, nothing learned. `tracking` and `ground` measure; here the measurements are compared with what the
world's own laws of motion would have given, and the nearest law is what the clip shows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import permutations

import numpy as np

from minit2v.errors import UserError
from minit2v.world import captions, ground, outlines, scenes, tracking
from minit2v.world.captions import Meaning
from minit2v.world.outlines import Outlines
from minit2v.world.scenes import STANDARD, World
from minit2v.world.tracking import Track

# One unit of disagreement for each signal: position in px, log width, angle in rad, mouth, tilt in widths.
SIGNALS = ("x", "y", "log width", "angle", "mouth", "tilt")
UNIT = np.array([1.0, 1.0, 0.05, 0.12, 0.25, 0.05])
PAIR_COST = 0.05  # per frame: two motions explain more by chance than one does
UNCLEAR = 3.0  # units, root mean square: above it no law of motion describes what is seen
PACES = np.exp(np.linspace(np.log(0.1), np.log(4), 75))
DOTTED, STRIPED = 0.10, 0.34  # least dark shares


@dataclass
class Reading:
    """What a clip shows; None where it cannot be read, and no motions where none of the world's fits.

    speed_ratio: measured pace over the nominal pace of "normal" speed; nan for what stands still.
    residual: root mean square disagreement with the motion that was read, in units of `UNIT` (about 1 px).
    """

    subject: str | None
    color: str | None
    texture: str | None
    size: str | None
    motions: tuple[str, ...]
    speed: str | None
    camera: str | None
    background: str | None
    pillar: bool
    speed_ratio: float
    residual: float
    track: Track

    def sentence(self) -> str:
        """In words, such as 'a small red ball, plain, moves right at normal speed; camera: hold; checkered'."""
        if self.subject is None:
            return "nothing that can be read"
        what = " ".join(filter(None, ["a", self.size, self.color, self.subject]))
        moves = " then ".join(captions.MOTIONS[m][0] for m in self.motions) or "moves in no way that is known"
        speed = "" if self.motions in ((), ("still",)) else f" at {self.speed} speed"
        place = f"; camera: {self.camera or 'unreadable'}; {self.background or 'no known background'}"
        return f"{what}, {self.texture}, {moves}{speed}{place}{', with a pillar' if self.pillar else ''}"


def judge(frames: np.ndarray, world: World = STANDARD) -> Reading:
    """Reads a clip, uint8 (frames, height, width, 3), of any number of frames.

    Raises `UserError` for another shape or type.
    """
    frames = np.asarray(frames)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape:
        raise UserError(
            f"a clip to judge is uint8 (frames, height, width, 3), not {frames.dtype} {frames.shape}; convert it first"
        )
    world = replace(world, frames=len(frames), height=frames.shape[1], width=frames.shape[2])
    track, seen = _watch(frames.astype(np.float32) / 255, world)
    if seen.subject is None:
        return Reading(None, None, None, None, (), None, seen.camera, seen.place, seen.pillar, np.nan, np.nan, track)
    motions, speed, ratio, residual, scale = _motion(track, seen, world)
    return Reading(
        seen.subject, _color(track), seen.texture, _size(track, scale, world), motions, speed, seen.camera, seen.place,
        seen.pillar, ratio, residual, track,
    )  # fmt: skip


def matches(reading: Reading, meaning: Meaning) -> dict[str, bool]:
    """For each attribute that `meaning` fixes, whether `reading` has it."""
    return {name: getattr(reading, name) == value for name, value in captions.asked(meaning).items()}


# --- Who it is, and where -------------------------------------------------------------------------------------


@dataclass
class _Seen:
    subject: str | None
    texture: str | None
    camera: str | None
    place: str | None
    pillar: bool


def _watch(video: np.ndarray, world: World) -> tuple[Track, _Seen]:
    """Measures video (T, h, w, 3) in 0..1: what is the subject, then where is the camera, then everything else."""
    colorful, vivid = tracking.segment(video)
    luma = video @ ground.WEIGHTS
    bank = outlines.outlines(world.subjects)
    pictures, area, centroid = outlines.normalize(colorful)
    overlap = bank.overlap(pictures)  # (T, n)
    present = area >= tracking.LEAST_AREA
    whole = present & (area > 0.7 * area.max())
    subject, which = _outline(overlap, bank, whole)
    mask = colorful
    if subject == "tank":
        center, width = _place(area, centroid, bank, which)
        mask = tracking.box(center, width, colorful.shape) | colorful
    place = ground.look(luma, ~_in_the_way(mask), world)
    visible = _in_full_view(mask, area, present, place.band)
    seen = _Seen(None, None, place.move, place.name, place.band is not None)
    if not visible.any():
        return tracking.empty_track(mask, place), seen
    subject, which = _outline(overlap, bank, visible)
    dark, share, rgb = tracking.paint(video, colorful, vivid)
    maps = outlines.on_grid(dark, centroid, area)
    seen.subject, seen.texture = _guise(subject, share[visible], maps[visible], world)
    angle = _angle(seen, overlap, maps, bank, visible)
    center, width = _place(area, centroid, bank, which, angle)
    track = tracking.empty_track(mask, place)
    track.visible, track.rgb, track.texture_fraction = visible, rgb, share
    track.likeness = overlap[np.arange(len(which)), which]
    track.mouth = tracking.mouth(dark, center, width) if seen.subject == "face" else np.zeros(len(area))
    track.tilt = np.zeros(len(area))
    if subject == "tank":
        track.tilt = tracking.tilt(colorful, center, width)
    track.shadow = tracking.shadow_offset(luma, mask, place) / place.zoom[:, None]
    for values in (center, width, angle, area, track.mouth, track.tilt):
        values[~present] = np.nan
    track.center, track.width, track.angle, track.area = center, width, angle, area
    track.height = width * scenes.HEIGHT[subject]
    track.position = (center - [world.width / 2, world.height / 2]) / place.zoom[:, None] + place.camera
    track.world_width = width / place.zoom
    return track, seen


def _outline(overlap: np.ndarray, bank: Outlines, where: np.ndarray) -> tuple[str, np.ndarray]:
    """The subject with the best overlap on the frames `where`, and its best template on every frame (T,)."""
    names = list(dict.fromkeys(bank.subjects))
    best = np.stack([np.where(bank.subjects == name, overlap, 0).max(axis=1) for name in names])  # (subjects, T)
    subject = names[int(best[:, where].sum(axis=1).argmax())]
    return subject, np.where(bank.subjects == subject, overlap, 0).argmax(axis=1)


def _place(area, centroid, bank: Outlines, which, angle=None) -> tuple[np.ndarray, np.ndarray]:
    """Center (T, 2) and width (T,) in px, from area and centroid, which shapes share out differently."""
    width = np.sqrt(area / bank.area[which])
    offset = bank.centroid[which]
    if angle is not None and bank.subjects[which[0]] in outlines.TURNS:  # not only by the steps of the templates
        first = bank.centroid[(bank.subjects == bank.subjects[which[0]]).argmax()]
        cos, sin = np.cos(angle), np.sin(angle)
        offset = np.stack([cos * first[0] - sin * first[1], sin * first[0] + cos * first[1]], axis=1)
    return centroid - offset * width[:, None], width


def _in_the_way(mask: np.ndarray) -> np.ndarray:
    """The subject and its shadow, generously."""
    wide = tracking.grow(mask, 2)
    shadow = np.zeros_like(wide)
    shadow[:, 5:, 5:] = wide[:, :-5, :-5]
    return wide | tracking.grow(shadow)


def _in_full_view(mask, area, present, band: tuple[int, int] | None) -> np.ndarray:
    """(T,) bool: the frames where the subject is neither absent, nor behind the pillar, nor cut by the border."""
    visible = present.copy()
    if band is not None:
        beside = mask[:, :, band[0] - 1 : band[1] + 1].any(axis=(1, 2))
        visible &= ~beside | (area > 0.93 * area.max())  # it may just touch the pillar
    edge = mask[:, [0, -1]].sum(axis=(1, 2)) + mask[:, :, [0, -1]].sum(axis=(1, 2))
    whole = visible & (edge <= 2)
    return whole if whole.any() else visible


def _guise(subject: str, share: np.ndarray, maps: np.ndarray, world: World) -> tuple[str, str]:
    """Subject and texture: by the dark share, and for a disc by where it is dark, for it may be a face."""
    dark = np.median(share)
    texture = "plain" if dark < DOTTED else "dotted" if dark < STRIPED else "striped"
    if subject == "ball" and "face" in world.subjects and dark > 0.05:
        score = {name: outlines.alike(maps, name).max(axis=1).mean() for name in outlines.patterns()}
        subject = "face" if max(score, key=score.get) == "face" else "ball"
    return subject, "plain" if subject in captions.ONLY_PLAIN else texture


def _angle(seen: _Seen, overlap, maps, bank: Outlines, visible) -> np.ndarray:
    """(T,) rad, unwrapped over the visible frames; zeros for what cannot be seen to turn."""
    if not _turns(seen):
        return np.zeros(len(overlap))
    if seen.subject == "ball":
        score, period = outlines.alike(maps, seen.texture), outlines.PATTERN_PERIOD[seen.texture]
    else:
        score, period = overlap[:, bank.subjects == seen.subject], outlines.TURNS[seen.subject][1]
    count, best, rows = score.shape[1], score.argmax(axis=1), np.arange(len(score))
    around = np.stack([score[rows, (best + step) % count] for step in (-1, 0, 1)], axis=1)
    angle = (best + [ground.vertex(-three) for three in around]) * period / count
    angle[visible] = np.unwrap(angle[visible], period=period)
    return angle


def _turns(seen: _Seen) -> bool:
    return seen.subject in outlines.TURNS or (seen.subject == "ball" and seen.texture != "plain")


def _color(track: Track) -> str:
    """The named color nearest in CIELAB to the median over frames."""
    rgb = np.nanmedian(track.rgb[track.visible], axis=0)
    names = list(captions.COLORS)
    distance = np.linalg.norm(lab(np.array([captions.COLORS[n] for n in names])) - lab(rgb), axis=1)
    return names[int(distance.argmin())]


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIELAB (D65) of sRGB in 0..1, (..., 3)."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = linear @ to_xyz.T / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


def _size(track: Track, scale: np.ndarray, world: World) -> str | None:
    """The class of the width on the first frame, traced back from all frames by the motion that was read."""
    width = np.median((track.world_width / scale)[track.visible])
    classes = list(world.sizes.items())
    for (name, (low, high)), after in zip(classes, [*classes[1:], None], strict=True):
        if 0.8 * low <= width < ((high + after[1][0]) / 2 if after else 1.25 * high):
            return name
    return None


# --- What it does ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Laws:
    """Every legal motion at three speeds: meanings (n,), signals (n, T, 6), scale (n, T)."""

    meanings: tuple[Meaning, ...]
    signals: np.ndarray
    scale: np.ndarray


@lru_cache(maxsize=32)
def _laws(frames: int, fps: int, motions: tuple[str, ...], speeds: tuple[str, ...], rich: bool, pillar: bool) -> Laws:
    world = replace(STANDARD, frames=frames, fps=fps)
    orders = [(m,) for m in motions] + (list(permutations(motions, 2)) if rich and frames > 2 else [])
    meanings = [Meaning("ball", texture="dotted", motions=("still",))]
    meanings += [Meaning("ball", (m,), speed="normal", pillar=True) for m in ("left", "right") if pillar]
    for order in orders:
        for speed in sorted(speeds, key=lambda s: s != "normal"):
            meaning = Meaning("ball", order, texture="dotted", speed=speed)
            if order != ("still",) and not scenes._unobservable(meaning, world):
                meanings.append(meaning)
    truths = [scenes._truth(meaning, world) for meaning in meanings]
    return Laws(tuple(meanings), np.stack([signals(t) for t in truths]), np.stack([t.scale for t in truths]))


def signals(truth: scenes.Truth) -> np.ndarray:
    """(T, 6), see `SIGNALS`, in units."""
    columns = [*truth.offset.T, np.log(truth.scale), truth.angle, truth.mouth, truth.tilt]
    return np.stack(columns, axis=1) / UNIT


def _motion(track: Track, seen: _Seen, world: World) -> tuple[tuple[str, ...], str, float, float, np.ndarray]:
    """The law nearest to the track: motions, speed, pace over nominal pace, residual, and its scale (T,)."""
    possible = {"spins": _turns(seen), "talks": seen.subject == "face", "sloshes": seen.subject == "tank"}
    motions = tuple(m for m in world.motions if possible.get(m, True))
    laws = _laws(world.frames, world.fps, motions, world.speeds, world.rich, seen.pillar)
    columns = [*track.position.T, np.log(track.world_width), track.angle, track.mouth, track.tilt]
    signal = np.stack(columns, axis=1) / UNIT  # (T, 6)
    cost = misfit(signal, laws.signals, track.visible)
    cost += PAIR_COST * np.array([len(m.motions) - 1 for m in laws.meanings])
    best = int(cost.argmin())
    meaning, residual = laws.meanings[best], float(np.sqrt(cost[best]))
    ratio = _pace(signal, meaning, track.visible, world)
    motions = meaning.motions if residual < UNCLEAR else ()
    return motions, meaning.speed, ratio, residual, laws.scale[best]


def misfit(seen: np.ndarray, laws: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Mean over visible frames of the squared distance between seen (T, 6) and laws (n, T, 6), each signal up to a
    constant: where a subject stands, how wide it is and which way it looks are no part of a motion."""
    gap = laws[:, visible] - seen[visible]
    gap -= gap.mean(axis=1, keepdims=True)
    return np.einsum("nts,nts->n", gap, gap) / visible.sum()


def _pace(seen: np.ndarray, meaning: Meaning, visible: np.ndarray, world: World) -> float:
    """The factor on the nominal rates that fits best, between 0.1 and 4; nan when nothing moves."""
    if meaning.motions == ("still",) or visible.sum() < 2:
        return float("nan")
    bank = _paced(world.frames, world.fps, meaning.motions, meaning.pillar)
    cost = misfit(seen, bank, visible)
    best = int(np.clip(cost.argmin(), 1, len(PACES) - 2))
    return float(PACES[best] * (PACES[1] / PACES[0]) ** ground.vertex(cost[best - 1 : best + 2]))


@lru_cache(maxsize=512)
def _paced(frames: int, fps: int, motions: tuple[str, ...], pillar: bool) -> np.ndarray:
    """(paces, T, 6): one motion, or two, at many paces."""
    world, nominal = replace(STANDARD, frames=frames, fps=fps), scenes.PILLAR_GLIDE / scenes.GLIDE if pillar else 1.0
    share = world.seconds / len(motions)
    time = np.arange(frames) / fps
    bank = []
    for pace in PACES * nominal:
        zero = np.zeros(frames)
        truth = scenes.Truth(np.zeros((frames, 2)), np.ones(frames), *(zero.copy() for _ in range(4)), None, None)
        for part, motion in enumerate(motions):  # a faster clock is a faster motion
            scenes._act(truth, motion, np.clip(time - part * share, 0, share) * pace, Meaning("ball"))
        bank.append(signals(truth))
    return np.stack(bank)
