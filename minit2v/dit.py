"""The spacetime diffusion transformer: cut the latent clip into cubes, let them talk, and read off the velocity.

    latents ─ patchify ─ tokens ─[ self-attention · text cross-attention · MLP ]× layers ─ unpatchify ─ velocity
                                        ↑ shift, scale, gate from noise level and text (adaLN-zero)

Peebles & Xie 2023 (DiT) for the modulated block; Chen et al. 2023 (PixArt-α) for adaLN-single and the text
cross-attention; Wan 2025 for the same on video. The chapter, "Sora-style systems", gives the picture.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import nn

from minit2v.attention import (
    CrossAttention,
    SpacetimeAttention,
    check_heads,
    check_word,
    rotary_3d,
    sinusoidal,
    sinusoidal_3d,
)
from minit2v.errors import UserError

# One word of the recipe chooses who sees whom; the layers take the layouts in turn. All choices have the same
# parameters: only the folding of the tokens differs.
LAYOUTS = {
    "full": ("full",),
    "factorised": ("spatial", "temporal"),  # even layers within frames, odd layers along time (Latte, variant 1)
    "spatial": ("spatial",),
    "temporal": ("temporal",),
}
POSITIONS = ("both", "rotary", "sinusoidal")
NOISE_CHANNELS = 256  # width of the sinusoidal embedding of the noise level


@dataclass(frozen=True)
class DiTConfig:
    """Everything that shapes the transformer's weights; every value is JSON-able."""

    channels: int = 16  # of the latents
    patch: tuple[int, int, int] = (1, 2, 2)  # one token's cube: latent frames, height, width
    dim: int = 192  # channels of a token
    layers: int = 6
    heads: int = 6
    text_dim: int = 192  # channels of the text features
    mlp_ratio: int = 4
    attention: str = "full"  # a key of LAYOUTS
    window: int | None = None  # a token sees frames at most so many tokens away in time; None: all
    positions: str = "both"  # rotary on queries and keys, sinusoidal added to the tokens, or both

    def __post_init__(self):
        object.__setattr__(self, "patch", tuple(self.patch))  # a list, when it comes from JSON
        check_word("attention", self.attention, LAYOUTS)
        check_word("positions", self.positions, POSITIONS)
        check_heads(self.dim, self.heads)

    @property
    def head_dim(self):
        """Channels of one attention head."""
        return self.dim // self.heads

    @property
    def cube(self):
        """Numbers in one cube of latents, channels included."""
        return self.channels * math.prod(self.patch)

    @property
    def layouts(self):
        """The attention layout of each layer."""
        choice = LAYOUTS[self.attention]
        return tuple(choice[layer % len(choice)] for layer in range(self.layers))

    def grid(self, frames, height, width):
        """The token grid (f', h', w') of latents of that size. Raises UserError where the patch does not divide."""
        sizes = dict(frames=frames, height=height, width=width)
        for (axis, size), cut in zip(sizes.items(), self.patch, strict=True):
            if size % cut or size < cut:
                raise UserError(f"latent {axis} {size} does not divide by the patch: use a multiple of {cut}")
        return tuple(size // cut for size, cut in zip(sizes.values(), self.patch, strict=True))


# ---- cubes -----------------------------------------------------------------------------------------------


def patchify(latents, patch):
    """Latents (b, f, c, h, w) -> cubes (b, f', n, c·pt·ph·pw), with n = h'·w' positions in row-major order."""
    pt, ph, pw = patch
    return rearrange(latents, "b (f pt) c (h ph) (w pw) -> b f (h w) (c pt ph pw)", pt=pt, ph=ph, pw=pw)


def unpatchify(cubes, patch, height):
    """The inverse of `patchify`; `height` is the token grid's, h'."""
    pt, ph, pw = patch
    return rearrange(cubes, "b f (h w) (c pt ph pw) -> b (f pt) c (h ph) (w pw)", h=height, pt=pt, ph=ph, pw=pw)


# ---- modulation ------------------------------------------------------------------------------------------


def normalize(x):
    """LayerNorm without learned scale and shift: those come from the modulation."""
    return F.layer_norm(x, x.shape[-1:], eps=1e-6)


def modulate(x, shift, scale):
    """Tokens x (b, f, n, d), and one shift and scale per frame (b, f, 1, d): a broadcast, never one per token."""
    return x * (1 + scale) + shift


class Modulation(nn.Module):
    """Noise level and text say, once for all layers, how each frame is to be treated (adaLN-single)."""

    def __init__(self, config):
        super().__init__()
        d = config.dim
        self.noise = nn.Sequential(nn.Linear(NOISE_CHANNELS, d), nn.SiLU(), nn.Linear(d, d))
        self.text = nn.Sequential(nn.Linear(config.text_dim, d), nn.SiLU(), nn.Linear(d, d))
        self.shared = nn.Sequential(nn.SiLU(), nn.Linear(d, 6 * d))

    def forward(self, noise_level, pooled):
        """noise_level (b, f), pooled text (b, text_dim) -> embedding (b, f, d), modulation (b, f, 6, d)."""
        noise = self.noise(sinusoidal(1000 * noise_level, NOISE_CHANNELS).to(pooled.dtype))  # (b, f, d)
        embedding = noise + self.text(pooled)[:, None]
        return embedding, rearrange(self.shared(embedding), "b f (six d) -> b f six d", six=6)


class Block(nn.Module):
    """Self-attention, cross-attention to the text, MLP; each adds to the tokens.

    The block's own `table` is added to the shared modulation (PixArt-α, section 2.3; Wan does the same): the
    layers differ at the price of 6 d numbers each, where DiT pays 6 d² for a linear layer in every block.
    """

    def __init__(self, config, layout):
        super().__init__()
        d = config.dim
        self.table = nn.Parameter(torch.zeros(6, d))
        self.attention = SpacetimeAttention(d, config.heads, layout, config.window)
        self.norm_text = nn.LayerNorm(d, eps=1e-6)
        self.text_attention = CrossAttention(d, config.heads, config.text_dim)
        wide = config.mlp_ratio * d
        self.mlp = nn.Sequential(nn.Linear(d, wide), nn.GELU(), nn.Linear(wide, d))  # exact: tanh's is slower here

    def forward(self, x, modulation, text, rotation=None, temporal_strength=1.0):
        """x (b, f, n, d), modulation (b, f, 6, d), rotation (f, n, head_dim/2) or None -> (b, f, n, d)."""
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = rearrange(
            modulation + self.table, "b f six d -> six b f 1 d"
        )
        x = x + gate * self.attend(modulate(normalize(x), shift, scale), rotation, temporal_strength)
        x = x + self.read_text(x, text)
        return x + mlp_gate * self.mlp(modulate(normalize(x), mlp_shift, mlp_scale))

    def attend(self, x, rotation, temporal_strength):
        """Self-attention (b, f, n, d) -> (b, f, n, d); below full strength, mixed with that of every frame alone."""
        y = self.attention(x, rotation)
        if temporal_strength == 1:
            return y
        # A frame alone is a clip of one frame. Where it stands in time turns all its tokens alike: any turn will do.
        alone = self.attention(rearrange(x, "b f n d -> (b f) 1 n d"), None if rotation is None else rotation[:1])
        return torch.lerp(rearrange(alone, "(b f) 1 n d -> b f n d", f=x.shape[1]), y, temporal_strength)

    def read_text(self, x, text):
        """Every token asks the words: (b, f, n, d) -> (b, f, n, d)."""
        y = self.text_attention(self.norm_text(x).flatten(1, 2), text.tokens, text.mask)  # (b, f·n, d)
        return y.view_as(x)


class Head(nn.Module):
    """Tokens to cubes of velocity, modulated by the embedding and a table of its own."""

    def __init__(self, config):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(2, config.dim))
        self.out = nn.Linear(config.dim, config.cube)

    def forward(self, x, embedding):
        """x (b, f, n, d), embedding (b, f, d) -> cubes (b, f, n, c·pt·ph·pw)."""
        shift, scale = rearrange(embedding[:, :, None] + self.table, "b f two d -> two b f 1 d")
        return self.out(modulate(normalize(x), shift, scale))


