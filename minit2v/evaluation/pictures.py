"""Image-to-video: is what was in the picture still in the last frame, and did it move?

The pictures are first frames of scenes that no training has seen. Every other one shows a color or a pattern that no
word names and no clip of the training set has; its prompt does not say the color.
"""

from __future__ import annotations

import math
import random
import time
from dataclasses import dataclass, replace

import numpy as np

from minit2v.clip import Clip
from minit2v.datasets import wild
from minit2v.errors import UserError
from minit2v.evaluation.report import generate_all
from minit2v.identity import at_end, stayed
from minit2v.metrics import controls, speed_ratio, wilson
from minit2v.physics import finite_mean, rms
from minit2v.pipeline import TextToVideo
from minit2v.request import Given
from minit2v.world import captions
from minit2v.world.captions import Meaning
from minit2v.world.oracle import judge, lab
from minit2v.world.render import render
from minit2v.world.scenes import STANDARD, Scene, World, sample_meaning, scene

NEW_COLOR = 15.0  # dE: how far a color must be from all that have names
VIVID = 0.35  # distance from gray, of 1 or so: less, and the oracle might take it for ground
NEW_ANGLE = 0.4  # rad: how far a pattern must be turned from that of all training clips


@dataclass(frozen=True)
class Source:
    """What a clip is made from. clip: the real one that begins with the picture, uint8 (t, h, w, 3). unseen: whether
    its color or pattern lies outside the training set."""

    prompt: str
    meaning: Meaning
    clip: np.ndarray
    size: str
    unseen: bool

    @property
    def picture(self) -> np.ndarray:
        """uint8 (1, h, w, 3)"""
        return self.clip[:1]


def draw_sources(n: int, world: World = STANDARD, seed: int = 0) -> list[Source]:
    """`n` pictures with their prompts, always the same ones for a seed; every other one is `unseen`.

    The prompts are of the held-out split, without pillars. Raises `UserError` for n < 1.
    """
    if n < 1:
        raise UserError(f"{n} pictures: give a number of at least 1")
    return [_source(random.Random(f"pictures {seed} {i}"), world, unseen=i % 2 == 1) for i in range(n)]


def _source(rng: random.Random, world: World, unseen: bool) -> Source:
    while (meaning := sample_meaning(rng, world, "held-out")).pillar:
        pass
    staged = scene(meaning, rng.getrandbits(32), world)
    size = staged.meaning.size
    if unseen:
        staged, meaning = strange(staged, rng), replace(meaning, color=None)
    return Source(captions.phrase(meaning, rng), meaning, render(staged), size, unseen)


def strange(staged: Scene, rng: random.Random) -> Scene:
    """The scene with looks outside the training set: a color far from all that have names, or a turned pattern."""
    while True:
        look = wild(staged, rng)
        turned = abs((look.pattern_angle - staged.pattern_angle + np.pi / 2) % np.pi - np.pi / 2)
        if not np.array_equal(look.color, staged.color):
            new = _vivid(look.color) and min(_distance(look.color, name) for name in captions.COLORS) >= NEW_COLOR
        else:
            new = staged.meaning.texture == "striped" and turned >= NEW_ANGLE
        if new:  # where it stands, and before which part of the ground, is as in the scene
            return replace(look, position=staged.position, camera=staged.camera, pillar=staged.pillar)


def _vivid(color: np.ndarray) -> bool:
    red, green, blue = color
    return math.hypot(red - green, (red + green) / 2 - blue) >= VIVID


def _distance(color: np.ndarray, name: str) -> float:
    """CIELAB dE from a named color."""
    return float(np.linalg.norm(lab(color) - lab(np.array(captions.COLORS[name]))))


# ---- one clip ------------------------------------------------------------------------------------------------


def measure(frames: np.ndarray, source: Source, world: World = STANDARD) -> dict[str, float]:
    """What became of the picture: its subject against that of the last frame, and how far that moved.

    color: CIELAB dE (1976); overlap: intersection over union of the outlines in the best alignment, nan for a tank,
    whose water moves; kept: 1 if both are within bounds (dE 10; 0.8 for large subjects, 0.65 for small ones), else 0;
    motion: the speed ratio. Blind to what happens in between. A frozen picture is kept: read it beside its motion.
    """
    shown = np.concatenate([source.picture, frames[1:]])
    reading = judge(shown, world)
    track, change = reading.track, at_end(shown, reading.track, source.meaning)
    if (reading.subject == "tank") != (source.meaning.subject == "tank"):
        change["shape"] = math.inf  # for what it reads as a tank the oracle draws one, and two of these are alike
    color, shape = (stayed(change, source.size, (name,)) for name in ("color", "shape"))
    return {
        "kept": color * shape,
        "color_kept": color,
        "shape_kept": math.nan if math.isnan(change["shape"]) else shape,
        "color": change["color"],
        "overlap": 1 - min(change["shape"], 1.0),
        "motion": speed_ratio(track, source.meaning, world),
    }


