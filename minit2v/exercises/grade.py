"""Grades notebooks of learners: `minit2v check FOLDER`.

Nothing of what a notebook shows is believed. Its cells are run, in a process of its own, and the functions that they
define are then judged from here, with inputs of a seed of its own. A cell that stops, never ends or brings its process
down is left out, and the rest goes on; a notebook that cannot be read at all is a row with the reason.
"""

from __future__ import annotations

import csv
import io
import json
import linecache
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path

from minit2v.errors import UserError
from minit2v.exercises import guest, wire
from minit2v.exercises.checking import verdict_of
from minit2v.exercises.judging import broken
from minit2v.exercises.registry import Task, tasks
from minit2v.exercises.sandbox import Died, Guest, Limits, TooSlow

SILENT = ("check", "hint", "plug_in")  # what notebooks call that is of no use here


@dataclass(frozen=True)
class Row:
    """One task in one notebook. status: "right", "wrong", "unfinished", or "not run", with the reason."""

    notebook: str
    task: str
    title: str
    status: str
    points: int
    of: int
    message: str


@dataclass
class Report:
    """One notebook. reason: why it could not be graded, or ""; troubles: what stopped some of its cells."""

    notebook: str
    rows: list[Row] = field(default_factory=list)
    reason: str = ""
    troubles: list[str] = field(default_factory=list)

    @property
    def points(self) -> int:
        """Reached."""
        return sum(row.points for row in self.rows)

    @property
    def of(self) -> int:
        """To be reached."""
        return sum(row.of for row in self.rows)


def grade(path: str | Path, seconds: float = 5.0, cell_seconds: float = 30.0, seed: int = 1, tell=None) -> list[Report]:
    """Reports on a notebook, or on all of a folder. seconds: for judging each task; cell_seconds: for running each.

    tell(name): is called before each notebook. Raises `UserError` if there is no such file, or no notebook in it.
    """
    path = Path(path)
    if path.is_dir():
        found = sorted(p for p in path.rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)
        if not found:
            raise UserError(f"no notebook (.ipynb) in the folder '{path}'")
    elif path.is_file():
        found, path = [path], path.parent
    else:
        raise UserError(f"there is no file or folder '{path}'")
    reports = []
    for each in found:
        name = each.relative_to(path).as_posix()
        if tell:
            tell(name)
        reports.append(_graded(each, name, seconds, cell_seconds, seed))
    return reports


def _graded(path: Path, name: str, seconds: float, cell_seconds: float, seed: int) -> Report:
    report = Report(name)
    try:
        sources, wanted = read(path)
    except UserError as error:
        report.reason = str(error)
        return report
    if not wanted:
        report.reason = "no task of this course is in it"
        return report
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(sources, Limits(cell_seconds, 2 * 2**30, folder))
        try:
            for task in wanted:
                report.rows.append(_row(desk, task, name, seconds, seed))
        finally:
            desk.clear()
    report.troubles = [f"cell {i + 1} {why}" for i, why in sorted(desk.troubles.items())]
    return report


def read(path: Path) -> tuple[list[str], list[Task]]:
    """The code cells of a notebook, and the tasks that are in it. Raises `UserError` for what is no notebook."""
    try:
        page = json.loads(path.read_text(encoding="utf-8"))
        cells = [cell for cell in page["cells"] if cell["cell_type"] == "code"]
        sources = [cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"]) for cell in cells]
        marks = [str(cell.get("metadata", {}).get("nbgrader", {}).get("grade_id", "")) for cell in cells]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"it is no notebook that can be read ({type(error).__name__}: {str(error)[:80]})") from None
    known = tasks()
    text = "\n".join(sources)
    calls = {task.id for task in known for quote in "\"'" if f"check({quote}{task.id}{quote}" in text}
    calls |= {mark.partition("-")[2].replace("-", ".") for mark in marks}
    return sources, [task for task in known if task.id in calls]


def _row(desk: Desk, task: Task, name: str, seconds: float, seed: int) -> Row:
    reason = desk.missing(task.name)
    if reason:
        return Row(name, task.id, task.title, "not run", 0, task.difficulty, reason)
    verdict = verdict_of(task, desk.answering(task.name, seconds), seed)
    points = task.difficulty if verdict.right else 0
    return Row(name, task.id, task.title, verdict.status, points, task.difficulty, verdict.message)


# ---- a notebook in a process of its own ------------------------------------------------------------------------


class Cells:
    """The job: runs cells one by one as it is told to, and answers for the functions that they define."""

    def __init__(self, sources: list[str]):
        self.sources = sources

    def serve(self, receive, send) -> None:
        import minit2v.exercises as package
        from minit2v.exercises import checking, plugs

        for module in (package, checking, plugs):
            for name in SILENT:
                setattr(module, name, lambda *_, **__: True)
        scope = {"__name__": "__main__", "display": lambda *_, **__: None, "get_ipython": _NoIPython}
        while (message := receive()) is not None:
            what, about, arguments = wire.unpack(message, trusted=True)
            if what == "run":
                send(wire.pack(_run(about, self.sources[about], scope)))
            elif what == "has":
                send(wire.pack(callable(scope.get(about))))
            else:
                send(wire.pack(guest.answer(scope[about], wire.unpack(arguments, trusted=True))))


