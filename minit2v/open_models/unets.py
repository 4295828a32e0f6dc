"""U-Nets of images that learned to move: Stable Video Diffusion, AnimateDiff, ModelScope.

All three have the shape of Stable Diffusion's: four levels of 320, 640, 1280 and 1280 channels, each half the size
of the one above, two layers on the way down and three on the way up, joined by skip connections. They differ in the
`cell`, what a layer consists of. Frames of an image U-Net are a batch: everything here counts them as such.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

from minit2v.arithmetic import Cost, TokenGrid, convolution, convolved, linear, norm, numbers
from minit2v.open_models.pieces import Forward, cross_attention, gated_mlp, mlp, self_attention, widest

SQUARE, IN_TIME = (3, 3), (3, 1, 1)  # kernels


def u_shape(config: dict, grid: TokenGrid, inputs: Cost, cell: Callable, middle: Callable, time: Cost) -> Forward:
    """Ronneberger et al. 2015, figure 1. `cell(width_in, width_out, grid, attends)` is the cost of a layer."""
    widths, top = config["block_out_channels"], config["block_out_channels"][0]
    attends = ["CrossAttn" in kind for kind in config["down_block_types"]]
    grids = [grid]
    for _ in widths[1:]:
        grids.append(halved(grids[-1]))
    sides, alive = {"down": Cost(), "up": Cost()}, 0
    for side, level, width_in, stored in layers(widths, config["layers_per_block"], grids):
        place = widths[level], grids[level], attends[level]
        sides[side] += cell(width_in, *place)
        alive = max(alive, stored + inside(width_in, *place))
    for (wide, fine), (next_wide, coarse) in pairwise(zip(widths, grids, strict=True)):
        sides["down"] += convolution(coarse.tokens, wide, wide, SQUARE, inputs=fine.tokens)
        sides["up"] += convolution(fine.tokens, next_wide, next_wide, SQUARE)
    parts = {
        "way in": convolution(grid.tokens, config["in_channels"], top, SQUARE) + inputs,
        "time": time,
        "down": sides["down"],
        "middle": middle(widths[-1], grids[-1]),
        "up": sides["up"],
        "way out": norm(top) + convolution(grid.tokens, top, config["out_channels"], SQUARE),
    }
    return Forward(parts, alive)


def layers(widths: list[int], per_level: int, grids: list[TokenGrid]) -> Iterator[tuple[str, int, int, int]]:
    """Each layer's side, level and channels in, and how many numbers the skip connections hold meanwhile."""
    width, skips = widths[0], [(widths[0], grids[0])]

    def stored():
        return sum(channels * at.tokens for channels, at in skips)

    for level, wide in enumerate(widths):
        for _ in range(per_level):
            yield "down", level, width, stored()
            width = wide
            skips.append((wide, grids[level]))
        skips += [(wide, at) for at in grids[level + 1 : level + 2]]  # what goes down a level
    for level, wide in reversed(list(enumerate(widths))):
        for _ in range(per_level + 1):
            skip, _ = skips.pop()
            yield "up", level, width + skip, stored()
            width = wide


def inside(c_in: int, c_out: int, grid: TokenGrid, attends: bool) -> int:
    """Numbers alive in a layer: what is added, normed, and activated or convolved; or the transformer's GEGLU."""
    block = grid.tokens * (2 * c_in + max(c_in, c_out))
    return max(block, widest(grid.tokens, c_out, 4 * 4 * c_out)) if attends else block


def halved(grid: TokenGrid) -> TokenGrid:
    """The grid after a convolution with stride 2."""
    return TokenGrid(grid.frames, convolved(grid.height, 3, 2, 1), convolved(grid.width, 3, 2, 1))


def residual(c_in: int, c_out: int, grid: TokenGrid, time: int, kernel: tuple[int, ...] = SQUARE) -> Cost:
    """Norm, convolution, twice; the time embedding, of width `time`, is added in between, frame by frame."""
    block = norm(c_in) + convolution(grid.tokens, c_in, c_out, kernel) + linear(grid.frames, time, c_out)
    block += norm(c_out) + convolution(grid.tokens, c_out, c_out, kernel)
    return block if c_in == c_out else block + convolution(grid.tokens, c_in, c_out, (1,) * len(kernel))


def spatial_transformer(c: int, grid: TokenGrid, text: int, context: int, linear_ways: bool) -> Cost:
    """Within each frame: self-attention, cross-attention to the text, GEGLU, each with a norm (Stable Diffusion)."""
    block = norm(c) + self_attention(grid.places, c, sequences=grid.frames, bias=False)
    block += norm(c) + cross_attention(grid.places, text, c, context, grid.frames, bias=False, repeated=True)
    block += norm(c) + gated_mlp(grid.tokens, c, 4 * c)
    return norm(c) + ways(grid.tokens, c, c, linear_ways) + block


