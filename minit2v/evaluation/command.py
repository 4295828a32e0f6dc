"""What `minit2v evaluate` does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from minit2v.errors import UserError

NAMES = ("flicker", "identity_drift", "motion", "physics", "camera", "permanence", "held")


def answered(options, load, tell) -> tuple[dict, dict]:
    """The report as a JSON object, and as rows for people. load: what loads the system that the options name."""
    check(options)
    tell("loading the system")
    system = load(options)
    figures, clips = (of_pictures if options.pictures else of_prompts)(options, system, tell)
    if options.sheet:
        write_sheet(options.sheet, clips[:24])
    about = {"system": system.name, "split": None if options.prompts else options.split, "seed": options.seed}
    about |= {"frames": len(clips[0].frames), "steps": clips[0].steps, "guidance": clips[0].guidance}
    return about | figures, table(figures)


def of_prompts(options, system, tell) -> tuple[dict, list]:
    """Report and clips of text-to-video."""
    from minit2v import evaluation

    frames = system.world.frames if options.frames is None else options.frames
    system.latent_shape(frames)  # refuses what is no legal count
    world = replace(system.world, frames=frames)
    if options.prompts:
        prompts = evaluation.read_prompts(options.prompts, world)[: options.n]
    else:
        n = 100 if options.n is None else options.n
        prompts = evaluation.draw_prompts(n, options.split, world, options.seed, options.pillar)
    settings = (options.seed, options.steps, options.guidance, options.controls)
    more = {} if options.frames is None else {"frames": frames}
    return evaluation.evaluate(system, prompts, *settings, tell, **more)


def of_pictures(options, system, tell) -> tuple[dict, list]:
    """Report and clips of image-to-video."""
    from minit2v import evaluation

    n = 100 if options.n is None else options.n
    settings = (options.seed, options.steps, options.guidance, options.image_noise, options.controls)
    return evaluation.evaluate_pictures(system, n, *settings, tell)


def check(options) -> None:
    """Raises `UserError` for options that do not fit together, before anything heavy is loaded."""
    if options.sheet:
        from minit2v.clip import check_place

        if Path(options.sheet).suffix.lower() != ".png":
            raise UserError(f"'{options.sheet}' is no name for a contact sheet; let it end in .png")
        check_place(Path(options.sheet))
    if options.controls < 1:
        raise UserError(f"--controls {options.controls}: give a number of at least 1; no figure stands without them")
    if options.pillar and options.prompts:
        raise UserError("--pillar draws prompts of its own: leave out --prompts, or put the pillars in that file")
    others = {"--prompts": options.prompts, "--frames": options.frames, "--pillar": options.pillar}
    if options.pictures and any(others.values()):
        name = next(name for name, value in others.items() if value)
        raise UserError(f"--pictures have prompts and a length of their own: leave out {name}")
    if options.image_noise and not options.pictures:
        raise UserError(f"--image-noise {options.image_noise:g}: there are no pictures; add --pictures")


def write_sheet(path: str, clips) -> None:
    """A contact sheet of clips as a png, with their prompts as its description."""
    from minit2v.clip import contact_sheet
    from minit2v.files import write_whole
    from minit2v.media import png_bytes

    write_whole(path, png_bytes(contact_sheet(clips), "; ".join(clip.prompt for clip in clips)))


# ---- for people --------------------------------------------------------------------------------------------


def number(value: float | None) -> str:
    """Three decimals, or a dash for what does not apply."""
    return "-" if value is None else f"{value:.3f}"


def row(figure: dict) -> str:
    """A figure and, in brackets, its interval, if it is a share, and its controls."""
    controls = ", ".join(f"{control} {number(value)}" for control, value in figure["controls"].items())
    if "n" in figure:
        low, high = figure["interval"]
        controls = f"of {figure['n']} clips, 95 % interval {low:.3f} to {high:.3f}; controls: {controls}"
    else:
        controls = f"controls: {controls}"
    return f"{number(figure['value'])} ({controls})"


def weakest(kinds: dict, most: int = 4, fewest: int = 5) -> str:
    """The kinds of clips, of at least `fewest` clips each, that are right least often."""
    many = [(kind, one) for kind, one in kinds.items() if one["n"] >= fewest]
    return ", ".join(f"{kind} {one['right']} of {one['n']}" for kind, one in many[:most]) or "-"


def table(figures: dict) -> dict[str, str]:
    """The report for people: each figure, and its controls beside it."""
    if "kept" in figures:
        return picture_table(figures)
    said = figures["adherence"]
    low, high = said["interval"]
    right = f"{number(said['overall'])} of {said['n']} clips are right on all attributes"
    rows = {"adherence": f"{right} (95 % interval {low:.3f} to {high:.3f})"}
    rows |= {f"  {name}": number(value) for name, value in said["attributes"].items()}
    rows["  weakest"] = weakest(said["kinds"])
    rows |= {name: row(figures[name]) for name in NAMES if name in figures}
    rows["flicker ratio"] = f"{number(figures['flicker']['ratio'])} of real clips through the VAE"
    rows["seconds"] = f"{number(figures['seconds'])} per clip"
    return rows


def picture_table(figures: dict) -> dict[str, str]:
    """The same, of image-to-video."""
    kept, first = figures["kept"], figures["first_frame"]
    parts = kept["parts"]
    share = {"kept": row(kept)} | {f"  {name}": number(parts[name]["value"]) for name in ("seen", "unseen")}
    error = f"{number(first['total'])} levels rms: VAE {number(first['vae'])}, model {number(first['model'])}"
    return share | {
        "color, median dE": row(parts["color"]),
        "outline, median overlap": row(parts["overlap"]),
        "motion": row(figures["motion"]),
        "first frame's error": error,
        "seconds": f"{number(figures['seconds'])} per clip",
    }
