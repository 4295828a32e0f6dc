"""What each recipe trains: a model, its batches and its loss, in the form that `training.train` takes."""

from __future__ import annotations

import math
import random
from dataclasses import asdict
from functools import cached_property
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from minit2v.clip import Clip, contact_sheet
from minit2v.datasets import LatentCache, captioned, crop_batch, pixel_batch
from minit2v.diffusion import FlowMatching, on_frames, randn
from minit2v.errors import UserError
from minit2v.evaluation import draw_prompts, generate_all
from minit2v.metrics import adherence
from minit2v.pipeline import TextToVideo
from minit2v.recipes import PromptedDenoiser, Recipe, VAERecipe, config_of
from minit2v.stages import begin, freeze, located
from minit2v.training import Task, seed_of
from minit2v.unet import UNetConfig, repeat_source
from minit2v.vae import VAE, to_frames, to_pixels
from minit2v.world.captions import Meaning
from minit2v.world.render import render
from minit2v.world.scenes import WORLDS, World


class VAETask(Task):
    """Reconstruct clips: weighted errors of pixels and of their change over time, and a little KL divergence.

    Saturated pixels (the subject's) count more, for they are few and carry the caption; a plain L1 is content
    with gray blobs. The error of frame-to-frame change keeps a decoder from flickering (chapter, section 3).
    Five steps in six see small crops, half of them of the subject; every sixth one sees whole clips.

    `decoder_only` keeps the encoder, and so the latents, as they are: the pictures get better, and denoisers that were
    trained on these latents remain good.
    """

    foreground, change = 4.0, 1.0  # weights
    crop, crops = 32, 4  # px, and how many of each clip

    def __init__(self, recipe: VAERecipe, start: str | None = None, decoder_only: bool = False):
        self.name, self.vae, self.world, self.start = recipe.name, recipe.vae, WORLDS[recipe.world], located(start)
        self.decoder_only, self.kl = decoder_only, recipe.kl
        self.origin = {"start": start, "decoder_only": decoder_only, "kl": recipe.kl}
        self.window = 2 * recipe.vae.temporal + 1  # frames of a crop: the first, and two groups
        if decoder_only and start is None:
            raise UserError("a decoder alone is trained on latents that exist: start with their VAE's checkpoint")
        self.config = {"kind": "vae", "world": recipe.world, "vae": asdict(recipe.vae)}

    def build(self) -> VAE:
        vae = begin(VAE(self.vae), self.start)
        vae.encoder.requires_grad_(not self.decoder_only)
        return vae

    def batch(self, seed: int, step: int, indices: range) -> Tensor:
        if step % 6 and self.world.width > self.crop:
            return crop_batch(seed, step, indices, self.world, self.window, self.crop, self.crops)
        clips = pixel_batch(seed, step, indices, self.world)  # (b, t, 3, h, w)
        if self.vae.temporal > 1:
            return clips
        start = random.Random(seed_of(seed, step, indices.start)).randrange(clips.shape[1] - self.window)
        return clips[:, start : start + self.window]  # frames alone: a few of each clip, for they are much alike

    def loss(self, model: VAE, batch: Tensor, step: int, generator: torch.Generator) -> tuple[Tensor, dict]:
        mean, log_variance = model.posterior(batch)  # (b, f, c, h, w)
        noise = torch.randn(mean.shape, generator=generator, device=mean.device)
        error = model.reconstruct(mean + noise * (0.5 * log_variance).exp()) - batch  # (b, t, 3, h, w)
        saturation = batch.amax(dim=2, keepdim=True) - batch.amin(dim=2, keepdim=True)  # 0..2
        weight = 1 + self.foreground * (saturation / 0.8).clamp(max=1)
        pixels = (weight * distance(error)).mean()
        change = (weight[:, 1:] * distance(error.diff(dim=1))).mean()
        kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).mean()
        psnr = -10 * torch.log10((error**2).mean() / 4)
        return pixels + self.change * change + self.kl * kl, {"pixels": pixels, "kl": kl, "psnr": psnr}

    def pictures(self, model: VAE, folder: Path, step: int) -> None:
        """Real frames above reconstructed ones, six clips."""
        rows = []
        for index in range(6):
            frames = render(captioned(f"picture {index}", self.world, "held-out")[1])
            back = to_frames(model.decode(model.encode(to_pixels(frames)[None])))[0]
            show = np.linspace(0, len(frames) - 1, 7).astype(int)
            rows += [np.concatenate(list(clip[show]), axis=1) for clip in (frames, back)]
        sheet = Image.fromarray(np.concatenate(rows))
        sheet.resize((sheet.width * 2, sheet.height * 2), 0).save(folder / f"{step:06d}.png")


