"""The judge: frames in, what they show out. It never sees the prompt, the scene or the seed.

No network, nothing learned: `tracking` and `ground` measure, `outlines` and `laws` know what every subject and
every motion of the world looks like, and what is nearest is what the clip shows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from minit2v.errors import UserError
from minit2v.world import captions, ground, laws, outlines, scenes, tracking
from minit2v.world.captions import Meaning
from minit2v.world.outlines import Outlines
from minit2v.world.scenes import STANDARD, World
from minit2v.world.tracking import Track

DOTTED, STRIPED = 0.08, 0.27  # least dark shares
EYE = 0.04  # a dog's eye and its thin legs make a plain one as dark as that


@dataclass
class Reading:
    """What a clip shows; None where it cannot be read, and no motions where none of the world's fits.

    speed_ratio: measured pace over the nominal pace of "normal" speed; nan for what stands still.
    residual: root mean square disagreement with the motion that was read, in units of `laws.UNIT` (about 1 px).
    """

    track: Track
    subject: str | None = None
    color: str | None = None
    texture: str | None = None
    size: str | None = None
    motions: tuple[str, ...] = ()
    speed: str | None = None
    camera: str | None = None
    background: str | None = None
    pillar: bool = False
    speed_ratio: float = float("nan")
    residual: float = float("nan")

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
    reading = _watch(frames.astype(np.float32) / 255, world)
    if reading.subject is not None:
        law = laws.read(reading.track, _possible(reading, world), world, reading.pillar)
        reading.motions, reading.speed = law.motions, law.speed
        reading.speed_ratio, reading.residual = law.speed_ratio, law.residual
        reading.color, reading.size = _color(reading.track), _size(reading.track, law.scale, world)
    return reading


def matches(reading: Reading, meaning: Meaning) -> dict[str, bool]:
    """For each attribute that `meaning` fixes, whether `reading` has it."""
    return {name: getattr(reading, name) == value for name, value in captions.asked(meaning).items()}


# --- Who it is, and where -------------------------------------------------------------------------------------


@dataclass
class _Form:
    """The subject's shape on T frames: area (T,) and centroid (T, 2) in px, overlap (T, n) with the n outlines of
    `bank`, the same (T, n) for telling one posture from another, and dark maps (T, g)."""

    bank: Outlines
    area: np.ndarray
    centroid: np.ndarray
    overlap: np.ndarray
    posture: np.ndarray
    maps: np.ndarray

    def chosen(self, subject: str) -> np.ndarray:
        """Indices of the outlines of that subject, at the one blur that suits the whole clip."""
        drawn = [
            np.flatnonzero((self.bank.subjects == _outlined(subject)) & (self.bank.blur == level))
            for level in range(len(outlines.BLURS))
        ]
        return max(drawn, key=lambda which: self.posture[:, which].max(axis=1).sum())

    def best(self, subject: str) -> np.ndarray:
        """(T,): the outline of that subject with the largest overlap."""
        which = self.chosen(subject)
        return which[self.posture[:, which].argmax(axis=1)]

    def place(self, subject: str, angle: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Center (T, 2) and width (T,), which area and centroid fix, for each shape in its own way."""
        best = self.best(subject)
        width, offset = np.sqrt(self.area / self.bank.area[best]), self.bank.centroid[best]
        if angle is not None and subject in outlines.TURNS:  # the angle is known better than in steps of the outlines
            u, v = self.bank.centroid[(self.bank.subjects == subject).argmax()]
            cos, sin = np.cos(angle), np.sin(angle)
            offset = np.stack([cos * u - sin * v, sin * u + cos * v], axis=1)
        return self.centroid - offset * width[:, None], width


def _form(cover: np.ndarray, hazy: np.ndarray, dark: np.ndarray, world: World) -> _Form:
    bank = outlines.outlines(world.subjects)
    pictures, area, centroid = outlines.normalize(cover)
    overlap = bank.overlap(outlines.normalize(hazy)[0])
    posture = (overlap + bank.overlap(pictures)) / 2
    return _Form(bank, area, centroid, overlap, posture, outlines.on_grid(dark, centroid, area))


def _outlined(subject: str) -> str:
    return "ball" if subject == "face" else subject


