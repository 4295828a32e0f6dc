"""The formulas for the U-Nets, image and inflated, against the models themselves on tensors without storage."""

import random
from dataclasses import asdict

import pytest
import torch
from flops import DRAWS, holds, text_features

from minit2v.arithmetic import LatentShape, models
from minit2v.errors import UserError
from minit2v.unet import GROUPS, UNet, UNetConfig


def draw_unet(seed, video):
    rng = random.Random(seed)
    scales, heads = rng.choice((1, 2, 2, 3)), rng.randint(1, 3)
    config = UNetConfig(
        channels=rng.randint(1, 8), widths=tuple(heads * GROUPS * rng.randint(1, 2) for _ in range(scales)),
        blocks=tuple(rng.choice((0, 1, 1, 1, 2)) for _ in range(scales)), heads=heads, text_dim=rng.randint(4, 30),
        embedding=2 * rng.randint(2, 20), attention_from=rng.randint(0, scales),
        temporal=tuple(rng.randint(0, 1) for _ in range(scales)) if video else (), kernel=rng.choice((1, 3, 5)),
        window=rng.choice((None, 1)), conditioned=rng.random() < 0.5,
    )  # fmt: skip
    height, width = (2 ** (scales - 1) * rng.randint(1, 3) for _ in range(2))
    return config, LatentShape(rng.randint(1, 4), config.channels, height, width), rng.randint(1, 12), rng.randint(1, 2)


@pytest.mark.parametrize("video", [True, False])
def test_unet(video):
    for seed in range(DRAWS):
        config, shape, words, batch = draw_unet(seed, video)
        with torch.device("meta"):
            model, text = UNet(config), text_features(batch, words, config.text_dim)
            latents = torch.empty(batch, shape.frames, shape.channels, shape.height, shape.width)
            level = torch.empty(batch, shape.frames)
            condition = torch.empty(batch, shape.frames, shape.channels + 1, *latents.shape[3:])
        args = (latents, level, text, condition if config.conditioned else None)
        holds(models.unet(config, shape, words, batch), model, lambda m=model, args=args: m(*args))


def test_sizes_that_do_not_halve_are_refused():
    with pytest.raises(UserError, match="latent width 7 does not divide by the halving 2"):
        models.unet(UNetConfig(), LatentShape(5, 4, 8, 7), 10)


def test_the_description_without_torch_has_the_same_fields_and_defaults():
    assert asdict(models.UNetShape()) == asdict(UNetConfig())
