"""The table of systems: what its figures are made of, on a perfect system and on spoiled ones; FLOPs to the digit."""

import json
import subprocess
import sys
from dataclasses import replace

import benchmark_files
import numpy as np
import pytest
import torch
from perfect_system import Perfect
from tiny_system import TINY, TINY_VAE, save_tiny
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from minit2v.evaluation.work import flops_of
from minit2v.pipeline import TextToVideo
from minit2v.recipes import PromptedDenoiser, config_of
from minit2v.request import Given, Sliding
from minit2v.unet import UNetConfig
from minit2v.vae import VAE

benchmark_files.load("gallery")
bars = benchmark_files.load("bars")
systems = benchmark_files.load("systems")
PROMPT = "a large dotted red ball spins, the camera pushes in"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("weights"))


def counted(run):
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


# --- What a clip costs ----------------------------------------------------------------------------------------


def test_the_formula_counts_every_product_of_a_clip(tiny):
    system = TextToVideo.from_pretrained(tiny)
    frames = np.zeros((5, 64, 64, 3), np.uint8)
    assert flops_of(system, PROMPT) == counted(lambda: system.generate(PROMPT))
    for given in Given(frames[:1]), Given(frames, frames[:1]):
        run = counted(lambda given=given: system.generate(PROMPT, given=given))
        assert flops_of(system, PROMPT, given=[given]) == run


def test_the_formula_counts_all_windows(tiny, monkeypatch):
    system = TextToVideo.from_pretrained(tiny)
    monkeypatch.setattr(TextToVideo, "sliding", Sliding(9))
    assert flops_of(system, PROMPT, 33) == counted(lambda: system.generate(PROMPT, 33))
    assert flops_of(system, PROMPT, 33) > 2.5 * flops_of(system, PROMPT)


def test_the_formula_counts_a_unet():
    torch.manual_seed(0)
    unet = UNetConfig(channels=4, widths=(16, 16), blocks=(1, 1), heads=1, text_dim=24, temporal=(1, 1))
    model = PromptedDenoiser(config_of(replace(TINY, denoiser=unet)))
    system = TextToVideo(model, VAE(TINY_VAE.vae))
    assert flops_of(system, PROMPT) == counted(lambda: system.generate(PROMPT))


# --- Figures --------------------------------------------------------------------------------------------------


class Counted(Perfect):
    """A perfect system with sizes."""

    def __init__(self, spoil=None):
        super().__init__(spoil)
        self.model, self.vae = torch.nn.Linear(3, 4), torch.nn.Linear(1, 1)
        self.model.denoiser = torch.nn.Identity()
        self.model.denoiser.temporal_strength = 1.0
        self.vae.encode = lambda pixels: pixels


def rows_of(monkeypatch, tmp_path, spoil=None, **row):
    monkeypatch.setattr(systems, "flops_of", lambda *_, **__: 10**9)
    return systems.measured(systems.Row("sora", "none", **row), Counted(spoil), 3, 0, tmp_path, tell=lambda text: None)


def test_a_perfect_system_has_perfect_figures_and_a_sheet(monkeypatch, tmp_path):
    found = rows_of(monkeypatch, tmp_path)
    ones = ("adherence", "single_frames", "permanence", "camera", "physics")
    assert {found[name] for name in ones} == {1} and found["pillars"] == 2
    assert found["flicker_ratio"] == pytest.approx(1) and found["drift_excess"] == found["roughness_excess"] == 0
    assert found["parameters"] == 16 and found["vae_parameters"] == 2 and found["training"] == {}
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (tmp_path / "pictures" / "system-sora.png").stat().st_size > 5000


def test_without_temporal_layers_single_frames_are_right_and_the_clip_is_wrong(monkeypatch, tmp_path):
    """What the row must be able to tell: every frame is that of the right subject, drawn anew."""

    def alone(frames, request):
        assert request["temporal_strength"] == 0
        return frames[np.random.default_rng(request["seed"]).permutation(len(frames))]

    found = rows_of(monkeypatch, tmp_path, alone, temporal=0.0)
    assert found["single_frames"] == 1 > found["adherence"] and found["flicker_ratio"] > 3
    assert found["roughness_excess"] > 1


def test_what_starts_from_a_picture_gets_the_first_frame_of_its_scene():
    system, row = Perfect(), systems.Row("pika", "pika", picture=True)
    prompts = ["a large red ball spins striped", "a blue face talks"]
    given = systems.starts(row, system, prompts, 7)["given"]
    clips = system.generate_batch(prompts, [7, 8])
    assert all((one.first == clip.frames[:1]).all() for one, clip in zip(given, clips, strict=True))
    assert systems.starts(systems.Row("sora", "sora"), system, prompts, 7) == {}


# --- The page -------------------------------------------------------------------------------------------------


def test_bars_say_what_is_reached_what_is_not_and_what_lacks_weights():
    found = {"sora": {"adherence": 0.8, "permanence": 0.5}, "gen2": {"adherence": 0.1, "flicker": 1.0, "motion": 1.5},
             "gen2, temporal layers off": {"flicker": 6.0, "single_frames": None, "drift": 2.0}}  # fmt: skip
    lines = {line.split(" | ")[0].strip("| "): line for line in bars.bar_lines(found)}
    assert lines["sora: adherence"].endswith("| 0.80 | reached |")
    assert lines["sora: permanence behind the pillar"].endswith("| 0.50 | not reached |")
    assert lines["gen2: flicker, temporal layers off over on"].endswith("| 6.00 | reached |")
    assert lines["gen2: speed ratio, median"].endswith("| 0.8–1.25 | 1.50 | not reached |")
    assert lines["gen2, temporal layers off: single frames right"].endswith("| – | not reached |")
    assert lines["veo: camera command obeyed"].endswith("| – | no weights yet |")


def test_training_is_told_from_the_card():
    told = systems.training_of("sora")
    assert told["clips"] >= told["steps"] > 100 and told["minutes"] > 1
    assert systems.training_of("none") == {} and systems.trained({}) == "–"


def test_a_run_writes_its_page_and_keeps_what_is_measured(tiny, tmp_path):
    command = [sys.executable, benchmark_files.FOLDER / "systems.py", "--n", "2", "--out", tmp_path]
    command += ["--weights", f"sora={tiny}", "--systems", "sora"]
    subprocess.run(command, check=True, capture_output=True)
    page = (tmp_path / "systems.md").read_text(encoding="utf-8")
    assert "| gen3 | no weights yet |" in page or "gen3" in systems.available()
    assert "--n 2 --seed 0" in page and str(tmp_path) not in page and "![The first 12 clips of sora" in page
    assert (tmp_path / "pictures" / "system-sora.png").is_file()
    before = json.loads((tmp_path / "systems.json").read_text())
    assert list(before) == ["sora"] and before["sora"]["made"]["n"] == 2
    again = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "sora …" not in again.stdout and json.loads((tmp_path / "systems.json").read_text()) == before
