"""A tiny model that is trained while one watches: what it is fed, what it draws at every stage, and what a run costs.

All of it is the package's own loop, `training.train`, on the package's own task; here it is only watched.
"""

from __future__ import annotations

import copy
import io
import json
import random
import signal
import time
from collections.abc import Iterable, Sequence
from contextlib import redirect_stderr
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from minit2v.checkpoints import load_into, read_tensors
from minit2v.clip import Clip
from minit2v.datasets import LatentCache, fill_cache
from minit2v.diffusion import FlowMatching, randn
from minit2v.evaluation import draw_prompts
from minit2v.metrics import adherence
from minit2v.pipeline import TextToVideo
from minit2v.recipes import PromptedDenoiser, Recipe
from minit2v.runs import read_log
from minit2v.tasks import DenoiserTask
from minit2v.training import Result, Settings, train
from minit2v.vae import VAE
from minit2v.world.captions import is_held_out
from minit2v.world.scenes import NANO

STORED = Path(__file__).parent / "assets" / "tiny.json"  # longer and broken runs; `benchmarks/tiny.py` measures them


class Watched(DenoiserTask):
    """The package's task, which keeps what it is asked to draw on the way: the same prompts from the same noise.

    seen: {step: clips}; models: {step: the averaged model}. `pause`: a step behind which the run is stopped.
    """

    judged = 48

    def __init__(self, recipe: Recipe, cache: LatentCache, vae: VAE, prompts: Sequence[str]):
        super().__init__(recipe, cache, vae)
        self.prompts, self.seen, self.models, self.pause = tuple(prompts), {}, {}, None

    def loss(self, model, batch, step, generator):
        if step + 1 == self.pause:
            signal.raise_signal(signal.SIGINT)  # as Ctrl-C, or the notebook's stop button
        return super().loss(model, batch, step, generator)

    def pictures(self, model, folder, step):
        self.models[step] = copy.deepcopy(model)
        self.seen[step] = TextToVideo(model, self.vae, self.name).generate_batch(self.prompts, range(len(self.prompts)))

    def evaluate(self, model, step):
        scores = super().evaluate(model, step)
        print(f"step {step:5d}: {scores['adherence']:4.0%} of {scores['clips']} held-out prompts entirely right")
        return scores


def bf16_is_faster(side: int = 512, times: int = 20) -> bool:
    """Whether this machine multiplies matrices faster in bf16 than in fp32: some do it natively, others by detours."""
    seconds = {}
    for kind in (torch.float32, torch.bfloat16):
        x = torch.ones(side, side, dtype=kind)
        x @ x  # the first product prepares
        started = time.perf_counter()
        for _ in range(times):
            x @ x
        seconds[kind] = time.perf_counter() - started
    return seconds[torch.bfloat16] < seconds[torch.float32]


def on_to(step: int, task: Watched, settings: Settings, folder: str | Path) -> Result:
    """Trains to that step and stops there, as Ctrl-C would; the next call goes on from what was saved."""
    task.pause = step if step < settings.steps else None
    with redirect_stderr(io.StringIO()):  # it says there that it was stopped
        return train(task, settings, folder, resume=(Path(folder) / "recipe.json").exists(), quiet=True)


class Unwatched(DenoiserTask):
    """The same without exams and pictures, for short runs beside it."""

    def pictures(self, model, folder, step):
        pass

    def evaluate(self, model, step):
        return {}


def short_run(task: DenoiserTask, steps: int, folder: str | Path, times: float = 1.0, **changes):
    """So many steps by the recipe, at `times` its learning rates, a few settings changed: the averaged model, and the
    loss of each step."""
    how = task.recipe.training | {"steps": steps, "log_every": 1} | changes
    rates = {name: how[name] * times for name in ("learning_rate", "muon_learning_rate")}
    result = train(task, Settings(**how | rates), folder, quiet=True)
    return result.model, curves(folder)[0][:, 1]


