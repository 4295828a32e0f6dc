"""Image to video: pictures and prompts on a bench, ways to hand a picture over, and what becomes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from minit2v.checkpoints import available
from minit2v.clip import Clip
from minit2v.diffusion import FlowMatching, Known, draw_noise, finish, guided, on_frames, sigmas, start
from minit2v.evaluation.pictures import Source, first_frame_error, measure
from minit2v.evaluation.statistics import band, resampled
from minit2v.request import Given
from minit2v.unet import UNet
from minit2v.world import captions
from minit2v.world.captions import parse
from minit2v.world.oracle import judge, lab
from minit2v.world.render import render
from minit2v.world.scenes import scene

SYSTEM = "pika" if "pika" in available() else "sora"  # both have learned to go on from pictures, pika more of it
STEPS = 10  # of denoising, for a lesson that does not wait
FAR = 100.0  # dE: what a subject that cannot be found counts as

LIME, SALMON, TEAL = np.array([0.62, 0.86, 0.10]), np.array([0.93, 0.45, 0.42]), np.array([0.10, 0.55, 0.50])


# ---- pictures ------------------------------------------------------------------------------------------------------


def taken(shown: str, said: str = "", seed: int = 0, **looks) -> Source:
    """A picture with a prompt: the first frame of what `shown` means, and what is said of it, as a rule less.

    looks: fields of the scene that no word can say, such as `color` (3,) in [0, 1] or `pattern_angle` in rad.
    """
    staged = replace(scene(parse(shown), seed), **looks)
    said = said or shown
    return Source(said, parse(said), render(staged), staged.meaning.size, bool(looks))


def crossfade(first: np.ndarray, last: np.ndarray, frames: int) -> np.ndarray:
    """From one picture (1, h, w, 3) to another by fading, uint8 (frames, h, w, 3): "just interpolation"."""
    share = np.linspace(0, 1, frames)[:, None, None, None]
    return ((1 - share) * first + share * last).round().astype(np.uint8)


def drawing(height: int, width: int) -> np.ndarray:
    """A picture of somebody's own, uint8 (h, w, 3): a ball under an evening sky. The world has no such sky."""
    y, x = (np.linspace(-1, 1, side) * side / min(height, width) for side in (height, width))
    y, x = y[:, None], x[None, :]
    sky = np.stack([0.9 - 0.25 * y + 0 * x, 0.66 - 0.2 * y + 0 * x, 0.62 + 0.2 * y + 0 * x], axis=-1)
    ball = np.clip((0.5 - np.hypot(x, y)) * min(height, width) / 4, 0, 1)[..., None]
    return (255 * (ball * np.array([0.14, 0.30, 0.88]) + (1 - ball) * sky)).clip(0, 255).round().astype(np.uint8)


def samples() -> dict[str, Image.Image]:
    """Pictures as people have them: too wide, too tall and transparent, gray, held sideways."""
    tall = np.dstack([drawing(260, 130), np.full((260, 130), 255, np.uint8)])
    tall[:40, :, 3] = tall[-40:, :, 3] = 0  # nothing there
    sideways = Image.fromarray(np.rot90(drawing(300, 200)).copy())
    sideways.getexif()[0x0112] = 6  # "turn me right by 90°"
    return {
        "a wide photograph": Image.fromarray(drawing(180, 320)),
        "a tall one, partly transparent": Image.fromarray(tall),
        "a scan in grays": Image.fromarray(drawing(96, 96)).convert("L"),
        "from a phone held sideways": sideways,
    }


def stripes(height: int, width: int, period: int = 2) -> np.ndarray:
    """A picture of black and white columns, uint8 (1, h, w, 3): finer than any texture of the world."""
    light = np.arange(width) // (period // 2) % 2 * 255
    return np.broadcast_to(light[None, None, :, None], (1, height, width, 3)).astype(np.uint8)


# ---- the bench -----------------------------------------------------------------------------------------------------


