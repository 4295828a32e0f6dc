"""Figures of the failure lab: failures beside healthy clips, who rings at what, and the chapter's knobs as sliders."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from minit2v.clip import Clip
from minit2v.lab.drawings import INK, WRONG, _sheet, _write, described, strips
from minit2v.lab.failures import FAILURES, Bench
from minit2v.lab.inspectors import INSPECTORS
from minit2v.lab.live import Sliders
from minit2v.lab.page import COLORS, Figure, Html, show_source, table
from minit2v.request import Given

STORED = Path(__file__).parent / "assets" / "claims.json"
MOMENTS = 4  # frames of a clip that are shown: 0, 5, 11, 16; every fourth would hide what goes wrong in groups of four


# ---- failures beside healthy clips ---------------------------------------------------------------------------------


def beside(bench: Bench, names: Sequence[str], which: int = 0, moments: int = MOMENTS) -> Figure:
    """A healthy clip and below it the same with each of these failures, which two figures of the inspectors tell of."""
    rows = [bench.beside(names[0])[which], *(bench.made(name)[which] for name in names)]
    notes = [f"“{rows[0].prompt}”", *(note(bench, name) for name in names)]
    about = "Clips of one prompt, seed and model; in each but the first, one thing is wrong."
    return small(strips([clip.frames for clip in rows], ["healthy", *names], notes, about, moments))


def small(figure: Figure, colors: int = 48) -> Figure:
    """The same figure in fewer colors: a lesson with many must not be large."""
    return Figure(figure.picture.convert("RGB").quantize(colors, dither=Image.Dither.NONE), figure.alt)


def silent(bench: Bench, names: Sequence[str], which: int = 0) -> Figure:
    """A healthy clip, and the same with bugs that hardly anybody notices."""
    rows = [bench.healthy[which], *(bench.made(name)[which] for name in names)]
    notes = [f"“{rows[0].prompt}”", *(f"{bench.changed(name):.0%} of the pixels changed" for name in names)]
    about = "Clips of one prompt and seed, each but the first with a bug."
    return small(strips([clip.frames for clip in rows], ["healthy", *names], notes, about, MOMENTS))


def note(bench: Bench, name: str) -> str:
    """What catches a failure and what is blind to it, with their figures beside the healthy ones."""
    failure, now = FAILURES[name], bench.figures(name)
    before = bench.figures("healthy, from a picture" if failure.given else "healthy")
    caught = f"caught by {failure.catches}: {number(before[failure.catches])} → {number(now[failure.catches])}"
    blind = f"blind is {failure.blind}: {number(before[failure.blind])} → {number(now[failure.blind])}"
    return f"{failure.looks}\n{caught}\n{blind}"


def number(value: float) -> str:
    """A figure in few characters."""
    return "none" if np.isnan(value) else f"{value:.2f}" if abs(value) < 10 else f"{value:.0f}"


def causes(names: Sequence[str]) -> Html:
    """The cause of each failure in the code, folded: the package's own lines, and those that stood in their place."""
    parts, said = [], []
    for name in names:
        failure = FAILURES[name]
        settings = ", ".join(f"{key} = {value:g}" for key, value in failure.settings.items())
        shown = [("The package's own lines", show_source(thing)) for thing in failure.right]
        shown += [("In their place stood", show_source(thing)) for thing in failure.wrong]
        body = "".join(f"<p>{label}:</p><pre>{escape(source.text)}</pre>" for label, source in shown)
        told = f"<p><b>Cause:</b> {escape(failure.cause)}{f' ({settings})' if settings else ''}.</p>"
        told += f"<p><b>Fix:</b> {escape(failure.fix)}.</p>"
        parts.append(f"<details><summary><b>{escape(name)}</b></summary>{told}{body}</details>")
        said += [f"{name}: {failure.cause}", *(source.text for _, source in shown)]
    return Html("".join(parts), "\n".join(said))


# ---- who rings at what ---------------------------------------------------------------------------------------------


