"""Does a pass take the time and memory that the formulas say, and do they grow as the formulas say?

    python benchmarks/scaling.py [--device cuda] [--threads N] [--repeats 7] [--out docs]

Runs one forward pass of the transformer (full, factorised, windowed) and of the inflated U-Net over clips of 5 to 129
frames, of 64 to 384 px, and in batches of 1 to 16, and writes a page and a picture into `docs`: FLOPs by formula, the
roofline's seconds beside the measured ones, the predicted peak of live tensors beside the measured one, and the slopes
of both curves. `--tiny` runs sizes that take seconds, to try it out.

Seconds are the least of the repeats, the one that neighbors on the machine disturbed least. The roofline has this
machine's own product of 1024³ and its own copy of a large tensor. A slope is fitted, by least squares of logarithms,
over the compute-bound points: those whose predicted time is at least three times that of a pass with next to no work.
"""

import argparse
import math
import time
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import torch

from minit2v.arithmetic import Cost, LatentShape, device, memory, models
from minit2v.arithmetic.models import TransformerShape
from minit2v.cost.words import human
from minit2v.dit import DiT, DiTConfig
from minit2v.meter import peak_bytes
from minit2v.text import TextFeatures
from minit2v.unet import UNet, UNetConfig

WORDS, CHANNELS, SPACE, TIME = 16, 16, 8, 4  # tokens of the text; the latents of a 4 × 8 × 8 VAE
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Point:
    """One clip to measure: pixels of frames, px, clips at once."""

    frames: int
    size: int
    batch: int

    @property
    def latents(self) -> LatentShape:
        return LatentShape((self.frames - 1) // TIME + 1, CHANNELS, self.size // SPACE, self.size // SPACE)


BASE = Point(17, 128, 1)
SWEEPS = {
    "frames": [replace(BASE, frames=n) for n in (5, 9, 17, 33, 65, 129)],
    "size": [replace(BASE, size=n) for n in (64, 128, 192, 256, 384)],
    "batch": [replace(BASE, batch=n) for n in (1, 2, 4, 8, 16)],
}
TINY = {
    "frames": [Point(n, 64, 1) for n in (5, 9, 17)], "size": [Point(5, n, 1) for n in (32, 64)],
    "batch": [Point(5, 32, n) for n in (1, 2)],
}  # fmt: skip


def contestants(dim: int) -> dict:
    """name: configuration. Two layers each, so that factorised attention has one of both."""
    dit = DiTConfig(channels=CHANNELS, patch=(1, 2, 2), dim=dim, layers=2, heads=max(1, dim // 64), text_dim=dim)
    unet = UNetConfig(channels=CHANNELS, widths=(dim // 2, dim), text_dim=dim, temporal=(1, 1))
    return {
        "full": dit, "factorised": replace(dit, attention="factorised"), "windowed": replace(dit, window=2),
        "U-Net": unet,
    }  # fmt: skip


# ---- what the formulas say -------------------------------------------------------------------------------------


def cost_of(config, point: Point) -> Cost:
    """One pass over all clips of the point: what is computed, masked or not."""
    formula = models.transformer if isinstance(config, DiTConfig) else models.unet
    return formula(config, point.latents, WORDS, point.batch)


def peak_of(config, point: Point, number: int) -> int:
    """Bytes of live tensors, predicted."""
    formula = memory.transformer_peak if isinstance(config, DiTConfig) else memory.unet_peak
    return number * formula(config, point.latents, WORDS, point.batch).numbers


# ---- what the machine says -------------------------------------------------------------------------------------


class Machine:
    """Where it runs; its product and its copy are the roofline's."""

    def __init__(self, name: str, dtype: str, repeats: int, small: bool):
        self.name, self.dtype, self.repeats = torch.device(name), DTYPES[dtype], repeats
        self.number = memory.BYTES[dtype]
        side, length = (128, 10**5) if small else (1024, 10**8 if name == "cuda" else 10**7)
        a, b = (torch.ones(side, side, device=self.name, dtype=self.dtype) for _ in range(2))
        copy = torch.ones(length, device=self.name)
        flops = 2 * side**3 / self.seconds(lambda: a @ b)
        bandwidth = 8 * length / self.seconds(copy.clone)  # read once, written once
        self.roof = device.Device("this machine", flops, bandwidth, 1, 1, utilization=1)

    def seconds(self, run) -> float:
        """The least of the repeats, after one pass to warm up."""
        spent = []
        with torch.no_grad():
            for _ in range(self.repeats + 1):
                self.wait()
                start = time.perf_counter()
                run()
                self.wait()
                spent.append(time.perf_counter() - start)
        return min(spent[1:])

    def wait(self) -> None:
        if self.name.type == "cuda":
            torch.cuda.synchronize()

    def measure(self, model, point: Point) -> tuple[float, int]:
        """Seconds, and bytes of live tensors at the peak."""
        shape, put = point.latents, dict(device=self.name, dtype=self.dtype)
        latents = torch.randn(point.batch, shape.frames, CHANNELS, shape.height, shape.width, **put)
        level = torch.rand(point.batch, shape.frames, **put)
        dim = model.config.text_dim
        tokens, pooled = torch.randn(point.batch, WORDS, dim, **put), torch.randn(point.batch, dim, **put)
        text = TextFeatures(tokens, torch.ones(point.batch, WORDS, dtype=torch.bool, device=self.name), pooled)

        def run():
            model(latents, level, text)

        peak = peak_bytes(run, model, latents, level, [text.tokens, text.mask, text.pooled])
        return self.seconds(run), peak


@dataclass(frozen=True)
class Row:
    """A point of a curve: predicted and measured."""

    x: int
    cost: Cost
    predicted: float
    measured: float
    predicted_bytes: int
    measured_bytes: int


def curves(machine: Machine, dim: int, sweeps: dict) -> tuple[dict, dict[str, float]]:
    """{(sweep, name): rows}, and for each name the seconds of a pass with next to no work."""
    rows, idle = {}, {}
    for name, config in contestants(dim).items():
        model = (DiT if isinstance(config, DiTConfig) else UNet)(config).to(machine.name, machine.dtype)
        idle[name], _ = machine.measure(model, Point(1, 4 * SPACE, 1))
        for sweep, points in sweeps.items():
            rows[sweep, name] = [row_of(machine, model, sweep, point) for point in points]
            print(f"{name}, {sweep}: {', '.join(f'{row.measured:.4f} s' for row in rows[sweep, name])}", flush=True)
    return rows, idle


def row_of(machine: Machine, model, sweep: str, point: Point) -> Row:
    cost = cost_of(model.config, point)
    measured, peak = machine.measure(model, point)
    predicted = float(device.roofline(cost, machine.roof, machine.number).seconds)
    return Row(getattr(point, sweep), cost, predicted, measured, peak_of(model.config, point, machine.number), peak)


def slope(xs, ys) -> float:
    """The least-squares slope of log y over log x: how many times y doubles when x doubles."""
    xs, ys = ([math.log(value) for value in values] for values in (xs, ys))
    x0, y0 = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((x - x0) * (y - y0) for x, y in zip(xs, ys, strict=True)) / sum((x - x0) ** 2 for x in xs)


# ---- the page ----------------------------------------------------------------------------------------------------


def head(*names: str) -> list[str]:
    """The first two lines of a table."""
    return [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]


def slope_lines(rows: dict, idle: dict) -> list[str]:
    lines = head("over", "model", "compute-bound points", "formula's slope", "fitted slope", "difference")
    for (sweep, name), points in rows.items():
        bound = [row for row in points if row.predicted >= 3 * idle[name]]
        told = ["too few", "", "", ""]
        if len(bound) >= 2:
            xs = [row.x for row in bound]
            formula, fitted = slope(xs, [row.cost.flops for row in bound]), slope(xs, [row.measured for row in bound])
            told = [", ".join(map(str, xs)), f"{formula:.2f}", f"{fitted:.2f}", f"{fitted - formula:+.2f}"]
        lines.append(f"| {sweep} | {name} | {' | '.join(told)} |")
    return lines


def point_lines(rows: dict) -> list[str]:
    lines = []
    for (sweep, name), points in rows.items():
        lines += ["", f"### {name}, {sweep}", ""]
        lines += head(sweep, "FLOPs", "predicted", "measured", "predicted peak", "measured peak")
        for row in points:
            seconds = (human(Fraction(value), "s") for value in (row.predicted, row.measured))
            peaks = (human(value, "bytes") for value in (row.predicted_bytes, row.measured_bytes))
            lines.append(f"| {row.x} | {human(row.cost.flops, 'FLOP')} | {' | '.join([*seconds, *peaks])} |")
    return lines


def serving_lines() -> list[str]:
    """On paper, with the same formulas: a 5-second clip of 480 × 832 by a transformer of 1.7 billion parameters."""
    config = TransformerShape(channels=16, patch=(1, 2, 2), dim=1536, layers=30, heads=12, text_dim=4096, mlp_ratio=6)
    shape = LatentShape(21, 16, 60, 104)
    on, one = device.DEVICES["h100"], models.transformer(config, shape, 512)
    plain = device.Serving(steps=50, passes=2)
    ways = {
        "50 steps, guidance": plain, "batch 8": replace(plain, batch=8), "25 steps": replace(plain, steps=25),
        "4 steps, guidance distilled": replace(plain, steps=4, passes=1),
        "a third of the steps from a cache": replace(plain, reused=Fraction(1, 3)),
        "8 devices for each clip": replace(plain, devices=8),
    }  # fmt: skip
    lines = head("way", "latency", "clips an hour", "money for a clip")
    for name, way in ways.items():
        served = device.serve(one, Cost(), on, way)
        cells = human(served.latency, "s"), f"{float(served.clips_per_hour):.4g}", human(served.price, "$")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", *head("devices", "FLOPs spared each", "sent by each, all-to-all", "ring", "spared per byte sent")]
    tokens = shape.tokens(config.patch).tokens
    for n in (2, 4, 8):
        spared = device.flops_saved(one.flops, n)
        sent, passed_on = (way(config.layers, tokens, config.dim, n) for way in (device.all_to_all, device.ring))
        cells = human(spared, "FLOP"), human(sent, "bytes"), human(passed_on, "bytes"), f"{float(spared / sent):,.0f}"
        lines.append(f"| {n} | {' | '.join(cells)} |")
    return lines


def draw(rows: dict, path: Path) -> None:
    """Time above, memory below, one column per sweep: points are measured, lines predicted."""
    from matplotlib.figure import Figure

    from minit2v.lab.page import COLORS

    sweeps = list(dict.fromkeys(sweep for sweep, _ in rows))
    looks = {"full": ("red", "o", "-"), "factorised": ("blue", "^", "--"), "windowed": ("orange", "s", ":"),
             "U-Net": ("green", "v", "-.")}  # fmt: skip
    canvas = Figure(figsize=(11, 6.4), layout="constrained")
    panels = canvas.subplots(2, len(sweeps))
    for (sweep, name), points in rows.items():
        color, marker, dashes = looks[name]
        xs = [row.x for row in points]
        pairs = [([row.predicted for row in points], [row.measured for row in points]),
                 ([row.predicted_bytes for row in points], [row.measured_bytes for row in points])]  # fmt: skip
        for panel, (said, seen) in zip(panels[:, sweeps.index(sweep)], pairs, strict=True):
            panel.plot(xs, said, color=COLORS[color], linestyle=dashes, lw=1.5)
            panel.plot(xs, seen, color=COLORS[color], marker=marker, linestyle="", ms=6, fillstyle="none", label=name)
            panel.set(xscale="log", yscale="log", xlabel=sweep)
            panel.set_xticks(xs, list(map(str, xs)))
            panel.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
            panel.spines[["top", "right"]].set_visible(False)
    panels[0, 0].set_ylabel("seconds of a pass")
    panels[1, 0].set_ylabel("bytes at the peak")
    panels[0, 0].legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--dtype", default="fp32", choices=list(DTYPES))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--dim", type=int, default=256, help="width of the transformers")
    parser.add_argument("--out", type=Path, default=Path("docs"))
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)

    machine = Machine(options.device, options.dtype, options.repeats, options.tiny)
    rows, idle = curves(machine, 64 if options.tiny else options.dim, TINY if options.tiny else SWEEPS)
    picture = options.out / "pictures" / f"scaling-{options.device}.png"
    draw(rows, picture)
    flags = " ".join(f"--{name} {getattr(options, name)}" for name in ("device", "dtype", "threads", "repeats", "dim"))
    product, copy = human(machine.roof.flops, "FLOP"), human(machine.roof.bandwidth, "bytes")
    page = [
        "# How time and memory grow", "",
        f"`python benchmarks/scaling.py {flags}`: a product of 1024³ runs at {product}/s, a copy at {copy}/s.", "",
        *__doc__.strip().splitlines()[4:], "",
        f"![Points are measured, lines are predicted.](pictures/{picture.name})", "",
        "## Slopes", "", *slope_lines(rows, idle), "", "## Points", *point_lines(rows), "",
        "## Serving", "", serving_lines.__doc__, "On H100s at 40 % of their FLOP/s.", "", *serving_lines(), "",
    ]  # fmt: skip
    name = "scaling.md" if options.device == "cpu" else f"scaling-{options.device}.md"
    (options.out / name).write_text("\n".join(page), encoding="utf-8")
    print("\n".join(slope_lines(rows, idle)))


if __name__ == "__main__":
    main()
