"""What notebooks show: every picture has words, every number is the system's own, nothing comes from elsewhere."""

import re
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_system import save_tiny

import minit2v
from minit2v import Clip, TextToVideo, lab
from minit2v.dit import DiT, modulate
from minit2v.errors import UserError
from minit2v.lab import drawings
from minit2v.world import captions
from minit2v.world.render import render
from minit2v.world.scenes import scene

PROMPT = "a small red ball bounces"


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    return TextToVideo.from_pretrained(save_tiny(tmp_path_factory.mktemp("weights")))


@pytest.fixture(scope="module")
def trace(system):
    return lab.trace(system, PROMPT, seed=4)


@pytest.fixture(scope="module")
def ball():
    return Clip(render(scene(captions.parse(PROMPT), 0)), PROMPT, seed=0)


def own(page):
    """Asserts that a piece of a page carries all its data itself, and describes its pictures."""
    assert set(re.findall(r'src="(\w+):', page)) <= {"data"} and "http" not in page and "<script" not in page
    assert all('alt="' in tag for tag in re.findall("<img[^>]*>", page))
    return page


def test_the_trace_is_what_generate_does(system, trace):
    clip = system.generate(PROMPT, seed=4)
    assert np.array_equal(trace.clip.frames, clip.frames) and repr(trace.clip) == repr(clip)
    tensors = {name: stage.tensor for name, stage in trace.stages.items()}
    shapes = [(6,), (6, 24), (24,), (5, 4, 8, 8), (5, 16, 16), (5, 4, 8, 8), (17, 3, 64, 64), (17, 64, 64, 3)]
    assert [tuple(tensor.shape) for tensor in tensors.values()] == shapes
    assert torch.equal(tensors["noise"], torch.randn(5, 4, 8, 8, generator=torch.Generator().manual_seed(4)))
    assert torch.equal(tensors["latents"], system.denoise(system.request([PROMPT], [4]))[0])
    assert tensors["word ids"].tolist() == system.model.tokenizer.encode([PROMPT])[0][0].tolist()
    assert len(trace.steps) == 3 and trace.steps[0].sigma == 1 and trace.steps[2].sigma < trace.steps[1].sigma
    assert torch.allclose(trace.steps[-1].estimate, tensors["latents"], atol=1e-5)


def test_the_table_names_every_stage(trace):
    page = own(trace._repr_html_())
    assert "17 × 64 × 64 × 3" in page and "208,896" in page and "latent frames × channels × height × width" in page
    assert page.count("<tr>") == 9 and "17 × 64 × 64 × 3" in repr(trace)


def test_the_factory_is_drawn_and_described(trace):
    picture = drawings.factory(trace)
    for words in (PROMPT, "5 × 4 × 8 × 8", "3 times", "the oracle reads"):
        assert words in picture.alt
    assert np.asarray(picture.picture).std() > 20  # something is drawn


def test_the_slider_shows_the_step_it_stands_on(system, trace):
    steps = trace.slider(moments=3)
    assert steps.labels[0] == "step 1 of 3, noise level 1.00"
    seen = system.decode(trace.steps[1].estimate[None])[0]
    lower = steps.pictures[1][-128:]
    assert np.array_equal(lower[::2, :128:2], seen[0]) and np.array_equal(lower[::2, -128::2], seen[-1])
    slider, view = steps.widget.children
    pages = []
    for slider.value in (0, 1, 2):
        pages.append(view.value)
        assert steps.labels[slider.value] in own(view.value)
    assert len(set(pages)) == 3
    assert "step 3 of 3" not in steps.still.text and "given" in own(steps.still._repr_html_())


def test_a_slider_needs_a_label_for_each_picture():
    with pytest.raises(UserError, match="2 pictures and 1 labels"):
        lab.step_slider([np.zeros((4, 4, 3), np.uint8)] * 2, ["one"], "two")


def test_a_still_page_stands_beside_the_slider(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    pictures = [np.full((40, 40, 3), 20 * i, np.uint8) for i in range(9)]
    steps = lab.step_slider(pictures, [f"step {i}" for i in range(9)], "getting brighter", still=4)
    steps._ipython_display_()
    assert shown == [steps.widget, steps.still]
    page = np.asarray(Image.open(BytesIO(steps.still.png)))
    assert [i for i in range(9) if (page == 20 * i).all(-1).sum() >= 1600] == [0, 3, 5, 8]


def test_players_and_sheets(ball, tmp_path):
    page = own(lab.player(ball, ball)._repr_html_())
    assert page.count("<video controls loop muted") == 2
    sheet = lab.contact_sheet([ball, ball], columns=1)
    assert "2 clips" in sheet.alt and "a small red ball" in sheet.alt and sheet.alt in own(sheet._repr_html_())
    sheet.save(tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").read_bytes() == sheet.png
    with pytest.raises(UserError, match="at least one"):
        lab.player()


def test_measurements_stand_beside_their_controls(ball):
    text = repr(lab.measurements(ball))
    rows = {line.split("  ")[0]: line.split() for line in text.splitlines()[2:]}
    assert set(rows) == {"flicker", "identity_drift", "motion", "physics"}
    assert float(rows["motion"][1]) == pytest.approx(1, abs=0.1) and float(rows["motion"][3]) == 0
    with pytest.raises(UserError, match="no prompt"):
        lab.measurements(Clip(ball.frames))


@pytest.mark.parametrize("thing", [modulate, DiT, DiT.forward, torch.no_grad()(modulate), TextToVideo.from_pretrained])
def test_the_source_is_the_files_own(thing):
    shown = lab.show_source(thing)
    place, _, source = repr(shown).partition("\n\n")
    path, lines = place.split(":")
    first, last = map(int, lines.split("-"))
    file = Path(minit2v.__file__).parent.parent / path
    text = "".join(file.read_text(encoding="utf-8").splitlines(keepends=True)[first - 1 : last])
    assert [line.strip() for line in source.splitlines()] == [line.strip() for line in text.splitlines()]
    assert not source.startswith(" ") and path in own(shown._repr_html_())


@pytest.mark.parametrize("thing", [len, 3, np.pad, "text"])
def test_what_is_not_the_packages_has_no_source_here(thing):
    with pytest.raises(UserError, match="has no source in minit2v"):
        lab.show_source(thing)


def test_source_without_pygments_is_plain(monkeypatch):
    monkeypatch.setitem(sys.modules, "pygments", None)
    assert "<pre>def modulate(x, shift, scale):" in lab.show_source(modulate)._repr_html_()


def test_the_lab_imports_jupyter_only_when_it_is_used():
    root = str(Path(minit2v.__file__).parent.parent)
    code = (
        f"import sys; sys.path.insert(0, {root!r}); import minit2v.lab; "
        "print({'ipywidgets', 'IPython', 'matplotlib', 'pygments'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
