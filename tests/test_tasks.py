"""What is trained: pure batches, losses that see what they should, latents of unit spread."""

import math
import random
from dataclasses import replace

import pytest
import torch

from minit2v.checkpoints import save_weights
from minit2v.clip import Clip
from minit2v.datasets import fill_cache, pixel_batch
from minit2v.dit import DiTConfig
from minit2v.errors import UserError
from minit2v.recipes import NANO as NANO_RECIPE
from minit2v.recipes import SORA, SYSTEMS, VAES, VAERecipe
from minit2v.tasks import (
    DenoiserTask,
    VAETask,
    calibrate,
    chance,
    distance,
    given_frames,
    going_on,
    looks,
    source,
    visibility,
)
from minit2v.training import Settings, generator_of, train
from minit2v.unet import UNetConfig
from minit2v.vae import VAE, VAEConfig, to_pixels
from minit2v.world import captions
from minit2v.world.captions import is_held_out, parse
from minit2v.world.render import render
from minit2v.world.scenes import NANO, STANDARD, scene

TINY = VAEConfig(channels=8, spatial=4, widths=(8, 8), encoder_blocks=(1, 1), decoder_blocks=(1, 1))


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    torch.manual_seed(0)
    vae = VAE(TINY)
    calibrate(vae, NANO, 16)
    cache = fill_cache(tmp_path_factory.mktemp("cache") / "latents", vae, 16, NANO)
    recipe = replace(
        NANO_RECIPE, denoiser=DiTConfig(channels=8, dim=32, layers=2, heads=2, text_dim=32), known=0.5, drop_text=0.5,
        stills=0.25,
    )  # fmt: skip
    return DenoiserTask(recipe, cache)


def test_samples_depend_on_seed_step_and_index_alone(task):
    task.build()
    whole, part = task.batch(1, 7, range(0, 6)), task.batch(1, 7, range(4, 6))
    assert torch.equal(whole["latents"][4:], part["latents"])
    assert torch.equal(whole["keep"][4:], part["keep"]) and torch.equal(whole["known"][4:], part["known"])
    assert not torch.equal(whole["latents"], task.batch(1, 8, range(0, 6))["latents"])


def test_some_samples_are_given_frames_some_of_them_noisy(task):
    task.build()
    batch = task.batch(0, 0, range(120))
    given = {tuple(row) for row in batch["known"].tolist()}  # of three latent frames
    first, few, ends = (True, False, False), (True, True, False), (True, False, True)
    assert given == {(False, False, False), first, few, ends}
    assert 40 < batch["known"][:, 0].sum() < 80
    assert 40 < (batch["level"] == 0).sum() < 80 and 0.3 < batch["level"].max() <= 0.5
    assert 0 < batch["keep"].sum() < 120
    assert not any(is_held_out(meaning) for meaning in task.cache.meanings)


def test_every_fourth_step_sees_single_frames_of_the_same_clips(task):
    task.build()
    steps = [task.batch(0, step, range(4)) for step in range(80)]
    stills = [batch for batch in steps if batch["latents"].shape[1] == 1]
    assert 10 < len(stills) < 30
    assert not any(batch["known"].any() for batch in stills)  # nothing would be left to be learned
    firsts = {tuple(frame.flatten().tolist()) for frame in torch.from_numpy(task.cache.latents[:, 0].astype("float32"))}
    assert all(tuple(frame.flatten().tolist()) in firsts for batch in stills for frame in batch["latents"])


def test_kinds_of_clips_are_drawn_as_often_as_the_recipe_says(task):
    often = DenoiserTask(replace(task.recipe, often={"star": 3.0, "spins": 2.0}), task.cache)
    assert chance(captions.parse("a red star spins"), often.recipe.often) == 6
    rng, star = random.Random(0), [meaning.subject == "star" for meaning in task.cache.meanings]
    share = sum(star[often._draw(rng)] for _ in range(4000)) / 4000
    weights = [chance(meaning, often.recipe.often) for meaning in task.cache.meanings]
    asked = sum(weight for weight, is_star in zip(weights, star, strict=True) if is_star) / sum(weights)
    assert share == pytest.approx(asked, abs=0.03) and asked > 1.5 * sum(star) / len(star)


def test_recipes_name_kinds_that_there_are():
    kinds = {"pillar", *captions.SUBJECTS, *captions.TEXTURES, *captions.SIZES, *captions.MOTIONS}
    assert all(kinds >= recipe.often.keys() for recipe in SYSTEMS.values())


