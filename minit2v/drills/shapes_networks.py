"""What shape is it now? Lessons 07 to 13: attention, transformer, U-Net, pictures, windows."""

from __future__ import annotations

from minit2v.drills.shapes import family, heard, on_meta, overheard, told, video_vae


@family(
    "attention",
    2,
    "the whole clip's tokens as one sequence",
    "that is full attention; a layout folds some axes into the batch",
    cell="07:attention-03",
)
def folded_queries(rng):
    import minit2v.attention as module

    layout = rng.choice(("full", "spatial", "temporal"))
    b, f, n, heads, size = rng.randint(1, 3), rng.randint(3, 9), rng.choice((16, 25, 36)), rng.choice((2, 4)), 8
    with on_meta() as torch:
        layer = module.SpacetimeAttention(heads * size, heads, layout)
        shapes = overheard(module, "attend", lambda: layer(torch.empty(b, f, n, heads * size)))
    text = (
        f"Tokens of shape ({b}, {f}, {n}, {heads * size}) (batch, frames, places, width) enter {layout} attention with"
        f" {heads} heads. What shape have the queries at softmax(Q Kᵀ / √d) V?"
    )
    axes = {"full": "b, heads, f · n, head", "spatial": "b · f, heads, n, head", "temporal": "b · n, heads, f, head"}[
        layout
    ]
    given = dict(layout=layout, b=b, f=f, n=n, heads=heads, size=size)
    return given, text, shapes[0], axes, "The equation is always the same; who sees whom is only a fold."


@family(
    "attention",
    3,
    "the queries' shape",
    "one keeps the channels; the scores have none, they are pairs of tokens",
    cell="07:attention-07",
)
def score_matrix(rng):
    import minit2v.attention as module

    b, heads, n, m, size = rng.randint(1, 3), rng.choice((2, 4, 6)), rng.randint(10, 80), rng.randint(3, 20), 16
    with on_meta() as torch:
        kept, original = [], module.einsum

        def listening(*arguments):
            kept.append(tuple(original(*arguments).shape))
            return original(*arguments)

        module.einsum = listening
        try:
            q, kv = torch.empty(b, heads, n, size), torch.empty(b, heads, m, size)
            module.naive_attention(q, kv, kv)
        finally:
            module.einsum = original
    text = (
        f"Cross-attention: queries ({b}, {heads}, {n}, {size}) of video tokens ask keys ({b}, {heads}, {m}, {size}) of"
        " words. What shape have the scores?"
    )
    given = dict(b=b, heads=heads, n=n, m=m)
    return given, text, kept[0], "batch, heads, queries, keys", "One number for each query and key, in each head."


def _transformer(rng):
    from minit2v.dit import DiT, DiTConfig

    patch = rng.choice(((1, 2, 2), (1, 1, 1), (2, 2, 2)))
    config = DiTConfig(channels=rng.choice((8, 16, 24)), patch=patch, dim=48, layers=1, heads=4, text_dim=32)
    sizes = dict(f=patch[0] * rng.randint(2, 4), h=patch[1] * rng.randint(2, 6), w=patch[2] * rng.randint(2, 6))
    return DiT(config), config, sizes


def _asked(rng, listen):
    """Runs a transformer on random sizes; listen(model, run) -> shape."""
    with on_meta() as torch:
        model, config, size = _transformer(rng)
        b = rng.randint(1, 3)
        latents = torch.empty(b, size["f"], config.channels, size["h"], size["w"])
        words = told(torch, b, 7, config.text_dim)
        shape = listen(model, lambda: model(latents, torch.empty(b, size["f"]), words))
    given = dict(b=b, c=config.channels, patch=config.patch, dim=config.dim, **size)
    return given, tuple(latents.shape), shape


