"""How fast does a long clip forget what it began with? Ways to hand a window on to the next, in one drift curve.

    python benchmarks/drift.py [--system veo] [--frames 129] [--n 16] [--seeds 1] [--out docs]

Writes drift.md, drift.json and pictures/drift.png into the folder `--out`. Every way makes the same `--n` held-out
prompts of that length from the same noise, `--seeds` clips of each; the first window is the same in all. In each second
the subject is held against the clip's own first frame: its color, in CIELAB dE; its identity, the rms of color, size,
outline and texture, each over what one would just not accept; and whether it is still the same (`identity.stayed`).
What is no longer seen counts as 50 dE and 5 tolerances, the most that anything counts. Bands hold the middle 95 % of
2,000 resamples of the prompts. Real clips through the VAE show what a perfect system would reach; beside a frozen clip,
which would never drift, stands the speed ratio.
"""

import argparse
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from minit2v.checkpoints import available
from minit2v.clip import Clip
from minit2v.evaluation import draw_prompts, generate_all, reconstructions
from minit2v.evaluation.statistics import band, resampled
from minit2v.identity import KEPT, TOLERANCE, drift_curves, stayed, typical, whenever_seen
from minit2v.metrics import speed_ratio
from minit2v.physics import finite_mean
from minit2v.pipeline import TextToVideo
from minit2v.request import Sliding
from minit2v.world.captions import parse
from minit2v.world.oracle import judge
from minit2v.world.scenes import STANDARD

WAYS = {
    "the last frame alone": Sliding(1),
    "9 frames, their latents": Sliding(9, carry=True),
    "9 frames, re-encoded": Sliding(9),
    "9 frames, re-encoded, noise 0.1": Sliding(9, 0.1),
    "9 frames, re-encoded, noise 0.3": Sliding(9, 0.3),
}
REAL = "real clips, through the VAE"
LOST = {"color": 50.0, "identity": 5.0}  # dE, tolerances: the most that a frame counts, and what is lost
PANELS = {"color": "color, dE", "identity": "identity, tolerances", "same": "share that is still the same"}
LOOKS = {
    "the last frame alone": ("red", "s", "-"), "9 frames, their latents": ("orange", "D", "-."),
    "9 frames, re-encoded": ("blue", "o", "-"), "9 frames, re-encoded, noise 0.1": ("green", "^", "--"),
    "9 frames, re-encoded, noise 0.3": ("pink", "v", ":"), REAL: ("black", "", "-"),
}  # fmt: skip


# ---- one clip --------------------------------------------------------------------------------------------------


def drift_of(clip: Clip) -> dict[str, np.ndarray]:
    """color, identity and same, in each second of a clip: (seconds,). The first second has the frames 1 to fps."""
    track, meaning = whenever_seen(clip.reading.track), clip.meaning
    curves = drift_curves(clip.frames, track, meaning)
    parts = [slice(start, start + clip.fps) for start in range(1, len(clip.frames), clip.fps)]
    gone = ~track.visible
    color = np.where(gone, LOST["color"], np.minimum(np.nan_to_num(curves["color"]), LOST["color"]))
    units = np.stack([curves[name] / TOLERANCE[name] for name in TOLERANCE])  # (4, t)
    known = np.isfinite(units)
    squares = np.where(known, units, 0) ** 2
    identity = np.sqrt(squares.sum(axis=0) / np.maximum(known.sum(axis=0), 1))
    identity = np.where(gone, LOST["identity"], np.minimum(identity, LOST["identity"]))
    size = meaning.size or judge(clip.frames[: STANDARD.frames], clip.world).size  # as it begins, which all ways share
    same = [stayed(typical(curves, meaning, part), size, (*KEPT, "shape")) for part in parts]
    means = {"color": color, "identity": identity}
    return {name: np.array([curve[part].mean() for part in parts]) for name, curve in means.items()} | {
        "same": np.array(same)
    }


def motion_of(clip: Clip) -> float:
    return speed_ratio(clip.reading.track, clip.meaning, clip.world)


# ---- all of them -----------------------------------------------------------------------------------------------


def summed_up(clips: list[Clip], n: int) -> dict:
    """Clips in the order seeds × prompts -> for each figure its means and bands over the seconds; JSON-able."""
    drifts, found = [drift_of(clip) for clip in clips], {}
    for name in PANELS:
        every = np.stack([drift[name] for drift in drifts], axis=1)  # (seconds, clips)
        prompts = np.stack([every[:, i::n].mean(axis=1) for i in range(n)], axis=1)  # (seconds, prompts)
        bands = [band(draws) for draws in resampled(prompts)]
        found[name] = {"mean": rounded(prompts.mean(axis=1)), "bands": [rounded(ends) for ends in bands]}
    ratio = finite_mean([np.clip(motion_of(clip), -2, 2) for clip in clips])
    return found | {"motion": round(ratio, 4) if math.isfinite(ratio) else None}


