"""The bank of questions: every field there, ids for ever, every bug a bug, every design one that can be costed."""

import json
import math
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

from minit2v.drills import faults, numbers, questions, shapes, whiteboard
from minit2v.drills.questions import KINDS, TOPICS, cards, changed_lines, checked, select, written
from minit2v.errors import UserError

BANK = {question.id: question for question in written()}
BUGS = [question for question in written() if question.kind == "bug"]
DESIGNS = [question for question in written() if question.kind == "design"]
IDS = Path(__file__).with_name("test_drills_ids.txt")
NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
GOOD = dict(
    id="a-b",
    kind="recall",
    difficulty=1,
    question="Why is it so?",
    answer="Since it is.",
    why="It is.",
    wrong="It is not.",
    tempts="One hopes.",
)


# ---- what there is


def test_there_are_enough_of_each_kind_and_in_every_lesson():
    kinds, topics = Counter(card.kind for card in cards()), Counter(card.topic for card in cards())
    assert len(written()) >= 150 and set(kinds) == set(KINDS) and set(topics) == set(TOPICS)
    assert kinds["design"] >= 8 and min(topics.values()) >= 7
    assert sorted(number for number, _ in TOPICS.values()) == [f"{n:02}" for n in range(16)]


def test_the_chapters_own_are_there():
    own = Counter(question.chapter for question in written() if question.chapter)
    wanted = (
        [f"recall {n}" for n in range(1, 5)] + [f"interview {n}" for n in range(1, 5)] + ["exercise 1", "exercise 2"]
    )
    assert own == Counter(wanted)
    for question in written():
        if question.chapter.startswith("interview"):
            assert question.kind == "spoken"
    assert "1,048,576" in BANK["latents-recall-shape"].answer and 64 * 64 * 64 * 4 == 1_048_576
    assert "221,184" in BANK["latents-exercise-two-seconds"].answer and 24 * 48 * 48 * 4 == 221_184


def test_ids_are_unique_and_for_ever():
    """An id that was given out once is never dropped nor given to something else: people's memories hang on it."""
    given_out = IDS.read_text(encoding="utf-8").split()
    now = [card.id for card in cards()]
    assert len(now) == len(set(now)) and len(given_out) == len(set(given_out))
    assert not set(given_out) - set(now), "these ids are gone"
    assert not set(now) - set(given_out), "new ids: append them to tests/test_drills_ids.txt"


@pytest.mark.parametrize("question", written(), ids=lambda question: question.id)
def test_every_question_is_whole(question):
    for text in (question.question, question.answer, question.why, question.wrong, question.tempts):
        assert len(text) >= 5 and text == text.strip() and "\n" not in text
    assert question.answer != question.wrong and question.kind in KINDS and question.topic in TOPICS
    if question.kind == "spoken":  # about a minute: 110 to 260 words
        assert 110 <= len(question.answer.split()) <= 260 and len(question.follow_ups) >= 3
    if question.kind == "design":
        assert len(question.rubric) >= 4 and len(question.figures) >= 4


def test_cells_that_prove_are_there_and_show_something():
    for card in cards():
        question = card.make(0)
        if question.cell:
            number, cell = question.cell.split(":")
            (path,) = NOTEBOOKS.glob(f"{number}_*.ipynb")
            found = {each["id"]: each for each in json.loads(path.read_text(encoding="utf-8"))["cells"]}
            assert cell in found, question.id
            assert found[cell].get("outputs"), f"{question.id}: {question.cell} has no output; prose proves nothing"


def test_nearly_every_written_question_names_the_cell_that_proves_it():
    """Those that name none are bugs that prove themselves: their snippet runs, and no lesson measures it."""
    without = [question for question in written() if not question.cell]
    assert len(without) <= 6 and {question.kind for question in without} <= {"bug"}


@pytest.mark.parametrize("card", [card for card in cards() if card.generated], ids=lambda card: card.id)
def test_families_repeat_themselves_by_seed_and_only_then(card):
    if card.kind == "shape" and card.id not in ("shape-encoded", "shape-schedule"):
        pytest.skip("drawn, and recomputed, in test_drills_shapes")
    one, again, others = card.make(5), card.make(5), [card.make(seed) for seed in range(12)]
    assert (one.question, one.value) == (again.question, again.value)
    assert len({other.question for other in others}) > 1
    for other in others:
        assert not re.search(r"\b1 \w+s\b(?! )", other.question.partition(".")[0]) or card.kind != "number"


# ---- bugs


def run(code, proof):
    torch.manual_seed(0)
    space = dict(torch=torch, F=F, nn=nn, math=math, np=np, rearrange=rearrange)
    exec(f"{code}\n{proof}", space)
    return bool(space["right"])


@pytest.mark.parametrize("question", BUGS, ids=lambda question: question.id)
def test_a_bug_runs_and_is_wrong_and_its_mended_version_is_right(question):
    assert run(question.code, question.proof) is False
    assert run(question.mended, question.proof) is True
    assert 1 <= len(question.bad_lines) <= 2 < len(question.code.splitlines())
    assert not re.search(r"#|\"\"\"", question.code), "a comment would give it away"


