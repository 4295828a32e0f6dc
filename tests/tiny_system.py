"""A whole system, too small to be good at anything, so that no test needs trained weights."""

import torch

from minit2v.checkpoints import save_weights
from minit2v.dit import DiTConfig
from minit2v.recipes import PromptedDenoiser, Recipe, Sampling, VAERecipe, config_of
from minit2v.tasks import VAETask
from minit2v.vae import VAE, VAEConfig

TINY_VAE = VAERecipe(
    "tiny-vae",
    "standard",
    VAEConfig(channels=4, widths=(8, 8), encoder_blocks=(1, 1), decoder_blocks=(1, 1)),
    dict(batch=2, steps=2, warmup=1),
)
TINY = Recipe(
    name="tiny",
    world="standard",
    vae="tiny-vae",
    denoiser=DiTConfig(channels=4, dim=24, layers=1, heads=2, text_dim=24),
    text_layers=1,
    sampling=Sampling(steps=3, guidance=2.0),
    training=dict(batch=2, steps=2, warmup=1),
)


def save_tiny(folder):
    """Writes tiny.safetensors and its VAE beside it; returns the system's path."""
    torch.manual_seed(0)
    vae, model = VAE(TINY_VAE.vae), PromptedDenoiser(config_of(TINY))
    for weight in [*vae.parameters(), *model.parameters()]:  # fresh branches are shut, so a fresh model is silent
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.1)
    save_weights(folder / "tiny-vae.safetensors", vae, VAETask(TINY_VAE).config)
    save_weights(folder / "tiny.safetensors", model, config_of(TINY))
    return folder / "tiny.safetensors"
