"""The first cell and the badges: one constant, one command, and the lessons that have them agree with it."""

from pathlib import Path

import nbformat
import pytest

from minit2v.lab import away

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
STAMPED = ("00_start_here.ipynb", "15_real_systems.ipynb")


def tagged(page, tag):
    return [cell for cell in page.cells if tag in cell.metadata.get("tags", [])]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.stem)
def test_lessons_carry_the_first_cell_that_is_due(path):
    page = nbformat.read(path, as_version=4)
    cells = tagged(page, away.TAG)
    assert len(cells) == 1 or (not cells and path.name not in STAMPED)
    for cell in cells:
        assert cell.source == away.first_cell() and cell.execution_count == 1
        badges = away.badges(path.name)
        assert [each.source for each in tagged(page, away.BADGES)] == ([badges] if badges else [])


def test_the_first_cell_does_nothing_where_the_course_is_installed():
    exec(away.first_cell(""), {})
    fetching = away.first_cell("someone/minit2v")
    assert "%pip install" in fetching and "git+https://github.com/someone/minit2v@main" in fetching
    assert all(len(line) <= 120 for source in (fetching, away.first_cell("")) for line in source.splitlines())


def test_without_an_address_there_is_nothing_to_click():
    assert away.badges("15_real_systems.ipynb", "") == ""
    said = away.badges("15_real_systems.ipynb", "someone/minit2v")
    assert said.count("someone/minit2v") == 2 and said.count("15_real_systems.ipynb") == 2


def test_stamping_twice_is_stamping_once():
    page = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# front"), nbformat.v4.new_code_cell("1")])
    for repository in ("", "someone/minit2v", "someone/minit2v", ""):
        away.stamp(page, "03_latents.ipynb", repository)
        kinds = [cell.cell_type for cell in page.cells]
        assert kinds == ["markdown", *(["markdown"] if repository else []), "code", "code"]
        assert page.cells[-2].source == away.first_cell(repository)


def test_a_missing_notebook_is_one_line(capsys):
    assert away.main(["missing.ipynb"]) == 2 and "no notebook" in capsys.readouterr().err
