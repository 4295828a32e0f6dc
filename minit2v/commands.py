"""What the commands of `minit2v.cli` do. Each gets the parsed options and imports what it needs when it is needed."""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path

from minit2v.errors import UserError, nearest

LONGEST_WORLD = 1000  # frames that `world` draws, and `judge` reads

# ---- progress and results ----------------------------------------------------------------------------------


class Progress:
    """What is going on, on stderr: one line that changes on a terminal, elsewhere a line now and then."""

    def __init__(self):
        self.live, self.last, self.shown = sys.stderr.isatty(), 0.0, False

    def __call__(self, text: str) -> None:
        if self.live:
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
            self.shown = True
        elif time.monotonic() > self.last + 10:
            print(text, file=sys.stderr, flush=True)
            self.last = time.monotonic()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def answer(options, facts: dict, lines: list[str]) -> None:
    """Prints `facts` as JSON, or else `lines`."""
    print(json.dumps(facts, ensure_ascii=False, allow_nan=False) if options.json else "\n".join(lines))


def in_lines(rows: dict) -> list[str]:
    """Two columns."""
    width = max(map(len, rows))
    return [f"{name:<{width}}  {value}" for name, value in rows.items()]


def clip_facts(clip, paths: list[Path]) -> dict:
    """What `generate` and `world` tell about a clip. `path` is the first of `paths`."""
    t, h, w, _ = clip.frames.shape
    return {
        "path": str(paths[0]) if paths else None, "paths": [str(path) for path in paths], "prompt": clip.prompt,
        "system": clip.system, "frames": t, "height": h, "width": w, "fps": clip.fps, "seed": clip.seed,
    }  # fmt: skip


def seen(clip) -> dict:
    """Rows about what the judge sees."""
    rows = {"the judge sees": clip.reading.sentence()}
    wrong = [name for name, right in clip.matches.items() if not right]
    if clip.matches:
        rows["as asked"] = "yes, all of it" if not wrong else f"no: {', '.join(wrong)}"
    return rows


