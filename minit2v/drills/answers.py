"""What somebody typed, held against the answer: figures in any spelling, shapes, letters and lines of code."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from fractions import Fraction

from minit2v.drills.questions import Question
from minit2v.errors import UserError

LONGEST = 120  # characters of a figure
SCALES = {"k": 3, "thousand": 3, "m": 6, "million": 6, "g": 9, "b": 9, "billion": 9, "t": 12, "trillion": 12, "p": 15}
SIGNS = str.maketrans({"×": "*", "·": "*", "−": "-", "÷": "/", "^": "**", "\u00a0": " ", "\u202f": " ", "'": ""})


@dataclass(frozen=True)
class Verdict:
    """points: 0, ½ or 1. said: what to tell the one who answered."""

    points: float
    said: str


def mark(question: Question, typed: str) -> Verdict:
    """Whether the answer to a question of a marked kind is right. Raises `UserError` for what is no answer at all."""
    checks = {"number": mark_number, "shape": mark_shape, "breaks": mark_choice, "bug": mark_line}
    return checks[question.kind](question, typed)


def mark_number(question: Question, typed: str) -> Verdict:
    """Exact, or within the question's tolerance; right digits of the wrong size are worth a half."""
    given, value = figure(typed), Fraction(question.value)
    if given == value:
        return Verdict(1, "Right.")
    off = abs(given - value) / abs(value) if value else abs(given)
    if off <= Fraction(str(question.tolerance)):
        return Verdict(1, f"Right, within {question.tolerance:.0%}. To the digit: {question.answer}.")
    for times in (10, 100, 1000):
        if value and any(
            abs(given * by - value) / abs(value) <= Fraction(1, 100) for by in (times, Fraction(1, times))
        ):
            return Verdict(0.5, f"The digits are right, the size is off by {times} times.")
    return Verdict(0, "Not right.")


def mark_shape(question: Question, typed: str) -> Verdict:
    """The same sizes in the same order; the same in another order are worth a half."""
    sizes = tuple(int(number) for number in re.findall(r"\d+", typed.replace(",", " ")))
    if not sizes or re.search(r"[^\d\s,xX×*()\[\].]", typed):
        raise UserError(f"{typed.strip()[:40]!r} is no shape; give sizes in order, such as 1, 5, 24, 8, 8")
    if sizes == tuple(question.value):
        return Verdict(1, "Right.")
    if sorted(sizes) == sorted(question.value):
        return Verdict(0.5, "The sizes are right, their order is not. Order is where bugs live.")
    if len(sizes) != len(question.value):
        return Verdict(0, f"Not right: it has {len(question.value)} axes.")
    return Verdict(0, "Not right.")


def mark_choice(question: Question, typed: str) -> Verdict:
    """A letter, or the words of a choice."""
    word = typed.strip().lower().strip("().")
    letters = {chr(ord("a") + i): choice for i, choice in enumerate(question.choices)}
    said = letters.get(word) or next((c for c in question.choices if c.lower() == word), None)
    if said is None:
        raise UserError(f"{typed.strip()[:40]!r} is none of the answers; give a letter from a to {max(letters)}")
    return Verdict(1, "Right.") if said == question.value else Verdict(0, "Not right.")


def mark_line(question: Question, typed: str) -> Verdict:
    """The number of the line that is wrong; the neighbor of it is worth a half."""
    found = re.fullmatch(r"\s*(?:line\s*)?(\d+)\s*", typed.lower())
    count = len(question.code.splitlines())
    if not found or not 1 <= int(found[1]) <= count:
        raise UserError(f"{typed.strip()[:40]!r} is no line of it; give a number from 1 to {count}")
    line = int(found[1])
    if line in question.bad_lines:
        return Verdict(1, "Right.")
    near = min(abs(line - bad) for bad in question.bad_lines) == 1
    return Verdict(0.5, "Warm: it is the line next to it.") if near else Verdict(0, "Not that one.")


# ---- figures ---------------------------------------------------------------------------------------------------


def figure(typed: str) -> Fraction:
    """The number that is typed: 1,048,576, 1 048 576, 1e6, 1.05 million, 15 %, 64 × 64 × 4, 2^20.

    Words behind it (a unit) are passed over. Raises `UserError` for anything else.
    """
    text = typed.strip().lower().translate(SIGNS)
    if not text or len(text) > LONGEST:
        raise UserError("give a number, such as 1,048,576 or 64 x 64 x 4")
    text = re.sub(r"(?<=\d)\s*x\s*(?=\d)", "*", text)
    text = re.sub(r"(?<=\d)[, _](?=\d{3}(?!\d))", "", text)  # thousands
    text = re.sub(r"(?<=\d),(?=\d)", ".", text)  # a comma as people on the continent write it
    found = re.fullmatch(r"(?P<sum>[\d.+\-*/() ]*(?:\d[.]?e[+-]?\d+)?[\d.+\-*/() ]*)\s*(?P<rest>[a-z%$ /²]*)", text)
    if not found or not re.search(r"\d", text):
        raise UserError(f"{typed.strip()[:40]!r} is no number; give one such as 1,048,576 or 64 x 64 x 4")
    try:
        value = _value(ast.parse(found["sum"].strip(), mode="eval").body)
    except (SyntaxError, ZeroDivisionError, OverflowError, ValueError, RecursionError):
        raise UserError(f"{typed.strip()[:40]!r} is no number; give one such as 1,048,576 or 64 x 64 x 4") from None
    word = found["rest"].strip().split(" ")[0]
    return value / 100 if word == "%" else value * 10 ** SCALES.get(word, 0)


def _value(node) -> Fraction:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return Fraction(repr(node.value))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        value = _value(node.operand)
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left), _value(node.right)
        if isinstance(node.op, ast.Pow):
            if right.denominator != 1 or not 0 <= right <= 64 or abs(left) > 10**9:
                raise ValueError
            return left ** int(right)
        for kind, result in (
            (ast.Add, "__add__"),
            (ast.Sub, "__sub__"),
            (ast.Mult, "__mul__"),
            (ast.Div, "__truediv__"),
        ):
            if isinstance(node.op, kind):
                return getattr(left, result)(right)
    raise ValueError


def spelled(value) -> str:
    """A figure for people: whole ones in full, others with four digits, and as a fraction where that is short."""
    value = Fraction(value)
    if value.denominator == 1:
        return f"{int(value):,}"
    return f"{float(value):,.4g}"
