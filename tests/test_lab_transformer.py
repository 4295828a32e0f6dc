"""What lesson 08 reads off a transformer: news, questions to words, given frames. No trained weights are needed."""

import numpy as np
import pytest
import torch

from minit2v.attention import QKNorm
from minit2v.diffusion import sigmas
from minit2v.dit import DiT, DiTConfig
from minit2v.lab import transformer
from minit2v.lab import transformer_figures as figures
from minit2v.text import TextFeatures
from minit2v.world.render import render

SIZES = dict(channels=3, patch=(1, 2, 2), dim=24, layers=4, heads=2, text_dim=8)


def dit(**changes):
    torch.manual_seed(0)
    model = DiT(DiTConfig(**SIZES | changes)).eval()
    for weight in model.parameters():  # fresh branches are shut: open them
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.2)
    return model.requires_grad_(False)


def clip(frames=6):
    torch.manual_seed(1)
    mask = torch.tensor([[True, True, True, False]])
    text = TextFeatures(torch.randn(1, 4, 8), mask, torch.randn(1, 8))
    return torch.randn(1, frames, 3, 4, 4), torch.full((1, frames), 0.5), text


def test_the_last_tokens_are_those_that_the_head_reads():
    model, (latents, level, text) = dit(), clip()
    found = transformer.tokens(model, latents, level, text)
    assert found.shape == (5, 1, 6, 4, 24)
    with transformer.watched(model.head) as seen:
        out = model(latents, level, text)
    assert torch.equal(seen[0][0][0], found[-1])
    assert torch.equal(model(latents, level, text), out)  # watching leaves nothing behind


@pytest.mark.parametrize(
    ("attention", "window", "arrival"),
    [("full", None, 1), ("factorised", None, 2), ("full", 1, 3), ("full", 2, 2), ("spatial", None, None)],
)
def test_news_arrive_after_as_many_layers_as_the_layout_says(attention, window, arrival):
    model = transformer.refolded(dit(), attention, window)
    moved = transformer.heard(model, *clip(), frame=1, place=0)
    assert moved.shape == (5, 6, 4)
    assert transformer.reach(moved)[0] == 1 and moved[0, 1, 0] > 0
    arrived = (moved[:, 4, 3] > 1e-12).nonzero().flatten().tolist()  # another place, three frames on
    assert (arrived[0] if arrived else None) == arrival


def test_refolding_keeps_the_weights():
    model = dit()
    other = transformer.refolded(model, "factorised")
    assert other.config.attention == "factorised"
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_disturbing_one_token_changes_its_cube_and_nothing_else():
    latents = torch.zeros(1, 2, 3, 4, 4)
    moved = transformer.disturbed(latents, (1, 2, 2), frame=1, place=1)[0] != 0
    assert moved[1, :, :2, 2:].all() and moved.sum() == 3 * 4


def test_questions_to_words_are_those_that_the_layer_computes():
    model, (latents, level, text) = dit(), clip()
    found = transformer.to_words(model, latents, level, text)
    assert found.shape == (4, 1, 2, 24, 4)
    assert torch.allclose(found.sum(-1), torch.ones(()), atol=1e-6) and not found[..., 3].any()
    module = model.blocks[1].text_attention
    with transformer.watched(module) as seen:
        model(latents, level, text)
    (_, context, _), out = seen[0]
    values = module.kv(context)[..., 24:].unflatten(-1, (2, 12))  # (b, words, h, d)
    by_hand = module.out(torch.einsum("bhnm,bmhd->bnhd", found[1], values).flatten(2))
    assert torch.allclose(by_hand, out, atol=1e-5)


