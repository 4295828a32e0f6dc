"""The card beside each checkpoint: what it is, how it was made, how good it is. NAME.json holds the facts, NAME.md
shows them, so that both can be made again, compared and tested."""

import json
import math
import os
import platform
import subprocess
import sys
from pathlib import Path

import torch

from minit2v.checkpoints import read_tensors, sha256
from minit2v.files import write_whole
from minit2v.runs import read_log

BARS = "▁▂▃▄▅▆▇█"


def write_card(path, run=None, command="", scores=None, about="", machine=None):
    """Write NAME.json and NAME.md beside the weights NAME.safetensors. Returns the facts.

    `run` is the training run's folder (recipe.json, log.jsonl), `command` what a person types to repeat it,
    `scores` measured results, {name: number, or a dict of such}, `about` a sentence or two, `machine` its
    description if the training ran elsewhere.
    """
    path = Path(path)
    header, tensors = read_tensors(path)
    facts = {
        "name": path.stem,
        "about": about,
        "command": command,
        "machine": machine or this_machine(),
        "torch": torch.__version__,
        "parameters": sum(tensor.numel() for tensor in tensors.values()),
        "bytes": path.stat().st_size,
        "sha256": sha256(path),
        "config": json.loads(header["config"]),
        **(_training(Path(run)) if run else {}),
        "scores": scores or {},
    }
    write_whole(path.with_suffix(".json"), (json.dumps(facts, indent=1, ensure_ascii=False) + "\n").encode())
    write_whole(path.with_suffix(".md"), card(facts).encode())
    return facts


def _training(run):
    """Seed, steps, minutes and the loss curve, thinned to at most 48 points, of a run's folder."""
    recipe = json.loads((run / "recipe.json").read_text(encoding="utf-8"))
    lines = [line for line in read_log(run / "log.jsonl") if "loss" in line]
    return {
        "seed": recipe["settings"]["seed"],
        "steps": lines[-1]["step"],
        "minutes": round(lines[-1]["seconds"] / 60, 1),
        "settings": recipe["settings"],
        "loss": thinned([(line["step"], line["loss"]) for line in lines], 48),
    }


def thinned(curve, most):
    """At most `most` points of a curve [(step, value), …]: each the last step and the mean value of a stretch."""
    size = -(-len(curve) // most)
    stretches = [curve[i : i + size] for i in range(0, len(curve), size)]
    return [[part[-1][0], float(f"{sum(value for _, value in part) / len(part):.4g}")] for part in stretches]


def sparkline(values):
    """A curve in one line of text, from its lowest value ▁ to its highest █."""
    low, high = min(values), max(values)
    return "".join(BARS[round((value - low) / ((high - low) or 1) * (len(BARS) - 1))] for value in values)


def card(facts):
    """The card's text (Markdown) from its facts alone."""
    size = f"{facts['parameters'] / 1e6:.2f} M parameters, {facts['bytes'] / 1e6:.1f} MB"
    lines = [f"# {facts['name']}", "", f"{facts['about']}\n" if facts["about"] else None]
    lines += [f"- Size: {size}, fp16", f"- SHA-256: `{facts['sha256']}`"]
    if facts["command"]:
        lines.append(f"- Command: `{facts['command']}`")
    if "steps" in facts:
        lines.append(f"- Training: seed {facts['seed']}, {facts['steps']:,} steps, {facts['minutes']} minutes")
    lines += [f"- Machine: {facts['machine']}; torch {facts['torch']}", ""]
    if facts["scores"]:
        lines += ["## Measured", "", "| what | value |", "|---|---|"]
        lines += [f"| {name} | {value} |" for name, value in _flat(facts["scores"])] + [""]
    if "loss" in facts:
        lines += _curve(facts["loss"])
    lines += ["## Config", "", "```json", json.dumps(facts["config"], ensure_ascii=False), "```", ""]
    if "settings" in facts:
        lines += ["## Training settings", "", "```json", json.dumps(facts["settings"]), "```", ""]
    return "\n".join(line for line in lines if line is not None)


def _curve(loss):
    every = max(1, len(loss) // 8)
    shown = loss[::-1][::every][::-1]  # the last one always
    table = [f"| {step:,} | {value:.4g} |" for step, value in shown]
    heights = [math.log(max(value, 1e-9)) for _, value in loss]  # or the first steps would flatten the rest
    return ["## Loss", "", f"`{sparkline(heights)}` (log scale)", "", "| step | loss |", "|---|---|", *table, ""]


def _flat(scores, path=""):
    for name, value in scores.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{path}{name}, ")
        else:
            yield path + name, f"{value:.4g}" if isinstance(value, float) else value


def this_machine():
    """Such as "AMD EPYC, 2 cores, Linux": the processor, the cores this process may use, the system."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if torch.cuda.is_available():
        return f"{torch.cuda.get_device_name()}, {cores} cores, {platform.system()}"
    return f"{_processor()}, {cores} cores, {platform.system()}"


def _processor():
    if Path("/proc/cpuinfo").exists():
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    if sys.platform == "darwin":
        told = subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True)
        return told.stdout.strip() or platform.machine()
    return platform.processor() or platform.machine()
