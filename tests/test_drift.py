"""The drift curve: on clips whose drift is known, and a whole run that takes seconds."""

import json
import subprocess
import sys
from dataclasses import replace

import benchmark_files
import numpy as np
import pytest
from perfect_system import Perfect
from tiny_system import save_tiny

from minit2v import Clip
from minit2v.world.captions import parse
from minit2v.world.oracle import lab
from minit2v.world.render import render
from minit2v.world.scenes import STANDARD, scene

drift = benchmark_files.load("drift")
PROMPT = "a large pink box spins under a starry sky"
STAGED = scene(parse(PROMPT), 1, replace(STANDARD, frames=33))


def of(staged, since=0):
    return drift.drift_of(Clip(np.concatenate([render(STAGED)[:since], render(staged)[since:]]), PROMPT))


def test_a_real_clip_does_not_drift():
    found = of(STAGED)
    assert all(curve.shape == (4,) for curve in found.values())  # seconds: 1 + 4 · 8 frames
    assert found["color"].max() < 1 and found["identity"].max() < 0.6 and (found["same"] == 1).all()


def test_a_color_that_changes_is_read_in_its_seconds():
    other = np.array([0.3, 0.6, 0.9])
    found = of(replace(STAGED, color=other), since=17)
    expected = np.linalg.norm(lab(other) - lab(STAGED.color))
    assert found["color"][:2].max() < 1 and found["color"][2:] == pytest.approx(min(expected, 50), abs=1)
    assert found["same"].tolist() == [1, 1, 0, 0] and found["identity"][2:].min() > 2


def test_what_is_lost_counts_most():
    found = of(replace(STAGED, position=STAGED.position + 200), since=25)
    assert found["color"][3] == 50 and found["identity"][3] == 5 and found["same"].tolist() == [1, 1, 1, 0]


def test_means_and_bands_are_over_prompts():
    good, bad = Clip(render(STAGED), PROMPT), Clip(render(replace(STAGED, position=STAGED.position + 200)), PROMPT)
    found = drift.summed_up([good, bad, good, bad], 2)  # two seeds of two prompts
    assert found["same"]["mean"] == [0.5] * 4 and found["same"]["bands"][0] == [0, 1]
    assert found["motion"] == pytest.approx(0.5, abs=0.05)


def test_every_way_is_asked_for_the_same_and_a_perfect_system_does_not_drift():
    system = Perfect()
    results = drift.compared(system, 33, 2, 1, 5, tell=lambda text: None)
    assert list(results) == [drift.REAL, *drift.WAYS]
    for found in results.values():
        assert found["same"]["mean"] == [1] * 4 and found["motion"] == pytest.approx(1, abs=0.2)
    asked = [(request["prompt"], request["seed"]) for request in system.asked]
    assert asked == asked[:2] * len(drift.WAYS) and [seed for _, seed in asked[:2]] == [5, 6]
    assert [request["sliding"] for request in system.asked[::2]] == list(drift.WAYS.values())
    assert set(drift.LOOKS) == set(results)


def test_a_run_writes_its_page_and_picture(tmp_path):
    weights = save_tiny(tmp_path)
    command = [sys.executable, benchmark_files.FOLDER / "drift.py", "--system", weights, "--out", tmp_path / "docs"]
    subprocess.run([*command, "--n", "2", "--steps", "1", "--frames", "25"], check=True, capture_output=True)
    page = (tmp_path / "docs" / "drift.md").read_text(encoding="utf-8")
    assert all(f"| {way} |" in page for way in [drift.REAL, *drift.WAYS]) and "| 2 s | 3 s |" in page
    assert "--frames 25 --n 2 --seeds 1 --seed 0 --steps 1" in page and str(tmp_path) not in page
    assert len(json.loads((tmp_path / "docs" / "drift.json").read_text())[drift.REAL]["color"]["mean"]) == 3
    assert (tmp_path / "docs" / "pictures" / "drift.png").stat().st_size > 10_000
