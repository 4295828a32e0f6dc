"""What each recipe trains: a model, its batches and its loss, in the form that `training.train` takes."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from minit2v.datasets import captioned, pixel_batch, to_frames, to_pixels
from minit2v.training import Task
from minit2v.vae import VAE, VAEConfig
from minit2v.world.render import render
from minit2v.world.scenes import World


class VAETask(Task):
    """Reconstruct clips: weighted L1 on pixels and on their change over time, and a little KL divergence.

    Saturated pixels (the subject's) count more, for they are few and carry the caption; a plain L1 is content with
    gray blobs. The loss on frame-to-frame change is what keeps a decoder from flickering (chapter, section 3).
    """

    foreground, motion, kl = 4.0, 1.0, 2e-4

    def __init__(self, name: str, config: VAEConfig, world: World):
        self.name, self.vae, self.world = name, config, world
        self.config = {"kind": "vae", "world": world.name, **asdict(config)}

    def build(self) -> VAE:
        return VAE(self.vae)

    def batch(self, seed: int, step: int, indices: range) -> Tensor:
        return pixel_batch(seed, step, indices, self.world)

    def loss(self, model: VAE, batch: Tensor, step: int, generator: torch.Generator) -> tuple[Tensor, dict]:
        mean, log_variance = model.posterior(batch)  # (b, f, c, h, w)
        noise = torch.randn(mean.shape, generator=generator, device=mean.device)
        error = model.reconstruct(mean + noise * (0.5 * log_variance).exp()) - batch  # (b, t, 3, h, w)
        saturation = batch.amax(dim=2, keepdim=True) - batch.amin(dim=2, keepdim=True)  # 0..2
        weight = 1 + self.foreground * (saturation / 0.8).clamp(max=1)
        pixels = (weight * error.abs()).mean()
        change = (weight[:, 1:] * error.diff(dim=1).abs()).mean() if batch.shape[1] > 1 else error.new_zeros(())
        kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).mean()
        parts = {"pixels": pixels, "change": change, "kl": kl, "psnr": -10 * torch.log10((error**2).mean() / 4)}
        return pixels + self.motion * change + self.kl * kl, parts

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
