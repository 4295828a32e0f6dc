"""Windows of a long clip: which there are, what a window of a scene is, and which prompt is due in it.

A model that was trained on short clips makes a long one window by window. What it is asked for in each must be what
that window of a real clip shows: a camera that has arrived holds, and of "then" perhaps one half is to be seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np

from minit2v.errors import UserError
from minit2v.world import captions, scenes
from minit2v.world.captions import Meaning
from minit2v.world.scenes import Scene, World

LEAST_SECONDS = 0.5  # of a motion in a window: less of it is not said
LEAST_TRAVEL = 0.25  # of a window at the camera's full rate: less is a camera that holds


@dataclass(frozen=True)
class Window:
    """Frames start to end of a clip, of which the first `known` are there before it is made."""

    start: int
    end: int
    known: int

    @property
    def frames(self) -> int:
        return self.end - self.start


def plan(frames: int, length: int, context: int, have: int = 0, group: int = 4) -> list[Window]:
    """The windows that make a clip of `frames` from its first `have`, each `length` long or all of a shorter clip.

    Every window but the first knows `context` frames of the one before, or more where they do not divide: the first
    step is the shorter one. context 0: one window for all. Raises `UserError` unless the context is 1, 5, 9, …
    (1 + n times `group`, as many as a latent frame covers) and leaves something to be made.
    """
    if context and (not 1 <= context < length or (context - 1) % group):
        legal = ", ".join(map(str, range(1, length, group)))
        raise UserError(f"a context of {context} frames in windows of {length}: legal are 0 (no windows), {legal}")
    if not context or frames <= length:
        return [Window(0, frames, have)]
    windows = []
    while have < frames:
        step = (frames - have) % (length - context) or length - context
        end = length if have <= context else max(length, have + step)
        windows.append(Window(end - length, end, have - (end - length)))
        have = end
    return windows


def seed_of(seed: int, number: int) -> int:
    """The seed of window `number` of a clip: the first window has the clip's own."""
    return seed if number == 0 else int.from_bytes(sha256(f"window {seed} {number}".encode()).digest()[:8]) >> 1


def cut(scene: Scene, start: int, frames: int) -> Scene:
    """Frames [start, start + frames) of a scene as a scene of its own, which shows what is `due` in them."""
    if not 0 <= start <= scene.world.frames - frames:
        raise UserError(f"frames {start} to {start + frames} of a clip of {scene.world.frames}: they are not all there")
    names = ("position", "width", "angle", "mouth", "tilt", "stride", "camera", "zoom")
    arrays = {name: getattr(scene, name)[start : start + frames] for name in names}
    said = due(scene.meaning, scene.world, start, frames)
    return replace(scene, meaning=said, world=replace(scene.world, frames=frames), **arrays)


def due(meaning: Meaning, world: World, start: int, frames: int) -> Meaning:
    """What frames [start, start + frames) of a clip of `world.frames` show, if the clip shows `meaning`.

    The subject's size is said as long as nothing has grown or been zoomed, for it is the size on the first frame.
    """
    if frames == world.frames:
        return meaning
    begin, end = start / world.fps, (start + frames - 1) / world.fps
    motions = _motions(meaning, world, begin, end)
    steady = scenes.camera_steady(meaning, world.seconds)
    before, after = (float(scenes.eased(np.array(time), steady)) for time in (begin, end))
    zoomed = before > 0 and meaning.camera in ("push in", "pull out")
    return replace(
        meaning,
        motions=motions,
        speed="normal" if motions == ("still",) else meaning.speed,
        camera=meaning.camera if after - before >= LEAST_TRAVEL * (end - begin) else "hold",
        size=None if zoomed or _has_grown(meaning, world, begin) else meaning.size,
    )


def due_prompt(prompt: str, world: World, window: Window) -> str:
    """What to ask for in a window of a clip of `world.frames`: the prompt's own words where nothing else is due."""
    meaning = captions.parse(prompt)
    shown = due(meaning, world, window.start, window.frames)
    return prompt if shown == meaning else captions.phrase(shown)


def _motions(meaning: Meaning, world: World, begin: float, end: float) -> tuple[str, ...]:
    """The motions that are to be seen between two times, s: those seen for long enough, or else the longest."""
    share, seconds = world.seconds / len(meaning.motions), {}
    for part, motion in enumerate(meaning.motions):
        first, last = max(begin, part * share), min(end, (part + 1) * share)
        if motion == "sloshes" and scenes.swing(meaning, first - part * share) < scenes.LEAST_TILT:
            motion = "still"
        seconds[motion] = seconds.get(motion, 0.0) + max(last - first, 0.0)
    seen = tuple(motion for motion in seconds if seconds[motion] >= min(LEAST_SECONDS, (end - begin) / 2))
    return seen or (max(seconds, key=seconds.get),)


def _has_grown(meaning: Meaning, world: World, begin: float) -> bool:
    share = world.seconds / len(meaning.motions)
    return any(motion in ("grows", "shrinks") and begin > part * share for part, motion in enumerate(meaning.motions))
