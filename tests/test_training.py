import errno
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from minit2v import training
from minit2v.checkpoints import load_weights
from minit2v.errors import UserError
from minit2v.machine import Batches, to_device
from minit2v.optimizers import learning_rate_factor, update_average
from minit2v.runs import read_log
from minit2v.training import Settings, Task, generator_of, seed_of, train

ROOT = Path(__file__).parents[1]


class Tiny(Task):
    """Fit a small conv net, with dropout, to noise: every kind of randomness and of parameter, in a moment."""

    name = "tiny"

    def __init__(self, width=8, wait=0.0, dropout=0.1):
        self.config = {"width": width}
        self.width, self.wait, self.dropout = width, wait, dropout

    def build(self):
        w = self.width
        return nn.Sequential(
            nn.Conv2d(3, w, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(w, w, 3, padding=1),
            nn.BatchNorm2d(w, affine=False, track_running_stats=False),
            nn.Dropout(self.dropout),
            nn.Conv2d(w, w, 1),
            nn.GELU(),
            nn.Conv2d(w, 3, 3, padding=1),
        ).to(memory_format=torch.channels_last)

    def batch(self, seed, step, indices):
        time.sleep(self.wait)
        return {"x": torch.stack([torch.randn(3, 8, 8, generator=generator_of(seed, step, i)) for i in indices])}

    def loss(self, model, batch, step, generator):
        noise = torch.randn(batch["x"].shape, generator=generator)
        error = (model(batch["x"] + 0.1 * self.dropout * noise) - batch["x"].roll(1, -1)).square().mean()
        return error, {"half": error / 2}

    def pictures(self, model, folder, step):
        torch.rand(3)  # must not matter
        (folder / f"{step}.txt").write_text("picture")

    def evaluate(self, model, step):
        return {"score": float(step)}


QUICK = Settings(steps=12, batch=4, warmup=2, log_every=1, save_every=4, threads=1)


def state(folder):
    tensors = load_file(folder / "state.safetensors")
    assert any(name.startswith("optimizer.") for name in tensors)
    return tensors


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


# ---- schedules, seeds, average -----------------------------------------------------------------------------


def test_learning_rate_rises_stays_and_falls_to_zero():
    settings = Settings(steps=100, warmup=10, decay=0.2)
    factors = [learning_rate_factor(step, 100, settings) for step in range(100)]
    assert factors[:10] == pytest.approx([i / 10 for i in range(1, 11)])
    assert factors[10:81] == [1.0] * 71
    assert factors[80:] == pytest.approx([(100 - i) / 20 for i in range(80, 100)])
    cosine = [learning_rate_factor(s, 100, replace(settings, schedule="cosine")) for s in (79, 90, 100)]
    assert cosine == pytest.approx([1.0, 0.5, 0.0])
    assert learning_rate_factor(99, 100, replace(settings, schedule="constant")) == 1
    assert learning_rate_factor(10**6, None, settings) == 1


def test_seeds_tell_every_step_sample_and_rank_apart():
    seeds = {seed_of(s, t, i) for s in range(10) for t in range(10) for i in range(10)}
    assert len(seeds) == 1000
    assert seed_of(1, 23) != seed_of(12, 3)
    again = [torch.rand(1, generator=generator_of(0, 1, 2)) for _ in range(2)]
    assert torch.equal(*again)


def test_average_is_the_exponential_moving_average():
    model, average = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    average.requires_grad_(False)
    nn.init.zeros_(average.weight)
    expected = 0.0
    for step in range(30):
        nn.init.constant_(model.weight, math.sin(step))
        update_average(average, model, step, ema=0.5)
        d = min(0.5, (1 + step) / (10 + step))
        expected = d * expected + (1 - d) * math.sin(step)
    assert average.weight.item() == pytest.approx(expected, abs=1e-6)


# ---- one run -----------------------------------------------------------------------------------------------


def test_a_run_learns_logs_draws_and_exports(tmp_path):
    settings = replace(QUICK, steps=60, learning_rate=1e-2, picture_every=25, ema=0.9)
    before = torch.get_rng_state()
    result = train(Tiny(dropout=0.0), settings, tmp_path, quiet=True)
    assert torch.equal(before, torch.get_rng_state())  # the caller's random numbers are not touched
    assert (result.step, result.finished, result.scores) == (60, True, {"score": 60.0})

    log = read_log(tmp_path / "log.jsonl")
    lines = [line for line in log if "loss" in line]
    assert [line["step"] for line in lines] == list(range(1, 61))
    assert lines[-1]["loss"] < 0.6 * lines[0]["loss"]
    assert lines[0]["half"] == pytest.approx(lines[0]["loss"] / 2)
    for key in ("grad_norm", "clips_per_s", "optimizer_share", "learning_rate", "seconds"):
        assert lines[5][key] > 0
    assert all(line["optimizer_share"] < 1 for line in lines)
    assert lines[-1]["learning_rate"] == pytest.approx(1e-2 / 18)  # the last of 18 steps down

    config, weights = load_weights(result.weights)
    assert config == {"width": 8}
    for name, tensor in result.model.state_dict().items():
        torch.testing.assert_close(weights[name], tensor, atol=1e-6, rtol=1e-3)
    assert sorted(p.name for p in (tmp_path / "pictures").iterdir()) == ["25.txt", "50.txt", "60.txt"]


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_stopped_and_resumed_is_bit_identical(tmp_path, optimizer):
    settings = replace(QUICK, optimizer=optimizer)
    train(Tiny(), settings, tmp_path / "whole", quiet=True)

    class Stopping(Tiny):
        def batch(self, seed, step, indices):
            if step == 6:
                signal.raise_signal(signal.SIGINT)
            return super().batch(seed, step, indices)

    cut = train(Stopping(), settings, tmp_path / "cut", quiet=True)
    assert (cut.step, cut.finished) == (7, False)
    torch.rand(5)
    more = train(Tiny(), replace(settings, save_every=5, log_every=3), tmp_path / "cut", resume=True, quiet=True)
    assert (more.step, more.finished) == (12, True)
    assert same(state(tmp_path / "whole"), state(tmp_path / "cut"))
    assert (tmp_path / "whole/weights.safetensors").read_bytes() == more.weights.read_bytes()
    steps = [line["step"] for line in read_log(tmp_path / "cut/log.jsonl") if "loss" in line]
    assert steps == [1, 2, 3, 4, 5, 6, 7, 9, 12]

    again = train(Tiny(), settings, tmp_path / "cut", resume=True, quiet=True)  # nothing left to do
    assert (again.step, again.scores) == (12, {"score": 12.0})


def test_ctrl_c_says_how_to_go_on(tmp_path, capsys):
    class Stopping(Tiny):
        def loss(self, *args):
            signal.raise_signal(signal.SIGTERM)
            return super().loss(*args)

    train(Stopping(), QUICK, tmp_path)
    told = capsys.readouterr().err
    assert "stopped after step 1" in told and "--resume" in told
    assert "clips/s" in told and "1/12" in told  # the progress bar


class Clock:
    """A clock on which every look takes 10 ms."""

    def __init__(self):
        self.now = 100.0

    def perf_counter(self):
        self.now += 0.01
        return self.now


def test_minutes_end_the_run_with_the_whole_fall_of_the_learning_rate(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "time", Clock())
    settings = replace(QUICK, steps=None, minutes=3 / 60, decay=0.5, warmup=1)

    def rates(folder):
        return [line["learning_rate"] for line in read_log(folder / "log.jsonl") if "loss" in line]

    result = train(Tiny(), settings, tmp_path / "whole", quiet=True)
    assert result.finished and 2.5 < result.seconds < 3.5
    fall = [rate for rate in rates(tmp_path / "whole") if rate < 1e-3]
    assert abs(len(fall) - result.step / 2) < 3 and fall == sorted(fall, reverse=True) and fall[-1] < 1e-4

    # Once the end is planned, it stays, whatever the clock says after resuming.
    stop_at = result.step * 3 // 4

    class Stopping(Tiny):
        def batch(self, seed, step, indices):
            if step == stop_at:
                signal.raise_signal(signal.SIGINT)
            return super().batch(seed, step, indices)

    assert not train(Stopping(), settings, tmp_path / "cut", quiet=True).finished
    more = train(Tiny(wait=0.01), replace(settings, minutes=9), tmp_path / "cut", resume=True, quiet=True)
    assert more.finished and rates(tmp_path / "cut") == rates(tmp_path / "whole")
    assert same(state(tmp_path / "whole"), state(tmp_path / "cut"))


def test_a_full_disk_ends_the_run_and_keeps_the_last_state(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        calls, fsync = [0], os.fsync

        def full(descriptor):
            calls[0] += 1
            if calls[0] == 9:  # recipe, log, state and weights of step 4, two each; then the state of step 8
                raise OSError(errno.ENOSPC, "No space left on device")
            fsync(descriptor)

        patch.setattr(os, "fsync", full)
        with pytest.raises(UserError, match=r"the disk that holds .*state.safetensors' is full: .* make room"):
            train(Tiny(), QUICK, tmp_path / "cut", quiet=True)
    train(Tiny(), QUICK, tmp_path / "whole", quiet=True)
    assert train(Tiny(), QUICK, tmp_path / "cut", resume=True, quiet=True).finished
    assert same(state(tmp_path / "whole"), state(tmp_path / "cut"))


def test_batches_made_ahead_are_the_same_and_pass_errors_on():
    task = Tiny()
    plain, ahead = (Batches(lambda step: task.batch(0, step, range(2)), flag) for flag in (False, True))
    for step in (0, 1, 2, 7, 8):
        assert torch.equal(plain.get(step)["x"], ahead.get(step)["x"])
    ahead.close()
    broken = Batches(lambda step: 1 / 0, True)
    with pytest.raises(ZeroDivisionError):
        broken.get(0)
    broken.close()


def test_bf16_runs(tmp_path):
    result = train(Tiny(), replace(QUICK, steps=2, bf16=True), tmp_path, quiet=True)
    assert result.finished and result.model[0].weight.dtype == torch.float32


class Deep(Tiny):
    """With repeated layers, which are what is compiled."""

    def build(self):
        return Layers()


class Layers(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(3, 3, 3, padding=1) for _ in range(2))

    def forward(self, x):
        for layer in self.layers:
            x = x + torch.tanh(layer(x))
        return x


@pytest.mark.skipif(not shutil.which("g++"), reason="compiling needs a C++ compiler")
def test_compiled_layers_learn_the_same(tmp_path, monkeypatch):
    compiled, compile_one = [], nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda layer, **how: compiled.append(layer) or compile_one(layer, **how))
    plain = train(Deep(), replace(QUICK, steps=3), tmp_path / "plain", quiet=True)
    assert not compiled
    fused = train(Deep(), replace(QUICK, steps=3, compile=True), tmp_path / "fused", quiet=True)
    assert [type(layer) for layer in compiled] == [nn.Conv2d, nn.Conv2d]
    for name, weight in plain.model.state_dict().items():
        torch.testing.assert_close(weight, fused.model.state_dict()[name], atol=1e-5, rtol=1e-4)


# ---- wrong input -------------------------------------------------------------------------------------------


def test_a_folder_keeps_to_one_recipe(tmp_path):
    with pytest.raises(UserError, match="no run to resume"):
        train(Tiny(), QUICK, tmp_path / "x", resume=True, quiet=True)
    train(Tiny(), QUICK, tmp_path / "x", quiet=True)
    kept = (tmp_path / "x/state.safetensors").read_bytes()
    with pytest.raises(UserError, match="already holds this run: add --resume"):
        train(Tiny(), QUICK, tmp_path / "x", quiet=True)
    for resume in (True, False):
        with pytest.raises(UserError) as error:
            train(Tiny(width=9), replace(QUICK, batch=8), tmp_path / "x", resume=resume, quiet=True)
        assert "config.width is 8 there, 9 here" in str(error.value)
        assert "settings.batch is 4 there, 8 here" in str(error.value) and "another folder" in str(error.value)
    (tmp_path / "x/recipe.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        train(Tiny(), QUICK, tmp_path / "x", resume=True, quiet=True)
    with pytest.raises(UserError, match="cannot hold a run"):
        train(Tiny(), QUICK, tmp_path / "x/recipe.json", quiet=True)
    assert (tmp_path / "x/state.safetensors").read_bytes() == kept


def test_a_gradient_that_is_not_finite_ends_the_run_and_keeps_the_last_state(tmp_path):
    class Broken(Tiny):
        def loss(self, model, batch, step, generator):
            loss, parts = super().loss(model, batch, step, generator)
            return loss * (math.nan if step == 6 else 1), parts

    with pytest.raises(UserError, match=r"not finite in step 6.*lower learning rate"):
        train(Broken(), QUICK, tmp_path, quiet=True)
    assert all(tensor.isfinite().all() for tensor in state(tmp_path).values())
    assert train(Tiny(), QUICK, tmp_path, resume=True, quiet=True).finished


@pytest.mark.parametrize(
    "wrong, says",
    [
        ({"optimizer": "sgd"}, "optimizer 'sgd' is unknown: choose one of adamw, muon"),
        ({"schedule": "step"}, "schedule 'step'"),
        ({"steps": 0}, "steps is 0"),
        ({"minutes": -1.0}, "minutes is -1.0"),
        ({"learning_rate": math.nan}, "learning_rate is nan"),
        ({"steps": None}, "no end"),
    ],
)
def test_settings_that_cannot_be_meant(wrong, says):
    with pytest.raises(UserError, match=says):
        Settings(**wrong)


# ---- killed, and two processes -----------------------------------------------------------------------------

# One child is forked per moment: importing torch takes longer than all the rest.
KILLED = """
    import os, signal, sys, torch
    from test_training import QUICK, Tiny, train

    torch.optim.AdamW([torch.zeros(1, requires_grad=True)]).step()  # imports a lot more, once for all children

    def die_at(moment):
        calls = [0]
        def counted(function):
            def call(*arguments):
                calls[0] += 1
                if calls[0] == moment:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*arguments)
            return call
        os.fsync, os.replace = counted(os.fsync), counted(os.replace)

    def forked(run):
        child = os.fork()
        if child == 0:
            run()
            os._exit(0)
        return os.waitpid(child, 0)[1]

    folder = sys.argv[1]
    def start(moment):
        die_at(moment)
        train(Tiny(), QUICK, f"{folder}/{moment}", quiet=True)
    for moment in map(int, sys.argv[2:]):
        assert forked(lambda: start(moment)) == signal.SIGKILL
        resume = os.path.exists(f"{folder}/{moment}/recipe.json")
        assert forked(lambda: train(Tiny(), QUICK, f"{folder}/{moment}", resume=resume, quiet=True)) == 0
"""

PAIR = """
    import os, sys
    from test_training import QUICK, Pair, replace, train
    train(Pair(), replace(QUICK, steps=3, optimizer="muon"), sys.argv[1], quiet=True)
    for wrong in (QUICK, replace(QUICK, batch=5)):
        try:
            train(Pair(), wrong, sys.argv[1] + str(wrong.batch), resume=wrong.batch == 4, quiet=True)
        except Exception as error:
            print(f"refused: {error}\\n", end="", flush=True)
    os._exit(0)  # all is written; gloo's threads, very rarely, abort an orderly exit of the interpreter
"""

# Every write is fsync, rename, fsync of the folder. 1-6: recipe.json and log.jsonl; then, in each of three saves,
# state.safetensors (7-9, 13-15) and weights.safetensors (10-12, 16-18).
MOMENTS = [1, 2, 3, 5, 7, 8, 9, 11, 13, 14, 15, 17]


class Pair(Tiny):
    """Without what looks at the whole batch (batch norm) or at the rank (dropout and the loss's noise)."""

    def __init__(self):
        super().__init__(dropout=0.0)

    def build(self):
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.GELU(), nn.Conv2d(8, 8, 3, padding=1), nn.GELU(), nn.Conv2d(8, 3, 1)
        )


@pytest.fixture(scope="module", autouse=True)
def children(tmp_path_factory):
    """Programs that run while the other tests do: {name: (process, folder)}."""
    folder = tmp_path_factory.mktemp("children")
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"}

    def start(name, code, *arguments, launcher=()):
        (folder / f"{name}.py").write_text(textwrap.dedent(code))
        command = [sys.executable, *launcher, folder / f"{name}.py", folder / name, *arguments]
        (folder / name).mkdir()
        pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return subprocess.Popen([str(word) for word in command], env=environment, **pipes), folder / name

    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    started = {"pair": start("pair", PAIR, launcher=torchrun)}
    if hasattr(os, "fork"):
        started["killed"] = start("killed", KILLED, *MOMENTS)
    yield started
    for process, _ in started.values():
        process.terminate()  # torchrun ends its workers
        process.communicate()


def output_of(process):
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-3000:]
    return output


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kill -9 is POSIX's")
def test_killed_at_any_moment_and_resumed_is_bit_identical(tmp_path, children):
    train(Tiny(), QUICK, tmp_path, quiet=True)
    process, folder = children["killed"]
    output_of(process)
    for moment in MOMENTS:
        cut = folder / str(moment)
        assert same(state(tmp_path), state(cut)), moment
        assert (tmp_path / "weights.safetensors").read_bytes() == (cut / "weights.safetensors").read_bytes()
        steps = [line["step"] for line in read_log(cut / "log.jsonl") if "loss" in line]
        assert steps == list(range(1, 13))
        assert not list(cut.glob("*.partial"))


