"""How often the oracle is right on real clips: python benchmarks/oracle_accuracy.py --n 1000 [--world nano]

A clip counts as right when every attribute that its prompt fixes is read correctly. `--worn` blurs, tints,
quantizes and adds noise to the frames first, as a video codec or a VAE would.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter

import numpy as np
from scipy import ndimage

from minit2v.world import captions, oracle, render, scenes


def wear(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blur of 0.7 px, a color shift of up to 0.03, noise of 0.02, and cosine coefficients in steps of 0.04."""
    video = ndimage.gaussian_filter(frames / 255.0, (0, 0.7, 0.7, 0)) + rng.uniform(-0.03, 0.03, 3)
    video = video + rng.normal(0, 0.02, video.shape)
    return (np.clip(_quantize(video), 0, 1) * 255 + 0.5).astype(np.uint8)


def _quantize(video: np.ndarray, block: int = 8, step: float = 0.04) -> np.ndarray:
    from scipy.fft import dctn, idctn

    frames, height, width, _ = video.shape
    blocks = video.reshape(frames, height // block, block, width // block, block, 3)
    coefficients = dctn(blocks, axes=(2, 4), norm="ortho")
    return idctn(np.round(coefficients / step) * step, axes=(2, 4), norm="ortho").reshape(video.shape)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--world", choices=("standard", "nano"), default="standard")
    parser.add_argument("--split", choices=("held-out", "train", "all"), default="held-out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--worn", action="store_true", help="blur, tint, quantize and add noise first")
    parser.add_argument("--save", help="folder for a picture of each clip that is read wrongly")
    options = parser.parse_args()
    world = {"standard": scenes.STANDARD, "nano": scenes.NANO}[options.world]
    rng, noise = random.Random(options.seed), np.random.default_rng(options.seed)

    right, total, confusions, joint, seconds = Counter(), Counter(), Counter(), 0, 0.0
    for i in range(options.n):
        meaning = scenes.sample_meaning(rng, world, options.split)
        frames = render.render(scenes.scene(meaning, i, world))
        frames = wear(frames, noise) if options.worn else frames
        start = time.process_time()
        reading = oracle.judge(frames, world)
        seconds += time.process_time() - start if i else 0.0  # the first call fills the caches
        verdict = oracle.matches(reading, meaning)
        total.update(verdict.keys())
        right.update(name for name, ok in verdict.items() if ok)
        joint += all(verdict.values())
        for name in (name for name, ok in verdict.items() if not ok):
            confusions[name, getattr(meaning, name), getattr(reading, name)] += 1
        if not all(verdict.values()):
            print(
                f"{i:5d} {captions.phrase(meaning)!r} read as {reading.sentence()!r}, residual {reading.residual:.2f}"
            )
            if options.save:
                from PIL import Image

                Image.fromarray(np.concatenate(list(frames), axis=1)).save(f"{options.save}/{i:05d}.png")

    print(f"\n{'attribute':12} {'right':>6} {'of':>6} {'share':>8}")
    for name in total:
        print(f"{name:12} {right[name]:6d} {total[name]:6d} {right[name] / total[name]:8.4f}")
    print(f"{'joint':12} {joint:6d} {options.n:6d} {joint / options.n:8.4f}")
    print(f"{seconds / max(options.n - 1, 1) * 1000:.1f} ms per clip")
    for (name, true, read), count in confusions.most_common(20):
        print(f"{count:4d} x {name}: {true} read as {read}")


if __name__ == "__main__":
    main()
