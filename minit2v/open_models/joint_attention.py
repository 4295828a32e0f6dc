"""Transformers in which text and video are one sequence: CogVideoX, HunyuanVideo, Mochi, Open-Sora 2.

"Dual" blocks give text and video their own weights and let them meet in attention only (MMDiT, Stable Diffusion 3,
arXiv:2403.03206, section 4); "single" blocks treat both alike. n video tokens, s text tokens, m = n + s, width d.
"""

from __future__ import annotations

from math import prod

from minit2v.arithmetic import Cost, TokenGrid, attention, convolution, linear, norm, numbers
from minit2v.arithmetic.memory import ATTENTION
from minit2v.open_models.pieces import Forward, gated_mlp, head_norms, mlp, self_attention, time_embedding, widest


def cogvideox(config: dict, grid: TokenGrid, conditions: dict[str, int]) -> Forward:
    """CogVideoX (arXiv:2408.06072, section 2.2): one set of weights for both, but a modulation each ("expert")."""
    n, d = grid.tokens, config["num_attention_heads"] * config["attention_head_dim"]
    s, t, layers = conditions["text"], config["time_embed_dim"], config["num_layers"]
    m, affine = n + s, 2 * d  # the norms have scale and shift of their own, besides the modulation
    patch, patch_t = config["patch_size"], config.get("patch_size_t")
    cube = patch**2 * (patch_t or 1)
    block = 2 * (linear(1, t, 6 * d) + numbers(affine))
    block += self_attention(m, d, bias=config["attention_bias"]) + head_norms(config["attention_head_dim"], bias=True)
    block += mlp(m, d, 4 * d, d)
    by_frame = convolution(n, config["in_channels"], d, (patch, patch))
    parts = {
        "patchify": linear(n, config["in_channels"] * cube, d) if patch_t else by_frame,
        "time": mlp(1, d, t, t),
        "text": linear(s, config["text_embed_dim"], d),
        "blocks": layers * block,
        "head": norm(d) + linear(1, t, 2 * d) + norm(d) + linear(n, d, config["out_channels"] * cube),
    }
    return Forward(parts, alive=widest(m, d, 2 * 4 * d))


def hunyuanvideo(config: dict, grid: TokenGrid, conditions: dict[str, int]) -> Forward:
    """HunyuanVideo (arXiv:2412.03603): dual blocks, then single ones; guidance is an input."""
    n, s = grid.tokens, conditions["text"]
    d, hidden = _hunyuan_widths(config)
    patch = (config["patch_size_t"], config["patch_size"], config["patch_size"])
    inputs = time_embedding(d) + mlp(1, config["pooled_projection_dim"], d, d)
    parts = {
        "patchify": convolution(n, config["in_channels"], d, patch),
        "time and pooled text": inputs + (time_embedding(d) if config["guidance_embeds"] else Cost()),
        "text": _refiner(config, s),
        "dual blocks": config["num_layers"] * dual_block(n, s, d, hidden, config["attention_head_dim"]),
        "single blocks": config["num_single_layers"] * single_block(n + s, d, hidden, config["attention_head_dim"]),
        "head": linear(1, d, 2 * d) + linear(n, d, config["out_channels"] * prod(patch)),
    }
    return Forward(parts, alive=(n + s) * ((2 + ATTENTION) * d + hidden))


def hunyuanvideo15(config: dict, grid: TokenGrid, conditions: dict[str, int]) -> Forward:
    """HunyuanVideo 1.5 (arXiv:2511.18870): dual blocks only; a second text encoder for letters; a place for an image.

    Image tokens are computed and attended to even without an image: they are zeros, and masked.
    """
    n, s, glyphs, image = grid.tokens, conditions["text"], conditions["glyphs"], conditions["image"]
    d, hidden = _hunyuan_widths(config)
    patch = (config["patch_size_t"], config["patch_size"], config["patch_size"])
    letters, seen, between = config["text_embed_2_dim"], config["image_embed_dim"], 2048
    context = s + glyphs + image
    parts = {
        "patchify": convolution(n, config["in_channels"], d, patch),
        "time": time_embedding(d),
        "text": _refiner(config, s),
        "glyphs": norm(letters) + mlp(glyphs, letters, between, between, d),
        "image": norm(seen) + mlp(image, seen, seen, d) + norm(d),
        "kinds of context": numbers(3, d),
        "dual blocks": config["num_layers"] * dual_block(n, context, d, hidden, config["attention_head_dim"]),
        "head": linear(1, d, 2 * d) + linear(n, d, config["out_channels"] * prod(patch)),
    }
    return Forward(parts, alive=widest(n + context, d, 2 * hidden))


