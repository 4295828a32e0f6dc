"""The drills in a terminal: `minit2v drill`. Answers are typed; a pipe will do as well, and Ctrl-C ends kindly."""

from __future__ import annotations

import random
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

from minit2v.drills import answers, session, whiteboard
from minit2v.drills.memory import Memory
from minit2v.drills.questions import KINDS, MARKED, TOPICS, Card, Question, proved_in, select, sentence
from minit2v.drills.session import Answered, Sheet
from minit2v.errors import UserError

WIDTH = 88
SELF = {"y": 1.0, "yes": 1.0, "p": 0.5, "partly": 0.5, "n": 0.0, "no": 0.0}
HELP = "Answers are typed. ? is a hint, Enter alone shows the answer, s skips, q ends."


class End(Exception):
    """The person, or what she typed from, has come to an end."""


class Terminal:
    """One session. `read` gives a line without its end, or None where there are no more; `say` takes a line."""

    def __init__(
        self, memory: Memory, read: Callable | None = None, say: Callable | None = None, timer: float = 0,
        clock: Callable = time.monotonic, today: Callable = date.today, folder: Path | None = None,
    ):  # fmt: skip
        self.memory, self.timer, self.clock, self.today = memory, timer, clock, today
        self.read, self.say, self.folder = read or read_line, say or say_line, folder
        self.sheet = Sheet()

    # ---- asking ---------------------------------------------------------------------------------------------

    def run(self, cards: list[Card], seed: int, minutes: float | None = None) -> Sheet:
        """Asks them all, or as many as fit into `minutes`; what was answered by then is on the sheet."""
        start = self.clock()
        try:
            for number, card in enumerate(cards, start=1):
                if minutes is not None and self.clock() - start >= 60 * minutes:
                    self.say(f"The {minutes:g} minutes are over; here is the sheet.")
                    break
                self.ask(card, card.make(seed + number), f"{number} of {len(cards)}")
        except End:
            self.say("")
        return self.sheet

    def ask(self, card: Card, question: Question, place: str) -> None:
        """One question: asked, answered, explained, remembered."""
        level = {1: "easy", 2: "medium", 3: "hard"}[question.difficulty]
        lesson, title = TOPICS[question.topic]
        self.say(f"\n── {place} · {lesson} {title} · {KINDS[question.kind][0]} · {level}")
        self.tell(question.question)
        if question.code:
            self.say("\n".join(f"  {i:>2} | {line}" for i, line in enumerate(question.code.splitlines(), start=1)))
            self.say("It runs. Which line is wrong?")
        if question.picture:
            self.say(f"The clip, all frames on a page: {self.page(question)}")
        began = self.clock()
        points = self.judge(question)
        if points is None:
            self.say("Skipped.")
            return
        seconds = self.clock() - began
        late = bool(self.timer) and seconds > self.timer
        if late:
            self.say(f"That took {seconds:.0f} s of {self.timer:.0f}: right or not, it comes again soon.")
        self.sheet.answered.append(Answered(question, points, seconds, late))
        known = self.memory.remember(card.id, min(points, 0.5) if late else points, self.today())
        self.say(f"(again on {known.due})")

    def page(self, question: Question) -> Path:
        """Where the picture of a question was written."""
        if self.folder is None:
            self.folder = Path(tempfile.mkdtemp(prefix="minit2v-drill-"))
        path = self.folder / f"clip-{len(self.sheet.answered) + 1}.png"
        question.picture().save(path)
        return path

    # ---- answering ------------------------------------------------------------------------------------------

    def judge(self, question: Question) -> float | None:
        """Points for what is typed; None where it is skipped."""
        if question.kind == "design":
            return self.design(question)
        if question.kind in MARKED:
            return self.marked(question)
        return self.spoken(question)

    def marked(self, question: Question) -> float | None:
        """Checked answers: asked until something is typed that can be one."""
        while True:
            typed = self.prompt("your answer: ", question)
            if typed is None:
                return None
            if not typed:
                verdict = answers.Verdict(0, "No answer.")
                break
            try:
                verdict = answers.mark(question, typed)
                break
            except UserError as error:
                self.tell(str(error))
        self.say(verdict.said)
        self.explain(question, right=verdict.points == 1)
        return verdict.points

    def spoken(self, question: Question) -> float | None:
        """Free answers: typed or said aloud, then the model answer, then her own verdict."""
        how = "say it aloud, then Enter" if question.kind == "spoken" else "in your words"
        if self.prompt(f"{how}: ", question) is None:
            return None
        self.explain(question, right=False)
        for name, text in (("A strong answer", question.strong), ("A weak answer", question.weak)):
            if text:
                self.tell(f"{name}: {text}")
        if question.follow_ups:
            self.say("They will go on: " + " · ".join(question.follow_ups))
        return self.own_verdict("Did you have it? y(es), p(artly), n(o): ")

    def own_verdict(self, ask: str) -> float:
        """Her own verdict; what is none of the words is asked for again."""
        while True:
            word = self.line(ask).strip().lower()
            if word in SELF:
                return SELF[word]
            self.say("y, p or n, please: only you know.")

    def design(self, question: Question) -> float | None:
        """The whiteboard: a design, its figures held against the cost model, and the rubric."""
        self.tell("State your design in flags of `minit2v cost`. What you leave out is as in this reference, and Enter "
                  f"alone takes it as it is: {whiteboard.flags_of(question.design)}")  # fmt: skip
        reference = whiteboard.setup_of(question.design)
        while True:
            typed = self.prompt("your design: ", question)
            if typed is None:
                return None
            try:
                wanted = whiteboard.figures(question, whiteboard.changed(reference, typed))
                break
            except UserError as error:
                self.tell(str(error))
        earned = [self.figure(each) for each in wanted]
        self.say("Now the rubric. Did you say so?")
        earned += [self.own_verdict(f"  {point} y/p/n: ") for point in question.rubric]
        self.explain(question, right=False)
        points = sum(earned) / len(earned)
        self.say(f"Together {points:.0%} of the whiteboard.")
        return round(points, 2)

    def figure(self, figure: whiteboard.Figure) -> float:
        """One figure of her design."""
        unit = f" ({figure.unit})" if figure.unit else ""
        while True:
            typed = self.line(f"  {figure.ask}{unit}? ").strip()
            if not typed:
                points, said = 0.0, f"The cost model says {figure.shown}."
                break
            try:
                points, said = whiteboard.mark(figure, answers.figure(typed))
                break
            except UserError as error:
                self.tell(f"  {error}")
        self.say(f"  {said}")
        return points

    # ---- in and out -----------------------------------------------------------------------------------------

    def prompt(self, ask: str, question: Question) -> str | None:
        """A line typed; hints are given on the way. None: skipped. Raises `End`."""
        while True:
            typed = self.line(ask).strip()
            if typed.lower() == "s":
                return None
            if typed != "?":
                return typed
            self.tell(question.hint or "There is no hint for this one; say what you do know.")
            if question.kind == "breaks":
                from minit2v.drills.faults import instruments

                self.say("\n".join(f"  {name:<24}{value:.2f}" for name, value in instruments(question.given).items()))

    def line(self, ask: str) -> str:
        """One line. Raises `End` at the end of what is typed, and for q."""
        typed = self.read(ask)
        if typed is None or typed.strip().lower() in ("q", "quit"):
            raise End
        return typed

    def explain(self, question: Question, right: bool) -> None:
        """The answer, why, the wrong one that tempts, and where it is proved."""
        if question.kind == "bug":
            lines = ", ".join(map(str, question.bad_lines))
            self.say(f"Line {lines}. Mended:\n" + textwrap.indent(question.mended, "       "))
        if not right or question.kind == "bug":
            self.tell(f"Answer: {question.answer}")
        for step in question.steps:
            self.say(f"    {step}")
        self.tell(f"Why: {question.why}")
        self.tell(f"Common and wrong: {sentence(question.wrong)} Why it tempts: {sentence(question.tempts)}")
        self.tell(f"Proved in {proved_in(question)}.")

    def tell(self, text: str) -> None:
        """A text of any length, wrapped."""
        for part in text.split("\n"):
            self.say(textwrap.fill(part, WIDTH, subsequent_indent="  " if part.startswith("  ") else ""))


