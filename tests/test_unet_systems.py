"""U-Nets as whole systems, through the same pipeline: temporal layers on and off, and a picture beside the noise."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_system import TINY_IMAGE_VAE, TINY_STILLS, TINY_UNET, save_tiny

from minit2v import TextToVideo
from minit2v.checkpoints import load_weights, save_weights
from minit2v.diffusion import draw_noise, euler, guided, sigmas
from minit2v.errors import UserError
from minit2v.evaluation import draw_prompts, evaluate
from minit2v.pipeline import Given
from minit2v.recipes import PromptedDenoiser, config_of
from minit2v.request import Sliding
from minit2v.stages import begin
from minit2v.unet import temporal_parameters
from minit2v.vae import to_pixels
from minit2v.world import captions
from minit2v.world.render import render
from minit2v.world.scenes import STANDARD, scene

PROMPT = "a small red ball bounces"
PICTURE = replace(TINY_UNET, name="tiny-picture", denoiser=replace(TINY_UNET.denoiser, conditioned=True))


@pytest.fixture(scope="module")
def stills(tmp_path_factory):
    return TextToVideo.from_pretrained(save_tiny(tmp_path_factory.mktemp("stills"), TINY_STILLS, TINY_IMAGE_VAE))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A video U-Net around the image U-Net of `stills`, its temporal layers open."""
    folder = tmp_path_factory.mktemp("clips")
    torch.manual_seed(1)
    model = begin(PromptedDenoiser(config_of(TINY_UNET)), save_tiny(folder, TINY_STILLS, TINY_IMAGE_VAE))
    for weight in temporal_parameters(model.denoiser).values():
        torch.nn.init.normal_(weight, std=0.2)
    save_weights(folder / "tiny-unet.safetensors", model, model.config)
    return folder / "tiny-unet.safetensors"


@pytest.fixture
def clips(file):
    return TextToVideo.from_pretrained(file)


@pytest.fixture(scope="module")
def pictured(tmp_path_factory):
    return TextToVideo.from_pretrained(save_tiny(tmp_path_factory.mktemp("picture"), PICTURE, TINY_IMAGE_VAE))


def picture(text=PROMPT):
    return render(scene(captions.parse(text), 0, STANDARD))[:1]


# ---- from prompts ----------------------------------------------------------------------------------------------


def test_a_clip_comes_through_the_same_pipeline(clips):
    clip = clips.generate(PROMPT, seed=5)
    assert clip.frames.shape == (17, 64, 64, 3) and (clip.system, clip.steps) == ("tiny-unet", 3)
    assert clips.latent_shape(17) == (17, 4, 8, 8) and clips.latent_shape(16) == (16, 4, 8, 8)  # any number of frames
    assert np.array_equal(clip.frames, clips.generate(PROMPT, seed=5).frames)
    for change in dict(seed=6), dict(guidance=1.0), dict(steps=2), dict(prompt="a large blue star spins"):
        assert not np.array_equal(clip.frames, clips.generate(**{"prompt": PROMPT, "seed": 5} | change).frames)


def test_what_was_saved_makes_the_same_clip(file, clips, tmp_path):
    config, tensors = load_weights(file)
    save_weights(tmp_path / "again.safetensors", clips.model, clips.model.config)
    again = TextToVideo.from_pretrained(tmp_path / "again.safetensors", file.with_name("tiny-image-vae.safetensors"))
    assert again.model.denoiser.config == TINY_UNET.denoiser and config["denoiser"]["temporal"] == [1, 1]
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in again.model.state_dict().items())
    assert np.array_equal(again.generate(PROMPT).frames, clips.generate(PROMPT).frames)


def test_a_clip_of_a_batch_is_the_clip_it_would_be_alone(clips):
    prompts, seeds = [PROMPT, "a large dotted purple star spins quickly, the camera holds"], [3, 4]
    together = clips.denoise(clips.request(prompts, seeds))
    alone = [clips.denoise(clips.request([prompt], [seed])) for prompt, seed in zip(prompts, seeds, strict=True)]
    assert (together - torch.cat(alone)).abs().max() < 1e-3


def test_a_system_is_evaluated_like_any_other(clips):
    figures, made = evaluate(clips, draw_prompts(2, "held-out", STANDARD), steps=1, most_controls=1)
    assert figures["adherence"]["n"] == len(made) == 2


# ---- temporal layers on and off ----------------------------------------------------------------------------------


def test_without_temporal_layers_each_frame_is_the_image_models_from_the_same_noise(clips, stills):
    assert clips.temporal_strength == 1
    on, image = (system.denoise(system.request([PROMPT], [2])) for system in (clips, stills))
    clips.temporal_strength = 0
    off = clips.denoise(clips.request([PROMPT], [2]))
    assert torch.equal(off, image) and (on - off).abs().max() > 0.1
    noise = draw_noise((1, 17, 4, 8, 8), [torch.Generator().manual_seed(2)])
    model, text = stills.model, stills.model.read([PROMPT])
    velocity = guided(model, text, model.text.null(1).padded(text.tokens.shape[1]), stills.sampling.guidance)
    for frame in (0, 9):
        alone = euler(velocity, noise[:, frame : frame + 1], sigmas(3, stills.sampling.shift))
        torch.testing.assert_close(off[:, frame : frame + 1], alone, rtol=0, atol=1e-4)


