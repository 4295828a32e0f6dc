"""The answer: one line per figure, with its formula and the numbers in it, from the clip to the money."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction

from minit2v.arithmetic import (
    ClipShape,
    Cost,
    LatentShape,
    Scores,
    TokenGrid,
    compression,
    device,
    frame_pairs,
    memory,
    models,
    saving,
)  # fmt: skip
from minit2v.arithmetic.device import Device, Serving
from minit2v.cost.setup import Setup
from minit2v.cost.words import brief, human, times


@dataclass(frozen=True)
class Line:
    """One figure. `path` is its place in the JSON, such as "scores.temporal.layer"."""

    path: str
    label: str
    value: object  # int, Fraction, or words
    unit: str = ""  # "", "FLOP", "bytes", "s" or "$"
    how: str = ""  # the formula, with its numbers

    @property
    def section(self) -> str:
        """The first part of the path."""
        return self.path.partition(".")[0]


def lines(setup: Setup) -> list[Line]:
    """Everything that follows from a setup. FLOPs are those of one clip, whatever the batch."""
    decode = models.decoder(setup.autoencoder, setup.latents) if setup.autoencoder else Cost()
    return [
        *clip_lines(setup.clip, setup.fps, setup.latents, setup.grid, setup.patch, setup.number),
        *score_lines(setup),
        *parameter_lines(setup),
        *flop_lines(setup),
        *byte_lines(setup),
        *time_lines(denoise_cost(setup), decode, setup.device, setup.serving, setup.number),
    ]


def denoise_cost(setup: Setup) -> Cost:
    """One pass of the transformer over one clip; a window is left to a kernel that skips what it masks."""
    return models.transformer(setup.transformer, setup.latents, setup.text_tokens, skip_masked=True)


# ---- sizes and scores ------------------------------------------------------------------------------------------


def clip_lines(clip: ClipShape, fps, latents: LatentShape, grid: TokenGrid, patch, number: int) -> Iterable[Line]:
    """Pixels, latents, tokens."""
    t, h, w = clip.frames, clip.height, clip.width
    if fps is not None:
        yield Line("clip.fps", "frames a second", Fraction(fps))
        yield Line("clip.seconds", "seconds", t / Fraction(fps), "s", f"{t:,} / {brief(Fraction(fps))}")
    yield Line("clip.frames", "frames", t)
    yield Line("clip.height", "height", h)
    yield Line("clip.width", "width", w)
    yield Line("clip.values", "pixel values", clip.values, "", times(t, h, w, 3))
    f, c, y, x = latents.frames, latents.channels, latents.height, latents.width
    fewer, lighter = compression(clip, latents, number)
    yield Line("latents.frames", "latent frames", f)
    yield Line("latents.height", "height", y)
    yield Line("latents.width", "width", x)
    yield Line("latents.channels", "channels", c)
    yield Line("latents.values", "latent values", latents.values, "", times(f, y, x, c))
    yield Line("latents.bytes", "bytes", latents.values * number, "bytes", times(latents.values, number))
    yield Line("latents.fewer_values", "times fewer values", fewer, "", f"{clip.values:,} / {latents.values:,}")
    yield Line("latents.fewer_bytes", "times fewer bytes", lighter, "", "a pixel value takes 1 byte")
    sizes = {"frames": (f, grid.frames), "height": (y, grid.height), "width": (x, grid.width)}
    for cut, (name, (size, count)) in zip(patch, sizes.items(), strict=True):
        rounded = "" if size == count * cut else ", rounded up"
        yield Line(f"tokens.{name}", name, count, "", f"{size:,} / {cut:,}{rounded}")
    yield Line("tokens.places", "places in a frame", grid.places, "", times(grid.height, grid.width))
    yield Line("tokens.total", "tokens", grid.tokens, "", times(grid.frames, grid.places))


def score_lines(setup: Setup) -> Iterable[Line]:
    """Attention scores of every kind, whichever the model takes."""
    grid, heads = setup.grid, setup.heads
    t, hw, near = grid.frames, grid.places, frame_pairs(grid.frames)
    yield Line("scores.place_head", "temporal, one place and head", near, "", times(t, t))
    yield Line("scores.place", "temporal, one place", heads * near, "", times(heads, near))
    kinds = {
        "temporal": f"{hw:,} × {t:,}²", "spatial": f"{t:,} × {hw:,}²", "factorised": "the two above, together",
        "full": f"{grid.tokens:,}²",
    }  # fmt: skip
    if setup.window is not None:
        kinds["windowed"] = f"{hw:,}² × {frame_pairs(t, setup.window):,} pairs of frames"
    for kind, how in kinds.items():
        window = setup.window if kind == "windowed" else None
        scores = Scores(kind, grid, heads, setup.layers, setup.steps, setup.passes, window)
        layer = "a layer of each" if kind == "factorised" else "one layer"
        step = f"layers: {setup.layers:,}{', in turn' if kind == 'factorised' else ''}; passes: {setup.passes}"
        yield Line(f"scores.{kind}.head", f"{kind}, one head", scores.head, "", how)
        yield Line(f"scores.{kind}.layer", f"{kind}, {layer}", scores.layer, "", times(heads, scores.head))
        yield Line(f"scores.{kind}.step", f"{kind}, one step", scores.step, "", step)
        yield Line(f"scores.{kind}.clip", f"{kind}, the clip", scores.clip, "", times(setup.steps, scores.step))
    ratio = f"T · HW / (T + HW) = {times(t, hw)} / {t + hw:,}"
    yield Line("scores.saving", "full / factorised", saving(grid), "", ratio)
    yield Line("scores.spatial_to_temporal", "spatial / temporal", Fraction(hw, t), "", f"HW / T = {hw:,} / {t:,}")


# ---- FLOPs and bytes -------------------------------------------------------------------------------------------


def parameter_lines(setup: Setup) -> Iterable[Line]:
    """Of the denoiser, and of an autoencoder like the project's."""
    yield Line("parameters.denoiser", "denoiser", denoise_cost(setup).parameters)
    if setup.autoencoder:
        both = [part(setup.autoencoder, setup.latents).parameters for part in (models.encoder, models.decoder)]
        yield Line("parameters.vae", "VAE", sum(both), "", "one as wide as the project's")


