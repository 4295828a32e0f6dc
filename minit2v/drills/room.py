"""The interview room, in a notebook: the same questions and the same memory, with buttons.

`Room` is the widget. A page on the web cannot run it, so `still` shows one question as it stands in the room, with its
answer folded away, and `sheet` the score.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import date
from html import escape

from minit2v.drills import answers, session, whiteboard
from minit2v.drills.memory import Memory
from minit2v.drills.questions import DIFFICULTIES, KINDS, MARKED, TOPICS, Question, proved_in, select, sentence
from minit2v.drills.session import Answered, Sheet
from minit2v.errors import UserError
from minit2v.lab.page import Figure, Html, image

BOX = "max-width:46em;padding:.8em 1.1em;border:1px solid #8886;border-radius:8px;line-height:1.5"
PARTS = "margin:.5em 0"


# ---- a question on a page ----------------------------------------------------------------------------------------


def asked(question: Question) -> str:
    """The question as HTML: where it belongs, what is asked, and the code or picture it is about."""
    level = next(word for word, number in DIFFICULTIES.items() if number == question.difficulty)
    number, title = TOPICS[question.topic]
    parts = [f"<p style='{PARTS};opacity:.75'>{number} {title} · {KINDS[question.kind][0]} · {level}</p>"]
    lines = [f"<span style='white-space:pre-wrap'>{escape(line)}</span>" for line in question.question.split("\n")]
    parts.append(f"<p style='{PARTS};font-size:110%'>{'<br>'.join(lines)}</p>")
    if question.code:
        parts.append(f"{listed(question.code)}<p>It runs. Which line is wrong?</p>")
    if question.picture:
        parts.append(picture(question))
    if question.design:
        parts.append(f"<p>A reference to start from: <code>{escape(whiteboard.flags_of(question.design))}</code></p>")
        asks = "".join(f"<li>{escape(each['ask'])}</li>" for each in question.figures)
        parts.append(f"<p>State your design, and work out:</p><ul>{asks}</ul>")
    return "".join(parts)


def listed(code: str) -> str:
    """Code with the numbers of its lines."""
    text = escape("\n".join(f"{i:>2} | {line}" for i, line in enumerate(code.splitlines(), start=1)))
    return f"<pre style='font-family:monospace;font-weight:normal;overflow-x:auto'>{text}</pre>"


def picture(question: Question) -> str:
    """The page of frames, as an <img> that carries its data and its description."""
    from minit2v.media import png_bytes

    return image(png_bytes(question.picture(), question.alt), question.alt)


def explained(question: Question) -> str:
    """The answer as HTML: why, the wrong one that tempts, what else belongs to the kind, and where it is proved."""
    answer = escape(question.answer)
    if question.code:
        answer = f"Line {', '.join(map(str, question.bad_lines))}. {answer}{listed(question.mended)}"
    parts = [("", f"<b>{answer}</b>"), ("", "<br>".join(map(escape, question.steps))), ("Why:", escape(question.why))]
    parts.append(
        (
            "Common and wrong:",
            f"{escape(sentence(question.wrong))} <i>It tempts:</i> {escape(sentence(question.tempts))}",
        )
    )
    parts += [("A strong answer:", escape(question.strong)), ("A weak answer:", escape(question.weak))]
    parts += [("They will go on:", escape(" · ".join(question.follow_ups)))]
    if question.design:
        points = "".join(f"<li>{escape(point)}</li>" for point in question.rubric)
        parts.append(("The rubric:", f"<ul>{points}</ul>"))
    parts.append(("", f"<span style='opacity:.75'>Proved in {escape(proved_in(question))}.</span>"))
    return "".join(f"<p style='{PARTS}'><i>{name}</i> {text}</p>" for name, text in parts if text)


def still(question: Question) -> Html:
    """A question as it stands in the room, its answer folded away: for pages that cannot run."""
    page = (
        f"<div style='{BOX}'>{asked(question)}<details><summary><b>The"
        f" answer</b></summary>{explained(question)}</details></div>"
    )
    return Html(page, f"{question.question}\n\nAnswer: {question.answer}")


def poster(question: Question) -> Figure:
    """The clip of a question, as a figure with its description."""
    return Figure(question.picture(), question.alt)


# ---- the room ----------------------------------------------------------------------------------------------------


class Room:
    """The widget. Nothing is read or written before somebody enters: `memory` None is the file of her own.

    clock and today are for tests.
    """

    def __init__(
        self,
        memory: Memory | None = None,
        seed: int | None = None,
        clock: Callable = time.monotonic,
        today: Callable = date.today,
    ):
        import ipywidgets as w

        self.memory, self.clock, self.today = memory, clock, today
        self.rng = random.Random(seed)
        self.sheet, self.queue, self.question, self.card = Sheet(), [], None, None
        self.topic = w.Dropdown(
            options=[("all topics", None), *((f"{n} {t}", k) for k, (n, t) in TOPICS.items())], description="topic"
        )
        self.kind = w.Dropdown(
            options=[("all kinds", None), *((v[0], k) for k, v in KINDS.items())], description="kind"
        )
        self.level = w.Dropdown(options=[("any", None), *DIFFICULTIES.items()], description="difficulty")
        self.timer = w.Dropdown(options=[("off", 0), ("30 s", 30), ("1 min", 60), ("2 min", 120)], description="timer")
        self.head, self.view, self.said = w.HTML(), w.HTML("Choose, then press <b>Next question</b>."), w.HTML()
        self.typed = w.Textarea(placeholder="your answer", layout=w.Layout(width="46em", height="3.5em"))
        self.next = w.Button(description="Next question", button_style="primary")
        self.check, self.hint = w.Button(description="Check"), w.Button(description="Hint")
        self.verdicts = [w.Button(description=text) for text in ("I had it", "Partly", "Not yet")]
        self.widget = self._laid_out(w)
        self._wire()
        self._show()

    def _laid_out(self, w):
        style = {"description_width": "5.5em"}
        for chooser in (self.topic, self.kind, self.level, self.timer):
            chooser.style, chooser.layout = style, w.Layout(width="21em")
        choosers = w.VBox([w.HBox([self.topic, self.kind]), w.HBox([self.level, self.timer])])
        buttons = w.HBox([self.next, self.check, self.hint, *self.verdicts])
        return w.VBox([self.head, choosers, self.view, self.typed, buttons, self.said])

    def _wire(self):
        self.next.on_click(lambda _: self.ask())
        self.check.on_click(lambda _: self.answer())
        self.hint.on_click(lambda _: self.help())
        for button, points in zip(self.verdicts, (1.0, 0.5, 0.0), strict=True):
            button.on_click(lambda _, points=points: self.note(points))
        for chooser in (self.topic, self.kind, self.level):
            chooser.observe(lambda _: self.queue.clear(), "value")

    # ---- what the buttons do --------------------------------------------------------------------------------

    def ask(self) -> None:
        """The next question: those that are due first, then new ones."""
        try:
            if self.memory is None:
                self.memory = Memory.load()
            if not self.queue:
                cards = select(self.topic.value, self.kind.value, self.level.value)
                self.queue = session.choose(cards, self.memory, len(cards), self.rng, self.today())
        except UserError as error:
            self._tell(str(error))
            return
        self.card = self.queue.pop(0)
        self.question = self.card.make(self.rng.randrange(10**6))
        self.began, self.open = self.clock(), True
        self.typed.value = ""
        self.view.value = f"<div style='{BOX}'>{asked(self.question)}</div>"
        self._tell(self.memory.notice)
        self._show()

    def answer(self) -> None:
        """Checks what is typed; for free answers, shows the model answer and asks for her own verdict."""
        if self.question.kind in MARKED:
            try:
                verdict = answers.mark(self.question, self.typed.value)
            except UserError as error:
                self._tell(str(error))
                return
            self.note(verdict.points, verdict.said)
            return
        figures = self._figures() if self.question.kind == "design" else ""
        self.seconds = self.clock() - self.began
        self._say(f"{figures}{explained(self.question)}<p><b>Did you have it?</b></p>")
        self._show(judging=True)

    def _figures(self) -> str:
        """The figures of the design that is typed, one in each line, or those of the reference."""
        reference = whiteboard.setup_of(self.question.design)
        try:
            setup = whiteboard.changed(reference, self.typed.value if "--" in self.typed.value else "")
            found = whiteboard.figures(self.question, setup)
        except UserError as error:
            return f"<p>{escape(str(error))}; these are the reference's.</p>"
        rows = "".join(f"<li>{escape(each.ask)}: <b>{each.shown}</b></li>" for each in found)
        return f"<p>The cost model says of this design:</p><ul>{rows}</ul>"

    def help(self) -> None:
        """A hint; for a clip, what the instruments read."""
        text = self.question.hint or "There is no hint for this one; say what you do know."
        if self.question.kind == "breaks":
            from minit2v.drills.faults import instruments

            read = ", ".join(f"{name} {value:.2f}" for name, value in instruments(self.question.given).items())
            text = f"{text} The instruments: {read}."
        self._tell(text)

    def note(self, points: float, said: str = "") -> None:
        """Notes an answer, and explains."""
        if not self.open:
            return
        seconds = self.clock() - self.began if self.question.kind in MARKED else self.seconds
        late = bool(self.timer.value) and seconds > self.timer.value
        self.sheet.answered.append(Answered(self.question, points, seconds, late))
        try:
            known = self.memory.remember(self.card.id, min(points, 0.5) if late else points, self.today())
            again = f"Again on {known.due}."
        except UserError as error:
            again = str(error)
        self.open = False
        over = f" It took {seconds:.0f} s of {self.timer.value}." if late else ""
        shown = explained(self.question) if self.question.kind in MARKED else ""
        self._say(f"<p><b>{escape(said)}</b>{over} {escape(again)}</p>{shown}")
        self._show()

    # ---- what is seen ---------------------------------------------------------------------------------------

    def _tell(self, text: str) -> None:
        self.said.value = f"<p>{escape(text)}</p>" if text else ""

    def _say(self, html: str) -> None:
        self.said.value = f"<div style='{BOX}'>{html}</div>"

    def _show(self, judging: bool = False) -> None:
        """Which buttons are there, and the line on top."""
        waiting = self.question is not None and self.open
        free = waiting and self.question.kind not in MARKED
        self.check.description = "Show answer" if free else "Check"
        self.check.disabled = self.hint.disabled = not waiting or judging
        for button in self.verdicts:
            button.layout.display = "" if judging else "none"
        days = self.memory.streak(self.today()) if self.memory else 0
        streak = f"{days} day{'s' if days != 1 else ''} in a row"
        self.head.value = (
            f"<p><b>Interview room</b> · {streak} · {self.sheet.points:g} of {len(self.sheet.answered)}</p>"
        )

    def _ipython_display_(self):
        from IPython.display import display

        display(self.widget)
