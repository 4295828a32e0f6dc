"""The stream of clips and the latent cache."""

import json
import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from minit2v import datasets
from minit2v.errors import UserError
from minit2v.vae import VAE, VAEConfig, to_frames, to_pixels
from minit2v.world import captions
from minit2v.world.render import render
from minit2v.world.scenes import NANO, STANDARD, sample_meaning, scene

TINY = VAEConfig(channels=4, spatial=4, widths=(8, 8), encoder_blocks=(1, 1), decoder_blocks=(1, 1))


def tiny_vae(seed=0):
    torch.manual_seed(seed)
    return VAE(TINY)


def test_pixels_and_frames_are_each_others_inverse():
    frames = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 5, 3), dtype=np.uint8)
    pixels = to_pixels(frames)
    assert pixels.shape == (2, 3, 3, 4, 5)
    assert pixels.min() >= -1 and pixels.max() <= 1
    assert pixels[1, 2, 0, 3, 4].item() == pytest.approx(frames[1, 2, 3, 4, 0] / 127.5 - 1)
    assert (to_frames(pixels) == frames).all()


def test_a_clip_is_a_function_of_its_seed_and_split():
    text, staged = datasets.captioned("7 1 2")
    again, same = datasets.captioned("7 1 2")
    assert text == again and (render(staged) == render(same)).all()
    assert text != datasets.captioned("7 1 3")[0]
    for index in range(40):
        assert not captions.is_held_out(captions.parse(datasets.captioned(f"{index}", STANDARD, "train")[0]))
        assert captions.is_held_out(captions.parse(datasets.captioned(f"{index}", STANDARD, "held-out")[0]))


def test_wild_changes_looks_and_place_but_not_the_motion():
    staged = scene(replace(sample_meaning(random.Random(3)), texture="striped", subject="box"), 1)
    looks = [datasets.wild(staged, random.Random(seed)) for seed in range(30)]
    assert all(np.allclose(wild.screen_position, staged.screen_position) for wild in looks)
    assert len({tuple(wild.color) for wild in looks}) > 10
    assert len({tuple(wild.camera[0]) for wild in looks}) > 10


def test_crops_are_windows_of_the_clip_and_show_the_subject():
    crops = datasets.crop_batch(0, 5, range(3), STANDARD, frames=9, size=32, each=4)
    assert crops.shape == (12, 9, 3, 32, 32)
    whole = to_pixels(render(datasets.wild_clip("0 5 1", STANDARD)))  # (17, 3, 64, 64)
    windows = whole.unfold(0, 9, 1).unfold(2, 32, 1).unfold(3, 32, 1)  # (9, 3, 33, 33, 9, 32, 32)
    same = (windows == crops[4].movedim(0, 1)[None, :, None, None]).flatten(4).all(-1).all(1)
    assert same.any()


def test_cache_holds_the_encoded_clips_and_new_words_for_them(tmp_path):
    vae = tiny_vae()
    cache = datasets.fill_cache(tmp_path / "latents", vae, 10, NANO, seed=4)
    assert len(cache) == 10
    text, staged = datasets.captioned("4 9", NANO)
    latents, words = cache.sample(9, random.Random(0))
    expected = vae.encode(to_pixels(render(staged))[None])[0]
    assert torch.allclose(latents, expected, atol=2e-3)  # float16
    assert captions.parse(words) == captions.parse(text)
    assert len({cache.sample(9, random.Random(k))[1] for k in range(8)}) > 1
    before = (tmp_path / "latents" / "latents.npy").stat().st_mtime_ns
    datasets.fill_cache(tmp_path / "latents", vae, 10, NANO, seed=4)
    assert (tmp_path / "latents" / "latents.npy").stat().st_mtime_ns == before  # used as it is


def test_windows_of_long_clips_are_a_function_of_their_seed_and_half_are_whole_clips():
    drawn = [datasets.captioned_window(f"5 {index}", STANDARD, 69) for index in range(60)]
    again = [datasets.captioned_window(f"5 {index}", STANDARD, 69) for index in range(60)]
    for index, ((text, staged, start), (same, _, begin)) in enumerate(zip(drawn, again, strict=True)):
        assert (text, start) == (same, begin) and staged.world.frames == len(staged.position) == 17
        assert captions.parse(text).motions == staged.meaning.motions
        if staged.zoom[0] != 1 or staged.camera[0].any():
            assert start > 0  # cameras start at the origin
        if start == 0:
            assert text == datasets.captioned(f"5 {index}")[0]
    starts = [start for *_, start in drawn]
    assert 0.3 < starts.count(0) / 60 < 0.7 and max(starts) > 40 and max(starts) <= 52
    assert datasets.captioned_window("5 1", STANDARD)[0] == datasets.captioned("5 1")[0]  # no clip is long


def test_a_cache_of_windows_holds_them_encoded_alone_and_where_they_start(tmp_path):
    vae = tiny_vae()
    cache = datasets.fill_cache(tmp_path / "latents", vae, 12, STANDARD, seed=4, long=69)
    index = max(range(12), key=cache.starts.__getitem__)
    text, window, start = datasets.captioned_window(f"4 {index}", STANDARD, 69)
    latents, words = cache.sample(index, random.Random(0))
    assert start == cache.starts[index] > 0 and captions.parse(words) == captions.parse(text)
    assert torch.allclose(latents, vae.encode(to_pixels(render(window))[None])[0], atol=2e-3)
    assert torch.allclose(latents[:1], vae.encode(to_pixels(render(window)[:1])[None])[0], atol=2e-3)
    with pytest.raises(UserError, match="other latents"):
        datasets.fill_cache(tmp_path / "latents", vae, 12, STANDARD, seed=4)
    assert datasets.fill_cache(tmp_path / "short", vae, 4, NANO).starts == [0] * 4


def test_a_cache_from_before_there_were_long_clips_is_used_as_it_is(tmp_path):
    datasets.fill_cache(tmp_path / "latents", tiny_vae(), 8, NANO)
    about = json.loads((tmp_path / "latents" / "clips.json").read_text())
    del about["long"]
    (tmp_path / "latents" / "clips.json").write_text(json.dumps(about))
    assert len(datasets.fill_cache(tmp_path / "latents", tiny_vae(), 8, NANO)) == 8


def test_cache_outlives_a_better_decoder(tmp_path):
    vae = tiny_vae()
    datasets.fill_cache(tmp_path / "latents", vae, 8, NANO)
    vae.decoder.load_state_dict(tiny_vae(1).decoder.state_dict())
    assert len(datasets.fill_cache(tmp_path / "latents", vae, 8, NANO)) == 8
    vae.std.mul_(2)
    with pytest.raises(UserError, match="other latents"):
        datasets.fill_cache(tmp_path / "latents", vae, 8, NANO)


def test_cache_of_another_vae_or_a_half_made_one_is_refused(tmp_path):
    datasets.fill_cache(tmp_path / "latents", tiny_vae(), 8, NANO)
    with pytest.raises(UserError, match="other latents"):
        datasets.fill_cache(tmp_path / "latents", tiny_vae(1), 8, NANO)
    with pytest.raises(UserError, match="no latent cache"):
        datasets.LatentCache(tmp_path)


def test_several_processes_make_the_same_cache(tmp_path):
    vae = tiny_vae()
    one = datasets.fill_cache(tmp_path / "one", vae, 70, NANO, processes=1)
    two = datasets.fill_cache(tmp_path / "two", vae, 70, NANO, processes=2)
    assert one.about == two.about and len(one) == 70
    assert np.allclose(one.latents, two.latents, atol=2e-3) and np.abs(one.latents[-1]).max() > 0