@pytest.mark.parametrize(
    ("code", "mended", "lines"),
    [
        ("a\nb\nc", "a\nx\nc", (2,)),
        ("a\nb", "a\nx\nb", (1, 2)),
        ("a\nb", "a", (2,)),
        ("a", "a", ()),
        ("a\nb", "x\na\nb", (1,)),
    ],
)
def test_which_lines_are_mended(code, mended, lines):
    assert changed_lines(code, mended) == lines


# ---- designs


@pytest.mark.parametrize("question", DESIGNS, ids=lambda question: question.id)
def test_a_design_is_one_that_the_cost_model_knows(question):
    setup = whiteboard.setup_of(question.design)
    for figure in whiteboard.figures(question, setup):
        assert figure.value > 0
        assert whiteboard.mark(figure, figure.value)[0] == 1
        assert whiteboard.mark(figure, figure.value * 2)[0] == 0.5
        assert whiteboard.mark(figure, figure.value * 5)[0] == 0
    assert whiteboard.changed(setup, whiteboard.flags_of(question.design)) == setup


def test_figures_are_those_of_the_candidates_own_design():
    question = BANK["transformer-design-scale"]
    reference = whiteboard.setup_of(question.design)
    mine = whiteboard.changed(reference, "--layers 14 --patch 1,4,4 --device a100")
    tokens, parameters, *_ = whiteboard.figures(question, mine)
    assert tokens.value == 21 * (60 // 4) * (104 // 4) and mine.device.name == "a100"
    assert parameters.value < whiteboard.figures(question, reference)[1].value * 0.55


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("--layer 3", "did you mean 'layers'"),
        ("--layers", "needs a value"),
        ("layers 3", "unknown flag"),
        ("--layers three", "layers is three"),
        ("--device h1000", "unknown device"),
        ("--height 481", "481"),
        ("--dim 7", "dim 7"),
        ("--layers '3", "quot"),
    ],
)
def test_a_wrong_design_is_one_line(typed, says):
    question = BANK["transformer-design-scale"]
    with pytest.raises(UserError, match=re.escape(says)) as error:
        whiteboard.figures(question, whiteboard.changed(whiteboard.setup_of(question.design), typed))
    assert "\n" not in str(error.value)


# ---- malformed banks


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"why": None}, "missing why"),
        ({"kind": "riddle"}, "kind is 'riddle'"),
        ({"kind": "number"}, "kind is 'number'"),
        ({"difficulty": 4}, "difficulty is 4"),
        ({"difficulty": True}, "difficulty is True"),
        ({"answer": " "}, "answer"),
        ({"id": "A b"}, "small letters"),
        ({"rubric": ["a", "b"]}, "has no rubric"),
        ({"cell": "latents"}, "03:latents-14"),
        ({"kind": "spoken", "follow_ups": ["one"], "strong": "It is.", "weak": "It is not."}, "at least two"),
        ({"kind": "bug", "code": "x = 1", "mended": "x = 1", "proof": "right = 1"}, "are the same"),
        ({"kind": "design", "rubric": ["a", "b"], "design": {}, "figures": [{"path": "x"}]}, "path and ask"),
    ],
)
def test_a_malformed_question_is_one_line(change, says):
    assert checked(GOOD, "latents", "here").answer == "Since it is."
    row = {name: value for name, value in {**GOOD, **change}.items() if value is not None}
    with pytest.raises(UserError, match=re.escape(says)) as error:
        checked(row, "latents", "bank/03_latents.toml, 'a-b'")
    assert str(error.value).startswith("bank/03_latents.toml, 'a-b'") and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("99_latents.toml", "", "no lesson has that name"),
        ("03_latents.toml", "a = ", "no TOML"),
        ("03_latents.toml", "", "nothing"),
        ("03_latents.toml", "[[questions]]\na = 1", "questions"),
    ],
)
def test_a_malformed_file_is_one_line(tmp_path, name, text, says):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=says):
        questions.read(tmp_path / name)


def test_an_id_that_is_taken_is_told(tmp_path, monkeypatch):
    text = "".join(
        f"[[question]]\n{''.join(f'{k} = {json.dumps(v)}' + chr(10) for k, v in GOOD.items())}" for _ in range(2)
    )
    (tmp_path / "03_latents.toml").write_text(text, encoding="utf-8")
    monkeypatch.setattr(questions, "BANK", tmp_path)
    with pytest.raises(UserError, match="'a-b' is taken"):
        questions.written.__wrapped__()


# ---- picking


def test_selecting_by_topic_kind_and_difficulty():
    assert {card.topic for card in select("07")} == {card.topic for card in select("attention")} == {"attention"}
    assert select("7", "number", "hard") == select("attention", "number", 3) != []
    assert len(select()) == len(cards())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("latent",), "did you mean 'latents'"),
        (("16",), "unknown topic '16'"),
        ((None, "quiz"), "unknown kind 'quiz'"),
        ((None, None, "harder"), "one of easy, medium, hard"),
        (("start", "design"), "no question has topic start, kind design"),
    ],
)
def test_what_cannot_be_selected_is_one_line_with_the_legal_ones(words, says):
    with pytest.raises(UserError, match=re.escape(says)) as error:
        select(*words)
    assert "\n" not in str(error.value)


def test_families_are_registered_once():
    for module in (numbers, shapes, faults):
        assert len(module.families()) == len(module.families()) == len({card.id for card in module.families()})