class _NoIPython:
    """Stands in for the shell: magic lines do nothing."""

    def __getattr__(self, name):
        return lambda *_, **__: None


def _run(number: int, source: str, scope: dict):
    """Runs a cell. None, or what went wrong, as `guest.raised` tells it."""
    name = f"<cell {number + 1}>"
    try:
        try:
            from IPython.core.inputtransformer2 import TransformerManager

            source = TransformerManager().transform_cell(source)
        except ImportError:
            pass
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        code = compile(source, name, "exec")
        exec(code, scope)
    except BaseException as error:
        return guest.raised(error, type("Cell", (), {"__code__": type("Code", (), {"co_filename": name})}))
    return None


class Desk:
    """A notebook whose functions can be asked for. A process that dies is replaced; the cell that killed it is not run
    again. troubles: by cell, what stopped it."""

    def __init__(self, sources: list[str], limits: Limits):
        self.sources, self.limits, self.running = sources, limits, None
        self.troubles: dict[int, str] = {}

    def open(self) -> Guest:
        """A living process in which all cells were run that can be."""
        while self.running is None:
            self.running = Guest(Cells(self.sources), self.limits)
            for number in range(len(self.sources)):
                if self.troubles.get(number, "").startswith(("ended", "was still")):
                    continue
                try:
                    self.running.allow(self.limits.seconds)
                    told = wire.unpack(self.running.ask(wire.pack(("run", number, None), trusted=True)))
                except TooSlow:
                    self.troubles[number] = f"was still running after {self.limits.seconds:g} seconds"
                    self.clear()
                    break
                except Died as end:
                    self.troubles[number] = f"ended Python itself ({end})"
                    self.clear()
                    break
                if told:
                    self.troubles[number] = f"stops {broken(told)}"
        return self.running

    def clear(self) -> None:
        """Ends the process."""
        if self.running is not None:
            self.running.end()
        self.running = None

    def missing(self, name: str) -> str:
        """Why there is no function of that name, or ""."""
        running = self.open()
        running.allow(self.limits.seconds)
        if wire.unpack(running.ask(wire.pack(("has", name, None), trusted=True))):
            return ""
        for number, why in self.troubles.items():
            if f"def {name}(" in self.sources[number]:
                return f"`{name}` is not there: cell {number + 1} {why}"
        return f"there is no function `{name}` in it"

    def answering(self, name: str, seconds: float) -> Answering:
        """The function of that name, for a judge."""
        self.open().allow(seconds)
        return Answering(self, name, seconds)


@dataclass
class Answering:
    """One function of a notebook, as a `judging.Learner` asks for it."""

    desk: Desk
    name: str
    seconds: float

    @property
    def limits(self) -> Limits:
        """What it may use."""
        return Limits(self.seconds, self.desk.limits.memory)

    def ask(self, message: bytes) -> bytes:
        """Its answer; a process that is gone afterwards will be replaced."""
        try:
            return self.desk.running.ask(wire.pack(("call", self.name, message), trusted=True))
        except (TooSlow, Died):
            self.desk.clear()
            raise


# ---- what is told ------------------------------------------------------------------------------------------------


def in_lines(reports: list[Report]) -> list[str]:
    """A table for the terminal."""
    lines = []
    for report in reports:
        count = sum(row.status == "right" for row in report.rows)
        score = f"{count} of {len(report.rows)} right, {report.points} of {report.of} points"
        lines.append(f"{report.notebook}: {report.reason or score}")
        lines += [f"  {row.task:<6}{row.status:<11}{row.title if row.status == 'right' else row.message}"
                  for row in report.rows]  # fmt: skip
        lines += [f"  note: {trouble}" for trouble in report.troubles]
    return lines


def as_json(reports: list[Report]) -> dict:
    """One JSON object."""
    return {"notebooks": [asdict(report) | {"points": report.points, "of": report.of} for report in reports]}


def as_csv(reports: list[Report]) -> str:
    """One line for each task, and one for each notebook that could not be graded."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["notebook", "task", "title", "status", "points", "of", "message"])
    for report in reports:
        for row in report.rows:
            writer.writerow([_harmless(value) for value in asdict(row).values()])
        if report.reason:
            writer.writerow([_harmless(report.notebook), "", "", "not run", 0, "", _harmless(report.reason)])
    return out.getvalue()


def _harmless(value):
    """A spreadsheet takes text that begins with one of these signs for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value


def command(options) -> None:
    """`minit2v check`."""
    from minit2v.commands import Progress, answer
    from minit2v.files import write_whole

    if not (options.seconds > 0 and options.cell_seconds > 0):
        raise UserError("a time limit of 0 seconds or less; give a number above 0")
    with Progress() as tell:
        reports = grade(options.path, options.seconds, options.cell_seconds, options.seed, tell)
    if options.csv:
        write_whole(options.csv, as_csv(reports).encode())
    answer(options, as_json(reports), in_lines(reports))
