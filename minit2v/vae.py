"""Variational autoencoders: pixels <-> latents, for single frames and, causally, for video.

One network serves both. Time: the first frame stands alone, every further latent frame covers `temporal`
frames, so a clip has 4n+1 frames and n+1 latent frames (image VAE: temporal = 1, every frame alone).
Space: a reshape takes 4x4 pixels into channels ("patchify", as the Cosmos and LTX-Video VAEs do), and one strided
convolution takes another factor of 2, together 8.

Causal means that latent frame k depends on no later pixel frame than 4k, and pixel frame t on no latent frame
later than ceil(t / 4). That holds because time is mixed only by `CausalMix`, which looks back, and because
norms are taken per pixel: a GroupNorm over time would leak the future (chapter, section 1; Wan 2.1 does it so).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from minit2v.errors import UserError


@dataclass(frozen=True)
class VAEConfig:
    channels: int = 24  # latent channels
    temporal: int = 4  # frames per latent frame; 1 makes an image VAE
    spatial: int = 8  # pixels per latent pixel: `patch` by reshaping, the rest by one strided convolution
    patch: int = 4
    fine: int = 64  # channels of single frames at 1/patch, before they are grouped; 0: no such stage
    widths: tuple[int, int] = (96, 160)  # channels of groups at 1/patch and at 1/spatial of the picture's size
    encoder_blocks: tuple[int, int] = (1, 2)  # residual blocks at those two sizes
    decoder_blocks: tuple[int, int] = (2, 2)
    mean: tuple[float, ...] = ()  # of each latent channel over the training clips, and
    std: tuple[float, ...] = ()  # their spread: denoisers see (latents - mean) / std


def to_pixels(frames: np.ndarray) -> Tensor:
    """uint8 (..., t, h, w, 3) -> float32 (..., t, 3, h, w) in [-1, 1], what the models see."""
    return torch.from_numpy(np.ascontiguousarray(frames)).movedim(-1, -3).float() / 127.5 - 1


def to_frames(pixels: Tensor) -> np.ndarray:
    """float (..., t, 3, h, w) in [-1, 1] -> uint8 (..., t, h, w, 3)."""
    return ((pixels.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).movedim(-3, -1).contiguous().cpu().numpy()


class CausalMix(nn.Module):
    """A causal convolution over time, kernel 3: frame k sees frames k-2, k-1 and k.

    Written as one matrix product over the three frames laid side by side. `memory` carries the last two frames
    from one chunk of a stream to the next; without it the past before the first frame is zero.
    """

    kernel = 3

    def __init__(self, width: int):
        super().__init__()
        self.linear = nn.Linear(self.kernel * width, width)

    def forward(self, x: Tensor, memory: dict | None) -> Tensor:  # (b, f, h, w, c) -> same
        past = None if memory is None else memory.get(self)
        if past is None:
            past = x.new_zeros(x.shape[0], self.kernel - 1, *x.shape[2:])
        line = torch.cat([past, x], dim=1)  # (b, f + 2, h, w, c)
        if memory is not None:
            memory[self] = line[:, -(self.kernel - 1) :]
        frames = x.shape[1]
        return self.linear(torch.cat([line[:, k : k + frames] for k in range(self.kernel)], dim=-1))


class Norm(nn.Module):
    """Root-mean-square norm over the channels of each pixel: no pixel and no frame sees another."""

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:  # (b, f, h, w, c)
        return F.rms_norm(x, (x.shape[-1],), self.weight.to(x.dtype), eps=1e-6)


class Conv(nn.Module):
    """A 2D convolution of every frame on its own, channels last: (b, f, h, w, c) -> (b, f, h', w', c')."""

    def __init__(self, width_in: int, width_out: int, stride: int = 1, kernel: int = 3):
        super().__init__()
        self.conv = nn.Conv2d(width_in, width_out, kernel, stride, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        frames = x.shape[1]
        x = rearrange(x, "b f h w c -> (b f) c h w")  # a view: the memory stays channels last
        return rearrange(self.conv(x), "(b f) c h w -> b f h w c", f=frames)


class ResBlock(nn.Module):
    """Mixes space (3x3, twice) and then time (causally). Both branches start at zero: a fresh block is the identity."""

    def __init__(self, width: int, time: bool):
        super().__init__()
        self.norm1, self.conv1 = Norm(width), Conv(width, width)
        self.norm2, self.conv2 = Norm(width), Conv(width, width)
        self.mix = CausalMix(width) if time else None
        nn.init.zeros_(self.conv2.conv.weight)
        nn.init.zeros_(self.conv2.conv.bias)
        if time:
            self.norm3 = Norm(width)
            nn.init.zeros_(self.mix.linear.weight)
            nn.init.zeros_(self.mix.linear.bias)

    def forward(self, x: Tensor, memory: dict | None) -> Tensor:  # (b, f, h, w, c)
        x = x + self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(x))))))
        return x if self.mix is None else x + self.mix(F.silu(self.norm3(x)), memory)


