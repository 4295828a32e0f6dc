"""Transformers whose layers take turns: a spatial one within each frame, a temporal one along each place.

Latte and Open-Sora 1.2 have 28 of each. f frames of p places: spatial layers see f sequences of p tokens, temporal
ones p sequences of f. See `minit2v.arithmetic.scores` for what that saves.
"""

from __future__ import annotations

from math import prod

from minit2v.arithmetic import Cost, TokenGrid, convolution, linear, numbers
from minit2v.open_models.cross_attention import modulation
from minit2v.open_models.pieces import Forward, cross_attention, head_norms, mlp, self_attention, time_embedding, widest


def latte(config: dict, grid: TokenGrid, conditions: dict[str, int]) -> Forward:
    """Latte (arXiv:2401.03048, variant 1): only spatial layers read the text, each frame from its own copy."""
    n, f, p = grid.tokens, grid.frames, grid.places
    d = config["num_attention_heads"] * config["attention_head_dim"]
    text, patch, bias = conditions["text"], config["patch_size"], config["attention_bias"]
    shared = numbers(6, d) + mlp(n, d, 4 * d, d)
    reading = cross_attention(p, text, d, config["cross_attention_dim"], sequences=f, bias=bias, repeated=True)
    parts = {
        "patchify": convolution(n, config["in_channels"], d, (patch, patch)),
        "time": modulation(d),
        "text": mlp(text, config["caption_channels"], d, d),
        "spatial blocks": config["num_layers"] * (shared + self_attention(p, d, sequences=f, bias=bias) + reading),
        "temporal blocks": config["num_layers"] * (shared + self_attention(f, d, sequences=p, bias=bias)),
        "head": numbers(2, d) + linear(n, d, config["out_channels"] * patch**2),
    }
    return Forward(parts, alive=widest(n, d, 2 * 4 * d))


def stdit3(config: dict, grid: TokenGrid, conditions: dict[str, int]) -> Forward:
    """STDiT3, the denoiser of Open-Sora 1.2: both kinds of layers read the text; the frame rate is a condition too."""
    n, f, p = grid.tokens, grid.frames, grid.places
    d, text, patch = config["hidden_size"], conditions["text"], config["patch_size"]
    head_dim = d // config["num_heads"]
    outputs = config["in_channels"] * (2 if config["pred_sigma"] else 1)
    parts = {
        "patchify": convolution(n, config["in_channels"], d, patch),
        "time": modulation(d) + time_embedding(d),  # the second one is the frame rate's
        "text": mlp(text, config["caption_channels"], d, d),
        "positions": numbers(head_dim // 2),  # the rotary frequencies are stored as a parameter
        "spatial blocks": config["depth"] * _stdit3_block(config, p, f, n, text),
        "temporal blocks": config["depth"] * _stdit3_block(config, f, p, n, text),
        "head": numbers(2, d) + linear(n, d, outputs * prod(patch)),
    }
    return Forward(parts, alive=widest(n, d, 2 * int(d * config["mlp_ratio"])))


def _stdit3_block(config: dict, length: int, sequences: int, n: int, text: int) -> Cost:
    d = config["hidden_size"]
    block = numbers(6, d) + self_attention(length, d, sequences)
    if config["qk_norm"]:
        block += head_norms(d // config["num_heads"])
    block += cross_attention(n, text, d, context=d)
    return block + mlp(n, d, int(d * config["mlp_ratio"]), d)
