"""Figures to work out, lessons 00 to 04: bytes, shares, frames, pixels and latents."""

from __future__ import annotations

from fractions import Fraction

from minit2v.arithmetic import ClipShape, TokenGrid, VAEShape, compression, memory, pairs
from minit2v.cost.words import times
from minit2v.drills.answers import spelled
from minit2v.drills.numbers import family


@family(
    "start",
    1,
    "as many megabytes as there are million parameters",
    "one forgets that a number has more than one byte",
    hint="fp16 and bf16 take 2 bytes a number, fp32 takes 4.",
)
def weight_bytes(rng):
    million, dtype = rng.choice((2, 5, 12, 40, 86, 350, 700, 1400)), rng.choice(("fp32", "bf16", "fp16", "fp8"))
    value = Fraction(million * memory.BYTES[dtype])
    steps = [
        f"{dtype}: {memory.BYTES[dtype]} bytes a number",
        f"{million} million × {memory.BYTES[dtype]} = {value} MB",
    ]
    text = f"A model has {million} million parameters, stored in {dtype}. How many megabytes (10⁶ bytes) is the file?"
    return dict(million=million, dtype=dtype), text, value, "MB", steps, "A file of weights is numbers and little else."


@family(
    "factory",
    2,
    "the number of tokens, or twice that",
    "pairs sound like twos, but every token looks at every token: it is a square",
    cell="01:factory-13",
    hint="Count the places first, then square.",
)
def pixels_as_tokens(rng):
    clip = ClipShape(rng.choice((5, 9, 17, 25)), *[rng.choice((16, 32, 64))] * 2)
    grid = TokenGrid(clip.frames, clip.height, clip.width)
    value = pairs("full", grid)
    steps = [
        f"places: {times(clip.frames, clip.height, clip.width)} = {grid.tokens:,}",
        f"{grid.tokens:,}² = {value:,}",
    ]
    text = (
        f"Somebody wants to denoise raw pixels: a clip of {clip.frames} frames of {clip.height} × {clip.width}, every"
        " pixel a token, full attention. How many scores does one head of one layer compute?"
    )
    why = "Full attention pays for pairs, so the price grows with the square. That is what latents and patches are for."
    return dict(frames=clip.frames, side=clip.height), text, value, "scores", steps, why


@family(
    "frame-tape",
    2,
    "the share of a single attribute, since all are equally good",
    "six times 98 % feels like 98 %; but they must all hold in the same clip",
    hint="Independent shares multiply.",
)
def joint_share(rng):
    share, count = rng.choice((80, 90, 92, 95, 98, 99)), rng.randint(3, 7)
    value = 100 * Fraction(share, 100) ** count
    steps = [f"{share / 100:g} to the power of {count} = {float(value) / 100:.4f}", f"{float(value):.1f} %"]
    text = (
        f"A system gets each of {count} attributes right in {share} % of its clips, independently. In how many percent"
        " of the clips are all of them right? (Give the number before the % sign.)"
    )
    why = "Attributes multiply. So a joint score looks cruel beside the single ones, and it is what a viewer sees."
    return dict(share=share, count=count), text, value, "", steps, why


@family(
    "frame-tape",
    1,
    "frames divided by the rate: a clip of 17 frames at 8 a second shows 17/8 s of motion",
    "a counter counts frames; motion happens between them",
    hint="Fence posts: n frames have n − 1 gaps.",
)
def glide_distance(rng):
    fps, seconds, speed = rng.choice((8, 12, 16, 24)), rng.choice((1, 2, 3)), rng.choice((3, 5, 7, 14))
    frames = fps * seconds + 1
    value = Fraction(speed * (frames - 1), fps)
    steps = [f"gaps: {frames} − 1 = {frames - 1}", f"{frames - 1} / {fps} a second = {seconds} s", f"× {speed} px/s"]
    text = (
        f"A ball glides at {speed} px/s. The clip has {frames} frames at {fps} fps. How far is it from first to last?"
    )
    why = "Motion lies in the gaps between frames, of which there is one fewer than there are frames."
    return dict(fps=fps, frames=frames, speed=speed), text, value, "px", steps, why


def _chapter_clip(rng):
    seconds, fps, side = rng.choice((2, 3, 4, 5, 8)), rng.choice((8, 12, 16, 24)), rng.choice((256, 384, 512, 768))
    return ClipShape.lasting(seconds, fps, side, side), seconds, fps


@family(
    "latents",
    1,
    "the frame rate alone",
    "fps sounds like a number of frames; it is one per second",
    cell="03:latents-07",
    hint="frames = seconds × fps",
)
def frames(rng):
    seconds, fps = rng.choice((2, 3, 4, 5, 6, 10)), rng.choice((8, 12, 16, 24, 25, 30))
    value = ClipShape.lasting(seconds, fps, 64, 64).frames
    text = f"A {seconds}-second clip at {fps} frames a second. How many frames must come out?"
    why = "Every further figure of a video's cost begins with this one."
    return dict(seconds=seconds, fps=fps), text, value, "frames", [f"{seconds} × {fps} = {value}"], why


