"""One training loop for everything: VAEs, transformers, U-Nets; one CPU, one GPU, many processes.

A `Task` says what is trained (the model, the batches, the loss), `Settings` how, and `train` does it:

    loss → gradient, averaged over processes → its norm clipped → optimizer → moving average of the weights

Every random number is a function of (seed, step, sample) or (seed, step, rank), never of what was drawn before.
So a run that was stopped, or killed, goes on from its last saved state to bit-identical weights (same machine,
threads and torch).

Many processes: `torchrun --standalone --nproc-per-node 2 -m minit2v train …` runs this same code, through plain
DistributedDataParallel. Accelerate would put several layers in front of the few lines it takes (machine.py),
and its own launcher, asked for two processes on the CPU, was seen to start one and say nothing.
"""

import math
import sys
import time
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

from minit2v.checkpoints import save_weights
from minit2v.errors import UserError
from minit2v.machine import Batches, processes, stop_signals, to_device
from minit2v.optimizers import learning_rate_factor, update_average
from minit2v.runs import Log, Meter, Run, claim, read_log


class Task:
    """What to train. `config`, JSON-able, rebuilds the model: it is stored with the run and in the weights."""

    name = "task"
    config: dict
    origin: dict | None = None  # what else decides the weights, JSON-able: the checkpoint to begin with, say

    def build(self):
        """A fresh model. Its first weights come from torch's global generator, which `train` seeds."""
        raise NotImplementedError

    def batch(self, seed, step, indices):
        """The samples `indices`, a range within the whole batch, of one step, on the CPU: tensors, or dicts,
        lists or dataclasses of tensors.

        Sample i must depend on (seed, step, i) alone; `generator_of(seed, step, i)` helps. May run in a thread.
        """
        raise NotImplementedError

    def loss(self, model, batch, step, generator):
        """(mean loss over the batch, {name: number to log}).

        `generator` lives on the model's device and is a function of (seed, step, rank). Noise that must not
        depend on the number of processes belongs into `batch`.
        """
        raise NotImplementedError

    def pictures(self, model, folder, step):
        """Optional: write samples of `model`, the averaged one, into `folder`."""

    def evaluate(self, model, step):
        """Optional: scores of `model`, the averaged one, {name: number}, for the log."""
        return {}


@dataclass
class Settings:
    """How to train. Raises UserError for values that cannot be meant."""

    steps: int | None = 1000
    minutes: float | None = None  # ends by the clock, or by `steps` if that is sooner; see Run.plan_end
    batch: int = 32  # samples per step, all processes together
    seed: int = 0
    optimizer: str = "adamw"  # or "muon": hidden matrices by Muon, the rest by AdamW
    learning_rate: float = 1e-3
    muon_learning_rate: float | None = None  # None: the same
    warmup: int = 100  # steps of linear rise
    schedule: str = "linear"  # or "cosine": the shape of the fall to 0 at the end; "constant": no fall
    decay: float = 0.3  # the last share of the steps, in which the rate falls
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.99)  # AdamW's
    clip_norm: float | None = 1.0  # greatest norm of the whole gradient
    ema: float = 0.999  # share of the averaged weights that one step keeps
    bf16: bool = False  # autocast the loss, and Muon: where bf16 is multiplied natively (GPUs, some CPUs)
    compile: bool = False  # fuse the operations of repeated layers: needs a C++ compiler, and minutes to start
    # From here on, nothing changes the weights (but threads their last bits): a resumed run may differ.
    save_every: int = 250  # steps, like the next three
    log_every: int = 10
    picture_every: int = 0  # 0: at the end only
    evaluate_every: int = 0  # 0: at the end only
    threads: int | None = None  # torch's, per process; None: torch's choice, or 1 if several processes

    def __post_init__(self):
        legal = {"optimizer": ("adamw", "muon"), "schedule": ("linear", "cosine", "constant")}
        for key, choices in legal.items():
            if getattr(self, key) not in choices:
                raise UserError(f"{key} '{getattr(self, key)}' is unknown: choose one of {', '.join(choices)}")
        for key in ("steps", "minutes", "batch", "learning_rate", "save_every", "log_every"):
            value = getattr(self, key)
            if value is not None and not 0 < value < math.inf:
                raise UserError(f"{key} is {value}: give a number greater than 0")
        if self.steps is None and self.minutes is None:
            raise UserError("training has no end: give steps or minutes")


