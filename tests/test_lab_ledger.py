"""The bill: the chapter's worked example to the digit, in the table, in the picture and under the sliders."""

import random
import re

import numpy as np
import pytest
import torch

from minit2v.cost import Setup
from minit2v.lab import ledger
from minit2v.lab.folds import folded

SAID = [64, 50_331_648, 4_096, 1_048_576, 4_096, 32_768, 134_217_728, 4_026_531_840]  # the chapter, section 4


def figures(setup):
    return [figure for _, figure, _ in ledger.bill(setup)]


def test_the_bill_is_the_chapters():
    assert figures(Setup()) == SAID == figures(ledger.setup_of(ledger.CHAPTER))


def test_the_chapters_exercise():
    exercise = Setup(seconds=2, fps=12, height=384, width=384)
    assert figures(exercise)[0] == 24 and figures(exercise)[3] == 221_184


def test_every_formula_comes_to_its_figure():
    rng = random.Random(0)
    for _ in range(60):
        choices = {name: rng.choice(options) for name, options in ledger.CHOICES.items()}
        for what, figure, how in ledger.bill(ledger.setup_of(choices)):
            sum_ = re.sub(r"[^\d/*.]", "", how.replace("×", "*"))
            assert eval(sum_) == figure, (what, how)


def test_the_picture_tells_every_line():
    picture = ledger.drawn(Setup())
    assert all(f"{figure:,}" in picture.alt for figure in SAID) and picture.picture.width > 900


def test_the_sliders_move_the_bill(monkeypatch):
    knobs = ledger.Calculator()
    grid, view = knobs.widget.children
    assert len(grid.children) == len(ledger.CHOICES) and "134,217,728" in view.value
    assert "× " not in _changes(view.value)
    knobs.sliders["seconds"].value = 8
    assert "536,870,912" in view.value and _changes(view.value).count("× 2") == 3  # frames, pixels, latents
    assert _changes(view.value).count("× 4") == 4  # all lines of scores
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    knobs._ipython_display_()
    assert shown[0] is knobs.widget and "100 times as many from 1 to 10 seconds" in shown[1].alt


def _changes(page):
    """What stands in the last column."""
    return " | ".join(re.findall(r"<td [^>]*>([^<]*)</td></tr>", page))


def test_a_shrunk_clip_keeps_its_means_and_loses_its_dots():
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    small = ledger.shrunk(frames, 8)
    assert small.shape == frames.shape and small.std() < frames.std() / 4
    assert abs(small.mean() - frames.mean()) < 2
    assert (ledger.shrunk(np.full_like(frames, 77), 8) == 77).all()


def test_frames_stand_above_the_latents_that_they_became():
    frames = np.zeros((9, 32, 32, 3), np.uint8)
    latents = torch.randn(3, 8, 4, 4, generator=torch.Generator().manual_seed(0))
    picture = ledger.both(frames, latents)
    assert "9 frames above, the 3 latent frames" in picture.alt and "4 × 4 places" in picture.alt


@pytest.mark.parametrize("text", ["4 < 5 & 6", "one\ntwo"])
def test_an_answer_is_folded_away(text, monkeypatch, capsys):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    with folded("Open"):
        print(text)
    assert capsys.readouterr().out == "" and repr(shown[0]) == text
    assert "<details><summary><b>Open</b>" in shown[0]._repr_html_() and "< 5" not in shown[0]._repr_html_()
