"""From solutions to exercises: `python3 course.py exercises`.

`solutions/NN_name.ipynb` is the source, with nbgrader's markers; `exercises/NN_name.ipynb` follows from it, byte for
byte. What stands between ### BEGIN SOLUTION and ### END SOLUTION becomes a NotImplementedError, hidden tests go, and
after each check come a cell that gives hints and the solution, folded away. With --without-solutions, as for a class,
nothing is folded in.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from minit2v.errors import UserError
from minit2v.exercises.registry import Task, find

ROOT = Path(__file__).resolve().parents[2]
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
HIDDEN = re.compile(r"\n*### BEGIN HIDDEN TESTS\n.*?### END HIDDEN TESTS\n*", re.S)
CHECK = re.compile(r"""^check\(["'](\d\d\.\d+)["']""", re.M)
CLAIM = "# NBVAL_CHECK_OUTPUT\n"


def exercise_of(solution, folded: bool = True):
    """The exercise notebook of a solution notebook; folded: with the solutions in it, to be opened.

    Raises `UserError` for markers without their partners.
    """
    import nbformat

    page = nbformat.v4.new_notebook(metadata=solution.metadata, nbformat_minor=solution.nbformat_minor)
    answers = solutions_in(solution)
    for cell in solution.cells:
        if cell.cell_type != "code":
            page.cells.append(_copy(cell, cell.source))
            continue
        page.cells.append(_copy(cell, without_solution(cell.source, answers).replace(CLAIM, "")))
        if found := CHECK.search(cell.source):
            task = find(found[1])
            page.cells.append(_hint_cell(task))
            if folded and task.id in answers:
                page.cells.append(_folded_cell(task, answers[task.id]))
    return page


def _copy(cell, source):
    import nbformat

    if cell.cell_type == "code":
        return nbformat.v4.new_code_cell(source, id=cell.id, metadata=cell.metadata)
    return nbformat.v4.new_markdown_cell(source, id=cell.id, metadata=cell.metadata)


def _hint_cell(task: Task):
    import nbformat

    source = f'# Stuck? Take away the "# " of the next line and run the cell: each time it gives one hint more.\n' \
             f'# hint("{task.id}")'  # fmt: skip
    return nbformat.v4.new_code_cell(source, id=f"hint-{task.id.replace('.', '-')}")


def _folded_cell(task: Task, code: str):
    import nbformat

    summary = f"<summary><b>A solution of {task.id}</b>, for when yours is done</summary>"
    source = f"<details>\n{summary}\n\n```python\n{code}\n```\n</details>"
    return nbformat.v4.new_markdown_cell(source, id=f"solution-{task.id.replace('.', '-')}")


# ---- cells -------------------------------------------------------------------------------------------------------


def solutions_in(page) -> dict[str, str]:
    """The solution of each task, as it is shown: without docstring and markers. By the function's name in its cell."""
    ids = {find(id).name: id for cell in page.cells for id in CHECK.findall(cell.source)}
    found = {}
    for cell in page.cells:
        if cell.cell_type == "code" and BEGIN in cell.source:
            for name in re.findall(r"^def (\w+)\(", cell.source, re.M):
                if name in ids:
                    found[ids[name]] = shown(cell.source)
    return found


def shown(source: str) -> str:
    """A solution cell without docstrings and markers."""
    source = re.sub(r'^ *""".*?"""\n', "", source, flags=re.S | re.M)
    return "\n".join(line for line in source.splitlines() if line.strip() not in (BEGIN, END))


def without_solution(source: str, answers: dict[str, str]) -> str:
    """A code cell as the learner gets it. Raises `UserError` for a marker without its partner."""
    source = HIDDEN.sub("\n", source).rstrip("\n")
    lines, kept, inside = source.splitlines(), [], False
    for line in lines:
        if line.strip() == BEGIN:
            if inside:
                raise UserError(f"two '{BEGIN}' without an '{END}' between them")
            inside = True
            indent = line[: len(line) - len(line.lstrip())]
            kept.append(f"{indent}raise NotImplementedError({_stub_words(lines, answers)!r})".replace("'", '"'))
        elif line.strip() == END:
            if not inside:
                raise UserError(f"'{END}' without '{BEGIN}'")
            inside = False
        elif not inside:
            kept.append(line)
    if inside:
        raise UserError(f"'{BEGIN}' without '{END}'")
    return "\n".join(kept)


def _stub_words(lines: list[str], answers: dict[str, str]) -> str:
    """What an untouched stub says."""
    name = next((re.match(r"def (\w+)\(", line)[1] for line in lines if line.startswith("def ")), "")
    task = next((find(id) for id in answers if find(id).name == name), None)
    return f"{task.id} waits for your code" if task else "this waits for your code"


# ---- files -------------------------------------------------------------------------------------------------------


def written(page) -> bytes:
    """A notebook's file."""
    import nbformat

    return (nbformat.writes(page).rstrip("\n") + "\n").encode()


def sources(folder: Path) -> list[Path]:
    """All solution notebooks. Raises `UserError` if there are none."""
    found = sorted(folder.glob("*.ipynb"))
    if not found:
        raise UserError(f"there is no solution notebook in '{folder.name}'; run this in a clone of the repository")
    return found


def generated(path: Path, folded: bool = True) -> bytes:
    """The exercise notebook of one solution notebook, as a file. Raises `UserError`, naming the file."""
    import nbformat

    try:
        return written(exercise_of(nbformat.read(path, as_version=4), folded))
    except UserError as error:
        raise UserError(f"'{path.name}': {error}") from None


def run(path: Path) -> None:
    """Runs a solution notebook anew and stores what it shows; nbgrader's metadata stay. Raises `UserError`."""
    import nbformat

    from minit2v.files import write_whole
    from minit2v.lab.refresh import refresh

    before = nbformat.read(path, as_version=4)
    refresh(path)
    page = nbformat.read(path, as_version=4)
    for old, new in zip(before.cells, page.cells, strict=True):
        new.metadata = old.metadata
    write_whole(path, written(page))


def main(words: list[str]) -> int:
    """`python -m minit2v.exercises.generate`; exit code 0, 1 for drift with --check, 2 for a wrong input."""
    from minit2v.files import write_whole

    parser = argparse.ArgumentParser("course.py exercises", description="Write exercises/ anew from solutions/.")
    parser.add_argument("--without-solutions", action="store_true", help="for a class: no folded solutions")
    parser.add_argument("--check", action="store_true", help="write nothing; tell which files are out of date")
    parser.add_argument("--run", action="store_true", help="run the solutions first and store what they show")
    parser.add_argument("--out", metavar="FOLDER", type=Path, default=ROOT / "exercises", help="default: exercises")
    parser.add_argument("--solutions", metavar="FOLDER", type=Path, default=ROOT / "solutions", help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    old = []
    try:
        for path in sources(options.solutions):
            if options.run:
                run(path)
            target, now = options.out / path.name, generated(path, not options.without_solutions)
            if not target.is_file() or target.read_bytes() != now:
                old.append(path.name)
                if not options.check:
                    options.out.mkdir(parents=True, exist_ok=True)
                    write_whole(target, now)
    except UserError as error:
        print(f"exercises: {error}", file=sys.stderr)
        return 2
    what = "out of date" if options.check else "written"
    print(f"{what}: {', '.join(old)}" if old else "all exercises are up to date")
    return 1 if options.check and old else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
