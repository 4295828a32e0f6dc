"""All systems side by side: the same held-out prompts and seeds, every figure that the course has.

    python benchmarks/systems.py [--systems sora gen2 …] [--n 200] [--out docs]

Writes systems.md, systems.json and pictures/system-NAME.png into the folder `--out`. Systems whose figures stand in
systems.json already, of the same weights, prompts and seeds, are not measured again, unless `--again` says so.

Of `--n` prompts each: adherence is the share of clips that are right on all attributes, with its Wilson interval.
Flicker is over that of real clips through the system's own VAE; drift (tolerances) and roughness (px/frame³) are in
excess of theirs. Single frames: the share of frames that, each looked at alone, show the right subject, color and
texture. Permanence: of a fifth as many prompts with a pillar, the share in which the same subject comes out where its
motion leads. Camera: the share that do as the camera command says. Physics: the share within all laws that apply.
Seconds are those of one clip in batches of 16 on this machine; FLOPs are counted by formula, from the text to the last
frame. Parameters are those of text encoder and denoiser, and of the VAE. Training is what the checkpoint's card says of
its last run. Systems that start from a picture get the first frame of the prompt's own scene.
"""

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from bars import LONG, bar_lines, number
from gallery import write_sheet

from minit2v.checkpoints import FOLDER, available, path_of, sha256
from minit2v.cost.words import human
from minit2v.evaluation import draw_prompts, evaluate, evaluate_pictures
from minit2v.evaluation.work import flops_of
from minit2v.lasting import frame_adherence
from minit2v.physics import finite_mean
from minit2v.pipeline import TextToVideo
from minit2v.request import Given
from minit2v.world.captions import parse
from minit2v.world.render import render
from minit2v.world.scenes import scene

SHEET = 12  # clips on a contact sheet


@dataclass(frozen=True)
class Row:
    """A line of the table: a checkpoint, and how it is used."""

    name: str
    weights: str
    temporal: float = 1.0  # temporal strength
    picture: bool = False  # starts from a picture
    long: bool = False  # also measured on clips of LONG frames


ROWS = [
    Row("sora", "sora"), Row("gen2", "gen2"), Row("gen2, temporal layers off", "gen2", temporal=0.0),
    Row("gen3", "gen3"), Row("pika", "pika", picture=True), Row("pika-unet", "pika-unet", picture=True),
    Row("veo", "veo", long=True),
]  # fmt: skip


# ---- what the training cost -----------------------------------------------------------------------------------------


def training_of(weights: str) -> dict:
    """What the card tells of the training run: steps, clips, minutes, machine; {} without a card."""
    card = FOLDER / f"{weights}.json"
    facts = json.loads(card.read_text(encoding="utf-8")) if card.is_file() else {}
    if "steps" not in facts:
        return {}
    clips = facts["steps"] * facts["settings"]["batch"]
    return {"steps": facts["steps"], "clips": clips, "minutes": facts["minutes"], "machine": facts["machine"]}


# ---- one row ---------------------------------------------------------------------------------------------------


