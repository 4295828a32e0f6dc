"""The formulas for the autoencoders, against the models themselves on tensors without storage."""

import random

import pytest
import torch
from flops import DRAWS, holds, parameters

from minit2v.arithmetic import ClipShape, models
from minit2v.recipes import VAES
from minit2v.vae import VAE, VAEConfig


def draw_vae(seed, video):
    rng = random.Random(seed)
    patch = rng.choice((1, 2, 4))
    config = VAEConfig(
        channels=rng.randint(1, 24), temporal=rng.choice((2, 3, 4)) if video else 1, spatial=patch * rng.randint(1, 4),
        patch=patch, fine=rng.choice((0, rng.randint(1, 20))), widths=(rng.randint(1, 40), rng.randint(1, 40)),
        encoder_blocks=(rng.randint(0, 2), rng.randint(0, 2)), decoder_blocks=(rng.randint(0, 2), rng.randint(0, 2)),
    )  # fmt: skip
    latent_frames, height, width = (rng.randint(1, 4) for _ in range(3))
    frames = (latent_frames - 1) * config.temporal + 1
    return config, ClipShape(frames, height * config.spatial, width * config.spatial), rng.randint(1, 2)


@pytest.mark.parametrize("video", [True, False])
def test_autoencoder(video):
    for seed in range(DRAWS):
        config, clip, batch = draw_vae(seed, video)
        shape = models.factors(config).latents(clip)
        with torch.device("meta"):
            model = VAE(config)
            pixels = torch.empty(batch, clip.frames, 3, clip.height, clip.width)
            latents = torch.empty(batch, shape.frames, shape.channels, shape.height, shape.width)
        assert model.encode(pixels).shape == latents.shape and model.decode(latents).shape == pixels.shape
        holds(models.encoder(config, shape, batch), model.encoder, lambda m=model, x=pixels: m.encode(x))
        holds(models.decoder(config, shape, batch), model.decoder, lambda m=model, x=latents: m.decode(x))


@pytest.mark.parametrize("name", VAES)
def test_vaes_have_the_parameters_that_the_formulas_say(name):
    config = VAES[name].vae
    shape = models.factors(config).latents(ClipShape(17, 64, 64))
    both = models.encoder(config, shape) + models.decoder(config, shape)
    assert both.parameters == parameters(VAE(config))
