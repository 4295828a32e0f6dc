"""How the lines look: as a table, side by side, and as JSON."""

from __future__ import annotations

from fractions import Fraction

from minit2v.cost.lines import Line
from minit2v.cost.words import brief, human

SECTIONS = {"scores": "attention scores", "flops": "FLOPs of a clip", "time": "time and money"}  # others: by their name


def exactly(value):
    """A figure as JSON has it: whole numbers to the digit, others as the nearest float."""
    if not isinstance(value, Fraction):
        return value
    return round(value) if value.denominator == 1 or value > 10**15 else float(value)


def as_json(figures: list[Line]) -> dict:
    """The lines as nested objects, by their paths."""
    facts: dict = {}
    for line in figures:
        *groups, name = line.path.split(".")
        place = facts
        for group in groups:
            place = place.setdefault(group, {})
        place[name] = exactly(line.value)
    return facts


def table(figures: list[Line]) -> list[str]:
    """For people: label, figure to the digit, and how it comes about."""
    rows = []
    for line in figures:
        large = line.unit in ("FLOP", "bytes") and line.value >= 1000
        how = ", ".join(filter(None, (human(line.value, line.unit) if large else "", line.how)))
        rows.append((line.section, line.label, shown(line, exact=True), how))
    return in_sections(rows)


def comparison(names: list[str], columns: list[list[Line]]) -> list[str]:
    """Several setups side by side; with two, also how many times the first the second is."""
    found = [{line.path: line for line in column} for column in columns]
    two = len(found) == 2
    rows = [("", "", *names, "second / first" if two else "")]
    relation = ratios(*found) if two else {}
    for path in dict.fromkeys(path for column in found for path in column):
        line = next(column[path] for column in found if path in column)
        said = "" if path not in relation else "same" if relation[path] == 1 else f"× {brief(relation[path])}"
        rows.append((line.section, line.label, *(shown(column.get(path)) for column in found), said))
    return in_sections(rows)


def shown(line: Line | None, exact: bool = False) -> str:
    """A figure in a column: exact, or short with its unit; "-" where there is none."""
    if line is None:
        return "-"
    if isinstance(line.value, str):
        return line.value
    short = line.unit in ("s", "$") or (line.unit and not exact)
    return human(line.value, line.unit) if short else brief(line.value)


def ratios(first: dict[str, Line], second: dict[str, Line]) -> dict[str, Fraction]:
    """Second by first, of all figures that both have."""
    both = {path: (first[path].value, second[path].value) for path in first if path in second}
    return {path: Fraction(b) / Fraction(a) for path, (a, b) in both.items() if not isinstance(a, str) and a}


def in_sections(rows: list[tuple]) -> list[str]:
    """Columns, with a heading wherever the section, which comes first in a row, changes. The last one flows."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][1:]
    text, before = [], ""
    for section, label, *cells, last in rows:
        if section != before:
            text.append(SECTIONS.get(section, section))
            before = section
        columns = "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths[1:-1], strict=True))
        text.append(f"  {label:<{widths[0]}}  {columns}  {last}".rstrip())
    return text
