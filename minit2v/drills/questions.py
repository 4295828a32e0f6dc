"""What a question is, and the bank of written ones: `bank/NN_topic.toml`, one file per lesson, checked when loaded.

A question is written for somebody who wants to learn from being wrong. So each holds, beside its answer, why that is
so, the wrong answer that most people give, and why it tempts. The lesson that proves it is named; where a cell of the
lesson does, so is the cell.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path

from minit2v.errors import UserError, nearest

BANK = Path(__file__).parent / "bank"
NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"

TOPICS = {  # name: number and title of the lesson
    "start": ("00", "start here"),
    "factory": ("01", "the factory"),
    "frame-tape": ("02", "the frame tape"),
    "latents": ("03", "latents"),
    "vae": ("04", "the video VAE"),
    "text": ("05", "text and guidance"),
    "denoising": ("06", "denoising"),
    "attention": ("07", "what attention costs"),
    "transformer": ("08", "the spacetime transformer"),
    "unet": ("09", "the temporal U-Net"),
    "training": ("10", "training a small model"),
    "failures": ("11", "the failure lab"),
    "image-to-video": ("12", "image to video"),
    "long-clips": ("13", "long clips and the camera"),
    "speed": ("14", "speed and serving"),
    "real-systems": ("15", "the real systems"),
}
KINDS = {  # name: what it asks for, and minutes in a mock interview
    "recall": ("say it in your own words", 1.5),
    "number": ("work out a figure", 1.5),
    "shape": ("what shape is it now?", 1.0),
    "breaks": ("what is wrong with this clip?", 1.0),
    "bug": ("find the line that is wrong", 2.0),
    "spoken": ("a minute aloud", 2.5),
    "design": ("at the whiteboard", 8.0),
}
DIFFICULTIES = {"easy": 1, "medium": 2, "hard": 3}
MARKED = ("number", "shape", "breaks", "bug")  # kinds whose answers are checked; of the others you are the judge


@dataclass(frozen=True)
class Question:
    """One question, ready to be asked. The second group of fields belongs to single kinds."""

    id: str  # stable for ever: what people have learned is remembered under it
    topic: str  # a key of TOPICS
    kind: str  # a key of KINDS
    difficulty: int  # 1 easy to 3 hard
    question: str
    answer: str
    why: str
    wrong: str  # the common wrong answer
    tempts: str  # and why it tempts
    cell: str = ""  # "NN:cell-id", the cell that proves it
    chapter: str = ""  # "recall 1", "interview 3", "exercise 2": it is one of the chapter's own
    hint: str = ""

    value: object = None  # number: int or Fraction; shape: a tuple of ints
    unit: str = ""
    tolerance: float = 0.0  # of a number, relative
    steps: tuple[str, ...] = ()  # of the way to a number or shape
    given: dict = field(default_factory=dict)  # what a generated question was drawn with
    choices: tuple[str, ...] = ()  # breaks: what may be wrong with the clip
    picture: Callable | None = None  # breaks: () -> PIL image
    alt: str = ""
    code: str = ""  # bug: runs, and is wrong
    mended: str = ""
    proof: str = ""  # leaves `right` True for the mended code and False for the other
    follow_ups: tuple[str, ...] = ()  # spoken
    strong: str = ""
    weak: str = ""
    rubric: tuple[str, ...] = ()  # design
    design: dict = field(default_factory=dict)  # a reference, fields of `cost.Setup`
    figures: tuple[dict, ...] = ()  # {"path": a line of `minit2v cost`, "ask": what to work out}

    @property
    def lesson(self) -> str:
        """Two digits: the lesson of the cell, else of the topic."""
        return self.cell[:2] or TOPICS[self.topic][0]

    @property
    def bad_lines(self) -> tuple[int, ...]:
        """Lines of `code`, from 1, that differ in the mended version."""
        return changed_lines(self.code, self.mended)


def changed_lines(code: str, mended: str) -> tuple[int, ...]:
    """Which lines of `code`, counted from 1, `mended` replaces; where it only adds one, the line before and after."""
    from difflib import SequenceMatcher

    old, new = code.strip("\n").splitlines(), mended.strip("\n").splitlines()
    found = []
    for tag, start, end, *_ in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "insert":
            found += [line for line in (start, start + 1) if 1 <= line <= len(old)]
        elif tag != "equal":
            found += range(start + 1, end + 1)
    return tuple(found)


def sentence(text: str) -> str:
    """The text with an end."""
    return text if text.endswith((".", "!", "?", "”")) else f"{text}."


# ---- where it is proved --------------------------------------------------------------------------------------


def lesson_file(number: str) -> str:
    """The notebook of a lesson, such as "notebooks/03_latents.ipynb"; "" if it is not there."""
    found = sorted(NOTEBOOKS.glob(f"{number}_*.ipynb"))
    return f"notebooks/{found[0].name}" if found else ""


def proved_in(question: Question) -> str:
    """Where the answer is proved, in words."""
    title = next(title for number, title in TOPICS.values() if number == question.lesson)
    where = lesson_file(question.lesson)
    cell = f", cell {question.cell[3:]}" if question.cell else ""
    return f"lesson {question.lesson}, {title}" + (f" ({where}{cell})" if where else "")


# ---- the bank ------------------------------------------------------------------------------------------------

COMMON = {"id", "kind", "difficulty", "question", "answer", "why", "wrong", "tempts"}
EXTRA = {
    "recall": set(),
    "bug": {"code", "mended", "proof"},
    "spoken": {"follow_ups", "strong", "weak"},
    "design": {"rubric", "design", "figures"},
}
OPTIONAL = {"cell", "chapter", "hint"}
TEXTS = COMMON - {"difficulty"} | OPTIONAL | {"code", "mended", "proof", "strong", "weak"}
LISTS = {"follow_ups", "rubric"}


@cache
def written() -> tuple[Question, ...]:
    """All questions of the bank, lesson by lesson. Raises `UserError`, one line, for the first that is malformed."""
    found: dict[str, Question] = {}
    for path in sorted(BANK.glob("*.toml")):
        for question in read(path):
            if question.id in found:
                raise UserError(f"bank/{path.name}: the id {question.id!r} is taken; ids are for ever, choose another")
            found[question.id] = question
    return tuple(found.values())


def read(path: Path) -> list[Question]:
    """The questions of one file, whose name says the topic. Raises `UserError` for what is malformed."""
    topic = path.stem[3:]
    if topic not in TOPICS or not path.stem.startswith(TOPICS[topic][0]):
        files = ", ".join(f"{number}_{name}.toml" for name, (number, _) in TOPICS.items())
        raise UserError(f"bank/{path.name}: no lesson has that name; legal: {files}")
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"bank/{path.name}: it is no TOML: {error}") from error
    if set(rows) != {"question"}:
        raise UserError(f"bank/{path.name}: it holds {', '.join(rows) or 'nothing'}; legal are [[question]] tables")
    return [checked(row, topic, f"bank/{path.name}, {row.get('id', f'question {i + 1}')!r}")
            for i, row in enumerate(rows["question"])]  # fmt: skip


def checked(row: dict, topic: str, where: str) -> Question:
    """A `Question` of a table of the bank. Raises `UserError`, with `where` in front, for what is malformed."""
    kind = row.get("kind")
    if kind not in EXTRA:
        raise UserError(f"{where}: kind is {kind!r}; written ones are {', '.join(EXTRA)}")
    wanted = COMMON | EXTRA[kind]
    if missing := sorted(wanted - set(row)):
        raise UserError(f"{where}: missing {', '.join(missing)}")
    if stray := sorted(set(row) - wanted - OPTIONAL):
        raise UserError(f"{where}: a question of kind {kind} has no {', '.join(stray)}")
    for name in sorted(TEXTS & set(row)):
        if not isinstance(row[name], str) or len(row[name].strip()) < 2:
            raise UserError(f"{where}: {name} is {row[name]!r}; write a sentence")
    for name in sorted(LISTS & set(row)):
        if not isinstance(row[name], list) or len(row[name]) < 2 or not all(isinstance(x, str) for x in row[name]):
            raise UserError(f"{where}: {name} needs at least two sentences in a list")
    if row["difficulty"] not in DIFFICULTIES.values() or isinstance(row["difficulty"], bool):
        raise UserError(f"{where}: difficulty is {row['difficulty']!r}; give 1 (easy), 2 or 3 (hard)")
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", row["id"]):
        raise UserError(f"{where}: an id is made of small letters, digits and single hyphens")
    if not re.fullmatch(r"|(0\d|1[0-6]):[\w-]+", row.get("cell", "")):
        raise UserError(f"{where}: cell is {row['cell']!r}; give lesson and id, such as 03:latents-14")
    if kind == "design" and not all(set(each) == {"path", "ask"} for each in row["figures"]):
        raise UserError(f"{where}: each figure needs path and ask")
    if kind == "bug" and not changed_lines(row["code"], row["mended"]):
        raise UserError(f"{where}: code and mended are the same")
    return Question(topic=topic, **{name: _kept(value) for name, value in row.items()})


def _kept(value):
    if isinstance(value, list):
        return tuple(value)
    return value.strip("\n") if isinstance(value, str) else value


# ---- cards: questions, written or drawn anew ---------------------------------------------------------------------


@dataclass(frozen=True)
class Card:
    """What is remembered about: a written question, or a family of which every draw has other numbers."""

    id: str
    topic: str
    kind: str
    difficulty: int
    make: Callable  # (seed) -> Question
    generated: bool = False


@cache
def cards() -> tuple[Card, ...]:
    """All cards. Their questions are made when they are asked: nothing heavy is imported before."""
    from minit2v.drills import faults, numbers, shapes

    fixed = [Card(q.id, q.topic, q.kind, q.difficulty, lambda seed, q=q: q) for q in written()]
    drawn = [*numbers.families(), *shapes.families(), *faults.families()]
    names = [card.id for card in [*fixed, *drawn]]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UserError(f"the drills have two cards of the same id: {', '.join(sorted(twice))}")
    return tuple(fixed + drawn)


def select(topic: str | None = None, kind: str | None = None, difficulty: str | int | None = None) -> list[Card]:
    """The cards of a topic (name or lesson number), kind and difficulty (a word or 1 to 3); None: any.

    Raises `UserError`, naming the legal ones, for an unknown word, and where no card is left.
    """
    topic = None if topic is None else topic_of(topic)
    if kind is not None and kind not in KINDS:
        raise UserError(_unknown("kind", kind, KINDS))
    level = None if difficulty is None else level_of(difficulty)
    wanted = {"topic": topic, "kind": kind, "difficulty": level}
    found = [card for card in cards() if all(v is None or getattr(card, k) == v for k, v in wanted.items())]
    if not found:
        asked = ", ".join(f"{name} {value}" for name, value in wanted.items() if value is not None)
        raise UserError(f"no question has {asked}; leave one of them out")
    return found


def topic_of(word: str) -> str:
    """The topic of that name, or of the lesson of that number. Raises `UserError`."""
    by_number = {number: name for name, (number, _) in TOPICS.items()}
    by_number |= {str(int(number)): name for number, name in by_number.items()}
    found = by_number.get(str(word), str(word).lower())
    if found not in TOPICS:
        raise UserError(_unknown("topic", word, TOPICS))
    return found


def level_of(word: str | int) -> int:
    """1 to 3 of easy, medium, hard or their numbers. Raises `UserError`."""
    numbers = {str(number): number for number in DIFFICULTIES.values()}
    found = {**DIFFICULTIES, **numbers}.get(str(word).lower())
    if found is None:
        raise UserError(_unknown("difficulty", word, DIFFICULTIES))
    return found


def _unknown(what: str, word, legal) -> str:
    hint = nearest(str(word)[:40], legal)
    return f"unknown {what} {str(word)[:40]!r}; one of {', '.join(legal)}{hint and '; ' + hint}"


FIELDS = {each.name for each in fields(Question)}
