"""The words of the course, from one source. `python -m minit2v.lab.glossary` writes notebooks/glossary.md.

The source is assets/glossary.toml. A lesson links a word as [flicker](glossary.md#flicker); `link("flicker")` writes
that. Each word comes with the line of code that embodies it: the file names module, name and a piece of the line, and
the line's number is looked up in the source, so that it cannot be out of date without a test noticing.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

import minit2v
from minit2v.errors import UserError, nearest

PACKAGE = Path(minit2v.__file__).parent
SOURCE, PAGE = Path(__file__).parent / "assets" / "glossary.toml", PACKAGE.parent / "notebooks" / "glossary.md"
LINK = re.compile(r"\]\((?:\.\./notebooks/)?glossary\.md(?:#([^)\s]*))?\)")


@dataclass(frozen=True)
class Term:
    """A word, what it means, and where it stands in lessons and code. Raises `ValueError` for a malformed one."""

    name: str
    lesson: str  # two digits
    code: str  # module:name
    text: str
    line: str = ""  # a piece of the line; without it, the one that names it

    def __post_init__(self):
        holds = {
            "name": 0 < len(self.name) < 40 and self.anchor,
            "lesson": re.fullmatch(r"0\d|1[0-5]", self.lesson),
            "code": re.fullmatch(r"[\w.]+:[\w.]+", self.code),
            "text": self.text.endswith(".") and 30 < len(self.text) < 300 and self.text.count("\n") == 0,
        }
        if wrong := [field for field, good in holds.items() if not good]:
            raise ValueError(f"glossary, {self.name!r}: wrong or missing {', '.join(wrong)}")

    @property
    def anchor(self) -> str:
        """The end of its address, as GitHub makes it of a heading: lower case, no signs but hyphens."""
        return re.sub(r"[^\w-]", "", self.name.lower().replace(" ", "-"))


@cache
def terms() -> tuple[Term, ...]:
    """All words, in alphabetical order. Raises `ValueError` for a word that is malformed or stands there twice."""
    rows, known = tomllib.loads(SOURCE.read_text(encoding="utf-8"))["term"], {field.name for field in fields(Term)}
    for row in rows:
        if not {"name", "lesson", "code", "text"} <= set(row) <= known:
            raise ValueError(f"glossary, {row.get('name')!r}: it has {', '.join(row)}; legal are {', '.join(known)}")
    found = sorted((Term(**row) for row in rows), key=lambda term: term.anchor)
    if len({term.anchor for term in found}) < len(found):
        raise ValueError("glossary: a word stands there twice")
    return tuple(found)


def find(name: str) -> Term:
    """The word of that name, in any case. Raises `UserError` with the nearest ones."""
    named = {term.name.lower(): term for term in terms()}
    if name.lower() not in named:
        raise UserError(f"the glossary has no {name!r}; {nearest(name.lower(), named) or 'see minit2v.lab.glossary'}")
    return named[name.lower()]


def link(name: str) -> str:
    """A word as a link for a lesson."""
    return f"[{name}](glossary.md#{find(name).anchor})"


def links(text: str) -> Iterator[str]:
    """What the links of a page into the glossary point at: anchors, "" for the page as a whole."""
    return (match[1] or "" for match in LINK.finditer(text))


# ---- the line of code ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """A line of the package: path from the package's folder on, number from 1, and what it says."""

    path: str
    number: int
    line: str


def place(term: Term) -> Place:
    """The line that embodies a word. Raises `ValueError` if there is no such module, name or line."""
    module, _, name = term.code.partition(":")
    path = PACKAGE.joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if not path.is_file():
        raise ValueError(f"glossary, {term.name!r}: there is no module minit2v.{module}")
    source = path.read_text(encoding="utf-8")
    node = _named(ast.parse(source), name.split("."))
    if node is None:
        raise ValueError(f"glossary, {term.name!r}: minit2v.{module} has no {name}")
    lines = source.splitlines()
    for number in range(node.lineno, node.end_lineno + 1):
        if term.line in lines[number - 1]:
            return Place(f"{PACKAGE.name}/{path.relative_to(PACKAGE).as_posix()}", number, lines[number - 1].strip())
    raise ValueError(f"glossary, {term.name!r}: no line of {term.code} holds {term.line!r}")


def _named(node, path: list[str]):
    """The class, function or assignment of that dotted path below a node of a syntax tree, or None."""
    for part in path:
        node = next((child for child in node.body if part in _names(child)), None)
        if node is None:
            return None
    return node


def _names(node) -> set[str]:
    """What a statement gives a name to."""
    if isinstance(node, ast.Assign):
        return {target.id for target in node.targets if isinstance(target, ast.Name)}
    return {getattr(node, "name", "")} - {""}


# ---- the page ------------------------------------------------------------------------------------------------------


def page() -> str:
    """The glossary as Markdown."""
    lines = [
        "# Glossary",
        "",
        f"The {len(terms())} words of the course in one or two sentences each, and the line of code that each of them "
        "is in the end.",
        "",
        "*Made by `python -m minit2v.lab.glossary` from `minit2v/lab/assets/glossary.toml`; change it there.*",
        "",
        "## By lesson",
        "",
    ]
    for lesson in sorted({term.lesson for term in terms()}):
        those = " · ".join(f"[{term.name}](#{term.anchor})" for term in terms() if term.lesson == lesson)
        lines.append(f"- **{lesson}**: {those}")
    lines += ["", "## From A to Z", ""]
    for term in terms():
        where = place(term)
        lines += [
            f'### <a id="{term.anchor}"></a>{term.name}',
            "",
            term.text,
            "",
            f"Lesson {term.lesson} · [`{where.path}:{where.number}`](../{where.path}#L{where.number})",
            "",
            "```python",
            where.line,
            "```",
            "",
        ]
    return "\n".join(lines)


def main() -> int:
    """Exit code: 0. Writes the page."""
    from minit2v.files import write_whole

    write_whole(PAGE, page().encode())
    print(f"notebooks/{PAGE.name}: {len(terms())} words")
    return 0


if __name__ == "__main__":
    sys.exit(main())
