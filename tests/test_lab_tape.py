"""The tape: slices that lean as things move, flow that explains all motion, faults that their own figure catches."""

import random
from dataclasses import replace

import numpy as np
import pytest

from minit2v.lab import tape
from minit2v.metrics import measure
from minit2v.world.captions import parse
from minit2v.world.render import flow, render
from minit2v.world.scenes import scene

PROMPT = "a small red dog moves right on a checkered floor"


@pytest.fixture(scope="module")
def staged():
    return scene(parse(PROMPT), 1)


# ---- cuts


def square(steps):
    """A saturated square of 6 px on gray that starts at 10 px and moves by `steps` px a frame."""
    frames = np.full((9, 32, 48, 3), 128, np.uint8)
    for t in range(9):
        frames[t, 10:16, 10 + steps * t : 16 + steps * t] = (250, 0, 0)
    return frames


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_a_line_leans_as_its_subject_moves(steps):
    assert tape.slope(tape.cut(square(steps), 12)) == pytest.approx(steps)


def test_a_cut_is_one_row_of_every_frame():
    frames = square(2)
    piece = tape.cut(frames, 12)
    assert piece.shape == (9, 48, 3) and (piece[4] == frames[4, 12]).all()
    assert np.ptp(tape.cut(frames, 20)) == 0  # no subject there


def test_the_knife_is_drawn_where_it_cuts():
    drawn = tape.with_line(square(0)[0], 20)
    assert drawn.shape == (96, 144, 3)
    assert set(np.unique(drawn[61])) == {0, 255} and (drawn[60] == 128).all()
    pictures, labels = tape.cuts(square(1), (4, 12))
    assert labels == ["row 4", "row 12"] and pictures[0].shape == (96, 300, 3)
    assert "two clips" in tape.slices({"a": square(0), "b": square(1)}, 12, "two clips").alt


# ---- the truth


@pytest.mark.parametrize("words", ["", ", the camera pans right"])
def test_flow_explains_all_change(words):
    staged = scene(parse("a large striped purple star moves down in front of a brick wall" + words), 3)
    frames, moves = render(staged), flow(staged)
    calm = tape.in_sight(staged, moves)
    error = np.abs(tape.along_flow(frames, moves) - frames[:-1])[calm]
    assert calm.mean() > 0.5 and error.mean() < 0.7
    wrong = np.abs(tape.along_flow(frames, -moves) - frames[:-1])[calm]
    assert wrong.mean() > 4 * error.mean()


def test_the_truth_is_told_in_words():
    assert "4 px to the right" in tape.truth(scene(parse("a large green ball moves left"), 2)).alt


# ---- what is wrong in a known way


def test_every_fault_leaves_the_rest_as_it_was(staged):
    real, asked = render(staged), parse(PROMPT)
    assert (tape.bulb(real, 0) == real).all() and (tape.dyed(staged, 0) == real).all()
    assert (tape.shaking(staged, 0) == real).all() and (tape.at_pace(staged, 1) == real).all()
    fools = {
        "flicker": tape.bulb(real, 6), "drift": tape.dyed(staged, 0.45), "roughness": tape.shaking(staged, 1.5),
        "physics": tape.carousel(staged),
    }  # fmt: skip
    for name, frames in fools.items():
        assert [ruler for ruler, fine in tape.passes(measure(frames, asked)).items() if not fine] == [name]
    for frames in (real, tape.unlit(staged), tape.moonwalk(staged)):
        assert all(tape.passes(measure(frames, asked)).values())
    assert (tape.moonwalk(staged) != real).any() and (tape.unlit(staged) != real).any()


def test_the_dye_changes_the_color_alone(staged):
    half = tape.dyed(staged, 1.0, "blue")[-1]
    blue = render(replace(staged, color=np.array(tape.PAINTS["blue"])))[-1]
    assert np.abs(half.astype(int) - blue).max() <= 1


def test_every_fear_has_its_figure():
    for fear in tape.fears():
        before, after = (measure(clip, fear.meaning) for clip in (fear.real, fear.spoiled))
        assert all(tape.passes(before).values()), fear.words
        assert not all(tape.passes(after).values()), fear.words
        assert abs(after[fear.figure] - before[fear.figure]) > 0.5, fear.words
        assert np.abs(fear.real[0].astype(int) - fear.spoiled[0]).mean() < 10  # it starts nearly as it should


# ---- tables and curves


def test_what_does_not_apply_passes():
    figures = dict.fromkeys(tape.EXAM, float("nan"))
    assert all(tape.passes(figures).values())
    assert not tape.passes(figures | {"flicker": 1.1})["flicker"]
    assert tape.number(float("nan")) == "–" and tape.number(-0.001) == "0.00"


def test_the_exam_says_what_fails():
    frames = square(1)
    figures = dict.fromkeys(tape.EXAM, 1.0) | {"motion.roughness": 7.5}
    picture = tape.exam({"mine": frames}, {"mine": figures}, 12, "One clip.")
    assert "roughness 7.50 fails" in picture.alt and "flicker 1.00 fine" in picture.alt


def test_curves_and_bars_tell_their_numbers():
    plot = {"title": "a", "x": (1, 2), "lines": {"": (0.5, 1.5)}, "across": "x", "level": {"much": 1}}
    assert "a: 0.50, 1.50" in tape.panels([plot], "Curves.").alt
    long = {"title": "b", "x": range(20), "lines": {"hill": [*range(10), *range(10, 0, -1)]}, "across": "x"}
    assert "b, hill: from 0.00 to 1.00, with a peak of 10.00 at 10" in tape.panels([plot, long], "Curves.").alt
    assert "left: 10 and 25 percent" in tape.shares({"left": (0.1, 0.25)}, ("one", "two"), "Bars.").alt


# ---- captions


def test_a_bag_holds_the_words_and_nothing_else():
    bag = tape.bag("A ball spins, spins")
    assert bag.sum() == 4 and bag[-1] == 1 and bag[tape.PLACES["ball"]] == 1


def test_careful_captions_teach_pairs_that_were_never_shown():
    assert tape.study((1000,), seed=1)[0] < 2


def test_wrong_captions_do_more_harm_than_vague_ones():
    counts = (300, 2400)
    vague, wrong = tape.study(counts, 1, vague=0.4), tape.study(counts, 1, wrong=0.4)
    assert vague[1] < vague[0] and wrong[1] > 30 > vague[1]


def test_miscaptions_come_as_often_as_asked():
    rng, meaning = random.Random(0), parse("a red ball spins")
    said = [tape.miscaption(meaning, rng, wrong=0.3) for _ in range(1000)]
    assert 250 < sum(each != meaning for each in said) < 350 and all(each.color for each in said)
    assert tape.miscaption(meaning, rng, vague=1.0).color is None