FREE = ("minutes", "save_every", "log_every", "picture_every", "evaluate_every", "threads")


@dataclass
class Result:
    step: int  # steps done
    finished: bool  # False: stopped before the end; `resume=True` goes on
    seconds: float  # all sittings together
    weights: Path  # the averaged weights in fp16
    model: nn.Module  # the averaged model, fp32
    scores: dict  # of the last evaluation


def recipe_of(task, settings):
    """All that decides the weights, JSON-able: a run's folder belongs to one such recipe."""
    return {"task": task.name, "config": task.config, "origin": task.origin, "settings": asdict(settings)}


# ---- randomness ---------------------------------------------------------------------------------------------


def seed_of(*parts):
    """A 32-bit seed made of all the numbers or words given, such as (seed, step, index)."""
    return int.from_bytes(blake2b(repr(parts).encode(), digest_size=4).digest(), "little")


def generator_of(*parts, device="cpu"):
    """A fresh torch.Generator, seeded with `seed_of(*parts)`."""
    return torch.Generator(device).manual_seed(seed_of(*parts))


# ---- one step ----------------------------------------------------------------------------------------------


class _Objective(nn.Module):
    """The loss as a module: DistributedDataParallel averages the gradients of a module's forward."""

    def __init__(self, task, model, bf16):
        super().__init__()
        self.task, self.model, self.bf16 = task, model, bf16

    def forward(self, batch, step, generator):
        with torch.autocast(generator.device.type, torch.bfloat16, enabled=self.bf16):
            loss, parts = self.task.loss(self.model, batch, step, generator)
        return loss, {key: torch.as_tensor(part).detach() for key, part in parts.items()}


def take_step(run, objective, batch, group):
    """One step of gradient descent. Returns what to log of it, {name: number}, and the optimizers' seconds."""
    settings = run.settings
    seed = seed_of(settings.seed, run.step, "rank", group.rank)
    torch.manual_seed(seed)  # for layers that draw from the global generator, as dropout does
    generator = torch.Generator(group.device).manual_seed(seed)
    loss, parts = objective(batch, run.step, generator)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(run.model.parameters(), settings.clip_norm or math.inf).item()
    if not math.isfinite(norm):  # the gradient is everybody's, so that all processes stop here together
        raise UserError(
            f"the gradient is not finite in step {run.step} (loss {loss.item():.4g}): use a lower learning rate, "
            f"in another folder; '{run.folder}' keeps its last saved state"
        )
    factor = learning_rate_factor(run.step, run.end, settings)
    started = time.perf_counter()
    for optimizer in run.optimizers:
        for parameters in optimizer.param_groups:
            parameters["lr"] = factor * parameters["peak_lr"]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    if group.device.type == "cuda":
        torch.cuda.synchronize(group.device)
    seconds = time.perf_counter() - started
    update_average(run.average, run.model, run.step, settings.ema)
    numbers = {"loss": loss.item()} | {key: part.item() for key, part in parts.items()} | {"grad_norm": norm}
    return numbers, seconds


# ---- the loop ----------------------------------------------------------------------------------------------


def train(task, settings, out_dir, resume=False, device=None, quiet=False):
    """Train `task` into the folder `out_dir`; returns a Result.

    `resume` goes on from the folder's last saved state. `device` None is a GPU if there is one. `quiet` leaves
    the progress bar out. Ctrl-C ends the step in hand, saves, and returns with `finished` False.
    Raises UserError if the folder holds another run, if the processes cannot share the batch equally, if the
    gradient is not finite, or if the disk is full (the last saved state then is still whole).
    """
    folder = Path(out_dir)
    with processes(device, settings.threads) as group, stop_signals() as stop:
        gpus = [group.device] if group.device.type == "cuda" else []
        with torch.random.fork_rng(gpus):
            group.first_does(lambda: claim(folder, recipe_of(task, settings), resume, FREE))
            run = _start(task, settings, folder, group)
            _loop(task, run, group, stop, quiet)
            scores = group.first_does(lambda: _last_scores(folder))
    return Result(run.step, run.finished, run.seconds, _weights(folder), run.average, scores)


