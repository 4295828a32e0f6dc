"""Clips side by side, on one page, measured, and step by step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from minit2v import clip as clips_module
from minit2v import media
from minit2v.clip import Clip
from minit2v.errors import UserError
from minit2v.lab.live import Live
from minit2v.lab.page import Figure, Html, image, table


def player(*clips: Clip) -> Html:
    """Clips, each with controls, its prompt and what the judge sees in it."""
    if not clips:
        raise UserError("no clip to play; give at least one")
    body = "".join(f"<div>{clip._repr_html_()}</div>" for clip in clips)
    text = "\n".join(clip.describe() for clip in clips)
    return Html(f'<div style="display:flex;flex-wrap:wrap;gap:1.5em">{body}</div>', text)


def contact_sheet(clips: Sequence[Clip], captions: Sequence[str] | None = None, columns: int = 2) -> Figure:
    """Five frames of each clip over its caption: `clip.contact_sheet` with a description."""
    page = clips_module.contact_sheet(clips, captions, columns)
    said = "; ".join(f"{clip.prompt}: {clip.reading.sentence()}" for clip in clips)
    return Figure(page, f"{len(clips)} clips, five frames of each. Prompt, and what the judge sees: {said}")


def measurements(clip: Clip) -> Html:
    """The clip's figures beside the same figures of four controls: see `metrics.report`."""
    if clip.meaning is None:
        raise UserError(f"{clip!r} has no prompt to measure it against")
    from minit2v.metrics import report

    figures = report([clip.frames], [clip.meaning], clip.world)
    units = {
        "flicker": "levels of 255", "identity_drift": "0 is best", "motion": "speed, share of what was asked",
        "physics": "1: lawful",
    }  # fmt: skip
    controls = ("real", "frozen", "shuffled", "other")
    rows = [
        [name, *map(_number, [figures[name]["value"], *(figures[name]["controls"][key] for key in controls)]), unit]
        for name, unit in units.items()
    ]
    head = ["", "this clip", "real clip", "its first frame, frozen", "its frames, shuffled", "another prompt's", "unit"]
    return table(head, rows, "Measured, beside what the same figures say of other clips")


def _number(value: float | None) -> str:
    return "does not apply" if value is None else f"{value:.2f}"


def step_slider(pictures: Sequence[np.ndarray], labels: Sequence[str], alt: str, still: int = 6) -> Steps:
    """A slider through pictures (h, w, 3) uint8, and below it a still page of at most `still` of them.

    Where a page cannot run the slider, as on the web, the still page remains. `alt` describes the whole series.
    """
    if len(pictures) != len(labels) or not len(pictures):
        raise UserError(f"{len(pictures)} pictures and {len(labels)} labels; give one label for each picture")
    return Steps(list(pictures), list(labels), alt, still)


class Steps(Live):
    """What `step_slider` returns: a slider, and a page for those who cannot use it."""

    def __init__(self, pictures, labels, alt, still):
        self.pictures, self.labels, self.alt = pictures, labels, alt
        some = np.unique(np.linspace(0, len(pictures) - 1, still).round().astype(int))
        page = media.sheet([(pictures[i], labels[i]) for i in some], columns=min(2, len(some)))
        self.still = Figure(page, alt)

    def build(self):
        """A slider over a picture; arrow keys move it."""
        import ipywidgets

        last = len(self.pictures) - 1
        slider = ipywidgets.IntSlider(0, 0, last, description="step", readout=False)  # the label says which
        view = ipywidgets.HTML(self._page(0))
        slider.observe(lambda change: setattr(view, "value", self._page(change["new"])), "value")
        return ipywidgets.VBox([slider, view])

    def _page(self, i: int) -> str:
        picture = media.png_bytes(Image.fromarray(self.pictures[i]))
        return f"<p>{self.labels[i]}</p>{image(picture, f'{self.labels[i]}. {self.alt}')}"

    def smaller(self) -> Steps:
        """The same slider, its still page in 256 colors: a third of the bytes."""
        few = self.still.picture.quantize(256, dither=Image.Dither.NONE)
        self.still = Figure(few, self.alt)
        return self

    def __repr__(self) -> str:
        return f"{len(self.pictures)} steps: {self.alt}"
