"""How many bytes a model needs: its weights, what training keeps besides, and what is alive at once while it runs.

The peak of a forward pass is not a sum but a maximum: a layer's inputs, its output and what it still needs are alive
together, then most of them die. `Peak` lists the moments that can be the worst, in numbers (4 bytes each in fp32, 2 in
bf16), counted from the code operation by operation; attention's scores are not among them, since the fused kernel
never stores them. What is counted are tensors; a kernel's own scratch and the allocator's gaps come on top.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from minit2v.arithmetic.clip import LatentShape
from minit2v.arithmetic.models import decoder, encoder, scales, transformer, unet
from minit2v.arithmetic.scores import turns

BYTES = {"fp32": 4, "tf32": 4, "bf16": 2, "fp16": 2, "fp8": 1}  # of a number

# Tensors as large as the tokens (batch · tokens · width) that are alive while a layer's self-attention turns its keys:
# its modulated input 1, queries, keys and values 3, queries and keys normalized 2, queries turned 1, keys being turned
# 2. Where nothing is turned: 3, 2 and the result and its copy in place of the last 3.
ATTENTION, UNTURNED = 9, 8


@dataclass(frozen=True)
class Peak:
    """What is alive at once. All are counts of numbers; see the module's text."""

    weights: int
    inputs: int
    throughout: int  # alive all the while: positions, modulation
    moments: dict[str, int]  # alive besides, at the worst moment of each stage

    @property
    def when(self) -> str:
        """The moment that needs most."""
        return max(self.moments, key=self.moments.get)

    @property
    def activations(self) -> int:
        """All but the weights."""
        return self.inputs + self.throughout + self.moments[self.when]

    @property
    def numbers(self) -> int:
        """Weights and activations."""
        return self.weights + self.activations


# ---- the transformer -----------------------------------------------------------------------------------------


def transformer_peak(config, latents: LatentShape, words: int, batch: int = 1) -> Peak:
    """One forward pass of `minit2v.dit.DiT`. With X = batch · tokens · width, the stages need

    turning   10 X   what the block was given, and `ATTENTION`; 1 X more where temporal layers fold a batch
    scores     8 X   input, modulated, queries, keys and values before and after, result; the mask, if any, in fp32
    text       6 X   both inputs of the residual sums, normed tokens, queries, normed queries, the result
    MLP       (3 + 2 · mlp_ratio) X   both inputs, the modulated tokens, the wide layer before and after its GELU
    mask       2 X   with a window: all pairs of tokens, their distance in time, 8 bytes each and twice
    """
    d, grid = config.dim, latents.tokens(config.patch)
    x, cubes = batch * grid.tokens * d, batch * latents.values
    layouts = [layout for layout, layers in turns(config.attention, config.layers).items() if layers]
    turned = getattr(config, "positions", "both") != "sinusoidal"
    folded = x if batch > 1 and "temporal" in layouts else 0
    length = max({"full": grid.tokens, "temporal": grid.frames, "spatial": 0}[layout] for layout in layouts)
    pairs = length**2 if config.window is not None else 0
    moments = {
        "turning": (1 + (ATTENTION if turned else UNTURNED)) * x + folded + pairs // 4,
        "scores": 8 * x + folded + pairs * 5 // 4,
        "text": 6 * x + 3 * batch * words * d,
        "MLP": (3 + 2 * config.mlp_ratio) * x,
        "cutting into cubes": 2 * cubes + x,
        "mask": 2 * x + 4 * pairs,
    }
    positions = grid.tokens * d if getattr(config, "positions", "both") != "rotary" else 0
    rotation = grid.tokens * d // config.heads if turned else 0
    throughout = positions + rotation + 13 * batch * grid.frames * d  # embedding, modulation, the block's own
    inputs = cubes + batch * (latents.frames + (words + 1) * config.text_dim)
    return Peak(transformer(config, latents, words).parameters, inputs, throughout, moments)


# ---- the autoencoder -----------------------------------------------------------------------------------------


def encoder_peak(config, latents: LatentShape, batch: int = 1) -> Peak:
    """One pass of `minit2v.vae.VAE.encode`, without a stream's memory: pixels in groups stay alive all the while."""
    wide, deep, pixels, given = _volumes(config, latents, batch)
    single = _single(config, latents, batch)
    moments = {
        "grouping": pixels + (single or wide),  # besides the groups, their rearranged copy
        "single frames": 4 * single,
        "joining frames": 2 * single + wide,
        "fine blocks": _block_peak(wide, config, latents) if config.encoder_blocks[0] else wide,
        "shrinking": wide + deep,
        "coarse blocks": _block_peak(deep, config, latents) if config.encoder_blocks[1] else deep,
    }
    return Peak(_vae_weights(config, latents), given, pixels, moments)


def decoder_peak(config, latents: LatentShape, batch: int = 1) -> Peak:
    """One pass of `minit2v.vae.VAE.decode`, without a stream's memory."""
    wide, deep, pixels, given = _volumes(config, latents, batch)
    single = _single(config, latents, batch)
    moments = {
        "coarse blocks": _block_peak(deep, config, latents) if config.decoder_blocks[1] else deep,
        "growing": deep + wide * (2 if config.spatial > config.patch else 1),
        "fine blocks": _block_peak(wide, config, latents) if config.decoder_blocks[0] else wide,
        "splitting groups": wide + (single or pixels),
        "sorting frames": 2 * single,
        "single frames": 4 * single,
        "last layer": single + pixels,
        "sorting pixels": 2 * pixels,
        "clamping": pixels + given,
    }
    values = batch * latents.values
    return Peak(_vae_weights(config, latents), values, values, moments)


def _vae_weights(config, latents: LatentShape) -> int:
    return (encoder(config, latents) + decoder(config, latents)).parameters + 2 * config.channels  # means and spreads


