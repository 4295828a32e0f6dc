"""From prompts to figures: generate, judge, measure, and hold it against what a perfect denoiser would reach."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from minit2v.clip import Clip, in_words
from minit2v.metrics import report
from minit2v.pipeline import TextToVideo
from minit2v.request import Given
from minit2v.vae import to_pixels
from minit2v.world.render import render
from minit2v.world.scenes import scene

BATCH = 16  # clips that are generated at once


def generate_all(
    system: TextToVideo, prompts: Sequence[str], seed=0, steps=None, guidance=None,
    tell: Callable[[int], None] = lambda done: None, given: Sequence[Given] = (), **more,
) -> list[Clip]:  # fmt: skip
    """A clip of every prompt; prompt i has seed `seed + i`. `tell(done)` hears how many there are so far.

    given: one for each prompt, or none. more: `frames` and `sliding`, as `TextToVideo.generate_batch` takes them.
    """
    clips = []
    for first in range(0, len(prompts), BATCH):
        part = slice(first, first + BATCH)
        some = prompts[part]
        seeds = range(seed + first, seed + first + len(some))
        around = {"given": given[part]} if given else {}
        clips += system.generate_batch(some, seeds, steps=steps, guidance=guidance, **around, **more)
        tell(len(clips))
    return clips


def reconstructions(system: TextToVideo, meanings, seed: int = 0, frames: int | None = None) -> list[np.ndarray]:
    """Real clips as the system's own VAE can show them: rendered, encoded and decoded."""
    videos, device = [], next(system.vae.parameters()).device
    world = replace(system.world, frames=frames or system.world.frames)
    for i, meaning in enumerate(meanings):
        real = to_pixels(render(scene(meaning, seed + i, world)))[None].to(device)  # (1, t, 3, h, w)
        videos.append(system.decode(system.vae.encode(real))[0])
    return videos


def evaluate(
    system: TextToVideo, prompts: list[str], seed=0, steps=None, guidance=None, most_controls=50,
    tell=lambda text: None, **more,
) -> tuple[dict, list[Clip]]:  # fmt: skip
    """Generates, judges and measures: a JSON-able report, and the clips.

    adherence, with the share of each kind of clip, flicker, identity_drift, motion, physics, camera, and where they
    apply permanence (pillars) and held (long clips), as `metrics.report` tells, with controls made of real clips of the
    first `most_controls` prompts, put through the system's VAE: what a perfect denoiser would reach. seconds: of
    generating one clip, in batches. wrong: each clip that is not as its prompt asks, and why. more: as in
    `generate_all`.
    """
    began = time.perf_counter()
    clips = generate_all(
        system, prompts, seed, steps, guidance, lambda n: tell(f"clip {n} of {len(prompts)}"), **more
    )  # fmt: skip
    seconds = (time.perf_counter() - began) / len(clips)
    tell("measuring")
    meanings = [clip.meaning for clip in clips]
    count = min(len(clips), most_controls)
    real = reconstructions(system, meanings[:count], seed, len(clips[0].frames))
    figures = report([clip.frames for clip in clips], meanings, system.world, real, count, seed)
    figures["adherence"]["kinds"] = by_kind(clips)
    about = {"controls_n": count, "controls_of": "real clips of the same prompts, through the system's VAE"}
    return figures | {"seconds": seconds, **about, "wrong": list(filter(None, map(_wrong, clips)))}, clips


def by_kind(clips: Sequence[Clip]) -> dict[str, dict[str, int]]:
    """Of the clips that show a star, a turn, something small: how many are right on all attributes, {kind: {"right",
    "n"}}, the weakest first. Which kind a system has not learned is seen here and in no average."""
    counts = {}
    for clip in clips:
        for kind in clip.meaning.kinds:
            one = counts.setdefault(kind, {"right": 0, "n": 0})
            one["right"] += all(clip.matches.values())
            one["n"] += 1
    return dict(sorted(counts.items(), key=lambda item: (item[1]["right"] / item[1]["n"], item[0])))


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
