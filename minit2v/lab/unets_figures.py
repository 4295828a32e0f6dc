"""Figures of the temporal U-Net: the U, which frames hear of each other, its bill by scale, temporal strength."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minit2v import media
from minit2v.cost.words import human
from minit2v.lab.page import COLORS, Figure
from minit2v.lab.players import Steps, step_slider
from minit2v.unet import UNetConfig

SPATIAL, TEMPORAL = "#eaf4fb", "#fbe6c3"  # fills; temporal blocks are hatched besides


def u(config: UNetConfig, height: int, width: int) -> Figure:
    """The U with its sizes: spatial blocks plain, temporal ones hatched, skips from left to right."""
    from minit2v.lab.drawings import _arrow, _sheet, _write, described

    scales, said = len(config.widths), []
    canvas, axes = _sheet(980, 128 * scales + 10)
    for scale, wide in enumerate(config.widths):
        y, h, w = 62 + 128 * scale, height >> scale, width >> scale
        blocks = config.blocks[scale]
        temporal = bool(config.temporal and config.temporal[scale])
        size = f"{h} × {w} places of {wide} channels"
        attends = ", with attention" * (scale >= config.attention_from)
        said.append(f"{size}, {blocks} layer{'s' * (blocks > 1)}{attends}")
        if scale == scales - 1:
            left = 490 - blocks * 130
            end = _row(axes, left, y, blocks, temporal)
            _write(axes, (left + end) / 2, y - 16, f"middle: {size}", 11, "bold", across="center")
            _arrow(axes, 200 + 45 * (scale - 1), y - 128 + 62, left - 4, y + 24)
            _arrow(axes, end + 4, y + 24, 780 - 45 * (scale - 1), y - 128 + 62)
            _write(axes, 150 + 45 * (scale - 1), y - 2, "shrink: 2 × 2 places\nbecome one", 10, across="center")
            _write(axes, 830 - 45 * (scale - 1), y - 2, "grow: one place\nbecomes 2 × 2", 10, across="center")
            continue
        left = 90 + 45 * scale
        end = _row(axes, left, y, blocks, temporal)
        start = 980 - end
        _row(axes, start, y, blocks, temporal)
        _write(axes, left, y - 16, f"down: {size}", 11, "bold")
        _write(axes, 980 - left, y - 16, f"up: {size}", 11, "bold", across="right")
        _arrow(axes, end + 4, y + 24, start - 4, y + 24, COLORS["green"])
        _write(axes, 490, y + 10, "skip: handed across as it is", 10, across="center")
    _write(axes, 20, 86, "noisy\nlatents", 11)
    _write(axes, 960, 86, "velocity", 11, across="right")
    _write(axes, 20, 22, "plain: within each frame    hatched: along time, put in by inflation", 11)
    alt = (
        f"A U-Net, from fine to coarse: {'; '.join(said)}. On the way down 2 × 2 places become one, on the way up one "
        "becomes 2 × 2, and a skip hands what each scale has said across to its twin. Behind every spatial block "
        f"stands {'a hatched temporal one' if any(config.temporal) else 'no temporal one'}."
    )
    return described(canvas, alt)


def _row(axes, x: float, y: float, layers: int, temporal: bool) -> float:
    """Layers side by side, each a spatial block and perhaps a temporal one; returns where they end."""
    from matplotlib.patches import Rectangle

    from minit2v.lab.drawings import _write

    for _ in range(layers):
        for name, fill, hatch in (("spatial", SPATIAL, ""), ("temporal", TEMPORAL, "//"))[: 1 + temporal]:
            box = Rectangle((x, y), 112, 48, facecolor=fill, edgecolor=COLORS["blue"], lw=1.4)
            axes.add_patch(box)
            if hatch:
                axes.add_patch(Rectangle((x, y), 112, 9, facecolor=fill, edgecolor=COLORS["red"], lw=0, hatch="////"))
            _write(axes, x + 56, y + 26, name, 11, across="center")
            x += 122
        x += 8
    return x - 18


def who_hears(found: dict[str, np.ndarray], least: float = 1e-12) -> Figure:
    """Squares of frames: row, the frame that is replaced; column, how far each frame moves; white, not at all."""
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure as Canvas

    from minit2v.lab.drawings import described

    tones = ListedColormap([(0.92 - 0.92 * t, 0.96 - 0.51 * t, 1 - 0.3 * t) for t in np.linspace(0, 1, 64)])
    canvas, said = Canvas(figsize=(9.8, 3.7), layout="constrained"), []
    panels = canvas.subplots(1, len(found), sharey=True)
    for panel, (name, moved) in zip(panels, found.items(), strict=True):
        shown = np.ma.log10(np.ma.masked_less(moved, least))
        drawn = panel.imshow(shown, cmap=tones, vmin=-6, vmax=0)
        panel.set_facecolor("#ffffff")
        count = int((moved[0] > least).sum())
        panel.set_title(f"{name}: frame 0 moves\n{count} of {len(moved)} frames", fontsize=11)
        panel.set_xlabel("frame that moves")
        said.append(f"{name}: frame 0 moves {count} of {len(moved)} frames")
        panel.set_xticks(range(0, len(moved), 4))
    panels[0].set_yticks(range(0, len(moved), 4))
    panels[0].set_ylabel("frame that is replaced")
    canvas.get_layout_engine().set(rect=(0.02, 0, 0.97, 1))
    bar = canvas.colorbar(drawn, ax=panels, shrink=0.8, label="how far it moves; white: not at all")
    bar.set_ticks([-6, -3, 0], labels=["a millionth", "a thousandth", "1"])
    alt = f"Squares of {len(moved)} by {len(moved)} frames: which frames move when one is replaced. {'; '.join(said)}."
    return described(canvas, alt)


KINDS = (("convolution", "sky", ""), ("linear", "green", ".."), ("attention", "red", "//"))


def bill(systems: dict[str, Sequence]) -> Figure:
    """FLOPs of one pass, scale by scale: name: rows of `unets.by_scale`. Colors and hatches tell the kinds apart."""
    from matplotlib.figure import Figure as Canvas

    from minit2v.lab.drawings import described

    bars = [(f"{name}, {row.name}", row) for name, rows in systems.items() for row in rows][::-1]
    canvas = Canvas(figsize=(9.8, 0.36 * len(bars) + 1.1), layout="constrained")
    panel, said = canvas.subplots(), []
    most = max(row.flops for _, row in bars)
    for i, (name, row) in enumerate(bars):
        left = 0
        for kind, color, hatch in KINDS:
            value = getattr(row, kind)
            panel.barh(i, value, left=left, color=COLORS[color], hatch=hatch, edgecolor="white", lw=0.5,
                       label=kind if kind != "attention" else "attention's two products")  # fmt: skip
            left += value
        panel.text(left + 0.01 * most, i, human(row.flops, "FLOP"), va="center", fontsize=10)
        share = f"{row.attention / row.flops:.0%} of it attention's products"
        said.append(f"{name}: {human(row.flops, 'FLOP')}, {share}")
    panel.set_yticks(range(len(bars)), labels=[f"{name}: {row.places:,} places × {row.width}" for name, row in bars])
    panel.set(xlim=(0, 1.16 * most), xlabel="FLOPs of one pass")
    panel.set_xticks([])
    handles, labels = panel.get_legend_handles_labels()
    panel.legend(handles[:3], labels[:3], frameon=False, loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=3)
    panel.spines[["top", "right", "bottom"]].set_visible(False)
    return described(canvas, f"FLOPs of one pass, by scale and by kind. {'; '.join(reversed(said))}.")


def strengths(series: dict[float, np.ndarray], notes: dict[float, str]) -> Steps:
    """A slider over temporal strength: the same noise each time; clips uint8 (n, t, h, w, 3), one row each."""
    pictures = [
        np.concatenate([media.strip(media.enlarge(clip, 64), clips.shape[1]) for clip in clips])
        for clips in series.values()
    ]
    labels = [f"temporal strength {strength:g}: {notes[strength]}" for strength in series]
    alt = f"Clips from the same noise at temporal strengths {', '.join(f'{s:g}' for s in series)}, a clip in each row. "
    return step_slider(pictures, labels, alt + "; ".join(labels) + ".", still=len(pictures)).smaller()
