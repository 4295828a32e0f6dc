"""What lesson 09 reads off U-Nets: who hears of whom, how inflation begins, single frames and clips, the bill."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_system import TINY_IMAGE_VAE, TINY_UNET, save_tiny

from minit2v import TextToVideo
from minit2v.arithmetic import LatentShape, models
from minit2v.checkpoints import available
from minit2v.errors import UserError
from minit2v.lab import unets
from minit2v.lab import unets_figures as figures
from minit2v.pipeline import load_vae
from minit2v.recipes import GEN2, GEN2_STILLS, GEN3, SORA
from minit2v.stages import freeze
from minit2v.unet import UNetConfig, spatial_parameters, temporal_parameters

LATENTS = LatentShape(17, 4, 8, 8)


@pytest.fixture(scope="module", autouse=True)
def small_batches():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unets, "STILLS", 8)
        patch.setattr(unets, "CLIPS", 2)
        yield


@pytest.fixture(scope="module")
def few():
    """Four clips that were never drawn: latents are noise."""
    torch.manual_seed(0)
    prompts = tuple(unets.SENTENCE.format(unets.WAYS[i % 2]) for i in range(4))
    return unets.Reel(np.zeros((4, 3, 32, 32, 3), np.uint8), prompts, torch.randn(4, 3, 8, 8, 8))


@pytest.fixture(scope="module")
def image(few):
    """An image model after two steps, in which no zero of its start is left."""
    model = unets.fresh()
    unets.train(model, few, steps=2, stills=True)
    return model


# ---- who hears of whom ----


@pytest.mark.parametrize(
    ("changes", "reach"),
    [
        (dict(temporal=(1, 1), window=2), 12),  # gen2
        (dict(temporal=(0, 1), window=0), 4),
        (dict(temporal=(1, 0), window=2), 4),  # no attention where there is no temporal block
        (dict(temporal=(1, 1), window=1, kernel=5), 18),
        (dict(temporal=(1, 1)), None),
    ],
)
def test_the_formula_says_how_far_news_goes(changes, reach):
    config = replace(GEN2_STILLS.denoiser, **changes)
    assert unets.reach(config) == reach
    moved = unets.heard(unets.slim(config), frames=15)[0] > 1e-13
    assert moved.sum() == min(15, 1 + (14 if reach is None else reach)) and moved[0]


def test_an_image_unet_hears_of_no_other_frame():
    moved = unets.heard(unets.slim(GEN2_STILLS.denoiser), frames=4)
    assert np.array_equal(moved > 0, np.eye(4, dtype=bool))


# ---- how inflation begins ----


def test_inflated_models_begin_as_the_image_model(image):
    video, noise = unets.inflated(image), unets.noises(2, frames=3)
    assert torch.equal(unets.draw(video, noise), unets.draw(image, noise))
    again = temporal_parameters(unets.inflated(image).denoiser)
    assert again and all(torch.equal(weight, again[name])
                         for name, weight in temporal_parameters(video.denoiser).items())  # fmt: skip
    assert all(torch.equal(weight, dict(image.denoiser.named_parameters())[name])
               for name, weight in spatial_parameters(video.denoiser).items())  # fmt: skip


def test_all_temporal_weights_are_awake_by_the_second_step(image, few):
    video = unets.inflated(image)
    before = {name: weight.clone() for name, weight in video.denoiser.named_parameters()}
    first, second = unets.idle(video, video.denoiser, few)
    assert first and not second
    assert all("out" not in name.split(".temporal.")[-1] or "norm" in name for name in first)
    assert all(torch.equal(weight, before[name]) for name, weight in video.denoiser.named_parameters())  # a copy learnt


def test_wrong_starts_shout_or_never_speak(image, few):
    video, noise = unets.inflated(image), unets.noises(2, frames=3)
    level, text = torch.full((2, 3), 0.6), image.read(list(few.prompts[:2]))
    with torch.no_grad():
        right, loud, dumb = (
            net(noise, level, text)
            for net in (video.denoiser, unets.shouting(video.denoiser), unets.mute(video.denoiser))
        )
    assert torch.equal(dumb, right) and (loud - right).abs().max() > 1e-3
    assert not unets.idle(video, unets.shouting(video.denoiser), few)[-1]
    assert unets.idle(video, unets.mute(video.denoiser), few, steps=3)[-1]


def test_frozen_weights_stay_and_the_others_learn(image, few):
    video = freeze(unets.inflated(image), "spatial")
    kept = {name: weight.clone() for name, weight in video.denoiser.named_parameters()}
    losses = unets.train(video, few, steps=2, stills=False)
    changed = {name for name, weight in video.denoiser.named_parameters() if not torch.equal(weight, kept[name])}
    assert len(losses) == 2 and changed == set(temporal_parameters(video.denoiser))


def test_training_twice_gives_the_same(few):
    runs = [unets.train(unets.fresh(), few, steps=2, stills=True) for _ in range(2)]
    assert runs[0] == runs[1]


# ---- roads ----


def test_roads_can_be_shut(image, few):
    noise = unets.noises(1, frames=1)
    both, *shut = (unets.draw(unets.without(image, ways), noise) for ways in ((), ("skip",), ("middle",)))
    assert torch.equal(both, unets.draw(image, noise))
    assert all((each - both).abs().max() > 1e-3 for each in shut)
    merge = unets.without(image, ("skip",)).denoiser.up[0][0].merge.weight
    width = len(merge)
    assert not merge[:, width:].any() and merge[:, :width].all()
    assert unets.cleaned(image, few, 0.0) == pytest.approx(0)  # nothing was noisy
    assert unets.cleaned(image, few, 0.5) > 0


# ---- the miniature's reel, and its figures ----


@pytest.fixture(scope="module")
def vae():
    return load_vae("nano-vae")


@pytest.fixture(scope="module")
def real(vae):
    return unets.reel(vae, count=4)


def test_frames_are_packed_alone(vae, real):
    assert real.latents.shape == (4, 9, 8, 8, 8) and real.frames.shape == (4, 9, 32, 32, 3)
    alone = unets.pack(vae, real.frames[1:2, 5:6])
    torch.testing.assert_close(alone[0, 0], real.latents[1, 5], rtol=0, atol=1e-4)
    error = np.abs(unets.unpack(vae, real.latents).astype(float) - real.frames).mean()
    assert error < 6  # of 255


def test_figures_tell_clips_that_are_wrong_between_the_frames(real):
    clips = real.frames
    still = np.repeat(clips[:, :1], 9, axis=1)
    mixed = np.stack([np.roll(clips[:, t], t, axis=0) for t in range(9)], axis=1)  # every frame from another clip
    good, frozen, wrong = (unets.figures(each) for each in (clips, still, mixed))
    assert good["good"] == frozen["good"] == wrong["good"] == 1
    assert good["agree"] == frozen["agree"] == 1 and wrong["agree"] < 0.7
    assert frozen["step"] == 0 < good["step"] < 2 < wrong["step"]


def test_nothing_is_not_good():
    gray = np.full((3, 32, 32, 3), 128, np.uint8)
    assert not any(unets.good(each) for each in unets.singles(gray))


def test_same_noise_makes_the_same_frames(image):
    noise = unets.noises(2, frames=3, same=True)
    latents = unets.draw(image, noise)
    torch.testing.assert_close(latents, latents[:, :1].expand_as(latents), rtol=0, atol=1e-5)
    assert not torch.allclose(noise[0], noise[1])


def test_a_system_that_is_not_there_is_none():
    assert unets.committed("no-such-system") is None
    assert (unets.committed("gen2") is None) == ("gen2" not in available())


def test_a_system_is_run_with_and_without_its_temporal_layers(tmp_path):
    system = TextToVideo.from_pretrained(save_tiny(tmp_path, TINY_UNET, TINY_IMAGE_VAE))
    for weight in temporal_parameters(system.model.denoiser).values():
        torch.nn.init.normal_(weight, std=0.3)
    torch.nn.init.normal_(system.model.denoiser.head.weight)
    made = unets.on_and_off(system, ["a small red ball bounces"], steps=1)
    on, off = (made[name][0].frames for name in ("on", "off"))
    assert on.shape == off.shape and not np.array_equal(on, off) and system.temporal_strength == 1


# ---- the bill ----


@pytest.mark.parametrize("recipe", [GEN2_STILLS, GEN2, GEN3])
def test_scales_add_up_to_nearly_all_of_it(recipe):
    rows, total = unets.by_scale(recipe.denoiser, LATENTS), unets.whole(recipe, LATENTS)
    assert sum(row.attention for row in rows) == total.attention
    assert 0.9 < sum(row.flops for row in rows) / total.flops < 1  # the rest: embedding, head, shrink and grow
    assert total.parameters == sum(weight.numel() for weight in unets.fresh(recipe.denoiser).denoiser.parameters())


def test_scores_of_the_chapters_clip():
    sizes = dict(widths=(320, 640), blocks=(1, 1), heads=8, attention_from=0, temporal=(1, 1))
    rows = unets.by_scale(models.UNetShape(**sizes), LatentShape(64, 4, 64, 64))
    assert 8 * rows[0].temporal == 134_217_728 and rows[0].spatial == 64 * 4096**2
    assert (rows[0].spatial / rows[1].spatial, rows[0].temporal / rows[1].temporal) == (16, 4)
    assert unets.by_scale(UNetConfig(), LATENTS)[0].spatial == 0  # convolutions only
    (row,) = unets.by_scale(SORA.denoiser, LatentShape(5, 24, 8, 8))
    assert row.full == 80**2 and row.flops == unets.whole(SORA, LatentShape(5, 24, 8, 8)).flops


def test_other_denoisers_have_no_bill():
    with pytest.raises(UserError, match="no known family"):
        unets.whole(replace(SORA, denoiser=None), LATENTS)


# ---- figures ----


def test_figures_have_words():
    u = figures.u(GEN2.denoiser, 8, 8)
    assert "8 × 8 places of 112 channels" in u.alt and "hatched temporal one" in u.alt
    assert "no temporal one" in figures.u(GEN2_STILLS.denoiser, 8, 8).alt
    hears = figures.who_hears({"a": np.eye(4), "b": np.ones((4, 4))})
    assert "a: frame 0 moves 1 of 4 frames; b: frame 0 moves 4 of 4" in hears.alt
    bill = figures.bill({"gen2": unets.by_scale(GEN2.denoiser, LATENTS)})
    assert "gen2, finest" in bill.alt and "gen2, 1/2" in bill.alt


def test_the_slider_holds_every_strength():
    clips = {strength: np.full((2, 3, 32, 32, 3), 60, np.uint8) for strength in (0.0, 1.0)}
    steps = figures.strengths(clips, {0.0: "off", 1.0: "on"})
    assert len(steps.pictures) == 2 and "temporal strength 1: on" in steps.still.alt
    steps.widget.children[0].value = 1
    assert "temporal strength 1: on" in steps.widget.children[1].value
