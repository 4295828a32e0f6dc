"""The tape of frames: cut along time, held against its ground truth, spoiled in known ways, and examined."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from minit2v.identity import sample
from minit2v.lab.page import COLORS, Figure
from minit2v.world import captions
from minit2v.world.captions import COLORS as PAINTS
from minit2v.world.captions import VOCABULARY, Meaning, parse, phrase, words
from minit2v.world.oracle import lab
from minit2v.world.render import flow, render, shadow_mask, subject_mask
from minit2v.world.scenes import Scene, sample_meaning, scene

# ---- cuts through the tape ---------------------------------------------------------------------------------------


def cut(frames: np.ndarray, row: int) -> np.ndarray:
    """An x-t slice: the same row of every frame (t, h, w, 3), the first frame's on top: (t, w, 3)."""
    return frames[:, row]


def slope(piece: np.ndarray) -> float:
    """How fast what is colorful moves in an x-t slice (t, w, 3), px a frame: the slant of its line.

    The center of the saturated pixels of each moment, and the least-squares line through the centers.
    """
    vivid = np.ptp(piece.astype(float), axis=-1)
    vivid = np.where(vivid > 80, vivid, 0)  # levels of 255: backgrounds have less
    centers = vivid @ np.arange(piece.shape[1]) / vivid.sum(axis=1)
    return float(np.polyfit(np.arange(len(piece)), centers, 1)[0])


def with_line(frame: np.ndarray, row: int) -> np.ndarray:
    """The frame, three times as large, with a dashed line where the knife goes."""
    big = frame.repeat(3, axis=0).repeat(3, axis=1)
    big[3 * row + 1, ::6] = big[3 * row + 1, 1::6] = big[3 * row + 1, 2::6] = (255, 255, 255)
    big[3 * row + 1, 3::6] = big[3 * row + 1, 4::6] = big[3 * row + 1, 5::6] = (0, 0, 0)
    return big


def slices(clips: dict[str, np.ndarray], rows: int | dict[str, int], about: str) -> Figure:
    """Clips side by side: a frame with the line of the cut above, the x-t slice below; time runs downwards."""
    from minit2v.lab.drawings import _arrow, _paste, _sheet, _write, described

    tile, gap, left = 128, 22, 46
    canvas, axes = _sheet(left + len(clips) * (tile + gap), 328)
    for column, (name, frames) in enumerate(clips.items()):
        x, row = left + column * (tile + gap), rows if isinstance(rows, int) else rows[name]
        _write(axes, x + tile / 2, 12, name, across="center", weight="bold")
        _paste(axes, with_line(frames[0], row), x, 26, tile, tile)
        _paste(axes, cut(frames, row), x, 178, tile, 136)
    _write(axes, left, 166, "the row under the line, frame by frame:", 10)
    _arrow(axes, 24, 178, 24, 314)
    axes.text(12, 246, "time", rotation=90, va="center", ha="center", fontsize=8.5)
    return described(canvas, about)


