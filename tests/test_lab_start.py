"""The course at a glance: the map names rooms that exist and every lesson, the card is read and not remembered."""

import json

import pytest

from minit2v.errors import UserError
from minit2v.lab import start


def test_the_map_has_every_lesson_and_rooms_that_exist():
    assert {lesson for stage in start.STAGES.values() for lesson in stage.lessons} == set(start.LESSONS)
    for stage in start.STAGES.values():
        for room in stage.rooms:
            assert (start.PACKAGE / room).exists(), room
    picture = start.course_map()
    assert all(stage.name in picture.alt for stage in start.STAGES.values()) and picture.picture.width > 900


def test_ways_through_the_course_name_lessons_that_there_are():
    for parts in start.PATHS.values():
        assert {lesson for _, chosen in parts for lesson in chosen} <= set(start.LESSONS)
    week = [lesson for _, chosen in start.PATHS["In class, four weeks"] for lesson in chosen]
    assert week == list(start.LESSONS)
    assert "week 3" in start.ways().html and start.ways().html.count("<tr>") == 9


def test_lessons_say_themselves_what_they_claim(tmp_path, monkeypatch):
    said = start.front_matter("03")
    assert said["minutes"].isdigit() and said["claim"].endswith(".") and said["file"] == "03_latents.ipynb"
    assert start.lessons().html.count("<tr>") == 17
    monkeypatch.setattr(start, "NOTEBOOKS", tmp_path)
    assert start.front_matter("03") == {} and start.lessons().text.count("not written yet") == 16


def test_titles_are_those_of_the_lessons():
    for path in start.NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"):
        first = json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"]
        assert "".join(first).startswith(f"# {path.name[:2]} · ")


def test_what_the_weights_can_do_is_read_from_their_card(tmp_path, monkeypatch):
    shares = {"color": 0.99, "size": 0.7, "motions": 0.1}
    controls = {"real": 0.9, "frozen": 0.0, "shuffled": 0.0, "other": 0.1}
    facts = {"attributes": shares, "overall": 0.25, "n": 40, "interval": [0.1, 0.4], "controls": controls}
    (tmp_path / "tiny.json").write_text(json.dumps({"scores": {"adherence": facts}}))
    monkeypatch.setattr(start, "FOLDER", tmp_path)
    assert start.can_and_cannot("tiny") == {"can": ["color"], "often": ["size"], "not yet": ["motions"]}
    alt = start.standing("tiny").alt
    assert "40 held-out clips" in alt and "motions 10%" in alt and "frozen 0%" in alt and "10% to 40%" in alt
    with pytest.raises(UserError, match="those with one: tiny"):
        start.card("sora")


def test_sliders_make_sentences():
    sentences = start.Sentences()
    *_, view = sentences.widget.children
    assert "a red ball bounces on a checkered floor" in view.value and "training has such clips" in view.value
    sentences.sliders["motion"].value = "spins"
    assert "refused: a plain ball that spins" in view.value and "<img" not in view.value
    sentences.sliders["motion"].value = "up"
    assert "kept out of all training" in view.value and 'alt="Six frames' in view.value
    assert "purple dog" in sentences.still.alt
