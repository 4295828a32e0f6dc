"""Memory on a fake clock, the terminal on typed lines, the deck opened again, the room's buttons pressed."""

import io
import json
import os
import random
import sqlite3
import subprocess
import sys
import zipfile
from datetime import date, timedelta
from fractions import Fraction
from pathlib import Path

import pytest
from PIL import Image

from minit2v import cli
from minit2v.drills import anki, answers, memory, session, whiteboard
from minit2v.drills.memory import DAYS, Memory
from minit2v.drills.questions import Question, cards, select
from minit2v.drills.session import Answered, Sheet
from minit2v.drills.terminal import Terminal
from minit2v.errors import UserError

DAY = date(2026, 3, 1)
BY_ID = {card.id: card for card in cards()}


@pytest.fixture(autouse=True)
def somewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINIT2V_DRILLS", str(tmp_path / "own" / "drills.json"))


# ---- answers


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("1,048,576", 1048576),
        ("1 048 576", 1048576),
        ("1_048_576", 1048576),
        ("1e6", 10**6),
        ("1.5 million", 1500000),
        ("64 x 64 × 4", 16384),
        ("2^20", 2**20),
        ("15 %", Fraction(15, 100)),
        ("64 frames", 64),
        ("-3.5", Fraction(-7, 2)),
        ("0,75", Fraction(3, 4)),
        ("3/4", Fraction(3, 4)),
        ("4.03B", 4030000000),
        ("134 M", 134 * 10**6),
        ("(2+3)*4", 20),
        ("−2", -2),
        ("12 layers", 12),
    ],
)
def test_figures_are_read_in_many_spellings(typed, value):
    assert answers.figure(typed) == value


@pytest.mark.parametrize(
    "typed", ["", "many", "1/0", "__import__('os')", "9**9**9", "2^999999", "1" * 200, "1..2", "()"]
)
def test_what_is_no_figure_is_one_line(typed):
    with pytest.raises(UserError) as error:
        answers.figure(typed)
    assert "\n" not in str(error.value)


def made(kind, **more):
    texts = dict(question="Q?", answer="A", why="W", wrong="X", tempts="T")
    return Question("q", "latents", kind, 1, **texts, **more)


def test_marks():
    number = made("number", value=Fraction(1048576), tolerance=0.01)
    assert [answers.mark(number, typed).points for typed in ("1048576", "1.05e6", "1.2e6", "104858", "7")] == [
        1,
        1,
        0,
        0.5,
        0,
    ]
    shape = made("shape", value=(1, 5, 24, 8, 8))
    assert [answers.mark(shape, t).points for t in ("(1, 5, 24, 8, 8)", "1x5x24x8x8", "1 24 5 8 8", "5,24,8,8")] == [
        1,
        1,
        0.5,
        0,
    ]
    choice = made("breaks", value="it flickers", choices=("it flickers", "it is frozen"))
    assert [answers.mark(choice, typed).points for typed in ("a", "(A)", "It flickers", "b")] == [1, 1, 1, 0]
    bug = made("bug", code="a\nb\nc\nd", mended="a\nb\nx\nd")
    assert [answers.mark(bug, typed).points for typed in ("3", "line 3", "2", "1")] == [1, 1, 0.5, 0]


@pytest.mark.parametrize(
    ("question", "typed", "says"),
    [
        (made("shape", value=(1,)), "five", "no shape"),
        (made("breaks", value="x", choices=("x", "y")), "c", "from a to b"),
        (made("bug", code="a\nb", mended="a\nc"), "3", "from 1 to 2"),
    ],
)
def test_what_is_no_answer_is_told(question, typed, says):
    with pytest.raises(UserError, match=says):
        answers.mark(question, typed)


# ---- memory


