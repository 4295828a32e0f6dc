"""From FLOPs and bytes to seconds and money: the roofline, a served clip, and what makes it cheaper.

    seconds of a pass = max( FLOPs / (FLOP/s · utilization),  numbers moved · bytes each / bandwidth )

(Williams, Waterman & Patterson 2009, the roofline.) Work that reads few bytes per FLOP is compute-bound, as a denoiser
of long clips is; small batches of small models wait for their weights instead. The chapter's bridge, "shipping it to
users means solving latency, batching, and cost at scale", is the second half. All figures are exact fractions.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from fractions import Fraction

from minit2v.arithmetic.checks import positive, whole
from minit2v.arithmetic.layers import Cost
from minit2v.errors import UserError, nearest


@dataclass(frozen=True)
class Device:
    """A machine to run on. FLOP/s are of dense bf16 products (fp32 on the CPU), as its maker says them.

    utilization: the share of them that real models reach; 0.4 is usual, and the most uncertain number here. price: of
    an hour, in dollars, a round figure of what it is rented for: give your own.
    """

    name: str
    flops: Fraction  # per second
    bandwidth: Fraction  # bytes per second
    memory: Fraction  # bytes
    price: Fraction  # dollars per hour
    utilization: Fraction = Fraction(2, 5)

    def __post_init__(self):
        for field in fields(self)[1:]:
            object.__setattr__(self, field.name, positive(field.name, getattr(self, field.name)))
        if self.utilization > 1:
            raise UserError(f"utilization is {float(self.utilization):g}; it is a share, above 0 and at most 1")


# The makers' data sheets, without sparsity. The laptop is two cores of one, as measured: a product of 1024³ in fp32.
DEVICES = {
    device.name: device
    for device in (
        Device("laptop", 10**11, 2 * 10**10, 16 * 10**9, "0.05"),
        Device("rtx-4090", 165 * 10**12, 1008 * 10**9, 24 * 10**9, "0.4"),
        Device("a100", 312 * 10**12, 2039 * 10**9, 80 * 10**9, "1.5"),
        Device("h100", 989 * 10**12, 3350 * 10**9, 80 * 10**9, "2.5"),
        Device("h200", 989 * 10**12, 4800 * 10**9, 141 * 10**9, "3"),
        Device("b200", 2250 * 10**12, 8000 * 10**9, 180 * 10**9, "5"),
    )
}


def find_device(name: str) -> Device:
    """The device of that name, in any case. Raises `UserError`, with the nearest names, for an unknown one."""
    if name.lower() not in DEVICES:
        hint = nearest(name[:40], DEVICES)
        raise UserError(f"unknown device {name[:40]!r}; one of {', '.join(DEVICES)}{hint and '; ' + hint}")
    return DEVICES[name.lower()]


# ---- the roofline ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Time:
    """Seconds of one pass, as the arithmetic and as the memory would have it; the slower one decides."""

    compute: Fraction
    memory: Fraction

    @property
    def seconds(self) -> Fraction:
        """The greater of the two."""
        return max(self.compute, self.memory)

    @property
    def bound(self) -> str:
        """Which one decides: "compute" or "memory"."""
        return "compute" if self.compute >= self.memory else "memory"


def roofline(cost: Cost, device: Device, number: int = 2) -> Time:
    """How long a pass takes on a device, with numbers of that many bytes. Only the products' traffic counts."""
    return Time(cost.flops / (device.flops * device.utilization), cost.moved * number / device.bandwidth)


def batched(cost: Cost, batch: int) -> Cost:
    """A pass over `batch` clips at once: all work grows, but the weights are read once. cost: of one clip."""
    moved = cost.parameters + batch * (cost.moved - cost.parameters)
    return Cost(cost.parameters, batch * cost.linear, batch * cost.convolution, batch * cost.attention, moved)


def training_flops(forward: int, checkpointing: bool = False) -> int:
    """FLOPs of a training step from those of its forward pass: 3 · forward, since the backward pass makes two products
    of every one, for the inputs and for the weights; with checkpointing 4 · forward, for blocks are run twice."""
    return (4 if checkpointing else 3) * forward


# ---- serving ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Serving:
    """How clips are made for people. Every field is a lever of the chapter's bridge: batch, cache, steps, devices."""

    steps: int = 30
    passes: int = 1  # per step: 2 with classifier-free guidance, 1 with it distilled away
    batch: int = 1  # clips in one pass
    reused: Fraction = Fraction(0)  # share of the steps that take the last one's result from a cache
    devices: int = 1  # that each take the same share of every pass, communication not counted

    def __post_init__(self):
        for name in ("steps", "passes", "batch", "devices"):
            object.__setattr__(self, name, whole(name, getattr(self, name)))
        if not 0 <= Fraction(self.reused) < 1:
            raise UserError(f"the reused share is {self.reused}; give at least 0 and less than 1")


@dataclass(frozen=True)
class Served:
    """What serving costs."""

    latency: Fraction  # seconds until the batch is done
    clips_per_hour: Fraction  # of all devices together
    price: Fraction  # dollars per clip


def serve(denoise: Cost, decode: Cost, device: Device, how: Serving, number: int = 2) -> Served:
    """Latency, throughput and price of clips whose forward pass and whose decoding cost this, each for one clip.

    latency = (steps · (1 − reused) · roofline(batch · passes) + roofline(batch, decoding)) / devices
    clips per hour = 3600 · batch / latency;  price = device's price · devices · latency / (3600 · batch)
    """
    step = roofline(batched(denoise, how.batch * how.passes), device, number).seconds
    last = roofline(batched(decode, how.batch), device, number).seconds
    latency = (how.steps * (1 - Fraction(how.reused)) * step + last) / how.devices
    hours = latency / 3600 / how.batch
    return Served(latency, 1 / hours, device.price * how.devices * hours)


def text_cache(layers: int, words: int, text_dim: int, dim: int, runs: int) -> int:
    """FLOPs that are saved if the text's keys and values, the same in all `runs` of the denoiser, are made once:
    (runs − 1) · layers · 2 · words · text_dim · 2 dim."""
    return (runs - 1) * layers * 4 * words * text_dim * dim


# ---- many devices for one clip -----------------------------------------------------------------------------------


def all_to_all(layers: int, tokens: int, dim: int, devices: int, number: int = 2) -> Fraction:
    """Bytes that each device sends in a pass if the tokens are shared out and every attention layer trades them for
    heads and back (DeepSpeed-Ulysses, Jacobs et al. 2023, section 3.2): queries, keys, values there, the result back,
    each time all of its own tokens but the share that it keeps.

        layers · 4 · (tokens / n) · dim · (n − 1) / n · number
    """
    return Fraction(layers * 4 * tokens * dim * (devices - 1) * number, devices**2)


def ring(layers: int, tokens: int, dim: int, devices: int, number: int = 2) -> Fraction:
    """Bytes that each device sends in a pass if keys and values go round (Ring Attention, Liu et al. 2023, section 3):
    layers · 2 · (n − 1) · (tokens / n) · dim · number, n / 2 times as many as `all_to_all`."""
    return Fraction(layers * 2 * tokens * dim * (devices - 1) * number, devices)


def flops_saved(forward: int, devices: int) -> Fraction:
    """FLOPs of a pass that a device is spared by the n − 1 others: forward · (n − 1) / n."""
    return Fraction(forward * (devices - 1), devices)
