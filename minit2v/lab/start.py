"""The course at a glance: its map, its lessons, three ways through it, and what the committed weights can do by now."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import minit2v
from minit2v.checkpoints import FOLDER
from minit2v.errors import UserError
from minit2v.lab.live import Sliders
from minit2v.lab.page import COLORS, Figure, Html, table
from minit2v.world import captions
from minit2v.world.captions import Meaning

PACKAGE = Path(minit2v.__file__).parent
NOTEBOOKS = PACKAGE.parent / "notebooks"

LESSONS = {
    "00": "Start here", "01": "The factory", "02": "The frame tape", "03": "Latents: why not pixels",
    "04": "The VAE", "05": "Text and guidance", "06": "Denoising", "07": "What attention costs",
    "08": "The spacetime transformer", "09": "The temporal U-Net", "10": "Train a tiny model, live",
    "11": "The failure lab", "12": "Image to video", "13": "Long clips and the camera", "14": "Speed",
    "15": "Reading the real systems",
}  # fmt: skip


@dataclass(frozen=True)
class Stage:
    """A part of the factory: which lessons explain it, and which rooms of the package hold it."""

    name: str
    lessons: tuple[str, ...]
    rooms: tuple[str, ...]


STAGES = {
    "text": Stage("text encoder", ("05",), ("text.py",)),
    "noise": Stage("how noise goes away", ("06",), ("diffusion.py",)),
    "attention": Stage("who looks at whom", ("07",), ("attention.py",)),
    "transformer": Stage("as a transformer", ("08",), ("dit.py",)),
    "unet": Stage("as a U-Net", ("09",), ("unet.py",)),
    "vae": Stage("VAE", ("03", "04"), ("vae.py",)),
    "judge": Stage("the judge", ("02", "11"), ("world/oracle.py", "metrics.py")),
    "world": Stage("the drawn world", ("02",), ("world/",)),
    "training": Stage("training", ("10",), ("recipes.py", "training.py")),
    "given": Stage("from a picture", ("12",), ("pictures.py", "request.py")),
    "long": Stage("long clips", ("13",), ("world/windows.py",)),
    "bill": Stage("the bill", ("03", "07", "14"), ("arithmetic/", "cost/")),
    "others": Stage("others' systems", ("15",), ("open_models/",)),
    "whole": Stage("all of it, in order", ("00", "01"), ("pipeline.py",)),
}

PATHS = {
    "On your own": (
        ("one lesson at a sitting", tuple(LESSONS)),
    ),
    "In class, four weeks": (
        ("week 1, pixels to latents", ("00", "01", "02", "03")), ("week 2, noise to clip", ("04", "05", "06", "07")),
        ("week 3, both families", ("08", "09", "10", "11")), ("week 4, products", ("12", "13", "14", "15")),
    ),
    "An interview on Monday": (
        ("Saturday morning", ("01", "03")), ("Saturday afternoon", ("07", "08", "09")), ("Sunday", ("11", "15")),
    ),
}  # fmt: skip


# ---- the map -------------------------------------------------------------------------------------------------------


def course_map() -> Figure:
    """The factory; in circles the lessons that explain each part, below its name the rooms that hold it."""
    from minit2v.lab.drawings import WRONG, _arrow, _box, _sheet, _write, described

    canvas, axes = _sheet(980, 500)

    def place(key, x, y, wide, high, fill="#eaf4fb"):
        stage = STAGES[key]
        _box(axes, x, y, wide, high, fill)
        step = 27
        start = x + wide / 2 - step * (len(stage.lessons) - 1) / 2
        for k, lesson in enumerate(stage.lessons):
            _circle(axes, start + k * step, y, lesson)
        _write(axes, x + wide / 2, y + high / 2 - 2, stage.name, 12.5, "bold", across="center")
        _write(axes, x + wide / 2, y + high / 2 + 15, "  ".join(stage.rooms), 10, across="center")

    _write(axes, 20, 60, "“a red ball bounces”", 12)
    _arrow(axes, 172, 60, 218, 60)
    place("text", 224, 28, 150, 64)
    _arrow(axes, 299, 92, 299, 150, WRONG)
    _write(axes, 309, 122, "guidance, at every step", 10, color=WRONG)
    place("whole", 640, 28, 150, 64, "#ffffff")
    place("training", 810, 28, 150, 64, "#ffffff")
    _write(axes, 20, 232, "noise, from a seed", 12)
    _arrow(axes, 150, 232, 176, 232)
    _box(axes, 178, 152, 424, 168, "#ffffff")
    _write(axes, 390, 172, "denoiser, 20 times or so", 12.5, "bold", across="center")
    for key, x, y in (("noise", 192, 198), ("attention", 396, 198), ("transformer", 192, 262), ("unet", 396, 262)):
        place(key, x, y, 192, 48)
    _arrow(axes, 602, 232, 638, 232)
    place("vae", 640, 200, 110, 64)
    _arrow(axes, 750, 232, 782, 232)
    _write(axes, 790, 232, "frames", 12, "bold")
    _arrow(axes, 815, 246, 815, 286)
    place("judge", 740, 288, 220, 60)
    rows = ("world", "given", "long", "bill", "others")
    for k, key in enumerate(rows):
        place(key, 20 + k * 190, 410, 180, 62, "#ffffff")
    _write(axes, 20, 372, "around it:", 11)
    alt = (
        "The map of the course. A prompt goes through the text encoder into the denoiser, which starts from noise and "
        "runs some twenty times, with guidance from the text at every step; the VAE turns its latents into frames, and "
        "the judge reads them. Lessons and rooms: "
        + "; ".join(f"{s.name}: lesson {' and '.join(s.lessons)}, {', '.join(s.rooms)}" for s in STAGES.values())
    )
    return described(canvas, alt + ".")


def _circle(axes, x: float, y: float, text: str) -> None:
    from matplotlib.patches import Circle

    axes.add_patch(Circle((x, y), 12, facecolor=COLORS["blue"], edgecolor="#ffffff", lw=1.5, zorder=4))
    axes.text(x, y + 0.5, text, ha="center", va="center", fontsize=8.5, color="#ffffff", weight="bold", zorder=5)


# ---- lessons and ways through them ---------------------------------------------------------------------------------


def front_matter(lesson: str) -> dict[str, str]:
    """What a lesson says of itself: "file", "claim" and "minutes" (to read), as far as it is there."""
    found = sorted(NOTEBOOKS.glob(f"{lesson}_*.ipynb"))
    if not found:
        return {}
    cells = json.loads(found[0].read_text(encoding="utf-8"))["cells"]
    text = "".join(cells[0]["source"])
    claim = re.search(r"\*\*Claim\.\*\*(.*?)\n\n", text, flags=re.S)
    minutes = re.search(r"\*\*Time\*\* \| (\d+) minutes to read", text)
    said = {"claim": re.sub(r"\s*\n> ?|\s+", " ", claim[1]).strip() if claim else "", "file": found[0].name}
    return said | ({"minutes": minutes[1]} if minutes else {})


def lessons() -> Html:
    """All lessons: number, title, claim, minutes to read. What is not written yet says so."""
    rows = []
    for number, title in LESSONS.items():
        said = front_matter(number)
        claim = said.get("claim", "not written yet").replace("$", "").replace("\\cdot", "·")
        rows.append([number, title, claim, said.get("minutes", "–")])
    return table(["", "lesson", "its claim", "minutes to read"], rows, "The lessons")


def way_rows() -> list[list[str]]:
    """Three ways through the course, part by part: who, when, which lessons, and the minutes to read them."""
    rows = []
    for reader, parts in PATHS.items():
        for part, (when, chosen) in enumerate(parts):
            minutes = [int(front_matter(lesson).get("minutes", 0)) for lesson in chosen]
            missing = minutes.count(0)
            said = f"{sum(minutes)} min" + (f", and {missing} not written yet" if missing else "")
            which = "00 to 15" if len(chosen) == len(LESSONS) else ", ".join(chosen)
            rows.append([reader if not part else "", when, which, said])
    return rows


def ways() -> Html:
    """`way_rows` as a table."""
    return table(["who", "when", "lessons", "to read"], way_rows(), "Three ways through the course")


# ---- what the weights can do ---------------------------------------------------------------------------------------

CONTROLS = {
    "real": "control: real clips through the VAE", "frozen": "control: first frame, frozen",
    "shuffled": "control: frames, shuffled", "other": "control: another prompt's",
}  # fmt: skip
CAN, CANNOT = 0.93, 0.6  # shares of held-out clips: from here on it can; below that, not yet


def card(name: str = "sora") -> dict:
    """The facts on the card of a committed checkpoint. Raises `UserError` if it has none."""
    path = FOLDER / f"{name}.json"
    if not path.is_file():
        raise UserError(f"the checkpoint '{name}' has no card; those with one: {', '.join(_with_cards())}")
    return json.loads(path.read_text(encoding="utf-8"))


def _with_cards() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def can_and_cannot(name: str = "sora") -> dict[str, list[str]]:
    """Attributes of a prompt by how many held-out clips have them right: "can", "often" and "not yet"."""
    shares = card(name)["scores"]["adherence"]["attributes"]
    kinds = {"can": [], "often": [], "not yet": []}
    for attribute, share in sorted(shares.items(), key=lambda item: -item[1]):
        kinds["can" if share >= CAN else "not yet" if share < CANNOT else "often"].append(attribute)
    return kinds


def standing(name: str = "sora") -> Figure:
    """What the card says: how many held-out clips are right, all in all and by attribute, with controls."""
    from matplotlib.figure import Figure as Canvas

    from minit2v.lab.drawings import described

    facts = card(name)["scores"]["adherence"]
    shares = dict(sorted(facts["attributes"].items(), key=lambda item: item[1]))
    controls = {label: facts["controls"][control] for control, label in CONTROLS.items()}
    bars = {**shares, **dict(reversed(controls.items())), "all of it at once": facts["overall"]}
    canvas = Canvas(figsize=(9.8, 0.31 * len(bars) + 0.9), layout="constrained")
    panel, top = canvas.subplots(), len(bars) - 1
    for i, (label, value) in enumerate(bars.items()):
        look = dict(color=COLORS["blue"] if i == top else COLORS["sky"])
        if label in controls:
            look = dict(color=COLORS["orange"], hatch="//", edgecolor="white")
        panel.barh(label, value, height=0.7, **look)
        said = f"{value:.1%}" if 0.99 < value < 1 else f"{value:.0%}"
        panel.text(max(value, facts["interval"][1] if i == top else 0) + 0.01, i, said, va="center", fontsize=10)
    panel.plot(facts["interval"], [top, top], color="#1e1e1e", lw=2, marker="|", markersize=9)
    panel.set(xlim=(-0.005, 1.1), xlabel=f"share of {facts['n']} held-out clips that the judge finds right")
    panel.set_xticks([0, 0.25, 0.5, 0.75, 1], labels=["0", "25 %", "50 %", "75 %", "100 %"])
    panel.spines[["top", "right"]].set_visible(False)
    low, high = facts["interval"]
    said = "; ".join(f"{attribute} {value:.0%}" for attribute, value in reversed(bars.items()))
    alt = (
        f"How many of {facts['n']} held-out clips of the committed {name} weights are right: {said}. The interval of "
        f"the first is {low:.0%} to {high:.0%}; the four below it are its controls."
    )
    return described(canvas, alt)


# ---- a sentence from sliders ---------------------------------------------------------------------------------------

WORDS = {
    "color": tuple(captions.COLORS), "subject": tuple(captions.SUBJECTS), "motion": tuple(captions.MOTIONS),
    "background": tuple(captions.BACKGROUNDS), "camera": tuple(captions.CAMERAS),
}  # fmt: skip
FIRST = {"color": "red", "subject": "ball", "motion": "bounces", "background": "checkered", "camera": "hold"}


class Sentences(Sliders):
    """Sliders that make a prompt, and the clip that a perfect model would make of it. What the world cannot show is
    refused in one line, as everywhere in the package."""

    choices, start = WORDS, FIRST

    def __init__(self, examples: Sequence[dict] = ()):
        self.examples = list(examples) or EXAMPLES

    def page(self, choices: dict[str, str]) -> str:
        """The sentence, whether training ever had its pair, and its clip as a strip of frames; or why there is none."""
        from html import escape

        from PIL import Image

        from minit2v import media
        from minit2v.lab.page import image

        meaning = meaning_of(choices)
        prompt = captions.phrase(meaning)
        try:
            frames = drawn(meaning)
        except UserError as error:
            return f"<p><b>{escape(prompt)}</b></p><p>refused: {escape(str(error))}</p>"
        picture = media.png_bytes(Image.fromarray(media.strip(media.enlarge(frames, 128), 6)))
        alt = f"Six frames of the world's own clip of “{prompt}”"
        return f"<p><b>{escape(prompt)}</b> ({kind(meaning)})</p>{image(picture, alt)}"

    @property
    def still(self) -> Figure:
        """Some sentences and their clips."""
        from minit2v.lab.drawings import strips

        meanings = [meaning_of(choices) for choices in self.examples]
        notes = [kind(meaning) for meaning in meanings]
        labels = [captions.phrase(meaning) for meaning in meanings]
        return strips([drawn(meaning) for meaning in meanings], labels, notes, "Sentences, and the clips they mean.")

    def __repr__(self) -> str:
        return f"sliders for {', '.join(WORDS)}"


EXAMPLES = [
    FIRST,
    {**FIRST, "color": "purple", "subject": "dog", "motion": "right", "background": "brick"},
    {**FIRST, "color": "cyan", "subject": "tank", "motion": "sloshes", "background": "starry"},
]


def kind(meaning: Meaning) -> str:
    """Whether training has ever seen such a clip, in words."""
    return "kept out of all training" if captions.is_held_out(meaning) else "training has such clips"


def meaning_of(choices: dict[str, str]) -> Meaning:
    """What the sliders say."""
    said = {name: choices[name] for name in ("color", "subject", "background", "camera")}
    return Meaning(motions=(choices["motion"],), **said)


def drawn(meaning: Meaning):
    """The world's own clip. Raises `UserError` for what it cannot show."""
    from minit2v.world.render import render
    from minit2v.world.scenes import check, scene

    check(meaning)
    return render(scene(meaning, 0))