def test_right_answers_come_again_later_and_later():
    kept, today = Memory(None), DAY
    for days in [*DAYS, DAYS[-1]]:
        known = kept.remember("a", 1, today)
        assert date.fromisoformat(known.due) == today + timedelta(days=days)
        assert kept.due("a", today) == -days and kept.due("a", today + timedelta(days=days)) == 0
        today += timedelta(days=days)
    assert (known.asked, known.right, known.box) == (7, 7, 5)


def test_half_right_keeps_the_box_and_wrong_begins_anew():
    kept = Memory(None)
    for _ in range(3):
        kept.remember("a", 1, DAY)
    half = kept.remember("a", 0.5, DAY)
    assert (half.box, half.due) == (2, (DAY + timedelta(days=1)).isoformat())
    wrong = kept.remember("a", 0, DAY)
    assert (wrong.box, wrong.due, wrong.asked, wrong.right) == (0, DAY.isoformat(), 5, 3.5)


def test_a_streak_counts_days_in_a_row():
    kept = Memory(None)
    for gap, days in ((0, 1), (0, 1), (1, 2), (1, 3), (2, 1)):
        kept.remember(
            "a",
            1,
            day := (
                DAY + timedelta(days=gap)
                if kept.last_day == ""
                else date.fromisoformat(kept.last_day) + timedelta(days=gap)
            ),
        )
        assert kept.streak(day) == days
    assert kept.streak(day + timedelta(days=1)) == 1 and kept.streak(day + timedelta(days=2)) == 0


def test_memory_is_found_again_and_what_the_bank_dropped_is_kept():
    one = Memory.load()
    assert one.cards == {} and not one.path.exists()
    one.remember("a", 1, DAY)
    one.remember("a-question-of-old", 0, DAY)
    two = Memory.load()
    assert (two.cards, two.days, two.last_day) == (one.cards, 1, DAY.isoformat()) and two.path == one.path
    two.remember("b", 1, DAY)
    assert set(Memory.load().cards) == {"a", "a-question-of-old", "b"}
    assert [path.name for path in one.path.parent.iterdir()] == ["drills.json"]


GOOD = {"box": 2, "due": "2026-03-05", "asked": 3, "right": 2.5}
WHOLE = {"version": 1, "last_day": "", "days": 0, "cards": {"good": GOOD}}


@pytest.mark.parametrize(
    ("data", "saved"),
    [
        (b"", 0),
        (b"{", 0),
        (b"\xff\xfe\x00", 0),
        (b"[]", 0),
        (b"[" * 10**5, 0),
        (b'{"version": 1}', 0),
        (json.dumps({**WHOLE, "days": "two"}).encode(), 1),
        (json.dumps({**WHOLE, "last_day": "soon"}).encode(), 1),
        (json.dumps({**WHOLE, "cards": {"good": GOOD, "bad": {**GOOD, "box": 9}}}).encode(), 1),
        (json.dumps({**WHOLE, "cards": {"good": GOOD, "bad": {**GOOD, "due": "x"}, "worse": 3}}).encode(), 1),
    ],
)
def test_a_damaged_file_is_kept_beside_and_what_is_sound_is_taken_over(data, saved):
    path = memory.default_path()
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    found = Memory.load()
    assert "damaged" in found.notice and "\n" not in found.notice and len(found.cards) == saved
    assert path.with_name("drills.json.damaged-1").read_bytes() == data == path.read_bytes()
    found.remember("a", 1, DAY)
    assert Memory.load().notice == "" and len(Memory.load().cards) == saved + 1
    path.write_bytes(b"?")
    Memory.load()
    assert path.with_name("drills.json.damaged-2").read_bytes() == b"?"


def test_a_newer_file_a_folder_and_a_place_that_cannot_be_written_are_one_line(tmp_path):
    newer = tmp_path / "newer.json"
    newer.write_text(json.dumps({**WHOLE, "version": 2}))
    for path, says in ((newer, "newer minit2v"), (tmp_path, "cannot read")):
        with pytest.raises(UserError, match=says):
            Memory.load(path)
    assert newer.exists() and not list(tmp_path.glob("*damaged*"))
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        Memory(tmp_path / "file" / "drills.json").remember("a", 1, DAY)


