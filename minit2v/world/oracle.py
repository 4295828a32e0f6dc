"""The judge: frames in, what they show out. It never sees the prompt, the scene or the seed.

No network, nothing learned. `tracking` and `ground` measure; here the measurements are compared with what the
world's own laws of motion would have given, and the nearest law is what the clip shows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import permutations

import numpy as np
from scipy import ndimage

from minit2v.errors import UserError
from minit2v.world import captions, ground, scenes, tracking
from minit2v.world.captions import Meaning
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
    video = frames.astype(np.float32) / 255
    mask, vivid = tracking.segment(video)
    luma = video @ ground.WEIGHTS
    place = ground.look(luma, ~_in_the_way(mask), world)
    visible = _in_full_view(mask, place.band)
    if not visible.any():
        return _nothing(video, mask, place)
    subject, texture, track = _identify(video, luma, mask, vivid, visible, place, world)
    motions, speed, ratio, residual, scale = _motion(track, subject, texture, place.band is not None, world)
    color = _color(track)
    return Reading(
        subject, color, texture, _size(track, scale, world), motions, speed, place.move, place.name,
        place.band is not None, ratio, residual, track,
    )  # fmt: skip


def matches(reading: Reading, meaning: Meaning) -> dict[str, bool]:
    """For each attribute that `meaning` fixes, whether `reading` has it."""
    return {name: getattr(reading, name) == value for name, value in captions.asked(meaning).items()}


def _in_the_way(mask: np.ndarray) -> np.ndarray:
    """The subject, its glass and its shadow, generously."""
    wide = ndimage.binary_dilation(mask, tracking.SQUARE, iterations=2)
    shadow = np.zeros_like(wide)
    shadow[:, 5:, 5:] = wide[:, :-5, :-5]
    return ndimage.binary_dilation(wide | shadow, tracking.SQUARE)


def _in_full_view(mask: np.ndarray, band: tuple[int, int] | None) -> np.ndarray:
    """(T,) bool: the frames where the subject is neither absent, nor behind the pillar, nor cut by the border."""
    area = mask.sum(axis=(1, 2))
    visible = area >= tracking.LEAST_AREA
    if band is not None:
        beside = mask[:, :, band[0] - 1 : band[1] + 1].any(axis=(1, 2))
        visible &= ~beside | (area > 0.93 * area.max())  # it may just touch the pillar
    edge = mask[:, [0, -1]].sum(axis=(1, 2)) + mask[:, :, [0, -1]].sum(axis=(1, 2))
    whole = visible & (edge <= 2)
    return whole if whole.any() else visible


def _nothing(video: np.ndarray, mask: np.ndarray, place: ground.Ground) -> Reading:
    blank = np.full(len(video), np.nan)
    two = np.full((len(video), 2), np.nan)
    track = Track(
        center=two, width=blank, height=blank, angle=blank, area=blank, visible=mask.any(axis=(1, 2)), mask=mask,
        rgb=np.full((len(video), 3), np.nan), texture_fraction=blank, camera=place.camera, zoom=place.zoom,
        position=two, world_width=blank, mouth=blank, tilt=blank, shadow=two, likeness=blank, ground_fit=place.fit,
    )  # fmt: skip
    return Reading(
        None, None, None, None, (), None, place.move, place.name, place.band is not None, np.nan, np.nan, track
    )


# --- Who it is ------------------------------------------------------------------------------------------------


def _identify(video, luma, mask, vivid, visible, place, world) -> tuple[str, str, Track]:
    pictures, area, centroid = tracking.normalize(mask)
    bank = tracking.outlines(world.subjects)
    overlap = tracking.overlaps(pictures, bank)  # (T, n)
    likeness = {s: np.where(bank.subjects == s, overlap, 0).max(axis=1) for s in dict.fromkeys(bank.subjects)}
    subject = max(likeness, key=lambda s: likeness[s][visible].mean())
    which = np.where(bank.subjects == subject, overlap, 0).argmax(axis=1)  # (T,)
    dark, share, rgb = tracking.darkness(video, mask, vivid)
    maps = tracking.own_grid(dark, centroid, np.sqrt(np.maximum(area, 1)))
    texture = _texture(share[visible])
    if subject == "ball" and "face" in world.subjects and np.median(share[visible]) > 0.05:
        subject, texture = _ball_or_face(maps[visible], texture)
    if subject in captions.ONLY_PLAIN:
        texture = "plain"
    width = np.sqrt(area / bank.area[which])
    angle = _angle(subject, texture, overlap, maps, bank, visible)
    offset = bank.centroid[which]
    if subject in bank.period:  # turned by the measured angle, not by the nearest drawn one
        at_rest = bank.centroid[(bank.subjects == subject).argmax()]
        cos, sin = np.cos(angle), np.sin(angle)
        offset = np.stack([cos * at_rest[0] - sin * at_rest[1], sin * at_rest[0] + cos * at_rest[1]], axis=1)
    center = centroid - offset * width[:, None]
    for values in (width, center, angle, area):
        values[~mask.any(axis=(1, 2))] = np.nan
    safe_center, safe_width = np.nan_to_num(center), np.nan_to_num(width, nan=1.0)
    track = Track(
        center=center, width=width, height=width * scenes.HEIGHT[subject], angle=angle, area=area, visible=visible,
        mask=mask, rgb=rgb, texture_fraction=share, camera=place.camera, zoom=place.zoom,
        position=(center - [world.width / 2, world.height / 2]) / place.zoom[:, None] + place.camera,
        world_width=width / place.zoom, mouth=np.zeros(len(mask)), tilt=np.zeros(len(mask)),
        shadow=tracking.shadow_offset(luma, mask, place) / place.zoom[:, None],
        likeness=likeness["ball" if subject == "face" else subject], ground_fit=place.fit,
    )  # fmt: skip
    if subject == "face":
        track.mouth = tracking.mouth(dark, safe_center, safe_width)
    if subject == "tank":
        track.tilt = tracking.tilt(mask, safe_center, safe_width)
    return subject, texture, track


def _texture(share: np.ndarray) -> str:
    dark = np.nanmedian(share)
    return "plain" if dark < DOTTED else "dotted" if dark < STRIPED else "striped"


def _ball_or_face(maps: np.ndarray, texture: str) -> tuple[str, str]:
    """Two eyes and a mouth, or a pattern: the better correlation on average."""
    score = {name: tracking.alike(maps, name).max(axis=1).mean() for name in tracking.patterns()}
    best = max(score, key=score.get)
    return ("face", "plain") if best == "face" else ("ball", texture)


def _angle(subject, texture, overlap, maps, bank, visible) -> np.ndarray:
    """(T,) rad, unwrapped over the visible frames; zeros for what cannot be seen to turn."""
    if subject == "ball" and texture != "plain":
        score, period = tracking.alike(maps, texture), {"striped": np.pi, "dotted": np.pi / 3}[texture]
    elif subject in ("box", "triangle", "star"):
        score, period = overlap[:, bank.subjects == subject], bank.period[subject]
    else:
        return np.zeros(len(overlap))
    count = score.shape[1]
    best = score.argmax(axis=1)
    rows = np.arange(len(score))
    left, top, right = (score[rows, (best + step) % count] for step in (-1, 0, 1))
    bend = np.minimum(left + right - 2 * top, -1e-6)
    angle = (best + np.clip(0.5 * (left - right) / bend, -0.5, 0.5)) * period / count
    angle[visible] = np.unwrap(angle[visible], period=period)
    return angle


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


def _motion(track: Track, subject: str, texture: str, pillar: bool, world: World):
    """The law nearest to the track: motions, speed, pace over nominal pace, residual, and its scale (T,)."""
    turns = subject in ("box", "triangle", "star") or (subject == "ball" and texture != "plain")
    possible = {"spins": turns, "talks": subject == "face", "sloshes": subject == "tank"}
    motions = tuple(m for m in world.motions if possible.get(m, True))
    laws = _laws(world.frames, world.fps, motions, world.speeds, world.rich, pillar)
    with np.errstate(divide="ignore", invalid="ignore"):
        columns = [*track.position.T, np.log(track.world_width), track.angle, track.mouth, track.tilt]
    seen = np.stack(columns, axis=1) / UNIT  # (T, 6)
    cost = misfit(seen, laws.signals, track.visible)
    cost += PAIR_COST * np.array([len(m.motions) - 1 for m in laws.meanings])
    best = int(cost.argmin())
    meaning, residual = laws.meanings[best], float(np.sqrt(cost[best]))
    ratio = _pace(seen, meaning, track.visible, world)
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
    return float(PACES[best] * (PACES[1] / PACES[0]) ** tracking._vertex(cost[best - 1 : best + 2]))


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
