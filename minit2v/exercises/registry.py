"""The tasks of the course: what each one is called, how hard it is, what helps, and who judges it.

A task lives in the module of its lesson, `lesson04.py`, beside the function that judges an answer to it. Tasks are
found by their number: the 2 in "04.2" counts within lesson 04.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable
from dataclasses import dataclass

from minit2v.errors import UserError, nearest

TASKS: dict[str, Task] = {}


@dataclass(frozen=True)
class Task:
    """One task. `judge(learner)` raises `judging.Wrong`, or returns a sentence on why the answer is right.

    call: the function that is asked for and its arguments, as in "causal_pad(x, kernel)". difficulty and importance
    count from 1 to 5. hints go from a gentle one to nearly the answer. plug: how the function runs in a trained model.
    """

    id: str
    call: str
    title: str
    difficulty: int
    importance: int
    minutes: int
    hints: tuple[str, str, str]
    judge: Callable
    plug: Callable | None = None

    @property
    def name(self) -> str:
        """Of the function."""
        return self.call.partition("(")[0]

    @property
    def arguments(self) -> list[str]:
        """Their names."""
        return re.findall(r"\w+", self.call.partition("(")[2])

    @property
    def lesson(self) -> str:
        """Its number, two digits."""
        return self.id.partition(".")[0]

    @property
    def badge(self) -> str:
        """The line below the task's heading."""
        facts = f"difficulty {self.difficulty} of 5 · importance {self.importance} of 5 · {self.minutes} minutes"
        return facts + (" · runs in the model" if self.plug else "")


def task(id: str, call: str, title: str, difficulty: int, importance: int, minutes: int, hints, plug=None):
    """Makes the decorated judge a task. Raises ValueError for a number that is taken, or not three hints."""

    def register(judge):
        if id in TASKS or len(hints) != 3 or not re.fullmatch(r"\d\d\.\d+", id):
            raise ValueError(f"task {id}: the number is taken, or malformed, or there are not three hints")
        TASKS[id] = Task(id, call, title, difficulty, importance, minutes, tuple(hints), judge, plug)
        return judge

    return register


def tasks(lesson: str | None = None) -> list[Task]:
    """All tasks, or those of one lesson ("04"), in order."""
    wanted = "lesson" + (lesson or r"\d\d")
    for module in pkgutil.iter_modules(importlib.import_module("minit2v.exercises").__path__):
        if re.fullmatch(wanted, module.name):
            importlib.import_module(f"minit2v.exercises.{module.name}")
    found = [each for each in TASKS.values() if lesson in (None, each.lesson)]
    return sorted(found, key=lambda each: [int(part) for part in each.id.split(".")])


def find(id: str) -> Task:
    """The task of that number. Raises `UserError` naming the nearest ones."""
    if not (isinstance(id, str) and id in TASKS):
        known = {each.id: each for each in tasks()}
        if id not in known:
            example = "give a number such as '04.1'"
            hint = nearest(id, known) or f"there are {', '.join(known)}"
            raise UserError(f"no task {id!r}: {hint if isinstance(id, str) else example}")
    return TASKS[id]
