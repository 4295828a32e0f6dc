"""A training run on disk: its recipe, its log, and the state it resumes from.

    recipe.json         what is trained and how; a folder holds one recipe for good
    log.jsonl           one line every few steps
    state.safetensors   everything that training changes, as of the last save
    weights.safetensors the averaged weights, fp16, to generate with
"""

import json
import os
import sys
from copy import deepcopy
from pathlib import Path

import torch
from safetensors.torch import save as to_bytes

from minit2v.checkpoints import load_into, read_tensors
from minit2v.errors import UserError
from minit2v.files import cannot_write, write_whole
from minit2v.optimizers import make_optimizers


class Run:
    """All that changes while training: weights, their average, optimizers, step, seconds, planned end."""

    def __init__(self, model, settings, folder):
        self.model, self.settings, self.folder = model.train(), settings, Path(folder)
        self.average = deepcopy(model).eval().requires_grad_(False)
        self.optimizers = make_optimizers(
            model,
            settings.optimizer,
            settings.learning_rate,
            settings.weight_decay,
            settings.betas,
            settings.muon_learning_rate,
            settings.bf16,
        )
        self.step, self.seconds = 0, 0.0
        self.end, self.planned = settings.steps, settings.minutes is None  # planned: `end` is final

    @property
    def finished(self):
        return self.end is not None and self.step >= self.end

    @property
    def learning_rate(self):
        """AdamW's, in the last step."""
        return self.optimizers[0].param_groups[0]["lr"]

    def plan_end(self):
        """By the clock (`minutes`): once only the fall of the learning rate is left, turn the time left into
        steps, once and for all, so that the rate does reach 0. Returns that end, or None if it is not time."""
        minutes, settings = self.settings.minutes, self.settings
        fall = 0 if settings.schedule == "constant" else settings.decay
        if self.planned or self.seconds < 60 * minutes * (1 - fall):
            return None
        steps_left = round((60 * minutes - self.seconds) * self.step / self.seconds)
        return min(self.step + max(0, steps_left), settings.steps or sys.maxsize)

    @property
    def state_file(self):
        return self.folder / "state.safetensors"

    def save(self):
        """Write state.safetensors, whole or not at all."""
        facts = {"step": self.step, "seconds": self.seconds, "end": self.end, "planned": self.planned}
        tensors = {
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, tensor in self._tensors().items()
        }
        write_whole(self.state_file, to_bytes(tensors, {"facts": json.dumps(facts | _surroundings())}))

    def load(self):
        """Go back to the saved state. Returns what is not as it was, so that the last bits may differ."""
        header, tensors = read_tensors(self.state_file)
        parts = {"model": {}, "average": {}, "optimizer": {}}
        for name, tensor in tensors.items():
            part, rest = name.split(".", 1)
            parts[part][rest] = tensor
        load_into(self.model, parts["model"], self.state_file)
        load_into(self.average, parts["average"], self.state_file)
        for number, optimizer in enumerate(self.optimizers):
            _load_optimizer(optimizer, f"{number}.", parts["optimizer"])
        facts = json.loads(header["facts"])
        self.step, self.seconds = facts["step"], facts["seconds"]
        if facts["planned"]:
            self.end, self.planned = facts["end"], True
        return [f"{key} was {facts[key]}, is {now}" for key, now in _surroundings().items() if facts[key] != now]

    def _tensors(self):
        named = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        named |= {f"average.{name}": tensor for name, tensor in self.average.state_dict().items()}
        for number, optimizer in enumerate(self.optimizers):
            for index, state in optimizer.state_dict()["state"].items():
                named |= {f"optimizer.{number}.{index}.{name}": tensor for name, tensor in state.items()}
        return named


def _surroundings():
    processes = int(os.environ.get("WORLD_SIZE", 1))
    return {"torch": torch.__version__, "threads": torch.get_num_threads(), "processes": processes}


