"""What goes wrong with a clip: each takes a scene of the world and a source of chance, and gives spoiled frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from minit2v.world.captions import BACKGROUNDS, COLORS
from minit2v.world.render import render
from minit2v.world.scenes import scene as stage

LEVELS = 26.0  # of 255: how far the flicker jumps


def _restaged(scene, **changes):
    """The same scene, the same draw, but for what is changed in its meaning."""
    return stage(replace(scene.meaning, **changes), 0)


def healthy(scene, rng):
    """The clip as it is."""
    return render(scene)


def frozen(scene, rng):
    """The first frame, again and again."""
    frames = render(scene)
    return frames[:1].repeat(len(frames), axis=0)


def shuffled(scene, rng):
    """Right frames in a wrong order."""
    frames = render(scene)
    return frames[np.random.default_rng(rng.randrange(10**6)).permutation(len(frames))]


def stutter(scene, rng):
    """Every third frame, shown three times."""
    frames = render(scene)
    return frames[[i // 3 * 3 for i in range(len(frames))]]


def flickering(scene, rng):
    """A brightness that jumps from frame to frame."""
    frames = render(scene).astype(np.float64)
    jumps = np.array([LEVELS * (-1) ** i * rng.uniform(0.5, 1) for i in range(len(frames))])
    return (frames + jumps[:, None, None, None]).clip(0, 255).round().astype(np.uint8)


def drifting(scene, rng):
    """The subject's color fades into another."""
    color = scene.meaning.color
    others = [np.array(value) for name, value in COLORS.items() if name != color]
    far = max(others, key=lambda value: float(np.abs(value - np.array(COLORS[color])).sum()))
    before, after = render(scene).astype(np.float64), render(replace(scene, color=far)).astype(np.float64)
    share = np.linspace(0, 1, len(before))[:, None, None, None]
    return ((1 - share) * before + share * after).round().astype(np.uint8)


def without_background(scene, rng):
    """Halfway through, the place becomes another."""
    other = rng.choice([name for name in BACKGROUNDS if name != scene.background])
    frames = render(scene)
    half = len(frames) // 2
    frames[half:] = render(replace(scene, background=other))[half:]
    return frames


def other_camera(scene, rng):
    """The camera does the contrary of what was asked for."""
    contrary = {"pan left": "pan right", "pan right": "pan left", "push in": "pull out", "pull out": "push in"}
    return render(_restaged(scene, camera=contrary[scene.meaning.camera]))


def other_texture(scene, rng):
    """Halfway through, stripes become dots."""
    contrary = {"striped": "dotted", "dotted": "striped"}[scene.meaning.texture]
    frames = render(scene)
    half = len(frames) // 2
    frames[half:] = render(replace(scene, meaning=replace(scene.meaning, texture=contrary)))[half:]
    return frames


def leaping(scene, rng):
    """Halfway through, the subject is somewhere else."""
    position = scene.position.copy()
    half = len(position) // 2
    x, y = position[half]
    position[half:] += (-14 if x > 0 else 14, -10 if y > 0 else 10)  # towards the middle, so that it stays in sight
    return render(replace(scene, position=position))


def other_shadow(scene, rng):
    """Halfway through, the light changes sides."""
    frames = render(scene)
    half = len(frames) // 2
    frames[half:] = render(replace(scene, shadow=-2 * scene.shadow))[half:]
    return frames
