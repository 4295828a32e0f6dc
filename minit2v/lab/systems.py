"""Reading the systems that others built: room by room beside ours, what they cost, and what is not published.

What follows from a configuration is computed from it (`minit2v.open_models`). What does not, such as the text encoder's
name, stands in assets/systems.toml with its source.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path

from minit2v.arithmetic import ClipShape, Cost, TokenGrid, models
from minit2v.cost.words import human
from minit2v.lab.live import Sliders
from minit2v.lab.page import COLORS, Figure, Html, table
from minit2v.open_models import ARCHITECTURES, OpenModel, figures, find, forward, names

SOURCE = Path(__file__).parent / "assets" / "systems.toml"
U_NETS = ("stable_video_diffusion", "animatediff", "modelscope")
FAMILIES = {  # name: color, marker
    "transformer, full": ("red", "o"), "transformer, factorised": ("blue", "^"), "U-Net": ("green", "s"),
}  # fmt: skip

# Where our package has that room.
ROOMS = {
    "text encoder": "text.TextEncoder", "text enters by": "attention.CrossAttention", "VAE": "vae.VAE",
    "patch": "dit.patchify", "attention": "attention.FOLDS", "positions": "attention.rotary_3d",
    "modulation": "dit.Modulation", "QK-norm": "attention.QKNorm", "objective": "diffusion.FlowMatching",
}  # fmt: skip


@dataclass(frozen=True)
class Rooms:
    """What no configuration file says of an architecture. See assets/systems.toml."""

    name: str
    reads: str
    enters: str
    looks: str
    places: str
    modulation: str
    qk_norm: bool
    objective: str
    source: str

    def __post_init__(self):
        holds = {
            "enters": self.enters in ("cross-attention", "one sequence"),
            "looks": self.looks in ("full", "factorised"),
            "modulation": self.modulation in ("shared", "per block", "added"),
            "objective": self.objective in ("velocity", "v", "noise", "?"),
            "source": "arXiv" in self.source or "github.com" in self.source or self.name == "ours",
        }
        if wrong := [field for field, good in holds.items() if not good]:
            raise ValueError(f"systems, {self.name!r}: wrong or missing {', '.join(wrong)}")


OURS = Rooms(
    "ours", "small, learned along", "cross-attention", "full", "rotary and sinusoidal", "shared", True, "velocity", ""
)


@cache
def rooms() -> dict[str, Rooms]:
    """By architecture, as in `open_models.ARCHITECTURES`. Raises `ValueError` if one is missing or malformed."""
    rows = tomllib.loads(SOURCE.read_text(encoding="utf-8"))["architecture"]
    if any(set(row) != {field.name for field in fields(Rooms)} for row in rows):
        raise ValueError("systems: an architecture has fields of another name")
    found = {row["name"]: Rooms(**row) for row in rows}
    if set(found) != set(ARCHITECTURES) or len(found) < len(rows):
        raise ValueError(f"systems: {sorted(set(found) ^ set(ARCHITECTURES))} are in one of two lists only")
    return found


@cache
def closed() -> tuple[dict[str, str], ...]:
    """Systems whose insides are not published: name, makers, family, known, source, unknown."""
    return tuple(tomllib.loads(SOURCE.read_text(encoding="utf-8"))["closed"])


def family(model: OpenModel) -> str:
    """A key of `FAMILIES`."""
    return "U-Net" if model.architecture in U_NETS else f"transformer, {rooms()[model.architecture].looks}"


def short(model: OpenModel) -> str:
    """A title without what stands in brackets."""
    return model.title.partition(" (")[0].partition(" on ")[0]


# Where names stand on the landscape: px to the right and up of a point, on its left and on its right chart.
LABELS = {
    "wan2.1-t2v-14b": ((-4, 9), (-7, 3)), "wan2.1-t2v-1.3b": ((-7, -3), (7, -6)), "hunyuanvideo": (None, (7, -3)),
    "cogvideox-5b": ((7, -3), (7, -3)), "ltx-video": ((7, -3), (7, -3)), "open-sora-1.2": ((-7, -5), (-5, -13)),
    "stable-video-diffusion-img2vid-xt": ((-7, -3), (-5, 9)), "animatediff": ((-7, -6), (7, -3)),
    "latte-1": (None, (0, 8)), "text-to-video-ms-1.7b": ((7, -4), (7, -3)), "mochi-1-preview": ((7, -3), None),
}  # fmt: skip

# ---- room by room --------------------------------------------------------------------------------------------------


def plan(model: OpenModel | None, denoiser=None, vae=None) -> dict[str, str]:
    """What stands in each of the `ROOMS`. Without a model: ours, from the configurations of `denoiser` and `vae`."""
    if model is None:
        said, time, space, channels, patch = OURS, vae.temporal, vae.spatial, vae.channels, denoiser.patch
        causal, words = True, ""
    else:
        said, shape, patch = rooms()[model.architecture], model.vae, model.patch
        time, space, channels, causal = shape.time, shape.height, shape.channels, shape.causal
        words = ", ".join(f"{count:,} {kind}" for kind, count in model.conditions.items())
        if not model.config.get("use_rotary_positional_embeddings", True):  # CogVideoX-2b
            said = replace(said, places="sinusoidal")
    kind = "frame by frame" if time == 1 else "causal" if causal else "not causal"
    return {
        "text encoder": said.reads + (f" ({words})" if words else ""),
        "text enters by": said.enters,
        "VAE": f"{time}·{space}·{space}, {channels} ch., {kind}",
        "patch": "none: U-Net" if model and model.architecture in U_NETS else "·".join(map(str, patch)),
        "attention": said.looks,
        "positions": said.places,
        "modulation": said.modulation,
        "QK-norm": "yes" if said.qk_norm else "no",
        "objective": said.objective,
    }


def same(theirs: dict[str, str], ours: dict[str, str]) -> dict[str, bool]:
    """For each room but the text encoder, whether both have the same: for VAEs the factors and causality, for positions
    the kind, for the rest the word."""

    def key(name, value):
        if name == "VAE":
            return value.split(", ")[0], value.split(", ")[-1]
        return value.split()[0].strip(",") if name == "positions" else value

    return {name: key(name, theirs[name]) == key(name, ours[name]) for name in ROOMS if name != "text encoder"}


def module_table(chosen: Sequence[str], ours: dict[str, str]) -> Html:
    """Models below each other, a column per room. ✓ stands where a room is the same as ours."""
    rows = [["ours", *ours.values()]]
    for name in chosen:
        model = find(name)
        theirs = plan(model)
        marks = same(theirs, ours)
        rows.append([short(model), *(f"✓ {text}" if marks.get(room) else text for room, text in theirs.items())])
    rows.append(["where in ours", *(f"{place.partition('.')[0]}.py" for place in ROOMS.values())])
    return table(["", *ROOMS], rows, "Module for module. ✓: the same as ours; ch.: channels")


def at_their_size(model: OpenModel) -> tuple[Cost, Cost]:
    """One pass of a model, and of *our* transformer with its width, layers, heads and feed-forward: by the two formulas
    that tests hold against the running classes."""
    config, d = model.config, width(model)
    hidden = Fraction(config["ffn_dim"], d) if "ffn_dim" in config else 4
    ours = models.TransformerShape(
        channels=model.vae.channels, patch=model.patch, dim=d, layers=config["num_layers"],
        heads=config["num_attention_heads"], text_dim=d, mlp_ratio=hidden,
    )  # fmt: skip
    made = models.transformer(ours, model.latents, sum(model.conditions.values()))
    return forward(model).total, Cost(**{field.name: int(getattr(made, field.name)) for field in fields(Cost)})


# ---- cost for cost -------------------------------------------------------------------------------------------------


def width(model: OpenModel) -> int:
    """Channels of a token; of a U-Net, at its finest scale."""
    config = model.config.get("unet", model.config)
    if model.architecture in U_NETS:
        return config["block_out_channels"][0]
    return config.get("hidden_size") or config["num_attention_heads"] * config["attention_head_dim"]


def law(grid: TokenGrid, d: int) -> float:
    """Attention's share in a transformer with full attention, from two numbers: N / (N + 7 d).

    A token of width d costs 28 d² FLOPs per block in linear layers (queries, keys, values and the way out, the same of
    the text's questions, a feed-forward layer of 4 d) and 4 N d in attention; 4 d cancels. Blind to everything else.
    """
    return grid.tokens / (grid.tokens + 7 * d)


def per_pixel(model: OpenModel) -> Fraction:
    """FLOPs of a whole clip, over its pixels: what makes clips of unlike sizes comparable."""
    return Fraction(figures(model).clip_flops, model.clip.frames * model.clip.height * model.clip.width)


def bill(chosen: Sequence[str] = ()) -> list[list[str]]:
    """name, family, tokens, parameters, FLOPs of a clip, FLOPs per pixel, attention's share: a row per model."""
    rows = []
    for model in map(find, chosen or names()):
        made = figures(model)
        rows.append([
            model.name, family(model), f"{made.tokens:,}", f"{made.parameters / 1e9:.2f} B",
            human(made.clip_flops, "FLOP"), human(per_pixel(model), "FLOP"), f"{float(made.attention_share):.0%}",
        ])  # fmt: skip
    return rows


def landscape(ours: tuple[Cost, int, int, int] | None = None) -> Figure:
    """All models on two charts: parameters against FLOPs of a clip; tokens per channel against attention's share.

    ours: cost of a pass, passes, tokens and width of our own model, drawn as a star.
    """
    from matplotlib.figure import Figure as Canvas

    from minit2v.lab.drawings import described

    canvas, said = Canvas(figsize=(9.8, 4.6), layout="constrained"), []
    left, right = canvas.subplots(1, 2)
    for name, (color, marker) in FAMILIES.items():
        members = [model for model in map(find, names()) if family(model) == name]
        made = [figures(model) for model in members]
        style = dict(color=COLORS[color], marker=marker, s=46, label=name, edgecolor="white", linewidth=0.6, zorder=3)
        left.scatter([f.parameters for f in made], [f.clip_flops for f in made], **style)
        ratio = [f.tokens / width(model) for f, model in zip(made, members, strict=True)]
        right.scatter(ratio, [float(f.attention_share) for f in made], **style)
        for model, f, x in zip(members, made, ratio, strict=True):
            points = (f.parameters, f.clip_flops), (x, float(f.attention_share))
            for panel, point, by in zip((left, right), points, LABELS.get(model.name, (None, None)), strict=True):
                if by:
                    how = dict(textcoords="offset points", fontsize=9, ha="right" if by[0] < -4 else "left")
                    panel.annotate(short(model), point, by, **how)
        spread = [float(f.attention_share) for f in made]
        said.append(f"{len(made)} of the family {name}, share {min(spread):.0%} to {max(spread):.0%}")
    if ours:
        cost, passes, tokens, d = ours
        star = dict(color="#000000", marker="*", s=130, label="ours", zorder=4)
        left.scatter([cost.parameters], [passes * cost.flops], **star)
        right.scatter([tokens / d], [cost.attention / cost.flops], **star)
        said.append(f"ours, share {cost.attention / cost.flops:.0%}")
    across = [10 ** (k / 20) for k in range(-12, 62)]
    right.plot(across, [x / (x + 7) for x in across], color="#1e1e1e", lw=1.2, linestyle="--", zorder=1)
    arrow = dict(arrowstyle="-", color="#1e1e1e", lw=0.8)
    right.annotate("x / (x + 7)", (3.1, 3.1 / 10.1), (0.25, 0.42), fontsize=11, arrowprops=arrow)
    left.set(xscale="log", yscale="log", xlabel="parameters of the denoiser", ylabel="FLOPs of a clip")
    right.set(xscale="log", xlabel="tokens per channel of width", ylabel="attention's share of a pass", ylim=(0, 1))
    for panel in (left, right):
        panel.spines[["top", "right"]].set_visible(False)
        panel.margins(x=0.2)
    left.legend(frameon=False, fontsize=9, loc="lower right")
    alt = (
        f"Two charts of {len(names())} published models. Left: parameters against FLOPs of a clip, both logarithmic; "
        "they rise together, loosely. Right: tokens per channel of width against attention's share, with the curve "
        f"x / (x + 7): full transformers lie on it, the other two families far below. {'; '.join(said)}."
    )
    return described(canvas, alt)


# ---- from pixels to tokens -----------------------------------------------------------------------------------------


def ladder(chosen: Sequence[str], ours: tuple[ClipShape, int, int] | None = None) -> Figure:
    """How each factory makes a clip small: numbers in the pixels, in the latents, and tokens, on one scale."""
    from matplotlib.figure import Figure as Canvas

    from minit2v.lab.drawings import INK, described

    rows = [(short(m), m.clip.values, m.latents.values, m.grid.tokens) for m in map(find, chosen)]
    rows = ([("ours", ours[0].values, *ours[1:])] if ours else []) + rows
    canvas = Canvas(figsize=(9.8, 0.42 * len(rows) + 1.2), layout="constrained")
    panel, marks = canvas.subplots(), (("pixels", "sky", "o"), ("latents", "orange", "s"), ("tokens", "blue", "^"))
    for i, (_, *sizes) in enumerate(rows):
        panel.plot(sizes, [i] * 3, color="#999999", lw=1.2, zorder=1)
        for before, after in pairwise(sizes):
            text = dict(ha="center", va="bottom", fontsize=9, color=INK)
            panel.text((before * after) ** 0.5, i - 0.1, f"÷ {before / after:,.0f}", **text)
    for k, (label, color, marker) in enumerate(marks):
        panel.scatter([row[k + 1] for row in rows], range(len(rows)), color=COLORS[color], marker=marker, s=50,
                      label=label, zorder=3)  # fmt: skip
    panel.set(xscale="log", xlabel="how many", ylim=(len(rows) - 0.5, -0.7))
    panel.invert_xaxis()  # to be read from left to right, as the work is done
    panel.set_yticks(range(len(rows)), labels=[row[0] for row in rows])
    panel.legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    panel.spines[["top", "right"]].set_visible(False)
    said = "; ".join(f"{name}: {pixels:,}, {latents:,}, {tokens:,}" for name, pixels, latents, tokens in rows)
    return described(canvas, f"Numbers in the pixels, numbers in the latents, and tokens of each system. {said}.")


# ---- who has which room --------------------------------------------------------------------------------------------


def matrix(ours: dict[str, str]) -> Figure:
    """All models, by year, and the rooms but the text encoder: blue with a ✓ where it is as ours, else what it is."""
    from matplotlib.figure import Figure as Canvas
    from matplotlib.patches import Rectangle

    from minit2v.lab.drawings import described

    rows, columns = by_year(), [room for room in ROOMS if room != "text encoder"]
    canvas = Canvas(figsize=(9.8, 0.235 * len(rows) + 0.5))
    axes = canvas.add_axes((0, 0, 1, 1))
    left, said = 2.5, []
    axes.set(xlim=(0, left + len(columns) + 0.02), ylim=(len(rows) + 0.1, -1))
    axes.axis("off")
    for j, room in enumerate(columns):
        axes.text(left + j + 0.5, -0.45, room, ha="center", va="center", fontsize=8.5, weight="bold")
    for i, name in enumerate(rows):
        model = find(name)
        theirs = plan(model)
        marks = same(theirs, ours)
        axes.text(left - 0.08, i + 0.5, f"{short(model)}, {model.year}", ha="right", va="center", fontsize=8.5)
        for j, room in enumerate(columns):
            text = "✓" if marks[room] else theirs[room].split(", ")[0].removesuffix(" in time")
            face = COLORS["sky"] if marks[room] else "#f2f2f2"
            axes.add_patch(Rectangle((left + j + 0.02, i + 0.05), 0.96, 0.9, facecolor=face, lw=0))
            axes.text(left + j + 0.5, i + 0.52, text, ha="center", va="center", fontsize=7.5)
        said.append(f"{short(model)} {sum(marks.values())}")
    about = f"{len(rows)} published models by year, and which of {len(columns)} rooms each has in common with ours"
    return described(canvas, f"{about}: {', '.join(said)}. The older ones share little, the newer ones most.")


def by_year() -> list[str]:
    """The names of all models, the oldest first."""
    return sorted(names(), key=lambda name: (find(name).year, name))


# ---- the reader ----------------------------------------------------------------------------------------------------


class Reader(Sliders):
    """Any published model, by year, beside ours, room by room and cost by cost. ours: the `plan` of our system."""

    def __init__(self, ours: dict[str, str]):
        self.ours, self.choices = ours, {"model": by_year()}
        self.start = {"model": self.choices["model"][0]}

    def page(self, choices: dict) -> str:
        """One model as HTML."""
        model = find(choices["model"])
        theirs, made = plan(model), figures(model)
        marks = same(theirs, self.ours)
        said = {True: "✓ the same", False: "another", None: "–"}
        rows = [[room, self.ours[room], theirs[room], said[marks.get(room)], place] for room, place in ROOMS.items()]
        clip = model.clip
        cost = (
            f"{clip.frames} frames of {clip.height} × {clip.width}: {made.tokens:,} tokens, {made.parameters:,} "
            f"parameters, {model.sampling.steps} steps of {human(made.forward_flops * model.sampling.passes, 'FLOP')}, "
            f"{float(made.attention_share):.0%} of it attention. {model.note}"
        )
        head = ["room", "ours", short(model), "", "where in ours"]
        return table(head, rows, f"{model.title}, {model.makers}, {model.year}").html + f"<p>{cost}</p>"

    @property
    def still(self) -> Figure:
        """Who has which room."""
        return matrix(self.ours)

    def __repr__(self) -> str:
        return f"{len(names())} published models, one at a time"


def longer(name: str, clip: ClipShape) -> OpenModel:
    """A published model at another clip. Raises `UserError` where its VAE or its patch does not divide that."""
    model = replace(find(name), clip=clip)
    model.grid  # noqa: B018 - raises here, not later
    return model


def closed_table() -> Html:
    """What is published about systems that keep their insides to themselves, and what is not."""
    rows = [
        [each["name"], each["makers"], each["family"], each["known"], each["unknown"], each["source"]]
        for each in closed()
    ]
    return table(["", "makers", "family", "published", "not published", "where"], rows)
