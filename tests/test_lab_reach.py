"""Who hears of whom: disturbed and counted as the formulas say; what a look is good for; what it costs."""

import numpy as np
import pytest
import torch

from minit2v.arithmetic import Cost, TokenGrid, pairs
from minit2v.attention import SpacetimeAttention
from minit2v.lab import reach

GRID = TokenGrid(3, 2, 2)


@pytest.mark.parametrize(("kind", "window"), [("full", None), ("spatial", None), ("temporal", None), ("windowed", 1)])
def test_disturbing_tokens_finds_as_many_pairs_as_the_formula(kind, window):
    heard = reach.who_hears(reach.layers(kind, window=window), GRID)
    assert heard.sum() == pairs("full" if kind == "windowed" else kind, GRID, window)
    assert (heard == heard.T).all() and heard.diagonal().all()


def test_who_hears_is_who_stands_in_the_same_frame_or_place():
    frame, place = np.divmod(np.arange(GRID.tokens), GRID.places)
    spatial, temporal = (reach.who_hears(reach.layers(kind), GRID) for kind in ("spatial", "temporal"))
    assert (spatial == (frame[:, None] == frame)).all() and (temporal == (place[:, None] == place)).all()


def test_factorised_layers_hear_everything_in_two_rounds():
    assert [layer.layout for layer in reach.layers("factorised")] == ["spatial", "temporal"]
    assert reach.who_hears(reach.layers("factorised"), GRID).all()
    found = [reach.layers_until_heard(kind, GRID, most=3) for kind in ("full", "factorised", "spatial", "temporal")]
    assert found == [1, 2, None, None]
    assert reach.layers_until_heard("windowed", TokenGrid(5, 1, 2), window=2) == 2


def test_the_picture_tells_the_counts():
    heard = {kind: reach.who_hears(reach.layers(kind), GRID) for kind in ("full", "temporal")}
    assert "full: 144 of 144 pairs; temporal: 36 of 144 pairs" in reach.matrices(heard, GRID).alt


def test_counted_products_are_four_times_width_and_scores():
    layer, x = SpacetimeAttention(16, 2, "temporal").eval(), torch.randn(1, 3, 4, 16)
    assert reach.counted(lambda: layer(x)) == 4 * 16 * pairs("temporal", GRID)


def test_times_are_of_every_kind_and_grid():
    found = reach.timed([GRID, TokenGrid(4, 2, 2)], ("full", "factorised"))
    assert list(found) == ["full", "factorised"] and all(len(v) == 2 and min(v) > 0 for v in found.values())
    scores = {"full": [144, 256], "factorised": [84, 128]}
    picture = reach.beside_the_formula([GRID, TokenGrid(4, 2, 2)], scores, found)
    assert "full from 144 to 256 scores; factorised from 84 to 128 scores" in picture.alt


def naive(pixels, noise, may_look, patch=3, softness=0.5):
    """`look_alikes` pixel by pixel, in float64, with may_look((t, y, x), (t, y, x))."""
    x, r = pixels.double().numpy(), patch // 2
    f, _, h, w = x.shape
    padded = np.pad(x, [(0, 0), (0, 0), (r, r), (r, r)], mode="edge")
    cells = [(t, i, j) for t in range(f) for i in range(h) for j in range(w)]
    patches = {(t, i, j): padded[t, :, i : i + patch, j : j + patch].ravel() for t, i, j in cells}
    out = np.zeros_like(x)
    for a in cells:
        seen = [b for b in cells if may_look(a, b)]
        distance = np.array([((patches[a] - patches[b]) ** 2).sum() for b in seen])
        weight = np.exp(-distance / (2 * softness * len(patches[a]) * noise**2))
        out[a[0], :, a[1], a[2]] = weight @ np.stack([x[t, :, i, j] for t, i, j in seen]) / weight.sum()
    return out


RULES = {
    "full": lambda a, b: True, "spatial": lambda a, b: a[0] == b[0], "temporal": lambda a, b: a[1:] == b[1:],
}  # fmt: skip


@pytest.mark.parametrize("layout", RULES)
def test_look_alikes_are_a_weighted_mean_over_who_may_be_looked_at(layout):
    pixels = torch.randn(3, 3, 4, 4, generator=torch.Generator().manual_seed(2)) * 20 + 100
    found = reach.look_alikes(pixels, layout, noise=25, patch=3)
    np.testing.assert_allclose(found.numpy(), naive(pixels, 25, RULES[layout]), rtol=1e-4)


def test_flicker_and_grain_part_the_error():
    truth = torch.zeros(4, 3, 8, 8)
    jumps = torch.tensor([2.0, -2.0, 2.0, -2.0])[:, None, None, None]
    checks = 5.0 * (-1.0) ** torch.arange(8)
    assert reach.flicker_and_grain(truth + jumps, truth) == (2.0, 0.0)
    assert reach.flicker_and_grain(truth + checks, truth) == (0.0, 5.0)
    assert reach.flicker_and_grain(truth + 7, truth) == (0.0, 0.0)  # steady is neither


def test_bars_of_other_models():
    rows = [("small", Cost(linear=75, attention=25)), ("large", Cost(linear=1, attention=99))]
    picture = reach.bills(rows, "two bars")
    assert picture.alt == "two bars" and picture.picture.width > 900
