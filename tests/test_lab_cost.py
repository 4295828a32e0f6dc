"""The cost explorer: every position of the sliders is legal, and the bars say what `minit2v.cost` says."""

import random
import re
import subprocess
import sys

import pytest

from minit2v.cost import Setup, lines
from minit2v.errors import UserError
from minit2v.lab import cost


def test_every_position_of_the_sliders_is_legal():
    rng = random.Random(0)
    for _ in range(150):
        choices = {name: rng.choice(options) for name, options in cost.CHOICES.items()}
        setup = cost.setup_of(choices, Setup())
        assert setup.clip.frames - (choices["VAE, time"] > 1) <= choices["seconds"] * choices["fps"]
        assert all(line.value > 0 for line in cost.figures(setup).values())


def test_it_starts_with_the_chapters_example():
    explorer = cost.explorer()
    page = explorer.page(cost.CHAPTER)
    assert "64 frames of 512 × 512 → latents 64 × 64 × 64 × 4 → tokens 64 × 64 × 64" in page
    assert "tokens: 262,144" in page and "549,755,813,888" in page and "× " not in page.partition("<svg")[2]
    assert "134,217,728" in explorer.page({**cost.CHAPTER, "attention": "temporal"})
    assert "tokens: 262,144" in repr(explorer)


def test_the_bars_follow_the_sliders():
    explorer = cost.explorer(start={"patch": 2})
    grid, view = explorer.widget.children
    before = view.value
    explorer.sliders["size"].value = 256
    after = view.value
    assert before != after and "tokens: 16,384 (÷ 4)" in after
    found = (re.findall(r"<rect x='150' y='\d+' width='([\d.]+)'", page) for page in (before, after))
    widths = [list(map(float, page)) for page in found]
    assert len(widths[0]) == len(cost.BARS) and all(b < a for a, b in zip(*widths, strict=True))
    marks = [re.findall(r"<line x1='([\d.]+)'", page) for page in (before, after)]
    assert marks[0] == marks[1] == [f"{150 + w:.1f}" for w in widths[0]]  # where the bars stood at first
    assert "aria-label=" in after and "http" not in after and len(grid.children) == len(cost.CHOICES)


def test_the_bars_say_what_the_table_says():
    setup = cost.setup_of({**cost.CHAPTER, "attention": "factorised", "heads": 16}, Setup())
    found = {line.path: line.value for line in lines(setup)}
    bars = {label: line.value for label, line in cost.figures(setup).items()}
    assert bars["scores of a layer"] == found["scores.factorised.layer"] == 16 * 1_090_519_040
    assert bars["time of the clip"] == found["time.latency"]


def test_a_still_picture_stands_beside_it(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    explorer = cost.explorer()
    explorer._ipython_display_()
    assert shown[0] is explorer.widget
    assert "temporal from 8,388,608 to 838,860,800" in shown[1].alt  # 16 and 160 frames: 8 · 4096 · frames²
    assert shown[1].picture.width > 900 and 'alt="Two panels' in shown[1]._repr_html_()


@pytest.mark.parametrize("start", [{"size": 500}, {"length": 3}, {"heads": 0}])
def test_a_slider_cannot_stand_elsewhere(start):
    with pytest.raises(UserError, match="no slider stands at"):
        cost.explorer(start=start)


def test_importing_it_needs_neither_ipywidgets_nor_matplotlib():
    code = "import minit2v.lab.cost, sys; print({'ipywidgets', 'matplotlib', 'IPython'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
