"""Wrong lines: each function here could stand in the package in place of the right one. No shape would tell.

Every docstring says what is wrong. `failures.py` says where they go, what they do to a clip, and what notices.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import torch
from einops import rearrange

from minit2v import attention, diffusion, vae
from minit2v.attention import FOLDS
from minit2v.diffusion import on_frames, start
from minit2v.recipes import denoiser_of

# ---- time --------------------------------------------------------------------------------------------------


def timeless_rotary(frames, height, width, head_dim):
    """Every frame is turned as frame 0 is: no token knows when it is."""
    return attention.rotary_3d(1, height, width, head_dim).expand(frames, -1, -1)


def timeless_sinusoidal(frames, height, width, dim):
    """Every frame's tokens get the positions of frame 0."""
    return attention.sinusoidal_3d(1, height, width, dim).expand(frames, -1, -1)


def backward_rotary(frames, height, width, head_dim):
    """The frames are counted from the end."""
    return attention.rotary_3d(frames, height, width, head_dim).flip(0)


def backward_sinusoidal(frames, height, width, dim):
    """The frames are counted from the end, here too."""
    return attention.sinusoidal_3d(frames, height, width, dim).flip(0)


def columns_first_rotary(frames, height, width, head_dim):
    """Positions run down the columns, tokens along the rows."""
    turned = attention.rotary_3d(frames, height, width, head_dim)  # (f, h·w, head_dim/2)
    return rearrange(turned, "f (h w) c -> f (w h) c", h=height)


def columns_first_sinusoidal(frames, height, width, dim):
    """Positions run down the columns, tokens along the rows."""
    return rearrange(attention.sinusoidal_3d(frames, height, width, dim), "f (h w) d -> f (w h) d", h=height)


def reshaped(self, x, rotation=None):
    """The way back is a reshape: tokens come home to other frames and places."""
    b, f, n, d = x.shape
    y = self.attention(rearrange(x, FOLDS[self.layout]), self.fold_rotation(rotation), self.window_mask(f, n, x.device))
    return y.reshape(b, n, f, d).transpose(1, 2)


# ---- attention ---------------------------------------------------------------------------------------------


def half_softmax(q, k, v, mask=None):
    """Scores in fp16, and no maximum subtracted: e^12 is more than fp16 can hold."""
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])  # (b, h, n, m)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    weights = scores.half().exp()
    return (weights / weights.sum(-1, keepdim=True)).float() @ v


# ---- text --------------------------------------------------------------------------------------------------


def guide_swapped(v_text, v_null, scale):
    """With and without the prompt, the wrong way round."""
    return v_text + scale * (v_null - v_text)


def read_padding(self, prompts):
    """The mask is forgotten: padding is read as if it were words."""
    ids, mask = self.tokenizer.encode(prompts, next(self.parameters()).device, multiple=48)
    return self.text(ids, torch.ones_like(mask))


# ---- denoising ---------------------------------------------------------------------------------------------


def guided_uphill(*args, **kwargs):
    """Data minus noise, where the sampler expects noise minus data."""
    velocity_fn = diffusion.guided(*args, **kwargs)
    return lambda x, sigma: -velocity_fn(x, sigma)


def sinusoidal_small(positions, dim):
    """The noise level is told as 0 to 1, to a network that learned it as 0 to 1000."""
    return attention.sinusoidal(positions / 1000, dim)


def stopped_early(steps, shift=1.0):
    """The last noise level is cut off: an off-by-one."""
    return diffusion.sigmas(steps, shift)[:-1]


def unshifted(steps, shift=1.0):
    """The timestep shift never arrives."""
    return diffusion.sigmas(steps, 1.0)


@torch.no_grad()
def euler_cached(velocity_fn, noise, schedule, known=None, on_step=None):
    """To save time, the first velocity is used for six steps."""
    x, levels = start(noise, schedule, known)
    for i, (sigma, next_sigma) in enumerate(pairwise(levels)):
        if i == 0 or i > 5:
            velocity = velocity_fn(x, sigma)  # (b, f, c, h, w)
        x = x + on_frames(next_sigma - sigma) * velocity
    return diffusion.finish(x, known)


def uniform_noise(shape, generators):
    """`rand` for `randn`: all numbers between 0 and 1."""
    return torch.stack([torch.rand(shape[1:], generator=generator) for generator in generators])


def one_noise(shape, generators):
    """The seed is set anew for every frame: all have the same noise."""
    return diffusion.draw_noise(shape, generators)[:, :1].expand(shape).clone()


def half_loaded(model):
    """`load_state_dict(…, strict=False)` where the names of the blocks have changed: they stay as they began."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        fresh = denoiser_of(model.config["denoiser"]).eval()
    stored = {f"module.{k}" if k.startswith("blocks") else k: v for k, v in model.denoiser.state_dict().items()}
    fresh.load_state_dict(stored, strict=False)
    return fresh


# ---- pictures ----------------------------------------------------------------------------------------------


def start_on_the_picture(noise, schedule, known, amount=1.5):
    """The picture shines through the noise of every frame, where it was to be given to the first alone."""
    x, levels = start(noise, schedule, known)
    return torch.where(on_frames(known.mask), x, x + amount * known.latents[:, :1]), levels


def finish_nothing(x, known):
    """What the network saw of the given frames is handed on, with the noise that was put on it."""
    return x


# ---- decoding ----------------------------------------------------------------------------------------------


def decode_alone(self, latents, memory=None):
    """Each latent frame decoded by itself, without what the decoder remembers of the one before."""
    singles = latents.split(1, dim=1)  # f × (b, 1, c, h, w)
    frames = [self.reconstruct(self.denormalise(one), {None: None} if k else None) for k, one in enumerate(singles)]
    return torch.cat(frames, dim=1).clamp(-1, 1)  # (b, t, 3, H, W)


def decode_tiles(self, latents, memory=None):
    """Decoded in four tiles that share nothing, to save memory."""
    tiles = rearrange(latents, "b f c (i h) (j w) -> (b i j) f c h w", i=2, j=2)
    pixels = self.reconstruct(self.denormalise(tiles)).clamp(-1, 1)
    return rearrange(pixels, "(b i j) t c h w -> b t c (i h) (j w)", i=2, j=2)


def norm_over_time(self, x):
    """The size is taken over all frames and places, as a GroupNorm does."""
    return x * self.weight * (x.square().mean(dim=(1, 2, 3, 4), keepdim=True) + 1e-6).rsqrt()


def frames_bgr(pixels):
    """Blue, green, red: as the video writer wanted them."""
    return vae.to_frames(pixels)[..., ::-1]


def frames_half_range(pixels):
    """[-1, 1] taken for [0, 1]: all that is darker than gray becomes black."""
    return vae.to_frames(2 * pixels - 1)


def frames_frozen(pixels):
    """The loop writes the first frame again and again."""
    frames = vae.to_frames(pixels)
    return np.repeat(frames[:, :1], frames.shape[1], axis=1)


def frames_unsorted(pixels):
    """Frame files sorted as words: 0, 1, 10, 11, …, 16, 2, 3, …"""
    frames = vae.to_frames(pixels)
    return frames[:, sorted(range(frames.shape[1]), key=str)]


def frames_back_to_front(pixels):
    """Within each latent frame's group of four, the last frame comes first."""
    frames = vae.to_frames(pixels)
    first, groups = frames[:, :1], rearrange(frames[:, 1:], "b (f n) h w c -> b f n h w c", n=4)
    return np.concatenate([first, rearrange(groups[:, :, ::-1], "b f n h w c -> b (f n) h w c")], axis=1)
