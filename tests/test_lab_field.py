"""Stand-ins for the field's measures: each has the form of its model, and the blindness that follows from it."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.linalg import sqrtm

from minit2v.lab import field
from minit2v.world.captions import parse
from minit2v.world.render import render
from minit2v.world.scenes import scene

BALL = parse("a large red ball moves left on a checkered floor")


@pytest.fixture(scope="module")
def ball():
    return render(scene(BALL, 3))


def test_the_distance_is_frechets():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(200, 4)) @ rng.normal(size=(4, 4)), 1 + 2 * rng.normal(size=(150, 4))
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    naive = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(first + second - 2 * sqrtm(first @ second).real)
    assert field.frechet(a, b) == pytest.approx(naive, rel=1e-6)
    assert field.frechet(a, a) == pytest.approx(0, abs=1e-6)


def test_the_description_sees_change_and_not_its_direction(ball):
    assert field.describe(ball).shape == (36,)
    np.testing.assert_allclose(field.describe(ball[::-1]), field.describe(ball))
    assert np.abs(field.describe(ball[:1].repeat(17, axis=0))[24:]).max() == 0 < field.describe(ball)[24:].max()


def test_frame_by_frame_the_order_does_not_count(ball):
    assert field.clip_like(ball, BALL) == field.clip_like(ball[::-1], BALL) == 1
    assert field.clip_like(ball, parse("a large blue star moves left on a checkered floor")) == 0.5


def test_flickering_is_vbenchs_formula(ball):
    naive = np.mean([np.abs(a.astype(float) - b).mean() for a, b in pairwise(ball)])
    assert field.vbench_like(ball)["temporal flickering"] == pytest.approx((255 - naive) / 255)


def test_a_photograph_is_perfect_but_for_its_motion(ball):
    scores = field.vbench_like(np.repeat(ball[:1], 17, axis=0))
    assert {name for name, value in scores.items() if abs(value - 1) < 1e-9} == set(field.WEIGHTS) - {"dynamic degree"}
    assert scores["dynamic degree"] == 0 and field.vbench_like(ball)["dynamic degree"] == 1


def test_heaps_are_spoiled_in_one_way_each():
    meanings, real, other = field.draw(4)
    heaps = field.spoiled(real)
    assert {(len(heap), heap[0].shape, heap[0].dtype.name) for heap in heaps.values()} == {(4, real[0].shape, "uint8")}
    assert (heaps["backwards"][1] == real[1][::-1]).all() and (heaps["prompts swapped"][3] == real[0]).all()
    assert sorted(map(bytes, heaps["shuffled"][2])) == sorted(map(bytes, real[2]))
    assert not any((a == b).all() for a, b in zip(real, other, strict=True)) and len(set(meanings)) == 4


def test_the_scorecard_and_its_picture():
    meanings, real, other = field.draw(4)
    heaps = {name: heap for name, heap in field.spoiled(real).items() if name in ("real", "backwards")}
    table = field.scorecard(heaps, meanings, other, judged=2)
    assert list(table["real"]) == list(field.GOOD) and table["real"]["adherence"] == 1
    right, wrong = table["real"], table["backwards"]
    assert wrong["speed"] < 0 and wrong["FVD-like"] == pytest.approx(right["FVD-like"])
    assert "backwards" in (alt := field.drawn(table).alt) and "fooled: FVD-like, CLIP-like" in alt


@pytest.mark.parametrize(
    ("name", "value", "real", "blind"),
    [("adherence", 1.0, 1.0, True), ("adherence", 0.9, 1.0, False), ("flicker", 0.0, 0.5, True),
     ("flicker", 3.0, 0.01, False), ("speed", 1.01, 1.0, True), ("speed", 0.25, 1.0, False), ("speed", -1, 1, False),
     ("FVD-like", 640.0, 640.0, True), ("FVD-like", 900.0, 640.0, False)],
)  # fmt: skip
def test_who_is_fooled(name, value, real, blind):
    assert field.fooled(name, value, real) == blind
