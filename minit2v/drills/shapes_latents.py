"""What shape is it now? Lessons 01 to 06: frames, latents, text, noise levels."""

from __future__ import annotations

from minit2v.drills.shapes import family, heard, on_meta, told, video_vae


@family(
    "factory",
    1,
    "height and width before the frames, or channels first",
    "pictures come as (height, width, 3); a clip puts its frames in front",
    cell="01:factory-13",
)
def frames_outside(rng):
    from minit2v.world.captions import Meaning
    from minit2v.world.render import render
    from minit2v.world.scenes import NANO, STANDARD, scene

    world = rng.choice((NANO, STANDARD))
    shape = render(scene(Meaning("box", ("left",), color="blue", background="checkered"), 0, world)).shape
    text = (
        f"A clip outside the models, as numpy holds it: {world.frames} frames, {world.height} px high, {world.width} px"
        " wide, RGB. Its shape?"
    )
    return dict(world=world.name), text, shape, "frames, height, width, colors", "Outside the models color comes last."


@family("factory", 1)
def pixels_inside(rng):
    import numpy as np

    from minit2v.vae import to_pixels

    batch, frames, side = rng.randint(1, 4), rng.choice((5, 9, 17)), rng.choice((32, 64))
    shape = to_pixels(np.zeros((batch, frames, side, side, 3), np.uint8)).shape
    text = f"{batch} clips of {frames} frames, {side} × {side}, go through `to_pixels`. What shape do the models see?"
    why = "Inside the models it is (b, t, c, h, w), floats from −1 to 1."
    return dict(batch=batch, frames=frames, side=side), text, shape, "batch, frames, channels, height, width", why


@family("vae", 1, "frames / 4, rounded", "the first frame is not part of a group", cell="01:factory-16")
def encoded(rng):
    with on_meta() as torch:
        vae, config = video_vae(rng)
        batch, groups = rng.randint(1, 3), rng.randint(1, 6)
        height, width = (8 * rng.randint(4, 12) for _ in range(2))
        shape = vae.encode(torch.empty(batch, 4 * groups + 1, 3, height, width)).shape
    text = (
        f"The causal video VAE (4 × 8 × 8, {config.channels} channels) encodes {batch} clips of {4 * groups + 1}"
        f" frames, {height} × {width}. Shape of the latents?"
    )
    given = dict(batch=batch, frames=4 * groups + 1, height=height, width=width, channels=config.channels)
    return (
        given,
        text,
        shape,
        "batch, latent frames, channels, height, width",
        "4n + 1 frames in, n + 1 latent frames out.",
    )


@family("vae", 2, "4 frames for every latent frame", "the first latent frame gives one frame only")
def decoded(rng):
    with on_meta() as torch:
        vae, config = video_vae(rng)
        batch, latent, height, width = rng.randint(1, 3), rng.randint(2, 8), rng.randint(3, 12), rng.randint(3, 12)
        shape = vae.decode(torch.empty(batch, latent, config.channels, height, width)).shape
    text = (
        f"The same VAE (4 × 8 × 8) decodes latents of shape ({batch}, {latent}, {config.channels}, {height}, {width}). "
        "Shape of the pixels?"
    )
    given = dict(batch=batch, latent=latent, height=height, width=width)
    return given, text, shape, "batch, frames, channels, height, width", "t = 4 (f − 1) + 1, and color is back at 3."


@family("vae", 3, "the clip's own frame count", "one forgets that the first frame is repeated to fill its group")
def grouped(rng):
    with on_meta() as torch:
        vae, _ = video_vae(rng)
        groups, side = rng.randint(1, 5), 8 * rng.randint(4, 8)
        frames = 4 * groups + 1
        shape = heard(vae.encoder, lambda: vae.encode(torch.empty(1, frames, 3, side, side)), "input")
    text = (
        f"One clip of {frames} frames, {side} × {side}. Before the causal video VAE's encoder, the frames are put into"
        " groups of four, the first frame repeated to fill its own. What shape does the encoder get?"
    )
    why = "So that a picture is a clip of one frame, and every group is four frames."
    return dict(frames=frames, side=side), text, shape, "batch, groups, frames of a group, channels, height, width", why