def _volumes(config, latents: LatentShape, batch: int) -> tuple[int, int, int, int]:
    """Numbers in a tensor at the fine and at the coarse size, in the grouped pixels, and in the pixels themselves.

    The first frame stands in a group of its own, filled up with copies.
    """
    places = batch * latents.height * latents.width
    fine = latents.frames * places * (config.spatial // config.patch) ** 2
    frame = 3 * places * config.spatial**2
    frames = (latents.frames - 1) * config.temporal + 1
    return (
        fine * config.widths[0], latents.frames * places * config.widths[1],
        frame * latents.frames * config.temporal, frame * frames,
    )  # fmt: skip


def _single(config, latents: LatentShape, batch: int) -> int:
    """Numbers in a tensor of single frames, before they are grouped; 0 where there is no such stage."""
    places = batch * latents.height * latents.width * (config.spatial // config.patch) ** 2
    return latents.frames * config.temporal * places * config.fine


def _block_peak(volume: int, config, latents: LatentShape) -> int:
    """A residual block: 4 tensors in a norm; in a video VAE 8 while three frames are laid side by side (the block's
    input, its sum, the normed one, 3 side by side, the result, the padded line), and 4 frames of padding."""
    return 4 * volume if config.temporal == 1 else 8 * volume + 4 * volume // latents.frames


# ---- the U-Net -----------------------------------------------------------------------------------------------


def unet_peak(config, latents: LatentShape, words: int, batch: int = 1) -> Peak:
    """One forward pass of `minit2v.unet.UNet`: each layer's own moment, and all skips that wait for the way up."""
    grids = scales(config, latents)
    volumes = [batch * grid.tokens * width for grid, width in zip(grids, config.widths, strict=True)]
    coarsest, waiting, moments = len(grids) - 1, 0, {}
    for scale in range(coarsest):
        for layer in range(config.blocks[scale]):
            mine = volumes[scale] * (layer > 0)  # its input is the last skip, already counted
            moments[f"down {scale}.{layer}"] = waiting - mine + _layer_peak(config, scale, volumes, batch)
            waiting += volumes[scale]
        folded = volumes[scale] + volumes[scale + 1] + volumes[scale] * (config.blocks[scale] == 0)
        moments[f"shrink {scale}"] = waiting + folded
    for layer in range(config.blocks[coarsest]):
        moments[f"middle {layer}"] = waiting + _layer_peak(config, coarsest, volumes, batch)
    for scale in reversed(range(coarsest)):
        moments[f"grow {scale}"] = waiting + volumes[scale + 1] + 2 * volumes[scale]
        for layer in range(config.blocks[scale]):
            moments[f"up {scale}.{layer}"] = waiting + _layer_peak(config, scale, volumes, batch, up=True)
            waiting -= volumes[scale]
    moments["head"] = 3 * volumes[0]
    rotations = sum(grid.tokens * width // config.heads for grid, width in zip(grids, config.widths, strict=True))
    told = (1 + any(config.temporal)) * batch * latents.frames * config.embedding
    condition = batch * latents.frames * latents.height * latents.width * (config.channels + 1) * config.conditioned
    inputs = batch * (latents.values + latents.frames + (words + 1) * config.text_dim) + condition
    return Peak(unet(config, latents, words).parameters, inputs, rotations + told, moments)


def _layer_peak(config, scale: int, volumes: list[int], batch: int, up: bool = False) -> int:
    """The worst block: its input and sum, and the attention; without attention, five tensors in a modulated norm.
    Behind the first block, and on the way up behind the merged skip, the layer's own input is alive as well. A temporal
    block folds its batch."""
    temporal = bool(config.temporal) and config.temporal[scale] > 0
    block = 2 + ATTENTION if scale >= config.attention_from else 5
    return (block + (temporal or up) + (temporal and batch > 1 and block > 5)) * volumes[scale]


# ---- training and streaming ----------------------------------------------------------------------------------


def kept(config, latents: LatentShape, batch: int = 1, checkpointing: bool = False) -> int:
    """Numbers that the transformer's forward pass keeps for the backward pass, without a window's masks.

    X = batch · tokens · width. A block keeps (24 + 2 · mlp_ratio) X: self-attention 13, cross-attention 7, the MLP
    4 + 2 · mlp_ratio. With checkpointing (Chen et al. 2016) only every block's input, 1 X, and, while it is computed a
    second time, one block's own.
    """
    x = batch * latents.tokens(config.patch).tokens * config.dim
    block = (24 + 2 * config.mlp_ratio) * x
    return config.layers * x + block if checkpointing else config.layers * block


OPTIMIZERS = {"sgd": 0, "muon": 1, "adamw": 2}  # numbers that they remember per parameter


def training_bytes(parameters: int, optimizer: str = "adamw", number: int = 4, ema: bool = True) -> dict[str, int]:
    """Bytes that training holds per parameter, besides activations: weights and gradients in `number` bytes each, and
    always in fp32 what the optimizer remembers, the weights' running average, and a master copy of smaller weights."""
    states = {"weights": number, "gradients": number, "optimizer": 4 * OPTIMIZERS[optimizer], "average": 4 * ema}
    states["master weights"] = 4 if number < 4 else 0
    return {name: size * parameters for name, size in states.items()}


def kv_cache(layers: int, tokens: int, dim: int, batch: int = 1, number: int = 2) -> int:
    """Bytes of the keys and values of `tokens` that later ones look at: 2 · layers · batch · tokens · dim · number.

    A denoiser that sees its whole clip at once needs none; one that extends a clip causally keeps the past in it, and
    one that reads a fixed text may keep the text's.
    """
    return prod((2, layers, batch, tokens, dim, number))
