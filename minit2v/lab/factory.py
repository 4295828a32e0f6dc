"""One prompt on its way through the system: every stage's tensors, kept to be looked at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from minit2v import media
from minit2v.clip import Clip
from minit2v.dit import patchify
from minit2v.lab.page import Html, table
from minit2v.lab.players import Steps, step_slider
from minit2v.pipeline import TextToVideo
from minit2v.vae import to_frames


@dataclass(frozen=True)
class Stage:
    """A tensor on its way. axes: what each axis counts."""

    name: str
    tensor: Tensor
    axes: str

    @property
    def shape(self) -> str:
        return " × ".join(map(str, self.tensor.shape))


@dataclass(frozen=True)
class Step:
    """One denoising step: noise level, latents before it, and what clip the denoiser sees in them, (f, c, h, w)."""

    sigma: float
    latents: Tensor
    estimate: Tensor


class Trace:
    """What `trace` returns: `stages` by name, `steps`, and the finished `clip`."""

    def __init__(self, system: TextToVideo, clip: Clip, stages: list[Stage], steps: list[Step]):
        self.system, self.clip, self.steps = system, clip, steps
        self.stages = {stage.name: stage for stage in stages}

    def table(self) -> Html:
        """Every stage: its shape, what its axes count, how many numbers it holds, and their range."""
        rows = [
            [stage.name, stage.shape, stage.axes, f"{stage.tensor.numel():,}", _range(stage.tensor)]
            for stage in self.stages.values()
        ]
        head = ["", "shape", "axes", "numbers", "from … to"]
        return table(head, rows, f"“{self.clip.prompt}”, seed {self.clip.seed}, stage by stage")

    def slider(self, moments: int = 5) -> Steps:
        """What the denoiser has, above, and what it sees in it, below, at every step; decoded to pixels."""
        pictures, labels = [], []
        for number, step in enumerate(self.steps):
            both = self.system.decode(torch.stack([step.latents, step.estimate]))  # (2, t, h, w, 3)
            rows = [media.strip(media.enlarge(frames, 128), moments) for frames in both]
            pictures.append(np.concatenate([rows[0], np.full_like(rows[0][:4], 255), rows[1]]))
            labels.append(f"step {number + 1} of {len(self.steps)}, noise level {step.sigma:.2f}")
        alt = (
            f"{moments} frames of the clip while it comes out of the noise: above, what the denoiser is given; below, "
            "the clip that it sees in it. Colors and the rough place come first, the edges last."
        )
        return step_slider(pictures, labels, alt)

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table().html


def trace(system: TextToVideo, prompt: str, seed: int = 0, steps=None, guidance=None) -> Trace:
    """Generate a clip and keep what passes by. Raises `UserError` like `generate`."""
    taken = []

    def keep(i, sigma, x, estimate):
        taken.append(Step(float(sigma.max()), x[0].clone(), estimate[0].clone()))

    request = system.request([prompt], [seed], None, steps, guidance)
    model = system.model
    with torch.no_grad():
        ids, _ = model.tokenizer.encode([prompt])
        text = model.read([prompt])
        latents = system.denoise(request, keep)
        pixels = system.vae.decode(latents)
        frames = to_frames(pixels)[0]
    cubes = patchify(latents, model.denoiser.config.patch)
    stages = [
        Stage("word ids", ids[0], "words, with a start sign"),
        Stage("text tokens", text.tokens[0], "words × channels"),
        Stage("text, pooled", text.pooled[0], "channels"),
        Stage("noise", taken[0].latents, "latent frames × channels × height × width"),
        Stage("denoiser's tokens", cubes[0], "latent frames × places × numbers in a cube"),
        Stage("latents", latents[0], "latent frames × channels × height × width"),
        Stage("pixels", pixels[0], "frames × red, green, blue × height × width"),
        Stage("frames", torch.from_numpy(frames), "frames × height × width × red, green, blue"),
    ]
    about = dict(fps=system.world.fps, system=system.name, seed=seed, steps=request.steps, guidance=request.guidance)
    return Trace(system, Clip(frames, prompt, world=system.world, **about), stages, taken)


def _range(tensor: Tensor) -> str:
    low, high = tensor.min().item(), tensor.max().item()
    return f"{low} … {high}" if isinstance(low, int) else f"{low:.2f} … {high:.2f}"
