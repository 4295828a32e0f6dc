"""The tools of lesson 10: formulas against what they stand for, and a run that is stopped and goes on."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from minit2v.dit import DiTConfig
from minit2v.lab import tiny
from minit2v.lab import tiny_figures as figures
from minit2v.recipes import NANO
from minit2v.runs import Run
from minit2v.training import Settings, train
from minit2v.vae import VAE, VAEConfig
from minit2v.world.scenes import WORLDS

SMALL = VAEConfig(channels=8, spatial=4, fine=0, widths=(8, 8), encoder_blocks=(1, 1), decoder_blocks=(1, 1))
PROMPTS = ("a small red ball moves left", "a small blue box grows")


@pytest.fixture(scope="module")
def vae():
    torch.manual_seed(0)
    return VAE(SMALL)


@pytest.fixture(scope="module")
def cache(vae, tmp_path_factory):
    return tiny.larder(tmp_path_factory.mktemp("cache") / "latents", vae, 16)


@pytest.fixture
def recipe():
    sizes = DiTConfig(channels=8, patch=(1, 4, 4), dim=16, layers=1, heads=2, text_dim=16)
    return replace(NANO, denoiser=sizes, training=NANO.training | dict(steps=6, batch=4, warmup=2, ema=0.9))


@pytest.fixture
def task(recipe, vae, cache, monkeypatch):
    monkeypatch.setattr(tiny.Watched, "judged", 2)
    return tiny.Watched(recipe, cache, vae, PROMPTS)


def test_a_cache_holds_no_pair_of_the_exam(cache):
    assert len(cache) == 16 and tiny.share_held_out(cache) == 0
    assert len(tiny.part(cache, 5)) == 5 and len(cache) == 16


def test_some_clips_are_different_ones_and_always_the_same(cache):
    first, texts = tiny.some(cache, 8)
    again, _ = tiny.some(cache, 8)
    assert torch.equal(first, again) and len(texts) == 8
    assert len({tuple(clip.flatten().tolist()) for clip in first}) == 8


def test_a_silent_network_is_fined_as_the_formula_says(task):
    model = task.build()  # its last layer is zero
    task.weight = None
    latents = torch.randn(64, 3, 8, 8, 8, generator=torch.Generator().manual_seed(1))  # of unit spread
    levels = [0.02, 0.3, 0.5, 0.8, 1.0]
    found = tiny.by_level(task, model, latents, list(PROMPTS) * 32, levels)
    assert np.allclose(found, tiny.silent(levels), rtol=0.02)


def test_levels_follow_their_formulas():
    uniform, shifted = tiny.levels_drawn([(1, "uniform"), (4, "logit-normal")])
    assert np.allclose(np.quantile(uniform, [0.25, 0.75]), [0.25, 0.75], atol=0.01)
    assert abs(np.median(shifted) - 4 * 0.5 / (1 + 3 * 0.5)) < 0.01


def test_a_run_that_pauses_ends_where_one_without_a_pause_ends(task, recipe, vae, cache, tmp_path, capsys):
    settings = Settings(**recipe.training, log_every=1, picture_every=2, evaluate_every=2)
    paused = tiny.on_to(4, task, settings, tmp_path / "run")
    assert (paused.step, paused.finished) == (4, False)
    restless = tiny.weights_of(tmp_path / "run", task)
    assert any(not torch.equal(a, b) for a, b in zip(restless.parameters(), paused.model.parameters(), strict=True))
    whole = tiny.on_to(6, task, settings, tmp_path / "run")
    assert (whole.step, whole.finished) == (6, True)
    straight = train(tiny.Unwatched(recipe, cache, vae), settings, tmp_path / "straight", quiet=True)
    for one, other in zip(whole.model.parameters(), straight.model.parameters(), strict=True):
        assert torch.equal(one, other)
    assert list(task.seen) == list(task.models) == [2, 4, 6] and len(task.seen[2]) == len(PROMPTS)
    losses, marks = tiny.curves(tmp_path / "run")
    assert losses[:, 0].tolist() == [1, 2, 3, 4, 5, 6] and marks[:, 0].tolist() == [2, 4, 6]
    assert capsys.readouterr().out.count("of 2 held-out prompts entirely right") == 3
    for figure in (
        figures.sharpening(task.seen, PROMPTS, [2, 6]), figures.loss_and_exam(losses, marks, (6, 0.5, 2)),
        figures.stages(task.seen, PROMPTS).still,
    ):  # fmt: skip
        assert len(figure.alt) > 60 and figure.png


def test_a_short_run_logs_every_step_and_feels_its_rate(task, recipe, vae, cache, tmp_path):
    quiet = tiny.Unwatched(recipe, cache, vae)
    ends = [tiny.short_run(quiet, 5, tmp_path / str(times), times)[1] for times in (1, 300)]
    assert [len(losses) for losses in ends] == [5, 5]
    assert ends[0][0] == ends[1][0] and ends[1][-1] > ends[0][-1]


def test_the_bill_counts_every_tensor_that_is_kept(task, recipe, tmp_path):
    run = Run(task.build(), Settings(**recipe.training), tmp_path)
    for weight in run.model.parameters():
        weight.grad = torch.zeros_like(weight)
    for optimizer in run.optimizers:
        optimizer.step()
    kept = tiny.bill(run.model, run.optimizers)
    count = sum(weight.numel() for weight in run.model.parameters())
    adam, muon = kept["what AdamW remembers"], kept["what Muon remembers"]
    assert kept["weights"] == kept["their gradient"] == kept["their moving average"] == count
    assert adam / 2 + muon == count  # two numbers for each weight of AdamW's, one for each of Muon's


def test_stored_runs_can_be_drawn():
    stored = tiny.stored()
    assert all(0 <= run["right"] <= 1 and run["n"] > 0 for run in stored["without"].values())
    said = figures.ladder(stored["without"], "Runs.").alt
    assert all(name in said for name in stored["without"])
    said = figures.longer(stored["longer"]).alt
    assert all(name in said for name in stored["longer"])


def test_histograms_and_levels_say_what_they_show():
    assert "0.50" in figures.drawn_levels({"even": np.linspace(0, 1, 101)}).alt
    alt = figures.by_level([0.1, 0.9], {"young": np.array([1.0, 2.0])}).alt
    assert "young: 1.00 at level 0.1, 2.00 at 0.9" in alt


def test_the_world_is_the_nano_world(cache):
    assert WORLDS[NANO.world].frames == 9 and cache.about["world"] == "nano"
