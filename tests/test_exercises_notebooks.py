"""solutions/ and exercises/: the second follows from the first, stubs wait kindly, solutions pass."""

import re
from pathlib import Path

import nbformat
import pytest

from minit2v.errors import UserError
from minit2v.exercises import generate
from minit2v.exercises.checking import judge
from minit2v.exercises.registry import find, tasks

ROOT = generate.ROOT
SOLUTIONS = sorted((ROOT / "solutions").glob("*.ipynb"))
PATHS = re.compile(r"(?<![\w.])/(?:home|work|tmp|root|Users)/|[A-Z]:\\")


def named(path):
    return path.stem


@pytest.fixture(scope="module", params=SOLUTIONS, ids=named)
def solution(request):
    return request.param


def pages(path):
    return [nbformat.read(each, as_version=4) for each in (path, ROOT / "exercises" / path.name)]


def functions(page):
    """The learner's functions in a notebook, by task, its other cells left alone."""
    scope, found = {}, {}
    for cell in page.cells:
        if cell.cell_type == "code" and re.search(r"^(def|import|from) ", cell.source, re.M):
            exec(compile(cell.source, cell.id, "exec"), scope)
        for id in generate.CHECK.findall(cell.source):
            found[id] = scope[find(id).name]
    return found


# ---- the files


def test_exercises_follow_from_solutions(solution):
    assert (ROOT / "exercises" / solution.name).read_bytes() == generate.generated(solution)


def test_generating_twice_gives_the_same_bytes(solution):
    assert generate.generated(solution) == generate.generated(solution)


def test_there_is_no_exercise_without_a_solution():
    assert [path.name for path in sorted((ROOT / "exercises").glob("*.ipynb"))] == [path.name for path in SOLUTIONS]


def test_every_task_stands_in_a_notebook_once():
    found = [id for path in SOLUTIONS for cell in pages(path)[0].cells for id in generate.CHECK.findall(cell.source)]
    assert sorted(found) == sorted(task.id for task in tasks())


def test_solutions_are_stored_as_they_ran(solution):
    page, _ = pages(solution)
    nbformat.validate(page)
    code = [cell for cell in page.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert solution.stat().st_size < 1.5e6
    for cell in code:
        for output in cell.outputs:
            assert output.output_type != "error" and output.get("name") != "stderr"
            text = str(output.get("text", "")) + re.sub(r"base64,[\w+/=]+", "", str(output.get("data", "")))
            assert not PATHS.search(text)
        if generate.CHECK.search(cell.source):
            assert cell.source.startswith("# NBVAL_CHECK_OUTPUT") and cell.outputs[0].text.startswith("✓")


def test_exercises_hold_no_outputs_no_answers_and_no_hidden_tests(solution):
    page = pages(solution)[1]
    nbformat.validate(page)
    for cell in page.cells:
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None
            assert "SOLUTION" not in cell.source and "HIDDEN" not in cell.source and "seed=" not in cell.source
    assert "Task" not in str(page.metadata)


def test_cells_tell_nbgrader_what_they_are(solution):
    for page in pages(solution):
        marks = {cell.metadata["nbgrader"]["grade_id"]: cell for cell in page.cells if "nbgrader" in cell.metadata}
        for id in [id for cell in page.cells if cell.cell_type == "code" for id in generate.CHECK.findall(cell.source)]:
            key = id.replace(".", "-")
            assert marks[f"answer-{key}"].metadata["nbgrader"]["solution"]
            graded = marks[f"check-{key}"].metadata["nbgrader"]
            assert graded["grade"] and graded["locked"] and graded["points"] == find(id).difficulty


def test_headings_say_what_the_registry_says(solution):
    prose = "\n".join(cell.source for cell in pages(solution)[0].cells if cell.cell_type == "markdown")
    for id in functions(pages(solution)[0]):
        assert f"## {id} · {find(id).title}\n\n*{find(id).badge}*\n" in prose


def test_a_learner_finds_a_hint_and_the_folded_solution_below_each_check(solution):
    page = pages(solution)[1]
    for i, cell in enumerate(page.cells):
        if cell.cell_type == "code" and (found := generate.CHECK.search(cell.source)):
            assert f'# hint("{found[1]}")' in page.cells[i + 1].source
            fold = page.cells[i + 2].source
            assert fold.startswith("<details>") and f"def {find(found[1]).name}(" in fold and '"""' not in fold


def test_a_class_gets_no_solutions(solution):
    page = nbformat.reads(generate.generated(solution, folded=False).decode(), as_version=4)
    assert "<details>" not in "".join(cell.source for cell in page.cells)
    assert 'hint("' in "".join(cell.source for cell in page.cells)


# ---- what is in them


def test_solutions_pass(solution):
    for id, function in functions(pages(solution)[0]).items():
        assert judge(id, function, seconds=20).right, id


def test_untouched_stubs_wait_kindly(solution):
    for id, function in functions(pages(solution)[1]).items():
        with pytest.raises(NotImplementedError, match=f"{id} waits for your code"):
            function(*[None] * len(find(id).arguments))
        verdict = judge(id, function, seconds=20)
        assert verdict.status == "unfinished" and f"hint('{id}')" in verdict.message


def test_stubs_say_what_goes_in_and_out(solution):
    for id, function in functions(pages(solution)[1]).items():
        arguments = re.findall(r"\w+", find(id).call)[1:]
        assert list(function.__code__.co_varnames[: len(arguments)]) == arguments
        assert "Returns" in function.__doc__


@pytest.mark.parametrize("task", tasks(), ids=lambda task: task.id)
def test_hints_go_from_gentle_to_nearly_the_answer(task):
    assert len(task.hints) == 3 and all(len(hint) > 25 for hint in task.hints)
    assert "`" in task.hints[2] or any(sign in task.hints[2] for sign in "·=/")
    assert 1 <= task.difficulty <= 5 and 1 <= task.importance <= 5 and task.minutes >= 5


# ---- the generator


def cells(*sources):
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])


def test_a_solution_becomes_a_stub():
    page = generate.exercise_of(cells("def f(x):\n    ### BEGIN SOLUTION\n    return x\n    ### END SOLUTION\n\nf(1)"))
    assert page.cells[0].source == 'def f(x):\n    raise NotImplementedError("this waits for your code")\n\nf(1)'


@pytest.mark.parametrize("source", ["### BEGIN SOLUTION", "### END SOLUTION", "### BEGIN SOLUTION\n### BEGIN SOLUTION"])
def test_a_marker_without_its_partner_is_told(source):
    with pytest.raises(UserError, match="SOLUTION"):
        generate.exercise_of(cells(source))


def test_the_command_writes_checks_and_tells(tmp_path, capsys):
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    assert generate.main(["--solutions", str(source), "--out", str(out)]) == 2
    nbformat.write(cells("### BEGIN SOLUTION\n1\n### END SOLUTION"), source / "a.ipynb")
    words = ["--solutions", str(source), "--out", str(out)]
    assert generate.main([*words, "--check"]) == 1
    assert generate.main(words) == 0 and generate.main([*words, "--check"]) == 0
    said = capsys.readouterr()
    assert "out of date: a.ipynb" in said.out and "no solution notebook" in said.err


def test_the_bootstrap_knows_the_command(course, monkeypatch):
    started = []
    monkeypatch.setattr(course, "set_up", lambda *_: Path("python"))
    monkeypatch.setattr(course, "start", lambda command, *_, **__: started.append(command) or (0, None))
    assert course.main(["exercises", "--check"]) == 0
    assert [str(word) for word in started[0]] == ["python", "-m", "minit2v.exercises.generate", "--check"]