def test_given_frames_leave_something_to_do():
    rng = random.Random(0)
    drawn = [given_frames(5, rng) for _ in range(400)]
    assert all(known[0] and not all(known) for known in drawn)
    assert {sum(known) for known in drawn} == {1, 2, 3, 4}
    assert {tuple(known) for known in drawn if known[-1]} == {(True, False, False, False, True)}
    assert given_frames(1, rng) == [False] and {sum(given_frames(2, rng)) for _ in range(50)} == {0, 1}


def test_a_fresh_denoiser_is_the_best_linear_one(task):
    """A fresh transformer says v = 0. Read as a velocity that is the best linear guess from x alone, whose error for
    unit latents is 1 / (sigma² + (1 - sigma)²): from 1, where one end is known, to 2 in the middle."""
    torch.manual_seed(0)
    model, batch = task.build(), task.batch(0, 0, range(64))
    text = model.text(batch["ids"], batch["mask"])
    for level in (0.2, 0.5, 0.9):
        latents = torch.randn(batch["latents"].shape, generator=generator_of(1))
        sigma = torch.full(latents.shape[:2], level)
        loss = task.flow.loss(model, latents, text, sigma=sigma, generator=generator_of(0)).mean().item()
        assert loss == pytest.approx(1 / (level**2 + (1 - level) ** 2), rel=0.1)


def test_training_lowers_the_loss(task):
    torch.manual_seed(0)
    model = task.build()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for step in range(40):
        loss, _ = task.loss(model, task.batch(0, step, range(16)), step, generator_of(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-8:]) / 8 < 0.85 * sum(losses[:8]) / 8


def test_calibrated_latents_have_unit_spread():
    torch.manual_seed(0)
    vae = VAE(TINY)
    calibrate(vae, NANO, 32)
    from minit2v.datasets import captioned
    from minit2v.world.render import render

    pixels = torch.stack([to_pixels(render(captioned(f"calibrate {i}", NANO)[1])) for i in range(32)])
    latents = vae.encode(pixels)
    assert torch.allclose(latents.mean((0, 1, 3, 4)), torch.zeros(8), atol=1e-3)
    assert torch.allclose(latents.std((0, 1, 3, 4)), torch.ones(8), atol=1e-3)


def test_what_the_decoder_cannot_see_weighs_little():
    vae = VAE(TINY)
    with torch.no_grad():
        for name, parameter in vae.encoder.leave.named_parameters():
            parameter.zero_()
            if name.endswith("bias"):
                parameter[TINY.channels] = 2.0  # channel 0: e² times the noise of the others
        vae.std[1] = 3.0  # channel 1: nine times their signal
    weight = visibility(vae, NANO, 8)
    torch.testing.assert_close(weight.mean(), torch.tensor(1.0))
    torch.testing.assert_close(weight / weight[2], torch.tensor([math.exp(-2), 9.0, *[1.0] * 6]))


def test_vae_loss_weighs_saturated_pixels_and_change():
    task = VAETask(VAERecipe("tiny", "nano", TINY, {}))
    model = task.build()
    still = torch.zeros(1, 5, 3, 32, 32)
    model.reconstruct = lambda latents: still + 0.1
    gray = task.loss(model, still, 0, generator_of(0))[1]["pixels"]
    assert gray.item() == pytest.approx(0.5 * 0.1 + 2 * 0.01)
    red = still.clone()
    red[:, :, 0] = 1.0
    model.reconstruct = lambda latents: red + 0.1
    assert task.loss(model, red, 0, generator_of(0))[1]["pixels"].item() == pytest.approx(gray.item() * 5)
    steady, _ = task.loss(model, red, 0, generator_of(0))
    flicker = red + 0.1 * torch.tensor([1, -1, 1, -1, 1]).view(1, 5, 1, 1, 1)
    model.reconstruct = lambda latents: flicker
    flickering, parts = task.loss(model, red, 0, generator_of(0))
    assert parts["pixels"].item() == pytest.approx(gray.item() * 5)  # as far from the truth,
    assert flickering > steady + 0.5  # but worse


def test_distance_is_symmetric_and_grows():
    error = torch.tensor([-0.2, 0.0, 0.1, 0.2])
    assert distance(error).tolist() == pytest.approx([0.18, 0.0, 0.07, 0.18])