def temporal_transformer(c: int, grid: TokenGrid, inner: int | None = None) -> Cost:
    """Along each place: self-attention twice, then GEGLU. It sees no text. (ModelScope and AnimateDiff)"""
    d = inner or c
    block = 2 * (norm(d) + self_attention(grid.frames, d, sequences=grid.places, bias=False))
    block += norm(d) + gated_mlp(grid.tokens, d, 4 * d)
    return norm(c) + ways(grid.tokens, c, d, linear_ways=True) + block


def ways(rows: int, c: int, d: int, linear_ways: bool) -> Cost:
    """The way into a transformer and out of it: a linear layer, or a 1 × 1 convolution, which is the same product."""
    if linear_ways:
        return linear(rows, c, d) + linear(rows, d, c)
    return convolution(rows, c, d, (1, 1)) + convolution(rows, d, c, (1, 1))


def sandwich(cell: Callable, block: Callable) -> Callable:
    """The middle of the U: a block without attention around one layer with it."""
    return lambda c, grid: cell(c, c, grid, True) + block(c, c, grid)


def stable_video_diffusion(config: dict, grid: TokenGrid, conditions: dict[str, int]) -> Forward:
    """SVD (arXiv:2311.15127): beside each spatial block a temporal one, mixed by a learned factor.

    It is given an image, as latents beside the noisy ones (8 channels in) and as one CLIP token. Frame rate, motion
    and noise on the image come in like the time.
    """
    top = config["block_out_channels"][0]
    time, keys, context = 4 * top, conditions["image"], config["cross_attention_dim"]

    def residuals(c_in, c_out, g):
        return residual(c_in, c_out, g, time) + residual(c_out, c_out, g, time, IN_TIME) + numbers(1)

    def temporal(c, g):
        block = 2 * (norm(c) + gated_mlp(g.tokens, c, 4 * c))  # one GEGLU before attention, one after
        block += norm(c) + self_attention(g.frames, c, sequences=g.places, bias=False)
        block += norm(c) + cross_attention(g.frames, keys, c, context, g.places, bias=False, repeated=True)
        return block + mlp(g.frames, c, 4 * c, c) + numbers(1)  # positions in time, and the factor

    def cell(c_in, c_out, g, attends):
        made = residuals(c_in, c_out, g)
        return made + spatial_transformer(c_out, g, keys, context, True) + temporal(c_out, g) if attends else made

    embedding = mlp(1, top, time, time) + mlp(1, config["projection_class_embeddings_input_dim"], time, time)
    return u_shape(config, grid, Cost(), cell, sandwich(cell, residuals), embedding)


def animatediff(config: dict, grid: TokenGrid, conditions: dict[str, int]) -> Forward:
    """AnimateDiff (arXiv:2307.04725): Stable Diffusion, frozen, and a motion module after every layer."""
    image, motion = config["unet"], config["motion_adapter"]
    top = image["block_out_channels"][0]
    time, text, context = 4 * top, conditions["text"], image["cross_attention_dim"]

    def residuals(c_in, c_out, g):
        return residual(c_in, c_out, g, time)

    def cell(c_in, c_out, g, attends):
        made = residuals(c_in, c_out, g) + temporal_transformer(c_out, g)
        return made + spatial_transformer(c_out, g, text, context, False) if attends else made

    def middle(c, g):
        moving = temporal_transformer(c, g) if motion["use_motion_mid_block"] else Cost()
        return 2 * residuals(c, c, g) + spatial_transformer(c, g, text, context, False) + moving

    return u_shape(image, grid, Cost(), cell, middle, mlp(1, top, time, time))


def modelscope(config: dict, grid: TokenGrid, conditions: dict[str, int]) -> Forward:
    """ModelScope text-to-video (arXiv:2308.06571): four convolutions in time after each spatial block.

    `attention_head_dim` really is the dimension of a head, and there are as many heads as it takes.
    """
    top = config["block_out_channels"][0]
    time, text, context = 4 * top, conditions["text"], config["cross_attention_dim"]

    def residuals(c_in, c_out, g):
        in_time = 4 * (norm(c_out) + convolution(g.tokens, c_out, c_out, IN_TIME))
        return residual(c_in, c_out, g, time) + in_time

    def cell(c_in, c_out, g, attends, linear_ways=False):
        made = residuals(c_in, c_out, g)
        if not attends:
            return made
        return made + spatial_transformer(c_out, g, text, context, linear_ways) + temporal_transformer(c_out, g)

    def middle(c, g):
        return cell(c, c, g, True, linear_ways=True) + residuals(c, c, g)

    inner = 8 * config["attention_head_dim"]
    first = temporal_transformer(top, grid, inner)
    made = u_shape(config, grid, first, cell, middle, mlp(1, top, time, time))
    return replace(made, alive=max(made.alive, 2 * top * grid.tokens + widest(grid.tokens, inner, 4 * 4 * inner)))
