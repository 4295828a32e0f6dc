"""Every lesson: runs stored whole, claims marked, numbers backed by outputs, pictures described, nothing of a machine.

nbval runs them anew and compares what the marked cells print; this looks at what is stored.
"""

import re
from pathlib import Path

import nbformat
import pytest

from minit2v.drills.questions import TOPICS
from minit2v.errors import UserError
from minit2v.lab import refresh

FOLDER = Path(__file__).parent.parent / "notebooks"
LESSONS = sorted(FOLDER.glob("*.ipynb"))
CLAIM = "# NBVAL_CHECK_OUTPUT"
PATHS = re.compile(r"(?<![\w.])/(?:home|work|tmp|root|Users)/|[A-Z]:\\")
NOISE = re.compile(r"Warning|it/s\]|\d+%\|")
IMAGE = re.compile(r"<img\b[^>]*>")
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


@pytest.fixture(scope="module", params=LESSONS, ids=lambda path: path.stem)
def page(request):
    return nbformat.read(request.param, as_version=4)


def code(page):
    return [cell for cell in page.cells if cell.cell_type == "code"]


def claims(page):
    return [cell for cell in code(page) if CLAIM in cell.source]


def texts(cell):
    """What a cell shows as text or as a page, without the data of pictures and clips."""
    for output in cell.get("outputs", []):
        shown = [output.text] if output.output_type == "stream" else list(output.get("data", {}).values())
        yield from (re.sub(r"base64,[A-Za-z0-9+/=]+", "", text) for text in shown if isinstance(text, str))


def unbacked(page):
    """Numbers of two or more digits in the prose that no cell prints. Code, formulas and headings do not count."""
    shown = {n for cell in code(page) for text in texts(cell) for n in NUMBER.findall(re.sub(r"<[^>]*>", " ", text))}
    prose = "\n".join(
        cell.source
        for cell in page.cells
        if cell.cell_type == "markdown" and "front-matter" not in cell.metadata.get("tags", [])
    )
    prose = re.sub(r"```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$\n]*\$|<[^>]*>|\]\([^)]*\)", " ", prose, flags=re.S)
    prose = re.sub(r"^#+ .*$|[Ll]essons? \d+( and \d+)?|(?<![.\d])0\d\b", " ", prose, flags=re.M)  # names of lessons
    return {n for n in (found.rstrip(",") for found in NUMBER.findall(prose)) if len(n) > 1} - shown


# ---- the lessons


def test_there_is_a_first_lesson():
    assert LESSONS[0].name == "01_factory.ipynb" or LESSONS[0].name.startswith("00")


def test_it_is_a_notebook_without_the_state_of_widgets(page):
    nbformat.validate(page)
    assert "widgets" not in page.metadata
    assert len({cell.id for cell in page.cells}) == len(page.cells)


def test_claims_are_marked_and_stored(page):
    assert len(claims(page)) >= 5
    for cell in claims(page):
        assert cell.source.startswith(CLAIM)
        assert cell.execution_count and any(text.strip() for text in texts(cell)), cell.source


def test_it_was_run_from_top_to_bottom(page):
    assert [cell.execution_count for cell in code(page)] == list(range(1, len(code(page)) + 1))


def test_every_number_in_the_prose_is_printed_by_a_cell(page):
    assert not unbacked(page)


def test_outputs_hold_no_error_warning_path_or_progress_bar(page):
    for cell in code(page):
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr", output.text
        for text in texts(cell):
            assert not PATHS.search(text), PATHS.search(text)
            assert not NOISE.search(text), text


def test_pictures_have_words(page):
    for cell in page.cells:
        shown = [cell.source] if cell.cell_type == "markdown" else [t for t in texts(cell)]
        for tag in IMAGE.findall("\n".join(shown)):
            assert re.search(r'\balt="[^"]{15,}"', tag), tag[:80]
        for tag in re.findall(r"<video\b[^>]*>", "\n".join(shown)):
            assert re.search(r'aria-label="[^"]{15,}"', tag) and "controls" in tag
        if cell.cell_type == "markdown":
            assert not re.search(r"!\[\s*\]\(", cell.source)
        else:  # a bare picture has no place for words: lab's figures bring theirs along
            kinds = {kind for output in cell.outputs for kind in output.get("data", {})}
            assert not any(kind.startswith("image/") and kind != "image/svg+xml" for kind in kinds)


def test_cells_of_code_fit_on_a_screen(page):
    for cell in code(page):
        assert len(cell.source.splitlines()) <= 16 - (CLAIM not in cell.source), cell.source


def test_it_has_all_parts_of_a_lesson(page):
    prose = "\n".join(cell.source for cell in page.cells if cell.cell_type == "markdown")
    assert "front-matter" in page.cells[0].metadata.get("tags", [])
    for part in ("Claim.", "After this lesson you can", "Predict before you run", "Pause and recall", "wrong answer"):
        assert part in prose, part
    assert prose.count("<details>") == prose.count("</details>") >= 2


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_its_first_cell_names_the_tasks_and_questions_that_follow(path):
    first = nbformat.read(path, as_version=4).cells[0].source
    if (FOLDER.parent / "exercises" / path.name).exists():
        assert f"(../exercises/{path.name})" in first
    for topic in (topic for topic, (number, _) in TOPICS.items() if number == path.stem[:2]):
        assert f"minit2v drill --topic {topic}" in first


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_it_is_small(path):
    assert path.stat().st_size < 1.5e6


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_storing_it_again_changes_nothing(path):
    page = nbformat.read(path, as_version=4)
    refresh.normalise(page)
    assert nbformat.writes(page).rstrip("\n") + "\n" == path.read_text(encoding="utf-8")


# ---- the tools


def small(*outputs):
    cell = nbformat.v4.new_code_cell("1", outputs=list(outputs), execution_count=1)
    cell.metadata = {"execution": {"iopub.execute_input": "2026-01-01"}, "tags": ["kept"]}
    return nbformat.v4.new_notebook(cells=[cell], metadata={"widgets": {"state": {}}})


def test_normalising_drops_what_belongs_to_one_run():
    widget = {refresh.WIDGET: {"model_id": "0f"}, "text/plain": "VBox(children=…)"}
    address = nbformat.v4.new_output("execute_result", {"text/plain": "<thing at 0x7f00aa>"}, execution_count=1)
    page = small(nbformat.v4.new_output("display_data", widget), address)
    refresh.normalise(page)
    first, second = page.cells[0].outputs
    assert "widgets" not in page.metadata and page.cells[0].metadata == {"tags": ["kept"]}
    assert refresh.WIDGET not in first.data and "slider" in first.data["text/html"]
    assert second.data["text/plain"] == "<thing>"


@pytest.mark.parametrize(
    ("name", "text"), [("stderr", "UserWarning: no"), ("stdout", "see /home/me/clip.mp4"), ("stdout", "C:\\me")]
)
def test_normalising_refuses_what_belongs_to_one_machine(name, text):
    page = small(nbformat.v4.new_output("stream", name=name, text=text))
    with pytest.raises(UserError, match="cell 0"):
        refresh.normalise(page, "a.ipynb")


def test_refreshing_nothing_is_one_line():
    with pytest.raises(UserError, match="no notebook"):
        refresh.refresh("missing.ipynb")


def test_a_number_that_no_cell_prints_is_found():
    page = small(nbformat.v4.new_output("stream", name="stdout", text="7,680 numbers, 27.2 times"))
    page.cells.append(nbformat.v4.new_markdown_cell("## 12\nIt has 7,680 numbers, $99$ and `99`; 27.2, 27.3, and 5."))
    assert unbacked(page) == {"27.3"}