@pytest.mark.parametrize(
    ("platform", "variables", "ends"),
    [
        ("linux", {"XDG_DATA_HOME": "/data"}, "/data/minit2v/drills.json"),
        ("linux", {"XDG_DATA_HOME": "here"}, "/home/me/.local/share/minit2v/drills.json"),
        ("darwin", {}, "/home/me/Library/Application Support/minit2v/drills.json"),
        ("win32", {"APPDATA": "/roaming"}, "/roaming/minit2v/drills.json"),
        ("win32", {}, "/home/me/AppData/Roaming/minit2v/drills.json"),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="paths of POSIX")
def test_the_file_lies_where_the_system_keeps_such_files(monkeypatch, platform, variables, ends):
    for name in ("MINIT2V_DRILLS", "XDG_DATA_HOME", "APPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(memory.sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: Path("/home/me"))
    assert memory.default_path().as_posix() == ends


# ---- what is asked next


def test_what_is_due_comes_first_then_what_is_new_then_what_is_due_soonest():
    kept, pool = Memory(None), select("latents")
    for days, card in enumerate(pool[:4]):
        kept.remember(card.id, 1, DAY - timedelta(days=days))  # due tomorrow, today, yesterday, the day before
    chosen = session.choose(pool, kept, 100, random.Random(0), DAY)
    assert [card.id for card in chosen[:3]] == [pool[i].id for i in (3, 2, 1)] and chosen[-1].id == pool[0].id
    assert {card.id for card in chosen} == {card.id for card in pool} and len(chosen) == len(pool)


def test_new_cards_mix_topics_and_a_seed_repeats_them():
    one, again, other = (session.choose(cards(), Memory(None), 40, random.Random(s), DAY) for s in (1, 1, 2))
    assert one == again != other and len({card.topic for card in one}) >= 12 and len({card.kind for card in one}) >= 5


def test_a_mock_interview_lasts_thirty_minutes_and_mixes():
    from minit2v.drills.questions import KINDS

    for seed in range(5):
        plan = session.mock_plan(cards(), random.Random(seed))
        assert [card.kind for card in plan].count("design") == 1 and plan[-1].kind == "design"
        assert 26 <= sum(KINDS[card.kind][1] for card in plan) <= 32
        assert len({card.topic for card in plan}) >= 9 and len(plan) == len(set(card.id for card in plan)) == 16


def test_the_sheet_adds_up_and_says_what_to_reread():
    sheet = Sheet(
        [
            Answered(BY_ID[name].make(0), points, 30)
            for name, points in (
                ("latents-recall-why", 1),
                ("number-frames", 0),
                ("vae-recall-4n1", 1),
                ("number-tokens", 0.5),
            )
        ]
    )
    assert sheet.points == 2.5 and sheet.by("topic") == {"latents": (1, 2), "vae": (1, 1), "transformer": (0.5, 1)}
    assert sheet.facts()["kind"]["number"] == {"points": 0.5, "of": 2}
    assert sheet.reread() == ["01", "03"] and "lesson 01, the factory" in "\n".join(sheet.lines())


# ---- the terminal


def terminal(lines, **more):
    said, typed = [], iter(lines)
    one = Terminal(
        Memory(None), read=lambda ask: said.append(ask) or next(typed, None), say=said.append, today=lambda: DAY, **more
    )
    return one, said


def test_a_figure_is_asked_until_it_is_one_then_explained_and_remembered():
    one, said = terminal(["?", "soon", "1"])
    question = BY_ID["number-frames"].make(8)
    one.run([BY_ID["number-frames"]], 7)
    text = "\n".join(said)
    for part in (
        question.question,
        question.hint,
        "no number",
        "Not right.",
        question.answer,
        question.steps[0],
        "lesson 03",
    ):
        assert part.replace("\n", " ") in text.replace("\n", " ")
    assert one.memory.cards["number-frames"].right == 0 and one.sheet.points == 0


@pytest.mark.parametrize(("lines", "points"), [(["mine", "y"], 1), (["", "huh", "p"], 0.5), (["x", "NO"], 0)])
def test_free_answers_are_judged_by_oneself(lines, points):
    one, said = terminal(lines)
    one.run([BY_ID["latents-recall-why"]], 0)
    assert one.sheet.points == points and len(one.sheet.answered) == 1
    assert any("Answer: Because raw video is huge" in line for line in said)


def test_skipping_leaves_no_trace_and_quitting_keeps_what_was_answered():
    one, _ = terminal(["s", "1", "q"])
    one.run([BY_ID["number-frames"], BY_ID["shape-schedule"], BY_ID["number-tokens"]], 0)
    assert [each.question.id for each in one.sheet.answered] == ["shape-schedule"] == list(one.memory.cards)


def test_a_late_answer_counts_and_comes_again_sooner():
    now = [0.0]
    question = BY_ID["number-frames"].make(1)
    said, typed = [], [str(question.value)]

    def read(ask):
        now[0] += 31
        return typed.pop()

    one = Terminal(Memory(None), read, said.append, timer=30, clock=lambda: now[0], today=lambda: DAY)
    one.run([BY_ID["number-frames"]], 0)
    assert one.sheet.points == 1 and one.sheet.answered[0].late
    assert one.memory.cards["number-frames"].due == (DAY + timedelta(days=1)).isoformat()


def test_a_mock_interview_ends_with_its_time():
    now = [0.0]

    def read(ask):
        now[0] += 600
        return "1"

    one = Terminal(Memory(None), read, lambda text: None, clock=lambda: now[0], today=lambda: DAY)
    one.run([BY_ID["number-frames"]] * 9, 0, minutes=30)
    assert len(one.sheet.answered) == 3


def test_a_clip_is_a_file_and_the_instruments_are_a_hint():
    one, said = terminal(["?", "a"], folder=Path("."))
    one.run([BY_ID["breaks-frozen"]], 0)
    assert Image.open("clip-1.png").size[0] == 824 and "motion                  0.00" in "\n".join(said)


def test_the_whiteboard_checks_the_candidates_own_figures():
    question = BY_ID["speed-design-preview"].make(0)
    mine = whiteboard.changed(whiteboard.setup_of(question.design), "--layers 15")
    latency = float(whiteboard.figures(question, mine)[3].value)
    one, said = terminal(["--nonsense 3", "--layers 15", "33", "5760", "", f"{latency * 1.05:.4f} s", *"yynp"])
    one.run([BY_ID["speed-design-preview"]], 0)
    assert len(one.sheet.answered) == 1 and len(question.figures) == 4
    text = "\n".join(said)
    assert "unknown flag" in text and text.count("Right: ") == 3 and "The cost model says" in text
    assert one.sheet.points == pytest.approx((1 + 1 + 0 + 1 + 1 + 1 + 0 + 0.5) / 8, abs=0.01)


# ---- the command


@pytest.fixture
def run(capsys, monkeypatch):
    def call(*words, typed=""):
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        code = cli.main(["drill", *map(str, words)])
        return code, *capsys.readouterr()

    return call


def test_questions_through_a_pipe_and_the_sheet_as_json(run):
    code, out, err = run("--topic", "latents", "--kind", "number", "--n", 3, "--seed", 3, "--json", typed="1\n2\n3\n")
    facts = json.loads(out)
    assert code == 0 and facts["of"] == 3 and facts["seed"] == 3 and facts["streak"] == 1 and "work out a figure" in err
    assert set(Memory.load().cards) == {row["id"] for row in facts["answers"]}
    code, out, _ = run("--topic", "latents", "--kind", "number", "--n", 3, "--seed", 3, typed="")
    assert code == 0 and "No answer yet" in out and "1 day in a row" in out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--topic", "lattents"], "did you mean 'latents'"),
        (["--topic", "lattents"], "real-systems"),
        (["--kind", "riddle"], "recall, number, shape, breaks, bug, spoken, design"),
        (["--difficulty", "9"], "easy, medium, hard"),
        (["--n", "0"], "--n is 0"),
        (["--n", "x"], "invalid int"),
        (["--timer", "-1"], "--timer is -1"),
        (["--timer", "nan"], "nan"),
        (["--mock", "--kind", "bug"], "leave --kind"),
        (["--anki", "deck.zip"], ".apkg"),
        (["--anki", "no/deck.apkg"], "no folder"),
        (["--topic", "start", "--kind", "design"], "no question has"),
        (["--memory", "."], "cannot read"),
    ],
)
def test_wrong_input_is_one_line_and_code_2(run, words, says):
    code, out, err = run(*words)
    assert code == 2 and out == "" and err.count("\n") == 1 and says in err