def weights_of(folder: str | Path, task: DenoiserTask) -> PromptedDenoiser:
    """A stopped run's trained weights, not their average."""
    _, tensors = read_tensors(Path(folder) / "state.safetensors")
    mine = {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
    return load_into(PromptedDenoiser(task.config), mine).eval()


# ---- what is fed ---------------------------------------------------------------------------------------------------


def larder(folder: str | Path, vae: VAE, count: int, seed: int = 0) -> LatentCache:
    """A cache of so many nano clips, drawn and packed with all cores, and without a word about it."""
    with redirect_stderr(io.StringIO()):  # a progress bar
        return fill_cache(folder, vae, count, NANO, seed=seed)


def part(cache: LatentCache, count: int) -> LatentCache:
    """The first `count` clips of a cache, as a cache."""
    few = copy.copy(cache)
    few.latents, few.meanings, few.starts = cache.latents[:count], cache.meanings[:count], cache.starts[:count]
    return few


def share_held_out(cache: LatentCache) -> float:
    """Which share of a cache's clips are of a pair that training must not see."""
    return sum(map(is_held_out, cache.meanings)) / len(cache)


def levels_drawn(shifts_and_times: Iterable[tuple[float, str]], count: int = 20000, seed: int = 0) -> list[np.ndarray]:
    """Noise levels as training draws them, (count,) for each way (shift, times)."""
    ways = [FlowMatching(shift, times) for shift, times in shifts_and_times]
    return [way.sample_sigma(count, 1, torch.Generator().manual_seed(seed))[:, 0].numpy() for way in ways]


# ---- the loss, taken apart -----------------------------------------------------------------------------------------


def some(cache: LatentCache, count: int, seed: int = 0) -> tuple[Tensor, list[str]]:
    """`count` clips of a cache: latents (n, f, c, h, w), and their captions in words of the moment."""
    rng = random.Random(seed)
    pairs = [cache.sample(index, rng) for index in rng.sample(range(len(cache)), count)]
    return torch.stack([latents for latents, _ in pairs]), [text for _, text in pairs]


@torch.no_grad()
def by_level(task: DenoiserTask, model, latents: Tensor, texts: Sequence[str], levels: Sequence[float], seed: int = 0):
    """The loss at one noise level after the other, always with the same noise: (levels,)."""
    noise = randn(latents.shape, torch.Generator().manual_seed(seed))
    text = model.eval().read(list(texts))
    found = []
    for level in levels:
        sigma = torch.full(latents.shape[:2], float(level))
        losses = task.flow.loss(model, latents, text, weight=task.weight, sigma=sigma, noise=noise)
        found.append(losses.mean().item())
    return np.array(found)


def silent(levels) -> np.ndarray:
    """The loss of a network that says nothing, v = 0, on latents of unit spread: 1 / ((1 - sigma)² + sigma²).

    Its velocity is x (2 sigma - 1) / r², r² = (1 - sigma)² + sigma²; what it misses of noise and data, squared, is
    ((1 - sigma)² + sigma²) / r⁴.
    """
    levels = np.asarray(levels)
    return 1 / ((1 - levels) ** 2 + levels**2)


# ---- exams ---------------------------------------------------------------------------------------------------------


def exam(model, vae: VAE, count: int = 96, split: str = "held-out", seed: int = 0) -> tuple[list[Clip], dict]:
    """Clips for `count` prompts of a split, and their adherence: see `metrics.adherence`."""
    from minit2v.evaluation import generate_all

    system = TextToVideo(model, vae, "nano")
    made = generate_all(system, draw_prompts(count, split, system.world, seed))
    return made, adherence([clip.reading for clip in made], [clip.meaning for clip in made])


def curves(folder: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """A run's log: rows (step, loss), and rows (step, share of prompts right, how many were asked)."""
    lines = read_log(Path(folder) / "log.jsonl")
    losses = [(line["step"], line["loss"]) for line in lines if "loss" in line]
    exams = [(line["step"], line["scores"]) for line in lines if line.get("scores")]
    return np.array(losses), np.array([(step, scores["adherence"], scores["clips"]) for step, scores in exams])


# ---- the bill ------------------------------------------------------------------------------------------------------


def bill(model: nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> dict[str, int]:
    """What training keeps in memory for as long as it runs, in numbers: tensors as large as the weights."""
    count = sum(weight.numel() for weight in model.parameters())
    moments = {}
    for optimizer in optimizers:
        kept = sum(
            value.numel() for state in optimizer.state.values() for value in state.values()
            if isinstance(value, Tensor) and value.ndim
        )  # fmt: skip
        moments[f"what {type(optimizer).__name__} remembers"] = kept
    return {"weights": count, "their gradient": count, "their moving average": count} | moments


def stored() -> dict:
    """Runs that were made beforehand: a longer one, and some with a piece left out."""
    return json.loads(STORED.read_text(encoding="utf-8"))
