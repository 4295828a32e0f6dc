"""The chapter's four claims, tried: turn one knob of trained weights, and see what happens to the clips.

    python benchmarks/claims.py [--systems sora gen2 pika] [--claims mixing steps] [--n 64] [--seeds 1] [--out docs]

Writes claims.md, claims.json and pictures/claims.png into the folder `--out`. All settings stand in this file, and
stood there before the first run. Every setting makes the same clips, of the same prompts from the same noise: `--n`
prompts, `--seeds` clips of each. Bands hold the middle 95 % of 2,000 resamples of the prompts. A claim is borne out if
Spearman's rank correlation of knob and effect has its sign and at least 0.9, and if the effect's change from one end of
the knob to the other has a band without 0. `--trial` takes three settings of each knob, to see that all of it runs.
"""

import argparse
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from minit2v.checkpoints import available
from minit2v.clip import Clip
from minit2v.evaluation import draw_prompts, draw_sources, generate_all
from minit2v.evaluation.pictures import Source
from minit2v.evaluation.statistics import band, rank_band, rank_correlation, resampled
from minit2v.metrics import flicker, muddiness, speed_ratio, stiffness
from minit2v.physics import finite_mean
from minit2v.pipeline import TextToVideo
from minit2v.request import Given
from minit2v.world.captions import parse
from minit2v.world.render import render
from minit2v.world.scenes import Scene, scene

BAR = 0.9  # of the rank correlation
CONTROLS = 16  # real clips, through the VAE, that the effect is measured on, too


# ---- knobs: what is turned, and the clips that come of it ------------------------------------------------------


def by_mixing(system: TextToVideo, sources: list[Source], strength: float, seed: int) -> list[Clip]:
    system.temporal_strength = strength
    try:
        return generate_all(system, [source.prompt for source in sources], seed)
    finally:
        system.temporal_strength = 1.0


def by_guidance(system: TextToVideo, sources: list[Source], scale: float, seed: int) -> list[Clip]:
    return generate_all(system, [source.prompt for source in sources], seed, guidance=scale)


def by_steps(system: TextToVideo, sources: list[Source], steps: float, seed: int) -> list[Clip]:
    return generate_all(system, [source.prompt for source in sources], seed, steps=int(steps))


def by_hold(system: TextToVideo, sources: list[Source], hold: float, seed: int) -> list[Clip]:
    given = [Given(source.picture, noise=round(1 - hold, 6)) for source in sources]
    return generate_all(system, [source.prompt for source in sources], seed, given=given)


# ---- effects: one number per clip ------------------------------------------------------------------------------


def flickering(clip: Clip) -> float:
    return flicker(clip.frames, clip.reading.track)


def adherence(clip: Clip) -> float:
    return finite_mean(list(clip.matches.values()))


def mud(clip: Clip) -> float:
    return muddiness(clip.frames, clip.reading.track, clip.meaning)


def motion(clip: Clip) -> float:
    return speed_ratio(clip.reading.track, clip.meaning, clip.world)


def stiff(clip: Clip) -> float:
    return stiffness(motion(clip))


# ---- the claims ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Claim:
    """One knob and one effect. sign: +1 if the effect should rise with the knob, -1 if it should fall."""

    title: str
    knob: str
    settings: tuple[float, ...]
    default: float
    turn: Callable
    effect: str
    measure: Callable[[Clip], float]
    sign: int
    systems: tuple[str, ...]
    pictures: bool = False


CLAIMS = {
    "mixing": Claim(
        "Where temporal mixing is weak, clips flicker",
        "temporal strength: 1 as trained, 0 every frame alone", (0.0, 0.25, 0.5, 0.7, 0.8, 0.9, 1.0), 1.0, by_mixing,
        "flicker, levels of 255", flickering, -1, ("sora", "gen2", "gen3"),
    ),
    "guidance": Claim(
        "Where text guidance is weak, clips do not show what was asked",
        "guidance scale: 1 is none, 0 ignores the prompt", (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0), 2.0, by_guidance,
        "share of the asked attributes that are right", adherence, +1, ("sora", "gen2"),
    ),
    "steps": Claim(
        "Where denoising steps are few, motion is muddy",
        "denoising steps", (1, 2, 4, 7, 10, 15, 20, 40), 20, by_steps,
        "muddiness: 0 sharp outlines of what moves, 1 none", mud, -1, ("sora", "gen2"),
    ),
    "hold": Claim(
        "Where a picture holds the clip firmly, motion is stiff",
        "hold on the first frame: 1 minus the noise on it", (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0), 1.0, by_hold,
        "stiffness: 0 moves as asked, 1 stands still", stiff, +1, ("sora", "pika", "pika-unet"), pictures=True,
    ),
    "text": Claim(
        "Where the text steers the clip hard, motion is stiff",
        "guidance scale", (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0), 2.0, by_guidance,
        "stiffness: 0 moves as asked, 1 stands still", stiff, +1, ("sora", "gen2"),
    ),
}  # fmt: skip