def test_what_there_is_is_listed_without_torch():
    code = "import sys; from minit2v import cli; cli.main(['drill', '--list']); assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"{len(cards())}" in done.stdout and "15 real-systems" in done.stdout


def test_ctrl_c_prints_the_sheet_and_leaves_with_130(run, monkeypatch):
    lines = iter(["12"])

    def read(ask):
        try:
            return next(lines)
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr("minit2v.drills.terminal.read_line", read)
    code, out, err = run("--kind", "number", "--n", 2, "--seed", 1)
    assert code == 130 and " of 1 in " in out and err == "error: stopped\n" and len(Memory.load().cards) == 1


def test_a_damaged_memory_is_told_in_one_line(run):
    memory.default_path().parent.mkdir(parents=True)
    memory.default_path().write_text("{")
    code, _, err = run("--kind", "number", "--n", 1, typed="")
    assert code == 0 and err.startswith("note: ") and "drills.json.damaged-1" in err


# ---- the deck


def opened(path):
    with zipfile.ZipFile(path) as file:
        assert file.testzip() is None
        Path("collection").write_bytes(file.read("collection.anki2"))
        pictures = {name: file.read(key) for key, name in json.loads(file.read("media")).items()}
    connection = sqlite3.connect("collection")
    try:
        assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
        notes = connection.execute("select id, guid, mid, mod, tags, flds from notes").fetchall()
        rows = connection.execute("select id, nid, did, ord from cards").fetchall()
        models, decks = connection.execute("select models, decks from col").fetchone()
    finally:
        connection.close()
    return notes, rows, pictures, json.loads(models), json.loads(decks)


