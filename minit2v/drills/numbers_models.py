"""Figures to work out, lessons 05 to 07: guidance, noise levels, attention."""

from __future__ import annotations

from fractions import Fraction

from minit2v.arithmetic import TokenGrid, device, frame_pairs, pairs, saving
from minit2v.arithmetic import attention as attention_cost
from minit2v.cost.words import times
from minit2v.drills.numbers import family


@family(
    "text",
    1,
    "somewhere between the two predictions",
    "one hears “between with and without”; above 1 it goes beyond",
    cell="01:factory-29",
    hint="null + scale × (text − null)",
)
def guided_value(rng):
    said, null = (Fraction(rng.randint(-20, 20), 10) for _ in range(2))
    scale = rng.choice((0, 1, 2, 3, 5))
    value = null + scale * (said - null)
    steps = [
        f"text − null = {float(said - null):g}",
        f"{float(null):g} + {scale} × {float(said - null):g} = {float(value):g}",
    ]
    text = (
        f"At one place of the latents the denoiser predicts {float(said):g} with the prompt and {float(null):g}"
        f" without. What does classifier-free guidance of scale {scale} make of it?"
    )
    why = "Scale 0 ignores the prompt, 1 is the prompt alone, above 1 extrapolates along the difference."
    return dict(text=said, null=null, scale=scale), text, value, "", steps, why


@family("text", 1, "the number of steps", "one step feels like one call; guidance asks twice", hint="With and without.")
def guidance_passes(rng):
    steps_, guided = rng.choice((20, 25, 30, 50)), rng.random() < 0.7
    scale = rng.choice((3, 5, 7)) if guided else 1
    how = device.Serving(steps=steps_, passes=2 if guided else 1)
    value = how.steps * how.passes
    steps = [f"scale {scale}: {'two answers' if guided else 'the prompt alone, one answer'} a step", f"in all {value}"]
    text = (
        f"{steps_} Euler steps with guidance scale {scale}. How many times is a clip sent through the denoiser? (A"
        " batch of two, with and without prompt, counts as two.)"
    )
    return dict(steps=steps_, scale=scale), text, value, "passes", steps, "Guidance other than 1 doubles the bill."


@family(
    "denoising",
    1,
    "the noise weighted by 1 − σ",
    "it is easy to forget which end is clean; here σ = 1 is pure noise",
    cell="01:factory-24",
    hint="(1 − σ) · data + σ · noise",
)
def mixture(rng):
    sigma, data, noise = Fraction(rng.randint(1, 9), 10), rng.randint(-4, 4), rng.randint(-4, 4)
    value = (1 - sigma) * data + sigma * noise
    steps = [f"{float(1 - sigma):g} × {data} + {float(sigma):g} × {noise} = {float(value):g}"]
    text = f"A latent is {data}, its noise {noise}. What is the mixture at noise level {float(sigma):g}?"
    return dict(sigma=sigma, data=data, noise=noise), text, value, "", steps, "A straight line from data to noise."


@family(
    "denoising",
    2,
    "x + σ v",
    "the signs: v points from data to noise, so the way back to the data is minus",
    cell="01:factory-24",
    hint="x = data + σ v",
)
def data_estimate(rng):
    sigma, data, noise = Fraction(rng.randint(1, 9), 10), rng.randint(-4, 4), rng.randint(-4, 4)
    x, v = (1 - sigma) * data + sigma * noise, noise - data
    steps = [f"{float(x):g} − {float(sigma):g} × {v} = {data}"]
    text = (
        f"At noise level {float(sigma):g} the mixture is {float(x):g} and the predicted velocity {v}. Which data does"
        " that mean?"
    )
    why = "data = x − σ · velocity: at every step one can look at what the denoiser believes."
    return dict(sigma=sigma, x=x, velocity=v), text, Fraction(data), "", steps, why


