"""The trial of claims: on systems whose answer to a knob is known, and the statistics behind the verdict."""

import json
import math
import subprocess
import sys

import benchmark_files
import numpy as np
import pytest
from perfect_system import Perfect
from scipy import ndimage
from tiny_system import save_tiny

from minit2v.evaluation.statistics import band, rank_band, rank_correlation, resampled
from minit2v.recipes import SORA, Sampling

claims = benchmark_files.load("claims")


# --- Statistics -----------------------------------------------------------------------------------------------


def test_a_band_is_that_of_the_mean():
    values = np.random.default_rng(0).normal(5, 2, 400)
    low, high = band(resampled(values))
    assert low == pytest.approx(values.mean() - 1.96 * values.std() / 20, abs=0.03)
    assert high == pytest.approx(values.mean() + 1.96 * values.std() / 20, abs=0.03)
    some = values.copy()
    some[::2] = np.nan
    assert resampled(some).mean() == pytest.approx(values[1::2].mean(), abs=0.05)
    assert all(map(math.isnan, band(resampled(np.full(5, np.nan)))))


def test_rows_are_resampled_together():
    values = np.random.default_rng(0).normal(0, 3, 50)
    draws = resampled(np.stack([values, values + 1]))
    assert np.allclose(draws[1] - draws[0], 1)  # what is paired stays paired


def test_rank_correlation_of_known_orders():
    assert rank_correlation([1, 2, 3, 4], [1, 4, 9, 16]) == 1 and rank_correlation([1, 2, 3], [3, 2, 0]) == -1
    assert rank_correlation([1, 2, 3, 4, 5], [1, 3, 2, 4, 5]) == pytest.approx(0.9)
    assert math.isnan(rank_correlation([1, 2, 3], [7, 7, 7])) and math.isnan(rank_correlation([1, 2], [1, math.nan]))
    noise = np.random.default_rng(0).normal(size=(5, 40))
    low, high = rank_band(range(5), noise)
    assert high - low > 0.8
    assert rank_band(range(5), noise + 10 * np.arange(5)[:, None]) == pytest.approx((1, 1))


# --- Settings -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("claim", claims.CLAIMS.values(), ids=claims.CLAIMS)
def test_each_knob_has_seven_settings_and_three_near_the_default(claim):
    assert len(set(claim.settings)) >= 7 and list(claim.settings) == sorted(claim.settings)
    near = [setting for setting in claim.settings if claim.default / 2 <= setting <= 2 * claim.default]
    assert claim.default in claim.settings and len(near) >= 3


def test_the_defaults_are_those_of_the_recipes():
    assert claims.CLAIMS["steps"].default == Sampling().steps == SORA.sampling.steps
    assert claims.CLAIMS["guidance"].default == claims.CLAIMS["text"].default == SORA.sampling.guidance
    assert {name for claim in claims.CLAIMS.values() for name in claim.systems} == {
        "sora", "gen2", "gen3", "pika", "pika-unet"
    }  # fmt: skip


# --- Systems whose answer is known ----------------------------------------------------------------------------


def flickers(frames, request):
    """The less its frames hear of each other, the more it flickers."""
    jitter = np.random.default_rng(request["seed"]).normal(0, 20, (len(frames), 1, 1, 1))
    return np.clip(frames + (1 - request["temporal_strength"]) * jitter, 0, 255).astype(np.uint8)


