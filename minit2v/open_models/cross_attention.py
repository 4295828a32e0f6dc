"""Transformers whose tokens all look at each other, and read the text by cross-attention: Wan, LTX-Video, Allegro.

Each function takes the published configuration, the grid of tokens, and how many tokens condition it, and returns
the cost of one forward pass. In the comments n is the number of tokens, d the width, s the length of the text.
"""

from __future__ import annotations

from math import prod

from minit2v.arithmetic import Cost, TokenGrid, attention, convolution, linear, norm, numbers
from minit2v.open_models.pieces import Forward, cross_attention, mlp, self_attention, time_embedding, widest


def wan(config: dict, grid: TokenGrid, conditions: dict[str, int]) -> Forward:
    """Wan 2.1 and 2.2 (arXiv:2503.20314): one modulation for all layers, a learned offset in each."""
    n, d = grid.tokens, config["num_attention_heads"] * config["attention_head_dim"]
    text, image, patch = conditions["text"], conditions.get("image", 0), config["patch_size"]
    levels = n if config.get("expand_timesteps") else 1  # Wan 2.2 5B: a noise level per token, for clean first frames
    parts = {
        "patchify": convolution(n, config["in_channels"], d, patch),
        "time": mlp(levels, config["freq_dim"], d, d) + linear(levels, d, 6 * d),
        "text": mlp(text, config["text_dim"], d, d),
        "blocks": config["num_layers"] * _wan_block(config, n, d, text, image),
        "head": numbers(2, d) + linear(n, d, config["out_channels"] * prod(patch)),
    }
    if image:
        seen = config["image_dim"]
        parts["image"] = norm(seen) + mlp(image, seen, seen, d) + norm(d)
    modulations = 2 * levels * 6 * d  # of all layers, and with one layer's offsets
    return Forward(parts, alive=modulations + widest(n, d, 2 * config["ffn_dim"]))


def _wan_block(config: dict, n: int, d: int, text: int, image: int) -> Cost:
    qk_norms = 2 * norm(d, bias=False)  # RMSNorm over all heads together
    block = numbers(6, d)  # shift, scale and gate of both branches
    block += self_attention(n, d) + qk_norms
    block += norm(d) + cross_attention(n, text, d, context=d) + qk_norms
    if image:  # image tokens have their own keys and values; queries and the way out are the text's
        block += 2 * linear(image, d, d) + norm(d, bias=False) + attention(n, image, d)
    return block + mlp(n, d, config["ffn_dim"], d)


def ltx(config: dict, grid: TokenGrid, conditions: dict[str, int]) -> Forward:
    """LTX-Video (arXiv:2501.00103): PixArt-α with rotary positions; patches are left to its VAE."""
    n, d = grid.tokens, config["num_attention_heads"] * config["attention_head_dim"]
    text = conditions["text"]
    qk_norms = 2 * norm(d, bias=False)
    block = numbers(6, d) + self_attention(n, d) + qk_norms
    block += cross_attention(n, text, d, config["cross_attention_dim"]) + qk_norms
    block += mlp(n, d, 4 * d, d)
    parts = {
        "way in": linear(n, config["in_channels"], d),
        "time": modulation(d),
        "text": mlp(text, config["caption_channels"], d, d),
        "blocks": config["num_layers"] * block,
        "head": numbers(2, d) + linear(n, d, config["out_channels"]),
    }
    return Forward(parts, alive=widest(n, d, 2 * 4 * d))


def allegro(config: dict, grid: TokenGrid, conditions: dict[str, int]) -> Forward:
    """Allegro (arXiv:2410.15458): PixArt-α made three-dimensional."""
    n, d = grid.tokens, config["num_attention_heads"] * config["attention_head_dim"]
    text, patch = conditions["text"], config["patch_size"]
    block = numbers(6, d) + self_attention(n, d)
    block += cross_attention(n, text, d, config["cross_attention_dim"])
    block += mlp(n, d, 4 * d, d)
    parts = {
        "patchify": convolution(n, config["in_channels"], d, (patch, patch)),
        "time": modulation(d),
        "text": mlp(text, config["caption_channels"], d, d),
        "blocks": config["num_layers"] * block,
        "head": numbers(2, d) + linear(n, d, config["out_channels"] * patch**2),
    }
    return Forward(parts, alive=widest(n, d, 2 * 4 * d))


def modulation(d: int) -> Cost:
    """adaLN-single (PixArt-α, arXiv:2310.00426, section 2.3): shift, scale and gate of all layers at once."""
    return time_embedding(d) + linear(1, d, 6 * d)
