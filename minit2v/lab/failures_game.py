"""A game: ten clips, each with one knob turned wrong, or none. Which one is it?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from minit2v.clip import Clip
from minit2v.errors import UserError, nearest
from minit2v.lab.failures import FAILURES, Bench
from minit2v.lab.live import Live
from minit2v.lab.page import Figure, Html, table

HEALTHY = "nothing is wrong"
# What may be wrong, prompt and seed of each clip. The order is fixed, so that two people can talk about "clip 4".
CASES = (
    ("guidance far too strong", "a large green box moves right on a checkered floor", 11),
    ("no positions in time", "a large red triangle moves left in front of a brick wall", 12),
    (HEALTHY, "a large blue ball moves up on a checkered floor", 13),
    ("frames decoded alone", "a large yellow box moves right in front of a brick wall", 14),
    ("the prompt is lost", "a large red ball moves down on a checkered floor", 15),
    ("red and blue exchanged", "a large red box moves left under a starry sky", 16),
    ("one step only", "a large green ball moves right under a starry sky", 17),
    ("temporal mixing off", "a large blue box moves down on a checkered floor", 18),
    ("tiles without overlap", "a large yellow ball moves left on a checkered floor", 19),
    ("weights not loaded", "a large blue ball moves right in front of a brick wall", 20),
)
KNOBS = (HEALTHY, *sorted(name for name, *_ in CASES if name != HEALTHY))


@dataclass(frozen=True)
class Score:
    """points: of how many; right: for each clip, whether the answer was."""

    right: tuple[bool, ...]

    @property
    def points(self) -> int:
        return sum(self.right)

    def __str__(self) -> str:
        missed = [str(i + 1) for i, right in enumerate(self.right) if not right]
        return f"{self.points} of {len(self.right)}" + (f"; look again at {', '.join(missed)}" if missed else "")


class Game(Live):
    """Ten clips to look at: `still` shows them, `widget` asks, `score` counts, `answers` tells. They are made when
    first asked for."""

    def __init__(self, system, cases: Sequence[tuple[str, str, int]] = CASES, steps: int = 8):
        self.system, self.cases, self.steps, self._clips = system, tuple(cases), steps, None

    @property
    def clips(self) -> list[Clip]:
        """One for each case."""
        if self._clips is None:
            self._clips = [self._make(*case) for case in self.cases]
        return self._clips

    def _make(self, name: str, prompt: str, seed: int) -> Clip:
        bench = Bench(self.system, [prompt], [seed], self.steps)
        return bench.made("healthy" if name == HEALTHY else name)[0]

    def score(self, answers: Sequence[str]) -> Score:
        """Counts the answers: one of `KNOBS` for each clip, in order. Raises `UserError` for anything else."""
        if len(answers) != len(self.cases):
            raise UserError(f"{len(answers)} answers for {len(self.cases)} clips: give one for each, in order")
        for answer in answers:
            if answer not in KNOBS:
                raise UserError(f"unknown answer {answer!r}: {nearest(answer, KNOBS, 1) or 'KNOBS lists them'}")
        return Score(tuple(answer == name for answer, (name, *_) in zip(answers, self.cases, strict=True)))

    def answers(self) -> Html:
        """What was wrong with each, and how one tells."""
        rows = [
            [f"clip {i + 1}", name, "a clip as it should be" if name == HEALTHY else FAILURES[name].looks]
            for i, (name, *_) in enumerate(self.cases)
        ]
        shown = table(["", "what was wrong", "how one tells"], rows)
        return Html(f"<details><summary><b>The answers</b></summary>{shown.html}</details>", shown.text)

    @property
    def still(self) -> Figure:
        """All clips, some frames of each, with their prompts."""
        from minit2v.lab.drawings import strips
        from minit2v.lab.failures_figures import MOMENTS, small

        labels = [f"clip {i + 1}" for i in range(len(self.cases))]
        notes = [prompt for _, prompt, _ in self.cases]
        frames = [clip.frames for clip in self.clips]
        page = strips(frames, labels, notes, "Which knob is wrong?", MOMENTS)
        return small(page, colors=128)  # enough that no clip looks as if its colors were wrong

    def build(self):
        """A clip, its prompt and a choice for each case; a button counts the points."""
        import ipywidgets

        self.choices = [ipywidgets.Dropdown(options=("?", *KNOBS), value="?") for _ in self.cases]
        rows = [
            ipywidgets.HBox([ipywidgets.HTML(_small(clip, i + 1)), choice])
            for i, (clip, choice) in enumerate(zip(self.clips, self.choices, strict=True))
        ]
        button, told = ipywidgets.Button(description="count"), ipywidgets.HTML()
        button.on_click(lambda _: setattr(told, "value", f"<p role='status'>{escape(self.counted())}</p>"))
        return ipywidgets.VBox([*rows, button, told])

    def counted(self) -> str:
        """What the choices of the widget are worth; the answers once all are made."""
        given = [choice.value for choice in self.choices]
        if "?" in given:
            return f"{given.count('?')} clips are not answered yet"
        return f"{self.score(given)}. {'; '.join(f'clip {i + 1}: {n}' for i, (n, *_) in enumerate(self.cases))}"

    def __repr__(self) -> str:
        return f"a game of {len(self.cases)} clips"


def _small(clip: Clip, number: int) -> str:
    """A looping clip with controls; its words do not give away what is wrong."""
    from minit2v.clip import _base64

    said = f"clip {number}: {np.shape(clip.frames)[0]} frames, asked for as “{clip.prompt}”"
    data = _base64(clip.to_bytes(".mp4"))
    video = f'<video controls loop muted width="128" aria-label="{escape(said)}" src="data:video/mp4;base64,{data}">'
    return f"<p>{escape(said)}</p>{video}</video>"
