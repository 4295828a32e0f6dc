"""The formulas for the project's models, against the models themselves on tensors without storage."""

import random
from dataclasses import asdict, fields

import pytest
import torch
from flops import DRAWS, holds, parameters, text_features

from minit2v.arithmetic import LatentShape, models
from minit2v.dit import DiT, DiTConfig
from minit2v.recipes import SYSTEMS, PromptedDenoiser, config_of
from minit2v.text import TextConfig
from minit2v.vae import VAEConfig

# ---- the transformer -----------------------------------------------------------------------------------------


def draw_transformer(seed, attention, window):
    rng = random.Random(seed)
    heads = rng.randint(1, 4)
    config = DiTConfig(
        channels=rng.randint(1, 24), patch=tuple(rng.randint(1, 3) for _ in range(3)), heads=heads,
        dim=heads * 2 * rng.randint(1, 9), layers=rng.randint(1, 2), text_dim=rng.randint(4, 40),
        mlp_ratio=rng.randint(1, 4), attention=attention, window=rng.randint(0, 4) if window else None,
        positions=rng.choice(("both", "rotary", "sinusoidal")),
    )  # fmt: skip
    frames, height, width = (rng.randint(1, 5) * cut for cut in config.patch)
    return config, LatentShape(frames, config.channels, height, width), rng.randint(1, 20), rng.randint(1, 3)


@pytest.mark.parametrize(
    ("attention", "window", "draws"),
    [("full", False, DRAWS), ("factorised", False, DRAWS), ("full", True, DRAWS),
     ("spatial", False, 3), ("temporal", True, 3), ("factorised", True, 3)],
)  # fmt: skip
def test_transformer(attention, window, draws):
    for seed in range(draws):
        config, shape, words, batch = draw_transformer(seed, attention, window)
        with torch.device("meta"):
            model, text = DiT(config), text_features(batch, words, config.text_dim)
            latents = torch.empty(batch, shape.frames, shape.channels, shape.height, shape.width)
            level = torch.empty(batch, shape.frames)
        cost = models.transformer(config, shape, words, batch)
        holds(cost, model, lambda model=model, args=(latents, level, text): model(*args))


def test_a_kernel_that_skips_saves_what_the_window_masks():
    config = DiTConfig(channels=4, dim=32, heads=2, layers=3, window=1)
    shape = LatentShape(5, 4, 8, 8)
    every, near = (models.transformer(config, shape, 6, skip_masked=skip) for skip in (False, True))
    assert every.attention - near.attention == 3 * 4 * 32 * (25 - 13) * 16**2  # frames 0-0, 0-1, 1-0, … 4-4: 13 of 25
    assert every.linear == near.linear and every.parameters == near.parameters


def test_the_docstrings_sum_is_the_greater_part():
    """For a clip of usual size, the four named terms hold all but a hundredth."""
    config, shape = DiTConfig(channels=16, dim=1024, layers=12, heads=8, text_dim=1024), LatentShape(13, 16, 60, 90)
    n, d, words = shape.tokens(config.patch).tokens, config.dim, 30
    terms = 12 * (n * 28 * d**2 + 4 * d * n**2 + 4 * d * n * words)
    assert models.transformer(config, shape, words).flops == pytest.approx(terms, rel=0.01)


# ---- the recipes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SYSTEMS)
def test_systems_have_the_parameters_that_the_formulas_say(name):
    config = config_of(SYSTEMS[name])
    with torch.device("meta"):
        model = PromptedDenoiser(config)
    sizes, text = SYSTEMS[name].denoiser, models.text_encoder(TextConfig(**config["text"]), 10)
    formula = models.transformer if isinstance(sizes, DiTConfig) else models.unet
    assert (text + formula(sizes, LatentShape(5, sizes.channels, 8, 8), 10)).parameters == parameters(model)


@pytest.mark.parametrize(
    ("ours", "theirs"), [(models.TransformerShape, DiTConfig), (models.AutoencoderShape, VAEConfig)]
)
def test_descriptions_without_torch_have_the_same_fields_and_defaults(ours, theirs):
    mine, other = asdict(ours()), asdict(theirs())
    assert mine == {name: other[name] for name in mine}
    assert {field.name for field in fields(theirs)} - set(mine) <= {"positions", "mean", "std"}
