"""What the project's own models cost: parameters, and the FLOPs of one forward pass, exactly those of the classes.

Each function walks its model in the order of the code (`minit2v.dit`, `text`, `vae`, `unet`). It takes the model's own
configuration, or the description here that has the same fields and needs no torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from minit2v.arithmetic.checks import divided
from minit2v.arithmetic.clip import LatentShape, TokenGrid, VAEShape
from minit2v.arithmetic.layers import Cost, attention, convolution, convolved, linear, norm, numbers
from minit2v.arithmetic.scores import pairs, turns

NOISE_CHANNELS = 256  # width of the transformer's embedding of the noise level


# ---- the transformer -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TransformerShape:
    """The sizes of a `minit2v.dit.DiTConfig`."""

    channels: int = 16  # of the latents
    patch: tuple[int, int, int] = (1, 2, 2)
    dim: int = 192  # channels of a token
    layers: int = 6
    heads: int = 6
    text_dim: int = 192
    mlp_ratio: int = 4
    attention: str = "full"  # a key of `scores.KINDS`
    window: int | None = None  # frames


def transformer(config, latents: LatentShape, words: int, batch: int = 1, skip_masked: bool = False) -> Cost:
    """The spacetime transformer, `minit2v.dit.DiT`: with N = batch · tokens, width d and L layers, nearly

        FLOPs = L · N · 24 d²  +  L · 4 d · scores of a head  +  L · N · 4 d²  +  L · 4 d · N · words
                qkv, out, MLP      self-attention                cross q, out      cross-attention

    and the patches, the text's keys and values, and the modulation besides. words: tokens of the text, start included.
    skip_masked: count for a kernel that skips what a window masks; the model computes it and throws it away.
    """
    d, grid = config.dim, latents.tokens(config.patch)
    cube, tokens = config.channels * math.prod(config.patch), batch * grid.tokens
    cost = linear(tokens, cube, d) + modulation(d, config.text_dim, batch, grid.frames)
    for layout, layers in turns(config.attention, config.layers).items():
        window = config.window if skip_masked else None
        scores = Cost(attention=4 * d * batch * pairs(layout, grid, window), moved=4 * tokens * d)
        cost += layers * (scores + block(config, grid, words, batch))
    return cost + numbers(2, d) + linear(tokens, d, cube)


def modulation(d: int, text_dim: int, batch: int, frames: int) -> Cost:
    """adaLN-single, once for all layers: noise level and text to six numbers per channel and frame."""
    noise = linear(batch * frames, NOISE_CHANNELS, d) + linear(batch * frames, d, d)
    text = linear(batch, text_dim, d) + linear(batch, d, d)
    return noise + text + linear(batch * frames, d, 6 * d)


def block(config, grid: TokenGrid, words: int, batch: int) -> Cost:
    """One block without its self-attention's scores, which are the only part that the layout changes."""
    d, tokens = config.dim, batch * grid.tokens
    mlp = linear(tokens, d, config.mlp_ratio * d) + linear(tokens, config.mlp_ratio * d, d)
    text = cross_attention(d, config.heads, config.text_dim, grid, words, batch)
    return numbers(6, d) + self_projections(d, config.heads, tokens) + text + mlp