# ---- the transformer -------------------------------------------------------------------------------------


class DiT(nn.Module):
    """The spacetime diffusion transformer; see the module's picture. A fresh one predicts a velocity of 0.

    temporal_strength, from 0 to 1, may be set at any time: at 0 no frame hears of another, and the strengths between
    weaken the temporal mixing (chapter, section 4: flicker rises). The U-Net has the same.
    """

    def __init__(self, config=None):
        super().__init__()
        self.config = config = config or DiTConfig()
        self.temporal_strength = 1.0
        self.embed = nn.Linear(config.cube, config.dim)
        self.modulation = Modulation(config)
        self.blocks = nn.ModuleList(Block(config, layout) for layout in config.layouts)
        self.head = Head(config)
        initialize(self)

    def forward(self, latents, noise_level, text, condition=None):
        """The velocity, noise − data, of noisy latents.

        latents (b, f, c, h, w); noise_level (b, f) in [0, 1], 1 = pure noise, one per latent frame: a clean frame
        has 0, so that image-to-video needs no second path; text: TextFeatures -> velocity (b, f, c, h, w).
        Raises UserError if the patch does not divide the latents, or for a condition, which only U-Nets take.
        """
        if condition is not None:
            raise UserError("the transformer takes no condition: give it the known frames at noise level 0")
        config = self.config
        f, h, w = (latents.shape[axis] for axis in (1, 3, 4))
        grid = config.grid(f, h, w)
        positions, rotation = self.positions(grid, latents.device)
        level = reduce(noise_level, "b (f pt) -> b f", "mean", pt=config.patch[0])  # a cube's: its frames' mean
        embedding, modulation = self.modulation(level, text.pooled)
        x = self.embed(patchify(latents, config.patch))  # (b, f', n, d)
        if positions is not None:
            x = x + positions.to(x.dtype)
        for block in self.blocks:
            x = block(x, modulation, text, rotation, self.temporal_strength)
        return unpatchify(self.head(x, embedding), config.patch, grid[1])  # (b, f, c, h, w)

    def positions(self, grid, device=None):
        """Where the tokens are: (f, n, d) to add or None, and (f, n, head_dim/2) to turn by or None."""
        config = self.config
        added = None if config.positions == "rotary" else sinusoidal_3d(*grid, config.dim).to(device)
        turned = None if config.positions == "sinusoidal" else rotary_3d(*grid, config.head_dim).to(device)
        return added, turned


def initialize(model):
    """How a DiT starts: Xavier-uniform weights and zero biases, and adaLN-zero (DiT, section 3.2): every branch
    starts shut and the head silent, so that each block is the identity and the first velocity is exactly 0."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
    for layer in [model.modulation.shared[-1], model.head.out, *(block.text_attention.out for block in model.blocks)]:
        nn.init.zeros_(layer.weight)
