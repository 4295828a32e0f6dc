"""Training in stages: what a model begins with, and which of its weights learn."""

from dataclasses import replace

import pytest
import torch
from tiny_system import TINY, TINY_STILLS, TINY_UNET, TINY_VAE, save_tiny

from minit2v.checkpoints import load_into, load_weights, save_weights
from minit2v.datasets import fill_cache
from minit2v.errors import UserError
from minit2v.recipes import PromptedDenoiser, config_of
from minit2v.stages import begin, freeze, located, motion_words
from minit2v.tasks import DenoiserTask, calibrate
from minit2v.training import Settings, generator_of, train
from minit2v.unet import repeat_source, spatial_parameters, temporal_parameters
from minit2v.vae import VAE
from minit2v.world.captions import VOCABULARY
from minit2v.world.scenes import NANO

PICTURE = replace(TINY_UNET, name="tiny-picture", denoiser=replace(TINY_UNET.denoiser, conditioned=True), known=0.5)


@pytest.fixture(scope="module")
def stills(tmp_path_factory):
    """The weights of an image model, every one of them random."""
    return save_tiny(tmp_path_factory.mktemp("stills"), TINY_STILLS, replace(TINY_VAE, name="vae"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """24 clips of 9 frames in latents (4, 4, 4) each, of single frames."""
    torch.manual_seed(0)
    vae = VAE(replace(TINY_VAE.vae, temporal=1, fine=0))
    calibrate(vae, NANO, 16)
    return fill_cache(tmp_path_factory.mktemp("cache") / "latents", vae, 24, NANO)


def model_of(recipe):
    torch.manual_seed(1)
    return PromptedDenoiser(config_of(recipe)).eval()


def velocity(model, *condition):
    latents = torch.randn(2, 5, 4, 8, 8, generator=generator_of(0))
    level = torch.linspace(0.2, 0.9, 10).reshape(2, 5)
    with torch.no_grad():
        return model(latents, level, model.read(["a red ball bounces", "a blue box grows"]), *condition)


# ---- what a model begins with --------------------------------------------------------------------------------


def test_an_inflated_system_begins_as_its_image_model(stills):
    image, video = begin(model_of(TINY_STILLS), stills), begin(model_of(TINY_UNET), stills)
    expected = velocity(image)
    assert expected.std() > 0.1 and torch.equal(velocity(video), expected)
    assert video.config == config_of(TINY_UNET) and video.denoiser.config == TINY_UNET.denoiser
    source = repeat_source(torch.ones(2, 4, 8, 8), 5)
    assert torch.equal(velocity(begin(model_of(PICTURE), stills), source), expected)


def test_a_system_begins_as_one_with_the_same_layers(stills, tmp_path):
    tensors, begun = load_weights(stills)[1], begin(model_of(TINY_STILLS), stills).state_dict()
    assert begun.keys() == tensors.keys() and all(torch.equal(begun[name], tensor) for name, tensor in tensors.items())
    path = save_tiny(tmp_path, TINY_UNET, replace(TINY_VAE, name="vae"))
    tensors = load_weights(path)[1]
    for recipe in (TINY_UNET, PICTURE):
        begun = begin(model_of(recipe), path).state_dict()
        assert all(torch.equal(begun[name], tensor) for name, tensor in tensors.items())
    assert set(begun) - set(tensors) == {"denoiser.embed_condition.weight", "denoiser.embed_condition.bias"}
    fresh = model_of(TINY_UNET)
    assert begin(fresh, None) is fresh


def test_a_runs_folder_is_a_place_to_begin(stills, tmp_path):
    (tmp_path / "weights.safetensors").write_bytes(stills.read_bytes())
    assert located(tmp_path) == tmp_path / "weights.safetensors" and located(stills) == stills
    assert located(None) is None
    with pytest.raises(UserError, match="does not exist"):
        located(tmp_path / "none.safetensors")


def test_what_does_not_fit_is_no_beginning(stills, tmp_path):
    with pytest.raises(UserError, match=r"widths \(8, 16\) does not fit a video U-Net around widths \(8, 8\)"):
        begin(model_of(replace(TINY_UNET, denoiser=replace(TINY_UNET.denoiser, widths=(8, 8)))), stills)
    with pytest.raises(UserError, match="another architecture"):
        begin(model_of(TINY_UNET), save_tiny(tmp_path))
    with pytest.raises(UserError, match="another architecture"):
        begin(model_of(TINY_UNET), tmp_path / "tiny-vae.safetensors")
    config, tensors = load_weights(stills)
    words = config["vocabulary"]
    save_weights(tmp_path / "words.safetensors", tensors, config | {"vocabulary": words[:2] + words[:1:-1]})
    with pytest.raises(UserError, match="knows other words"):
        begin(model_of(TINY_UNET), tmp_path / "words.safetensors")


# ---- what learns -----------------------------------------------------------------------------------------------


def test_motion_words_are_those_that_a_still_cannot_teach():
    words = motion_words()
    assert words < set(VOCABULARY)
    assert {"bounces", "left", "pushes", "camera", "slowly", "then", "still", "mouth"} <= words
    assert not words & {"red", "small", "ball", "water", "striped", "floor", "a", "in", "of", "and", "behind", "column"}


def learned(recipe, cache, start, tmp_path, **changes):
    """Names of the weights that three steps of training moved, and the weights before and after."""
    task = DenoiserTask(recipe, cache, start=str(start))
    before = {name: tensor.clone() for name, tensor in task.build().state_dict().items()}
    settings = Settings(**{**dict(steps=3, batch=4, warmup=1, optimizer="muon", log_every=1, ema=0.5), **changes})
    after = train(task, settings, tmp_path / recipe.name, quiet=True).model.state_dict()
    return {name for name in before if not torch.equal(before[name], after[name])}, before, after


def test_frozen_spatial_weights_stay_and_all_that_is_temporal_learns(cache, stills, tmp_path):
    recipe = replace(TINY_UNET, freeze="spatial", world="nano")
    moved, before, after = learned(recipe, cache, stills, tmp_path)
    unet = model_of(recipe).denoiser
    temporal = {f"denoiser.{name}" for name in temporal_parameters(unet)}
    assert moved == temporal | {"text.embedding.weight"}
    rows = (before["text.embedding.weight"] != after["text.embedding.weight"]).any(1)
    names = model_of(recipe).tokenizer.names
    words = {name for name, row in zip(names, rows.tolist(), strict=True) if row}
    assert {"camera", "left"} & words and words <= motion_words()


def test_where_nothing_is_frozen_all_of_it_learns(cache, stills, tmp_path):
    moved, before, _ = learned(replace(TINY_UNET, world="nano"), cache, stills, tmp_path)
    assert moved == set(before)


def test_a_step_of_stills_leaves_the_temporal_layers_alone(cache, stills):
    """No gradient at all: with one of 0 they would go on by their momentum."""
    task = DenoiserTask(replace(TINY_UNET, stills=0.5, world="nano"), cache, start=str(stills))
    model = task.build()
    batches = [task.batch(0, step, range(4)) for step in range(20)]
    for frames in (1, 9):
        batch = next(batch for batch in batches if batch["latents"].shape[1] == frames)
        model.zero_grad(set_to_none=True)
        task.loss(model, batch, 0, generator_of(0))[0].backward()
        learns = {weight.grad is not None for weight in temporal_parameters(model.denoiser).values()}
        assert learns == {frames > 1}
        assert all(weight.grad is not None for weight in spatial_parameters(model.denoiser).values())


def test_frozen_training_goes_on_bit_for_bit(cache, stills, tmp_path):
    recipe = replace(TINY_UNET, freeze="spatial", world="nano")
    task = DenoiserTask(recipe, cache, start=str(stills))
    settings = Settings(steps=4, batch=2, warmup=1, optimizer="muon")
    whole = train(task, settings, tmp_path / "whole", quiet=True).model.state_dict()
    batch = task.batch

    def interrupted(seed, step, indices):
        if step == 2:
            raise KeyboardInterrupt
        return batch(seed, step, indices)

    task.batch = interrupted
    with pytest.raises(KeyboardInterrupt):
        train(task, replace(settings, save_every=1), tmp_path / "part", quiet=True)
    task.batch = batch
    part = train(task, replace(settings, save_every=1), tmp_path / "part", resume=True, quiet=True).model.state_dict()
    assert all(torch.equal(tensor, part[name]) for name, tensor in whole.items())


@pytest.mark.parametrize("recipe, what", [(TINY, "spatial"), (TINY_STILLS, "spatial"), (TINY_UNET, "text")])
def test_what_cannot_be_frozen_is_refused(recipe, what):
    with pytest.raises(UserError, match=f"cannot freeze '{what}'"):
        freeze(model_of(recipe), what)


def test_spatial_weights_that_stay_must_come_from_somewhere(cache):
    with pytest.raises(UserError, match="give those of stills by --start"):
        DenoiserTask(replace(TINY_UNET, freeze="spatial"), cache)


def test_the_weights_that_come_back_are_those_that_were_trained(cache, stills, tmp_path):
    """From the file that training wrote: the temporal layers too."""
    recipe = replace(TINY_UNET, freeze="spatial", world="nano")
    _, _, after = learned(recipe, cache, stills, tmp_path)
    config, tensors = load_weights(tmp_path / recipe.name / "weights.safetensors")
    model = load_into(PromptedDenoiser(config), tensors)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, after[name], rtol=1e-3, atol=1e-4)