def flop_lines(setup: Setup) -> Iterable[Line]:
    """FLOPs of one clip."""
    cost, config, runs = denoise_cost(setup), setup.transformer, setup.steps * setup.passes
    yield from forward_lines(cost, setup.steps, setup.passes)
    training = device.training_flops(cost.flops)
    yield Line("flops.training", "a training step, one clip", training, "FLOP", "3 passes: going back is two")
    cached = device.text_cache(config.layers, setup.text_tokens, config.text_dim, config.dim, runs)
    yield Line("flops.text_cache", "saved by caching the text", cached, "FLOP", "its keys and values, made once")
    t, d = setup.grid.frames, setup.dim
    how = f"2 · dim / T = 2 × {d:,} / {t:,}"
    yield Line("flops.projections", "projections / temporal attention", Fraction(2 * d, t), "", how)
    if setup.autoencoder:
        yield Line("flops.encode", "encode the clip", models.encoder(setup.autoencoder, setup.latents).flops, "FLOP")
        yield Line("flops.decode", "decode the clip", models.decoder(setup.autoencoder, setup.latents).flops, "FLOP")


def forward_lines(cost: Cost, steps: int, passes: int) -> Iterable[Line]:
    """FLOPs of a pass by their kinds, and of a step and a clip."""
    yield Line("flops.linear", "linear layers", cost.linear, "FLOP", "2 · rows · in · out, each")
    if cost.convolution:
        yield Line("flops.convolution", "convolutions", cost.convolution, "FLOP", "2 · rows · in · out · kernel, each")
    yield Line("flops.attention", "attention", cost.attention, "FLOP", "4 · dim · scores of a head, each")
    yield Line("flops.forward", "one pass, all together", cost.flops, "FLOP")
    share = Fraction(cost.attention, cost.flops)
    yield Line("flops.attention_share", "share of attention", share, "", "not counting its projections")
    guided = "with guidance" if passes > 1 else "without guidance"
    yield Line("flops.step", "one step", passes * cost.flops, "FLOP", f"passes: {passes}, {guided}")
    yield Line("flops.clip", "the clip", steps * passes * cost.flops, "FLOP", f"steps: {steps:,}")


def byte_lines(setup: Setup) -> Iterable[Line]:
    """Weights, the peak of every stage, training. A window's mask is not counted, as with a kernel that needs none."""
    latents, batch, number = setup.latents, setup.batch, setup.number
    weights, config = denoise_cost(setup).parameters, replace(setup.transformer, window=None)
    peak = memory.transformer_peak(config, latents, setup.text_tokens, batch * setup.passes)
    yield Line("bytes.weights", "denoiser's weights", weights * number, "bytes", times(weights, number))
    yield Line("bytes.denoise", "peak, denoising", peak.numbers * number, "bytes", f"weights too; in {peak.when}")
    yield Line("bytes.activations", "peak, without the weights", peak.activations * number, "bytes")
    if setup.autoencoder:
        for name, stage in (("encode", memory.encoder_peak), ("decode", memory.decoder_peak)):
            peak = stage(setup.autoencoder, latents, batch)
            yield Line(f"bytes.{name}", f"peak, {name[:-1]}ing", peak.numbers * number, "bytes", f"in {peak.when}")
    how = "layers · tokens · dim · (24 + 2 · MLP ratio)"
    kept, less = (number * memory.kept(config, latents, batch, checkpointing) for checkpointing in (False, True))
    yield Line("bytes.kept", "kept for going back", kept, "bytes", how)
    yield Line("bytes.kept_checkpointing", "kept, with checkpointing", less, "bytes", "a layer's input each")
    states = memory.training_bytes(weights, number=number)
    each = " + ".join(str(size // weights) for size in states.values() if size)
    held = f"{each} a parameter: {', '.join(name for name, size in states.items() if size)}"
    yield Line("bytes.training", "weights in training", sum(states.values()), "bytes", held)
    cache = memory.kv_cache(setup.layers, setup.grid.tokens, setup.dim, batch, number)
    yield Line("bytes.kv_cache", "keys and values of all tokens", cache, "bytes", "for models that extend a clip")


# ---- time and money --------------------------------------------------------------------------------------------


def time_lines(denoise: Cost, decode: Cost, on: Device, how: Serving, number: int) -> Iterable[Line]:
    """Seconds, clips per hour and money. denoise, decode: of one clip; decode may be nothing."""
    forward = device.roofline(device.batched(denoise, how.batch * how.passes), on, number)
    served = device.serve(denoise, decode, on, how, number)
    reach = f"{forward.bound}-bound, at {float(on.utilization):.0%} of {human(on.flops, 'FLOP')}/s"
    yield Line("time.device", "device", on.name)
    yield Line("time.devices", "devices", how.devices)
    yield Line("time.batch", "clips at once", how.batch)
    yield Line("time.step", "one step", forward.seconds / how.devices, "s", reach)
    done = "decoding included" if decode.flops else "without decoding"
    yield Line("time.latency", "until the clips are done", served.latency, "s", done)
    yield Line("time.clips_per_hour", "clips an hour", served.clips_per_hour)
    yield Line("time.price", "money for a clip", served.price, "$", f"at {brief(on.price)} $ an hour and device")