def read_line(ask: str) -> str | None:
    """A line from stdin; what is asked goes to stderr, so that stdout holds the session alone."""
    print(ask, end="", file=sys.stderr, flush=True)
    typed = sys.stdin.readline()
    return typed.rstrip("\r\n") if typed else None


def say_line(text: str) -> None:
    """A line to stdout, at once."""
    print(text, flush=True)


# ---- the command -------------------------------------------------------------------------------------------------


def drill(options) -> None:
    """`minit2v drill`. Raises `UserError` for what is not legal."""
    cards = select(options.topic, options.kind, options.difficulty)
    if options.n is not None and options.n < 1:
        raise UserError(f"--n is {options.n}; give a number of questions, at least 1")
    if options.timer is not None and not 0 < options.timer < 10**6:
        raise UserError(f"--timer is {options.timer:g}; give seconds, above 0")
    if options.list:
        return answer(options, *listing(cards))
    if options.anki:
        from minit2v.drills.anki import build

        made = build(cards, options.anki, seed=options.seed or 0)
        return answer(options, made, [f"{made['notes']} cards, {made['pictures']} pictures: {made['path']}"])
    if options.mock and (options.kind or options.n):
        raise UserError("--mock is thirty minutes of all kinds; leave --kind and --n out")
    if sys.stdin is None:
        raise UserError("there is nobody to ask: stdin is closed")
    if hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(errors="replace")
    return converse(options, cards)


