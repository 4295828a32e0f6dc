"""`check` and `hint`: what a learner calls in a notebook.

    check("04.1", causal_pad)     ✗ 04.1 Pad the past: … in your result the zeros stand behind the last frame …
    hint("04.1")                  Hint 1 of 3: …
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from minit2v.errors import UserError
from minit2v.exercises.guest import Call
from minit2v.exercises.judging import Learner, Unfinished, Wrong
from minit2v.exercises.registry import Task, find
from minit2v.exercises.sandbox import Guest, Limits

SIGNS = {"right": "✓", "wrong": "✗", "unfinished": "…"}
_given: dict[str, int] = {}  # hints, by task


@dataclass(frozen=True)
class Verdict:
    """What is to be said of an answer. status: "right", "wrong" or "unfinished"; `bool(verdict)`: is it right?

    printed: what the function printed while it was checked.
    """

    task: str
    title: str
    status: str
    message: str
    printed: str = ""

    @property
    def right(self) -> bool:
        """Whether the answer is accepted."""
        return self.status == "right"

    def __bool__(self) -> bool:
        return self.right

    def __str__(self) -> str:
        return f"{SIGNS[self.status]} {self.task} {self.title}\n  {self.message}"

    def _ipython_display_(self) -> None:
        """Nothing: `check` has printed it."""


def check(
    id: str, function, seconds: float = 5.0, memory: int | None = 2**30, seed: int = 0, method=None, quiet=False
) -> Verdict:  # fmt: skip
    """Tests an answer on random inputs; prints and returns the verdict, within `seconds`.

    The function runs in a process of its own, with `memory` bytes on top of what the notebook has. seed: of the inputs.
    method: "fork" or "fresh", how that process is made (see `sandbox`). quiet: print nothing. Raises `UserError` for an
    unknown task or something that is no function.
    """
    verdict = judge(id, function, seconds, memory, seed, method)
    if not quiet:
        print(verdict)
        if verdict.printed and not verdict.right:
            lines = verdict.printed.splitlines()[:12]
            print("  Your function printed:\n" + "\n".join(f"  | {line}" for line in lines))
    return verdict


def judge(id: str, function, seconds: float = 5.0, memory: int | None = 2**30, seed: int = 0, method=None) -> Verdict:
    """The verdict of `check`, without printing."""
    task = find(id)
    if not callable(function):
        raise UserError(f"check({id!r}, …) needs the function itself, as in check({id!r}, {task.name})")
    if not 0 < seconds < float("inf"):
        raise UserError(f"a time limit of {seconds} seconds; give a number above 0")
    with Guest(Call(function), Limits(seconds, memory), method) as running:
        verdict = verdict_of(task, running, seed)
        running.end()
        return replace(verdict, printed=running.printed)


def verdict_of(task: Task, running: Guest, seed: int = 0) -> Verdict:
    """Judges the function that a guest answers for."""
    learner = Learner(running, task, seed)
    try:
        status, message = "right", task.judge(learner) or "All values agree with the reference."
        if learner.dice:
            message += (
                " One remark: your function draws from a global random generator or sets its seed, and so changes what "
                "others draw. Nothing here is random."
            )
    except Unfinished as found:
        status, message = "unfinished", str(found)
    except Wrong as found:
        status, message = "wrong", str(found)
    except Exception as error:  # a result so strange that the judge stumbles over it is wrong all the same
        status, message = "wrong", f"The result cannot be compared with what is due ({type(error).__name__}: {error})."
    return Verdict(task.id, task.title, status, " ".join(message.split()))


def hint(id: str) -> None:
    """Prints the next hint of a task: three of them, from a gentle one to nearly the answer."""
    task = find(id)
    number = _given[id] = _given.get(id, 0) + 1
    if number > 3:
        print(f"These were all hints for {id}. Once more, from the start:")
        for i, text in enumerate(task.hints, start=1):
            print(f"  {i}. {text}")
        return
    print(f"Hint {number} of 3: {task.hints[number - 1]}")
