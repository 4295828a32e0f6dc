"""The worked example as a bill: every line of the chapter's section 4, computed, drawn to scale, and with sliders."""

from __future__ import annotations

from minit2v.arithmetic.clip import COLORS as PRIMARIES
from minit2v.cost import Setup, lines
from minit2v.cost.words import brief, times
from minit2v.lab.live import Sliders
from minit2v.lab.page import COLORS, Figure, Html, table

CHOICES = {  # what each slider offers; any combination of them is legal
    "seconds": (1, 2, 3, 4, 5, 6, 8, 10),
    "fps": (8, 12, 16, 24, 30),
    "size": (128, 256, 384, 512, 640, 768, 1024),
    "VAE": (1, 2, 4, 8, 16, 32),
    "channels": (3, 4, 8, 16, 24),
    "heads": (1, 2, 4, 8, 16),
    "steps": (1, 4, 10, 20, 30, 50),
}
CHAPTER = {"seconds": 4, "fps": 16, "size": 512, "VAE": 8, "channels": 4, "heads": 8, "steps": 30}


def bill(setup: Setup) -> list[tuple[str, int, str]]:
    """What each line of the worked example is, its figure, and how it comes about: from seconds to scores."""
    found = {line.path: line.value for line in lines(setup)}
    t, h, w = (found[f"latents.{axis}"] for axis in ("frames", "height", "width"))
    places, layer, one = h * w, found["scores.temporal.layer"], found["scores.place_head"]
    clip = setup.clip
    return [
        ("frames", clip.frames, f"{brief(found['clip.seconds'])} s × {brief(setup.fps)} a second"),
        ("numbers in the pixels", clip.values, times(clip.frames, clip.height, clip.width, PRIMARIES)),
        ("places in a latent frame", places, f"{clip.height} / {setup.vae[1]} × {clip.width} / {setup.vae[2]}"),
        ("numbers in the latents", found["latents.values"], times(t, h, w, setup.channels)),
        ("scores of one place, one head", one, times(t, t)),
        ("scores of one place, all heads", found["scores.place"], times(one, setup.heads)),
        ("scores of one temporal layer", layer, times(found["scores.place"], places)),
        ("the same over all steps", layer * setup.steps, times(layer, setup.steps)),
    ]


def bill_table(setup: Setup, caption: str = "") -> Html:
    """The bill as a table."""
    rows = [[str(i + 1), what, f"{figure:,}", how] for i, (what, figure, how) in enumerate(bill(setup))]
    return table(["line", "what", "figure", "how"], rows, caption)


def setup_of(choices: dict) -> Setup:
    """The setup that the sliders say: an image VAE, every frame alone, as in the chapter."""
    names = ("seconds", "fps", "channels", "heads", "steps")
    size, space = choices["size"], choices["VAE"]
    return Setup(**{name: choices[name] for name in names}, height=size, width=size, vae=(1, space, space), dim=512)


# ---- sliders -----------------------------------------------------------------------------------------------------


class Calculator(Sliders):
    """The bill with a slider for everything in it."""

    choices = CHOICES

    def __init__(self, start: dict | None = None):
        self.start = {**CHAPTER, **(start or {})}

    def page(self, choices: dict) -> str:
        """The bill for one position of the sliders, beside that of the start, as HTML."""
        before = bill(setup_of(self.start))
        rows = []
        for (what, figure, how), (_, first, _) in zip(bill(setup_of(choices)), before, strict=True):
            change = "as at first" if figure == first else f"× {figure / first:.4g}"
            rows.append([what, f"{figure:,}", how, change])
        head = ["", "figure", "how", "against the start"]
        return table(head, rows, f"A clip of {choices['seconds']} s, {choices['size']} × {choices['size']} px").html

    @property
    def still(self) -> Figure:
        """Numbers and scores against the clip's length, and against the side of its frames."""
        return growth(self.start)

    def __repr__(self) -> str:
        return repr(bill_table(setup_of(self.start)))