def converse(options, cards: list[Card]) -> None:
    """Asks, and prints the sheet, also after Ctrl-C."""
    memory = Memory.load(options.memory)
    say = say_line if not options.json else lambda text: print(text, file=sys.stderr, flush=True)
    if memory.notice:
        print(f"note: {memory.notice}", file=sys.stderr)
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    rng, today = random.Random(seed), date.today()
    chosen = session.mock_plan(cards, rng) if options.mock else session.choose(
        cards, memory, options.n or 10, rng, today)  # fmt: skip
    minutes = session.MOCK_MINUTES if options.mock else None
    head = (
        f"A mock interview of {minutes} minutes, {len(chosen)} questions."
        if options.mock
        else f"{len(chosen)} questions."
    )
    say(f"{head} {HELP}\n{streak_line(memory, today)} Seed {seed}.")
    terminal = Terminal(memory, say=say, timer=options.timer or 0)
    try:
        terminal.run(chosen, seed, minutes)
    finally:
        facts = terminal.sheet.facts() | {"seed": seed, "streak": memory.streak(date.today())}
        if options.json:
            answer(options, facts, [])
        else:
            say("\n" + "\n".join([*terminal.sheet.lines(), streak_line(memory, date.today())]))


def streak_line(memory: Memory, today: date) -> str:
    """How many days in a row."""
    days = memory.streak(today)
    return (
        f"Streak: {days} day{'s' if days > 1 else ''} in a row."
        if days
        else "Streak: it begins with today's first answer."
    )


def listing(cards: list[Card]) -> tuple[dict, list[str]]:
    """How many cards there are, by topic and kind."""
    counts = {topic: {kind: 0 for kind in KINDS} for topic in TOPICS}
    for card in cards:
        counts[card.topic][card.kind] += 1
    rows = [("topic", *KINDS, "all")]
    for topic, found in counts.items():
        rows.append((f"{TOPICS[topic][0]} {topic}", *(str(n or "·") for n in found.values()), str(sum(found.values()))))
    sums = [sum(found[kind] for found in counts.values()) for kind in KINDS]
    rows.append(("all", *map(str, sums), str(len(cards))))
    text = [f"{row[0]:<20}" + "".join(f"{cell:>8}" for cell in row[1:]) for row in rows]
    generated = sum(card.generated for card in cards)
    text.append(f"{generated} of them are families: every time other numbers, shapes or clips.")
    return {"cards": len(cards), "generated": generated, "topics": counts}, text


def answer(options, facts: dict, text: list[str]) -> None:
    """Prints `facts` as JSON, or else `text`."""
    import json

    print(json.dumps(facts, ensure_ascii=False) if options.json else "\n".join(text))
