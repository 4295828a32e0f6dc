"""May a denoiser be trained on this VAE? What the oracle reads from its reconstructions decides.

    python benchmarks/vae_gate.py [--vae video-vae | FILE.safetensors] [--n 1000] [--split held-out]

Encodes and decodes real clips and prints: the share of reconstructions that are right on all attributes (bar 95 %,
aim 99 %), each attribute alone, how far colors that no word names come back off, as CIELAB distance (bar: median 5),
and flicker as a ratio to the real clips' (bar 1.2), twice: all change between nearby frames (`tremble`), and only what
no motion explains (`metrics.flicker`), of which a clip that was drawn exactly has nearly nothing.
"""

import argparse
import json
import random
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import torch

from minit2v.checkpoints import load_weights
from minit2v.datasets import captioned, wild
from minit2v.metrics import flicker, wilson
from minit2v.pipeline import load_vae
from minit2v.vae import VAE, to_frames, to_pixels
from minit2v.world import captions, scenes
from minit2v.world.oracle import judge, lab, matches
from minit2v.world.render import render, subject_mask


def there_and_back(vae: VAE, frames: np.ndarray) -> np.ndarray:
    return to_frames(vae.decode(vae.encode(to_pixels(frames)[None])))[0]


def tremble(frames: np.ndarray) -> float:
    """mean |I(t) - (I(t-1) + I(t+1)) / 2| over all pixels, levels of 255: flicker, and the world's own motion."""
    clip = frames.astype(np.float32)
    return float(np.abs(clip[1:-1] - (clip[:-2] + clip[2:]) / 2).mean())


def color_errors(vae: VAE, world: scenes.World, count: int) -> list[float]:
    """CIELAB distance between real and reconstructed subjects, plain, in colors that no word names."""
    errors = []
    for index in range(count):
        rng = random.Random(f"color {index}")
        staged = scenes.scene(captions.Meaning("box", size=next(iter(world.sizes))), index, world)
        staged = replace(wild(staged, rng), color=np.array([rng.uniform(0.03, 0.99) for _ in range(3)]))
        frames, inside = render(staged), subject_mask(staged) > 0.999
        back = there_and_back(vae, frames)
        seen = [clip[inside].mean(axis=0) / 255 for clip in (frames, back)]
        errors.append(float(np.linalg.norm(lab(seen[0]) - lab(seen[1]))))
    return errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vae", default="video-vae")
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--split", choices=("held-out", "train"), default="held-out")
    parser.add_argument("--seed", default="gate")
    options = parser.parse_args()
    vae, world = load_vae(options.vae), scenes.WORLDS[load_weights(options.vae)[0]["world"]]
    right, asked, joint, ratios, errors, start = Counter(), Counter(), 0, [], [], time.perf_counter()
    for index in range(options.n):
        text, staged = captioned(f"{options.seed} {index}", world, options.split)
        frames = render(staged)
        back = there_and_back(vae, frames)
        reading = judge(back, world)
        verdict = matches(reading, captions.parse(text))
        joint += all(verdict.values())
        asked.update(verdict.keys())
        right.update(name for name, ok in verdict.items() if ok)
        errors.append(float(((frames / 255.0 - back / 255.0) ** 2).mean()))
        if index < 200 and reading.subject:
            unexplained = flicker(back, reading.track), flicker(frames, judge(frames, world).track)
            ratios.append((*unexplained, tremble(back), tremble(frames)))
    with torch.no_grad():
        colors = color_errors(vae, world, min(100, options.n))
    rebuilt, real, trembling, moving = np.nanmean(np.array(ratios), axis=0)
    print(json.dumps({
        "vae": options.vae, "n": options.n, "split": options.split, "joint": joint / options.n,
        "interval": wilson(joint, options.n),
        "attributes": {name: round(right[name] / asked[name], 4) for name in asked},
        "psnr_db": round(-10 * np.log10(np.mean(errors)), 2),
        "tremble": round(trembling, 3), "tremble_real": round(moving, 3), "tremble_ratio": round(trembling / moving, 3),
        "flicker": round(rebuilt, 3), "flicker_real": round(real, 3), "flicker_ratio": round(rebuilt / real, 3),
        "color_error_median": round(np.median(colors), 2), "color_error_95": round(np.quantile(colors, 0.95), 2),
        "seconds": round(time.perf_counter() - start, 1),
    }, indent=1))  # fmt: skip


if __name__ == "__main__":
    main()
