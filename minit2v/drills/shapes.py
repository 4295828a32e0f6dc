"""What shape is it now? Real modules are run, and what passes by is asked for; no shape is ever typed by hand.

Most run on PyTorch's `meta` device, where a tensor has a shape and no content, so that sizes cost nothing. A family
draws sizes, runs the module with an ear on the place in question, and asks about what it heard.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import contextmanager

from minit2v.drills.questions import Card, Question

FAMILIES: list[Card] = []
ORDER = "they come in the wrong order: channels last, or before the frames"
TEMPTS_ORDER = "libraries differ; here it is batch, frames, channels, height, width everywhere"


def families() -> list[Card]:
    """All cards of kind shape: the modules register their own when they are imported."""
    from minit2v.drills import shapes_latents, shapes_networks  # noqa: F401

    return list(FAMILIES)


def family(topic: str, difficulty: int, wrong: str = ORDER, tempts: str = TEMPTS_ORDER, cell: str = "") -> Callable:
    """Makes a card of a function `draw(rng) -> (given, question, shape, axes, why)`, named after it."""

    def register(draw):
        name = "shape-" + draw.__name__.replace("_", "-")

        def make(seed: int) -> Question:
            given, text, shape, axes, why = draw(random.Random(f"{name} {seed}"))
            sizes = tuple(int(size) for size in shape)
            return Question(
                name,
                topic,
                "shape",
                difficulty,
                text,
                f"({', '.join(map(str, sizes))})",
                why,
                wrong,
                tempts,
                cell=cell,
                hint=f"The axes are {axes}.",
                value=sizes,
                given=given,
                steps=(f"{axes} = {' × '.join(map(str, sizes))}",),
            )

        FAMILIES.append(Card(name, topic, "shape", difficulty, make, generated=True))
        return make

    return register


# ---- listening ----------------------------------------------------------------------------------------------------


@contextmanager
def on_meta():
    """Everything made inside has a shape and no content."""
    import torch

    with torch.device("meta"), torch.no_grad():
        yield torch


def heard(module, run, where: str = "output") -> tuple[int, ...]:
    """The shape of a module's first input or of its output, the first time that `run` calls it."""
    shapes = []

    def hook(_, inputs, output):
        shapes.append(tuple((inputs[0] if where == "input" else output).shape))

    handle = module.register_forward_hook(hook)
    try:
        run()
    finally:
        handle.remove()
    return shapes[0]


def overheard(module, name: str, run) -> list[tuple[int, ...]]:
    """The shapes of the tensors that a function of a Python module is called with, the first time."""
    kept, original = [], getattr(module, name)

    def listening(*arguments, **named):
        kept.append([tuple(each.shape) for each in arguments if hasattr(each, "shape")])
        return original(*arguments, **named)

    setattr(module, name, listening)
    try:
        run()
    finally:
        setattr(module, name, original)
    return kept[0]


def video_vae(rng):
    """A causal video VAE of 4 × 8 × 8 with some number of channels, and its configuration."""
    from minit2v.vae import VAE, VAEConfig

    config = VAEConfig(channels=rng.choice((8, 16, 24)), fine=16, widths=(16, 24))
    return VAE(config), config


def told(torch, batch, words, dim):
    """Features of some prompts, as a denoiser is told them."""
    from minit2v.text import TextFeatures

    mask = torch.ones(batch, words, dtype=torch.bool)
    return TextFeatures(torch.empty(batch, words, dim), mask, torch.empty(batch, dim))
