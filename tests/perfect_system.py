"""A system that shows the truth: real clips, and a VAE that loses nothing. What is measured on it is known."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import torch

from minit2v import Clip, TextToVideo
from minit2v.recipes import Sampling
from minit2v.vae import VAEConfig, to_frames, to_pixels
from minit2v.world import captions
from minit2v.world.render import render
from minit2v.world.scenes import STANDARD, scene


class PerfectVAE:
    """Its latents are the pixels."""

    config = VAEConfig()

    def parameters(self):
        yield torch.zeros(1)

    def encode(self, pixels):
        return pixels

    def decode(self, latents, memory=None):
        return latents


class Perfect(TextToVideo):
    """spoil(frames, request) may change what it shows; request holds the prompt, the seed and all settings. truth: the
    frames of a seed, where the prompt does not fix them."""

    def __init__(self, spoil=None, truth=None, name="perfect", world=STANDARD):
        self.world, self.sampling, self.vae, self.name, self.load_seconds = world, Sampling(), PerfectVAE(), name, 0.0
        self.model = SimpleNamespace(denoiser=SimpleNamespace(temporal_strength=1.0))
        self.spoil, self.truth, self.asked = spoil, truth or {}, []

    def generate_batch(
        self, prompts, seeds, frames=None, steps=None, guidance=None, on_step=None, given=(), sliding=None
    ):  # fmt: skip
        world, clips = replace(self.world, frames=frames or self.world.frames), []
        about = dict(
            steps=self.sampling.steps if steps is None else steps,
            guidance=self.sampling.guidance if guidance is None else guidance, system=self.name,
        )  # fmt: skip
        for i, (prompt, seed) in enumerate(zip(prompts, seeds, strict=True)):
            video = self.truth.get(seed)
            if video is None:
                video = render(scene(captions.parse(prompt), seed, world))
            request = about | dict(prompt=prompt, seed=seed, given=given[i] if given else None, sliding=sliding)
            request["temporal_strength"] = self.temporal_strength
            self.asked.append(request)
            video = self.spoil(video, request) if self.spoil else video
            clips.append(Clip(video, prompt, self.world.fps, seed=seed, world=self.world, **about))
        return clips

    def encode(self, videos):
        return to_pixels(np.stack(videos))

    def decode(self, latents, memory=None):
        return to_frames(latents)