@family(
    "latents",
    1,
    "the same without the 3",
    "a pixel feels like one thing; it is three numbers",
    hint="Three colors to a pixel.",
)
def pixel_values(rng):
    clip, seconds, fps = _chapter_clip(rng)
    steps = [f"{times(clip.frames, clip.height, clip.width, 3)} = {clip.values:,}"]
    text = f"{seconds} s at {fps} fps, {clip.height} × {clip.width}, RGB. How many numbers are that in pixels?"
    why = "That is the load that a denoiser on pixels would carry at every step."
    given = dict(seconds=seconds, fps=fps, side=clip.height)
    return given, text, clip.values, "numbers", steps, why


@family(
    "latents",
    2,
    "the pixels divided by the factor once",
    "“factor 8” sounds like eight times fewer; it is 8 in height and 8 in width, and the channels change too",
    cell="03:latents-09",
    hint="Divide height and width, each; then times channels.",
)
def latent_values(rng):
    clip, seconds, fps = _chapter_clip(rng)
    vae = VAEShape(1, *[rng.choice((4, 8, 16))] * 2, rng.choice((4, 8, 16)))
    latents = vae.latents(clip)
    sizes = times(latents.frames, latents.height, latents.width, latents.channels)
    steps = [
        f"frames: {seconds} × {fps} = {clip.frames}",
        f"{clip.height} / {vae.height} = {latents.height}",
        f"{sizes} = {latents.values:,}",
    ]
    text = (
        f"{seconds} s at {fps} fps, {clip.height} × {clip.width}. A VAE takes every frame alone, divides height and"
        f" width by {vae.height} and has {vae.channels} channels. How many numbers are the latents?"
    )
    given = dict(seconds=seconds, fps=fps, side=clip.height, factor=vae.height, channels=vae.channels)
    return given, text, latents.values, "numbers", steps, "This is what the denoiser's loop works on, at every step."


@family(
    "latents",
    2,
    "the square of the spatial factor",
    "8 × 8 = 64 forgets that three colors become some number of channels",
    hint="Numbers before / numbers after.",
)
def compression_ratio(rng):
    factor, channels = rng.choice((4, 8, 16, 32)), rng.choice((4, 8, 16, 24))
    clip = ClipShape(16, 256, 256)
    value, _ = compression(clip, VAEShape(1, factor, factor, channels).latents(clip))
    steps = [
        f"a square of {factor} × {factor} pixels: {factor * factor} × 3 = {factor * factor * 3} numbers",
        f"becomes {channels}: {factor * factor * 3} / {channels} = {spelled(value)}",
    ]
    text = (
        f"An image VAE with factor {factor} in height and width, and {channels} latent channels. How many times fewer "
        "numbers are its latents than the RGB pixels?"
    )
    given = dict(factor=factor, channels=channels)
    return given, text, value, "times fewer", steps, "Space is divided twice; channels are bought back."


@family(
    "vae",
    2,
    "frames / factor, rounded somehow",
    "it works for pictures and for patches; but a causal VAE gives the first frame a place of its own",
    hint="The first frame alone, then groups.",
)
def causal_latent_frames(rng):
    vae, groups = VAEShape(rng.choice((4, 8)), 8, 8, 16), rng.randint(2, 32)
    count = groups * vae.time + 1
    value = vae.latent_frames(count)
    steps = [f"({count} − 1) / {vae.time} + 1 = {value}"]
    text = f"A causal video VAE packs {vae.time} frames into one. How many latent frames do {count} frames become?"
    why = "The first frame stands alone, so that a picture is a clip of one frame; then come groups."
    return dict(frames=count, time=vae.time), text, value, "latent frames", steps, why


@family(
    "vae",
    2,
    "latent frames × 4",
    "decoding looks like the factor the other way round; the first frame is not a group",
    hint="The first latent frame gives one frame.",
)
def decoded_frames(rng):
    time, latent = rng.choice((4, 8)), rng.randint(3, 33)
    value = (latent - 1) * time + 1
    assert VAEShape(time).latent_frames(value) == latent
    steps = [f"1 + ({latent} − 1) × {time} = {value}"]
    text = f"A causal video VAE of temporal factor {time} decodes {latent} latent frames. How many frames come out?"
    return (
        dict(latent=latent, time=time),
        text,
        value,
        "frames",
        steps,
        "One frame from the first, a group from each other.",
    )


@family(
    "vae",
    2,
    "the next multiple of 4",
    "4 is the factor, so multiples of 4 look safe; libraries silently drop frames then",
    hint="Legal counts are 4n + 1.",
)
def frames_lost(rng):
    asked = rng.choice([n for n in range(14, 130) if n % 4 in (0, 3)])
    kept = (asked - 1) // 4 * 4 + 1
    assert VAEShape(4).latent_frames(kept)
    steps = [f"the largest 4n + 1 that is at most {asked}: {kept}", f"{asked} − {kept} = {asked - kept}"]
    text = f"A library takes {asked} frames for a 4n + 1 VAE and silently keeps the legal ones. How many frames vanish?"
    why = (
        "Users of several libraries report it: 16 in, 13 out. Here an illegal count is an error that names the legal"
        " ones."
    )
    return dict(asked=asked), text, asked - kept, "frames", steps, why