def test_every_recipe_names_a_vae_that_fits():
    for recipe in SYSTEMS.values():
        assert VAES[recipe.vae].vae.channels == recipe.denoiser.channels
        assert VAES[recipe.vae].world == recipe.world
    assert SORA.denoiser.attention == "full"
    assert parse("a red ball").motions == ("still",)


def test_training_can_begin_with_a_checkpoint(tmp_path):
    torch.manual_seed(3)
    trained, file = VAE(TINY), tmp_path / "vae.safetensors"
    recipe = VAERecipe("tiny", "nano", TINY, {})
    save_weights(file, trained, VAETask(recipe).config, half=False)
    torch.manual_seed(4)
    begun, fresh = VAETask(recipe, str(file)).build(), VAETask(recipe).build()
    assert all(torch.equal(a, b) for a, b in zip(begun.parameters(), trained.parameters(), strict=True))
    assert not torch.equal(begun.encoder.enter.weight, fresh.encoder.enter.weight)
    with pytest.raises(UserError, match="does not exist"):
        VAETask(recipe, str(tmp_path / "none.safetensors"))


def test_a_decoder_alone_learns_and_leaves_the_latents(tmp_path):
    torch.manual_seed(3)
    vae, file = VAE(TINY), tmp_path / "vae.safetensors"
    recipe = VAERecipe("tiny", "nano", TINY, {})
    calibrate(vae, NANO, 16)
    save_weights(file, vae, VAETask(recipe).config, half=False)
    settings = Settings(steps=3, batch=2, warmup=1, optimizer="muon", log_every=1)
    result = train(VAETask(recipe, str(file), decoder_only=True), settings, tmp_path / "run", quiet=True)
    pixels = pixel_batch(0, 0, range(2), NANO)
    latents = vae.encode(pixels)
    assert torch.equal(result.model.encode(pixels), latents)
    assert not torch.allclose(result.model.decode(latents), vae.decode(latents), atol=1e-3)
    with pytest.raises(UserError, match="start"):
        VAETask(recipe, decoder_only=True)


def test_a_window_from_the_middle_is_given_what_came_before():
    rng = random.Random(0)
    drawn = [going_on(5, rng) for _ in range(600)]
    counts = [sum(known) for known in drawn]
    assert all(known == [True] * count + [False] * (5 - count) for known, count in zip(drawn, counts, strict=True))
    assert set(counts) == {1, 2, 3, 4} and 0.4 < counts.count(3) / 600 < 0.6
    assert going_on(2, rng) == [True, False]


def test_windows_keep_their_context_and_are_no_pictures(tmp_path, task):
    torch.manual_seed(0)
    long = replace(task.recipe, long=69, stills=0.5)
    vae = VAE(replace(TINY, spatial=8))
    cache = fill_cache(tmp_path / "latents", vae, 40, STANDARD, long=69)
    late = {tuple(cache.latents[i].flatten().tolist()) for i in range(40) if cache.starts[i]}
    assert 5 < len(late) < 35
    windows = DenoiserTask(long, cache)
    windows.build()
    for step in range(12):
        batch = windows.batch(0, step, range(6))
        if batch["latents"].shape[1] == 1:
            firsts = {key[: batch["latents"][0].numel()] for key in late}
            assert not any(tuple(frame.flatten().tolist()) in firsts for frame in batch["latents"])
            continue
        for latents, known in zip(batch["latents"], batch["known"], strict=True):
            if tuple(latents.flatten().tolist()) in late:
                assert known[0] and not known[-1]


# ---- U-Nets ----------------------------------------------------------------------------------------------------

TINY_UNET = UNetConfig(channels=8, widths=(8, 16), blocks=(1, 1), heads=2, text_dim=16, embedding=8, temporal=(1, 1))


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """Sixteen clips of nine frames, each of them a latent of its own."""
    torch.manual_seed(0)
    vae = VAE(replace(TINY, temporal=1, fine=0))
    calibrate(vae, NANO, 16)
    return fill_cache(tmp_path_factory.mktemp("cache") / "frames", vae, 16, NANO)


def unet_task(frames, denoiser=TINY_UNET, **changes):
    recipe = replace(NANO_RECIPE, vae="tiny", denoiser=denoiser, known=0.0, stills=0.5, any_frame=True, pictures=3)
    task = DenoiserTask(replace(recipe, **changes), frames)
    torch.manual_seed(0)
    task.build()
    return task


