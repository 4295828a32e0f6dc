"""Plugging in: right answers leave the clip as it is, wrong ones move it, and some figure with it."""

from dataclasses import replace

import numpy as np
import pytest

from minit2v.errors import UserError
from minit2v.exercises import bank, plug_in, plugs
from minit2v.exercises.judging import Wrong
from minit2v.exercises.registry import find, tasks

ANSWERS = {answer.name: answer.function for answer in bank.answers()}
ABLE = [task.id for task in tasks() if task.plug]
# For each task that has a place in the model, a mistake that anybody makes.
MISTAKES = {
    "04.2": "anticausal", "05.3": "unscaled", "06.2": "to_the_data_at_once", "06.3": "sum_for_mean",
    "06.4": "towards_data", "06.5": "starts_from_text", "06.6": "per_frame", "08.1": "channels_last", "08.2": "halves",
    "08.3": "shifts_first", "12.1": "all_alike", "12.2": "put_in_afterwards",
    "13.1": "says_context_always", "14.1": "stands_still",
}  # fmt: skip


def setting(id):
    return replace(plugs.SETTINGS.get(id, plugs.Setting()), steps=3)


def comparison(id, function):
    task = find(id)
    mine, theirs = plugs.clip_of(task, function, setting(id)), plugs.healthy(setting(id))
    return plugs.Comparison(task, setting(id), mine, theirs)


def test_every_task_that_can_be_plugged_in_is_tried():
    assert list(MISTAKES) == ABLE


@pytest.mark.parametrize("id", ABLE)
def test_a_right_answer_leaves_the_clip_as_it_is(id):
    answer = next(a for a in bank.answers() if a.task == id and a.says is None)
    assert comparison(id, answer.function).same >= 0.99


@pytest.mark.parametrize("id", ABLE)
def test_a_wrong_answer_moves_the_clip(id):
    seen = comparison(id, ANSWERS[f"{id}-{MISTAKES[id]}"])
    assert seen.same < 0.95 and not seen.right


def test_a_wrong_convolution_flickers_and_is_told(capsys):
    shown = plug_in("04.2", ANSWERS["04.2-anticausal"], setting=setting("04.2"))
    assert shown.figures["flicker"][0] > 5 * shown.figures["flicker"][1]
    assert "✗ 04.2" in capsys.readouterr().out and "flicker" in str(shown)
    page = shown._repr_html_()
    assert 'alt="' in page and "your function" in page and "<table" in page


def test_what_makes_no_clip_is_told_in_a_line(capsys):
    def unwritten(latents, patch):
        raise NotImplementedError

    assert plug_in("08.1", unwritten, setting=setting("08.1")) is None
    assert plug_in("08.1", lambda latents, patch: latents.nothing, setting=setting("08.1")) is None
    said = capsys.readouterr().out
    assert "not written yet" in said and "AttributeError" in said


def test_too_slow_is_told():
    def forever(latents, patch):
        while True:
            pass

    with pytest.raises(Wrong, match="no clip after"):
        plugs.clip_of(find("08.1"), forever, setting("08.1"), seconds=0.5)


def test_the_model_is_afterwards_what_it_was():
    from minit2v import dit

    before = dit.patchify
    with plugs.exchanged([(dit, "patchify", None)]):
        assert dit.patchify is None
    assert dit.patchify is before
    assert np.array_equal(plugs.made(setting("08.1")), plugs.healthy(setting("08.1")))


def test_a_task_without_a_place_in_the_model_names_those_with_one():
    with pytest.raises(UserError, match="these have"):
        plug_in("03.1", lambda *_: 1)
