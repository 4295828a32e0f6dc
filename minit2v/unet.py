"""The U-Net: see the picture small and wide, see it large and fine, and let skips carry the detail across.

    latents ─ embed ─ 8×8 ────────── skip ────────── 8×8 ─ head ─ velocity
                        └ shrink ─ 4×4 ─ 4×4 ─ grow ┘        ↑ shift, scale from noise level and text

An image U-Net draws each frame alone. `inflate` makes a video U-Net of it: behind every block it puts the same
block turned on its side, which mixes frames where the first mixes pixels, and which starts silent.

Ronneberger et al. 2015 for the U; Dhariwal & Nichol 2021 (ADM) for the modulated block; Rombach et al. 2022
(Stable Diffusion) for the cross-attention to the words; Blattmann et al. 2023 (Video LDM, section 3.1) for inflation.
The chapter, section 3, gives the picture.
"""

from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from minit2v.attention import CrossAttention, SpacetimeAttention, check_heads, rotary_3d, sinusoidal
from minit2v.dit import NOISE_CHANNELS, modulate
from minit2v.errors import UserError
from minit2v.text import TextFeatures

GROUPS = 8  # of channels that are normalized together


@dataclass(frozen=True)
class UNetConfig:
    """Everything that shapes the U-Net's weights; every value is JSON-able. One entry of a tuple per scale."""

    channels: int = 4  # of the latents
    widths: tuple[int, ...] = (128, 192)  # at the latents' size, at half of it, and so on
    blocks: tuple[int, ...] = (1, 2)  # on the way down and again on the way up; the last: in the middle
    heads: int = 4
    text_dim: int = 128  # channels of the text features
    embedding: int = 128  # channels in which noise level and text say how a frame is to be treated
    attention_from: int = 1  # the finest scale with attention, within the frame and to the words
    temporal: tuple[int, ...] = ()  # temporal blocks behind each spatial one; (): an image U-Net
    kernel: int = 3  # frames that a temporal convolution spans
    window: int | None = None  # temporal attention looks at frames at most so far away; None: all
    conditioned: bool = False  # takes a source picture: see `repeat_source`

    def __post_init__(self):
        for name in ("widths", "blocks", "temporal"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # a list, when it comes from JSON
        for name in ("blocks", "temporal"):
            numbers = getattr(self, name)
            if len(numbers) != len(self.widths) and (numbers or name == "blocks"):
                raise UserError(f"{name} {numbers} for {len(self.widths)} scales: give one number per width")
        if self.kernel % 2 == 0:
            raise UserError(f"temporal kernel {self.kernel}: use an odd number, which has a middle")
        for width in self.widths:
            check_heads(width, self.heads)
            if width % GROUPS:
                raise UserError(f"width {width} does not split into {GROUPS} groups: use a multiple of {GROUPS}")

    @property
    def still(self):
        """The configuration of the image U-Net inside."""
        return replace(self, temporal=(), kernel=3, window=None, conditioned=False)

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
    """Noise level and prompt as one vector per frame; every block reads its shift and scale from it.

    The temporal blocks have an embedding of their own, which also says which frame it is: what moves, and how far it
    has come, cannot be learned from stills.
    """

    def __init__(self, config, frames=False):
        super().__init__()
        d = config.embedding
        self.noise = nn.Sequential(nn.Linear(NOISE_CHANNELS, d), nn.SiLU(), nn.Linear(d, d))
        self.text = nn.Sequential(nn.Linear(config.text_dim, d), nn.SiLU(), nn.Linear(d, d))
        self.frame = nn.Linear(d, d) if frames else None

    def forward(self, noise_level, pooled):
        """noise_level (b, f), pooled text (b, text_dim) -> (b, f, d)."""
        noise = self.noise(sinusoidal(1000 * noise_level, NOISE_CHANNELS).to(pooled.dtype))  # (b, f, d)
        embedding = noise + self.text(pooled)[:, None]
        if self.frame is None:
            return embedding
        position = torch.arange(noise_level.shape[1], device=pooled.device)  # any number of frames will do
        return embedding + self.frame(sinusoidal(position, self.frame.in_features).to(pooled.dtype))


class Context(NamedTuple):
    """What all layers of one forward pass are told."""

    embedding: Tensor  # (b, f, d), for the spatial blocks
    temporal_embedding: Tensor | None  # (b, f, d), for the temporal ones
    text: TextFeatures
    rotations: list[Tensor]  # of each scale: where its tokens are, (f, h·w, head_dim/2)
    temporal_strength: float  # 0: what the temporal blocks say is not heard; 1: it is


# ---- blocks ----------------------------------------------------------------------------------------------
# Inside, a clip is (b, f, h, w, c): what lies last in memory is what a matrix product and a norm work on.

# A convolution knows pictures only. To the spatial one a clip is f pictures; to the temporal one it is a single
# picture whose rows are the frames and whose columns are the pixels, with a kernel one pixel wide.
PICTURES = {"spatial": "(b f) c h w", "temporal": "b c f (h w)"}


class Conv(nn.Conv2d):
    """A convolution within each frame, or along time, with zeros around: (b, f, h, w, c) -> (b, f, h, w, c')."""

    def __init__(self, width_in, width_out, layout="spatial", kernel=3):
        super().__init__(width_in, width_out, (kernel, kernel if layout == "spatial" else 1), padding="same")
        self.pictures = PICTURES[layout]

    def forward(self, x):
        _, f, h, _, _ = x.shape
        y = super().forward(rearrange(x, f"b f h w c -> {self.pictures}"))  # a view: memory stays channels last
        return rearrange(y, f"{self.pictures} -> b f h w c", f=f, h=h)


class FrameNorm(nn.GroupNorm):
    """GroupNorm (Wu & He 2018) of every frame on its own: over its pixels and an eighth of its channels. Over the
    pixels of a whole clip it would tell every frame about all others, in the image U-Net too."""

    def __init__(self, width, affine=True):
        super().__init__(GROUPS, width, eps=1e-6, affine=affine)

    def forward(self, x):  # (b, f, h, w, c)
        if torch.is_grad_enabled() and not x.requires_grad:
            x = x.detach().requires_grad_()  # on a CPU, PyTorch 2.13 crashes in a gradient for the weights alone
        y = super().forward(rearrange(x, "b f h w c -> (b f) c h w"))
        return rearrange(y, "(b f) c h w -> b f h w c", f=x.shape[1])


class Block(nn.Module):
    """Two convolutions, and at the coarse scales self-attention and a look at the words; each adds to x.

    There is one block in two layouts, "spatial" and "temporal": the folding of x alone says which pixels meet.
    """

    def __init__(self, config, scale, layout):
        super().__init__()
        width, kernel = config.widths[scale], config.kernel if layout == "temporal" else 3
        self.norm_in = FrameNorm(width)
        self.conv_in = Conv(width, width, layout, kernel)
        self.norm_out = FrameNorm(width, affine=False)  # shift and scale come from the modulation
        self.modulation = nn.Linear(config.embedding, 2 * width)
        self.conv_out = Conv(width, width, layout, kernel)
        self.has_attention = scale >= config.attention_from
        if self.has_attention:
            self.norm_attention = nn.LayerNorm(width, eps=1e-6)
            self.attention = SpacetimeAttention(width, config.heads, layout, config.window)
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
        y = self.conv_in(F.silu(self.norm_in(x)))
        shift, scale = rearrange(self.modulation(F.silu(embedding)), "b f (two c) -> two b f 1 1 c", two=2)
        return self.conv_out(F.silu(modulate(self.norm_out(y), shift, scale)))

    def read_text(self, tokens, text):
        """Every token asks the words: (b, f, n, c) -> (b, f, n, c)."""
        y = self.text_attention(self.norm_text(tokens).flatten(1, 2), text.tokens, text.mask)  # (b, f·n, c)
        return y.view_as(tokens)


class Layer(nn.Module):
    """A spatial block of one scale, and behind it the temporal ones, if any. On the way up it first merges the skip
    that comes from its twin on the way down (Bao et al. 2023, U-ViT, section 3.1)."""

    def __init__(self, config, scale, skip=False):
        super().__init__()
        self.scale, width = scale, config.widths[scale]
        self.merge = nn.Linear(2 * width, width) if skip else None
        self.spatial = Block(config, scale, "spatial")
        count = config.temporal[scale] if config.temporal else 0
        self.temporal = nn.ModuleList(Block(config, scale, "temporal") for _ in range(count))

    def forward(self, x, context, skip=None):
        """x and skip (b, f, h, w, c) -> (b, f, h, w, c)."""
        rotation = context.rotations[self.scale]
        if self.merge is not None:
            x = self.merge(torch.cat([x, skip], dim=-1))
        x = self.spatial(x, context.embedding, context.text, rotation)
        for block in self.temporal if context.temporal_strength else ():  # unheard, they need not speak
            mixed = block(x, context.temporal_embedding, context.text, rotation)
            x = torch.lerp(x, mixed, context.temporal_strength)  # exactly x at 0, and exactly mixed at 1
        return x


def fold(x):
    """Half the height and width: 2 × 2 pixels side by side in one, (b, f, h, w, c) -> (b, f, h/2, w/2, 4c)."""
    return rearrange(x, "b f (h p) (w q) c -> b f h w (p q c)", p=2, q=2)


def unfold(x):
    """The inverse of `fold`."""
    return rearrange(x, "b f h w (p q c) -> b f (h p) (w q) c", p=2, q=2)


# ---- the U-Net -------------------------------------------------------------------------------------------


class UNet(nn.Module):
    """The U-Net; see the module's picture. A fresh one predicts a velocity of 0.

    temporal_strength, from 0 to 1, may be set at any time: at 0, a video U-Net is the image U-Net inside, and the
    strengths between weaken the temporal mixing (chapter, section 4: flicker rises).
    """

    def __init__(self, config=None):
        super().__init__()
        self.config = config = config or UNetConfig()
        self.temporal_strength = 1.0
        widths, coarsest = config.widths, len(config.widths) - 1

        def layers(scale, skip=False):
            return nn.ModuleList(Layer(config, scale, skip) for _ in range(config.blocks[scale]))

        self.embed = Conv(config.channels, widths[0])
        self.embed_condition = Conv(config.channels + 1, widths[0]) if config.conditioned else None
        self.embedding = Embedding(config)
        self.temporal_embedding = Embedding(config, frames=True) if any(config.temporal) else None
        self.down = nn.ModuleList(layers(scale) for scale in range(coarsest))
        self.shrink = nn.ModuleList(nn.Linear(4 * fine, coarse) for fine, coarse in pairwise(widths))
        self.middle = layers(coarsest)
        self.grow = nn.ModuleList(nn.Linear(coarse, 4 * fine) for coarse, fine in pairwise(widths[::-1]))
        self.up = nn.ModuleList(layers(scale, skip=True) for scale in reversed(range(coarsest)))
        self.norm = FrameNorm(widths[0])
        self.head = Conv(widths[0], config.channels)
        initialize(self)
        self.to(memory_format=torch.channels_last)

    def forward(self, latents, noise_level, text, condition=None):
        """The velocity, noise − data, of noisy latents.

        latents (b, f, c, h, w); noise_level (b, f) in [0, 1], 1 = pure noise, one per frame; text: TextFeatures;
        condition (b, f, c + 1, h, w) from `repeat_source`, for conditioned ones -> velocity (b, f, c, h, w). Raises
        UserError if the latents do not halve evenly at every scale, or for a condition that is missing or not wanted.
        """
        self.config.grid(*(latents.shape[axis] for axis in (1, 3, 4)))
        check_condition(condition, latents, self.config.conditioned)
        context = self.context(latents, noise_level, text)
        x, skips = self.enter(latents, condition), []
        for layers, shrink in zip(self.down, self.shrink, strict=True):
            for layer in layers:
                x = layer(x, context)
                skips.append(x)
            x = shrink(fold(x))
        for layer in self.middle:
            x = layer(x, context)
        for grow, layers in zip(self.grow, self.up, strict=True):
            x = unfold(grow(x))
            for layer in layers:
                x = layer(x, context, skips.pop())
        return rearrange(self.head(F.silu(self.norm(x))), "b f h w c -> b f c h w")

    def enter(self, latents, condition):
        """Latents and condition, as if concatenated by their channels -> (b, f, h, w, c'). A convolution of
        concatenated channels is a sum of two; kept apart, the second can start at 0 beside a trained first."""
        x = self.embed(rearrange(latents, "b f c h w -> b f h w c"))
        if condition is None:
            return x
        return x + self.embed_condition(rearrange(condition, "b f c h w -> b f h w c"))

    def context(self, latents, noise_level, text):
        """The Context of one forward pass."""
        f, h, w = (latents.shape[axis] for axis in (1, 3, 4))
        rotations = [
            rotary_3d(f, h >> scale, w >> scale, width // self.config.heads).to(latents.device)
            for scale, width in enumerate(self.config.widths)
        ]
        temporal = self.temporal_embedding and self.temporal_embedding(noise_level, text.pooled)
        return Context(self.embedding(noise_level, text.pooled), temporal, text, rotations, self.temporal_strength)


def initialize(model):
    """How a U-Net starts: Xavier-uniform weights and zero biases; the last layer of every branch and the head are 0,
    so that each block is the identity and the first velocity is exactly 0. So is the condition's way in."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
    nn.init.zeros_(model.head.weight)
    if model.embed_condition is not None:
        nn.init.zeros_(model.embed_condition.weight)
    for block in model.modules():
        if isinstance(block, Block):
            nn.init.zeros_(block.conv_out.weight)
            if block.has_attention:
                nn.init.zeros_(block.attention.attention.out.weight)
                nn.init.zeros_(block.text_attention.out.weight)


# ---- the source picture ----------------------------------------------------------------------------------


def repeat_source(source, frames, noise_level=None, noise=None):
    """The condition (b, frames, c + 1, h, w) of clips that begin with a picture: its latents source (b, c, h, w),
    repeated on all frames (Blattmann et al. 2023, Stable Video Diffusion, section 4.3), and a mask that is 1 on
    frame 0, which the source shows, and else 0. A condition of zeros says that there is no source.

    With noise_level σ (b,) in [0, 1], and noise like the source, the source becomes (1 − σ) source + σ noise and the
    mask 1 − σ: the less the source is to be trusted, the freer the motion.
    """
    sigma = source.new_zeros(len(source)) if noise_level is None else noise_level
    sigma = rearrange(sigma, "b -> b 1 1 1")
    if noise is not None:
        source = (1 - sigma) * source + sigma * noise
    condition = source.new_zeros(len(source), frames, source.shape[1] + 1, *source.shape[2:])
    condition[:, :, :-1] = source[:, None]
    condition[:, 0, -1:] = 1 - sigma
    return condition


def check_condition(condition, latents, wanted):
    """Raises UserError unless there is a condition of the right shape if and only if one is wanted."""
    b, f, c, h, w = latents.shape
    right, shape = (b, f, c + 1, h, w), None if condition is None else tuple(condition.shape)
    if wanted and shape != right:
        raise UserError(f"condition {shape}: it must be {right}; make it with repeat_source, or of zeros for no source")
    if shape and not wanted:
        raise UserError("this U-Net takes no condition: make one with conditioned=True for clips from a picture")


# ---- inflation -------------------------------------------------------------------------------------------


def temporal_parameters(unet):
    """What inflation adds to an image U-Net, the condition's way in included: {name: parameter}."""
    added = ("temporal", "condition")
    return {name: weight for name, weight in unet.named_parameters() if any(part in name for part in added)}


def spatial_parameters(unet):
    """What a U-Net has in common with the image U-Net inside, under the same names: {name: parameter}."""
    added = temporal_parameters(unet)
    return {name: weight for name, weight in unet.named_parameters() if name not in added}


@torch.no_grad()
def inflate(image, config):
    """A video U-Net that draws every frame exactly as the image U-Net does: so far its temporal blocks are silent.

    image: a UNet; config: the same with `temporal` blocks, and perhaps `conditioned` -> a new UNet. A video U-Net is
    taken too, if `conditioned` is all that is added.
    The temporal blocks see text and noise level through layers of their own, so all spatial weights may be frozen.
    Raises UserError if the two configurations differ in anything else.
    """
    inside = replace(config, conditioned=False) if any(image.config.temporal) else config.still
    for name, value in asdict(inside).items():
        if (given := getattr(image.config, name)) != value:
            raise UserError(f"a U-Net with {name} {given} does not fit a video U-Net around {name} {value}")
    video = UNet(config).to(next(image.parameters()).device)
    weights = dict(video.named_parameters())
    for name, parameter in image.named_parameters():
        weights[name].copy_(parameter)
    return video
