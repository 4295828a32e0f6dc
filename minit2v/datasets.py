"""The world as a stream of training clips: sample i of step s is a pure function of (seed, s, i)."""

from __future__ import annotations

import json
import os
import random
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from minit2v.errors import UserError
from minit2v.vae import VAE, to_pixels
from minit2v.world import captions
from minit2v.world.render import render
from minit2v.world.scenes import STANDARD, Scene, World, sample_meaning, scene
from minit2v.world.windows import cut

WHOLE = 0.5  # share of the samples of long clips that are clips of the standard length


def captioned(seed: str, world: World = STANDARD, split: str = "train") -> tuple[str, Scene]:
    """A caption and the scene that shows it, both drawn from `seed`."""
    rng = random.Random(f"clip {seed}")
    meaning = sample_meaning(rng, world, split)
    return captions.phrase(meaning, rng), scene(meaning, rng.getrandbits(32), world)


def captioned_window(seed: str, world: World, long: int = 0, split: str = "train") -> tuple[str, Scene, int]:
    """What is due in a window of `world.frames` of a clip of `long` frames, the scene of the window alone, and its
    first frame's number in the clip. Half of the time, and if no clip is long, a whole clip of `world` (that of
    `captioned`, start 0): the language of long clips is smaller, for many motions leave the picture in time."""
    rng = random.Random(f"window {seed}")
    if not long or rng.random() < WHOLE:
        return (*captioned(seed, world, split), 0)
    staged, start = captioned(seed, replace(world, frames=long), split)[1], rng.randint(0, long - world.frames)
    window = cut(staged, start, world.frames)
    return captions.phrase(window.meaning, rng), window, start


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


def wild_clip(name: str, world: World, split: str = "train") -> Scene:
    """A scene for an autoencoder: every other one is wild, and half of them move fast, which is hardest to keep."""
    rng = random.Random(f"wild {name}")
    fast, number = rng.random() < 0.5, 0
    while True:
        _, staged = captioned(f"{name} {number}", world, split)
        if not fast or staged.meaning.speed == "quick" or "bounces" in staged.meaning.motions or number == 20:
            break
        number += 1
    return wild(staged, rng) if rng.random() < 0.5 else staged


def pixel_batch(seed, step: int, indices: range, world: World) -> Tensor:
    """Whole clips for an autoencoder: (b, t, 3, h, w) in [-1, 1]."""
    return to_pixels(np.stack([render(wild_clip(f"{seed} {step} {index}", world)) for index in indices]))