class Bench:
    """A system with pictures and prompts laid out, so that many ways of handing them over start from the same noise.

    noise (b, f, c, h, w); velocity: the guided `velocity_fn`; schedule (steps + 1,).
    """

    def __init__(self, system, sources: Sequence[Source], seeds=None, steps: int = STEPS, guidance=None):
        self.system, self.sources, self.prompts = system, list(sources), [source.prompt for source in sources]
        seeds = range(len(self.sources)) if seeds is None else seeds
        shape = system.latent_shape(system.world.frames)
        self.noise = draw_noise((len(self.sources), *shape), [torch.Generator().manual_seed(seed) for seed in seeds])
        text = system.model.read(self.prompts)
        null = system.model.text.null(len(text)).padded(text.tokens.shape[1])
        self.velocity = guided(system.model, text, null, system.sampling.guidance if guidance is None else guidance)
        self.schedule = sigmas(steps, system.sampling.shift)

    def known(self, noise: float = 0.0, last: Sequence[np.ndarray] = ()) -> Known:
        """The pictures as known frames; `last`: pictures (1, h, w, 3) to end with, too, each standing still."""
        ends = last or [None] * len(self.sources)
        given = [Given(each.picture, end, noise) for each, end in zip(self.sources, ends, strict=True)]
        return self.system.known(given, self.noise)

    @torch.no_grad()
    def run(self, known: Known | None = None, way: str = "right") -> list[Clip]:
        """The clips, made in one of the ways of `made`."""
        return self.clips(made(self.velocity, self.noise, self.schedule, known, way))

    @torch.no_grad()
    def held(self, sigma: float) -> list[Clip]:
        """The clips, begun from the picture on *every* frame, noisy to `sigma`: 1 is the usual way, 0 a photograph."""
        per = self.system.world.frames
        still = self.system.encode([np.repeat(each.picture, per, axis=0) for each in self.sources])  # (b, f, c, h, w)
        return self.clips(begun(self.velocity, self.noise, self.schedule, self.known(), still, sigma))

    def clips(self, latents: Tensor) -> list[Clip]:
        """Latents as clips that know their prompts."""
        videos = self.system.decode(latents)
        return [Clip(video, prompt) for video, prompt in zip(videos, self.prompts, strict=True)]


# ---- ways to hand a picture over -----------------------------------------------------------------------------------


def made(velocity_fn, noise: Tensor, schedule: Tensor, known: Known | None, way: str = "right") -> Tensor:
    """Euler's sampler around known frames, and three ways to get it wrong.

    "wrong frame": the network is told of the clip's levels back to front, so that it takes the last frame for known.
    "like the others": known frames are made as noisy as the others at every step, and put back at the end.
    "redrawn": known frames come down with the others from their own level, and nobody puts them back.
    """
    x, levels = start(noise, schedule, known)
    if way == "redrawn":
        levels = torch.where(known.mask, levels[0].minimum(on_moments(schedule, noise)), levels)
    for now, then in pairwise(levels):
        told = now
        if way == "wrong frame":
            told = now.flip(1)
        elif way == "like the others":
            told = now.amax(1, keepdim=True).expand_as(now)
            x = torch.where(on_frames(known.mask), FlowMatching.add_noise(known.latents, noise, told), x)
        x = x + on_frames(then - now) * velocity_fn(x, told)
    return x if way == "redrawn" else finish(x, known)


def on_moments(schedule: Tensor, noise: Tensor) -> Tensor:
    """(moments,) -> (moments, b, f)."""
    return schedule.to(noise)[:, None, None].expand(-1, *noise.shape[:2])


def begun(velocity_fn, noise: Tensor, schedule: Tensor, known: Known, still: Tensor, sigma: float) -> Tensor:
    """Sampling that begins at level `sigma` with the picture on every frame, still (b, f, c, h, w) and noisy, in place
    of pure noise at level 1 (Meng et al. 2022, SDEdit). The known frames stay, as always."""
    rest = torch.cat([torch.tensor([float(sigma)]), schedule[schedule < sigma]])
    x, levels = start(noise, rest, known)
    x = torch.where(on_frames(known.mask), x, FlowMatching.add_noise(still, noise, levels[0]))
    for now, then in pairwise(levels):
        x = x + on_frames(then - now) * velocity_fn(x, now)
    return finish(x, known)


def endings(system, video: np.ndarray) -> dict[str, Tensor]:
    """A clip's last frame as a last latent frame (1, 1, c, h, w), encoded in three ways."""
    last, per = video[-1:], system.vae.config.temporal
    return {
        "with the frames before it": system.encode([video])[:, -1:],
        "standing still": system.encode([last.repeat(2 * per + 1, axis=0)])[:, -1:],
        "alone, as a first frame": system.encode([last]),
    }


def opened(unet: UNet, seed: int = 0) -> UNet:
    """The U-Net with random weights wherever it starts at 0, but for its way in for a picture: an untrained network
    that speaks, as a trained one does."""
    dice = torch.Generator().manual_seed(seed)
    for name, weight in unet.named_parameters():
        if not weight.any() and "condition" not in name:
            nn.init.normal_(weight.data, std=0.1, generator=dice)
    return unet.eval()