@family(
    "transformer",
    2,
    "the latents' shape, cut up",
    "patchify sounds like cutting; it also lays each cube's numbers side by side",
    cell="01:factory-27",
)
def cubes(rng):
    given, latents, shape = _asked(rng, lambda model, run: heard(model.embed, run, "input"))
    text = (
        f"Latents of shape {latents} are patchified with patch {given['patch']}. What shape enters the first linear"
        " layer?"
    )
    return (
        given,
        text,
        shape,
        "batch, token frames, places, channels × patch",
        "Cubes of latents become tokens' numbers.",
    )


@family(
    "transformer",
    2,
    "a single sequence (b, tokens, width)",
    "textbooks flatten at once; here frames stay an axis, so that layouts are a fold",
)
def tokens_in_blocks(rng):
    given, latents, shape = _asked(rng, lambda model, run: heard(model.blocks[0], run, "input"))
    text = (
        f"A transformer of width {given['dim']}, patch {given['patch']}, gets latents {latents}. What shape do its"
        " blocks work on?"
    )
    return (
        given,
        text,
        shape,
        "batch, token frames, places, width",
        "Flattening waits until the attention knows who sees whom.",
    )


@family(
    "transformer",
    3,
    "(b, 6 · width)",
    "DiT has one noise level per picture; here each frame has its own, so each its own modulation",
)
def modulation(rng):
    given, latents, shape = _asked(rng, lambda model, run: heard(model.modulation.shared, run))
    text = (
        f"The same kind of transformer, width {given['dim']}, patch {given['patch']}, latents {latents}. What shape has"
        " the output of the shared modulation layer, before it is split into shifts, scales and gates?"
    )
    return (
        given,
        text,
        shape,
        "batch, token frames, 6 × width",
        "Shift, scale and gate, for attention and MLP: six, per frame.",
    )


@family(
    "transformer",
    1,
    "tokens",
    "the head ends on tokens; but the answer is a velocity, one number per latent",
    cell="01:factory-27",
)
def velocity(rng):
    given, latents, shape = _asked(rng, lambda model, run: tuple(run().shape))
    text = f"A transformer with patch {given['patch']} gets noisy latents of shape {latents}. What shape is its answer?"
    return (
        given,
        text,
        shape,
        "batch, latent frames, channels, height, width",
        "A velocity for every number of the latents.",
    )


def _unet(rng, **more):
    from minit2v.unet import UNet, UNetConfig

    config = UNetConfig(
        channels=4, widths=rng.choice(((16, 24), (32, 48))), blocks=(1, 1), heads=2, text_dim=16, embedding=16, **more
    )
    return UNet(config), config


def _run_unet(rng, listen, **more):
    with on_meta() as torch:
        model, config = _unet(rng, temporal=(1, 1), **more)
        b, f, side = rng.randint(1, 2), rng.randint(3, 9), 2 * rng.randint(2, 6)
        latents, condition = torch.empty(b, f, 4, side, side), None
        if config.conditioned:
            condition = torch.empty(b, f, 5, side, side)
        shape = listen(model, lambda: model(latents, torch.empty(b, f), told(torch, b, 5, 16), condition))
    return dict(b=b, f=f, side=side, widths=config.widths), tuple(latents.shape), shape


@family("unet", 2, "half of the channels", "space halves in a U-Net; channels grow, and the frames stay all along")
def at_the_bottom(rng):
    given, latents, shape = _run_unet(rng, lambda model, run: heard(model.middle[0], run, "input"))
    text = (
        f"A U-Net with widths {given['widths']} gets latents of shape {latents}. It works channels-last, (b, f, h, w,"
        " c). What shape enters the middle, one scale down?"
    )
    return (
        given,
        text,
        shape,
        "batch, frames, height / 2, width / 2, channels",
        "Small and wide: few places, many channels.",
    )


