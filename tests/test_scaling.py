"""The benchmark of growth: slopes of known curves, and a whole run over sizes that take seconds."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "scaling.py"


@pytest.fixture(scope="module")
def scaling():
    spec = importlib.util.spec_from_file_location("scaling", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["scaling"] = module  # dataclasses look themselves up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["scaling"]


def test_slopes_of_powers(scaling):
    xs = [5, 9, 17, 33]
    assert scaling.slope(xs, [3 * x**2 for x in xs]) == pytest.approx(2)
    assert scaling.slope(xs, [7 / x for x in xs]) == pytest.approx(-1)
    assert scaling.slope(xs, [4] * 4) == pytest.approx(0)


def test_full_attention_grows_faster_than_factorised(scaling):
    kinds, points = scaling.contestants(256), scaling.SWEEPS["frames"]
    growth = {
        name: scaling.slope([p.frames for p in points], [scaling.cost_of(kinds[name], p).flops for p in points])
        for name in kinds
    }
    assert growth["full"] == growth["windowed"] > growth["factorised"] > 0.8  # a mask alone saves nothing
    assert growth["full"] < 2


def test_a_run_writes_its_page(tmp_path):
    command = [sys.executable, SCRIPT, "--tiny", "--threads", "1", "--repeats", "1", "--out", tmp_path]
    subprocess.run(command, check=True, capture_output=True)
    page = (tmp_path / "scaling.md").read_text(encoding="utf-8")
    for name in ("full", "factorised", "windowed", "U-Net"):
        for sweep in ("frames", "size", "batch"):
            assert f"### {name}, {sweep}" in page
    assert "--threads 1 --repeats 1" in page and "pictures/scaling-cpu.png" in page
    assert (tmp_path / "pictures" / "scaling-cpu.png").stat().st_size > 10_000