def crop_batch(seed, step: int, indices: range, world: World, frames: int, size: int, each: int) -> Tensor:
    """`each` crops of each clip, every other one around the subject: (b * each, frames, 3, size, size)."""
    crops = []
    for index in indices:
        name = f"{seed} {step} {index}"
        staged, rng = wild_clip(name, world), random.Random(f"crop {name}")
        clip = render(staged)
        for number in range(each):
            t = rng.randint(0, world.frames - frames)
            x, y = rng.randint(0, world.width - size), rng.randint(0, world.height - size)
            if number % 2 == 0:
                aim = staged.screen_position[t + frames // 2] - size / 2 + [rng.uniform(-8, 8), rng.uniform(-8, 8)]
                x, y = np.clip(aim.round().astype(int), 0, [world.width - size, world.height - size])
            crops.append(clip[t : t + frames, y : y + size, x : x + size])
    return to_pixels(np.stack(crops))


class LatentCache:
    """Clips encoded once, so that a denoiser's step costs no rendering and no encoding.

    A folder with latents.npy, float16 (n, f, c, h, w), normalised, and clips.json: the captions, and what made them.
    starts: for each clip, the number of its first frame in the longer clip that it is a window of; 0 if it is whole.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        try:
            self.about = json.loads((self.folder / "clips.json").read_text())
            self.latents = np.load(self.folder / "latents.npy", mmap_mode="r")
        except (OSError, ValueError) as error:
            raise UserError(f"no latent cache in '{self.folder}': {error}; make it with fill_cache") from error
        self.meanings = [captions.parse(text) for text in self.about["captions"]]
        self.starts = self.about.get("starts") or [0] * len(self.meanings)

    def __len__(self) -> int:
        return len(self.meanings)

    def sample(self, index: int, rng: random.Random) -> tuple[Tensor, str]:
        """Latents (f, c, h, w) of clip `index`, and its meaning in new words."""
        latents = torch.from_numpy(self.latents[index].astype(np.float32))
        return latents, captions.phrase(self.meanings[index], rng)


def fill_cache(
    folder, vae: VAE, count: int, world: World, split: str = "train", seed: int = 0, processes=None, long: int = 0
):  # fmt: skip
    """Renders and encodes `count` captioned clips of a split; a whole cache that is there already is used as it is.

    Latents are the posterior's means: its spread is far below the noise that training adds. long: half of the clips
    are windows of clips of so many frames, see `captioned_window`, with their first frames encoded alone, as they are
    when a clip is extended. `processes` None: one per core, where there is work for them. Raises `UserError` if the
    folder holds other latents.
    """
    folder = Path(folder)
    about = {"world": world.name, "split": split, "seed": seed, "count": count, "vae": encoder_id(vae)}
    about["long"] = long or None  # as caches have it that were made before there were long clips
    if (folder / "clips.json").exists():
        cache = LatentCache(folder)
        found = {key: cache.about.get(key) for key in about}
        if found != about:
            raise UserError(f"'{folder}' holds other latents ({found}, not {about}): delete it or name another folder")
        return cache
    folder.mkdir(parents=True, exist_ok=True)
    texts, starts, latents = [], [], None
    work = [(world, long, split, seed, range(first, min(count, first + 32))) for first in range(0, count, 32)]
    with _workers(vae, processes or min(len(work) // 8, _cores())) as each:
        done = tqdm(each(work), desc="encoding clips", unit="batch", total=len(work), mininterval=5)
        for part, begins, encoded in done:
            if latents is None:
                shape = (count, *encoded.shape[1:])
                latents = np.lib.format.open_memmap(folder / "latents.npy", "w+", np.float16, shape)
            latents[len(texts) : len(texts) + len(part)] = encoded
            texts, starts = texts + part, starts + begins
    latents.flush()
    about |= {"captions": texts} | ({"starts": starts} if long else {})
    (folder / "clips.json").write_text(json.dumps(about))  # last: it makes the cache whole
    return LatentCache(folder)


@contextmanager
def _workers(vae: VAE, processes: int):
    """A function that encodes pieces of work in turn: in this process, or in several with one thread each."""
    if processes <= 1 or vae.mean.is_cuda:
        yield partial(map, partial(_encode, vae))
        return
    pool = ProcessPoolExecutor(processes, get_context("spawn"), _receive, (vae,))
    try:
        yield partial(pool.map, _encode_here)
    finally:
        pool.shutdown(cancel_futures=True)


def _encode(vae: VAE, work) -> tuple[list[str], list[int], np.ndarray]:
    """Captions, starts and latents, float16 (n, f, c, h, w), of clips (world, long, split, seed, range of numbers)."""
    world, long, split, seed, numbers = work
    clips = [captioned_window(f"{seed} {number}", world, long, split) for number in numbers]
    texts, scenes, starts = map(list, zip(*clips, strict=True))
    frames = np.stack([render(staged) for staged in scenes])
    parts = [vae.encode(to_pixels(part).to(vae.mean.device)) for part in np.array_split(frames, -(-len(frames) // 8))]
    return texts, starts, torch.cat(parts).half().cpu().numpy()


def _receive(vae: VAE) -> None:
    """What a worker process starts with."""
    global _vae
    torch.set_num_threads(1)
    _vae = vae


def _encode_here(work):
    return _encode(_vae, work)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def encoder_id(vae: VAE) -> float:
    """A number that tells whose latents these are: of all that makes them, and not of the decoder."""
    weights = [*vae.encoder.state_dict().values(), vae.mean, vae.std]
    return round(sum(float(weight.double().abs().sum()) for weight in weights), 3)
