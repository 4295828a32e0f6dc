"""How good is a system? Many prompts, many clips, every figure beside its controls."""

from __future__ import annotations

import random
import time
from pathlib import Path

import numpy as np

from minit2v.clip import Clip, in_words
from minit2v.errors import UserError
from minit2v.metrics import report
from minit2v.pipeline import TextToVideo
from minit2v.vae import to_pixels
from minit2v.world import captions
from minit2v.world.render import render
from minit2v.world.scenes import World, check, sample_meaning, scene

SPLITS = ("held-out", "train")
BATCH = 16  # clips that are generated at once


def draw_prompts(n: int, split: str, world: World, seed: int = 0) -> list[str]:
    """`n` random prompts of a split, always the same ones for a seed. Raises `UserError` for other splits and n < 1."""
    if split not in SPLITS:
        raise UserError(f"there is no split {split!r}; legal are {' and '.join(SPLITS)}")
    if n < 1:
        raise UserError(f"{n} prompts: give a number of at least 1")
    rng = random.Random(f"evaluate {split} {seed}")
    return [captions.phrase(sample_meaning(rng, world, split), rng) for _ in range(n)]


def read_prompts(path: str | Path, world: World) -> list[str]:
    """The prompts of a text file, one on each line; empty lines and those that start with # do not count.

    Raises `UserError` with the number of the first line that the world cannot show.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UserError(f"cannot read '{path}': {reason}; give a text file with one prompt on each line") from error
    prompts = []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            check(captions.parse(line), world)
        except UserError as error:
            raise UserError(f"'{path}', line {number}: {error}") from error
        prompts.append(line.strip())
    if not prompts:
        raise UserError(f"'{path}' holds no prompts; write one on each line")
    return prompts


def generate_all(system: TextToVideo, prompts, seed=0, steps=None, guidance=None, tell=lambda done: None) -> list[Clip]:
    """A clip of every prompt; prompt i has seed `seed + i`. `tell(done)` hears how many there are so far."""
    clips = []
    for first in range(0, len(prompts), BATCH):
        some = prompts[first : first + BATCH]
        seeds = range(seed + first, seed + first + len(some))
        clips += system.generate_batch(some, seeds, steps=steps, guidance=guidance)
        tell(len(clips))
    return clips


def reconstructions(system: TextToVideo, meanings, seed: int = 0) -> list[np.ndarray]:
    """Real clips as the system's own VAE can show them: rendered, encoded and decoded."""
    videos, device = [], next(system.vae.parameters()).device
    for i, meaning in enumerate(meanings):
        real = to_pixels(render(scene(meaning, seed + i, system.world)))[None].to(device)  # (1, t, 3, h, w)
        videos.append(system.decode(system.vae.encode(real))[0])
    return videos


def evaluate(
    system: TextToVideo, prompts: list[str], seed=0, steps=None, guidance=None, most_controls=50, tell=lambda text: None
) -> tuple[dict, list[Clip]]:
    """Generates, judges and measures: a JSON-able report, and the clips.

    adherence, flicker, identity_drift, motion, physics as `metrics.report` tells, with controls made of real
    clips of the first `most_controls` prompts, put through the system's VAE: what a perfect denoiser would reach.
    seconds: of generating one clip, in batches. wrong: each clip that is not as its prompt asks, and why.
    """
    began = time.perf_counter()
    clips = generate_all(system, prompts, seed, steps, guidance, lambda n: tell(f"clip {n} of {len(prompts)}"))
    seconds = (time.perf_counter() - began) / len(clips)
    tell("measuring")
    meanings = [clip.meaning for clip in clips]
    count = min(len(clips), most_controls)
    real = reconstructions(system, meanings[:count], seed)
    figures = report([clip.frames for clip in clips], meanings, system.world, real, count, seed)
    about = {"controls_n": count, "controls_of": "real clips of the same prompts, through the system's VAE"}
    return figures | {"seconds": seconds, **about, "wrong": list(filter(None, map(_wrong, clips)))}, clips


def _wrong(clip: Clip) -> dict | None:
    """What the clip shows in place of what was asked; None if all is right."""
    wrong = [name for name, right in clip.matches.items() if not right]
    if not wrong:
        return None
    shown = {
        name: {"asked": in_words(getattr(clip.meaning, name)), "seen": in_words(getattr(clip.reading, name))}
        for name in wrong
    }
    return {"prompt": clip.prompt, "seed": clip.seed, "wrong": shown}
