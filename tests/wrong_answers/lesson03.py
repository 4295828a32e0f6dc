"""Answers to lesson 03, latents."""

from fractions import Fraction

import numpy as np

from minit2v.exercises.bank import right, wrong

# ---- 03.1 latent_numbers(seconds, fps, height, width, channels) -> (frames, numbers)


@right("03.1")
def plainly(seconds, fps, height, width, channels):
    frames = seconds * fps
    return frames, frames * height * width * channels


@right("03.1")
def by_a_loop(seconds, fps, height, width, channels):
    frames = 0
    for _ in range(seconds):
        frames += fps
    return [frames, sum(height * width * channels for _ in range(frames))]


@right("03.1")
def with_numpy(seconds, fps, height, width, channels):
    return seconds * fps, np.prod([seconds * fps, height, width, channels])


@wrong("03.1", "`channels` doubled")
def forgets_the_channels(seconds, fps, height, width, channels):
    return seconds * fps, seconds * fps * height * width


@wrong("03.1", "2 times too small")
def divides_by_the_vae_again(seconds, fps, height, width, channels):
    return seconds * fps, seconds * fps * height * width * channels // 2


@wrong("03.1", "number of frames")
def one_frame_more(seconds, fps, height, width, channels):
    frames = seconds * fps + 1
    return frames, frames * height * width * channels


@wrong("03.1", "`fps` doubled")
def seconds_alone(seconds, fps, height, width, channels):
    return seconds, seconds * height * width * channels


@wrong("03.1", "tuple of 2")
def numbers_alone(seconds, fps, height, width, channels):
    return seconds * fps * height * width * channels


@wrong("03.1", "`seconds` doubled")
def one_frame_only(seconds, fps, height, width, channels):
    return seconds * fps, height * width * channels


@wrong("03.1", "`height` doubled")
def squares_the_height(seconds, fps, height, width, channels):
    return seconds * fps, seconds * fps * height * height * channels


# ---- 03.2 latent_shape(frames, height, width, factor, channels)


@right("03.2")
def whole_division(frames, height, width, factor, channels):
    if height % factor or width % factor:
        raise ValueError("it does not divide")
    return frames, channels, height // factor, width // factor


@right("03.2")
def with_divmod(frames, height, width, factor, channels):
    sizes = []
    for size in (height, width):
        count, rest = divmod(size, factor)
        if rest:
            raise ValueError(f"{size} leaves {rest}")
        sizes.append(count)
    return [frames, channels, *sizes]


@wrong("03.2", "order is not")
def channels_last(frames, height, width, factor, channels):
    if height % factor or width % factor:
        raise ValueError
    return frames, height // factor, width // factor, channels


@wrong("03.2", "packs every frame alone")
def divides_time(frames, height, width, factor, channels):
    return max(1, frames // factor), channels, height // factor, width // factor


@wrong("03.2", "without a word")
def drops_what_is_left(frames, height, width, factor, channels):
    return frames, channels, height // factor, width // factor


@wrong("03.2", "whole numbers")
def divides_by_a_stroke(frames, height, width, factor, channels):
    if height % factor or width % factor:
        raise ValueError
    return frames, channels, height / factor, width / factor


@wrong("03.2", "only one")
def divides_height_alone(frames, height, width, factor, channels):
    return frames, channels, height // factor, width


@wrong("03.2", "numbers at one latent place")
def keeps_three_colors(frames, height, width, factor, channels):
    return frames, 3, height // factor, width // factor


@wrong("03.2", "ValueError is asked for")
def asserts(frames, height, width, factor, channels):
    assert height % factor == 0 and width % factor == 0
    return frames, channels, height // factor, width // factor


# ---- 03.3 times_fewer(pixels, latents, bytes_per_latent)


@right("03.3")
def with_numpy_products(pixels, latents, bytes_per_latent):
    numbers = 3 * np.prod(pixels) / np.prod(latents)
    return numbers, numbers / bytes_per_latent


@right("03.3")
def with_fractions(pixels, latents, bytes_per_latent):
    (t, height, width), (f, c, h, w) = pixels, latents
    return (Fraction(t * height * width * 3, f * c * h * w),
            Fraction(t * height * width * 3, f * c * h * w * bytes_per_latent))  # fmt: skip


@wrong("03.3", "*places*")
def counts_places(pixels, latents, bytes_per_latent):
    (t, height, width), (f, _, h, w) = pixels, latents
    return t * height * width / (f * h * w), t * height * width / (f * h * w) / bytes_per_latent


@wrong("03.3", "one for each color")
def forgets_the_colors(pixels, latents, bytes_per_latent):
    (t, height, width), (f, c, h, w) = pixels, latents
    numbers = t * height * width / (f * c * h * w)
    return numbers, numbers / bytes_per_latent


@wrong("03.3", "turn the fraction over")
def upside_down(pixels, latents, bytes_per_latent):
    (t, height, width), (f, c, h, w) = pixels, latents
    numbers = f * c * h * w / (t * height * width * 3)
    return numbers, numbers * bytes_per_latent


@wrong("03.3", "larger or smaller")
def multiplies_the_bytes(pixels, latents, bytes_per_latent):
    (t, height, width), (f, c, h, w) = pixels, latents
    numbers = t * height * width * 3 / (f * c * h * w)
    return numbers, numbers * bytes_per_latent


@wrong("03.3", "as many as there are channels")
def forgets_the_channels_too(pixels, latents, bytes_per_latent):
    (t, height, width), (f, _, h, w) = pixels, latents
    numbers = t * height * width * 3 / (f * h * w)
    return numbers, numbers / bytes_per_latent


@wrong("03.3", "taken as fixed")
def fixes_time(pixels, latents, bytes_per_latent):
    (_, height, width), (_, c, h, w) = pixels, latents
    numbers = height * width * 3 / (c * h * w)
    return numbers, numbers / bytes_per_latent


@wrong("03.3", "taken as fixed")
def always_two_bytes(pixels, latents, bytes_per_latent):
    (t, height, width), (f, c, h, w) = pixels, latents
    numbers = t * height * width * 3 / (f * c * h * w)
    return numbers, numbers / 2


# ---- 03.4 temporal_scores(frames, height, width, heads, steps)


@right("03.4")
def as_in_the_chapter(frames, height, width, heads, steps):
    one_place = frames * frames
    return one_place * heads * (height * width) * steps


@right("03.4")
def counted_one_by_one(frames, height, width, heads, steps):
    return sum(frames for _ in range(frames)) * height * width * heads * steps


@wrong("03.4", "each of the frames looks at all")
def forgets_the_square(frames, height, width, heads, steps):
    return frames * height * width * heads * steps


@wrong("03.4", "a place looks at itself only")
def full_attention(frames, height, width, heads, steps):
    return (frames * height * width) ** 2 * heads * steps


@wrong("03.4", "`steps` doubled")
def forgets_the_steps(frames, height, width, heads, steps):
    return frames**2 * height * width * heads


@wrong("03.4", "`heads` doubled")
def divides_by_heads(frames, height, width, heads, steps):
    return frames**2 * height * width // heads * steps


@wrong("03.4", "`frames` doubled")
def spatial_instead(frames, height, width, heads, steps):
    return frames * (height * width) ** 2 * heads * steps


@wrong("03.4", "each pair of moments once")
def counts_pairs_once(frames, height, width, heads, steps):
    return frames * (frames + 1) // 2 * height * width * heads * steps


@wrong("03.4", "2 times too large")
def doubles_for_guidance(frames, height, width, heads, steps):
    return 2 * frames**2 * height * width * heads * steps
