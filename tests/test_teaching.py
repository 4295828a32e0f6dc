"""The teacher's page counts as the lessons and the tasks do."""

import re
from pathlib import Path

import pytest

from minit2v.exercises import registry
from minit2v.lab.start import LESSONS, PATHS, front_matter

PAGE = (Path(__file__).parent.parent / "docs" / "teaching.md").read_text(encoding="utf-8")
WEEKS = re.findall(r"^\| (\d) \| ([\d, ]+) \| (\d+) min \| (\d+) tasks, (\d+) min \|", PAGE, flags=re.M)


def test_the_weeks_are_those_of_the_course():
    assert [tuple(lessons.split(", ")) for _, lessons, *_ in WEEKS] == [
        lessons for _, lessons in PATHS["In class, four weeks"]
    ]


@pytest.mark.parametrize("week", WEEKS, ids=lambda week: week[0])
def test_the_minutes_of_a_week_add_up(week):
    _, lessons, reading, tasks, minutes = week
    chosen = [task for task in registry.tasks() if task.id[:2] in lessons.split(", ")]
    assert int(reading) == sum(int(front_matter(lesson)["minutes"]) for lesson in lessons.split(", "))
    assert (int(tasks), int(minutes)) == (len(chosen), sum(task.minutes for task in chosen))


def test_each_lesson_has_its_misconception():
    assert re.findall(r"^\| (\d\d) \| ", PAGE, flags=re.M) == list(LESSONS)