def measured(row: Row, system: TextToVideo, n: int, seed: int, out: Path, tell=print) -> dict:
    """All figures of a row, JSON-able; its contact sheet is written."""
    prompts = draw_prompts(n, "held-out", system.world, seed)
    pillars = draw_prompts(max(2, n // 5), "held-out", system.world, seed, pillar=True)
    if row.temporal != 1:
        system.temporal_strength = row.temporal
    try:
        about = dict(most_controls=min(n, 50), tell=tell)
        figures, clips = evaluate(system, prompts, seed, **about, **starts(row, system, prompts, seed))
        passed, _ = evaluate(system, pillars, seed, **about, **starts(row, system, pillars, seed))
        found = figures_of(figures, passed)
        alone = [frame_adherence(clip.frames, clip.meaning, system.world) for clip in clips]
        found["single_frames"] = finite_mean(alone) if np.isfinite(alone).any() else None
        write_sheet(clips[:SHEET], out / "pictures" / f"system-{file_name(row)}.png")
        given = starts(row, system, prompts[:1], seed).get("given", ())
        found["flops"] = round(finite_mean([flops_of(system, prompt, given=given) for prompt in prompts]))
        found |= {"parameters": size(system.model), "vae_parameters": size(system.vae)}
        if row.long:
            found["long"] = long_figures(system, n, seed, tell)
        if row.picture:
            found["pictures"] = picture_figures(system, n, seed, tell)
    finally:
        if row.temporal != 1:
            system.temporal_strength = 1.0
    return found | {"training": training_of(row.weights)}


def starts(row: Row, system: TextToVideo, prompts: list[str], seed: int) -> dict:
    """The first frames of the prompts' own scenes, for systems that start from a picture."""
    if not row.picture:
        return {}
    scenes = (scene(parse(prompt), seed + i, system.world) for i, prompt in enumerate(prompts))
    return {"given": [Given(render(one)[:1]) for one in scenes]}


def figures_of(figures: dict, passed: dict) -> dict:
    """The columns, out of two reports: of all prompts, and of those with a pillar."""
    drift, rough = figures["identity_drift"], figures["motion"]["parts"]["roughness"]
    said = figures["adherence"]
    return {
        "adherence": said["overall"], "interval": said["interval"], "attributes": said["attributes"],
        "flicker": figures["flicker"]["value"], "flicker_ratio": figures["flicker"]["ratio"],
        "drift": drift["value"], "drift_excess": beyond(drift), "roughness_excess": beyond(rough),
        "motion": figures["motion"]["value"], "muddiness": figures["motion"]["parts"]["muddiness"]["value"],
        "permanence": passed["permanence"]["value"], "pillars": passed["permanence"]["n"],
        "camera": figures["camera"]["value"], "physics": figures["physics"]["value"], "seconds": figures["seconds"],
    }  # fmt: skip


def beyond(figure: dict) -> float | None:
    """How far a figure lies above that of real clips."""
    value, real = figure["value"], figure["controls"]["real"]
    return None if value is None or real is None else value - real


def long_figures(system: TextToVideo, n: int, seed: int, tell=print) -> dict:
    prompts = draw_prompts(n, "held-out", replace(system.world, frames=LONG), seed)
    figures, _ = evaluate(system, prompts, seed, most_controls=min(n, 20), tell=tell, frames=LONG)
    names = {"held": figures["held"], "camera": figures["camera"], "motion": figures["motion"]}
    return {name: figure["value"] for name, figure in names.items()} | {
        "n": n, "seconds": figures["seconds"], "held_real": figures["held"]["controls"]["real"],
    }  # fmt: skip


def picture_figures(system: TextToVideo, n: int, seed: int, tell=print) -> dict:
    figures, _ = evaluate_pictures(system, min(n, 100), seed, most_controls=min(n, 20), tell=tell)
    kept = figures["kept"]
    unseen = kept["parts"]["unseen"]["value"]
    return {"n": kept["n"], "kept": kept["value"], "unseen": unseen, "motion": figures["motion"]["value"],
            "first_frame": figures["first_frame"]}  # fmt: skip


def size(module) -> int:
    return sum(weight.numel() for weight in module.parameters())


def file_name(row: Row) -> str:
    return row.name.replace(", ", "-").replace(" ", "-")


# ---- the page --------------------------------------------------------------------------------------------------

COLUMNS = {
    "adherence": lambda f: f"{number(f['adherence'])} ({number(f['interval'][0])}–{number(f['interval'][1])})",
    "flicker ratio": lambda f: number(f["flicker_ratio"]),
    "drift": lambda f: number(f["drift_excess"]),
    "roughness": lambda f: number(f["roughness_excess"]),
    "speed ratio": lambda f: number(f["motion"]),
    "single frames": lambda f: number(f["single_frames"]),
    "permanence": lambda f: f"{number(f['permanence'])} of {f['pillars']}",
    "camera": lambda f: number(f["camera"]),
    "physics": lambda f: number(f["physics"]),
    "seconds": lambda f: number(f["seconds"]),
    "FLOPs": lambda f: human(f["flops"], "FLOP"),
    "parameters": lambda f: f"{f['parameters'] / 1e6:.2f} M + {f['vae_parameters'] / 1e6:.2f} M",
    "training": lambda f: trained(f["training"]),
}


NONE = ["no weights yet", *[""] * (len(COLUMNS) - 1)]


def trained(run: dict) -> str:
    return f"{run['minutes']:.0f} min, {run['clips']:,} clips" if run else "–"


def extra_lines(results: dict) -> list[str]:
    lines = []
    for name, found in results.items():
        if "long" in found:
            more = found["long"]
            lines.append(
                f"- `{name}`, {more['n']} clips of {LONG} frames: identity held at the last frame "
                f"{number(more['held'])} (real clips through the VAE {number(more['held_real'])}), camera "
                f"{number(more['camera'])}, speed ratio {number(more['motion'])}, {number(more['seconds'])} s a clip."
            )
        if "pictures" in found:
            more, first = found["pictures"], found["pictures"]["first_frame"]
            lines.append(
                f"- `{name}`, {more['n']} unseen pictures: kept {number(more['kept'])}, of those with looks outside "
                f"the training set {number(more['unseen'])}; speed ratio {number(more['motion'])}. First frame's error "
                f"{number(first['total'])} levels: VAE {number(first['vae'])}, model {number(first['model'])}."
            )
    return lines


def page_of(command: str, results: dict) -> str:
    told = __doc__.strip().split("\n\n")[-1]
    page = ["# Systems, side by side", "", f"`{command}`", "", told, ""]
    page += [f"| system | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for row in ROWS:
        found = results.get(row.name)
        cells = [column(found) for column in COLUMNS.values()] if found else NONE
        page.append(f"| {row.name} | {' | '.join(cells)} |")
    total = sum(path.stat().st_size for path in FOLDER.glob("*.safetensors")) / 1e6
    weigh = f"All committed weights together: {total:.1f} MB; the bar is 60 MB."
    page += ["", *extra_lines(results), "", "## Bars", "", *bar_lines(results), "", weigh, ""]
    for row in ROWS:
        if row.name in results:
            alt = f"The first {SHEET} clips of {row.name}, unselected, with the oracle's verdict."
            page += [f"## {row.name}", "", f"![{alt}](pictures/system-{file_name(row)}.png)", ""]
    return "\n".join(page)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--systems", nargs="+", choices=[row.name for row in ROWS], help="default: all")
    parser.add_argument("--weights", nargs="+", default=[], metavar="NAME=FILE", help="in place of committed ones")
    parser.add_argument("--n", type=int, default=200, help="prompts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("docs"))
    parser.add_argument("--again", action="store_true", help="measure all of them anew")
    options = parser.parse_args()
    files = dict(pair.split("=", 1) for pair in options.weights)
    store = options.out / "systems.json"
    results = json.loads(store.read_text(encoding="utf-8")) if store.is_file() else {}
    for row in ROWS:
        weights = files.get(row.weights, row.weights)
        if row.weights not in files and row.weights not in available():
            results.pop(row.name, None)
            continue
        made = {"n": options.n, "seed": options.seed, "sha256": sha256(path_of(weights))}
        known = results.get(row.name, {}).get("made") == made
        if (options.systems and row.name not in options.systems) or (known and not options.again):
            continue
        print(f"{row.name} …", flush=True)
        system = TextToVideo.from_pretrained(weights)
        results[row.name] = measured(row, system, options.n, options.seed, options.out) | {"made": made}
        store.parent.mkdir(parents=True, exist_ok=True)
        store.write_text(json.dumps(results, indent=1, allow_nan=False), encoding="utf-8")
    results = {row.name: results[row.name] for row in ROWS if row.name in results}
    alike = {"n": options.n, "seed": options.seed}  # no row of other prompts beside them
    results = {name: found for name, found in results.items() if alike.items() <= found["made"].items()}
    command = f"python benchmarks/systems.py --n {options.n} --seed {options.seed}"
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "systems.md").write_text(page_of(command, results), encoding="utf-8")
    print("\n".join(bar_lines(results)))


if __name__ == "__main__":
    main()