def self_projections(d: int, heads: int, tokens: int) -> Cost:
    """What self-attention needs besides its scores: queries, keys and values, their norms, and the way out."""
    return linear(tokens, d, 3 * d) + 2 * norm(d // heads, bias=False) + linear(tokens, d, d)


def cross_attention(d: int, heads: int, text_dim: int, grid: TokenGrid, words: int, batch: int) -> Cost:
    """Every token asks the words: a norm, queries, the words' keys and values, the scores, and the way out."""
    queries = norm(d) + linear(batch * grid.tokens, d, d) + norm(d // heads, bias=False)
    keys_and_values = linear(batch * words, text_dim, 2 * d) + norm(d // heads, bias=False)
    return queries + keys_and_values + attention(grid.tokens, words, d, batch) + linear(batch * grid.tokens, d, d)


# ---- the text encoder ----------------------------------------------------------------------------------------


def text_encoder(config, words: int, batch: int = 1) -> Cost:
    """`minit2v.text.TextEncoder` on prompts of that many tokens, start included."""
    d, rows = config.dim, batch * words
    self_attention = self_projections(d, config.heads, rows) + attention(words, words, d, batch)
    mlp = linear(rows, d, 4 * d) + linear(rows, 4 * d, d)
    blocks = config.layers * (2 * norm(d) + self_attention + mlp)
    pool = linear(batch, d, d) + linear(batch, d, d)
    return numbers(config.vocabulary, d) + blocks + norm(d) + pool + numbers(2, d)


# ---- the autoencoder -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AutoencoderShape:
    """The sizes of a `minit2v.vae.VAEConfig`."""

    channels: int = 24
    temporal: int = 4
    spatial: int = 8
    patch: int = 4
    fine: int = 64
    widths: tuple[int, int] = (96, 160)
    encoder_blocks: tuple[int, int] = (1, 2)
    decoder_blocks: tuple[int, int] = (2, 2)


def factors(config) -> VAEShape:
    """What an autoencoder of that configuration divides a clip by."""
    return VAEShape(config.temporal, config.spatial, config.spatial, config.channels)


def encoder(config, latents: LatentShape, batch: int = 1) -> Cost:
    """`minit2v.vae.Encoder`, from a clip to the mean and log-variance of `latents`."""
    wide, deep, fine, coarse = _sizes(config, latents, batch)
    stride, patch = config.spatial // config.patch, 3 * config.patch**2
    frames, time = _times(config, fine)
    alone = linear(frames, patch, config.fine) + residual(frames, config.fine) if config.fine else Cost()
    enter = linear(fine, config.temporal * (config.fine or patch), wide)
    down = convolution(coarse, wide, deep, (3, 3), inputs=fine)
    leave = convolution(coarse, deep, 2 * config.channels, (3, 3))
    assert convolved(latents.height * stride, 3, stride, 1) == latents.height
    shallow, deeper = config.encoder_blocks
    blocks = shallow * residual(fine, wide, time) + deeper * residual(coarse, deep, time)
    return alone + enter + blocks + down + leave


def decoder(config, latents: LatentShape, batch: int = 1) -> Cost:
    """`minit2v.vae.Decoder`, from `latents` to a clip."""
    wide, deep, fine, coarse = _sizes(config, latents, batch)
    enter = convolution(coarse, config.channels, deep, (3, 3))
    up = linear(coarse, deep, wide * (config.spatial // config.patch) ** 2)
    patch, (frames, time) = 3 * config.patch**2, _times(config, fine)
    split = convolution(fine, wide, config.temporal * (config.fine or patch), (3, 3))
    alone = residual(frames, config.fine) + linear(frames, config.fine, patch) if config.fine else Cost()
    shallow, deeper = config.decoder_blocks
    blocks = deeper * residual(coarse, deep, time) + shallow * residual(fine, wide, time)
    return enter + blocks + up + split + alone


def residual(positions: int, width: int, time: bool = False) -> Cost:
    """`minit2v.vae.ResBlock`: two convolutions over space, and with `time` a causal one over 3 frames."""
    space = 2 * (norm(width, bias=False) + convolution(positions, width, width, (3, 3)))
    return space + norm(width, bias=False) + linear(positions, 3 * width, width) if time else space


def _times(config, groups: int) -> tuple[int, bool]:
    """Positions in single frames, given those in groups of frames; and whether there is time to mix."""
    return groups * config.temporal, config.temporal > 1


def _sizes(config, latents: LatentShape, batch: int) -> tuple[int, int, int, int]:
    """Channels at 1/patch and at 1/spatial of the picture's size, and how many positions there are."""
    coarse = batch * latents.frames * latents.height * latents.width
    return *config.widths, coarse * (config.spatial // config.patch) ** 2, coarse


# ---- the U-Net -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class UNetShape:
    """The sizes of a `minit2v.unet.UNetConfig`."""

    channels: int = 4
    widths: tuple[int, ...] = (128, 192)
    blocks: tuple[int, ...] = (1, 2)
    heads: int = 4
    text_dim: int = 128
    embedding: int = 128
    attention_from: int = 1
    temporal: tuple[int, ...] = ()
    kernel: int = 3
    window: int | None = None
    conditioned: bool = False


def unet(config, latents: LatentShape, words: int, batch: int = 1) -> Cost:
    """The U-Net, `minit2v.unet.UNet`, image or inflated. At scale s it has 4⁻ˢ of the places: wide layers run on few.

    Raises `UserError` where the latents do not halve evenly at every scale.
    """
    grids = scales(config, latents)
    coarsest, widths = len(grids) - 1, config.widths
    ways_in = [config.channels] + ([config.channels + 1] if config.conditioned else [])
    positions = batch * grids[0].tokens
    cost = sum((convolution(positions, way, widths[0], (3, 3)) for way in ways_in), embeddings(config, latents, batch))
    for scale, (fine, coarse) in enumerate(pairwise(widths)):
        rows = batch * grids[scale + 1].tokens
        cost += linear(rows, 4 * fine, coarse) + linear(rows, coarse, 4 * fine)  # shrink and grow
    for scale, grid in enumerate(grids):
        layer = unet_layer(config, scale, grid, words, batch)
        cost += config.blocks[scale] * (layer if scale == coarsest else 2 * layer)
        if scale < coarsest:  # on the way up, the skips are merged
            cost += config.blocks[scale] * linear(batch * grid.tokens, 2 * widths[scale], widths[scale])
    return cost + norm(widths[0]) + convolution(positions, widths[0], config.channels, (3, 3))


def scales(config, latents: LatentShape) -> list[TokenGrid]:
    """The U-Net's grids, from fine to coarse; each has half the height and width of the one before."""
    sizes = {"latent height": latents.height, "latent width": latents.width}
    halves = (2**scale for scale in range(len(config.widths)))
    return [
        TokenGrid(latents.frames, *(divided(name, size, by, "the halving") for name, size in sizes.items()))
        for by in halves
    ]


def embeddings(config, latents: LatentShape, batch: int) -> Cost:
    """Noise level and text to one vector per frame, once for the spatial blocks and once for the temporal ones."""
    d, rows = config.embedding, batch * latents.frames
    noise = linear(rows, NOISE_CHANNELS, d) + linear(rows, d, d)
    text = linear(batch, config.text_dim, d) + linear(batch, d, d)
    frame = linear(latents.frames, d, d)  # which frame it is, the same for the whole batch
    return noise + text + ((noise + text + frame) if any(config.temporal) else Cost())


def unet_layer(config, scale: int, grid: TokenGrid, words: int, batch: int) -> Cost:
    """A spatial block and the temporal ones behind it."""
    temporal = config.temporal[scale] if config.temporal else 0
    return sum(
        times * unet_block(config, scale, layout, grid, words, batch)
        for layout, times in (("spatial", 1), ("temporal", temporal))
    )


def unet_block(config, scale: int, layout: str, grid: TokenGrid, words: int, batch: int) -> Cost:
    """`minit2v.unet.Block`: two convolutions of 3 × 3 pixels or `kernel` frames, and at coarse scales attention."""
    width, positions = config.widths[scale], batch * grid.tokens
    kernel = (3, 3) if layout == "spatial" else (config.kernel, 1)
    modulation = linear(batch * grid.frames, config.embedding, 2 * width)
    convolutions = norm(width) + 2 * convolution(positions, width, width, kernel) + modulation
    if scale < config.attention_from:
        return convolutions
    scores = Cost(attention=4 * width * batch * pairs(layout, grid), moved=4 * positions * width)
    text = cross_attention(width, config.heads, config.text_dim, grid, words, batch)
    return convolutions + norm(width) + self_projections(width, config.heads, positions) + scores + text
