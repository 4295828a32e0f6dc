"""Figures to work out, lessons 08 and 09: cubes, blocks, and the scales of a U-Net."""

from __future__ import annotations

from minit2v.arithmetic import LatentShape, convolution, linear
from minit2v.cost.words import times
from minit2v.drills.numbers import family


@family(
    "transformer",
    1,
    "latent height × width × frames",
    "it forgets that a patch makes one token of several latents",
    cell="01:factory-27",
    hint="Divide each axis by the patch.",
)
def tokens(rng):
    patch = rng.choice(((1, 2, 2), (1, 1, 1), (2, 2, 2), (1, 4, 4)))
    sizes = [cut * rng.randint(3, 16) for cut in patch]
    grid = LatentShape(sizes[0], 16, sizes[1], sizes[2]).tokens(patch)
    steps = [
        " , ".join(f"{size} / {cut} = {size // cut}" for size, cut in zip(sizes, patch, strict=True)),
        f"{times(grid.frames, grid.height, grid.width)} = {grid.tokens:,}",
    ]
    text = (
        f"Latents of {sizes[0]} × {sizes[1]} × {sizes[2]} (frames, height, width), patch {times(*patch)}. How many"
        " tokens?"
    )
    why = "One token per cube. It is the number that attention squares."
    return dict(sizes=tuple(sizes), patch=patch), text, grid.tokens, "tokens", steps, why


@family(
    "transformer",
    2,
    "the number of places in the patch",
    "the channels lie in the cube as well",
    cell="01:factory-27",
    hint="Channels count too.",
)
def cube_numbers(rng):
    patch, channels = rng.choice(((1, 2, 2), (2, 2, 2), (1, 4, 4), (1, 1, 1))), rng.choice((4, 8, 16, 24, 48))
    value = channels * patch[0] * patch[1] * patch[2]
    steps = [f"{channels} × {times(*patch)} = {value}"]
    text = (
        f"Latents with {channels} channels, patch {times(*patch)}. How many numbers go into one token before the first"
        " linear layer?"
    )
    return (
        dict(patch=patch, channels=channels),
        text,
        value,
        "numbers",
        steps,
        "Patchify moves space and time into channels.",
    )


@family(
    "transformer",
    2,
    "in × out",
    "the bias is easily left out; it is small, but an exact count is exact",
    hint="Weights and biases.",
)
def mlp_parameters(rng):
    d, ratio = rng.choice((64, 96, 128, 192, 256, 384)), rng.choice((2, 4))
    up, down = linear(1, d, ratio * d), linear(1, ratio * d, d)
    value = up.parameters + down.parameters
    steps = [
        f"up: {d} × {ratio * d} + {ratio * d} = {up.parameters:,}",
        f"down: {ratio * d} × {d} + {d} = {down.parameters:,}",
        f"together {value:,}",
    ]
    text = (
        f"The MLP of a block of width {d}, ratio {ratio}, two linear layers with biases. How many parameters, to the"
        " last one?"
    )
    return (
        dict(dim=d, ratio=ratio),
        text,
        value,
        "parameters",
        steps,
        "Nearly 2 · ratio · d²; most of a block's weights.",
    )


@family(
    "transformer",
    3,
    "the same for both",
    "“modulation” sounds like one thing; where it is computed decides its price",
    hint="A table has 6 d numbers, a linear layer 6 d² + 6 d.",
)
def modulation_saved(rng):
    d, layers = rng.choice((96, 128, 192, 256)), rng.choice((4, 6, 12, 28))
    own = layers * linear(1, d, 6 * d).parameters
    shared = linear(1, d, 6 * d).parameters + layers * 6 * d
    steps = [
        f"a linear layer each: {layers} × ({d} × {6 * d} + {6 * d}) = {own:,}",
        f"one for all, and a table of 6 × {d} each: {shared:,}",
        f"{own:,} − {shared:,} = {own - shared:,}",
    ]
    text = (
        f"{layers} blocks of width {d}. DiT gives every block a linear layer (with bias) from d to 6 d for its"
        " modulation; adaLN-single shares one and gives every block a table of 6 d numbers. How many parameters does"
        " sharing save?"
    )
    return (
        dict(dim=d, layers=layers),
        text,
        own - shared,
        "parameters",
        steps,
        "PixArt-α's point: more than a quarter of a DiT sat there.",
    )


@family(
    "unet",
    1,
    "half as many",
    "each axis halves, and there are two of them",
    hint="A scale down is a quarter of the places.",
)
def unet_places(rng):
    scale, coarse = rng.randint(1, 3), rng.choice((2, 4, 8))
    side = coarse * 2**scale
    steps = [f"{side} / 2^{scale} = {coarse}", f"{coarse} × {coarse} = {coarse * coarse}"]
    text = (
        f"Latents of {side} × {side} enter a U-Net. How many places does a frame have {scale}"
        f" scale{'s' if scale > 1 else ''} further down?"
    )
    return (
        dict(side=side, scale=scale),
        text,
        coarse * coarse,
        "places",
        steps,
        "That is why the wide layers stand at the bottom.",
    )


@family(
    "unet",
    2,
    "9 times in × out",
    "3 × 3 is the spatial kernel; the temporal one is 3 frames and 1 pixel wide",
    hint="Kernel 3 × 1.",
)
def temporal_convolution_parameters(rng):
    width, kernel = rng.choice((32, 64, 96, 112, 128, 160)), rng.choice((3, 5))
    value = convolution(1, width, width, (kernel, 1)).parameters
    steps = [f"{kernel} × {width} × {width} + {width} = {value:,}"]
    text = (
        f"A temporal convolution over {kernel} frames, {width} channels in and out, with biases. How many parameters?"
    )
    why = "A third of a 3 × 3 convolution's, for kernel 3: it looks along one axis only."
    return dict(width=width, kernel=kernel), text, value, "parameters", steps, why


@family(
    "unet",
    2,
    "the width of that scale",
    "the skip is laid beside what comes from below, so there are two of them",
    hint="Beside, not on top.",
)
def merge_inputs(rng):
    width = rng.choice((64, 96, 112, 128, 160, 192))
    steps = [f"{width} from below + {width} from the skip = {2 * width}"]
    text = (
        f"On the way up, a U-Net lays a skip of {width} channels beside the {width} that come from below, and merges"
        " them. How many channels does the merging layer read?"
    )
    return (
        dict(width=width),
        text,
        2 * width,
        "channels",
        steps,
        "A skip carries what halving threw away: edges and places.",
    )
