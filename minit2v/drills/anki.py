"""The drills as a deck for Anki, through genanki: for the bus, and for the years after the course.

Ids are stable: a note's comes from its question's id, the deck's and the note type's are fixed. So an update changes
what a card says, and keeps what somebody has learned. Families of questions come as a few draws each.
"""

from __future__ import annotations

import hashlib
import io
import json
import sqlite3
import tempfile
import time
import zipfile
from collections.abc import Iterator
from html import escape
from pathlib import Path

from minit2v.drills.questions import DIFFICULTIES, KINDS, TOPICS, Card, Question, proved_in, sentence
from minit2v.errors import UserError
from minit2v.files import write_whole

DECK, NOTE_TYPE = 1_907_211_107, 1_907_211_108  # for ever
DRAWS = {"number": 3, "shape": 3, "breaks": 2}  # of each family
FIELDS = ("Id", "Question", "Picture", "Answer", "Why", "Wrong", "More", "Proof")
STYLE = """.card { font-family: sans-serif; font-size: 18px; line-height: 1.45; max-width: 42em; margin: auto;
text-align: left; } pre { overflow-x: auto; background: #8882; padding: .6em; } img { max-width: 100%; }
.part { margin-top: .8em; } .small { font-size: 80%; opacity: .75; }"""
FRONT = "{{Question}}{{#Picture}}<div class=part>{{Picture}}</div>{{/Picture}}"
BACK = """{{FrontSide}}<hr id=answer><b>{{Answer}}</b><div class=part>{{Why}}</div>
<div class=part><i>Common and wrong:</i> {{Wrong}}</div>{{#More}}<div class=part>{{More}}</div>{{/More}}
<div class="part small">{{Proof}}</div>"""


def build(cards: list[Card], path: str | Path, seed: int = 0, when: float | None = None) -> dict:
    """Write the deck; what is in it, as a JSON object.

    when: seconds since 1970, the time of change that the notes carry: Anki takes an update only if it is newer.
    Raises `UserError` where genanki is missing, for another extension, and where the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".apkg":
        raise UserError(f"'{path}' does not end in .apkg, which is what Anki opens; name it {path.stem}.apkg")
    if not path.parent.is_dir():
        raise UserError(f"cannot write '{path}': there is no folder '{path.parent}'; create it or name another")
    genanki = _genanki()
    model = genanki.Model(
        NOTE_TYPE, "minit2v drill", fields=[{"name": name} for name in FIELDS],
        templates=[{"name": "ask", "qfmt": FRONT, "afmt": BACK}], css=STYLE,
    )  # fmt: skip
    deck, media = genanki.Deck(DECK, "minit2v", "Text-to-video systems: the drills of minit2v."), {}
    for name, question in draws(cards, seed):
        if question.picture:
            media[f"minit2v-{name}.png"] = _png(question)
        deck.add_note(genanki.Note(model, fields_of(name, question), tags=tags(question),
                                   guid=genanki.guid_for("minit2v", name)))  # fmt: skip
    write_whole(path, package(deck, media, time.time() if when is None else when))
    return {"path": str(path), "notes": len(deck.notes), "pictures": len(media), "deck": DECK}


def _genanki():
    try:
        import genanki
    except ImportError:
        raise UserError("the package genanki is missing; pip install genanki (it comes with minit2v[course])") from None
    return genanki


def draws(cards: list[Card], seed: int) -> Iterator[tuple[str, Question]]:
    """The questions of the deck, each with its name: a family's carry a number."""
    for card in cards:
        if not card.generated:
            yield card.id, card.make(seed)
        else:
            for number in range(DRAWS[card.kind]):
                yield f"{card.id}-{number + 1}", card.make(1000 * seed + number)


def tags(question: Question) -> list[str]:
    """What somebody may search for in Anki."""
    level = next(word for word, number in DIFFICULTIES.items() if number == question.difficulty)
    return [f"minit2v::{TOPICS[question.topic][0]}-{question.topic}", f"minit2v::{question.kind}", f"minit2v::{level}"]


def fields_of(name: str, question: Question) -> list[str]:
    """The fields of a note, in the order of `FIELDS`, as HTML."""
    ask = _html(question.question)
    if question.code:
        ask += f"<pre>{_code(question.code)}</pre>It runs. Which line is wrong?"
    picture = f'<img src="minit2v-{name}.png" alt="{escape(question.alt)}">' if question.picture else ""
    more = [f"<pre>{_code(question.mended)}</pre>"] if question.code else []
    more += ["<br>".join(map(_html, question.steps))] if question.steps else []
    more += [f"<i>A strong answer:</i> {_html(question.strong)}"] if question.strong else []
    more += [f"<i>A weak answer:</i> {_html(question.weak)}"] if question.weak else []
    for title, points in (("They will go on", question.follow_ups), ("The rubric", question.rubric)):
        if points:
            more.append(f"<i>{title}:</i><ul>" + "".join(f"<li>{_html(point)}</li>" for point in points) + "</ul>")
    answer = _html(question.answer)
    if question.code:
        answer = f"Line {', '.join(map(str, question.bad_lines))}. {answer}"
    wrong = f"{_html(sentence(question.wrong))} <i>It tempts:</i> {_html(sentence(question.tempts))}"
    proof = f"{KINDS[question.kind][0]} · {_html(proved_in(question))}"
    return [name, ask, picture, answer, _html(question.why), wrong, "<br>".join(more), proof]


def _html(text: str) -> str:
    return escape(text, quote=False).replace("\n", "<br>")


def _code(code: str) -> str:
    return "\n".join(f"{i:>2}  {escape(line, quote=False)}" for i, line in enumerate(code.splitlines(), start=1))


def _png(question: Question) -> bytes:
    from minit2v.media import png_bytes

    return png_bytes(question.picture(), question.alt)


# ---- the file ----------------------------------------------------------------------------------------------------


def ids(names: list[str]) -> Iterator[int]:
    """Ids as Anki has them, milliseconds of some year: of a note, of its card, in turn; the same for a name always."""
    for name in names:
        start = 1_500_000_000_000 + 2 * (int(hashlib.sha256(name.encode()).hexdigest()[:12], 16) % 10**11)
        yield start
        yield start + 1


def package(deck, media: dict[str, bytes], when: float) -> bytes:
    """The .apkg: a zip of an SQLite database and the pictures. genanki's own writer numbers notes by the clock."""
    genanki = _genanki()
    names = [note.fields[0] for note in deck.notes]
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "collection.anki2"
        connection = sqlite3.connect(base)
        try:
            genanki.Package(deck).write_to_db(connection.cursor(), when, ids(names))
            connection.commit()
        finally:
            connection.close()
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
            file.write(base, "collection.anki2")
            file.writestr("media", json.dumps({str(i): name for i, name in enumerate(media)}))
            for i, data in enumerate(media.values()):
                file.writestr(str(i), data)
    return out.getvalue()