def open_sora_2(config: dict, grid: TokenGrid, conditions: dict[str, int]) -> Forward:
    """Open-Sora 2 (arXiv:2503.09642): Flux, with a second input of each token for the frames that are given."""
    n, s, d = grid.tokens, conditions["text"], config["hidden_size"]
    hidden, head_dim = int(config["mlp_ratio"] * d), config["hidden_size"] // config["num_heads"]
    values = config["in_channels"]  # of a token: 16 channels × 2 × 2
    given = linear(n, values + config["patch_size"] ** 2, d)  # the same, and a mask
    inputs = time_embedding(d) + mlp(1, config["vec_in_dim"], d, d)
    parts = {
        "way in": linear(n, values, d) + (given if config["cond_embed"] else Cost()),
        "time and pooled text": inputs + (time_embedding(d) if config["guidance_embed"] else Cost()),
        "text": linear(s, config["context_in_dim"], d),
        "dual blocks": config["depth"] * dual_block(n, s, d, hidden, head_dim),
        "single blocks": config["depth_single_blocks"] * single_block(n + s, d, hidden, head_dim),
        "head": linear(1, d, 2 * d) + linear(n, d, values),
    }
    return Forward(parts, alive=(n + s) * ((2 + ATTENTION) * d + hidden))


def dual_block(n: int, s: int, d: int, hidden: int, head_dim: int) -> Cost:
    """Two streams, each with modulation, Q, K, V, way out and feed-forward of its own; one attention over both."""

    def stream(rows):
        return linear(1, d, 6 * d) + 4 * linear(rows, d, d) + head_norms(head_dim) + mlp(rows, d, hidden, d)

    return stream(n) + stream(s) + attention(n + s, n + s, d)


def single_block(m: int, d: int, hidden: int, head_dim: int) -> Cost:
    """Attention and feed-forward side by side, with one way out for both."""
    block = linear(1, d, 3 * d) + 3 * linear(m, d, d) + head_norms(head_dim) + linear(m, d, hidden)
    return block + attention(m, m, d) + linear(m, d + hidden, d)


def _hunyuan_widths(config: dict) -> tuple[int, int]:
    d = config["num_attention_heads"] * config["attention_head_dim"]
    return d, int(config["mlp_ratio"] * d)


def _refiner(config: dict, s: int) -> Cost:
    """A small transformer makes a language model's features, which only look back, look both ways."""
    d, hidden = _hunyuan_widths(config)
    width = config["text_embed_dim"]
    block = 2 * norm(d) + self_attention(s, d) + mlp(s, d, hidden, d) + linear(1, d, 2 * d)
    inputs = time_embedding(d) + mlp(1, width, d, d) + linear(s, width, d)
    return inputs + config["num_refiner_layers"] * block


def mochi(config: dict, grid: TokenGrid, conditions: dict[str, int]) -> Forward:
    """Mochi 1 (genmo, 2024): dual blocks of unequal width, most weights for the video ("asymmetric")."""
    n, s = grid.tokens, conditions["text"]
    heads, head_dim, layers = config["num_attention_heads"], config["attention_head_dim"], config["num_layers"]
    d, w, t5 = heads * head_dim, config["pooled_projection_dim"], config["text_embed_dim"]
    patch, channels = config["patch_size"], config["in_channels"]
    pooling = linear(s + 1, t5, 2 * t5) + linear(1, t5, t5) + attention(1, s + 1, t5) + linear(1, t5, d)
    parts = {
        "patchify": convolution(n, channels, d, (patch, patch)),
        "positions": linear(n, 3, d // 2, bias=False),  # rotary angles: learned frequencies times (t, y, x)
        "time": mlp(1, config["time_embed_dim"], d, d),
        "pooled text": pooling,
        "text": linear(s, t5, w),
        "blocks": (layers - 1) * _mochi_block(n, s, d, w, head_dim),
        "last block": _mochi_block(n, s, d, w, head_dim, last=True),
        "head": linear(1, d, 2 * d) + linear(n, d, (config.get("out_channels") or channels) * patch**2),
    }
    return Forward(parts, alive=widest(n, d, 4 * (8 * d // 3)) + 2 * s * w)


def _mochi_block(n: int, s: int, d: int, w: int, head_dim: int, last: bool = False) -> Cost:
    """Text of width w meets video of width d in attention; after the last block nobody needs the text any more."""
    video = linear(1, d, 4 * d) + 3 * linear(n, d, d, bias=False) + linear(n, d, d)
    video += gated_mlp(n, d, 8 * d // 3, bias=False)
    text = linear(1, d, w if last else 4 * w) + 3 * linear(s, w, d, bias=False)
    if not last:
        text += linear(s, d, w) + gated_mlp(s, w, 8 * w // 3, bias=False)
    return video + text + 2 * head_norms(head_dim) + attention(n + s, n + s, d)
