"""Lesson 12's tools: ways to hand a picture over move what they must, measures find what was put in. No trained
weights are needed."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from perfect_system import Perfect
from tiny_system import save_tiny

from minit2v import TextToVideo
from minit2v.clip import Clip
from minit2v.diffusion import Known, euler, sigmas
from minit2v.lab import pictures
from minit2v.lab import pictures_figures as figures
from minit2v.pictures import read_picture
from minit2v.text import TextFeatures
from minit2v.unet import UNet, UNetConfig, inflate, repeat_source
from minit2v.world.captions import COLORS
from minit2v.world.oracle import lab

ASK = "a large {}ball moves left on a checkered floor"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return TextToVideo.from_pretrained(save_tiny(tmp_path_factory.mktemp("tiny")), device="cpu")


@pytest.fixture(scope="module")
def two():
    return [pictures.taken(ASK.format(color), ASK.format(""), seed=1) for color in ("red ", "blue ")]


class Heard:
    """A velocity that keeps what it was asked, and says a little of everything."""

    def __init__(self):
        self.asked = []

    def __call__(self, x, level):
        self.asked.append((x.clone(), level.clone()))
        return 0.3 * x + x.mean(dim=1, keepdim=True) - level[:, :, None, None, None]


@pytest.fixture
def laid():
    torch.manual_seed(0)
    mask = torch.tensor([[True, False, False, False]]).expand(2, -1)
    return torch.randn(2, 4, 3, 2, 2), sigmas(5, 4.0), Known(mask, torch.randn(2, 4, 3, 2, 2), 0.0)


# ---- pictures


def test_a_picture_comes_with_a_prompt_that_says_less(two):
    assert two[0].prompt == "a large ball moves left on a checkered floor" and two[0].meaning.color is None
    assert two[0].size == "large" and not two[0].unseen
    lime = pictures.taken(ASK.format("red "), seed=1, color=pictures.LIME)
    assert lime.unseen and np.abs(lime.picture.astype(int) - two[0].picture).max() > 60


@pytest.mark.parametrize("color", [pictures.LIME, pictures.SALMON, pictures.TEAL])
def test_colors_without_a_name_are_far_from_those_with_one(color):
    assert min(np.linalg.norm(lab(color) - lab(np.array(rgb))) for rgb in COLORS.values()) > 15


def test_samples_are_as_people_have_them():
    ready = {name: read_picture(image, 64, 64) for name, image in pictures.samples().items()}
    told = " ".join(note for picture in ready.values() for note in picture.notes)
    assert "transparent" in told and "EXIF" in told and "cropped from 320×180" in told
    upright = ready["from a phone held sideways"].frames[0].astype(int)
    assert upright[0, :, 0].mean() > upright[-1, :, 0].mean() + 20  # the sky is red above
    assert np.abs(upright - upright[:, ::-1]).mean() < 3


def test_a_fade_goes_from_one_to_the_other_and_stripes_are_fine():
    first, last = np.zeros((1, 4, 4, 3), np.uint8), np.full((1, 4, 4, 3), 200, np.uint8)
    assert pictures.crossfade(first, last, 5)[:, 0, 0, 0].tolist() == [0, 50, 100, 150, 200]
    assert pictures.stripes(4, 4)[0, 0, :, 0].tolist() == [0, 255, 0, 255]


# ---- ways to hand a picture over


def test_the_right_way_is_the_samplers_own(laid):
    noise, schedule, known = laid
    assert torch.equal(pictures.made(Heard(), noise, schedule, known), euler(Heard(), noise, schedule, known))
    assert torch.equal(pictures.made(Heard(), noise, schedule, None), euler(Heard(), noise, schedule))


def test_told_of_the_wrong_frame_the_picture_still_stands_in_frame_0(laid):
    noise, schedule, known = laid
    heard = Heard()
    made = pictures.made(heard, noise, schedule, known, "wrong frame")
    assert torch.equal(made[:, 0], known.latents[:, 0])
    for x, level in heard.asked:
        assert not level[:, -1].any() and (level[:, :-1] > 0).all() and torch.equal(x[:, 0], known.latents[:, 0])


def test_noised_like_the_others_it_has_their_level_and_is_put_back(laid):
    noise, schedule, known = laid
    heard = Heard()
    made = pictures.made(heard, noise, schedule, known, "like the others")
    assert torch.equal(made[:, 0], known.latents[:, 0])
    for (x, level), sigma in zip(heard.asked, schedule, strict=False):
        assert torch.allclose(level, sigma.expand_as(level))
        assert torch.allclose(x[:, 0], (1 - sigma) * known.latents[:, 0] + sigma * noise[:, 0], atol=1e-6)


def test_redrawn_it_comes_down_from_its_own_level_and_is_not_put_back(laid):
    noise, schedule, known = laid
    heard = Heard()
    made = pictures.made(heard, noise, schedule, known._replace(level=0.4), "redrawn")
    assert not torch.allclose(made[:, 0], known.latents[:, 0], atol=1e-2)
    for (_, level), sigma in zip(heard.asked, schedule, strict=False):
        assert torch.allclose(level[:, 0], sigma.clamp(max=0.4).expand(2))
        assert torch.allclose(level[:, 1:], sigma.expand(2, 3))


def test_begun_from_the_picture_on_all_frames(laid):
    noise, schedule, known = laid
    still, heard = torch.randn(2, 4, 3, 2, 2), Heard()
    made = pictures.begun(heard, noise, schedule, known, still, 0.5)
    assert torch.equal(made[:, 0], known.latents[:, 0])
    x, level = heard.asked[0]
    assert torch.equal(x[:, 0], known.latents[:, 0])
    assert torch.allclose(x[:, 1:], 0.5 * still[:, 1:] + 0.5 * noise[:, 1:])
    assert torch.allclose(level[:, 1:], torch.tensor(0.5)) and not level[:, 0].any()
    assert len(heard.asked) == 1 + int((schedule[:-1] < 0.5).sum())
    from_noise = pictures.begun(Heard(), noise, schedule, known, still, 1.0)
    assert torch.allclose(from_noise, euler(Heard(), noise, schedule, known), atol=1e-5)


def test_the_bench_does_what_generating_does(tiny, two):
    bench = pictures.Bench(tiny, two, seeds=[4, 9], steps=3)
    one = tiny.generate(two[1].prompt, seed=9, steps=3)
    assert np.abs(bench.run()[1].frames.astype(int) - one.frames).max() <= 1
    known = bench.known(noise=0.2, last=[two[1].picture, two[0].picture])
    assert known.level == 0.2 and known.mask[:, [0, -1]].all() and not known.mask[:, 1:-1].any()
    assert torch.allclose(known.latents[:, :1], tiny.encode([source.picture for source in two]), atol=1e-5)
    held = bench.held(0.0)  # nothing is left to be done
    still = tiny.decode(tiny.encode([two[0].picture.repeat(17, axis=0)]))[0]
    assert np.abs(held[0].frames.astype(int) - still).max() <= 1


def test_three_endings(tiny, two):
    found = pictures.endings(tiny, two[0].clip)
    assert all(end.shape == (1, 1, 4, 8, 8) for end in found.values())
    real, still, alone = found.values()
    assert torch.allclose(real, tiny.encode([two[0].clip])[:, -1:])
    assert torch.equal(alone, tiny.encode([two[0].clip[-1:]])) and not torch.allclose(real, still)


def test_an_opened_unet_speaks_and_does_not_hear_of_the_picture():
    config = UNetConfig(widths=(8, 16), blocks=(1, 1), heads=2, text_dim=8, embedding=8)
    text = TextFeatures(torch.randn(1, 2, 8), torch.ones(1, 2, dtype=torch.bool), torch.randn(1, 8))
    x, level, source = torch.randn(1, 2, 4, 4, 4), torch.full((1, 2), 0.5), torch.randn(1, 4, 4, 4)
    plain = pictures.opened(UNet(config))
    asked = inflate(plain, replace(config, conditioned=True))
    assert plain(x, level, text).any()
    assert torch.equal(asked(x, level, text, repeat_source(source, 2)), plain(x, level, text))
    assert not pictures.opened(asked).embed_condition.weight.any()


# ---- what became of it


def test_controls_are_told_apart(two):
    real = [Clip(source.clip, source.prompt) for source in two]
    found = {name: pictures.middle(one) for name, one in pictures.with_controls(Perfect(), real, two).items()}
    ours, _, frozen, other = found.values()
    assert ours["kept"] == frozen["kept"] == 1 and other["kept"] == 0
    assert ours["motion"] == pytest.approx(1, abs=0.05) and frozen["motion"] == pytest.approx(0, abs=0.02)
    assert frozen["color"] == 0 and other["color"] > 50
    assert "the picture, frozen" in repr(figures.told(found))


def test_what_is_lost_counts_as_far(two):
    nothing = np.broadcast_to(np.uint8(128), two[0].clip.shape).copy()
    found = pictures.became([Clip(nothing, two[0].prompt)], two[:1])
    assert found["color"][0] == pictures.FAR and found["kept"][0] == 0


def test_errors_belong_to_the_one_who_makes_them(two):
    real = [Clip(source.clip, source.prompt) for source in two]
    assert pictures.errors(Perfect(), real, two) == pytest.approx({"total": 0, "vae": 0, "model": 0}, abs=0.01)
    off = [Clip(np.clip(source.clip.astype(int) + 10, 0, 255).astype(np.uint8), source.prompt) for source in two]
    found = pictures.errors(Perfect(), off, two)
    assert found["model"] == found["total"] and 8 < found["total"] <= 10


def test_a_color_that_is_pulled_home_is_seen(two):
    lime = pictures.taken(ASK.format("red "), seed=1, color=pictures.LIME)
    name, before, after = pictures.pulled_home(lime.clip)
    assert before > 15 and after == pytest.approx(before, abs=2)
    home = pictures.taken(ASK.format(f"{name} "), seed=1)
    _, before, after = pictures.pulled_home(np.concatenate([lime.picture, home.clip[1:]]))
    assert before > 15 and after < 5
    assert pictures.pulled_home(np.full((17, 64, 64, 3), 128, np.uint8)) == ("", pictures.FAR, pictures.FAR)


def test_ghosts_are_found_and_paces_are_measured(two):
    quick = pictures.taken("a small red ball moves left quickly on a checkered floor", seed=1)
    fade = pictures.crossfade(quick.picture, quick.clip[-1:], 17)
    assert pictures.ghostly(quick.clip) < 3 and pictures.ghostly(fade) > 20
    assert pictures.paces(quick.clip) == pytest.approx([1.75] * 4, abs=0.1)
    assert not pictures.paces(np.repeat(quick.picture, 17, axis=0)).any()
    assert pictures.unlike(quick.clip, quick.picture) == 0


def test_means_come_with_bands():
    found = pictures.means([np.zeros(4), np.array([0.0, 1.0, np.nan, 2.0])])
    assert found[0].tolist() == [0, 0, 0]
    assert found[1, 0] == 1 and found[1, 1] < 1 < found[1, 2]


# ---- figures


def test_figures_say_what_they_show(two):
    samples = pictures.samples()
    ready = {name: read_picture(image, 64, 64) for name, image in samples.items()}
    assert "cropped from 320×180" in figures.prepared(samples, ready).alt
    assert "a mask, white with a 1 for frame 0" in figures.two_ways(two[0].picture).alt
    values = pictures.means([np.array([1.0, 3.0]), np.array([0.0, 2.0])])
    assert "noise, color, dE: 2.00 at 0.5, 1.00 at 0" in figures.trade({"noise": ((0.5, 0), values, values)}).alt
    parts = {"known": {"vae": 3.0, "model": 0.0}, "redrawn": {"vae": 1.0, "model": 2.0}}
    assert "known: VAE 3.0, model 0.0; redrawn" in figures.whose(parts).alt
    clip = Clip(two[0].clip, two[0].prompt)
    steps = figures.holds({1.0: [clip], 0.1: [clip]}, [0.9, 0.0])
    assert "begun at level 0.1: speed ratio 0.00" in steps.still.alt and len(steps.pictures) == 2
