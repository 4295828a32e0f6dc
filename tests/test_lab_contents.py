"""The course's README comes from the notebooks, and is up to date."""

import json

import pytest

from minit2v.errors import UserError
from minit2v.lab import contents


def test_the_page_and_its_pictures_are_up_to_date():
    for path, content in contents.build().items():
        assert path.is_file(), path.name
        if path.name != "map.png":  # drawn anew, and fonts differ between machines; the rest is cut out of notebooks
            assert path.read_bytes().replace(b"\r\n", b"\n") == content.replace(b"\r\n", b"\n"), path.name


def test_every_picture_has_words_and_every_lesson_a_row():
    page = contents.build()[contents.PAGE].decode()
    rows = [line for line in page.splitlines() if line.startswith("| ") and ".ipynb)" in line]
    assert len(rows) == len(list(contents.NOTEBOOKS.glob("*.ipynb")))
    assert all('alt="' in row and 'alt=""' not in row for row in rows)


def notebook(tmp_path, *cells):
    path = tmp_path / "00_a.ipynb"
    path.write_text(json.dumps({"cells": list(cells)}), encoding="utf-8")
    return path


def shown(text, tags=("signature",)):
    return {"metadata": {"tags": list(tags)}, "outputs": [{"data": {"text/html": text}}]}


def test_the_signature_is_the_tagged_cells_picture(tmp_path):
    picture = '<img style="x" alt="a &lt; b" src="data:image/png;base64,aGVsbG8=">'
    other = shown(picture.replace("aGVs", "AAAA"), ())
    assert contents.signature(notebook(tmp_path, other, shown(picture))) == ("a < b", b"hello")


@pytest.mark.parametrize("cells", [(), (shown("<p>none</p>"),), (shown("x"), shown("y"))], ids=["none", "empty", "two"])
def test_a_lesson_without_its_figure_is_named(tmp_path, cells):
    with pytest.raises(UserError, match="00_a"):
        contents.signature(notebook(tmp_path, *cells))