def distance(error: Tensor) -> Tensor:
    """Between L1, which keeps edges sharp, and L2, which gets large errors (the wrong color) out of the way first."""
    return 0.5 * error.abs() + 2 * error**2


@torch.no_grad()
def calibrate(vae: VAE, world: World, clips: int = 96) -> None:
    """Measures each latent channel's mean and spread over training clips, so that denoisers see unit latents."""
    frames = np.stack([render(captioned(f"calibrate {index}", world)[1]) for index in range(clips)])
    latents = torch.cat([vae.posterior(to_pixels(part))[0] for part in np.array_split(frames, clips // 8)])
    vae.mean.copy_(latents.mean((0, 1, 3, 4)))
    vae.std.copy_(latents.std((0, 1, 3, 4)))


@torch.no_grad()
def visibility(vae: VAE, world: World, clips: int = 32) -> Tensor:
    """How much each latent channel is worth, (c,), on average 1: one over the variance of its posterior.

    The autoencoder was trained with that noise on its latents, so it is what the decoder can bear: where the noise is
    wide, an error is not seen. In latents normalised to unit spread, half of the channels are of that kind, and a
    denoiser that counts all errors alike spends half of its effort on what nobody sees.
    """
    frames = np.stack([render(captioned(f"visibility {index}", world)[1]) for index in range(clips)])
    parts = [to_pixels(part).to(vae.std.device) for part in np.array_split(frames, -(-clips // 8))]
    spread = torch.cat([vae.posterior(part)[1].exp() for part in parts])  # (n, f, c, h, w)
    worth = vae.std.flatten().square() / spread.mean((0, 1, 3, 4))  # (c,)
    return worth / worth.mean()


def given_frames(frames: int, rng: random.Random) -> list[bool]:
    """Which latent frames a sample is given, True = known: half of the time the first alone, else both ends or the
    first few. At least one is left to be generated."""
    way = rng.random()
    first = 1 if way < 0.7 else rng.randint(1, max(1, frames - 1))
    known = [frame < first for frame in range(frames)]
    known[-1] = known[-1] or 0.5 <= way < 0.7
    return known if not all(known) else [False] * frames


def going_on(frames: int, rng: random.Random) -> list[bool]:
    """What a window from the middle of a clip is given: its motion's phase can be read from nothing else. Mostly the
    nine frames, three latent ones, that sampling gives it."""
    first = min(rng.choice((3, 3, 3, 4, 2, 1)), frames - 1)
    return [frame < first for frame in range(frames)]


def chance(meaning: Meaning, often: dict) -> float:
    """How many times as often as others a clip is drawn: the product of what `often` gives for its kinds."""
    return math.prod(often.get(kind, 1.0) for kind in meaning.kinds)


def source(batch: dict, generator: torch.Generator) -> Tensor:
    """A U-Net's condition (b, f, c + 1, h, w): the first frames of the clips that are given theirs, noisy to `level`;
    zeros for the others."""
    first, given = batch["latents"][:, 0], batch["known"]  # (b, c, h, w), (b, f)
    noise = randn(first.shape, generator).to(first)
    return repeat_source(first, given.shape[1], batch["level"][:, 0], noise) * on_frames(given[:, :1])


class DenoiserTask(Task):
    """Flow matching on cached latents. At times prompts are dropped (for guidance), frames are given (for
    image-to-video, extension and interpolation, all one code path), or a whole step sees single frames.

    To a transformer given frames are frames without noise; a U-Net is given a picture beside all frames.
    With the VAE that made the latents, training also draws samples and counts how many are right.
    """

    judged = 48  # samples

    def __init__(self, recipe: Recipe, cache: LatentCache, vae: VAE | None = None, start: str | None = None):
        self.name, self.recipe, self.cache, self.vae, self.start = recipe.name, recipe, cache, vae, located(start)
        self.config, self.origin = config_of(recipe), {"start": start}
        self.flow = FlowMatching(recipe.shift, recipe.times)
        self.unet = isinstance(recipe.denoiser, UNetConfig)
        if recipe.freeze and start is None:
            raise UserError(f"{recipe.name!r} keeps the spatial weights as they are: give those of stills by --start")
        self.weight = None if vae is None else visibility(vae, WORLDS[recipe.world])  # (c,)

    def build(self) -> PromptedDenoiser:
        self.model = freeze(begin(PromptedDenoiser(self.config), self.start), self.recipe.freeze)
        return self.model

    def batch(self, seed: int, step: int, indices: range) -> dict:
        still = random.Random(seed_of(seed, step, "still")).random() < self.recipe.stills
        names = [(index, *more) for index in indices for more in self._names(still)]
        samples = [self.sample(random.Random(seed_of(seed, step, *name)), still) for name in names]
        latents, texts, keep, known, level = zip(*samples, strict=True)
        ids, mask = self.model.tokenizer.encode(texts, multiple=8)
        batch = {"latents": torch.stack(latents), "ids": ids, "mask": mask, "keep": torch.tensor(keep)}
        return batch | {"known": torch.tensor(known), "level": torch.tensor(level)[:, None]}  # (b, f), (b, 1)

    def _names(self, still: bool) -> list[tuple]:
        """What tells the samples of one place in the batch apart: it is one clip, or several stills."""
        return [(number,) if number else () for number in range(self.recipe.pictures if still else 1)]

    @cached_property
    def _chances(self) -> list[float]:
        """Those of the clips of the cache, summed up."""
        return list(accumulate(chance(meaning, self.recipe.often) for meaning in self.cache.meanings))

    def _draw(self, rng: random.Random) -> int:
        """The number of a clip."""
        if not self.recipe.often:
            return rng.randrange(len(self.cache))
        return rng.choices(range(len(self.cache)), cum_weights=self._chances)[0]

    def sample(self, rng: random.Random, still: bool) -> tuple:
        """One sample, a still or a clip: latents (f, c, h, w), prompt, whether it is kept, which of the frames are
        given (f), and at what noise level."""
        recipe, at = self.recipe, self._draw(rng)
        while still and self.cache.starts[at]:  # no prompt tells what the middle of a motion looks like
            at = self._draw(rng)
        latents, text = self.cache.sample(at, rng)  # (f, c, h, w)
        if still:
            frame = rng.randrange(len(latents)) if recipe.any_frame else 0
            latents = latents[frame : frame + 1]
        keep, known = rng.random() >= recipe.drop_text, [False] * len(latents)
        if self.cache.starts[at]:
            known = going_on(len(latents), rng)
        elif rng.random() < recipe.known:
            known = [not still, *known[1:]] if self.unet else given_frames(len(latents), rng)
        return latents, text, keep, known, rng.uniform(0, recipe.roughest) if rng.random() < recipe.rough else 0.0

    def loss(self, model: PromptedDenoiser, batch: dict, step: int, generator: torch.Generator) -> tuple[Tensor, dict]:
        text = model.text.drop(model.text(batch["ids"], batch["mask"]), batch["keep"])
        latents, given = batch["latents"], {"known": batch["known"], "level": batch["level"]}
        if self.unet:
            # A picture has no time: it passes the temporal layers by, as in Ho et al. 2022 (Video Diffusion Models).
            model.denoiser.temporal_strength = float(latents.shape[1] > 1)
            given = {"condition": source(batch, generator) if model.denoiser.config.conditioned else None}
        losses = self.flow.loss(model, latents, text, weight=self.weight, generator=generator, **given)  # (b,)
        return losses.mean(), {}

    def pictures(self, model: PromptedDenoiser, folder: Path, step: int) -> None:
        """Five frames of each of eight held-out prompts."""
        if self.vae is not None:
            contact_sheet(self._clips(model, 8)).save(folder / f"{step:06d}.png")

    def evaluate(self, model: PromptedDenoiser, step: int) -> dict:
        """Adherence on held-out prompts, as metrics.adherence tells; of a recipe for stills, that of stills."""
        if self.vae is None:
            return {}
        made = self._clips(model, self.judged)
        if self.recipe.stills == 1:
            return looks(made)
        said = adherence([clip.reading for clip in made], [clip.meaning for clip in made])
        return {"adherence": said["overall"], "clips": len(made), **said["attributes"]}

    def _clips(self, model: PromptedDenoiser, count: int) -> list[Clip]:
        system = TextToVideo(model, self.vae.to(next(model.parameters()).device), self.name)
        return generate_all(system, draw_prompts(count, "held-out", system.world))


LOOKS = ("subject", "color", "texture", "background")


def looks(clips: list[Clip]) -> dict:
    """Shares of clips whose first frame alone, held for as long, shows what the prompt asks for: for image models,
    whose frames have nothing to do with each other. Random frames of real clips reach 0.8 to 1.0 of all four."""
    held = [Clip(clip.frames[:1].repeat(len(clip.frames), axis=0), clip.prompt, world=clip.world) for clip in clips]
    right = [{name: value for name, value in clip.matches.items() if name in LOOKS} for clip in held]
    shares = {"looks": np.mean([all(one.values()) for one in right]), "clips": len(clips)}
    for name in LOOKS:
        shares[name] = np.mean([one[name] for one in right if name in one] or [1])
    return {name: round(float(value), 4) for name, value in shares.items()}