def growth(start: dict) -> Figure:
    """How the bill grows with seconds (left) and with the side of the frames (right), on logarithmic scales."""
    from matplotlib.figure import Figure as Canvas

    from minit2v.lab.drawings import described

    canvas = Canvas(figsize=(9.8, 3.6), layout="constrained")
    axes, said = {"seconds": "seconds of clip", "size": "side of a frame, px"}, []
    for panel, (name, label) in zip(canvas.subplots(1, 2, sharey=True), axes.items(), strict=True):
        for path, what, color, mark, dashes in (
            ("scores.spatial.layer", "scores, a spatial layer", "red", "s", "--"),
            ("scores.temporal.layer", "scores, a temporal layer", "blue", "o", "-"),
            ("latents.values", "numbers in the latents", "green", "^", ":"),
        ):
            found = [
                {line.path: line.value for line in lines(setup_of({**start, name: at}))}[path] for at in CHOICES[name]
            ]
            panel.plot(CHOICES[name], found, color=COLORS[color], marker=mark, linestyle=dashes, lw=2, label=what)
            factor = found[-1] / found[0]
            said.append(f"{what}: {factor:,.0f} times as many from {CHOICES[name][0]} to {CHOICES[name][-1]} {label}")
        panel.set(yscale="log", xscale="log", xlabel=label)
        panel.set_xticks(CHOICES[name], labels=[str(at) for at in CHOICES[name]])
        panel.minorticks_off()
        panel.spines[["top", "right"]].set_visible(False)
        if name == "size":
            panel.legend(frameon=False, loc="upper left")
    return described(canvas, f"Two panels on logarithmic scales. {'; '.join(said)}.")


# ---- the picture -------------------------------------------------------------------------------------------------


def drawn(setup: Setup) -> Figure:
    """The worked example on one page: above, the clip and its latents to scale; below, how the scores multiply."""
    from minit2v.lab.drawings import INK, _arrow, _sheet, _write, described

    canvas, axes = _sheet(980, 440)
    rows = {what: (figure, how) for what, figure, how in bill(setup)}
    side = 176  # px, of a frame; the latents are drawn at the same scale
    small = side / setup.vae[1]
    _stack(axes, 20, 52, side, 5, COLORS["sky"])
    _write(axes, 20, 20, f"the clip: {setup.clip.frames} frames", 13, "bold")
    _write(axes, 20, 262, _line(rows, "numbers in the pixels"))
    _arrow(axes, 268, 140, 356, 140)
    _write(axes, 312, 122, f"VAE, ÷ {setup.vae[1]}", across="center")
    _stack(axes, 376, 126, small, 5, COLORS["orange"])
    _write(axes, 376, 20, f"its latents, to the same scale: {setup.latents.frames} latent frames", 13, "bold")
    _write(axes, 376, 262, _line(rows, "numbers in the latents"))
    _arrow(axes, 440, 138, 500, 138)
    _write(axes, 470, 122, "closer", 10, across="center")
    _tower(axes, 520, 60, 15, setup.latents.frames)
    values = f"{setup.latents.frames} values of {setup.channels} channels"
    _write(axes, 560, 140, f"one place through time:\n{values},\neach asks all of them")
    _arrow(axes, 730, 138, 778, 138)
    _matrix(axes, 796, 60, 150, setup.latents.frames)
    _write(axes, 796, 44, "its scores, one head", 10)
    names = (
        "scores of one place, one head", "scores of one place, all heads", "scores of one temporal layer",
        "the same over all steps",
    )  # fmt: skip
    factors = ("", f"× {setup.heads} heads", f"× {setup.latents.height * setup.latents.width:,} places",
               f"× {setup.steps} steps")  # fmt: skip
    for i, (name, factor) in enumerate(zip(names, factors, strict=True)):
        x = 20 + 240 * i
        _write(axes, x, 330, name, 11)
        _write(axes, x, 360, f"{rows[name][0]:,}", 17, "bold", color=COLORS["blue"])
        _write(axes, x, 388, rows[name][1], 10)
        if factor:
            _write(axes, x, 304, factor, 11, "bold", color="#a84300")
    axes.plot([20, 960], [284, 284], color=INK, lw=0.8)
    _write(axes, 20, 420, "And that is one temporal layer. The layers that look within frames are not in it yet.", 11)
    alt = (
        f"The worked example. {setup.clip.frames} frames of {setup.clip.height} × {setup.clip.width} px shrink, drawn "
        f"to scale, to latent frames of {setup.latents.height} × {setup.latents.width} with {setup.channels} channels. "
        f"One place of them, followed through time, makes a square of scores. "
        + "; ".join(f"{what}: {figure:,} = {how}" for what, (figure, how) in rows.items())
    )
    return described(canvas, alt)


