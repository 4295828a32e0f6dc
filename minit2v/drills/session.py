"""What is asked next, and how it went: the part that terminal, notebook and mock interview share."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date

from minit2v.drills.memory import Memory
from minit2v.drills.questions import KINDS, TOPICS, Card, Question, lesson_file

MOCK_MINUTES = 30
MOCK_PLAN = {"recall": 4, "number": 3, "shape": 2, "breaks": 2, "bug": 2, "spoken": 2, "design": 1}  # 30 minutes


def choose(cards: Sequence[Card], memory: Memory, count: int, rng: random.Random, today: date) -> list[Card]:
    """The cards to ask: those that are due, longest first; then new ones, topics in turn; then the soonest due."""
    mixed = rng.sample(list(cards), len(cards))
    days = {card.id: memory.due(card.id, today) for card in mixed}
    due = sorted(
        (card for card in mixed if days[card.id] is not None and days[card.id] >= 0), key=lambda c: -days[c.id]
    )
    later = sorted(
        (card for card in mixed if days[card.id] is not None and days[card.id] < 0), key=lambda c: -days[c.id]
    )
    new = in_turn([card for card in mixed if days[card.id] is None], lambda card: (card.topic, card.kind))
    return (due + new + later)[:count]


def in_turn(cards: Sequence[Card], group: Callable) -> list[Card]:
    """Cards in an order in which no group comes again before all others had their turn."""
    heaps: dict = {}
    for card in cards:
        heaps.setdefault(group(card), []).append(card)
    found = []
    while heaps:
        for key in list(heaps):
            found.append(heaps[key].pop())
            if not heaps[key]:
                del heaps[key]
    return found


def mock_plan(cards: Sequence[Card], rng: random.Random) -> list[Card]:
    """A mock interview: `MOCK_PLAN` questions of each kind, topics mixed, short ones first and the whiteboard last."""
    plan: list[Card] = []
    for kind, count in MOCK_PLAN.items():
        pool = [card for card in cards if card.kind == kind]
        for _ in range(min(count, len(pool))):
            asked = [card.topic for card in plan]
            pick = min(rng.sample(pool, len(pool)), key=lambda card: asked.count(card.topic))
            plan.append(pick)
            pool.remove(pick)
    long = [card for card in plan if card.kind in ("spoken", "design")]
    short = [card for card in plan if card not in long]
    return rng.sample(short, len(short)) + long


# ---- how it went -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answered:
    """One answer. late: it took longer than the timer allows."""

    question: Question
    points: float
    seconds: float = 0.0
    late: bool = False


@dataclass
class Sheet:
    """The score sheet of a session."""

    answered: list[Answered] = field(default_factory=list)

    @property
    def points(self) -> float:
        """Of all answers together."""
        return sum(each.points for each in self.answered)

    def by(self, name: str) -> dict[str, tuple[float, int]]:
        """Points and answers by "topic", "kind" or "lesson", in the order of the course."""
        found: dict[str, list[float]] = {}
        for each in self.answered:
            found.setdefault(getattr(each.question, name), []).append(each.points)
        order = {"topic": list(TOPICS), "kind": list(KINDS)}.get(name, sorted(found))
        return {key: (sum(found[key]), len(found[key])) for key in order if key in found}

    def reread(self, most: int = 4) -> list[str]:
        """Lessons to read again, the weakest first: those with less than three quarters of their points."""
        weak = [(got / of, lesson) for lesson, (got, of) in self.by("lesson").items() if got < 0.75 * of]
        return [lesson for _, lesson in sorted(weak)[:most]]

    def lines(self) -> list[str]:
        """The sheet for people."""
        if not self.answered:
            return ["No answer yet, so no score. Come back when you like."]
        seconds = sum(each.seconds for each in self.answered)
        count = len(self.answered)
        text = [f"{_points(self.points)} of {count} in {_minutes(seconds)}", "", f"{'topic':<34}points"]
        for topic, (got, of) in self.by("topic").items():
            text.append(f"{TOPICS[topic][0]} {TOPICS[topic][1]:<31}{_points(got)} of {of}")
        text += ["", f"{'kind':<34}points"]
        text += [f"{kind:<34}{_points(got)} of {of}" for kind, (got, of) in self.by("kind").items()]
        return [*text, "", *self.advice()]

    def advice(self) -> list[str]:
        """What to read again."""
        titles = dict(TOPICS.values())
        lessons = self.reread()
        if not lessons:
            return ["Nothing to reread: at least three quarters of every lesson's points are yours."]
        return ["Reread, the weakest first:"] + [
            f"  lesson {lesson}, {titles[lesson]}" + (f" ({where})" if (where := lesson_file(lesson)) else "")
            for lesson in lessons
        ]

    def facts(self) -> dict:
        """The sheet as a JSON object."""
        scores = {name: {key: {"points": got, "of": of} for key, (got, of) in self.by(name).items()}
                  for name in ("topic", "kind")}  # fmt: skip
        rows = [
            {"id": each.question.id, "points": each.points, "seconds": round(each.seconds, 1), "late": each.late}
            for each in self.answered
        ]
        return {"points": self.points, "of": len(rows), **scores, "reread": self.reread(), "answers": rows}


def _points(value: float) -> str:
    return f"{value:g}"


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