def test_the_weaker_the_temporal_layers_the_nearer_the_image_model(clips, stills):
    image, away = stills.denoise(stills.request([PROMPT], [2])), []
    for clips.temporal_strength in (0.0, 0.25, 0.5, 1.0):
        away.append((clips.denoise(clips.request([PROMPT], [2])) - image).square().mean().item())
    assert away[0] == 0 and away == sorted(away)


def test_strengths_that_cannot_be_meant(clips, stills):
    for strength in (-0.1, 1.1, float("nan")):
        with pytest.raises(UserError, match="from 0"):
            clips.temporal_strength = strength
    with pytest.raises(UserError, match="no temporal layers"):
        stills.temporal_strength = 0.5
    assert clips.temporal_strength == 1


# ---- from a picture ----------------------------------------------------------------------------------------------


def test_a_picture_comes_beside_all_frames(pictured):
    def made(*given):
        return pictured.denoise(pictured.request([PROMPT], [1], given=given))

    free, red = made(), made(Given(picture()))
    assert torch.equal(red, made(Given(picture()))) and torch.equal(free, made())
    assert all((red[:, frame] - free[:, frame]).abs().max() > 1e-3 for frame in range(17))
    assert (red - made(Given(picture("a large blue star spins")))).abs().max() > 1e-3
    rough = [made(Given(picture(), noise=noise)) for noise in (0.2, 0.6)]
    assert all((red - one).abs().max() > 1e-3 for one in rough) and not torch.equal(*rough)


def test_whole_clips_come_from_a_picture_or_without_one(pictured):
    clips = []
    for given in [], [Given(picture())]:
        clips.append(pictured.generate_batch([PROMPT], [1], steps=1, given=given)[0].frames)
        latents = pictured.denoise(pictured.request([PROMPT], [1], steps=1, given=given))
        assert np.array_equal(clips[-1], pictured.decode(latents)[0])
    assert not np.array_equal(*clips)


def test_the_condition_is_the_picture_and_a_mask(pictured, monkeypatch):
    seen = []
    forward = pictured.model.denoiser.forward
    monkeypatch.setattr(pictured.model.denoiser, "forward", lambda *args: seen.append(args[3]) or forward(*args))
    pictured.denoise(pictured.request([PROMPT], [1], steps=1, given=[Given(picture())]))
    pictured.denoise(pictured.request([PROMPT], [1], steps=1))
    given, none = seen
    assert given.shape == none.shape == (2, 17, 5, 8, 8)  # with and without the prompt
    source = pictured.vae.encode(to_pixels(picture())[None])[0, 0]
    assert all(torch.equal(given[half, frame, :4], source) for half in range(2) for frame in range(17))
    assert torch.equal(given[:, :, 4].amax((2, 3)), torch.eye(17)[:1].repeat(2, 1)) and not none.any()


def test_the_noise_on_a_picture_is_not_that_of_its_clip(pictured):
    noise = draw_noise((1, 17, 4, 8, 8), [generator := torch.Generator().manual_seed(1)])
    condition = pictured.condition([Given(picture(), noise=0.5)], noise, [generator])
    source = pictured.encode([picture()])[:, 0]
    drawn = 2 * (condition[:, 0, :4] - 0.5 * source)
    assert 0.8 < drawn.std() < 1.2 and torch.equal(condition[:, :1, 4], torch.full((1, 1, 8, 8), 0.5))
    assert all((drawn - noise[:, frame]).abs().max() > 1 for frame in range(17))


def test_each_clip_of_a_batch_has_its_own_picture(pictured):
    given = [Given(picture(), noise=0.3), Given(picture("a large blue star spins"), noise=0.3)]
    together = pictured.denoise(pictured.request([PROMPT, PROMPT], [1, 2], given=given))
    alone = [pictured.denoise(pictured.request([PROMPT], [1 + i], given=given[i : i + 1])) for i in range(2)]
    assert (together - torch.cat(alone)).abs().max() < 1e-3


def test_given_frames_that_a_unet_cannot_take_are_refused(clips, pictured):
    one, two = picture(), picture().repeat(2, axis=0)
    for given in Given(one), Given(last=one), Given(two):
        with pytest.raises(UserError, match=re.escape("'tiny-unet' makes clips from a prompt alone")):
            clips.request([PROMPT], [0], given=[given])
    for given in Given(two), Given(last=one), Given(one, one):
        with pytest.raises(UserError, match="takes one first picture and no other frames"):
            pictured.request([PROMPT], [0], given=[given])
    for system, says in (clips, "from a prompt alone"), (pictured, "one first picture"):
        with pytest.raises(UserError, match=says):
            system.request([PROMPT], [0], frames=33, sliding=Sliding(9))
    assert clips.generate(PROMPT, frames=21, steps=1).frames.shape[0] == 21  # longer ones at once
