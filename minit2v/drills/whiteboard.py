"""At the whiteboard: somebody states a design, and the cost model works out what her figures should be.

A design is said in the flags of `minit2v cost`. The figures are checked against *her* design, not against the
reference: there are many good ones, and only wrong arithmetic is wrong.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, fields, replace
from fractions import Fraction

from minit2v.arithmetic.device import find_device
from minit2v.cost import Setup, lines
from minit2v.cost.words import human
from minit2v.drills.answers import spelled
from minit2v.drills.questions import Question
from minit2v.errors import UserError, nearest

CLOSE, ORDER = Fraction(1, 10), 3  # right: within a tenth; the right order of magnitude: within a factor of 3


@dataclass(frozen=True)
class Figure:
    """One figure to work out: what is asked, and its value for the design."""

    ask: str
    value: Fraction
    unit: str
    how: str

    @property
    def shown(self) -> str:
        """As a person reads it."""
        return human(self.value, self.unit) if self.unit else spelled(self.value)


def setup_of(design: dict) -> Setup:
    """A design of the bank, as the cost model takes it. Raises `UserError` for what does not fit together."""
    said = dict(design)
    if unknown := set(said) - {field.name for field in fields(Setup)}:
        raise UserError(f"a design has no {', '.join(sorted(unknown))}")
    if "device" in said:
        said["device"] = find_device(said["device"])
    return Setup(**said)


def flags_of(design: dict) -> str:
    """The design in flags."""

    def word(value):
        return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)

    return " ".join(f"--{name.replace('_', '-')} {word(value)}" for name, value in design.items())


def changed(reference: Setup, typed: str) -> Setup:
    """The reference with what somebody typed: "--layers 30 --vae 4,8,8". Raises `UserError` for an unknown flag."""
    try:
        words = shlex.split(typed.replace("=", " "))
    except ValueError as error:
        raise UserError(f"{typed[:40]!r}: {error}; give flags such as --layers 30 --vae 4,8,8") from None
    legal, said = [field.name for field in fields(Setup)], {}
    if len(words) % 2:
        raise UserError("each flag needs a value, such as --layers 30")
    for flag, value in zip(words[::2], words[1::2], strict=True):
        name = flag.removeprefix("--").replace("-", "_")
        if not flag.startswith("--") or name not in legal:
            hint = nearest(name, legal)
            raise UserError(f"unknown flag {flag[:40]!r}; those of minit2v cost{hint and '; ' + hint}")
        said[name] = find_device(value) if name == "device" else value
    if "frames" in said:
        reference = replace(reference, seconds=None, frames=said.pop("frames"))
    elif "seconds" in said:
        reference = replace(reference, frames=None, seconds=said.pop("seconds"))
    return replace(reference, **said)


def figures(question: Question, setup: Setup) -> list[Figure]:
    """What the design's figures are. Raises `UserError` for a path that the cost model does not have."""
    found = {line.path: line for line in lines(setup)}
    wanted = []
    for each in question.figures:
        line = found.get(each["path"])
        if line is None or isinstance(line.value, str):
            raise UserError(f"{question.id}: the cost model has no figure {each['path']!r}")
        wanted.append(Figure(each["ask"], Fraction(line.value), line.unit, line.how))
    return wanted


def mark(figure: Figure, said: Fraction) -> tuple[float, str]:
    """Points for a figure, and what to say: 1 within a tenth, ½ within a factor of 3, else 0."""
    if abs(said - figure.value) <= CLOSE * abs(figure.value):
        return 1.0, f"Right: {figure.shown}."
    if said > 0 and 1 / Fraction(ORDER) <= said / figure.value <= ORDER:
        return 0.5, f"The right order. The cost model says {figure.shown}{_how(figure)}."
    return 0.0, f"The cost model says {figure.shown}{_how(figure)}."


def _how(figure: Figure) -> str:
    return f" ({figure.how})" if figure.how else ""
