"""A whole system, too small to be good at anything, so that no test needs trained weights."""

from dataclasses import replace

import torch

from minit2v.checkpoints import save_weights
from minit2v.dit import DiTConfig
from minit2v.recipes import PromptedDenoiser, Recipe, Sampling, VAERecipe, config_of
from minit2v.tasks import VAETask
from minit2v.unet import UNetConfig
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

# The other family: an image U-Net, and one with temporal layers, on latents of single frames.
TINY_IMAGE_VAE = replace(TINY_VAE, name="tiny-image-vae", vae=replace(TINY_VAE.vae, temporal=1, fine=0))
TINY_STILLS = replace(
    TINY, name="tiny-stills", vae="tiny-image-vae", known=0.0, stills=1.0, any_frame=True,
    denoiser=UNetConfig(widths=(8, 16), blocks=(1, 1), heads=2, text_dim=24, embedding=8),
)  # fmt: skip
TINY_UNET = replace(
    TINY_STILLS, name="tiny-unet", stills=0.0, denoiser=replace(TINY_STILLS.denoiser, temporal=(1, 1), window=2)
)


def save_tiny(folder, recipe=TINY, vae=TINY_VAE):
    """Writes the system's weights and its VAE's beside them, tiny.safetensors and so on; returns the system's path."""
    torch.manual_seed(0)
    autoencoder, model = VAE(vae.vae), PromptedDenoiser(config_of(recipe))
    for weight in [*autoencoder.parameters(), *model.parameters()]:  # fresh branches are shut: a fresh model is silent
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.1)
    save_weights(folder / f"{vae.name}.safetensors", autoencoder, VAETask(vae).config)
    save_weights(folder / f"{recipe.name}.safetensors", model, config_of(recipe))
    return folder / f"{recipe.name}.safetensors"
