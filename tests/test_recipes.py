"""Recipes: data that fits together, and models that come back from what is stored with their weights."""

import json
from dataclasses import replace

import pytest
import torch

from minit2v.dit import DiT, DiTConfig
from minit2v.errors import UserError
from minit2v.recipes import SYSTEMS, VAES, PromptedDenoiser, Sampling, config_of, find
from minit2v.training import Settings
from minit2v.unet import UNet
from minit2v.vae import VAE, check_frames
from minit2v.world.captions import VOCABULARY
from minit2v.world.scenes import WORLDS

ALL = {**SYSTEMS, **VAES}


@pytest.mark.parametrize("name", ALL)
def test_a_recipe_is_found_by_its_name_and_its_training_is_legal(name):
    recipe = find(name)
    assert recipe.name == name and recipe.world in WORLDS
    assert Settings(**recipe.training).steps > 0


@pytest.mark.parametrize("wrong, hint", [("sorra", "'sora'"), ("video_vae", "'video-vae'"), ("", "legal: sora")])
def test_an_unknown_recipe_names_the_nearest(wrong, hint):
    with pytest.raises(UserError, match=hint):
        find(wrong)


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system_and_its_vae_fit_each_other_and_the_world(name):
    recipe = SYSTEMS[name]
    vae, world = VAES[recipe.vae], WORLDS[recipe.world]
    assert vae.world == recipe.world and vae.vae.channels == recipe.denoiser.channels
    check_frames(world.frames, vae.vae.temporal)
    frames = (world.frames - 1) // vae.vae.temporal + 1
    grid = recipe.denoiser.grid(frames, world.height // vae.vae.spatial, world.width // vae.vae.spatial)
    assert min(grid) > 1
    shift = 4.0 if name in ("sora", "veo", "pika") else recipe.shift  # those train below it, where details are lost
    assert (recipe.sampling.shift, recipe.sampling.sampler) == (shift, "euler")


@pytest.mark.parametrize("name", VAES)
def test_a_vae_turns_a_clip_of_its_world_into_the_latents_that_its_recipe_tells(name):
    recipe = VAES[name]
    world, config = WORLDS[recipe.world], recipe.vae
    latents = VAE(config).encode(torch.zeros(1, world.frames, 3, world.height, world.width))
    frames = (world.frames - 1) // config.temporal + 1
    assert latents.shape == (1, frames, config.channels, world.height // config.spatial, world.width // config.spatial)


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_model_comes_back_from_its_config_after_json(name):
    config = config_of(SYSTEMS[name])
    stored = json.loads(json.dumps(config))
    torch.manual_seed(0)
    first, again = PromptedDenoiser(config).eval(), PromptedDenoiser(stored).eval()
    again.load_state_dict(first.state_dict())
    assert again.world is WORLDS[SYSTEMS[name].world] and Sampling(**stored["sampling"]) == SYSTEMS[name].sampling
    for weight in first.denoiser.head.parameters():
        torch.nn.init.normal_(weight)  # a fresh head is silent
    again.load_state_dict(first.state_dict())
    latents = torch.randn(1, 3, channels := first.denoiser.config.channels, 8, 8)
    source = torch.randn(1, 3, channels + 1, 8, 8) if getattr(first.denoiser.config, "conditioned", False) else None
    arguments = latents, torch.ones(1, 3)
    with torch.no_grad():
        velocities = [model(*arguments, model.read(["a red ball bounces"]), source) for model in (first, again)]
    assert torch.equal(*velocities) and velocities[0].shape == latents.shape and velocities[0].std() > 0.1


def test_a_systems_family_is_told_by_its_sizes():
    for name, recipe in SYSTEMS.items():
        model = PromptedDenoiser(config_of(recipe))
        assert type(model.denoiser) is (DiT if isinstance(recipe.denoiser, DiTConfig) else UNet), name
        assert model.denoiser.config == recipe.denoiser
        assert model.text.config.dim == recipe.denoiser.text_dim


def test_gen2_and_gen3_have_the_same_layers_and_go_on_from_the_same_stills():
    stills, gen2, gen3 = (SYSTEMS[name] for name in ("gen2-stills", "gen2", "gen3"))
    assert gen2.denoiser.still == gen3.denoiser.still == stills.denoiser
    assert (gen2.denoiser.window, gen3.denoiser.window) == (2, None)
    assert replace(gen2.denoiser, window=None) == gen3.denoiser
    assert (stills.freeze, gen2.freeze, gen3.freeze) == ("", "spatial", "")
    size = sum(weight.numel() for weight in PromptedDenoiser(config_of(gen3)).parameters())
    assert 2 * size < 8e6  # bytes as fp16
    clips = [recipe.training["steps"] * recipe.training["batch"] * (1 - recipe.stills) for recipe in (gen2, gen3)]
    assert clips[0] == clips[1]


def test_a_picture_system_has_the_layers_that_it_goes_on_from():
    sora, pika, gen3, pika_unet = (SYSTEMS[name] for name in ("sora", "pika", "gen3", "pika-unet"))
    assert pika.denoiser == sora.denoiser and pika.known > 4 * sora.known
    assert replace(pika_unet.denoiser, conditioned=False) == gen3.denoiser and pika_unet.denoiser.conditioned


def test_a_system_knows_every_word_of_the_world_and_has_room_for_more():
    tokenizer = PromptedDenoiser(config_of(SYSTEMS["nano"])).tokenizer
    assert set(tokenizer.words) == set(VOCABULARY)
    assert tokenizer.add_word("wobbles") < len(tokenizer)


def test_the_prompt_moves_a_trained_systems_velocity_and_nothing_else_of_the_batch():
    torch.manual_seed(0)
    model = PromptedDenoiser(config_of(SYSTEMS["nano"])).eval()
    for name, weight in model.named_parameters():
        if not weight.any() and name.endswith("weight"):
            torch.nn.init.normal_(weight, std=0.05)
    latents, level = torch.randn(2, 3, 8, 8, 8), torch.ones(2, 3)
    with torch.no_grad():
        before = model(latents, level, model.read(["a red ball bounces", "a blue box grows"]))
        after = model(latents, level, model.read(["a red ball bounces", "a blue box spins"]))
    assert torch.equal(before[0], after[0])
    assert (before[1] - after[1]).abs().max() > 1e-3