def smears(frames, request):
    """The fewer steps, the longer the smear."""
    return ndimage.uniform_filter1d(frames.astype(float), max(1, 9 - request["steps"] // 2), axis=0).astype(np.uint8)


def obeys(frames, request):
    """Guidance below 2 leaves some clips as those of seed 0's subject: the wrong color."""
    return frames if request["seed"] % 8 < 4 * request["guidance"] else frames[..., [1, 2, 0]].copy()


def stiffens(frames, request):
    """The less noise on its picture, the slower."""
    pace = 1 - 0.8 * (1 - request["given"].noise)
    return frames[np.round(np.arange(17) * pace).astype(int)]


@pytest.mark.parametrize(
    "key, spoil", [("mixing", flickers), ("steps", smears), ("guidance", obeys), ("hold", stiffens)]
)
def test_a_claim_that_holds_is_borne_out_and_one_that_does_not_is_refuted(key, spoil):
    claim = claims.CLAIMS[key]
    real = {}
    if claim.pictures:
        real = {i: source.clip for i, source in enumerate(claims.sources_of(claim, Perfect(), 6, 0))}
    settings = claim.settings[::3]
    found = claims.tried(claim, Perfect(spoil, real), 6, 1, 0, settings, tell=lambda text: None)
    assert found["borne_out"] and found["rho"] == claim.sign, found
    assert claims.verdict(claim, found).startswith("**Borne out**")
    low, high = found["bands"][0]
    assert low <= found["effect"][0] <= high and len(found["effect"]) == len(settings)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    same = claims.tried(claim, Perfect(None, real), 2, 1, 0, settings[:2], tell=lambda text: None)
    assert not same["borne_out"] and same["rho"] is None and same["change"] == 0
    assert claims.verdict(claim, same).startswith("**Not borne out**")


def test_a_correlation_in_chance_alone_does_not_bear_a_claim_out():
    claim, rng = claims.CLAIMS["mixing"], np.random.default_rng(3)
    noise = rng.normal(0, 1, (7, 20)) - 0.001 * np.arange(7)[:, None]
    noise -= noise.mean(axis=1, keepdims=True) + 0.001 * np.arange(7)[:, None]  # falls by a thousandth of the spread
    found = claims.result(claim, claim.settings, noise, noise)
    assert found["rho"] == -1 and not found["borne_out"]


def test_every_seed_of_a_prompt_counts_to_that_prompt():
    assert claims.per_prompt([1, 2, 3, 5, math.nan, 7], 3).tolist() == [3, 2, 5]
    system = Perfect()
    claims.tried(claims.CLAIMS["steps"], system, 3, 2, 4, (1, 40), tell=lambda text: None)
    asked = [(request["prompt"], request["seed"], request["steps"]) for request in system.asked]
    assert [steps for *_, steps in asked] == [1] * 6 + [40] * 6
    assert [seed for _, seed, _ in asked[:6]] == list(range(4, 10)) == [seed for _, seed, _ in asked[6:]]
    assert [prompt for prompt, *_ in asked[:3]] == [prompt for prompt, *_ in asked[3:6]]


def test_a_knob_is_turned_back():
    system = Perfect()
    source = claims.sources_of(claims.CLAIMS["mixing"], system, 1, 0)
    claims.by_mixing(system, source, 0.25, 0)
    assert system.asked[0]["temporal_strength"] == 0.25 and system.temporal_strength == 1
    claims.by_hold(system, source, 0.9, 0)
    assert system.asked[1]["given"].noise == pytest.approx(0.1)


# --- The page -------------------------------------------------------------------------------------------------


def test_a_run_writes_its_page_and_picture(tmp_path):
    weights = save_tiny(tmp_path)
    command = [sys.executable, benchmark_files.FOLDER / "claims.py", "--systems", weights, "--claims", "mixing", "hold"]
    subprocess.run([*command, "--n", "2", "--trial", "--out", tmp_path / "docs"], check=True, capture_output=True)
    page = (tmp_path / "docs" / "claims.md").read_text(encoding="utf-8")
    assert "--n 2 --seeds 1 --seed 0 --systems tiny --claims mixing hold --trial`" in page
    assert "orne out" in page and "| real clips" in page
    assert "(default)" in page and str(tmp_path) not in page
    found = json.loads((tmp_path / "docs" / "claims.json").read_text())
    assert list(found) == ["mixing", "hold"] and len(found["mixing"]["tiny"]["effect"]) == 3
    assert (tmp_path / "docs" / "pictures" / "claims.png").stat().st_size > 10_000


def test_systems_without_weights_are_named():
    lines = claims.lines_of(claims.CLAIMS["hold"], {}, ["pika"])
    assert lines[-2] == "No weights yet: pika."
