"""The glossary: whole, in step with the code, and every link into it points at something."""

import re
from pathlib import Path

import nbformat
import pytest

from minit2v.errors import UserError
from minit2v.lab import glossary

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(path for folder in ("notebooks", "solutions") for path in (ROOT / folder).glob("*.ipynb"))
ANCHORS = {term.anchor for term in glossary.terms()}


def test_it_has_the_words_of_the_course():
    assert len(glossary.terms()) >= 70
    wanted = "latent, causal VAE, 4n+1, velocity, v-prediction, noise level, timestep shift, guidance, guidance rescale"
    wanted += ", patchify, spacetime cube, adaLN-zero, QK-norm, rotary positions, factorised attention, inflation"
    wanted += ", temporal attention, temporal convolution, flicker, identity drift, permanence, oracle, held-out pair"
    for name in wanted.split(", "):
        glossary.find(name)
    assert {term.lesson for term in glossary.terms()} == {f"{lesson:02}" for lesson in range(16)}


@pytest.mark.parametrize("term", glossary.terms(), ids=lambda term: term.anchor)
def test_every_word_stands_in_a_line_of_code(term):
    where = glossary.place(term)
    line = (ROOT / where.path).read_text(encoding="utf-8").splitlines()[where.number - 1]
    assert line.strip() == where.line != ""
    assert term.line in line
    assert term.line or term.code.rpartition(":")[2].rpartition(".")[2] in line


def test_the_page_is_not_stale():
    assert glossary.PAGE.read_text(encoding="utf-8") == glossary.page(), "run: python -m minit2v.lab.glossary"


def test_headings_of_the_page_have_the_anchors_that_links_use():
    found = re.findall(r'^### <a id="([^"]+)"></a>(.+)$', glossary.page(), flags=re.M)
    assert [anchor for anchor, _ in found] == sorted(ANCHORS)
    assert all(re.sub(r"[^\w\- ]", "", name.lower()).replace(" ", "-") == anchor for anchor, name in found)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_links_of_the_lessons_into_the_glossary_resolve(path):
    page = nbformat.read(path, as_version=4)
    for cell in page.cells:
        if cell.cell_type == "markdown":
            assert set(glossary.links(cell.source)) <= ANCHORS | {""}, cell.source


def test_links_are_made_and_found():
    assert glossary.link("4n+1") == "[4n+1](glossary.md#4n1)" and glossary.link("flicker").endswith("#flicker)")
    text = "see [flicker](glossary.md#flicker), [all](../notebooks/glossary.md) and [x](other.md#flicker)"
    assert list(glossary.links(text)) == ["flicker", ""]
    with pytest.raises(UserError, match="did you mean 'flicker'"):
        glossary.link("flickr")


GOOD = dict(name="x", lesson="03", code="vae:VAE", text="A sentence that is long enough to say something.")


@pytest.mark.parametrize(
    "wrong", [{"name": ""}, {"lesson": "16"}, {"code": "vae.VAE"}, {"text": "Short."}, {"text": "no full stop " * 5}]
)
def test_a_malformed_word_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        glossary.Term(**{**GOOD, **wrong})


@pytest.mark.parametrize(
    ("code", "line", "said"),
    [("nowhere:x", "", "no module"), ("vae:Nothing", "", "has no"), ("vae:VAE.encode", "zebra", "no line of")],
)
def test_a_word_that_points_nowhere_is_noticed(code, line, said):
    with pytest.raises(ValueError, match=said):
        glossary.place(glossary.Term(**{**GOOD, "code": code, "line": line}))