def _start(task, settings, folder, group):
    torch.manual_seed(seed_of(settings.seed, "weights"))
    run = Run(task.build().to(group.device), settings, folder)
    if settings.compile:
        compile_layers(run.model)
    if run.state_file.exists():
        changed = run.load()
        if changed and group.is_first:
            print(f"going on, but not to bit-identical weights: {'; '.join(changed)}", file=sys.stderr)
    return run


def compile_layers(model):
    """Compile each layer of the model's lists of layers, where nearly all of its time goes, once per shape."""
    for layers in [module for module in model.modules() if isinstance(module, nn.ModuleList)]:
        for layer in layers:
            layer.compile(dynamic=False)


def _loop(task, run, group, stop, quiet):
    settings = run.settings
    indices = group.share_of(settings.batch)
    batches = Batches(lambda step: task.batch(settings.seed, step, indices), group.device.type == "cuda")
    objective = group.wrap(_Objective(task, run.model, settings.bf16))
    log = Log(run.folder, run.step) if group.is_first else None
    bar = _bar(run, quiet or not group.is_first)
    meter, halt, began = Meter(), False, time.perf_counter() - run.seconds
    try:
        while not (run.finished or halt):
            started = time.perf_counter()
            batch = to_device(batches.get(run.step), group.device)
            numbers, optimizer_seconds = take_step(run, objective, batch, group)
            meter.add(numbers, time.perf_counter() - started, optimizer_seconds)
            run.step, run.seconds = run.step + 1, time.perf_counter() - began
            halt, end = group.agree(stop.asked, run.plan_end())
            if end is not None:
                run.end, run.planned = end, True
            last = halt or run.finished
            if last or run.step % settings.log_every == 0:
                _report(run, meter.line(settings.batch, group), log, bar)
            if group.is_first:
                _keep(task, run, log, last)
    finally:
        batches.close()
        bar.close()
    if group.is_first and run.finished:
        _finish(task, run, log)
    elif group.is_first:
        print(f"stopped after step {run.step} and saved: the same with --resume goes on", file=sys.stderr)


def _bar(run, disable):
    often = 0.5 if sys.stderr.isatty() else 30  # seconds
    return tqdm(total=run.end, initial=run.step, unit="step", mininterval=often, file=sys.stderr, disable=disable)


def _report(run, line, log, bar):
    if log is None:
        return
    log.write(step=run.step, **line, learning_rate=run.learning_rate, seconds=round(run.seconds, 3))
    bar.total = run.end or round(60 * run.settings.minutes * run.step / run.seconds)
    bar.set_postfix_str(f"loss {line['loss']:.4f}, {line['clips_per_s']:.1f} clips/s", refresh=False)
    bar.update(run.step - bar.n)


def _keep(task, run, log, last):
    """Save, draw and measure when it is time."""

    def due(every):
        return every and run.step % every == 0

    settings = run.settings
    if last or due(settings.save_every):
        run.save()
        save_weights(_weights(run.folder), run.average, task.config)
    if due(settings.picture_every) and not run.finished:
        _draw(task, run)
    if due(settings.evaluate_every) and not run.finished:
        log.write(step=run.step, scores=task.evaluate(run.average, run.step))


def _draw(task, run):
    folder = run.folder / "pictures"
    folder.mkdir(exist_ok=True)
    task.pictures(run.average, folder, run.step)


def _finish(task, run, log):
    """What a finished run leaves behind, unless it has: a kill may have come between the last save and this."""
    if not any(line.get("finished") for line in read_log(log.file)):
        save_weights(_weights(run.folder), run.average, task.config)
        _draw(task, run)
        log.write(step=run.step, scores=task.evaluate(run.average, run.step), finished=True)


def _last_scores(folder):
    return next((line["scores"] for line in reversed(read_log(folder / "log.jsonl")) if "scores" in line), {})


def _weights(folder):
    return folder / "weights.safetensors"
