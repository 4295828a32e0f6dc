"""What the systems must show: bars, held against the figures that `benchmarks/systems.py` measures."""

import math
from collections.abc import Callable
from dataclasses import dataclass

LONG = 69  # frames: more than four times those of training


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


@dataclass(frozen=True)
class Bar:
    """What must be shown: a figure of the results, and the least and the most that it may be."""

    what: str
    least: float
    value: Callable[[dict], float]
    most: float = math.inf

    @property
    def range(self) -> str:
        return f"{self.least:g}" if self.most == math.inf else f"{self.least:g}–{self.most:g}"


def ratio(above: float | None, below: float | None) -> float | None:
    """How many times more; what lies at the level of real clips counts as a hundredth."""
    return None if above is None or below is None else above / max(below, 0.01)


BARS = [
    *(Bar(f"{name}: adherence", 0.75, lambda found, name=name: found[name]["adherence"])
      for name in ("sora", "gen2", "gen3", "veo")),
    Bar("gen2: flicker, temporal layers off over on", 5,
        lambda found: ratio(found["gen2, temporal layers off"]["flicker"], found["gen2"]["flicker"])),
    Bar("gen2: speed ratio, median", 0.8, lambda found: found["gen2"]["motion"], 1.25),
    Bar("gen2, temporal layers off: single frames right", 0.9,
        lambda found: found["gen2, temporal layers off"]["single_frames"]),
    Bar("gen2, temporal layers off: identity drift, where 1 is as far off as one would not accept", 1,
        lambda found: found["gen2, temporal layers off"]["drift"]),
    Bar("gen2 over gen3: drift in excess of real clips", 1.3,
        lambda found: ratio(found["gen2"]["drift_excess"], found["gen3"]["drift_excess"])),
    Bar("gen2 over gen3: roughness in excess of real clips", 1.3,
        lambda found: ratio(found["gen2"]["roughness_excess"], found["gen3"]["roughness_excess"])),
    Bar("pika: unseen pictures kept to the last frame", 0.8, lambda found: found["pika"]["pictures"]["kept"]),
    Bar("pika: speed ratio, median", 0.7, lambda found: found["pika"]["pictures"]["motion"]),
    Bar("veo: camera command obeyed", 0.85, lambda found: found["veo"]["camera"]),
    Bar(f"veo, {LONG} frames: camera command obeyed", 0.85, lambda found: found["veo"]["long"]["camera"]),
    Bar(f"veo, {LONG} frames: identity held at the last frame", 0.7, lambda found: found["veo"]["long"]["held"]),
    Bar("sora: permanence behind the pillar", 0.8, lambda found: found["sora"]["permanence"]),
]  # fmt: skip


def bar_lines(results: dict) -> list[str]:
    lines = ["| what | bar | measured | |", "|---|---|---|---|"]
    for bar in BARS:
        try:
            value = bar.value(results)
            verdict = "reached" if value is not None and bar.least <= value <= bar.most else "not reached"
        except KeyError:
            value, verdict = None, "no weights yet"
        lines.append(f"| {bar.what} | {bar.range} | {number(value)} | {verdict} |")
    return lines