def test_two_processes_with_half_the_batch_equal_one_with_all(tmp_path, children):
    train(Pair(), replace(QUICK, steps=3, optimizer="muon"), tmp_path, quiet=True)
    process, folder = children["pair"]
    output = output_of(process)
    one, two = state(tmp_path), state(folder)
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(one[name], two[name], atol=1e-5, rtol=1e-5)
    logs = [read_log(place / "log.jsonl") for place in (tmp_path, folder)]
    assert len(logs[0]) == len(logs[1]) == 4  # one process writes
    for a, b in zip(*logs, strict=True):
        assert a.get("loss", 0) == pytest.approx(b.get("loss", 0), abs=1e-5)
    assert output.count("holds no run to resume") == 2  # both processes say so, and stop
    assert output.count("batch 5 cannot be shared by 2 processes equally: use 4") == 2


def test_to_device_finds_every_tensor():
    batch = {"a": [torch.zeros(1), (torch.ones(2), "word")], "b": 3}
    moved = to_device(batch, "meta")
    assert moved["a"][0].is_meta and moved["a"][1][0].is_meta and moved["a"][1][1] == "word" and moved["b"] == 3


def test_recipe_is_stored_as_json(tmp_path):
    train(Tiny(), replace(QUICK, steps=1), tmp_path, quiet=True)
    recipe = json.loads((tmp_path / "recipe.json").read_text())
    assert recipe["task"] == "tiny" and recipe["config"] == {"width": 8} and recipe["settings"]["steps"] == 1
