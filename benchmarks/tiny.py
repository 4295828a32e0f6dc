"""Lesson 10's training, longer or with a piece left out: what becomes of the tiny model?

    python benchmarks/tiny.py [--steps 2000] [--times uniform] [--alike] [--decay 1] [--shift 1] [--out FOLDER]

Trains the `nano` recipe from random weights on cached latents, asks `--n` held-out prompts, and prints how many clips
are entirely right, with the Wilson interval and each attribute alone. What the lesson shows as stored is in
minit2v/lab/assets/tiny.json.
"""

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from minit2v.lab import tiny
from minit2v.metrics import wilson
from minit2v.pipeline import load_vae
from minit2v.recipes import NANO
from minit2v.training import Settings, train


def recipe_of(options, vae):
    """The nano recipe with what the options change."""
    sizes = replace(NANO.denoiser, channels=vae.config.channels)
    return replace(NANO, denoiser=sizes, times=options.times, shift=options.shift)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=NANO.training["steps"])
    parser.add_argument("--times", default=NANO.times)
    parser.add_argument("--shift", type=float, default=NANO.shift)
    parser.add_argument("--alike", action="store_true", help="all latent channels count the same")
    parser.add_argument("--decay", type=float, default=NANO.training["decay"], help="share in which the rate falls")
    parser.add_argument("--vae", default=NANO.vae)
    parser.add_argument("--clips", type=int, default=4000)
    parser.add_argument("--n", type=int, default=192)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--out", help="a folder for the run, which goes on if it is there")
    options = parser.parse_args()
    place, vae = Path(options.out or tempfile.mkdtemp()), load_vae(options.vae, NANO.world)
    cache = tiny.larder(place / "latents", vae, options.clips)
    task = tiny.Unwatched(recipe_of(options, vae), cache, vae)
    task.weight = None if options.alike else task.weight
    how = {name: getattr(options, name) for name in ("steps", "decay", "seed", "bf16")}
    settings = Settings(**NANO.training | how)
    started = time.process_time()
    result = train(task, settings, place / "run", resume=(place / "run").exists())
    trained = time.process_time() - started
    made, score = tiny.exam(result.model, vae, options.n)
    print(json.dumps({
        "steps": options.steps, "clips_seen": options.steps * settings.batch, "right": score["overall"], "n": len(made),
        "interval": wilson(round(score["overall"] * len(made)), len(made)), "attributes": score["attributes"],
        "processor_seconds": round(trained),
    }, indent=1))  # fmt: skip


if __name__ == "__main__":
    main()
