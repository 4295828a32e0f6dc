"""The U-Net: see the picture small and wide, see it large and fine, and let skips carry the detail across.

    latents ─ embed ─ 8×8 ──────────────── skip ──────────────── 8×8 ─ head ─ velocity
                        └ shrink ─ 4×4 ──── skip ──── 4×4 ─ grow ┘
                                    └ shrink ─ 2×2 ─ grow ┘          ↑ shift, scale from noise level and text

Ronneberger et al. 2015 for the U; Dhariwal & Nichol 2021 (ADM) for the modulated block; Rombach et al. 2022
(Stable Diffusion) for the cross-attention to the words at the coarse scales.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

from minit2v.attention import CrossAttention, SpacetimeAttention, check_heads, rotary_3d, sinusoidal
from minit2v.dit import NOISE_CHANNELS, modulate, normalize
from minit2v.errors import UserError


@dataclass(frozen=True)
class UNetConfig:
    """Everything that shapes the U-Net's weights; every value is JSON-able. One entry of a tuple per scale."""

    channels: int = 4  # of the latents
    widths: tuple[int, ...] = (64, 128, 192)  # at the latents' size, at half of it, at a quarter
    blocks: tuple[int, ...] = (1, 1, 2)  # on the way down and again on the way up; the last: in the middle
    heads: int = 4
    text_dim: int = 128  # channels of the text features
    embedding: int = 128  # channels in which noise level and text say how a frame is to be treated
    attention_from: int = 1  # the finest scale with attention, within the frame and to the words

    def __post_init__(self):
        for name in ("widths", "blocks"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # a list, when it comes from JSON
        if len(self.blocks) != len(self.widths):
            raise UserError(f"blocks {self.blocks} for {len(self.widths)} scales: give one number per width")
        for width in self.widths:
            check_heads(width, self.heads)

    @property
    def factor(self):
        """How many times smaller than the latents the coarsest scale is."""
        return 2 ** (len(self.widths) - 1)

    def grid(self, frames, height, width):
        """The coarsest grid (f, h', w') of latents of that size. Raises UserError where they do not halve evenly."""
        for axis, size in dict(height=height, width=width).items():
            if size % self.factor or size < self.factor:
                raise UserError(f"latent {axis} {size} does not halve evenly: use a multiple of {self.factor}")
        return frames, height // self.factor, width // self.factor


# ---- what the blocks are told ----------------------------------------------------------------------------


class Embedding(nn.Module):
    """Noise level and prompt as one vector per frame; every block reads its shift and scale from it."""

    def __init__(self, config):
        super().__init__()
        d = config.embedding
        self.noise = nn.Sequential(nn.Linear(NOISE_CHANNELS, d), nn.SiLU(), nn.Linear(d, d))
        self.text = nn.Sequential(nn.Linear(config.text_dim, d), nn.SiLU(), nn.Linear(d, d))

    def forward(self, noise_level, pooled):
        """noise_level (b, f), pooled text (b, text_dim) -> (b, f, d)."""
        noise = self.noise(sinusoidal(1000 * noise_level, NOISE_CHANNELS).to(pooled.dtype))  # (b, f, d)
        return noise + self.text(pooled)[:, None]


# ---- blocks ----------------------------------------------------------------------------------------------
# Inside, a clip is (b, f, h, w, c): what lies last in memory is what a matrix product and a norm work on.


class Conv(nn.Module):
    """A 3 × 3 convolution within each frame: (b, f, h, w, c) -> (b, f, h, w, c')."""

    def __init__(self, width_in, width_out):
        super().__init__()
        self.conv = nn.Conv2d(width_in, width_out, 3, padding=1)

    def forward(self, x):
        y = self.conv(rearrange(x, "b f h w c -> (b f) c h w"))  # a view: memory stays channels last
        return rearrange(y, "(b f) c h w -> b f h w c", f=x.shape[1])


class Block(nn.Module):
    """Two convolutions, and at the coarse scales self-attention and a look at the words; each adds to x.

    Norms are taken per pixel, over its channels. A GroupNorm, the U-Net's usual one, costs the same, but would mix
    all that it spans; this one leaves all mixing to the convolutions and the attention.
    """

    def __init__(self, config, width, attention):
        super().__init__()
        self.norm_conv = nn.LayerNorm(width, eps=1e-6)
        self.conv_in = Conv(width, width)
        self.modulation = nn.Linear(config.embedding, 2 * width)
        self.conv_out = Conv(width, width)
        self.has_attention = attention
        if attention:
            self.norm_attention = nn.LayerNorm(width, eps=1e-6)
            self.attention = SpacetimeAttention(width, config.heads, "spatial")
            self.norm_text = nn.LayerNorm(width, eps=1e-6)
            self.text_attention = CrossAttention(width, config.heads, config.text_dim)

    def forward(self, x, embedding, text, rotation):
        """x (b, f, h, w, c), embedding (b, f, d), rotation (f, h·w, head_dim/2) -> (b, f, h, w, c)."""
        x = x + self.convolve(x, embedding)
        if not self.has_attention:
            return x
        tokens = rearrange(x, "b f h w c -> b f (h w) c")
        tokens = tokens + self.attention(self.norm_attention(tokens), rotation)
        tokens = tokens + self.read_text(tokens, text)
        return tokens.view_as(x)

    def convolve(self, x, embedding):
        """conv(silu(modulate(norm(conv(silu(norm(x)))))))"""
        y = self.conv_in(F.silu(self.norm_conv(x)))
        shift, scale = rearrange(self.modulation(F.silu(embedding)), "b f (two c) -> two b f 1 1 c", two=2)
        return self.conv_out(F.silu(modulate(normalize(y), shift, scale)))

    def read_text(self, tokens, text):
        """Every token asks the words: (b, f, n, c) -> (b, f, n, c)."""
        y = self.text_attention(self.norm_text(tokens).flatten(1, 2), text.tokens, text.mask)  # (b, f·n, c)
        return y.view_as(tokens)


class Layer(nn.Module):
    """A block of one scale; on the way up it first merges the skip that comes from its twin on the way down."""

    def __init__(self, config, scale, skip=False):
        super().__init__()
        self.scale, width = scale, config.widths[scale]
        self.merge = nn.Linear(2 * width, width) if skip else None
        self.block = Block(config, width, attention=scale >= config.attention_from)

    def forward(self, x, embedding, text, rotations, skip=None):
        """x and skip (b, f, h, w, c) -> (b, f, h, w, c); rotations: one of each scale."""
        if self.merge is not None:
            x = self.merge(torch.cat([x, skip], dim=-1))  # (Bao et al. 2023, U-ViT, section 3.1)
        return self.block(x, embedding, text, rotations[self.scale])


class Shrink(nn.Module):
    """Half the height and width: each 2 × 2 pixels become one, by one matrix."""

    def __init__(self, fine, coarse):
        super().__init__()
        self.linear = nn.Linear(4 * fine, coarse)

    def forward(self, x):  # (b, f, h, w, c) -> (b, f, h/2, w/2, c')
        return self.linear(rearrange(x, "b f (h p) (w q) c -> b f h w (p q c)", p=2, q=2))


class Grow(nn.Module):
    """Twice the height and width: the way back."""

    def __init__(self, coarse, fine):
        super().__init__()
        self.linear = nn.Linear(coarse, 4 * fine)

    def forward(self, x):  # (b, f, h, w, c) -> (b, f, 2h, 2w, c')
        return rearrange(self.linear(x), "b f h w (p q c) -> b f (h p) (w q) c", p=2, q=2)


# ---- the U-Net -------------------------------------------------------------------------------------------


class UNet(nn.Module):
    """The U-Net; see the module's picture. A fresh one predicts a velocity of 0. Frames do not see each other."""

    def __init__(self, config=None):
        super().__init__()
        self.config = config = config or UNetConfig()
        widths, coarsest = config.widths, len(config.widths) - 1

        def layers(scale, skip=False):
            return nn.ModuleList(Layer(config, scale, skip) for _ in range(config.blocks[scale]))

        self.embed = Conv(config.channels, widths[0])
        self.embedding = Embedding(config)
        self.down = nn.ModuleList(layers(scale) for scale in range(coarsest))
        self.shrink = nn.ModuleList(Shrink(fine, coarse) for fine, coarse in pairwise(widths))
        self.middle = layers(coarsest)
        self.grow = nn.ModuleList(Grow(coarse, fine) for coarse, fine in pairwise(widths[::-1]))
        self.up = nn.ModuleList(layers(scale, skip=True) for scale in reversed(range(coarsest)))
        self.norm = nn.LayerNorm(widths[0], eps=1e-6)
        self.head = Conv(widths[0], config.channels)
        initialize(self)
        self.to(memory_format=torch.channels_last)

    def forward(self, latents, noise_level, text, condition=None):
        """The velocity, noise − data, of noisy latents.

        latents (b, f, c, h, w); noise_level (b, f) in [0, 1], 1 = pure noise, one per frame; text: TextFeatures
        -> velocity (b, f, c, h, w). Raises UserError if the latents do not halve evenly at every scale.
        """
        config = self.config
        f, h, w = (latents.shape[axis] for axis in (1, 3, 4))
        config.grid(f, h, w)
        told = self.embedding(noise_level, text.pooled), text, self.rotations(f, h, w, latents.device)
        x, skips = self.embed(rearrange(latents, "b f c h w -> b f h w c")), []
        for layers, shrink in zip(self.down, self.shrink, strict=True):
            for layer in layers:
                x = layer(x, *told)
                skips.append(x)
            x = shrink(x)
        for layer in self.middle:
            x = layer(x, *told)
        for grow, layers in zip(self.grow, self.up, strict=True):
            x = grow(x)
            for layer in layers:
                x = layer(x, *told, skip=skips.pop())
        return rearrange(self.head(F.silu(self.norm(x))), "b f h w c -> b f c h w")

    def rotations(self, f, h, w, device=None):
        """Where the tokens of each scale are: (f, h·w, head_dim/2) to turn queries and keys by."""
        config = self.config
        return [
            rotary_3d(f, h >> scale, w >> scale, width // config.heads).to(device)
            for scale, width in enumerate(config.widths)
        ]


def initialize(model):
    """How a U-Net starts: Xavier-uniform weights and zero biases; the last layer of every branch and the head are 0,
    so that each block is the identity and the first velocity is exactly 0."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
    nn.init.zeros_(model.head.conv.weight)
    for block in model.modules():
        if isinstance(block, Block):
            nn.init.zeros_(block.conv_out.conv.weight)
            if block.has_attention:
                nn.init.zeros_(block.attention.attention.out.weight)
                nn.init.zeros_(block.text_attention.out.weight)
