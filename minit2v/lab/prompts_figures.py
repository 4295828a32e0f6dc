"""Figures of text and guidance: two roads, distances of phrasings, obedience, a prompt that is handed over."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minit2v import media
from minit2v.clip import Clip
from minit2v.lab.page import COLORS, Figure
from minit2v.lab.players import Steps, step_slider
from minit2v.text import TextFeatures


def roads(prompt: str, said: Sequence[str], text: TextFeatures, tokens: int, layers: int) -> Figure:
    """A prompt's way into the denoiser, drawn with its own features: word by word, and as one pooled vector."""
    from minit2v.lab.drawings import WRONG, _arrow, _box, _fold, _heat, _machine, _paste, _sheet, _write, described

    canvas, axes = _sheet(980, 330)
    _box(axes, 20, 40, 190, 62, "#ffffff")
    _write(axes, 115, 71, _fold(f"“{prompt}”", 25), across="center")
    _arrow(axes, 210, 71, 240, 71)
    _machine(axes, 242, 40, 150, 62, "text encoder", "words look at words")
    _arrow(axes, 392, 71, 418, 71)
    n, d = text.tokens.shape[1:]
    tall = 150 / n
    _paste(axes, _heat(text.tokens[0].detach().numpy()), 480, 20, 160, 150)
    for i, word in enumerate(said):
        _write(axes, 474, 20 + tall * (i + 0.5), word, 9, across="right")
    _write(axes, 560, 184, f"{n} text tokens of {d} numbers", 10, "bold", across="center")
    _paste(axes, _heat(text.pooled.detach().numpy()), 480, 262, 160, 12)
    _write(axes, 560, 290, f"one pooled vector of {d} numbers", 10, "bold", across="center")
    _arrow(axes, 560, 196, 560, 256)
    _write(axes, 568, 226, "their mean, through\na small MLP", 10)
    for y, road, what in (
        (95, "cross-attention", f"each of {tokens} spacetime tokens\nasks the words it needs,\nin all {layers} blocks"),
        (268, "modulation", f"all {tokens} tokens hear the same,\ntogether with the noise level"),
    ):
        _arrow(axes, 644, y, 708, y, WRONG)
        _machine(axes, 712, y - 46, 248, 92, road, what)
    alt = (
        f"Two roads from “{prompt}” into the denoiser. The text encoder makes {n} text tokens of {d} numbers, shown as "
        f"gray rows; cross-attention lets each of {tokens} spacetime tokens ask them, in all {layers} blocks. The mean "
        "of the text tokens becomes one pooled vector, which modulation tells to all tokens alike."
    )
    return described(canvas, alt)


def apart(found: dict[str, np.ndarray], values: Sequence[str], prompts: Sequence[str]) -> Figure:
    """Distances between phrasings as squares, dark is near: one panel per encoder. A frame holds one meaning."""
    from matplotlib.figure import Figure as Canvas

    from minit2v.lab.drawings import described
    from minit2v.lab.prompts import gap

    canvas = Canvas(figsize=(9.8, 4.2), layout="constrained")
    said = []
    panels = canvas.subplots(1, len(found), sharey=True)
    for panel, (name, table) in zip(panels, found.items(), strict=True):
        drawn = panel.imshow(table, cmap="cividis", vmin=0, vmax=1.6)
        start = 0
        while start < len(values):
            count = list(values).count(values[start])
            panel.add_patch(_square(start, count))
            start += count
        same, other = gap(table, values)
        panel.set_title(f"{name}\none meaning {same:.2f}, two meanings {other:.2f}", fontsize=11)
        panel.set_xticks([])
        said.append(f"{name}: {same:.2f} between phrasings of one meaning, {other:.2f} between meanings")
    panels[0].set_yticks(range(len(prompts)), labels=list(prompts), fontsize=9)
    canvas.colorbar(drawn, ax=panels, shrink=0.7, label="distance; 1 is the mean")
    alt = f"Distances between {len(prompts)} prompts as squares; frames hold the phrasings of one meaning. "
    return described(canvas, f"{alt}{'; '.join(said)}.")


def _square(start: int, count: int):
    from matplotlib.patches import Rectangle

    return Rectangle((start - 0.5, start - 0.5), count, count, fill=False, edgecolor="#ffffff", lw=2)


