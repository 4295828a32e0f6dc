"""`minit2v check`: a folder of notebooks, the good, the unfinished, the broken and the hostile."""

import csv
import json
import shutil

import nbformat
import pytest

from minit2v import cli
from minit2v.errors import UserError
from minit2v.exercises import generate, grade

SOLUTION = generate.ROOT / "solutions" / "04_vae.ipynb"
EXERCISE = generate.ROOT / "exercises" / "04_vae.ipynb"


@pytest.fixture
def changed(tmp_path):
    """Writes an exercise notebook in which some cells, by their ids, hold other code; None takes a cell out."""

    def write(name="a.ipynb", path=EXERCISE, **sources):
        page = nbformat.read(path, as_version=4)
        sources = {key.replace("_", "-"): source for key, source in sources.items()}
        page.cells = [cell for cell in page.cells if sources.get(cell.id, "") is not None]
        for cell in page.cells:
            cell.source = sources.get(cell.id, cell.source)
        nbformat.write(page, tmp_path / name)
        return tmp_path / name

    return write


def statuses(path, **how):
    (report,) = grade.grade(path, seconds=20, **how)
    return {row.task: row.status for row in report.rows}, report


RIGHT = "def causal_pad(x, kernel):\n    return torch.cat([x.new_zeros(len(x), kernel - 1, *x.shape[2:]), x], dim=1)"


def test_solutions_get_all_points():
    found, report = statuses(SOLUTION)
    assert set(found.values()) == {"right"} and report.points == report.of == 9 and not report.reason


def test_untouched_exercises_get_none_and_are_called_unfinished():
    found, report = statuses(EXERCISE)
    assert set(found.values()) == {"unfinished"} and report.points == 0 and report.of == 9


def test_each_task_stands_for_itself(changed):
    path = changed(
        answer_04_1=RIGHT,
        answer_04_2="def causal_mix(x, weight, bias)\n    return x",
        answer_04_3="while True:\n    pass\ndef nearest_legal(frames, temporal):\n    return 1",
        answer_04_4="def kl(mean, log_variance):\n    while True:\n        pass",
    )
    (report,) = grade.grade(path, seconds=3, cell_seconds=4)
    rows = {row.task: row for row in report.rows}
    assert [rows[f"04.{i}"].status for i in (1, 2, 3, 4)] == ["right", "not run", "not run", "wrong"]
    assert "SyntaxError" in rows["04.2"].message and "still running" in rows["04.3"].message
    assert "still running" in rows["04.4"].message and report.points == 1
    assert any("cell" in trouble for trouble in report.troubles)


def test_a_claimed_success_is_not_believed(changed):
    source = RIGHT.replace("kernel - 1", "kernel")
    path = changed(answer_04_1=source, check_04_1="check('04.1', lambda x, kernel: x)\nprint('✓ 04.1')")
    assert statuses(path)[0]["04.1"] == "wrong"


def test_who_tampers_with_the_course_gains_nothing(changed):
    tamper = (
        "import minit2v.exercises.judging as judging, minit2v.exercises.registry as registry, torch\n"
        "judging.near = lambda *_: True\nregistry.find('04.1').judge.__code__ = (lambda learner: 'fine').__code__\n"
        "torch.equal = lambda *_: True\ndef causal_pad(x, kernel):\n    return x"
    )
    assert statuses(changed(answer_04_1=tamper))[0]["04.1"] == "wrong"


def test_a_task_whose_check_was_taken_out_still_counts(changed):
    assert statuses(changed(check_04_1=None))[0]["04.1"] == "unfinished"


def test_a_cell_that_ends_python_is_left_out(changed):
    path = changed(answer_04_1=RIGHT, answer_04_2="import os\nos._exit(3)")
    found, report = statuses(path)
    assert found["04.1"] == "right" and found["04.2"] == "not run"
    assert any("ended Python itself" in trouble for trouble in report.troubles)


def test_magics_writing_and_the_shell_do_no_harm(changed, tmp_path):
    start = "%matplotlib inline\n!rm -rf .\nimport torch\nopen('mine.txt', 'w').write('1')\ndisplay(1)"
    path = changed(**{"04_start": start}, answer_04_1=RIGHT)
    assert statuses(path)[0]["04.1"] == "right" and path.exists()


def test_what_is_no_notebook_is_a_row_with_the_reason(tmp_path):
    (tmp_path / "a.ipynb").write_text(SOLUTION.read_text()[:3000])
    (tmp_path / "b.ipynb").write_text("[]")
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / "c.ipynb")
    reports = grade.grade(tmp_path)
    assert ["can be read" in report.reason for report in reports] == [True, True, False]
    assert "no task of this course" in reports[2].reason


# ---- the command


def test_table_csv_and_json(tmp_path, capsys):
    (tmp_path / "alice").mkdir()
    (tmp_path / "=bob").mkdir()
    shutil.copy(SOLUTION, tmp_path / "alice" / "04_vae.ipynb")
    (tmp_path / "=bob" / "04_vae.ipynb").write_text("{")
    table = tmp_path / "table.csv"
    assert cli.main(["check", str(tmp_path), "--csv", str(table)]) == 0
    said = capsys.readouterr().out
    assert "alice/04_vae.ipynb: 4 of 4 right, 9 of 9 points" in said and "can be read" in said
    rows = list(csv.DictReader(table.open()))
    assert len(rows) == 5 and rows[0]["notebook"].startswith("'=bob") and rows[1]["status"] == "right"
    assert cli.main(["check", str(tmp_path / "alice"), "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)["notebooks"]
    assert told["points"] == told["of"] == 9 and len(told["rows"]) == 4


def test_wrong_places_are_told_in_one_line(tmp_path, capsys):
    assert cli.main(["check", str(tmp_path)]) == 2 and cli.main(["check", str(tmp_path / "none")]) == 2
    said = capsys.readouterr().err
    assert "no notebook" in said and "no file or folder" in said
    with pytest.raises(UserError, match="above 0"):
        grade.command(cli.parser().parse_args(["check", str(SOLUTION), "--seconds", "0"]))
