"""docs/coverage.yml: every piece of the chapter has its cell, the cell is there, and its text has the key word."""

import re
from collections import Counter
from functools import cache
from pathlib import Path

import nbformat
import pytest
import yaml

from minit2v.lab.start import LESSONS

ROOT = Path(__file__).resolve().parent.parent
COVERAGE = yaml.safe_load((ROOT / "docs" / "coverage.yml").read_text(encoding="utf-8"))
KINDS = {"concept", "example", "question", "figure", "picture"}
PLACES = [(entry, place) for entry in COVERAGE["covered"] for place in entry["cells"]]


@cache
def cells(lesson):
    """The text of every cell of a lesson, source and outputs without the data of pictures: {id: text}."""
    page = nbformat.read(ROOT / "notebooks" / f"{lesson}.ipynb", as_version=4)
    return {cell.id: " ".join([cell.source, *shown(cell)]) for cell in page.cells}


def shown(cell):
    for output in cell.get("outputs", []):
        parts = [output.text] if output.output_type == "stream" else list(output.get("data", {}).values())
        yield from (re.sub(r"base64,[A-Za-z0-9+/=]+", "", part) for part in parts if isinstance(part, str))


def test_entries_are_whole_and_stand_there_once():
    assert set(COVERAGE) == {"covered", "planned"}
    for entry in COVERAGE["covered"]:
        assert set(entry) == {"what", "kind", "word", "cells"} and entry["kind"] in KINDS and entry["cells"], entry
    for entry in COVERAGE["planned"]:
        assert set(entry) == {"what", "kind", "lesson"} and entry["kind"] in KINDS, entry
        assert entry["lesson"] in LESSONS, entry
    named = Counter(entry["what"] for part in COVERAGE.values() for entry in part)
    assert not [what for what, times in named.items() if times > 1]


@pytest.mark.parametrize(("entry", "place"), PLACES, ids=lambda value: value if isinstance(value, str) else "")
def test_the_cell_is_there_and_has_the_word(entry, place):
    lesson, _, cell = place.partition("/")
    assert cell in cells(lesson), f"{entry['what']!r}: {lesson} has no cell {cell}"
    assert entry["word"].lower() in cells(lesson)[cell].lower(), f"{entry['what']!r}: {place} lacks {entry['word']!r}"


def test_the_chapters_questions_and_figures_are_all_there():
    kinds = Counter(entry["kind"] for entry in COVERAGE["covered"] + COVERAGE["planned"])
    assert kinds["question"] >= 9  # four to recall, four of an interview, one sketch
    assert kinds["figure"] >= 12  # the worked example's lines, and the exercise's two
    assert kinds["example"] >= 10 and kinds["picture"] >= 4