def _line(rows: dict, name: str) -> str:
    figure, how = rows[name]
    return f"{how} = {figure:,}"


def _stack(axes, x, y, side, count, color) -> None:
    """Frames one behind the other, as cards."""
    from matplotlib.patches import Rectangle

    step = max(2.5, side / 20)
    for i in reversed(range(count)):
        place = (x + i * step, y - i * step * 0.5 + (count - 1) * step * 0.5)
        axes.add_patch(Rectangle(place, side, side, facecolor=color, edgecolor="#1e1e1e", lw=0.8))


def _tower(axes, x, y, wide, count) -> None:
    """One place's values, one per latent frame, as a strip."""
    high = 150 / count
    for i in range(count):
        axes.fill([x, x + wide, x + wide, x], [y + i * high, y + i * high, y + (i + 1) * high, y + (i + 1) * high],
                  facecolor=COLORS["orange"], edgecolor="#1e1e1e", lw=0.4)  # fmt: skip


def _matrix(axes, x, y, side, count) -> None:
    """A square of count × count scores."""
    cell = side / count
    for i in range(count + 1):
        axes.plot([x, x + side], [y + i * cell] * 2, color=COLORS["blue"], lw=0.35)
        axes.plot([x + i * cell] * 2, [y, y + side], color=COLORS["blue"], lw=0.35)


# ---- what the alternatives keep ------------------------------------------------------------------------------------


def shrunk(frames, side: int):
    """The poor man's latents: frames (t, h, w, 3) uint8 made `side` px small, each pixel a mean, and enlarged again."""
    import numpy as np
    from PIL import Image

    height, width = frames.shape[1:3]
    small = (Image.fromarray(frame).resize((side, side), Image.Resampling.BOX) for frame in frames)
    return np.stack([np.asarray(each.resize((width, height), Image.Resampling.BICUBIC)) for each in small])


def latent_pictures(latents) -> list[Figure]:  # (f, c, h, w)
    """Latent frames as pictures: the three directions in which their channels differ most, as red, green and blue."""
    from minit2v.lab.drawings import _colors

    values = latents.numpy()
    return _colors(values)(values)




def both(frames, latents) -> Figure:
    """Frames (t, h, w, 3) uint8 above, the latent frames (f, c, h, w) that they became below, in the same columns."""
    from minit2v.lab.drawings import _paste, _sheet, _write, described

    count, per = len(latents), (len(frames) - 1) // (len(latents) - 1)
    tile, gap = 170, 22
    canvas, axes = _sheet(20 + count * (tile + gap), 420)
    for k, picture in enumerate(latent_pictures(latents)):
        x = 20 + k * (tile + gap)
        mine = range(1) if k == 0 else range(per * (k - 1) + 1, per * k + 1)
        cell = tile if k == 0 else (tile - 4) / 2
        for i, t in enumerate(mine):
            _paste(axes, frames[t], x + i % 2 * (cell + 4), 30 + i // 2 * (cell + 4), cell, cell)
        named = f"frame {mine[0]}" if k == 0 else f"frames {mine[0]} to {mine[-1]}"
        _write(axes, x + tile / 2, 14, named, across="center")
        _paste(axes, picture, x, 240, tile, tile)
        _write(axes, x + tile / 2, 222, f"latent frame {k}", across="center")
    alt = (
        f"{len(frames)} frames above, the {count} latent frames that they became below: the first frame alone, then "
        f"{per} to a latent frame. A latent frame is a coarse mosaic of {latents.shape[2]} × {latents.shape[3]} places "
        "in false colors, in which the subject's place can still be made out."
    )
    return described(canvas, alt)
