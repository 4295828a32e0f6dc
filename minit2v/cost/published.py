"""The lines of published models: their own sizes and defaults, other clips and samplings on request."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from minit2v.arithmetic import ClipShape, Cost
from minit2v.arithmetic.checks import positive, whole
from minit2v.arithmetic.device import DEVICES, Device, Serving
from minit2v.arithmetic.memory import BYTES
from minit2v.cost.lines import Line, clip_lines, forward_lines, time_lines
from minit2v.cost.setup import known
from minit2v.cost.words import human, times
from minit2v.errors import UserError

CHANGES = ("seconds", "fps", "frames", "height", "width", "steps", "guidance", "batch", "dtype", "device", "devices")


def model_lines(name: str, given: dict) -> list[Line]:
    """The lines of the model of that name; `given` holds fields of `Setup` that are to differ from its defaults.

    Raises `UserError` for an unknown model, and for fields that are the model's own, such as its layers.
    """
    from minit2v.open_models import figures, find, forward

    model = changed(find(name), given)
    dtype, on = given.get("dtype", "bf16"), given.get("device", DEVICES["h100"])
    known("dtype", dtype, BYTES)
    number, made = BYTES[dtype], figures(model)
    fps = None if model.fps is None else Fraction(str(model.fps))
    how = Serving(
        model.sampling.steps, model.sampling.passes, given.get("batch", 1), devices=given.get("devices", 1)
    )
    alive = forward(model).alive * how.batch * how.passes
    said = "of all experts" if model.experts > 1 else ""
    return [
        Line("model.name", "name", model.title),
        Line("model.checked", "held against its source", "yes" if model.verified else f"no: {model.unverified}"),
        *clip_lines(model.clip, fps, model.latents, model.grid, model.patch, number),
        Line("parameters.denoiser", "denoiser", made.parameters, "", said),
        Line("parameters.active", "of them at work in a pass", made.active_parameters),
        *forward_lines(made.forward, how.steps, how.passes),
        Line("bytes.weights", "denoiser's weights", number * made.parameters, "bytes", times(made.parameters, number)),
        Line("bytes.activations", "peak, without the weights", number * alive, "bytes", "about"),
        *time_lines(made.forward, Cost(), on, how, number),
    ]


def changed(model, given: dict):
    """The model with another clip or sampling. Raises `UserError` for what does not suit it."""
    if wrong := [name for name in given if name not in CHANGES]:
        raise UserError(f"--{wrong[0].replace('_', '-')} does not go with --model: a published model has its own")
    clip, fps = model.clip, given.get("fps", model.fps)
    if "fps" in given:
        model = replace(model, fps=float(positive("fps", fps)))
    height, width = (given.get(name, getattr(clip, name)) for name in ("height", "width"))
    if "seconds" in given:
        if "frames" in given:
            raise UserError("seconds and frames are both given; give one of them")
        if fps is None:
            raise UserError(f"nothing public says how many frames a second {model.title} makes; add --fps")
        clip = ClipShape.lasting(given["seconds"], fps, height, width)
    else:
        clip = ClipShape(given.get("frames", clip.frames), height, width)
    steps, passes = whole("steps", given.get("steps", model.sampling.steps)), model.sampling.passes
    if positive("guidance", given.get("guidance", model.sampling.guidance)) == 1 and "guidance" in given:
        passes = 1
    return replace(model, clip=clip, sampling=replace(model.sampling, steps=steps, passes=passes))


# ---- all of them -------------------------------------------------------------------------------------------------


def listing(on: Device) -> tuple[dict, list[str]]:
    """All models at their defaults: facts for JSON, and a table. The table's device is `on`."""
    from minit2v.open_models import figures, find, names

    facts = []
    for model in map(find, names()):
        made = figures(model)
        facts.append({
            "name": model.name, "title": model.title, "year": model.year, "checked": model.verified,
            "frames": model.clip.frames, "height": model.clip.height, "width": model.clip.width,
            "tokens": made.tokens, "parameters": made.parameters, "flops_forward": made.forward_flops,
            "flops_clip": made.clip_flops, "attention_share": float(made.attention_share),
            "weight_bytes": made.weight_bytes, "activation_bytes": made.activation_bytes,
            "device": on.name, "hours": float(made.hours(on)),
        })  # fmt: skip
    head = ("model", "clip", "tokens", "parameters", "a pass", "a clip", "attention", f"on one {on.name}")
    rows = [head, *map(_row, facts)]
    first, *others = (max(map(len, column)) for column in zip(*rows, strict=True))
    text = []
    for name, *cells in rows:
        text.append("  ".join([f"{name:<{first}}", *(f"{cell:>{w}}" for cell, w in zip(cells, others, strict=True))]))
    if any(not fact["checked"] for fact in facts):
        text.append("* not held against its source; --model NAME says what is missing")
    return {"models": facts}, text


def _row(fact: dict) -> tuple[str, ...]:
    return (
        fact["name"] + ("" if fact["checked"] else " *"), f"{fact['frames']} × {fact['height']} × {fact['width']}",
        f"{fact['tokens']:,}", f"{fact['parameters']:,}", human(fact["flops_forward"], "FLOP"),
        human(fact["flops_clip"], "FLOP"), f"{fact['attention_share']:.0%}", human(Fraction(fact["hours"]) * 3600, "s"),
    )  # fmt: skip
