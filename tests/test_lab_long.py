"""What lesson 13 shows of long clips: bills, positions, a relay without mistakes, drift, cameras."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_system import save_tiny

from minit2v import TextToVideo
from minit2v.clip import Clip
from minit2v.dit import DiT, DiTConfig
from minit2v.lab import long
from minit2v.lab import long_figures as figures
from minit2v.physics import camera_jumps
from minit2v.request import Given, Sliding
from minit2v.world.oracle import judge
from minit2v.world.render import render
from minit2v.world.windows import plan

CONFIG = DiTConfig(channels=24)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return TextToVideo.from_pretrained(save_tiny(tmp_path_factory.mktemp("tiny")))


# ---- bills ---------------------------------------------------------------------------------------------------------


def test_a_bill_counts_windows_frames_and_scores():
    one, many = long.bill(CONFIG, 69, 0), long.bill(CONFIG, 69, 9)
    assert (one.windows, one.frames, one.tokens, one.scores) == (1, 69, 18 * 16, (18 * 16) ** 2)
    assert (many.windows, many.frames, many.tokens, many.scores) == (8, 8 * 17, 5 * 16, 8 * (5 * 16) ** 2)
    assert many.flops == 8 * long.bill(CONFIG, 17, 9).flops


def test_flops_of_a_window_are_those_of_the_model():
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from minit2v.text import TextFeatures

    config = DiTConfig(channels=24, dim=24, layers=2, heads=2, text_dim=24)
    text = TextFeatures(torch.zeros(1, 10, 24), torch.ones(1, 10, dtype=torch.bool), torch.zeros(1, 24))
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        DiT(config)(torch.zeros(1, 5, 24, 8, 8), torch.ones(1, 5), text)
    assert long.bill(config, 17, 0).flops == counter.get_total_flops()


@pytest.mark.parametrize("context", [1, 5])
def test_windows_pay_from_the_first_length_at_which_they_are_cheaper(context):
    first = long.pays_from(CONFIG, context)
    for frames, cheaper in ((first - 4, False), (first, True)):
        assert (long.bill(CONFIG, frames, context).flops < long.bill(CONFIG, frames, 0).flops) == cheaper
    assert long.pays_from(CONFIG, context, most=first) is None


def test_windows_stream_in_flat_memory(tiny):
    still = "a large blue box stands still"
    ways = Sliding(0), Sliding(9)
    piece, sliding = ([long.peak(tiny, still, frames, how) for frames in (17, 33, 65)] for how in ways)
    assert piece[0] == sliding[0] and piece[2] > 3 * piece[0]
    assert max(sliding) < 1.6 * sliding[0]  # whose tensors are small beside the frames of a window


# ---- positions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("positions", ["both", "rotary", "sinusoidal"])
def test_latent_frames_are_placed_in_time(positions):
    dit = DiT(DiTConfig(channels=4, dim=24, layers=1, heads=2, text_dim=24, positions=positions))
    own = dit.positions((9, 2, 2))
    with long.placed(dit, range(9)):
        same = dit.positions((9, 2, 2))
    with long.placed(dit, (8, 2)):
        two = dit.positions((2, 2, 2))
    for mine, again, moved in zip(own, same, two, strict=True):
        assert (mine is None) == (again is None) == (moved is None)
        if mine is not None:
            assert torch.allclose(mine, again) and torch.allclose(moved, mine[[8, 2]])
    assert all(a is b or torch.equal(a, b) for a, b in zip(own, dit.positions((9, 2, 2)), strict=True))


def test_positions_pressed_together_end_where_training_did():
    assert long.squeezed(17, 5) == [i / 4 for i in range(17)]


def test_misses_are_measured_on_frames_that_are_not_given(tiny):
    latents = torch.randn(2, 5, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    prompts = ["a small ball bounces"] * 2
    found = long.misses(tiny, latents, prompts)
    given = long.misses(tiny, latents, prompts, given=2)
    assert found.shape == (5,) and (found > 0).all()
    assert given[:2].max() < 1e-5 < given[2:].min()
    assert np.allclose(long.misses(tiny, latents, prompts, times=range(5)), found, atol=1e-5)
    assert not np.allclose(long.misses(tiny, latents, prompts, times=range(8, 13)), found, atol=1e-4)


# ---- a relay without mistakes --------------------------------------------------------------------------------------


def test_the_ball_runs_round_in_two_ways():
    right, left = long.circling(0, 65)
    assert np.array_equal(right[0], left[0]) and np.allclose(long.across(right), -long.across(left), atol=0.6)
    assert long.across(right)[4] == pytest.approx(9, abs=0.6)
    assert np.array_equal(long.circling(12)[0], right[12:29])
    assert long.ways(right, [0, 16, 32]) == [1, 1, 1] and long.ways(left, [0, 16, 32]) == [-1, -1, -1]
    turned = np.concatenate([right[:17], left[17:]])
    assert long.ways(turned, [0, 16, 32, 48]) == [1, -1, -1, -1]


@pytest.mark.parametrize("hidden", [1, 2, 3, 5, 6, 16])
def test_the_ball_is_behind_the_pillar_for_so_many_frames(hidden):
    clips = long.behind(hidden, 0, 53)
    apart = (clips != clips[:1]).any(axis=(0, 2, 3, 4))
    assert np.flatnonzero(~apart).tolist() == list(range(long.HIDES, long.HIDES + hidden))
    assert np.array_equal(long.behind(hidden, 24), clips[:, 24:41])
    assert [long.color_of(clip[0]) for clip in clips] == list(long.FOUR) and long.color_of(clips[0][long.HIDES]) is None


def test_what_is_seen_is_remembered_and_nothing_else():
    plain = SimpleNamespace(encode=lambda clips: torch.from_numpy(np.stack(clips)).permute(0, 1, 4, 2, 3) / 255)
    assert long.remembered(plain, 4, 5) == pytest.approx(1, abs=1e-6)
    assert long.remembered(plain, 5, 5) == pytest.approx(0.25)


def test_the_witness_goes_on_with_what_her_context_says():
    """Through the real pipeline and the committed autoencoder: a ball on a circle, three windows."""
    witness = long.Witness(TextToVideo.from_pretrained("sora"), long.circling)
    top = Given(first=long.circling(0, 1)[0])
    clips = witness.generate_batch([long.CIRCLE] * 2, [0, 1], frames=41, steps=6, given=[top] * 2, sliding=Sliding(5))
    for clip in clips:
        rounds = long.ways(clip.frames, [0, 16, 28])
        assert len(set(rounds)) == 1
        truth = long.circling(0, 41)[0 if rounds[0] == 1 else 1]
        assert np.abs(long.across(clip.frames) - long.across(truth)).max() < 1.5
    assert sorted(witness.few) == [window.start for window in plan(41, 17, 5)]


# ---- copies and drift ----------------------------------------------------------------------------------------------


def test_copies_of_a_perfect_autoencoder_are_the_picture():
    perfect = SimpleNamespace(encode=lambda clips: np.stack(clips), decode=lambda latents: latents)
    picture = long.circling(0, 1)[0]
    assert np.array_equal(long.copied(perfect, picture, 3), picture.repeat(4, axis=0))
    assert long.psnr(picture, picture)[0] == 100
    assert long.psnr(picture.clip(0, 254) + 1, picture)[0] == pytest.approx(20 * np.log10(255), abs=0.2)


def test_drift_is_that_of_the_subject_second_by_second():
    prompt = "a large pink box spins under a starry sky"
    told = long.staged(prompt, 1, 33)
    frames = render(told)
    assert long.off(Clip(frames, prompt)).max() < 0.6
    other = render(replace(told, color=np.array([0.3, 0.6, 0.9])))
    found = long.off(Clip(np.concatenate([frames[:17], other[17:]]), prompt))
    assert found.shape == (4,) and found[:2].max() < 0.6 and found[2:].min() > 2
    assert long.off(Clip(frames[:1].repeat(33, axis=0), prompt)).max() == 0
    away = render(replace(told, position=told.position + 300))
    assert long.off(Clip(np.concatenate([frames[:25], away[25:]]), prompt))[-1] == long.LOST


def test_a_bigger_run_is_read_if_it_is_there(tmp_path, monkeypatch):
    monkeypatch.setattr(long, "STORED", tmp_path / "drift.json")
    assert long.stored() is None and "benchmarks/drift.py" in repr(figures.stored_drift(None))
    (tmp_path / "drift.json").write_text('{"a way": {"identity": {"mean": [0.5, 1.5]}}}')
    assert "a way: 0.5 in second 1, 1.5 in the last" in figures.stored_drift(long.stored()).alt


# ---- cameras -------------------------------------------------------------------------------------------------------


def test_every_shot_can_be_staged_and_a_shifted_one_jumps_once():
    assert len(long.SHOTS) == 5 and all(long.staged(prompt, 3, 41).world.frames == 41 for prompt in long.SHOTS.values())
    told = long.staged(long.SHOTS["pan right"], 1, 17)
    moved = long.shifted(told, 9, 5.0)
    assert np.array_equal(moved.camera[:9], told.camera[:9]) and np.allclose(moved.camera[9:] - told.camera[9:], [5, 0])
    assert [camera_jumps(judge(render(each)).track) for each in (told, moved)] == [0, 1]


def test_windows_are_asked_for_what_is_due():
    rows = long.asked("a small red box moves right then moves up", 69, 9)
    assert [window for window, _ in rows] == plan(69, 17, 9)
    assert rows[0][1] == "a small red box moves right" and rows[-1][1] == "a small red box moves up"
    assert all(long.staged(prompt, 0, 69) for prompt in long.PROMPTS)


# ---- figures -------------------------------------------------------------------------------------------------------


def test_figures_tell_what_they_show():
    flat = {name: np.full(9, value) for name, value in (("a", 1.0), ("b", 0.5))}
    assert "a: 1.00 in latent frames 1 to 4, 1.00 beyond" in figures.errors(flat, 5).alt
    planner = figures.Planner(CONFIG)
    assert "context 9: 8 windows, 136 frames drawn for 69" in planner.still.alt
    assert "in one piece" in planner.page(figures.START) and "4,372,758,528" in planner.page(figures.START)
    assert planner.widget is planner.widget
    planner.sliders["context"].value = 0
    assert "context" not in planner.page({"frames": 69, "context": 0})
    assert "a: 1, 2 MB" in figures.memory((17, 33), {"a": [1e6, 2e6], "b": [1e6, 1e6]}).alt
    wave = np.zeros(9)
    assert "one: windows meet at frames 4, 8" in figures.tracks({"one": ([wave], [4, 8]), "two": ([wave], [4])}).alt
    alt = figures.forgetting({1: {2: 0.25, 6: 0.25}, 5: {2: 1.0, 6: 0.25}}).alt
    assert "1 known: never remembered; 5 known: remembered up to 2 hidden" in alt
    assert "one: missed at 1, 16 px" in figures.teleports({"one": {1: 0, 3: 1, 16: 0}}).alt
    frame = np.zeros((8, 8, 3), np.uint8)
    assert "Pictures. a; b." in figures.gallery([frame, frame], ["a", "b"], "Pictures.").alt
    assert "a ball" in repr(figures.asked_table([(plan(17, 17, 9)[0], "a ball")], "what"))


def test_camera_tracks_are_told_and_measured():
    shots = {}
    for name in long.SHOTS:
        told = long.staged(long.SHOTS[name], 3, 33)
        shots[name] = told, SimpleNamespace(camera=told.camera, zoom=told.zoom)
    alt = figures.cameras(shots).alt
    assert "pan left: -24 px across, zoom 1.00" in alt and "hold: +0 px across" in alt