def rings(bench: Bench, names: Sequence[str]) -> Figure:
    """A row for each failure, a column for each inspector: its figure, and ✗ where it rings."""
    wide, high, left, head = 60, 21, 232, 84
    canvas, axes = _sheet(980, head + high * (len(names) + 1) + 10)
    for column, key in enumerate(INSPECTORS):
        axes.text(left + wide * (column + 0.5), head - 8, key, fontsize=8.5, rotation=35, ha="left", va="bottom")
    said = []
    for row, name in enumerate(["healthy", *names]):
        y, found = head + high * (row + 0.5), bench.figures(name)
        ringing = bench.ringing(name)
        _write(axes, left - 8, y, name, 10, "bold" if row == 0 else "normal", across="right")
        for column, key in enumerate(INSPECTORS):
            x, out = left + wide * column, key in ringing
            fill = "#f6d9c6" if out else "#eef4f8"
            axes.fill([x, x + wide - 2, x + wide - 2, x], [y - 10, y - 10, y + 9, y + 9], facecolor=fill, lw=0)
            text = f"✗ {number(found[key])}" if out else number(found[key])
            _write(axes, x + wide / 2 - 1, y, text, 9, "bold" if out else "normal", WRONG if out else INK, "center")
        said.append(f"{name}: {', '.join(ringing) or 'none'}")
    alt = f"A table of {len(names)} failures and {len(INSPECTORS)} inspectors. Who rings: {'; '.join(said)}."
    return small(described(canvas, alt))


def ledger(bench: Bench, names: Sequence[str]) -> Html:
    """All failures in one table: what one sees, the cause, the fix, and the two figures that tell of it."""
    head = ["failure", "what one sees", "cause", "caught by", "healthy → broken", "blind", "healthy → broken", "fix"]
    rows = []
    for name in names:
        failure, now = FAILURES[name], bench.figures(name)
        before = bench.figures("healthy, from a picture" if failure.given else "healthy")
        pairs = [(key, f"{number(before[key])} → {number(now[key])}") for key in (failure.catches, failure.blind)]
        rows.append([name, failure.looks, failure.cause, *pairs[0], *pairs[1], failure.fix])
    return table(head, rows, f"{len(rows)} failures, clips of each: {len(bench.prompts)}")


class Shelf(Sliders):
    """A chooser of failures: the healthy clip and the broken one, what is seen, the cause and the fix. For pages that
    cannot run, `rings` shows the same figures."""

    def __init__(self, bench: Bench, names: Sequence[str] = tuple(FAILURES)):
        self.bench, self.names = bench, list(names)
        self.choices, self.start = {"failure": self.names}, {"failure": self.names[0]}

    def page(self, choices: dict[str, str]) -> str:
        """One failure as HTML: two clips with controls, their figures, and the code."""
        name = choices["failure"]
        clips = {"healthy": self.bench.beside(name)[0], name: self.bench.made(name)[0]}
        shown = "".join(f"<h4>{escape(label)}</h4>{clip._repr_html_()}" for label, clip in clips.items())
        return f"{shown}<pre>{escape(note(self.bench, name))}</pre>{causes([name]).html}"

    def __repr__(self) -> str:
        return f"{len(self.names)} failures to choose from"


# ---- the chapter's four knobs --------------------------------------------------------------------------------------


@lru_cache
def stored() -> dict:
    """The measured curves: claim -> its settings, effects, bands and verdict, and the command that made them. {} before
    `benchmarks/failure_curves.py` has made any."""
    if not STORED.is_file():
        return {}
    return json.loads(STORED.read_text(encoding="utf-8"))


def verdict(one: dict) -> str:
    """Whether a claim is borne out by its curve, in a sentence that holds whatever was measured."""
    way = "rises" if one["sign"] > 0 else "falls"
    if one["change"] is None or None in one["change_band"]:
        return "Not borne out: at one end of the knob nothing could be measured."
    low, high = one["change_band"]
    seen = (
        f"from the first setting to the last the effect changes by {one['change']:+.3f} "
        f"(95 % band {low:+.3f} to {high:+.3f}), rank correlation {one['rho'] or 0:+.3f}"
    )
    if one["borne_out"]:
        return f"Borne out: it {way}; {seen}."
    if one["sign"] * one["change"] > 0:
        return f"Not borne out: it {way} as claimed, but not steadily enough, or within what chance does; {seen}."
    return f"Not borne out: it does not even go the way that is claimed; {seen}."


def figure(value: float | None) -> str:
    """A stored figure; None stands for what could not be measured."""
    return "none" if value is None else number(value)