@family(
    "unet",
    3,
    "(b · f, c, h, w)",
    "that is the spatial convolution, which sees f pictures; the temporal one sees time as an axis of a picture",
)
def temporal_picture(rng):
    from torch import nn

    def listen(model, run):
        convolution = model.down[0][0].temporal[0].conv_in
        kept, original = [], nn.Conv2d.forward

        def listening(self, x):
            if self is convolution:
                kept.append(tuple(x.shape))
            return original(self, x)

        nn.Conv2d.forward = listening
        try:
            run()
        finally:
            nn.Conv2d.forward = original
        return kept[0]

    given, latents, shape = _run_unet(rng, listen)
    text = (
        "A temporal convolution is written as a 2D one with kernel (3, 1). At the finest scale (width"
        f" {given['widths'][0]}) of a U-Net on latents {latents}: what shape is the picture that it is given?"
    )
    return (
        given,
        text,
        shape,
        "batch, channels, frames, height × width",
        "Rows are frames, columns are places; the kernel is one place wide.",
    )


@family("unet", 2, "the spatial layer's own width", "the skip comes beside it, by concatenation")
def merged(rng):
    given, latents, shape = _run_unet(rng, lambda model, run: heard(model.up[0][0].merge, run, "input"))
    text = (
        f"On the way up, a U-Net with widths {given['widths']} on latents {latents} merges the skip. What shape"
        " (channels last) enters the merging layer?"
    )
    return (
        given,
        text,
        shape,
        "batch, frames, height, width, 2 × width",
        "What comes from below, and the skip, side by side.",
    )


@family(
    "image-to-video",
    2,
    "the shape of the source, one frame",
    "the source is one picture; it is repeated on every frame, with a mask channel",
)
def condition(rng):
    from minit2v.unet import repeat_source

    with on_meta() as torch:
        b, f, c, side = rng.randint(1, 3), rng.randint(5, 17), rng.choice((4, 8)), rng.choice((8, 16))
        shape = repeat_source(torch.empty(b, c, side, side), f).shape
    text = (
        f"A U-Net is to animate a picture whose latents are ({b}, {c}, {side}, {side}), over {f} frames. What shape is"
        " the condition?"
    )
    why = "Repeated on all frames, and one channel that says which frame shows it (Stable Video Diffusion)."
    return dict(b=b, f=f, c=c, side=side), text, shape, "batch, frames, channels + 1, height, width", why


@family("image-to-video", 1, "(b, frames)", "the mask counts latent frames, not pixel frames")
def known_mask(rng):
    groups = rng.randint(2, 8)
    with on_meta() as torch:
        vae, _ = video_vae(rng)
        latents = vae.encode(torch.empty(2, 4 * groups + 1, 3, 32, 32))
        shape = torch.zeros(latents.shape[:2], dtype=torch.bool).shape
    text = (
        f"Two clips of {4 * groups + 1} frames are to begin with a given picture; the sampler is told by a mask which"
        " latent frames are known. What shape is the mask (4n + 1 VAE)?"
    )
    return (
        dict(frames=4 * groups + 1),
        text,
        shape,
        "batch, latent frames",
        "Known or not is a property of a latent frame.",
    )


@family("long-clips", 3, "the whole clip's latents", "the denoiser never sees more than a window")
def window_latents(rng):
    from minit2v.request import Sliding, cut_into_windows
    from minit2v.world.scenes import STANDARD

    context, more = rng.choice((5, 9)), rng.randint(2, 5)
    frames = STANDARD.frames + more * (STANDARD.frames - context)
    windows = cut_into_windows(frames, STANDARD, Sliding(context))
    last = windows[-1]
    with on_meta() as torch:
        vae, config = video_vae(rng)
        shape = vae.encode(torch.empty(1, last.frames, 3, STANDARD.height, STANDARD.width)).shape
    text = (
        f"{frames} frames of 64 × 64 are made in windows of {STANDARD.frames} with {context} frames of context. The VAE"
        f" is 4 × 8 × 8 with {config.channels} channels. What shape are the latents that the denoiser gets in the last"
        " window, context included, batch 1?"
    )
    given = dict(frames=frames, context=context, window=last.frames, channels=config.channels)
    return given, text, shape, "batch, latent frames, channels, height, width", "Memory does not grow with the clip."