@family(
    "denoising",
    2,
    "x plus the step's length times v",
    "steps go down in σ: the difference is negative",
    cell="01:factory-11",
    hint="x + (next σ − σ) · v",
)
def euler_step(rng):
    now, x, v = Fraction(rng.randint(4, 10), 10), Fraction(rng.randint(-30, 30), 10), rng.randint(-3, 3)
    then = now - Fraction(rng.randint(1, 3), 10)
    value = x + (then - now) * v
    steps = [
        f"step: {float(then):g} − {float(now):g} = {float(then - now):g}",
        f"{float(x):g} + {float(then - now):g} × {v}",
    ]
    text = (
        f"One Euler step from noise level {float(now):g} to {float(then):g}: x is {float(x):g}, the velocity {v}. What"
        " is x then?"
    )
    why = "The step is a difference of noise levels, and it is negative on the way to the data."
    return dict(now=now, then=then, x=x, velocity=v), text, value, "", steps, why


@family(
    "denoising",
    3,
    "the noise level times the shift, cut off at 1",
    "a shift sounds like a product; it must keep 0 and 1 in place",
    hint="s σ / (1 + (s − 1) σ)",
)
def shifted_level(rng):
    sigma, shift = Fraction(rng.choice((1, 2, 3, 5, 6, 8)), 10), rng.choice((2, 3, 4, 5, 7))
    value = shift * sigma / (1 + (shift - 1) * sigma)
    steps = [f"{shift} × {float(sigma):g} / (1 + {shift - 1} × {float(sigma):g}) = {float(value):.4f}"]
    text = f"Noise level {float(sigma):g} under a timestep shift of {shift}: where does it go? (Three digits will do.)"
    why = "Video latents are redundant: much can be read off very noisy ones, so the levels are moved towards noise."
    return dict(sigma=sigma, shift=shift), text, value, "", steps, why


@family(
    "denoising",
    2,
    "two calls for every step",
    "Heun looks twice; but its last step, to level 0, stays an Euler step",
    hint="The step to σ = 0 is an Euler step.",
)
def heun_calls(rng):
    count = rng.randint(4, 50)
    value = 2 * count - 1
    steps = [f"{count - 1} steps of two calls, and one of one: {value}"]
    text = f"The Heun sampler, {count} steps, no guidance. How many times does it call the denoiser?"
    return (
        dict(steps=count),
        text,
        value,
        "calls",
        steps,
        "No network is trained at noise level 0, so nothing is asked there.",
    )


def _hotel(rng):
    return TokenGrid(rng.choice((4, 8, 16, 24, 64)), *[rng.choice((8, 16, 32, 64))] * 2)


def _described(grid):
    return f"{grid.frames} latent frames of {grid.height} × {grid.width} tokens"


@family(
    "attention",
    1,
    "frames × places, without a square",
    "one counts tokens instead of pairs",
    cell="07:attention-05",
    hint="(T · HW)²",
)
def full_scores(rng):
    grid = _hotel(rng)
    value = pairs("full", grid)
    steps = [f"tokens: {times(grid.frames, grid.places)} = {grid.tokens:,}", f"squared: {value:,}"]
    text = f"{_described(grid)}, full attention. How many scores does one head of one layer compute?"
    return _given(grid), text, value, "scores", steps, "Every token looks at every token."


def _given(grid, **more):
    return dict(frames=grid.frames, height=grid.height, width=grid.width, **more)


@family(
    "attention",
    1,
    "(HW)², the frames forgotten",
    "within a frame it is HW²; but there are T frames",
    cell="07:attention-05",
    hint="T · HW²",
)
def spatial_scores(rng):
    grid = _hotel(rng)
    value = pairs("spatial", grid)
    steps = [f"a frame: {grid.places:,}² = {grid.places**2:,}", f"× {grid.frames} frames = {value:,}"]
    text = f"{_described(grid)}, spatial attention. How many scores does one head of one layer compute?"
    return _given(grid), text, value, "scores", steps, "Every frame looks at itself only."