def first_frame_error(frames: np.ndarray, source: Source, rebuilt: np.ndarray) -> dict[str, float]:
    """How far the clip's first frame is from its picture, rms levels of 255, in two parts: vae, from the picture to
    what the autoencoder makes of it, `rebuilt` (1, h, w, 3); model, from that to the clip's first frame."""
    picture, again, first = (part[0].astype(np.float64) for part in (source.picture, rebuilt, frames))
    return {"total": rms(picture - first), "vae": rms(picture - again), "model": rms(again - first)}


# ---- all of them ---------------------------------------------------------------------------------------------


def evaluate_pictures(
    system: TextToVideo, n: int = 100, seed=0, steps=None, guidance=None, noise: float = 0.0, most_controls=50,
    tell=lambda text: None,
) -> tuple[dict, list[Clip]]:  # fmt: skip
    """Clips from `n` pictures: a JSON-able report, and the clips.

    kept: share of the clips whose subject is still that of the picture, as `measure` tells, with its Wilson interval,
    parts and controls (real clips through the VAE; the picture frozen; real frames shuffled; another picture's clip);
    motion: median speed ratio of what should move, with controls; first_frame: see `first_frame_error`; noise: the
    level at which the system sees the picture.
    """
    sources = draw_sources(n, system.world, seed)
    given = [Given(source.picture, noise=noise) for source in sources]
    prompts, began = [source.prompt for source in sources], time.perf_counter()
    clips = generate_all(
        system, prompts, seed, steps, guidance, lambda done: tell(f"clip {done} of {n}"), given
    )  # fmt: skip
    seconds = (time.perf_counter() - began) / n
    tell("measuring")
    rows = {"value": [measure(clip.frames, source, system.world) for clip, source in zip(clips, sources, strict=True)]}
    errors = [
        first_frame_error(clip.frames, source, system.decode(system.encode([source.picture]))[0])
        for clip, source in zip(clips, sources, strict=True)
    ]
    count = min(n, most_controls)
    real = [system.decode(system.encode([source.clip]))[0] for source in sources[:count]]
    for i in range(count):
        for name, clip in controls(real[i], real[(i + 1) % count], seed + i).items():
            rows.setdefault(name, []).append(measure(clip, sources[i], system.world))
    first = {name: _json(finite_mean([error[name] for error in errors])) for name in errors[0]}
    groups = {"seen": False, "unseen": True}
    verdicts = [row["kept"] for row in rows["value"]]
    kept = _share("kept", rows) | {"n": n, "interval": list(wilson(sum(verdicts), n))}
    kept["parts"] = {name: _share(name, rows) for name in ("color_kept", "shape_kept")}
    kept["parts"] |= {name: _middle(name, rows) for name in ("color", "overlap")}
    kept["parts"] |= {
        name: {"value": _json(finite_mean([v for v, s in zip(verdicts, sources, strict=True) if s.unseen == unseen]))}
        for name, unseen in groups.items()
    }
    return {
        "kept": kept, "motion": _middle("motion", rows), "first_frame": first, "noise": noise, "controls_n": count,
        "seconds": seconds,
    }, clips  # fmt: skip


def _share(name: str, rows: dict) -> dict:
    return _entry({group: finite_mean([row[name] for row in some]) for group, some in rows.items()})


def _middle(name: str, rows: dict) -> dict:
    """Medians; what is lost is infinitely far off, and counts."""
    columns = {group: [row[name] for row in some if not math.isnan(row[name])] for group, some in rows.items()}
    return _entry({group: float(np.median(values)) if values else math.nan for group, values in columns.items()})


def _entry(values: dict) -> dict:
    values = {group: _json(value) for group, value in values.items()}
    return {"value": values.pop("value"), "controls": values}


def _json(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