def obedience(scales, asked, other, contrast: dict[str, Sequence[float]], usual: float) -> Figure:
    """Left, the share of attributes that are as asked against the guidance scale, (share, low, high) each, and the
    control, judged by another prompt. Right, the contrast of the latents, as a multiple of that at scale 1; a series
    that is shorter than the scales belongs to the last ones."""
    from matplotlib.figure import Figure as Canvas

    from minit2v.lab.drawings import described

    canvas = Canvas(figsize=(9.8, 4.0), layout="constrained")
    left, right = canvas.subplots(1, 2)
    places = np.arange(len(scales))
    styles = (("as asked", asked, "blue", "o", "-"), ("control: as another prompt asks", other, "red", "s", "--"))
    said = []
    for name, rows, color, mark, dashes in styles:
        middle, low, high = np.array(rows).T
        left.fill_between(places, low, high, color=COLORS[color], alpha=0.16, lw=0)
        left.plot(places, middle, color=COLORS[color], marker=mark, linestyle=dashes, lw=2, label=name)
        said.append(f"{name}: " + ", ".join(f"{y:.2f} at {g:g}" for g, y in zip(scales, middle, strict=True)))
    left.set(ylim=(-0.03, 1.05), ylabel="share of colors and backgrounds", title="obedience, with 95 % intervals")
    left.legend(frameon=False, loc="center right")
    for (name, values), (color, mark, dashes) in zip(
        contrast.items(), (("blue", "o", "-"), ("green", "^", ":")), strict=False
    ):
        last = len(scales) - len(values)
        right.plot(places[last:], values, color=COLORS[color], marker=mark, linestyle=dashes, lw=2, ms=8, label=name)
        pairs = zip(scales[last:], values, strict=True)
        said.append(f"contrast, {name}: " + ", ".join(f"{y:.2f} at {g:g}" for g, y in pairs))
    right.axhline(1, color="#666666", lw=0.8)
    right.set(title="contrast of the latents; 1: at scale 1")
    right.legend(frameon=False, loc="upper left")
    for panel in (left, right):
        panel.set_xticks(places, labels=[f"{scale:g}" for scale in scales])
        panel.set_xlabel(f"guidance scale; our recipe's is {usual:g}")
        panel.spines[["top", "right"]].set_visible(False)
    alt = "Against the guidance scale, left obedience with its interval and its control, right the contrast. "
    return described(canvas, f"{alt}{'; '.join(said)}.")


def scales_slider(series: dict[float, Sequence[Clip]]) -> Steps:
    """A slider over guidance scales: the same prompts and the same noise, one row per prompt."""
    pictures = [
        np.concatenate([media.strip(media.enlarge(clip.frames, 96), 5) for clip in clips]) for clips in series.values()
    ]
    colors = {scale: ", ".join(str(clip.reading.color) for clip in clips) for scale, clips in series.items()}
    labels = [f"guidance {scale:g}: colors {seen}" for scale, seen in colors.items()]
    prompts = "; ".join(clip.prompt for clip in next(iter(series.values())))
    alt = f"Clips from the same noise at guidance scales {', '.join(f'{g:g}' for g in series)}. Rows: {prompts}. "
    return step_slider(pictures, labels, alt + "; ".join(labels) + ".", still=len(pictures)).smaller()


def handover(steps: Sequence[int], levels: Sequence[float], found: dict[str, Sequence[float]]) -> Figure:
    """A prompt that is swapped: for each attribute, the share of clips that has it from the *first* prompt.

    steps: how many of them the first prompt had, and levels: at which noise level the second one takes over, one for
    each point of a line.
    """
    from matplotlib.figure import Figure as Canvas

    from minit2v.lab.drawings import described

    canvas = Canvas(figsize=(9.8, 3.6), layout="constrained")
    panel = canvas.subplots()
    styles = (("blue", "o", "-"), ("red", "s", "--"), ("green", "^", ":"), ("black", "D", "-."))
    said = []
    for (name, shares), (color, mark, dashes) in zip(found.items(), styles, strict=False):
        panel.plot(steps, shares, color=COLORS[color], marker=mark, linestyle=dashes, lw=2, label=name)
        said.append(f"{name}: " + ", ".join(f"{share:.2f}" for share in shares))
    names = [f"{step}\nσ {level:.2f}" for step, level in zip(steps, levels, strict=True)]
    panel.set_xticks(steps, labels=names)
    panel.set(xlabel="steps that the first prompt had, and the noise level at which it is lost", ylim=(-0.04, 1.06))
    panel.set_ylabel("share that is still\nas the first prompt asks")
    panel.legend(frameon=False, loc="center left")
    panel.spines[["top", "right"]].set_visible(False)
    alt = "What remains of the first prompt, against the step before which it is swapped. "
    return described(canvas, f"{alt}{'; '.join(said)}.")
