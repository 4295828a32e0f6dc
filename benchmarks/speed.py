"""What saves network passes, and what it costs: adherence, motion and flicker against passes per clip.

    python benchmarks/speed.py [--n 32] [--distill 300] [--out minit2v/lab/assets]

Writes speed.json, which lesson 14 shows. Every way of making a clip gets the same held-out prompts and the same noise.
Of n clips, "right" is the share that shows all that was asked, "asked" the mean share of the attributes that are right,
"motion" the median speed ratio, "flicker" in levels of 255, "apart" the distance of the latents from those of the
recipe's own way, as a share of their size. Bands hold the middle 95 % of 2,000 resamples of the prompts. "change" is
"asked" minus that of the recipe's way, prompt for prompt. `--distill` trains a student so many steps to say with one
pass what guidance says with two, and measures it, too; 0 leaves out what stands there.
"""

import argparse
import json
import math
import random
from pathlib import Path

import numpy as np
import torch

from minit2v import TextToVideo
from minit2v.checkpoints import path_of, sha256
from minit2v.clip import Clip
from minit2v.diffusion import euler, guided, heun, sigmas
from minit2v.evaluation import draw_prompts
from minit2v.evaluation.statistics import band, resampled
from minit2v.lab import distill, prompts, speed
from minit2v.metrics import flicker, speed_ratio
from minit2v.physics import finite_mean
from minit2v.world import captions
from minit2v.world.render import render
from minit2v.world.scenes import sample_meaning, scene

BATCH = 8
LESSONS = 64  # clips that a student learns from, noised anew at every step


def ways(system) -> dict:
    """name: (function of (model, text, null, noise) -> latents, passes of the network for each clip)."""
    scale, shift, steps = system.sampling.guidance, system.sampling.shift, system.sampling.steps
    half = speed.every(2, steps, first=1, last=0)

    def sampled(take, count):
        return lambda m, text, null, x: take(guided(m, text, null, scale), x, sigmas(count, shift))

    def blocks(m, text, null, x):
        with speed.kept_blocks(m.denoiser, half):
            return sampled(euler, steps)(m, text, null, x)

    def sparing(m, text, null, x):
        return euler(speed.sparingly(m, text, null, scale, half), x, sigmas(steps, shift))

    found = {f"euler {n}": (sampled(euler, n), 2 * n) for n in (steps, 1, 2, 4, 8)}
    found["no guidance"] = (lambda m, text, null, x: euler(guided(m, text, null, 1), x, sigmas(steps, shift))), steps
    found["blocks kept, every other step"] = blocks, 2 * len(half)
    found["guidance kept, every other step"] = sparing, steps + len(half)
    return found | {f"heun {n}": (sampled(heun, n), 2 * (2 * n - 1)) for n in (2, 4, 8)}


@torch.no_grad()
def made(system, model, way, asks) -> torch.Tensor:
    """Latents of all prompts; prompt i has seed i."""
    parts = []
    for first in range(0, len(asks), BATCH):
        some = asks[first : first + BATCH]
        text, noise = model.read(some), prompts.noises(system, range(first, first + len(some)))
        parts.append(way(model, text, model.text.null(len(some)), noise))
    return torch.cat(parts)


def rows_of(system, latents, asks) -> dict[str, np.ndarray]:
    """One number per clip, for each figure."""
    found = {"right": [], "asked": [], "motion": [], "flicker": []}
    for i, ask in enumerate(asks):
        clip = Clip(system.decode(latents[i : i + 1])[0], ask)
        found["right"].append(float(all(clip.matches.values())))
        found["asked"].append(finite_mean(list(clip.matches.values())))
        found["motion"].append(speed_ratio(clip.reading.track, clip.meaning))
        found["flicker"].append(flicker(clip.frames, clip.reading.track))
    return {name: np.array(values) for name, values in found.items()}


def summary(rows, base, latents, exact, passes) -> dict:
    """What is stored of a way."""
    told = {"passes": passes, "apart": round(speed.apart(latents, exact), 4)}
    for name, values in rows.items():
        middle = float(np.nanmedian(values)) if name == "motion" else finite_mean(values)
        told[name] = [rounded(middle), *map(rounded, middle_band(name, values))]
    change = rows["asked"] - base["asked"]
    return told | {"change": [rounded(change.mean()), *map(rounded, band(resampled(change)))]}


def middle_band(name, values):
    if name != "motion":
        return band(resampled(values))
    seen = values[np.isfinite(values)]
    drawn = np.random.default_rng(0).choice(seen, (2000, len(seen)))
    return band(np.median(drawn, axis=1))


def rounded(value):
    return round(float(value), 4) if math.isfinite(value) else None


def lessons(system, count: int):
    """Prompts of the training split and their clips' latents, for a student."""
    dice = random.Random(7)
    meanings = [sample_meaning(dice, system.world, "train") for _ in range(count)]
    clips = [render(scene(meaning, i, system.world)) for i, meaning in enumerate(meanings)]
    latents = torch.cat([system.encode(clips[i : i + BATCH]) for i in range(0, count, BATCH)])
    return [captions.phrase(meaning, dice) for meaning in meanings], latents


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=32, help="prompts")
    parser.add_argument("--distill", type=int, default=300, metavar="STEPS", help="of the student; 0: no student")
    parser.add_argument("--out", type=Path, default=Path("minit2v/lab/assets"))
    options = parser.parse_args()
    system = TextToVideo.from_pretrained("sora", device="cpu")
    asks = draw_prompts(options.n, "held-out", system.world)
    result = {
        "command": f"python benchmarks/speed.py --n {options.n} --distill {options.distill}", "n": options.n,
        "weights": sha256(path_of("sora"))[:12], "steps": system.sampling.steps, "ways": {},
    }  # fmt: skip
    base = exact = None
    for name, (way, passes) in ways(system).items():
        latents = made(system, system.model, way, asks)
        rows = rows_of(system, latents, asks)
        base, exact = (rows, latents) if base is None else (base, exact)
        result["ways"][name] = summary(rows, base, latents, exact, passes)
        print(name, json.dumps(result["ways"][name]), flush=True)
        write(result, options.out)
    if options.distill:
        result["student"] = student(system, asks, base, exact, options.distill)
        print("student", json.dumps(result["student"]))
        write(result, options.out)


def write(result: dict, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "speed.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def student(system, asks, base, exact, steps: int) -> dict:
    """Distills guidance, and measures the student as every other way: it makes its clips with one pass per step."""
    said, latents = lessons(system, LESSONS)
    losses: list[float] = []
    learned = distill.distill_guidance(system, latents, said, steps, tell=lambda step, loss: losses.append(loss))
    way, passes = ways(system)["no guidance"]
    ends = made(system, learned, way, asks)
    told = summary(rows_of(system, ends, asks), base, ends, exact, passes)
    every = max(1, steps // 20)
    curve = [rounded(np.mean(losses[i : i + every])) for i in range(0, steps, every)]
    return told | {"steps": steps, "clips": len(said), "loss": curve}


if __name__ == "__main__":
    main()