def few():
    wanted = (
        "latents-recall-why",
        "number-frames",
        "breaks-frozen",
        "vae-bug-causal-pad",
        "factory-spoken-beautiful-frames",
    )
    return [BY_ID[name] for name in wanted]


def test_two_builds_have_equal_cards_and_ids():
    first, second = (anki.build(few(), f"{name}.apkg", when=when) for name, when in (("one", 1e9), ("two", 2e9)))
    assert first["notes"] == second["notes"] == 3 + 3 + 2 and first["pictures"] == 2
    (notes, rows, pictures, models, decks), (later, *rest) = opened("one.apkg"), opened("two.apkg")
    assert [note[:3] + note[4:] for note in notes] == [note[:3] + note[4:] for note in later]
    assert rows == rest[0] and pictures == rest[1] and set(models) == set(rest[2]) and set(decks) == set(rest[3])
    assert {note[3] for note in notes} == {10**9} and {note[3] for note in later} == {2 * 10**9}  # an update is newer
    assert {row[1] for row in rows} == {note[0] for note in notes} and {row[2] for row in rows} == {anki.DECK}


def test_a_note_keeps_its_ids_when_others_come_and_go():
    anki.build(few(), "one.apkg")
    anki.build([BY_ID["number-tokens"], *few()[1:]], "two.apkg")
    first, second = ({note[1]: note[0] for note in opened(name)[0]} for name in ("one.apkg", "two.apkg"))
    common = set(first) & set(second)
    assert len(common) == 7 and all(first[guid] == second[guid] for guid in common)
    numbers = list(anki.ids([card.id for card in cards()]))
    assert len(set(numbers)) == len(numbers) == 2 * len(cards())