def test_scores_know_differences_of_places_only():
    q, k = torch.randn(2, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    home = transformer.score(q, k, (1, 2, 3), (4, 4, 4))
    assert transformer.score(q, k, (11, 2, 30), (14, 4, 31)) == pytest.approx(home)
    assert transformer.score(q, k, (1, 2, 3), (4, 4, 5)) != pytest.approx(home, abs=1e-3)
    assert transformer.score(q, k, (5, 5, 5), (5, 5, 5)) == pytest.approx(float(q @ k) / 12**0.5)


def test_lengths_make_attention_sharp_unless_they_are_normalized():
    q, k = torch.randn(2, 16, 8, generator=torch.Generator().manual_seed(0))
    norm = QKNorm(8)
    assert transformer.sharpness(q, k) < transformer.sharpness(10 * q, 10 * k)
    assert transformer.sharpness(q, k, norm) == pytest.approx(transformer.sharpness(10 * q, 10 * k, norm), abs=1e-5)
    by_hand = np.exp(q.numpy() @ k.numpy().T / 8**0.5)
    assert transformer.sharpness(q, k) == pytest.approx((by_hand / by_hand.sum(1, keepdims=True)).max(1).mean())


def test_the_subject_covers_the_tokens_where_it_stands():
    bare = np.zeros((5, 4, 8, 3), np.uint8)
    frames = bare.copy()
    frames[0, :2, :2], frames[1:3, 2:, 6:] = 200, 200
    found = transformer.covered(frames, bare, (2, 2, 4))
    assert found.shape == (2, 2, 4)
    assert found[0, 0, 0] == 1 and found[0].sum() == 1
    assert found[1, 1, 3] == 0.5 and found[1].sum() == 0.5  # in two of four frames


def test_clips_part_at_the_crossroads():
    prompts, scenes = transformer.crossroads(colors=("red",), ways=("left", "up"))
    assert prompts[1] == "a small red ball moves up on a checkered floor"
    left, up = (render(each) for each in scenes)
    assert np.array_equal(left[0], up[0]) and not np.array_equal(left[4], up[4])
    assert scenes[0].screen_position[0] == pytest.approx([32, 32])


def test_given_frames_stay_and_the_others_are_made():
    latents, noise = torch.randn(4, 3, 2, 2), torch.randn(2, 4, 3, 2, 2)
    made = transformer.ends(lambda x, sigma: torch.zeros_like(x), noise, sigmas(3), latents, [0, 3])
    assert torch.equal(made[:, [0, 3]], latents[[0, 3]].expand(2, -1, -1, -1, -1))
    assert torch.equal(made[:, 1:3], noise[:, 1:3])
    assert transformer.given(latents, [], 2) is None


def test_the_timetable_is_the_samplers_own():
    schedule, latents = sigmas(4, 2.0), torch.zeros(3, 2, 2, 2)
    free = transformer.timetable(schedule, None, 3)
    assert np.allclose(free, schedule.numpy()[:, None].repeat(3, axis=1))
    held = transformer.timetable(schedule, transformer.given(latents, [1], 1), 3)
    assert not held[:, 1].any() and np.allclose(held[:, [0, 2]], free[:, [0, 2]])


def test_figures_tell_what_they_show():
    frames = np.zeros((5, 8, 8, 3), np.uint8)
    assert "one long row of 8 tokens" in figures.cut(frames, (2, 2, 2)).alt
    assert "57 degrees a frame" in figures.clocks(12, (0, 2)).alt
    moved = torch.zeros(3, 4, 2)
    moved[0, 1, 0], moved[1:, 1], moved[2, 2] = 1, 1, 0.1
    alt = figures.travels({"a": moved, "b": moved, "c": moved, "d": moved}, 1, 2).alt
    assert "arrives after layer 2, 4 of 8 tokens" in alt
    assert "never arrives" in figures.travels({"a": moved, "b": moved, "c": moved, "d": moved}, 1, 3).alt
    table = np.array([[1.0, 0.0], [0.0, 0.0]])
    assert "one: frame 1 at 0 throughout" in figures.timetables({"one": table, "two": table[:, :1]}).alt
    values = np.array([[0.1], [0.3]])
    assert "MLP: 0.10 at level 0, 0.30 at level 1" in figures.gates([0, 1], {"MLP": values, "other": values}).alt


def test_a_word_is_lit_where_it_is_asked_for():
    frames = np.full((5, 4, 4, 3), 100, np.uint8)
    weights = np.array([[[0.0, 1.0]], [[0.5, 0.0]]])  # (f, h', w')
    shown = figures.lit(frames, weights, 1.0)
    assert shown[0, 0, 3].tolist() == [190, 70, 0] and shown[0, 0, 0].tolist() == [190, 190, 190]
    assert shown[3, 0, 0].tolist() == [190, 130, 95]
    steps = figures.words(frames, weights[None], ["red"], ["a note"])
    assert "red: a note" in steps.still.alt