def rounded(values) -> list[float]:
    return [round(float(value), 4) for value in values]


def compared(system: TextToVideo, frames: int, n: int, seeds: int, seed: int, steps=None, tell=print) -> dict:
    """What `summed_up` tells, of each way and of real clips."""
    world = replace(system.world, frames=frames)
    prompts = draw_prompts(n, "held-out", world, seed)
    real = reconstructions(system, map(parse, prompts), seed, frames)
    results = {REAL: summed_up([Clip(video, prompt) for video, prompt in zip(real, prompts, strict=True)], n)}
    for way, sliding in WAYS.items():
        clips = generate_all(system, prompts * seeds, seed, steps, frames=frames, sliding=sliding)
        results[way] = summed_up(clips, n)
        tell(f"{way}: {results[way]['same']['mean'][-1]:.2f} are the same in the last second")
    return results


# ---- the page --------------------------------------------------------------------------------------------------


def lines_of(results: dict) -> list[str]:
    """A table for each figure: rows are ways, columns seconds."""
    seconds = len(results[REAL]["color"]["mean"])
    shown = sorted({*(2**power for power in range(1, 10) if 2**power < seconds), seconds})
    lines = []
    for name, title in PANELS.items():
        lines += [f"## {title[0].upper()}{title[1:]}", "", f"| way | {' | '.join(f'{second} s' for second in shown)} |"]
        lines += ["|---" * (len(shown) + 1) + "|"]
        for way, found in results.items():
            ends = ((found[name]["mean"][second - 1], *found[name]["bands"][second - 1]) for second in shown)
            lines.append(f"| {way} | {' | '.join(f'{mean:.2f} ({low:.2f}–{high:.2f})' for mean, low, high in ends)} |")
        lines.append("")
    lines += ["## Speed ratio, mean", "", "| way | over the whole clip |", "|---|---|"]
    moved = {way: found["motion"] for way, found in results.items()}
    return lines + [f"| {way} | {'–' if ratio is None else f'{ratio:.2f}'} |" for way, ratio in moved.items()] + [""]


def draw(results: dict, path: Path) -> None:
    """A panel for each figure: a line for each way over the seconds, bands shaded."""
    from matplotlib.figure import Figure

    from minit2v.lab.page import COLORS

    canvas = Figure(figsize=(11, 4), layout="constrained")
    for panel, (name, title) in zip(canvas.subplots(1, len(PANELS)), PANELS.items(), strict=True):
        for way, found in results.items():
            color, marker, dashes = LOOKS[way]
            low, high = np.array(found[name]["bands"]).T
            seconds = np.arange(1, len(low) + 1)
            panel.fill_between(seconds, low, high, color=COLORS[color], alpha=0.15, lw=0)
            look = dict(color=COLORS[color], marker=marker, linestyle=dashes, ms=4, lw=1.5)
            panel.plot(seconds, found[name]["mean"], label=way, markevery=max(1, len(seconds) // 8), **look)
        panel.set(xlabel="second of the clip", ylabel=title, ylim=(0, None))
        panel.spines[["top", "right"]].set_visible(False)
    handles, labels = panel.get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.savefig(path, dpi=120)


def page_of(command: str, results: dict) -> str:
    last = {way: f"{found['same']['mean'][-1]:.0%}" for way, found in results.items()}
    alt = f"Still the same in the last second: {'; '.join(f'{way} {share}' for way, share in last.items())}."
    told = __doc__.strip().split("\n\n")[-1]
    head = ["# How long clips drift", "", f"`{command}`", "", told, "", f"![{alt}](pictures/drift.png)", ""]
    return "\n".join(head + lines_of(results))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    usual = "veo" if "veo" in available() else "sora"
    parser.add_argument("--system", default=usual, help="default: veo, if it is there")
    parser.add_argument("--frames", type=int, default=129)
    parser.add_argument("--n", type=int, default=16, help="prompts")
    parser.add_argument("--seeds", type=int, default=1, help="clips of each prompt")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--out", type=Path, default=Path("docs"))
    options = parser.parse_args()
    system = TextToVideo.from_pretrained(options.system)
    settings = {name: getattr(options, name) for name in ("frames", "n", "seeds", "seed", "steps")}
    results = compared(system, **settings)
    draw(results, options.out / "pictures" / "drift.png")
    flags = " ".join(f"--{name} {value}" for name, value in settings.items() if value is not None)
    command = f"python benchmarks/drift.py --system {system.name} {flags}"
    (options.out / "drift.md").write_text(page_of(command, results), encoding="utf-8")
    (options.out / "drift.json").write_text(json.dumps(results, indent=1, allow_nan=False), encoding="utf-8")


if __name__ == "__main__":
    main()