def curves(claims: dict) -> Figure:
    """The effect over each knob, with 95 % bands over prompts; dotted upright: the default, level: real clips."""
    from matplotlib.figure import Figure as Canvas

    canvas, said = Canvas(figsize=(9.8, 6.2), layout="constrained"), []
    for panel, one in zip(np.ravel(canvas.subplots(2, 2)), claims.values(), strict=False):
        _curve(panel, one)
        panel.set_title(one["title"].replace(", ", ",\n"), fontsize=10)
        pairs = zip(one["settings"], map(figure, one["effect"]), strict=True)
        said.append(f"{one['title']}: " + ", ".join(f"{y} at {x:g}" for x, y in pairs))
    return small(described(canvas, f"Four curves with bands. {'; '.join(said)}."))


def _curve(panel, one: dict, at: float | None = None) -> None:
    low, high = np.array(one["bands"], dtype=float).T
    places = np.arange(len(one["settings"]))
    panel.fill_between(places, low, high, color=COLORS["blue"], alpha=0.18, lw=0)
    panel.plot(places, np.array(one["effect"], dtype=float), color=COLORS["blue"], marker="o", lw=2)
    if one["default"] in one["settings"]:
        panel.axvline(one["settings"].index(one["default"]), color="#777777", linestyle=":", lw=1)
    if one["real"] is not None:
        panel.axhline(one["real"], color=COLORS["green"], linestyle="--", lw=1.2)
        panel.text(places[-1], one["real"], "real clips ", fontsize=8, ha="right", va="bottom")
    if at is not None:
        place = one["settings"].index(at)
        panel.plot([place], [one["effect"][place]], color=COLORS["red"], marker="D", ms=11, mfc="none", mew=2)
    panel.set_xticks(places, labels=[f"{x:g}" for x in one["settings"]], fontsize=8)
    panel.set_xlabel(one["knob"].split(":")[0], fontsize=9)
    panel.set_ylabel(one["figure"].split(":")[0].replace(" that ", "\nthat "), fontsize=9)
    panel.spines[["top", "right"]].set_visible(False)


class Dial(Sliders):
    """One knob: its measured curve, and a live clip at the setting where the slider stands. `stills` shows the
    clips of some settings, for pages that cannot run."""

    def __init__(self, bench: Bench, key: str, steps: int = 8):
        self.bench, self.key, self.one, self.steps, self._clips = bench, key, stored()[key], steps, {}
        settings = self.one["settings"]
        self.choices = {self.name: settings}
        self.start = {self.name: min(settings, key=lambda x: abs(x - self.one["default"]))}

    def clip(self, setting: float) -> Clip:
        """The bench's first prompt and seed, with the knob at `setting`."""
        if setting not in self._clips:
            bench, how, given = self.bench, {"steps": self.steps}, None
            how |= {"steps": int(setting)} if self.key == "steps" else {}
            how |= {"guidance": setting} if self.key in ("guidance", "text") else {}
            if self.key == "hold":
                given = Given(bench.pictures[0], noise=round(1 - setting, 6))
            own = bench.system.temporal_strength
            bench.system.temporal_strength = setting if self.key == "mixing" else own
            try:
                self._clips[setting] = bench.system.generate(bench.prompts[0], seed=bench.seeds[0], given=given, **how)
            finally:
                bench.system.temporal_strength = own
        return self._clips[setting]

    def page(self, choices: dict[str, float]) -> str:
        """Curve and clip at one setting, as HTML."""
        from matplotlib.figure import Figure as Canvas

        setting, canvas = choices[self.name], Canvas(figsize=(5.6, 2.8), layout="constrained")
        _curve(canvas.subplots(), self.one, setting)
        place = self.one["settings"].index(setting)
        alt = f"{self.one['figure']}: {self.one['effect'][place]} at {setting:g}, band {self.one['bands'][place]}"
        return described(canvas, alt).html + self.clip(setting)._repr_html_()

    @property
    def name(self) -> str:
        return self.one["knob"].split(":")[0]

    def stills(self, settings: Sequence[float], moments: int = MOMENTS) -> Figure:
        """The clips at some settings, with the measured effect."""
        notes = []
        for setting in settings:
            place = self.one["settings"].index(setting)
            low, high = self.one["bands"][place]
            effect = f"{self.one['figure'].split(':')[0]}: {figure(self.one['effect'][place])}"
            notes.append(f"{effect}\n95 % band {figure(low)} to {figure(high)}")
        about = f"“{self.bench.prompts[0]}”, one seed, at settings of one knob: {self.name}."
        clips = [self.clip(setting).frames for setting in settings]
        return small(strips(clips, [f"{setting:g}" for setting in settings], notes, about, moments))

    def __repr__(self) -> str:
        return f"a slider for {self.name}"
