"""The world as a stream of training clips: sample i of step s is a pure function of (seed, s, i)."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from minit2v.world import captions
from minit2v.world.render import render
from minit2v.world.scenes import STANDARD, Scene, World, sample_meaning, scene


def to_pixels(frames: np.ndarray) -> Tensor:
    """uint8 (..., t, h, w, 3) -> float32 (..., t, 3, h, w) in [-1, 1], what the models see."""
    return torch.from_numpy(np.ascontiguousarray(frames)).movedim(-1, -3).float() / 127.5 - 1


def to_frames(pixels: Tensor) -> np.ndarray:
    """float (..., t, 3, h, w) in [-1, 1] -> uint8 (..., t, h, w, 3)."""
    return ((pixels.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).movedim(-3, -1).contiguous().cpu().numpy()


def captioned(seed: str, world: World = STANDARD, split: str = "train") -> tuple[str, Scene]:
    """A caption and the scene that shows it, both drawn from `seed`."""
    rng = random.Random(f"clip {seed}")
    meaning = sample_meaning(rng, world, split)
    return captions.phrase(meaning, rng), scene(meaning, rng.getrandbits(32), world)


def wild(staged: Scene, rng: random.Random) -> Scene:
    """The scene with looks that no word names: any color, stripes and dots at any angle and size, another tint of
    the background, another place to start from. For the autoencoders, which must carry more than the vocabulary."""
    shift = np.array([rng.uniform(-96, 96), rng.uniform(-96, 96)]) * (rng.random() < 0.5)
    pillar = staged.pillar and tuple(edge + shift[0] for edge in staged.pillar)
    return replace(
        staged,
        color=_any_color(rng) if rng.random() < 0.6 else staged.color,
        dark=rng.uniform(0.3, 0.6),
        pattern_angle=rng.uniform(0, np.pi),
        pattern_scale=rng.uniform(1.0, 1.5),
        tint=np.array([rng.uniform(-0.06, 0.06) for _ in range(3)]) * (rng.random() < 0.5),
        position=staged.position + shift,
        camera=staged.camera + shift,
        pillar=pillar,
    )


def _any_color(rng: random.Random) -> np.ndarray:
    return np.array([rng.uniform(0.03, 0.99) for _ in range(3)])


def pixel_batch(seed, step: int, indices: range, world: World, split: str = "train") -> Tensor:
    """Clips for an autoencoder, half of them wild: (b, t, 3, h, w) in [-1, 1]."""
    clips = []
    for index in indices:
        name = f"{seed} {step} {index}"
        _, staged = captioned(name, world, split)
        rng = random.Random(f"wild {name}")
        clips.append(render(wild(staged, rng) if rng.random() < 0.5 else staged))
    return to_pixels(np.stack(clips))
