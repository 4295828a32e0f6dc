"""Who looks at whom, found out by disturbing tokens; what a look costs, on a running model; what it is good for."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from minit2v.arithmetic import KINDS, Cost, TokenGrid
from minit2v.attention import FOLDS, SpacetimeAttention, attend
from minit2v.cost.words import human
from minit2v.lab.page import COLORS, Figure

STYLES = {  # color, marker, dashes: all three differ
    "full": ("red", "o", "-"), "windowed": ("pink", "D", "--"), "spatial": ("orange", "s", "--"),
    "factorised": ("blue", "^", ":"), "temporal": ("green", "v", "-."),
}  # fmt: skip


def layers(kind: str, dim: int = 16, heads: int = 2, window: int | None = None, seed: int = 0) -> list:
    """One layer of each layout that `kind` (a key of `arithmetic.KINDS`) takes in turn, with random weights."""
    torch.manual_seed(seed)
    names = KINDS[kind]
    return [SpacetimeAttention(dim, heads, name, window).eval() for name in names]


@torch.no_grad()
def run(stack: Sequence, x: Tensor) -> Tensor:
    """Tokens x (b, f, n, d) through attention layers, each added to what it was given, as in the model."""
    for layer in stack:
        x = x + layer(x)
    return x


# ---- who looks at whom -------------------------------------------------------------------------------------------


def who_hears(stack: Sequence, grid: TokenGrid, dim: int = 16) -> np.ndarray:
    """Which tokens hear of which: (tokens, tokens) bool, row = who is disturbed, column = whose output moves.

    Nothing is read from the code: every token is disturbed in turn, and what moves by more than rounding is noted.
    """
    n = grid.tokens
    x = torch.randn(1, grid.frames, grid.places, dim, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    stack = [layer.double() for layer in stack]
    nudge = torch.eye(n, dtype=torch.float64).reshape(n, grid.frames, grid.places, 1)
    moved = (run(stack, x + nudge) - run(stack, x)).abs().amax(dim=-1)  # (n, f, places)
    return (moved.reshape(n, n) > 1e-9).numpy()


def matrices(found: dict[str, np.ndarray], grid: TokenGrid) -> Figure:
    """Squares of who hears of whom, side by side: a filled cell is a pair that does. Lines part the frames."""
    from matplotlib.figure import Figure as Canvas

    from minit2v.lab.drawings import described

    canvas = Canvas(figsize=(9.8, 9.8 / len(found) + 0.5), layout="constrained")
    said = []
    for panel, (name, square) in zip(canvas.subplots(1, len(found)), found.items(), strict=True):
        light, dark = (255, 255, 255), tuple(int(COLORS["blue"][i : i + 2], 16) for i in (1, 3, 5))
        panel.imshow(np.where(square[..., None], dark, light).astype(np.uint8))
        for frame in range(1, grid.frames):
            for line in (panel.axhline, panel.axvline):
                line(frame * grid.places - 0.5, color="#777777", lw=0.7)
        panel.set(xticks=[], yticks=[])
        panel.set_title(f"{name}\n{square.sum():,} of {square.size:,} pairs", fontsize=10)
        said.append(f"{name}: {square.sum():,} of {square.size:,} pairs")
    alt = f"Who hears of whom among {grid.frames} frames of {grid.places} places, as squares. {'; '.join(said)}."
    return described(canvas, alt)


# ---- what a look costs -------------------------------------------------------------------------------------------


def seconds(run: Callable, times: int = 3) -> float:
    """The shortest of some runs, after one to warm up: other work on the machine can only make a run longer."""
    run()
    found = []
    for _ in range(times):
        begin = time.perf_counter()
        run()
        found.append(time.perf_counter() - begin)
    return min(found)


def bare(layout: str, grid: TokenGrid, dim: int = 32, heads: int = 1, window: int | None = None) -> Callable:
    """A function that computes the attention of one layer, softmax(Q Kᵀ / √d) V, and nothing besides."""
    layer = SpacetimeAttention(dim, heads, layout, window)
    x = torch.randn(1, grid.frames, grid.places, dim, generator=torch.Generator().manual_seed(0))
    q = rearrange(rearrange(x, FOLDS[layout]), "b n (h d) -> b h n d", h=heads).contiguous()
    mask = layer.window_mask(grid.frames, grid.places)
    return torch.no_grad()(lambda: attend(q, q, q, mask))


def timed(grids: Sequence[TokenGrid], kinds: Sequence[str], dim: int = 32, heads: int = 1) -> dict[str, list[float]]:
    """kind: seconds of one layer's bare attention on each grid; factorised: of a spatial and a temporal one."""
    layouts = dict.fromkeys(layout for kind in kinds for layout in KINDS[kind])
    once = {layout: [seconds(bare(layout, grid, dim, heads)) for grid in grids] for layout in layouts}
    return {kind: [sum(parts) for parts in zip(*(once[name] for name in KINDS[kind]), strict=True)] for kind in kinds}