# ---- what became of the picture ------------------------------------------------------------------------------------


def became(clips: Sequence[Clip], sources: Sequence[Source]) -> dict[str, np.ndarray]:
    """`evaluation.pictures.measure` of each clip, name -> (n,). What cannot be found is `FAR` off in color."""
    rows = [measure(clip.frames, source) for clip, source in zip(clips, sources, strict=True)]
    found = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return found | {"color": np.minimum(found["color"], FAR)}


def with_controls(system, clips: Sequence[Clip], sources: Sequence[Source]) -> dict[str, dict[str, np.ndarray]]:
    """What became of the pictures in these clips, and in three controls: the real clips through the VAE, the picture
    frozen, and the clip of the next picture."""
    n = len(sources)
    frames = {
        SYSTEM: [clip.frames for clip in clips],
        "real, through the VAE": list(system.decode(system.encode([source.clip for source in sources]))),
        "the picture, frozen": [np.repeat(source.picture, len(source.clip), axis=0) for source in sources],
        "another picture's": [clips[(i + 1) % n].frames for i in range(n)],
    }
    return {
        name: became([Clip(video, source.prompt) for video, source in zip(videos, sources, strict=True)], sources)
        for name, videos in frames.items()
    }


def middle(found: dict[str, np.ndarray]) -> dict[str, float]:
    """Medians, what does not apply left out; of "kept" the share."""
    return {
        name: float(np.mean(values) if name == "kept" else np.nanmedian(values)) for name, values in found.items()
    }


def means(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Means of values (n,) at each setting, and the band that resampling leaves: (settings, 3)."""
    values = np.array(rows, dtype=float)
    return np.array([(np.nanmean(row), *band(draws)) for row, draws in zip(values, resampled(values), strict=True)])


def travel(frames: np.ndarray) -> np.ndarray:
    """Mean change from each frame to the next, in levels of 255: (t - 1,)."""
    return np.abs(np.diff(frames.astype(float), axis=0)).mean(axis=(1, 2, 3))


def unlike(frames: np.ndarray, picture: np.ndarray) -> float:
    """Mean distance of a clip's first frame from a picture (1, h, w, 3), in levels of 255."""
    return float(np.abs(frames[0].astype(float) - picture[0]).mean())


def errors(system, clips: Sequence[Clip], sources: Sequence[Source]) -> dict[str, float]:
    """The first frames' distance from their pictures, rms levels of 255, on average: "total", "vae" and "model"."""
    rebuilt = [system.decode(system.encode([source.picture]))[0] for source in sources]
    rows = [first_frame_error(clip.frames, *each) for clip, *each in zip(clips, sources, rebuilt, strict=True)]
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def hues(frames: np.ndarray) -> np.ndarray:
    """The subject's color in every frame in which it is seen, CIELAB (n, 3)."""
    colors = lab(judge(frames).track.rgb)
    return colors[np.isfinite(colors).all(axis=1)]


def nearest_name(color: np.ndarray) -> tuple[str, float]:
    """The named color that is nearest to one of CIELAB (3,), and how far off it is, dE."""
    off = {name: float(np.linalg.norm(color - lab(np.array(rgb)))) for name, rgb in captions.COLORS.items()}
    name = min(off, key=off.get)
    return name, off[name]


def pulled_home(frames: np.ndarray) -> tuple[str, float, float]:
    """Of a subject's color: the named one nearest to it in the first frame, how far off that is then and in the last
    frame, dE. A color that no training clip has may be pulled home to one that many have."""
    colors = hues(frames)
    if not len(colors):
        return "", FAR, FAR
    name, before = nearest_name(colors[0])
    return name, before, float(np.linalg.norm(colors[-1] - lab(np.array(captions.COLORS[name]))))


def ghostly(frames: np.ndarray) -> float:
    """How far the subject's color is, halfway through a clip, from that of its first frame, dE. Two ghosts of a thing,
    each half there, have half the color of what lies behind them."""
    colors = lab(judge(frames).track.rgb)
    return float(np.nan_to_num(np.linalg.norm(colors[len(colors) // 2] - colors[0]), nan=FAR))


def paces(frames: np.ndarray, count: int = 4) -> np.ndarray:
    """How far the subject moves in each of the last `count` steps of a clip, px: (count,)."""
    center = judge(frames).track.center[-1 - count :]
    return np.linalg.norm(np.diff(center, axis=0), axis=1)