# ---- a run -----------------------------------------------------------------------------------------------------


def sources_of(claim: Claim, system: TextToVideo, n: int, seed: int) -> list[Source]:
    """What the clips are made from: held-out prompts, each with the clip that the world shows of it."""
    if claim.pictures:
        return [source for source in draw_sources(2 * n, system.world, seed) if not source.unseen]
    prompts = draw_prompts(n, "held-out", system.world, seed)
    return [source_of(prompt, scene(parse(prompt), seed + i, system.world)) for i, prompt in enumerate(prompts)]


def source_of(prompt: str, staged: Scene) -> Source:
    return Source(prompt, parse(prompt), render(staged), staged.meaning.size, False)


def tried(claim: Claim, system: TextToVideo, n: int, seeds: int, seed: int, settings, tell=print) -> dict:
    """All settings of a claim on one system: a JSON-able result."""
    sources = sources_of(claim, system, n, seed)
    effects, motions = [], []
    for setting in settings:
        clips = claim.turn(system, sources * seeds, setting, seed)
        effects.append(per_prompt([claim.measure(clip) for clip in clips], n))
        motions.append(per_prompt([motion(clip) for clip in clips], n))
        tell(f"{system.name}, {claim.knob.split(':')[0]} {setting:g}: {finite_mean(effects[-1]):.3f}")
    real = [Clip(system.decode(system.encode([source.clip]))[0], source.prompt) for source in sources[:CONTROLS]]
    return result(claim, settings, np.array(effects), np.array(motions)) | {
        "real": _json(finite_mean([claim.measure(clip) for clip in real])),
    }


def per_prompt(values: list[float], n: int) -> np.ndarray:
    """Clips in the order prompts × seeds -> the mean of each prompt's, (n,); nan where none has a value."""
    return np.array([finite_mean(values[i::n]) for i in range(n)])


def result(claim: Claim, settings, effects: np.ndarray, motions: np.ndarray) -> dict:
    """effects, motions (settings, prompts) -> means, bands, correlation and verdict."""
    means, draws = [finite_mean(row) for row in effects], resampled(effects)
    rho, change = rank_correlation(settings, means), draws[-1] - draws[0]
    low, high = band(change)
    moved = [float(np.median(row[np.isfinite(row)])) if np.isfinite(row).any() else math.nan for row in motions]
    return {
        "settings": [float(setting) for setting in settings],
        "effect": [_json(mean) for mean in means],
        "bands": [[_json(end) for end in band(row)] for row in draws],
        "motion": [_json(value) for value in moved],
        "rho": _json(rho), "rho_band": [_json(end) for end in rank_band(settings, effects)],
        "change": _json(means[-1] - means[0]), "change_band": [_json(low), _json(high)],
        "borne_out": bool(claim.sign * rho >= BAR and (low > 0 or high < 0)),
    }  # fmt: skip


def _json(value: float) -> float | None:
    return round(float(value), 4) if math.isfinite(value) else None


# ---- the page --------------------------------------------------------------------------------------------------


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def span(ends) -> str:
    return f"{number(ends[0])} to {number(ends[1])}"


def verdict(claim: Claim, found: dict) -> str:
    """What the measurement says, in a sentence."""
    way, sign = ("rises", "+") if claim.sign > 0 else ("falls", "-")
    how = f"ρ = {number(found['rho'])} (band {span(found['rho_band'])})"
    change = f"from the first setting to the last it changes by {number(found['change'])}"
    seen = f"{how}, and {change} (band {span(found['change_band'])})."
    if found["borne_out"]:
        return f"**Borne out**: the effect {way} with the knob, {seen}"
    return f"**Not borne out**: if the effect {way} with the knob, ρ is beyond {sign}{BAR:g}. Measured: {seen}"


def lines_of(claim: Claim, results: dict[str, dict], missing: list[str]) -> list[str]:
    lines = [f"## {claim.title}", ""]
    for name, found in results.items():
        lines += [f"`{name}`. {verdict(claim, found)}", ""]
        lines += [f"| {claim.knob} | {claim.effect} | band | median speed ratio |", "|---|---|---|---|"]
        columns = (found[key] for key in ("settings", "effect", "bands", "motion"))
        for setting, effect, ends, moved in zip(*columns, strict=True):
            mark = " (default)" if setting == claim.default else ""
            lines.append(f"| {setting:g}{mark} | {number(effect)} | {span(ends)} | {number(moved)} |")
        lines += [f"| real clips, through the VAE | {number(found['real'])} | | |", ""]
    return lines + ([f"No weights yet: {', '.join(missing)}.", ""] if missing else [])