def counted(run: Callable) -> int:
    """FLOPs of all attention products, Q Kᵀ and scores · V, that PyTorch counts while `run()` runs.

    The counter does not see into the fused kernel of the CPU, so the plain one takes its place.
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        run()
    found = counter.get_flop_counts()["Global"].items()
    return sum(flops for op, flops in found if op.__name__ in ("bmm", "baddbmm"))


def layers_until_heard(kind: str, grid: TokenGrid, window: int | None = None, most: int = 12) -> int | None:
    """How many layers until every token has heard of every other one; None if `most` are not enough.

    Factorised layers take turns, the spatial one first.
    """
    for count in range(1, most + 1):
        stack = (layers(kind, window=window) * count)[:count]
        if who_hears(stack, grid).all():
            return count
    return None


def beside_the_formula(grids: Sequence[TokenGrid], scores: dict[str, list], found: dict[str, list]) -> Figure:
    """Scores by the formula (left) and measured milliseconds (right) against the clip's frames, on equal scales."""
    from matplotlib.figure import Figure as Canvas

    from minit2v.lab.drawings import described

    canvas = Canvas(figsize=(9.8, 4), layout="constrained")
    frames, said = [grid.frames for grid in grids], []
    panels = canvas.subplots(1, 2)
    for kind, values in scores.items():
        color, mark, dashes = STYLES[kind]
        drawn = (values, [1000 * second for second in found[kind]])
        for panel, points in zip(panels, drawn, strict=True):
            panel.plot(frames, points, color=COLORS[color], marker=mark, linestyle=dashes, lw=2)
            panel.annotate(f"  {kind}", (frames[-1], points[-1]), color=COLORS[color], va="center")
        said.append(f"{kind} from {values[0]:,} to {values[-1]:,} scores")
    titles = ("scores of one head, by the formula", "milliseconds of one layer, measured here")
    for panel, title in zip(panels, titles, strict=True):
        panel.set(xscale="log", yscale="log", xlabel="latent frames", title=title)
        panel.set_xticks(frames, labels=[str(count) for count in frames])
        panel.minorticks_off()
        panel.spines[["top", "right"]].set_visible(False)
        panel.margins(x=0.16)
    alt = (
        f"Two panels on logarithmic scales over {frames[0]} to {frames[-1]} latent frames of {grids[0].places} places. "
        f"Left, by the formula: {'; '.join(said)}. Right, measured milliseconds, in the same order and as steep where "
        "the work is large enough to be seen."
    )
    return described(canvas, alt)


# ---- what a look is good for -------------------------------------------------------------------------------------


def look_alikes(pixels: Tensor, layout: str, noise: float, patch: int = 5, softness: float = 0.5) -> Tensor:
    """Attention without any training: each pixel becomes the mean of those it may look at and that look like it.

    softmax over -|p - q|² / (2 · softness · d · noise²), p and q the patches (d numbers) around two pixels, times the
    pixels (Buades et al. 2005, non-local means; Wang et al. 2018 read it as attention). pixels (f, 3, h, w), noise:
    its standard deviation, in the same units. layout: "full", "spatial" or "temporal" -> (f, 3, h, w).
    """
    f, _, h, w = pixels.shape
    padded = F.pad(pixels, [patch // 2] * 4, mode="replicate")
    p = F.unfold(padded, patch).transpose(1, 2)  # (f, h · w, d)
    sharp = p.shape[-1] * softness * noise**2
    one = torch.ones_like(p[..., :1])
    q, k = torch.cat([p, one], -1) / sharp, torch.cat([p, -p.square().sum(-1, keepdim=True) / 2], -1)
    v = F.pad(rearrange(pixels, "f c h w -> f (h w) c"), (0, q.shape[-1] - 3))  # one fused kernel wants equal widths
    q = q * q.shape[-1] ** 0.5  # takes back the 1/√d of `attend`
    source, folded = FOLDS[layout].split(" -> ")
    q, k, v = (rearrange(x[None], f"{source} -> {folded}")[:, None] for x in (q, k, v))
    out = rearrange(attend(q, k, v)[:, 0, :, :3], f"{folded} -> {source}", b=1, f=f, n=h * w)[0]
    return rearrange(out, "f (h w) c -> f c h w", h=h)


def flicker_and_grain(pixels: Tensor, truth: Tensor) -> tuple[float, float]:
    """How far pixels (f, 3, h, w) are from the truth, in two parts, in the units given; 0 is best for both.

    flicker: how much the brightness of whole frames jumps about, the deviation over frames of the mean error of each.
    grain: the rms of what is left when every frame's mean error is taken away.
    """
    error = pixels - truth
    jump = error.mean(dim=(1, 2, 3), keepdim=True)
    return jump.std(correction=0).item(), (error - jump).square().mean().sqrt().item()


# ---- what others pay ---------------------------------------------------------------------------------------------


def bills(rows: Sequence[tuple[str, Cost]], alt: str) -> Figure:
    """name and one pass, for each model: how much of its FLOPs are attention's two products, hatched, as bars."""
    from matplotlib.figure import Figure as Canvas

    from minit2v.lab.drawings import described

    canvas = Canvas(figsize=(9.8, 0.34 * len(rows) + 0.9), layout="constrained")
    panel = canvas.subplots()
    names, passes = zip(*reversed(rows), strict=True)
    shares = [made.attention / made.flops for made in passes]
    panel.barh(names, [1 - share for share in shares], color=COLORS["sky"], label="everything else")
    panel.barh(names, shares, left=[1 - share for share in shares], color=COLORS["red"], hatch="//",
               edgecolor="white", label="attention's two products")  # fmt: skip
    for i, (share, made) in enumerate(zip(shares, passes, strict=True)):
        panel.text(1.01, i, f"{share:.0%} of {human(made.flops, 'FLOP')}", va="center", fontsize=10)
    panel.set(xlim=(0, 1.28), xlabel="share of one pass")
    panel.set_xticks([0, 0.25, 0.5, 0.75, 1], labels=["0", "25 %", "50 %", "75 %", "100 %"])
    panel.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.39, 1.0), ncols=2)
    panel.spines[["top", "right"]].set_visible(False)
    return described(canvas, alt)
