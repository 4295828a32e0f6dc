"""Lesson 05's tools: what they take apart must come apart, and what is one and the same must stay so."""

import numpy as np
import pytest
import torch

from minit2v.clip import Clip
from minit2v.lab import prompts, prompts_figures
from minit2v.recipes import NANO, PromptedDenoiser, config_of
from minit2v.world.captions import COLORS, SUBJECTS, VOCABULARY, parse
from minit2v.world.render import render
from minit2v.world.scenes import scene

PROMPT = "a large red ball moves left"


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(1)
    model = PromptedDenoiser(config_of(NANO)).eval()
    with torch.no_grad():  # a fresh denoiser is silent whatever it is told
        for parameter in model.denoiser.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


@pytest.fixture(scope="module")
def shown():
    asks = ["a large red ball stands still at night", "a large blue box stands still on a checkered floor"]
    return [Clip(render(scene(parse(ask), 1)), ask) for ask in asks]


@pytest.mark.parametrize("attribute", prompts.HOLES)
def test_phrasings_say_what_they_are_said_to(attribute):
    values, asks = prompts.phrasings(attribute)
    name = "motions" if attribute == "motion" else attribute
    for value, ask in zip(values, asks, strict=True):
        assert getattr(parse(ask), name) == ((value,) if attribute == "motion" else value)
        assert set(ask.replace(",", "").split()) <= set(VOCABULARY)


def test_distances_gaps_and_neighbors():
    vectors = torch.tensor([[0.0, 0], [0, 1], [10, 0], [10, 1]])
    found = prompts.distances(vectors)
    assert found[~np.eye(4, dtype=bool)].mean() == pytest.approx(1)
    same, other = prompts.gap(found, ["a", "a", "b", "b"])
    assert other / same == pytest.approx((20 + 2 * 101**0.5) / 4, rel=1e-5)
    assert prompts.neighbors(found, ["a", "a", "b", "b"]) == (4, 4)
    assert prompts.neighbors(found, ["a", "b", "b", "a"]) == (0, 4)
    assert prompts.neighbors(found, ["a", "a", "b", "c"]) == (2, 2)


def test_a_bag_of_words_forgets_the_order_and_nothing_else(model):
    swapped = ["a ball moves left, the camera moves right", "a ball moves right, the camera moves left"]
    first, second = prompts.pooled(model, swapped, ordered=False)
    assert torch.allclose(first, second, atol=1e-5)
    first, second = prompts.pooled(model, swapped)
    assert not torch.allclose(first, second, atol=1e-3)
    assert torch.equal(first, prompts.pooled(model, swapped)[0])  # the positions are back
    assert model.text.positions.any()


def test_a_sum_of_parts_is_found_where_meanings_add_up(model):
    class Adding(torch.nn.Module):  # one axis for each color and each subject, whatever it is called
        def __init__(self):
            super().__init__()
            self.positions, self.none = torch.zeros(1), torch.nn.Parameter(torch.zeros(1))

        def forward(self, ids, mask):
            found = []
            for row in ids.tolist():
                meant = parse(" ".join(model.tokenizer.names[i] for i in row if i > 1))
                axes = [*COLORS, *SUBJECTS]
                found.append([float(name in (meant.color, meant.subject)) for name in axes])
            return type("Features", (), {"pooled": torch.tensor(found)})

    assert set(prompts.sums_of_parts(model, Adding()).values()) == {0}
    assert any(prompts.sums_of_parts(model, prompts.untrained(model)).values())


def test_an_untrained_encoder_is_the_same_each_time_and_leaves_the_dice_alone(model):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, two = prompts.untrained(model), prompts.untrained(model)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(one.embedding.weight, two.embedding.weight)
    assert not torch.equal(one.embedding.weight, model.text.embedding.weight)


def test_padding_changes_nothing_unless_it_is_unmasked(model):
    plain = model.read([PROMPT])
    good, bad = prompts.padded(model, PROMPT, 20), prompts.padded(model, PROMPT, 20, masked=False)
    assert good.tokens.shape == bad.tokens.shape == (1, 20, 128)
    n = plain.tokens.shape[1]
    assert torch.allclose(good.pooled, plain.pooled, atol=1e-5)
    assert torch.allclose(good.tokens[:, :n], plain.tokens, atol=1e-5)
    assert not torch.allclose(bad.pooled, plain.pooled, atol=1e-2) and bad.mask.all()


class Small:
    """What `draw` and `swapped` need of a system."""

    def __init__(self, model):
        self.model, self.world = model, model.world
        self.sampling = type("Sampling", (), {"shift": 4.0})

    def latent_shape(self, frames):
        return 2, 8, 4, 4


def test_calls_are_counted(model):
    for scale, each in ((1, 2), (3, 4)):
        with prompts.counted(model) as sizes:
            prompts.draw(Small(model), [PROMPT] * 2, [0, 1], scale, steps=3)
        assert sizes == [each] * 3
    assert not model._forward_hooks


def test_a_prompt_that_is_swapped_at_the_ends_is_one_prompt(model):
    system, other = Small(model), "a small blue box at night"
    ends = prompts.swapped(system, [PROMPT], [other], [3], steps=3, at=range(4))
    assert torch.allclose(ends[0], prompts.draw(system, [other], [3], steps=3), atol=1e-5)
    assert torch.equal(ends[3], prompts.draw(system, [PROMPT], [3], steps=3))
    assert not torch.allclose(ends[1], ends[0], atol=1e-4) and not torch.allclose(ends[2], ends[1], atol=1e-4)


def test_shares_and_what_a_clip_follows(shown):
    share, low, high = prompts.share(shown)
    assert share == high == 1 and 0 < low < 1
    assert prompts.share(shown, shift=1)[0] == 0
    first, second = (clip.meaning for clip in shown)
    assert [prompts.follows(clip, first, second, "background") for clip in shown] == ["first", "second"]
    away = Clip(render(scene(parse("a large green ball stands still by a wall of bricks"), 1)), PROMPT)
    assert prompts.follows(away, first, second, "color") == "neither"


def test_figures_describe_themselves(model, shown):
    values, asks = prompts.phrasings("size")
    found = prompts.distances(prompts.pooled(model, asks))
    text = model.read([PROMPT])
    rows = [(0.2, 0.1, 0.4), (1.0, 0.8, 1.0)]
    figures = [
        prompts_figures.roads(PROMPT, ["start", *PROMPT.split()], text, tokens=80, layers=6),
        prompts_figures.apart({"one": found, "two": found}, values, asks),
        prompts_figures.obedience([0, 1], rows, rows, {"plain": [1, 2], "rescaled": [1]}, 2),
        prompts_figures.handover([0, 4], [1.0, 0.5], {"color": [0, 1], "background": [1, 1]}),
    ]
    assert all(len(figure.alt) > 80 and figure.png for figure in figures)
    assert "1.00 at 1" in figures[2].alt and "color: 0.00, 1.00" in figures[3].alt
    slider = prompts_figures.scales_slider({0: shown, 1: shown})
    assert len(slider.pictures) == 2 and "guidance 1: colors red, blue" in slider.alt