def outputs(options, text: str) -> list[Path]:
    """Where to write, checked; without --out, outputs/<the prompt>.mp4."""
    from minit2v.clip import check_place
    from minit2v.world.captions import words

    if options.out:
        paths = [Path(out) for out in options.out]
    else:
        try:
            Path("outputs").mkdir(exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot make the folder 'outputs' here: {error.strerror}; name a file by --out") from error
        paths = [Path("outputs", "-".join(words(text))[:80] + ".mp4")]
    for path in paths:
        check_place(path)
    return paths


# ---- commands ----------------------------------------------------------------------------------------------


def generate(options) -> None:
    from minit2v.world import captions

    prompt = " ".join(options.prompt)
    captions.parse(prompt)  # what is wrong with the words is told before anything heavy is loaded
    paths = outputs(options, prompt)
    with Progress() as tell:
        tell("loading the system")
        system = _load(options)
        given, notes = _given(options, system)
        numbers = options.frames, options.steps, options.guidance
        request = system.request([prompt], [options.seed], *numbers, [given] if given else ())
        steps = request.steps * len(request.windows)
        clip = system.generate(
            prompt, *numbers, options.seed, given=given,
            on_step=lambda i, *_: tell(f"step {i + 1} of {steps}"),
        )  # fmt: skip
        for path in paths:
            clip.save(path)
    seconds = {"seconds": round(clip.seconds, 3), "load_seconds": round(system.load_seconds, 3)}
    facts = clip_facts(clip, paths) | {"steps": clip.steps, "guidance": clip.guidance, **seconds}
    facts |= {"notes": notes} if given else {}
    told = {"pictures": "; ".join(notes)} if notes else {}
    rows = {"prompt": prompt} | told | seen(clip) | {"saved": ", ".join(map(str, paths))}
    rows["took"] = f"{clip.seconds:.1f} s, and {system.load_seconds:.1f} s to load the weights"
    answer(options, facts | {"oracle": clip.oracle()}, in_lines(rows))


def _given(options, system):
    """The pictures that a clip is to begin and end with, or None, and what is to be said of them."""
    from minit2v.pictures import read_picture
    from minit2v.pipeline import Given

    parts, notes = {}, []
    for part, file in (("first", options.image), ("last", options.last_image)):
        if file is not None:
            picture = read_picture(file, system.world.height, system.world.width, options.fit)
            parts[part] = picture.frames
            notes += [f"{file}: {note}" for note in (*picture.notes, *system.doubts(picture.frames))]
    if not parts and options.image_noise:
        raise UserError(f"--image-noise {options.image_noise:g}: there is no picture; give one by --image")
    return (Given(**parts, noise=options.image_noise) if parts else None), notes


def _load(options):
    from minit2v.pipeline import TextToVideo

    return TextToVideo.from_pretrained(options.system, options.vae)


def evaluate(options) -> None:
    from minit2v.evaluation.command import answered

    with Progress() as tell:
        facts, lines = answered(options, _load, tell)
    answer(options, facts, in_lines(lines))


def world(options) -> None:
    import numpy as np

    from minit2v.clip import Clip
    from minit2v.world import captions
    from minit2v.world.render import render
    from minit2v.world.scenes import scene

    caption = " ".join(options.caption)
    place = _of_length(_find_world(options.world), options.frames)
    staged = scene(captions.parse(caption), options.seed, place)
    paths = outputs(options, caption) if options.out else []
    clip = Clip(render(staged), caption, place.fps, "world", options.seed, world=place)
    for path in paths:
        clip.save(path)
    both = {"first": 0, "last": -1}
    truth = {
        "position": {name: np.round(staged.screen_position[t], 2).tolist() for name, t in both.items()},
        "width": {name: round(float(staged.screen_width[t]), 2) for name, t in both.items()},
        "camera": {name: np.round(staged.camera[t], 2).tolist() for name, t in both.items()},
        "zoom": {name: round(float(staged.zoom[t]), 4) for name, t in both.items()},
        "color": (255 * staged.color).round().astype(int).tolist(),
        "background": staged.background,
        "shadow": staged.shadow.tolist(),
        "pillar": staged.pillar,
    }
    meaning = {name: value for name, value in vars(staged.meaning).items()}
    facts = clip_facts(clip, paths) | {"meaning": meaning, "truth": truth, "oracle": clip.oracle()}
    start, end = (", ".join(f"{value:.0f}" for value in truth["position"][name]) for name in both)
    rows = {"caption": caption, "the truth": f"from ({start}) to ({end}) px on {staged.background} ground"} | seen(clip)
    answer(options, facts, in_lines(rows | ({"saved": ", ".join(map(str, paths))} if paths else {})))


def _of_length(place, frames: int | None):
    from dataclasses import replace

    if frames is not None and not 1 <= frames <= LONGEST_WORLD:
        raise UserError(f"--frames {frames}: give a number from 1 to {LONGEST_WORLD}; {place.frames} is the default")
    return place if frames is None else replace(place, frames=frames)


def _find_world(name: str | None, frames=None):
    """The world of that name; without one, the one whose clips have the frames' size."""
    from minit2v.world.scenes import NANO, STANDARD, WORLDS

    if name is None:
        return NANO if frames is not None and frames.shape[1:3] == (NANO.height, NANO.width) else STANDARD
    if name not in WORLDS:
        hint = nearest(name, WORLDS)
        raise UserError(f"there is no world {name!r}; legal: {', '.join(WORLDS)}{hint and '; ' + hint}")
    return WORLDS[name]


def judge(options) -> None:
    from minit2v import media
    from minit2v.clip import Clip
    from minit2v.world import captions

    meaning = captions.parse(options.prompt) if options.prompt is not None else None
    frames = media.read(options.file, *_raster(options.world))
    place = _find_world(options.world, frames)
    clip = Clip(frames, options.prompt or "", place.fps, world=place)
    facts = {"path": options.file, "prompt": options.prompt} | _shape(frames, place)
    facts |= {"oracle": clip.oracle(), "sentence": clip.reading.sentence()}
    if meaning:
        from minit2v.metrics import measure

        figures = measure(frames, meaning, place, clip.reading)
        facts["figures"] = {name: value if math.isfinite(value) else None for name, value in figures.items()}
    answer(options, facts, in_lines({"file": options.file} | seen(clip)))


def _raster(name: str | None) -> tuple[int, int]:
    place = _find_world(name)
    return place.height, place.fps


def _shape(frames, place) -> dict:
    t, h, w, _ = frames.shape
    return {"frames": t, "height": h, "width": w, "fps": place.fps, "world": place.name}


def train(options) -> int:
    from minit2v import recipes
    from minit2v.machine import processes
    from minit2v.tasks import VAETask
    from minit2v.training import train as run

    recipe = recipes.find(options.system)
    settings = _settings(recipe, options)
    folder = Path(options.out)
    with processes(threads=options.threads) as group:
        task = _task(recipe, settings, folder, options, group)
        result = run(task, settings, folder, resume=True)  # it is claimed by now
        if result.finished and group.is_first and isinstance(task, VAETask) and not task.decoder_only:
            _calibrate(task, result)
        facts = {"system": recipe.name, "out": str(folder), "weights": str(result.weights), "step": result.step}
        facts |= {"finished": result.finished, "seconds": round(result.seconds, 1), "scores": result.scores}
        if group.is_first:
            answer(options, facts, in_lines({name: facts[name] for name in ("system", "weights", "step", "seconds")}))
    return 0 if result.finished else 130


def _settings(recipe, options):
    from minit2v.training import Settings

    for name, least in (("threads", 1), ("clips", 1)):
        value = getattr(options, name)
        if value is not None and value < least:
            raise UserError(f"--{name} {value}: give a number of at least {least}")
    given = {name: getattr(options, name) for name in ("steps", "minutes", "batch", "threads")}
    given = {name: value for name, value in given.items() if value is not None}
    given |= {name: True for name in ("bf16", "compile") if getattr(options, name)}
    if "minutes" in given:
        given.setdefault("steps", None)
    if not 0 < options.rate < math.inf:
        raise UserError(f"--rate {options.rate:g}: give a number above 0, such as 0.4 to refine trained weights")
    settings = Settings(**{"picture_every": 500, **recipe.training, **given, "seed": options.seed})
    settings.learning_rate *= options.rate
    settings.muon_learning_rate = settings.muon_learning_rate and options.rate * settings.muon_learning_rate
    return settings


def _task(recipe, settings, folder, options, group):
    """What to train. The folder is claimed first: encoding the clips takes minutes, a wrong folder is told at once."""
    from minit2v.datasets import LatentCache, fill_cache
    from minit2v.pipeline import load_vae
    from minit2v.recipes import VAERecipe
    from minit2v.runs import claim
    from minit2v.tasks import DenoiserTask, VAETask
    from minit2v.training import FREE, recipe_of
    from minit2v.world.scenes import WORLDS

    if isinstance(recipe, VAERecipe):
        task = VAETask(recipe, options.start, options.decoder_only)
    elif options.decoder_only:
        raise UserError(f"--decoder-only: {recipe.name!r} has no decoder of its own; train its VAE {recipe.vae!r}")
    else:
        task = DenoiserTask(recipe, None, load_vae(options.vae or recipe.vae, recipe.world), options.start)
    group.first_does(lambda: claim(folder, recipe_of(task, settings), options.resume, FREE))
    if isinstance(task, DenoiserTask):
        where, encode = Path(options.latents or folder / "latents"), (task.vae, options.clips, WORLDS[recipe.world])
        group.first_does(lambda: fill_cache(where, *encode, seed=options.seed, long=recipe.long) and None)
        task.cache = LatentCache(where)
    return task


def _calibrate(task, result) -> None:
    """Stores each latent channel's mean and spread with a VAE, for the denoisers that will be trained on it."""
    from minit2v.checkpoints import save_weights
    from minit2v.tasks import calibrate

    calibrate(result.model, task.world)
    save_weights(result.weights, result.model, task.config)


def cost(options) -> None:
    from minit2v import cli
    from minit2v.cost.command import result

    facts, lines = result(options, lambda flags: cli.parser().parse_args(["cost", *flags]))
    answer(options, facts, lines)