def _identify(form: _Form, share: np.ndarray, where: np.ndarray, world: World) -> tuple[str, str]:
    """Subject and texture: by outline, by dark share, and for a disc by where it is dark, for it may be a face."""
    names = [s for s in world.subjects if s != "face"]
    overlap = form.overlap[where]
    subject = max(names, key=lambda s: overlap[:, form.bank.subjects == s].max(axis=1).sum())
    dark = np.median(share[where])
    texture = "plain" if dark < DOTTED + (subject == "dog") * EYE else "dotted" if dark < STRIPED else "striped"
    if subject == "ball" and "face" in world.subjects and dark > 0.05:
        score = {name: outlines.alike(form.maps[where], name).max(axis=1).mean() for name in outlines.patterns()}
        subject = "face" if max(score, key=score.get) == "face" else "ball"
    return subject, "plain" if subject in captions.ONLY_PLAIN else texture


def _watch(video: np.ndarray, world: World) -> Reading:
    """Measures video (T, h, w, 3) in 0..1: what is the subject, then where is the camera, then everything else."""
    mask, vivid = tracking.segment(video)
    luma = video @ ground.WEIGHTS
    dark, share, rgb = tracking.paint(video, mask, vivid)
    form = _form(mask, mask, dark, world)
    present = (form.area >= tracking.LEAST_AREA) & (form.area < tracking.MOST_AREA * mask[0].size)
    body = cover = mask
    if present.any():
        subject, texture = _identify(form, share, present & (form.area > 0.7 * form.area[present].max()), world)
        cover, hazy = tracking.soften(mask, vivid, texture == "plain")
        form = _form(cover, hazy, dark, world)
        present &= form.area > 1
        body = tracking.box(*form.place("tank"), mask.shape) if subject == "tank" else cover
    whole = mask | (body > 0.5)
    place = ground.look(luma, ~_in_the_way(whole), world)
    visible = _in_full_view(mask, form.area, present, place.band)
    track = tracking.empty_track(whole, place)
    reading = Reading(track, camera=place.move, background=place.name, pillar=place.band is not None)
    if not visible.any():
        return reading

    reading.subject, reading.texture = subject, _ = _identify(form, share, visible, world)
    angle = _angle(reading, form, visible)
    center, width = form.place(subject, angle)
    zero = np.zeros(len(video))
    track.visible, track.rgb, track.texture_fraction = visible, rgb, share
    track.likeness = form.overlap[np.arange(len(video)), form.best(subject)]
    track.shadow = tracking.shadow_offset(luma, body, place) / place.zoom[:, None]
    track.center, track.width, track.height = center, width, width * scenes.HEIGHT[subject]
    track.area, track.angle = form.area, angle
    track.position = (center - [world.width / 2, world.height / 2]) / place.zoom[:, None] + place.camera
    track.world_width = width / place.zoom
    track.mouth = tracking.mouth(dark, center, width) if subject == "face" else zero
    track.tilt = tracking.tilt(cover, center, width) if subject == "tank" else zero.copy()
    for name in ("center", "width", "height", "area", "angle", "position", "world_width", "mouth", "tilt"):
        getattr(track, name)[~present] = np.nan
    return reading


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
        visible &= ~beside | (area > 0.93 * area[present].max(initial=0))  # it may just touch the pillar
    edge = mask[:, [0, -1]].sum(axis=(1, 2)) + mask[:, :, [0, -1]].sum(axis=(1, 2))
    whole = visible & (edge <= 2)
    return whole if whole.any() else visible


def _angle(seen: Reading, form: _Form, visible: np.ndarray) -> np.ndarray:
    """(T,) rad, unwrapped over the visible frames; zeros for what cannot be seen to turn."""
    if not _turns(seen):
        return np.zeros(len(visible))
    if seen.subject == "ball":
        score, period = outlines.alike(form.maps, seen.texture), outlines.PATTERN_PERIOD[seen.texture]
    else:
        score, period = form.posture[:, form.chosen(seen.subject)], outlines.TURNS[seen.subject][1]
    count, best, rows = score.shape[1], score.argmax(axis=1), np.arange(len(score))
    around = np.stack([score[rows, (best + step) % count] for step in (-1, 0, 1)], axis=1)
    angle = (best + [ground.vertex(-three) for three in around]) * period / count
    angle[visible] = np.unwrap(angle[visible], period=period)
    return angle


def _turns(seen: Reading) -> bool:
    return seen.subject in outlines.TURNS or (seen.subject == "ball" and seen.texture != "plain")


def _possible(seen: Reading, world: World) -> tuple[str, ...]:
    """The motions that could be seen at all: a plain ball shows no spin, only a face has a mouth."""
    needs = {"spins": _turns(seen), "talks": seen.subject == "face", "sloshes": seen.subject == "tank"}
    return tuple(m for m in world.motions if needs.get(m, True))


# --- The rest -------------------------------------------------------------------------------------------------


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