def test_any_frame_of_a_clip_is_a_still_with_the_words_of_the_clip(frames):
    task = unet_task(frames)
    places = {
        tuple(frame.flatten().tolist()): (clip, number)
        for clip, latents in enumerate(torch.from_numpy(frames.latents.astype("float32")))
        for number, frame in enumerate(latents)
    }
    batches = [task.batch(0, step, range(6)) for step in range(12)]
    stills = [batch for batch in batches if batch["latents"].shape[1] == 1]
    assert 2 < len(stills) < 10 and all(batch["latents"].shape[:2] == (18, 1) for batch in stills)
    assert all(batch["latents"].shape[:2] == (6, 9) for batch in batches if batch["latents"].shape[1] > 1)
    drawn = [places[tuple(still.flatten().tolist())] for batch in stills for still in batch["latents"]]
    assert {number for _, number in drawn} == set(range(9)) and len({clip for clip, _ in drawn}) > 12
    assert len(set(drawn)) > 0.5 * len(drawn)  # of 144, some of which stand still
    for batch in stills:
        for still, ids in zip(batch["latents"], batch["ids"], strict=True):
            clip, _ = places[tuple(still.flatten().tolist())]
            said = " ".join(task.model.tokenizer.names[i] for i in ids.tolist() if i > 1)
            assert parse(said) == frames.meanings[clip]


def test_stills_too_depend_on_seed_step_and_index_alone(frames):
    task = unet_task(frames, stills=1.0)
    whole, part = task.batch(1, 7, range(0, 6)), task.batch(1, 7, range(4, 6))
    assert torch.equal(whole["latents"][12:], part["latents"]) and torch.equal(whole["keep"][12:], part["keep"])


def test_a_unet_is_given_the_first_frame_beside_the_others(frames):
    task = unet_task(frames, replace(TINY_UNET, conditioned=True), known=0.5, pictures=1)
    lengths = {task.batch(0, step, range(1))["latents"].shape[1]: step for step in range(9)}
    batch, still = (task.batch(0, lengths[frames], range(60)) for frames in (9, 1))
    given = batch["known"][:, 0]
    assert not batch["known"][:, 1:].any() and 20 < given.sum() < 40
    condition, level = source(batch, generator_of(0)), batch["level"][:, 0]
    assert condition.shape == (60, 9, 9, 8, 8)
    assert not condition[~given].any()
    exact, rough = given & (level == 0), given & (level > 0)
    assert exact.sum() > 5 and rough.sum() > 5
    first = batch["latents"][:, 0]
    assert all(torch.equal(condition[exact][:, frame, :-1], first[exact]) for frame in range(9))
    noise = condition[rough][:, 4, :-1] - (1 - level[rough]).view(-1, 1, 1, 1) * first[rough]
    torch.testing.assert_close(noise.std((1, 2, 3)), level[rough], rtol=0.2, atol=0)
    assert torch.equal(condition[given][:, 0, -1].amax((1, 2)), 1 - level[given]) and not condition[:, 1:, -1].any()
    assert not still["known"].any()  # it would be given itself


def test_a_unets_given_frame_tells_it_of_the_others(frames):
    """The loss changes with the condition, and only by its way in."""
    task = unet_task(frames, replace(TINY_UNET, conditioned=True), known=1.0, rough=0.0, stills=0.0)
    model = task.model
    for weight in model.parameters():
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.1, generator=generator_of(1))
    batch = task.batch(0, 0, range(4))
    changes = {}, {"known": batch["known"] & False}, {"level": batch["level"] + 0.5}

    def losses():
        return [task.loss(model, batch | change, 0, generator_of(5))[0].item() for change in changes]

    assert len(set(losses())) == 3
    model.denoiser.embed_condition.requires_grad_(False).weight.zero_()
    model.denoiser.embed_condition.bias.zero_()
    assert len(set(losses())) == 1


def test_stills_are_judged_by_their_looks():
    def clip(text, shown=None):
        frames = render(scene(parse(shown or text), 0, STANDARD))
        return Clip(frames[[0, *range(16, 0, -1)]], text)  # the frames after the first do not count

    right = [clip("a small red ball bounces on a checkered floor"), clip("a large dotted blue star")]
    assert looks(right) == {"looks": 1, "clips": 2, "subject": 1, "color": 1, "texture": 1, "background": 1}
    wrong = [*right, clip("a small red ball bounces at night", "a small green ball bounces at night")]
    assert looks(wrong) == {"looks": 0.6667, "clips": 3, "subject": 1, "color": 0.6667, "texture": 1, "background": 1}