@family(
    "attention",
    2,
    "one place's scores, T²",
    "the chapter's 4,096 is for one place and one head: there are places and heads",
    cell="03:latents-09",
    hint="heads × HW × T²",
)
def temporal_scores(rng):
    grid, heads = _hotel(rng), rng.choice((4, 8, 12, 16))
    value = heads * pairs("temporal", grid)
    one = grid.frames**2
    steps = [
        f"a place, a head: {grid.frames}² = {one:,}",
        f"{heads} heads: {heads * one:,}",
        f"{grid.places:,} places: {value:,}",
    ]
    text = (
        f"{_described(grid)}, temporal attention with {heads} heads. How many scores does one layer compute, heads"
        " included?"
    )
    why = "A place looks along time only, so the square is on the frames and everything else is a factor."
    return _given(grid, heads=heads), text, value, "scores", steps, why


@family(
    "attention",
    2,
    "the layer's figure",
    "the loop is forgotten: every step pays again",
    cell="03:latents-09",
    hint="Layer, times layers, times steps, times passes.",
)
def scores_of_the_loop(rng):
    grid, heads = _hotel(rng), rng.choice((4, 8))
    layers, steps_, passes = rng.choice((2, 3, 4)), rng.choice((10, 20, 30)), rng.choice((1, 2))
    layer = heads * pairs("temporal", grid)
    value = layer * layers * steps_ * passes
    steps = [f"a layer: {layer:,}", f"× {layers} layers × {steps_} steps × {passes} passes = {value:,}"]
    text = (
        f"{_described(grid)}. A model with {layers} temporal layers of {heads} heads takes {steps_} steps "
        f"{'with' if passes == 2 else 'without'} classifier-free guidance. How many temporal scores is the whole clip?"
    )
    given = _given(grid, heads=heads, layers=layers, steps=steps_, passes=passes)
    return given, text, value, "scores", steps, "The chapter's 134,217,728 becomes 4,026,531,840 in thirty steps."


@family(
    "attention",
    3,
    "about a thousand, HW times",
    "one compares full attention with the temporal layer alone and forgets the spatial one",
    cell="07:attention-09",
    hint="T · HW / (T + HW)",
)
def factorised_saving(rng):
    grid = TokenGrid(rng.choice((4, 8, 16, 21, 33)), *[rng.choice((8, 16, 32, 45))] * 2)
    value = saving(grid)
    steps = [f"{times(grid.frames, grid.places)} / ({grid.frames} + {grid.places:,}) = {float(value):.2f}"]
    text = (
        f"{_described(grid)}. How many times fewer scores does factorised attention (a spatial and a temporal layer) "
        "compute than one full layer? (Two digits behind the point.)"
    )
    why = "It can never be more than T: the spatial half alone costs a T-th of full attention."
    return _given(grid), text, value, "times", steps, why


@family(
    "attention",
    3,
    "T × (2w + 1)",
    "that counts neighbors which the first and the last frames do not have",
    cell="07:attention-32",
    hint="T(2w + 1) − w(w + 1)",
)
def window_pairs(rng):
    count, window = rng.randint(6, 40), rng.randint(1, 4)
    value = frame_pairs(count, window)
    steps = [
        f"{count} × {2 * window + 1} = {count * (2 * window + 1)}",
        f"minus what sticks out at the ends: {window} × {window + 1} = {window * (window + 1)}",
        f"{value}",
    ]
    text = (
        f"{count} frames, each looks at frames at most {window} away, itself included. How many ordered pairs of frames"
        " are that?"
    )
    return dict(frames=count, window=window), text, value, "pairs", steps, "A window turns the square of T into a line."


@family(
    "attention",
    2,
    "half of it",
    "a multiplication and an addition are two operations; and there are two products, Q Kᵀ and scores · V",
    hint="4 · width · queries · keys",
)
def attention_flops(rng):
    tokens, width = rng.choice((64, 80, 256, 1024, 4096)), rng.choice((128, 192, 512, 1024))
    value = attention_cost(tokens, tokens, width).flops
    steps = [f"Q Kᵀ: 2 × {tokens:,}² × {width} = {value // 2:,}", f"scores · V: the same; together {value:,}"]
    text = (
        f"Self-attention over {tokens:,} tokens, {width} channels over all heads. How many FLOPs are its two products?"
    )
    return dict(tokens=tokens, width=width), text, value, "FLOPs", steps, "2 FLOPs per multiply-add, two products."