def test_what_is_on_the_cards():
    anki.build(few(), "deck.apkg")
    notes, _, pictures, models, decks = opened("deck.apkg")
    fields = {note[5].split("\x1f")[0]: note[5].split("\x1f") for note in notes}
    bug = fields["vae-bug-causal-pad"]
    assert "F.pad(x, (1, 1))" in bug[1] and "Line 2." in bug[3] and "F.pad(x, (2, 0))" in bug[6]
    clip = fields["breaks-frozen-1"]
    assert 'src="minit2v-breaks-frozen-1.png"' in clip[2] and 'alt="Seventeen frames' in clip[2]
    assert Image.open(io.BytesIO(pictures["minit2v-breaks-frozen-1.png"])).size[0] == 824
    assert fields["number-frames-1"][1] != fields["number-frames-2"][1] and "×" in fields["number-frames-1"][6]
    assert "They will go on" in fields["factory-spoken-beautiful-frames"][6]
    assert any(" minit2v::03-latents " in f" {note[4]} " and "minit2v::recall" in note[4] for note in notes)
    assert str(anki.NOTE_TYPE) in models and decks[str(anki.DECK)]["name"] == "minit2v"


def test_without_genanki_one_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "genanki", None)
    with pytest.raises(UserError, match="pip install genanki"):
        anki.build(few(), "deck.apkg")


# ---- the room


def test_the_rooms_buttons():
    from minit2v.drills.room import Room

    kept = Memory(None)
    room = Room(kept, seed=0, clock=lambda: 0.0, today=lambda: DAY)
    assert room.check.disabled and "0 of 0" in room.head.value
    room.topic.value, room.kind.value = "latents", "number"
    room.next.click()
    room.typed.value = "hello"
    room.check.click()
    assert "no number" in room.said.value and not room.sheet.answered
    room.hint.click()
    assert room.question.hint.split("×")[0].strip() in room.said.value
    room.typed.value = str(room.question.value)
    room.check.click()
    room.check.click()
    assert room.sheet.points == 1 and "1 of 1" in room.head.value and "1 day in a row" in room.head.value
    assert list(kept.cards) == [room.card.id] and "Right." in room.said.value
    room.kind.value = "spoken"
    room.next.click()
    assert room.check.description == "Show answer" and room.verdicts[0].layout.display == "none"
    room.check.click()
    assert room.verdicts[0].layout.display == "" and "A strong answer" in room.said.value
    room.verdicts[1].click()
    assert room.sheet.points == 1.5 and len(kept.cards) == 2
    room.kind.value, room.topic.value = "design", "start"
    room.next.click()
    assert "no question has topic start" in room.said.value


def test_the_room_asks_every_kind_and_the_still_page_says_it_all():
    from minit2v.drills.questions import KINDS
    from minit2v.drills.room import Room, explained, still

    room = Room(Memory(None), seed=1, today=lambda: DAY)
    for kind in KINDS:
        room.kind.value = kind
        room.next.click()
        room.hint.click()
        room.typed.value = "--layers 9" if kind == "design" else "1"
        room.check.click()
        page = still(room.question)
        assert "<details>" in page.html and explained(room.question) in page.html and room.question.answer in page.text
        assert page.html.count("<img") == page.html.count('alt="Seventeen') == (kind == "breaks")
    assert "The cost model says of this design" in room.said.value
