"""A motion of one's own: said, shown and read back while it lasts, and nothing of it left afterwards."""

import random

import numpy as np
import pytest

from minit2v.errors import UserError
from minit2v.world import captions, laws, scenes
from minit2v.world.captions import parse, phrase
from minit2v.world.extension import speaking
from minit2v.world.oracle import judge, matches
from minit2v.world.render import render
from minit2v.world.scenes import NANO, STANDARD, sample_meaning, scene

OLD = "a small striped dog moves left on a checkered floor"


def zigzag(time, pace):
    """To the right, and up and down by 8 px in every second."""
    phase = time * pace % 1.0
    return np.stack([7 * pace * time, -8 * (1 - np.abs(2 * phase - 1))], axis=1)


def state():
    words = dict(captions.MOTIONS), dict(captions.PHRASES), dict(captions.REPERTOIRE), captions.VOCABULARY
    return *words, dict(scenes.ADDED), STANDARD.motions


@pytest.mark.parametrize("world", [STANDARD, NANO], ids=lambda world: world.name)
def test_it_is_said_shown_and_read(world):
    with speaking("zigzags", zigzag, ("ball", "box"), world) as spoken:
        for seed, subject in enumerate(("ball", "box")):
            asked = parse(f"a small red {subject} zigzags on a checkered floor")
            staged = scene(asked, seed, spoken)
            time = np.arange(world.frames) / world.fps
            assert np.allclose(staged.position - staged.position[0], zigzag(time, 1.0))
            reading = judge(render(staged), spoken)
            assert reading.motions == ("zigzags",) and all(matches(reading, asked).values())
            assert parse(phrase(asked, random.Random(seed))) == asked


def test_paces_and_then_work_as_for_any_motion():
    with speaking("zigzags", zigzag) as spoken:
        asked = parse("a small blue star zigzags quickly on a checkered floor")
        reading = judge(render(scene(asked, 1, spoken)), spoken)
        assert reading.motions == ("zigzags",) and reading.speed == "quick"
        asked = parse("a small blue star zigzags then stands still on a checkered floor")
        assert judge(render(scene(asked, 1, spoken)), spoken).motions == asked.motions


def test_meanings_are_drawn_with_it_for_those_who_can():
    with speaking("zigzags", zigzag, ("ball",)) as spoken:
        drawn = [sample_meaning(random.Random(seed), spoken) for seed in range(150)]
        assert {each.subject for each in drawn if "zigzags" in each.motions} == {"ball"}
        with pytest.raises(UserError, match="not in the standard world"):
            scene(parse("a red box zigzags"), 0, spoken)


def test_nothing_old_looks_otherwise_and_nothing_stays():
    before, clip = state(), render(scene(parse(OLD), 3))
    with speaking("zigzags", zigzag) as spoken:
        assert np.array_equal(render(scene(parse(OLD), 3, spoken)), clip)
        assert judge(clip, spoken).sentence() == judge(clip).sentence()
    assert state() == before
    with pytest.raises(UserError, match="unknown word"):
        parse("a red ball zigzags")
    with pytest.raises(ZeroDivisionError), speaking("zigzags", zigzag):
        raise ZeroDivisionError
    assert state() == before and laws._book.cache_info().currsize == 0


def test_the_same_word_may_mean_something_else_the_next_time():
    def climb(time, pace):
        return np.stack([5 * pace * time, -5 * pace * time], axis=1)

    for track in (zigzag, climb):
        with speaking("wanders", track) as spoken:
            clip = render(scene(parse("a small red ball wanders on a checkered floor"), 0, spoken))
            assert judge(clip, spoken).motions == ("wanders",)


@pytest.mark.parametrize(("word", "track", "subjects", "told"), [
    ("bounces", zigzag, ("ball",), "known already"), ("goes home", zigzag, ("ball",), "one lower-case word"),
    ("Zigzags", zigzag, ("ball",), "one lower-case word"), ("zigzags", zigzag, ("cat",), "no subject"),
    ("zigzags", lambda time, pace: time, ("ball",), "px"),
    ("zigzags", lambda time, pace: zigzag(time, pace) + 1, ("ball",), "begin"),
])  # fmt: skip
def test_what_cannot_be_meant_is_told_in_a_line(word, track, subjects, told):
    before = state()
    with pytest.raises(UserError, match=told), speaking(word, track, subjects):
        pass
    assert state() == before
