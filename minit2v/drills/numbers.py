"""Figures to work out: families of questions, each with as many draws as anybody likes.

A family draws parameters that are legal, and lets `minit2v.arithmetic` work out the figure: nothing here multiplies on
its own, but for the lines of arithmetic that the package has no name for (a mixture, a step, a share). The tests work
every figure out a second time, from running modules where there are some, else by counting.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction

from minit2v.drills.answers import spelled
from minit2v.drills.questions import Card, Question

CLOSE = Fraction(1, 100)  # figures with many digits need not be exact
FAMILIES: list[Card] = []


def families() -> list[Card]:
    """All cards of kind number: the modules register their own when they are imported."""
    from minit2v.drills import numbers_clips, numbers_models, numbers_networks, numbers_systems  # noqa: F401

    return list(FAMILIES)


def family(topic: str, difficulty: int, wrong: str, tempts: str, cell: str = "", hint: str = "") -> Callable:
    """Makes a card of a function `draw(rng) -> (given, question, value, unit, steps, why)`, named after it."""

    def register(draw):
        name = "number-" + draw.__name__.replace("_", "-")

        def make(seed: int) -> Question:
            given, text, value, unit, steps, why = draw(random.Random(f"{name} {seed}"))
            exact = Fraction(value)
            long = exact.denominator != 1 or abs(exact) >= 10**5
            return Question(
                name,
                topic,
                "number",
                difficulty,
                text,
                f"{spelled(exact)} {unit}".strip(),
                why,
                wrong,
                tempts,
                cell=cell,
                hint=hint,
                value=exact,
                unit=unit,
                tolerance=float(CLOSE) if long else 0.0,
                steps=tuple(steps),
                given=given,
            )

        FAMILIES.append(Card(name, topic, "number", difficulty, make, generated=True))
        return make

    return register
