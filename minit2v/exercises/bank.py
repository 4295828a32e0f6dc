"""The bank of answers: wrong ones that must be told what is wrong with them, and right ones written in other ways.

`python -m minit2v.exercises.bank` judges all of them and prints a table (and each verdict with --all; "04" or "04.2"
chooses). The answers stand in tests/wrong_answers/, one file per lesson:

    @wrong("04.1", "behind the last one")   # the diagnosis must contain this
    def pads_the_future(x, kernel): ...

    @right("04.1")
    def with_functional_pad(x, kernel): ...
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from minit2v.errors import UserError
from minit2v.exercises.checking import Verdict, judge
from minit2v.exercises.registry import tasks

FOLDER = Path(__file__).resolve().parents[2] / "tests" / "wrong_answers"
_collected: list[Answer] = []


@dataclass(frozen=True)
class Answer:
    """An answer to a task. says: what the diagnosis must contain; None: it is right."""

    task: str
    function: Callable
    says: str | None

    @property
    def name(self) -> str:
        """Task and function."""
        return f"{self.task}-{self.function.__name__}"

    def fails(self, verdict: Verdict) -> str:
        """What is wrong with the verdict, or ""."""
        if self.says is None:
            return "" if verdict.right else "a right answer was refused"
        if verdict.right:
            return "a wrong answer was accepted"
        said = self.says.lower() in verdict.message.lower()
        return "" if said else f"the diagnosis does not say {self.says!r}"


def wrong(task: str, says: str):
    """Puts the decorated function into the bank, as a wrong answer."""

    def keep(function):
        _collected.append(Answer(task, function, says))
        return function

    return keep


def right(task: str):
    """Puts the decorated function into the bank, as a right answer."""

    def keep(function):
        _collected.append(Answer(task, function, None))
        return function

    return keep


def answers(folder: Path = FOLDER) -> list[Answer]:
    """All answers of a folder. Raises `UserError` if it is not there: it comes with the repository, not the package."""
    if not folder.is_dir():
        raise UserError(f"there is no folder '{folder.name}' of answers here: run this in a clone of the repository")
    _collected.clear()
    for path in sorted(folder.glob("lesson*.py")):
        spec = importlib.util.spec_from_file_location(f"wrong_answers_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # so that a process of its own can look its functions up
        spec.loader.exec_module(module)
    return list(_collected)


def main(words: list[str]) -> int:
    """Prints the table. Exit code: 0 if every answer got what it deserves."""
    everything, chosen = "--all" in words, tuple(word for word in words if not word.startswith("-"))
    bank = [each for each in answers() if not chosen or each.task.startswith(chosen)]
    began, failed = time.perf_counter(), 0
    print(f"{'task':<7}{'wrong rejected':>15}{'diagnosed':>11}{'right accepted':>16}  title")
    for task in tasks():
        verdicts = [(each, judge(task.id, each.function)) for each in bank if each.task == task.id]
        if not verdicts:
            continue
        bad = [(each, verdict) for each, verdict in verdicts if each.says is not None]
        good = [verdict for each, verdict in verdicts if each.says is None]
        rejected = f"{sum(not v.right for _, v in bad)} of {len(bad)}"
        diagnosed = f"{sum(not each.fails(v) for each, v in bad)} of {len(bad)}"
        accepted = f"{sum(v.right for v in good)} of {len(good)}"
        print(f"{task.id:<7}{rejected:>15}{diagnosed:>11}{accepted:>16}  {task.title}")
        for each, verdict in verdicts:
            if fault := each.fails(verdict):
                failed += 1
                print(f"    {each.function.__name__}: {fault}")
            if fault or everything:
                print(f"    {each.function.__name__:<24} {verdict.status}: {verdict.message}")
    print(f"{len(bank)} answers in {time.perf_counter() - began:.0f} s, {failed} not as they must be")
    return 1 if failed else 0


if __name__ == "__main__":
    from minit2v.exercises import bank

    sys.exit(bank.main(sys.argv[1:]))