@family("vae", 3, "the latents' channels", "the encoder says two numbers for each value: where, and how sure")
def posterior(rng):
    with on_meta() as torch:
        vae, config = video_vae(rng)
        side = 8 * rng.randint(4, 8)
        shape = heard(vae.encoder, lambda: vae.encode(torch.empty(1, 9, 3, side, side)))
    text = (
        f"The VAE has {config.channels} latent channels. A clip of 9 frames of {side} × {side} goes in. What comes"
        " straight out of its encoder, which works channels-last, before mean and log-variance are taken apart?"
    )
    given = dict(side=side, channels=config.channels)
    return (
        given,
        text,
        shape,
        "batch, latent frames, height, width, twice the channels",
        "Mean and log-variance lie side by side.",
    )


@family(
    "text",
    1,
    "one vector per prompt",
    "the pooled vector is that; beside it every word keeps its own",
    cell="01:factory-18",
)
def text_tokens(rng):
    from minit2v.text import TextConfig, TextEncoder

    with on_meta() as torch:
        batch, words, dim = rng.randint(1, 4), rng.randint(5, 20), rng.choice((96, 128, 192))
        encoder = TextEncoder(TextConfig(100, dim, layers=1, heads=4))
        ids, mask = torch.zeros(batch, words, dtype=torch.long), torch.ones(batch, words, dtype=torch.bool)
        pooled = rng.random() < 0.3
        features = encoder(ids, mask)
        shape = features.pooled.shape if pooled else features.tokens.shape
    text = (
        f"A text encoder of width {dim} reads {batch} prompts, padded to {words} tokens. Shape of its "
        f"{'pooled vectors' if pooled else 'text tokens'}?"
    )
    axes = "batch, width" if pooled else "batch, tokens, width"
    given = dict(batch=batch, words=words, dim=dim, pooled=pooled)
    return given, text, shape, axes, "Tokens for cross-attention, one pooled vector for the modulation."


@family(
    "text",
    2,
    "the same batch",
    "guidance looks like a formula on one answer; it needs two, and they are made in one pass",
)
def guided_batch(rng):
    from minit2v.diffusion import guided

    with on_meta() as torch:
        b, f, c, side = rng.randint(1, 4), rng.randint(2, 6), rng.choice((4, 16, 24)), rng.choice((4, 8))
        seen = []

        def denoiser(x, sigma, text, condition=None):
            seen.append(tuple(x.shape))
            return x

        run = guided(denoiser, told(torch, b, 9, 32), told(torch, b, 1, 32), scale=3.0)
        run(torch.empty(b, f, c, side, side), torch.empty(b, f))
    text = (
        f"Latents of shape ({b}, {f}, {c}, {side}, {side}) are sampled with guidance scale 3. What shape of latents"
        " does the denoiser get at each step?"
    )
    why = "With and without the prompt go through in one batch: half each."
    return dict(b=b, f=f, c=c, side=side), text, seen[0], "twice the batch, latent frames, channels, height, width", why


@family(
    "denoising",
    2,
    "(batch,)",
    "one noise level per clip is what image models have; here every latent frame has its own",
)
def noise_levels(rng):
    from minit2v.diffusion import FlowMatching

    with on_meta():
        b, f = rng.randint(2, 8), rng.randint(2, 9)
        given = dict(b=b, f=f)
    sigma = FlowMatching().sample_sigma(b, f)
    text = (
        f"{b} clips of {f} latent frames each are trained on. What shape have the noise levels that the denoiser is"
        " told?"
    )
    why = "One per latent frame: text-to-video, image-to-video and extension are one code path."
    return given, text, sigma.shape, "batch, latent frames", why


@family("denoising", 1, "as many levels as steps", "steps lie between levels: fence posts")
def schedule(rng):
    from minit2v.diffusion import sigmas

    count = rng.randint(4, 50)
    text = f"`sigmas({count})`: the noise levels of a sampler with {count} steps. What shape?"
    return dict(steps=count), text, sigmas(count).shape, "levels", "n steps need n + 1 levels, from 1 down to 0."


@family(
    "denoising",
    2,
    "(b, f), left to broadcasting",
    "broadcasting lines up the last axes, and would multiply height and width",
)
def levels_on_frames(rng):
    from minit2v.diffusion import on_frames

    with on_meta() as torch:
        b, f = rng.randint(1, 6), rng.randint(2, 9)
        shape = on_frames(torch.empty(b, f)).shape
    text = (
        f"Noise levels of shape ({b}, {f}) are to multiply latents (b, f, c, h, w). What shape does `on_frames` give"
        " them?"
    )
    return (
        dict(b=b, f=f),
        text,
        shape,
        "batch, latent frames, 1, 1, 1",
        "Three axes of size 1, so that each frame has one number.",
    )