def cuts(frames: np.ndarray, rows: Sequence[int]) -> tuple[list[np.ndarray], list[str]]:
    """For a slider over the knife: pictures with the frame, its line, and the slice beside it; and their labels."""
    pictures = []
    for row in rows:
        whole = with_line(frames[0], row)
        piece = cut(frames, row).repeat(3, axis=1).repeat(whole.shape[0] // len(frames), axis=0)
        page = np.full((whole.shape[0], 2 * whole.shape[1] + 12, 3), 255, dtype=np.uint8)
        page[:, : whole.shape[1]] = whole
        page[: len(piece), whole.shape[1] + 12 :] = piece
        pictures.append(page)
    return pictures, [f"row {row}" for row in rows]


# ---- the ground truth --------------------------------------------------------------------------------------------


def along_flow(frames: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """What frame t + 1 shows at the place to which each pixel of frame t goes: (t - 1, h, w, 3) in 0 … 255.

    moves: (t - 1, h, w, 2), px, as `render.flow` gives it. If light is constant, this is frame t itself.
    """
    rows, columns = np.mgrid[: frames.shape[1], : frames.shape[2]] + 0.5
    return sample(frames[1:].astype(np.float64), columns + moves[..., 0], rows + moves[..., 1])


def in_sight(staged: Scene, moves: np.ndarray) -> np.ndarray:
    """(t - 1, h, w) bool: pixels that are still in the picture, and not covered, in the next frame. The border of the
    subject and its shadow, which lies still for nobody, are left out."""
    from scipy import ndimage

    on, dark = subject_mask(staged), shadow_mask(staged)
    grown = ndimage.binary_dilation(on > 0.01, np.ones((1, 5, 5), dtype=bool))
    calm = ~grown & (dark < 0.01) | ndimage.binary_erosion(on > 0.99, np.ones((1, 3, 3), dtype=bool))
    rows, columns = np.mgrid[: on.shape[1], : on.shape[2]] + 0.5
    x, y = columns + moves[..., 0], rows + moves[..., 1]
    inside = (x > 1) & (x < on.shape[2] - 1) & (y > 1) & (y < on.shape[1] - 1)
    there = sample(calm[1:, ..., None].astype(float), x, y)[..., 0] > 0.99
    same = (sample(on[1:, ..., None].astype(float), x, y)[..., 0] > 0.5) == (on[:-1] > 0.5)
    return calm[:-1] & there & inside & same


def truth(staged: Scene, t: int = 8) -> Figure:
    """What is known of a frame: where each pixel goes, what is subject and what is shadow, and all paths."""
    from matplotlib.figure import Figure as Canvas

    from minit2v.lab.drawings import described

    frames, moves = render(staged), flow(staged)
    canvas = Canvas(figsize=(9.8, 3.5), layout="constrained")
    seen, parts, paths = canvas.subplots(1, 3)
    for panel in (seen, parts):
        panel.set(xticks=[], yticks=[])
    seen.imshow(frames[t])
    grid = slice(3, None, 7)
    rows, columns = np.mgrid[: frames.shape[1], : frames.shape[2]]
    seen.quiver(columns[grid, grid], rows[grid, grid], *np.moveaxis(3 * moves[t, grid, grid], -1, 0), angles="xy",
                scale_units="xy", scale=1, color="black", width=0.006)  # fmt: skip
    seen.set_title(f"flow: where frame {t}'s pixels go\n(arrows three times as long)", fontsize=10)
    body, dark = subject_mask(staged)[t], shadow_mask(staged)[t]
    flat = np.full((*body.shape, 3), 0.96)
    for cover, color in ((dark, "orange"), (body, "blue")):
        paint = np.array([int(COLORS[color][i : i + 2], 16) / 255 for i in (1, 3, 5)])
        flat += cover[..., None] * (paint - flat)
    parts.imshow(flat)
    x, y = staged.screen_position[t]
    parts.annotate("", (x + staged.shadow[0], y + staged.shadow[1]), (x, y),
                   arrowprops=dict(arrowstyle="-|>", color="white", lw=2))  # fmt: skip
    parts.set_title("subject and its shadow:\nalways 4 px right, 4 px down", fontsize=10)
    time = np.arange(len(frames))
    lines = {"subject, in the world": (staged.position[:, 0], "blue", "o", "-"),
             "subject, on the screen": (staged.screen_position[:, 0] - staged.center[0], "red", "s", "--"),
             "camera": (staged.camera[:, 0], "green", "^", ":")}  # fmt: skip
    for name, (values, color, mark, dashes) in lines.items():
        paths.plot(time, values, color=COLORS[color], marker=mark, linestyle=dashes, ms=4, label=name)
    paths.set_title("paths from left to right, px", fontsize=10)
    paths.set_xlabel("frame")
    paths.legend(frameon=False, fontsize=9)
    paths.spines[["top", "right"]].set_visible(False)
    goes = [f"{name} goes from {values[0]:.0f} to {values[-1]:.0f} px" for name, (values, *_) in lines.items()]
    alt = (
        f"The ground truth of “{phrase(staged.meaning)}”. Left: frame {t} with arrows that show where its pixels go, "
        f"those of the subject another way than those of the ground. Middle: subject and shadow as flat shapes, the "
        f"shadow 4 px to the right and 4 px down. Right: paths over {len(frames)} frames: {'; '.join(goes)}."
    )
    return described(canvas, alt)


# ---- clips that are wrong in a known way -------------------------------------------------------------------------


def frame_by_frame(scenes: Sequence[Scene]) -> np.ndarray:
    """Frame t of scene t: whatever is fixed in a scene can so change over time."""
    return np.stack([render(staged)[t] for t, staged in enumerate(scenes)])


def bulb(frames: np.ndarray, levels: float, seed: int = 0) -> np.ndarray:
    """A loose bulb: the brightness of each whole frame is off by a draw of that spread, levels of 255."""
    jumps = np.random.default_rng(seed).normal(size=(len(frames), 1, 1, 1)) * levels
    return np.clip(frames + jumps, 0, 255).round().astype(np.uint8)


def dyed(staged: Scene, share: float, to: str = "purple") -> np.ndarray:
    """The subject's color goes evenly, over the clip, a share of the way to another one."""
    way = share * np.linspace(0, 1, len(staged.zoom))[:, None] * (np.array(PAINTS[to]) - staged.color)
    return frame_by_frame([replace(staged, color=staged.color + step) for step in way])


def shaking(staged: Scene, px: float, seed: int = 0) -> np.ndarray:
    """The subject is off its path by a draw of that spread in every frame."""
    off = np.random.default_rng(seed).normal(size=staged.position.shape) * px
    return render(replace(staged, position=staged.position + off))


def at_pace(staged: Scene, pace: float) -> np.ndarray:
    """The subject goes its way at `pace` times its speed, from the middle of its path."""
    middle = staged.position.mean(axis=0)
    return render(replace(staged, position=middle + pace * (staged.position - middle)))


def moonwalk(staged: Scene) -> np.ndarray:
    """It goes one way and faces the other."""
    return render(replace(staged, facing=-staged.facing))


def carousel(staged: Scene, step: float = 0.25) -> np.ndarray:
    """The light goes round, by `step` rad a frame, and the shadow with it."""
    angles = np.pi / 4 + step * np.arange(len(staged.zoom))
    radius = np.linalg.norm(staged.shadow)
    return frame_by_frame([replace(staged, shadow=radius * np.array([np.cos(a), np.sin(a)])) for a in angles])


def unlit(staged: Scene) -> np.ndarray:
    """Nothing casts a shadow."""
    return render(replace(staged, shadow=np.array([999.0, 999.0])))


# ---- the chapter's fears -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fear:
    """Something that can go wrong: in the chapter's words, the prompt, the real clip and the spoiled one, what was
    done to it, and the figure of `metrics.measure` that is made for it."""

    words: str
    meaning: Meaning
    real: np.ndarray
    spoiled: np.ndarray
    done: str
    figure: str


def fears() -> list[Fear]:
    """What the chapter fears, staged: every clip is drawn from a scene in which one thing was made wrong."""
    return [make() for make in (_identity, _texture, _gravity, _water, _flicker, _shadow, _teleport, _pillar)]


def _staged(prompt: str, seed: int = 1) -> tuple[Meaning, Scene]:
    return parse(prompt), scene(parse(prompt), seed)


def _half(first: Scene, then: Scene, at: int = 9) -> np.ndarray:
    return np.concatenate([render(first)[:at], render(then)[at:]])


def _identity() -> Fear:
    meaning, staged = _staged("a small red dog moves right slowly on a checkered floor")
    ball = replace(staged, meaning=replace(staged.meaning, subject="ball"))
    return Fear("identity drift can appear", meaning, render(staged), _half(staged, ball),
                "the dog becomes a ball", "identity_drift")  # fmt: skip


def _texture() -> Fear:
    meaning, staged = _staged("a large striped blue box moves right in front of a brick wall", 2)
    turning = [replace(staged, pattern_angle=0.6 + 0.12 * t) for t in range(len(staged.zoom))]
    return Fear("clothing texture can change", meaning, render(staged), frame_by_frame(turning),
                "the stripes turn, the box does not", "identity_drift.texture")  # fmt: skip


def _gravity() -> Fear:
    meaning, staged = _staged("a small red ball bounces on a checkered floor")
    y, time = staged.position[:, 1], np.arange(len(staged.zoom)) / staged.world.fps
    position = staged.position.copy()
    position[:, 1] = y.max() - np.ptp(y) * 2 * np.abs(time % 1 - 0.5)
    zigzag = render(replace(staged, position=position))
    return Fear("physics can break", meaning, render(staged), zigzag,
                "up and down at one speed", "physics.gravity_ratio")  # fmt: skip


def _water() -> Fear:
    meaning, staged = _staged("a large blue tank of water sloshes in front of a brick wall")
    wrong = staged.tilt * np.where(np.arange(len(staged.tilt)) < 8, 1, -1)
    return Fear("water may slosh the wrong way", meaning, render(staged), render(replace(staged, tilt=wrong)),
                "after a second, it swings the other way", "physics.slosh_residual")  # fmt: skip


def _flicker() -> Fear:
    meaning, staged = _staged("a large orange star spins on a checkered floor")
    return Fear("flicker may appear", meaning, render(staged), bulb(render(staged), 6),
                "a loose bulb: 6 levels, up or down", "flicker")  # fmt: skip


def _shadow() -> Fear:
    meaning, staged = _staged("a large green ball moves left on a checkered floor")
    return Fear("the same shadow must move sensibly", meaning, render(staged), carousel(staged),
                "the light goes round", "physics.shadow_error")  # fmt: skip


def _teleport() -> Fear:
    meaning, staged = _staged("a large green ball stands still on a checkered floor, the camera pans right")
    camera = staged.camera + np.where(np.arange(len(staged.zoom)) < 8, 0, 5)[:, None] * [1, 0]
    return Fear("the same camera should not teleport", meaning, render(staged), render(replace(staged, camera=camera)),
                "it jumps by 5 px, once", "physics.camera_jumps")  # fmt: skip


def _pillar() -> Fear:
    meaning, staged = _staged("a small red ball moves right behind a pillar on a checkered floor")
    blue = replace(staged, color=np.array(PAINTS["blue"]))
    return Fear("long-range consistency", meaning, render(staged), _half(staged, blue, 10),
                "a blue ball comes out", "physics.permanence")  # fmt: skip


# ---- the exam ----------------------------------------------------------------------------------------------------

EXAM = {  # figure of `metrics.measure`: heading, least, most
    "adherence": ("as asked", 1, 1), "flicker": ("flicker", 0, 1), "identity_drift": ("drift", 0, 1),
    "motion": ("speed", 0.8, 1.25), "motion.roughness": ("roughness", 0, 2), "physics": ("physics", 1, 1),
}  # fmt: skip


def passes(figures: dict[str, float]) -> dict[str, bool]:
    """For each heading of `EXAM`, whether the figure lies within its bounds. What does not apply, nan, passes."""
    return {
        name: not np.isfinite(figures[key]) or bool(least <= round(figures[key], 6) <= most)
        for key, (name, least, most) in EXAM.items()
    }


def exam(clips: dict[str, np.ndarray], figures: dict[str, dict], row: int, about: str) -> Figure:
    """One row per clip: three frames, an x-t slice, and the six figures of `EXAM`, each with ✓ or ✗."""
    from minit2v.lab.drawings import INK, RIGHT, WRONG, _fold, _paste, _sheet, _write, described

    left, tile, gap, head, wide = 150, 256 / 3, 4, 26, 86
    canvas, axes = _sheet(left + 4 * (tile + gap) + 24 + len(EXAM) * wide, head + len(clips) * (tile + 6))
    times = (0, len(next(iter(clips.values()))) // 2, -1)
    names = ["first frame", "middle", "last", "x-t slice"]
    for column, name in enumerate(names):
        _write(axes, left + column * (tile + gap) + tile / 2, 11, name, across="center")
    start, said = left + 4 * (tile + gap) + 24, []
    for column, (name, *_) in enumerate(EXAM.values()):
        _write(axes, start + column * wide + wide / 2, 11, name, weight="bold", across="center")
    for line, (label, frames) in enumerate(clips.items()):
        y, good = head + line * (tile + 6), passes(figures[label])
        _write(axes, left - 10, y + tile / 2, _fold(label, 19), across="right")
        pictures = [*(frames[t] for t in times), cut(frames, row)]
        for column, picture in enumerate(pictures):
            _paste(axes, picture, left + column * (tile + gap), y, tile, tile)
        cells = []
        for column, (key, (name, *_)) in enumerate(EXAM.items()):
            value, sign = number(figures[label][key]), "✓" if good[name] else "✗"
            x = start + column * wide + wide / 2
            _write(axes, x, y + tile / 2, f"{sign} {value}", 13, color=RIGHT if good[name] else WRONG, across="center")
            cells.append(f"{name} {value} {'fine' if good[name] else 'fails'}")
        axes.plot([10, start + len(EXAM) * wide], [y - 3, y - 3], color=INK, lw=0.3)
        said.append(f"{label}: {', '.join(cells)}")
    return described(canvas, f"{about} {'; '.join(said)}.")


def number(value: float) -> str:
    """A figure, short: "–" for what does not apply."""
    return "–" if not np.isfinite(value) else f"{round(float(value), 2) + 0.0:.2f}".replace("-0.00", "0.00")


# ---- curves ------------------------------------------------------------------------------------------------------

MARKS = (("blue", "o", "-"), ("red", "s", "--"), ("green", "^", ":"), ("orange", "D", "-."))


def panels(drawn: Sequence[dict], about: str, high: float = 3.2) -> Figure:
    """Small plots side by side. Each: {"title", "x", "lines": {name: values}, "across", "up"}, and if wanted
    "level": {name: height}, dashed lines across, and "log": True."""
    from matplotlib.figure import Figure as Canvas

    from minit2v.lab.drawings import described

    canvas, said = Canvas(figsize=(9.8, high), layout="constrained"), []
    for panel, plot in zip(np.atleast_1d(canvas.subplots(1, len(drawn))), drawn, strict=True):
        for (name, values), (color, mark, dashes) in zip(plot["lines"].items(), MARKS, strict=False):
            panel.plot(plot["x"], values, color=COLORS[color], marker=mark, linestyle=dashes, lw=2, ms=6, label=name,
                       markevery=max(1, len(values) // 16))  # fmt: skip
            said.append(f"{plot['title']}{name and ', ' + name}: {_series(plot['x'], values)}")
        for name, height in plot.get("level", {}).items():
            panel.axhline(height, color="#777777", lw=1.2, linestyle=(0, (4, 3)))
            panel.text(plot["x"][-1], height, name, ha="right", va="bottom", fontsize=9, color="#444444")
        panel.set_title(plot["title"], fontsize=10.5)
        panel.set_ylim(bottom=-0.04 * panel.get_ylim()[1])  # from zero, with its marks in full
        panel.set(xlabel=plot["across"], ylabel=plot.get("up", ""))
        if plot.get("log"):
            panel.set_xscale("log")
        if len(plot["lines"]) > 1:
            panel.legend(frameon=False, fontsize=9)
        panel.spines[["top", "right"]].set_visible(False)
    return described(canvas, f"{about} {'; '.join(said)}.")


def _series(x: Sequence, values: Sequence) -> str:
    """A curve in words: all of its values if they are few, else its ends and its peak."""
    if len(values) <= 12:
        return ", ".join(number(value) for value in values)
    top = int(np.argmax(values))
    return f"from {number(values[0])} to {number(values[-1])}, with a peak of {number(values[top])} at {x[top]}"


def shares(rows: dict[str, tuple[float, float]], names: tuple[str, str], about: str) -> Figure:
    """Two bars for each row, as percent: {row: (first, second)}; the second is hatched."""
    from matplotlib.figure import Figure as Canvas

    from minit2v.lab.drawings import described

    canvas = Canvas(figsize=(9.8, 0.34 * len(rows) + 0.9), layout="constrained")
    panel, places = canvas.subplots(), np.arange(len(rows))[::-1]
    for part, (color, hatch) in enumerate((("sky", ""), ("orange", "//"))):
        values = [100 * row[part] for row in rows.values()]
        panel.barh(places + 0.2 - 0.4 * part, values, 0.38, color=COLORS[color], hatch=hatch, edgecolor="white",
                   label=names[part])  # fmt: skip
    panel.set_yticks(places, labels=list(rows))
    panel.set_xlabel("percent")
    panel.legend(frameon=False, loc="lower right")
    panel.spines[["top", "right"]].set_visible(False)
    said = "; ".join(f"{name}: {100 * a:.0f} and {100 * b:.0f} percent" for name, (a, b) in rows.items())
    return described(canvas, f"{about} {names[0]}, and {names[1]}. {said}.")


# ---- what a bad caption does -------------------------------------------------------------------------------------


PLACES = {word: place for place, word in enumerate(VOCABULARY)}


def bag(text: str) -> np.ndarray:
    """A caption as the set of its words: 0 or 1 for each word of the vocabulary, and a 1."""
    seen = np.zeros(len(PLACES) + 1)
    seen[[PLACES[word] for word in words(text)]] = 1
    seen[-1] = 1
    return seen


def learned(seen: np.ndarray, colors: np.ndarray, ridge: float = 0.1) -> np.ndarray:
    """The least-squares map from bags of words (n, words + 1) to the colors (n, 3) of what the clips show.

    The smallest text-to-picture model there is: like any model that is trained on a squared error, it learns the mean
    of what it was shown for such a caption. (words + 1, 3)
    """
    return np.linalg.solve(seen.T @ seen + ridge * np.eye(seen.shape[1]), seen.T @ colors)


def miscaption(meaning: Meaning, rng, wrong: float = 0.0, vague: float = 0.0) -> Meaning:
    """What a careless writer says of a clip: now and then another color, or no color at all."""
    if rng.random() < wrong:
        return replace(meaning, color=rng.choice([name for name in PAINTS if name != meaning.color]))
    return replace(meaning, color=None) if rng.random() < vague else meaning


def study(counts: Sequence[int], seed: int = 0, wrong: float = 0.0, vague: float = 0.0) -> list[float]:
    """`color_error` after so many captioned training clips, with that share of wrong and of vague captions."""
    rng, seen, colors = random.Random(seed), [], []
    while len(seen) < max(counts):
        meaning = sample_meaning(rng)
        if meaning.color:
            seen.append(bag(phrase(miscaption(meaning, rng, wrong, vague), rng)))
            colors.append(PAINTS[meaning.color])
    seen, colors = np.stack(seen), np.array(colors)
    return [color_error(learned(seen[:count], colors[:count])) for count in counts]


def color_error(weights: np.ndarray) -> float:
    """How far the learned colors of the held-out pairs are off: mean CIELAB distance. None of the pairs was shown."""
    pairs = sorted(captions.HELD_OUT_COLOR_SUBJECT)
    texts = [phrase(Meaning(subject, (captions.REPERTOIRE[subject][-1],), color)) for color, subject in pairs]
    made = np.clip(np.stack([bag(text) for text in texts]) @ weights, 0, 1)
    return float(np.linalg.norm(lab(made) - lab(np.array([PAINTS[color] for color, _ in pairs])), axis=1).mean())