def draw(results: dict[str, dict[str, dict]], path: Path) -> None:
    """One panel per claim: the effect over the knob, with bands; dotted: the default, and the level of real clips."""
    from matplotlib.figure import Figure

    from minit2v.lab.page import COLORS

    looks = {
        "sora": ("blue", "o", "-"), "gen2": ("red", "s", "--"), "gen3": ("orange", "^", "-."),
        "pika": ("green", "v", ":"), "pika-unet": ("pink", "P", "--"),
    }  # fmt: skip
    columns = min(3, len(results))
    rows = -(-len(results) // columns)
    canvas = Figure(figsize=(3.6 * columns, 3.3 * rows), layout="constrained")
    panels = [canvas.add_subplot(rows, columns, place + 1) for place in range(len(results))]
    for panel, (key, found) in zip(panels, results.items(), strict=True):
        claim = CLAIMS[key]
        for name, one in found.items():
            color, marker, dashes = looks.get(name, ("black", "D", "-"))
            low, high = (np.array([ends[i] for ends in one["bands"]], dtype=float) for i in (0, 1))
            xs, ys = one["settings"], np.array(one["effect"], dtype=float)
            panel.fill_between(xs, low, high, color=COLORS[color], alpha=0.2, lw=0)
            panel.plot(xs, ys, color=COLORS[color], marker=marker, linestyle=dashes, label=name, ms=4)
            if one["real"] is not None:
                panel.axhline(one["real"], color=COLORS[color], linestyle=(0, (1, 3)), lw=1)
        panel.axvline(claim.default, color="#777777", linestyle=":", lw=1)
        panel.set_title(claim.title.replace(", ", ",\n"), fontsize=8)
        panel.set_xlabel(claim.knob.replace(": ", ":\n"), fontsize=8)
        panel.set_ylabel(claim.effect.replace(": ", ":\n"), fontsize=8)
        panel.tick_params(labelsize=8)
        panel.spines[["top", "right"]].set_visible(False)
        if found:
            panel.legend(frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.savefig(path, dpi=120)


def page_of(command: str, results: dict, missing: dict[str, list[str]]) -> str:
    told = __doc__.strip().split("\n\n")[-1]
    borne = sum(found["borne_out"] for some in results.values() for found in some.values())
    total = sum(map(len, results.values()))
    alt = f"The effect over the knob, a panel for each claim; {borne} of {total} trials bear their claim out."
    page = [
        "# The chapter's four claims, tried", "", f"`{command}`", "", told, "",
        f"![{alt}](pictures/claims.png)", "",
        "Shaded: bands. Dotted upright: the default. Dotted level: real clips through the system's VAE.", "",
    ]  # fmt: skip
    for key, found in results.items():
        page += lines_of(CLAIMS[key], found, missing[key])
    return "\n".join(page)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--systems", nargs="+", help="names or weights; default: those that a claim names")
    parser.add_argument("--claims", nargs="+", choices=CLAIMS, default=list(CLAIMS))
    parser.add_argument("--n", type=int, default=64, help="prompts")
    parser.add_argument("--seeds", type=int, default=1, help="clips of each prompt")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("docs"))
    parser.add_argument("--trial", action="store_true", help="three settings of each knob")
    options = parser.parse_args()
    results, missing, load = {}, {}, cache(TextToVideo.from_pretrained)
    for key in options.claims:
        claim = CLAIMS[key]
        names = options.systems or claim.systems
        there = [name for name in names if options.systems or name in available()]
        missing[key], results[key] = [name for name in names if name not in there], {}
        settings = claim.settings[:: (len(claim.settings) - 1) // 2] if options.trial else claim.settings
        for name in there:
            found = tried(claim, load(name), options.n, options.seeds, options.seed, settings)
            results[key][load(name).name] = found
    options.out.mkdir(parents=True, exist_ok=True)
    draw(results, options.out / "pictures" / "claims.png")
    flags = [f"--{name} {getattr(options, name)}" for name in ("n", "seeds", "seed")]
    flags += ["--systems", *dict.fromkeys(load(name).name for name in options.systems)] if options.systems else []
    flags += ["--claims", *options.claims] if len(options.claims) < len(CLAIMS) else []
    command = " ".join(["python benchmarks/claims.py", *flags, *(["--trial"] if options.trial else [])])
    (options.out / "claims.md").write_text(page_of(command, results, missing), encoding="utf-8")
    (options.out / "claims.json").write_text(json.dumps(results, indent=1, allow_nan=False), encoding="utf-8")
    for key, some in results.items():
        for name, found in some.items():
            print(f"{key}, {name}: ρ {number(found['rho'])}, {'borne out' if found['borne_out'] else 'not borne out'}")


if __name__ == "__main__":
    main()