class Encoder(nn.Module):
    def __init__(self, config: VAEConfig):
        super().__init__()
        wide, deep = config.widths
        time = config.temporal > 1
        self.config = config
        self.embed, self.frames, width = nn.Identity(), nn.ModuleList(), config.patch**2 * 3
        if config.fine:
            self.embed, self.frames = nn.Linear(width, config.fine), nn.ModuleList([ResBlock(config.fine, False)])
            width = config.fine
        self.enter = nn.Linear(config.temporal * width, wide)
        self.shallow = nn.ModuleList(ResBlock(wide, time) for _ in range(config.encoder_blocks[0]))
        self.down = Conv(wide, deep, stride=config.spatial // config.patch)
        self.deep = nn.ModuleList(ResBlock(deep, time) for _ in range(config.encoder_blocks[1]))
        self.leave = Conv(deep, 2 * config.channels)  # no norm: a straight road from pixels to latents learns first

    def forward(self, groups: Tensor, memory: dict | None = None) -> Tensor:  # (b, f, n, 3, h, w)
        p = self.config.patch
        x = self.embed(rearrange(groups, "b f n c (h p) (w q) -> b (f n) h w (c p q)", p=p, q=p))
        for block in self.frames:
            x = block(x, None)
        x = self.enter(rearrange(x, "b (f n) h w c -> b f h w (n c)", n=self.config.temporal))
        for block in self.shallow:
            x = block(x, memory)
        x = self.down(x)
        for block in self.deep:
            x = block(x, memory)
        return self.leave(x)  # (b, f, h, w, 2c): mean and log-variance


class Decoder(nn.Module):
    def __init__(self, config: VAEConfig):
        super().__init__()
        wide, deep = config.widths
        time = config.temporal > 1
        self.config, self.scale = config, config.spatial // config.patch
        self.enter = Conv(config.channels, deep)
        self.deep = nn.ModuleList(ResBlock(deep, time) for _ in range(config.decoder_blocks[1]))
        self.up = nn.Linear(deep, wide * self.scale**2)
        self.shallow = nn.ModuleList(ResBlock(wide, time) for _ in range(config.decoder_blocks[0]))
        patch = config.patch**2 * 3
        self.split = Conv(wide, config.temporal * (config.fine or patch))
        self.frames, self.leave = nn.ModuleList(), nn.Identity()
        if config.fine:
            self.frames = nn.ModuleList([ResBlock(config.fine, False)])
            self.leave = nn.Linear(config.fine, patch)

    def forward(self, latents: Tensor, memory: dict | None = None) -> Tensor:  # (b, f, h, w, c)
        x = self.enter(latents)
        for block in self.deep:
            x = block(x, memory)
        x = rearrange(self.up(x), "b f h w (c p q) -> b f (h p) (w q) c", p=self.scale, q=self.scale)
        for block in self.shallow:
            x = block(x, memory)
        n, p = self.config.temporal, self.config.patch
        x = rearrange(self.split(x), "b f h w (n c) -> b (f n) h w c", n=n)
        for block in self.frames:
            x = block(x, None)
        return rearrange(self.leave(x), "b (f n) h w (c p q) -> b f n c (h p) (w q)", n=n, c=3, p=p, q=p)


class VAE(nn.Module):
    """The autoencoder. `VideoVAE`, `ImageVAE` are its recipes in `minit2v.recipes`.

    encode: pixels (b, t, 3, H, W) in [-1, 1] -> latents (b, f, c, H/8, W/8), normalised per channel.
    decode: the way back, clamped to [-1, 1].  t = temporal * (f - 1) + 1.
    """

    def __init__(self, config: VAEConfig):
        super().__init__()
        self.config = config
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.register_buffer("mean", torch.tensor(config.mean or [0.0] * config.channels))
        self.register_buffer("std", torch.tensor(config.std or [1.0] * config.channels))
        self.to(memory_format=torch.channels_last)

    # --- what a denoiser uses --------------------------------------------------------------------------------

    @torch.no_grad()
    def encode(self, pixels: Tensor, memory: dict | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Pixels -> normalised latents: the posterior's mean, or a draw from it when a generator is given.

        Give the same `memory` dict to the chunks of one clip in turn (first 4n+1 frames, then 4n each): a stream.
        """
        mean, log_variance = self.posterior(pixels, memory)
        if generator is not None:
            mean = mean + torch.randn(mean.shape, generator=generator) * (0.5 * log_variance).exp()
        return self.normalise(mean)

    @torch.no_grad()
    def decode(self, latents: Tensor, memory: dict | None = None) -> Tensor:
        """Normalised latents -> pixels in [-1, 1]. With `memory`, the next chunk of a stream."""
        return self.reconstruct(self.denormalise(latents), memory).clamp(-1, 1)

    def normalise(self, latents: Tensor) -> Tensor:  # (b, f, c, h, w)
        return (latents - self.mean[:, None, None]) / self.std[:, None, None]

    def denormalise(self, latents: Tensor) -> Tensor:
        return latents * self.std[:, None, None] + self.mean[:, None, None]

    # --- what training uses ----------------------------------------------------------------------------------

    def posterior(self, pixels: Tensor, memory: dict | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the latents, each (b, f, c, h, w), not normalised."""
        self.check(pixels, started=bool(memory))
        x = self.encoder(self._group(pixels, started=bool(memory)), memory)
        mean, log_variance = rearrange(x, "b f h w (two c) -> two b f c h w", two=2)
        return mean, log_variance.clamp(-20, 4)

    def reconstruct(self, latents: Tensor, memory: dict | None = None) -> Tensor:
        """Latents, not normalised -> pixels (b, t, 3, H, W), not clamped."""
        started = bool(memory)
        groups = self.decoder(rearrange(latents, "b f c h w -> b f h w c"), memory)  # (b, f, n, 3, H, W)
        frames = rearrange(groups, "b f n c h w -> b (f n) c h w")
        return frames if started else frames[:, self.config.temporal - 1 :]

    def _group(self, pixels: Tensor, started: bool) -> Tensor:  # (b, t, 3, H, W) -> (b, f, n, 3, H, W)
        """Groups of `temporal` frames; at the start of a clip the first frame is repeated to fill its group."""
        if not started:
            first = pixels[:, :1].expand(-1, self.config.temporal - 1, -1, -1, -1)
            pixels = torch.cat([first, pixels], dim=1)
        return rearrange(pixels, "b (f n) c h w -> b f n c h w", n=self.config.temporal)

    def check(self, pixels: Tensor, started: bool = False) -> None:
        """Raises `UserError` for frame counts other than 4n+1 and sizes that are no multiple of 8."""
        frames, height, width = pixels.shape[1], *pixels.shape[3:]
        check_frames(frames if not started else frames + 1, self.config.temporal)
        for name, size in (("height", height), ("width", width)):
            check_size(name, size, self.config.spatial)


def check_frames(frames: int, temporal: int = 4) -> None:
    """4n+1 frames are legal: one alone, then groups of four. Raises `UserError` naming the nearest legal counts."""
    if frames < 1 or (frames - 1) % temporal:
        below = max(1, frames - 1) // temporal * temporal + 1
        raise UserError(
            f"{frames} frames are not {temporal}n+1; the nearest legal counts are {below} and {below + temporal}"
        )


def check_size(name: str, size: int, spatial: int = 8) -> None:
    """Multiples of 8 are legal. Raises `UserError` naming the nearest ones."""
    if size < spatial or size % spatial:
        below = max(spatial, size // spatial * spatial)
        raise UserError(
            f"{name} {size} is no multiple of {spatial}; the nearest legal sizes are {below} and {below + spatial}"
        )