def _load_optimizer(optimizer, prefix, tensors):
    state = {}
    for name, tensor in tensors.items():
        if name.startswith(prefix):
            index, key = name.removeprefix(prefix).split(".")
            state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    for weight, kept in optimizer.state.items():
        for key, tensor in kept.items():
            if tensor.shape == weight.shape:  # the weight's memory layout, so that the arithmetic is the same
                kept[key] = torch.empty_like(weight).copy_(tensor)


# ---- the recipe --------------------------------------------------------------------------------------------


def claim(folder, recipe, resume, free=()):
    """Make sure that `folder` may hold this run, and write its recipe.json. `free` settings may change.

    Raises UserError if the folder holds another recipe (naming the keys that differ), if it holds this run
    and `resume` is False, or if there is nothing to resume.
    """
    folder, file = Path(folder), Path(folder) / "recipe.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
    except OSError as error:
        raise UserError(f"'{folder}' cannot hold a run: {error.strerror}; name another folder") from error
    except ValueError as error:
        raise UserError(f"'{file}' is damaged: name another folder for this run") from error
    if found is None and resume:
        raise UserError(f"'{folder}' holds no run to resume: leave out --resume, or name the run's own folder")
    if found is not None:
        wrong = _differences(_fixed(found, free), _fixed(recipe, free))
        if wrong:
            more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
            raise UserError(
                f"'{folder}' already holds another recipe: {'; '.join(wrong[:5])}{more}. "
                "Ask for the same values with --resume, or name another folder"
            )
        if not resume:
            raise UserError(f"'{folder}' already holds this run: add --resume to go on, or name another folder")
    write_whole(file, (json.dumps(recipe, indent=1) + "\n").encode())


def _fixed(recipe, free):
    settings = {key: value for key, value in recipe["settings"].items() if key not in free}
    return json.loads(json.dumps(recipe | {"settings": settings}))  # as JSON, where a tuple is a list


def _differences(old, new, path=""):
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return [] if old == new else [f"{path} is {json.dumps(old)} there, {json.dumps(new)} here"]
    keys = {**old, **new}  # in order, each once
    return [
        line
        for key in keys
        for line in _differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    ]


# ---- the log -----------------------------------------------------------------------------------------------


class Log:
    """log.jsonl, from `step` on: lines beyond it, of a sitting that was killed, are dropped."""

    def __init__(self, folder, step):
        self.file = Path(folder) / "log.jsonl"
        kept = [json.dumps(line) + "\n" for line in read_log(self.file) if line["step"] <= step]
        write_whole(self.file, "".join(kept).encode())

    def write(self, **line):
        text = json.dumps(line) + "\n"
        try:
            with open(self.file, "a", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise cannot_write(self.file, len(text), error) from error


def read_log(file):
    """The lines of a log.jsonl as dicts, up to one that was cut short; none if there is no such file."""
    lines = []
    for line in Path(file).read_text(encoding="utf-8").splitlines() if Path(file).exists() else []:
        try:
            lines.append(json.loads(line))
        except ValueError:
            break
    return lines


class Meter:
    """Means since the last line of the log."""

    def __init__(self):
        self.numbers, self.seconds, self.optimizer_seconds = [], 0.0, 0.0

    def add(self, numbers, seconds, optimizer_seconds):
        self.numbers.append(numbers)
        self.seconds += seconds
        self.optimizer_seconds += optimizer_seconds

    def line(self, batch, group):
        """The means, over processes too, with clips per second and the optimizers' share of the time."""
        keys = dict.fromkeys(key for numbers in self.numbers for key in numbers)  # a step may lack some
        columns = [[numbers[key] for numbers in self.numbers if key in numbers] for key in keys]
        means = group.mean([sum(column) / len(column) for column in columns])
        line = dict(zip(keys, means, strict=True))
        line["clips_per_s"] = len(self.numbers) * batch / self.seconds
        line["optimizer_share"] = self.optimizer_seconds / self.seconds
        self.__init__()
        return line
