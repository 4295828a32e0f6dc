"""What one layer costs: its parameters, and the floating point operations of one forward pass.

The convention, which is also that of `torch.utils.flop_counter`: only matrix products and convolutions count, and a
multiplication with its addition counts as 2 FLOPs. Attention counts as its two products, Q Kᵀ and scores · V, with
every pair that the kernel computes, masked or not. Biases, norms, activations, softmax, residual sums and
look-ups count as 0: they are a percent or less of the operations, though not of the time. `moved` counts the numbers
that these products read and write, each operand once: times the bytes of a number it is the least memory traffic.

Everything is an exact integer of Python, of any size, and nothing is allocated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace


@dataclass(frozen=True)
class Cost:
    """Parameters, and the forward FLOPs by the kind of product. Costs add up; `3 * cost` is three such layers."""

    parameters: int = 0
    linear: int = 0  # FLOPs of linear layers
    convolution: int = 0  # FLOPs of convolutions
    attention: int = 0  # FLOPs of attention's two products
    moved: int = 0  # numbers read and written: inputs, weights and outputs of the products

    @property
    def flops(self) -> int:
        """All forward FLOPs."""
        return self.linear + self.convolution + self.attention

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))

    def __radd__(self, other: int) -> Cost:  # so that sum(costs) works, which begins with 0
        return self if other == 0 else NotImplemented

    def __mul__(self, times: int) -> Cost:
        """That many layers of the same shape, each with its own weights."""
        return Cost(*(getattr(self, field.name) * times for field in fields(self)))

    __rmul__ = __mul__

    def run(self, times: int) -> Cost:
        """The same weights, run that many times: the work grows, the parameters do not."""
        return replace(times * self, parameters=self.parameters)


def linear(rows: int, width_in: int, width_out: int, bias: bool = True) -> Cost:
    """y = W x + b for each of `rows` vectors x, such as tokens.

    parameters = width_out · width_in (+ width_out); FLOPs = 2 · rows · width_in · width_out
    """
    weights = width_out * (width_in + bias)
    return Cost(weights, linear=2 * rows * width_in * width_out, moved=rows * (width_in + width_out) + weights)


def convolution(
    positions: int, width_in: int, width_out: int, kernel: tuple[int, ...], groups: int = 1, bias: bool = True,
    inputs: int | None = None,
) -> Cost:  # fmt: skip
    """A convolution in 1, 2 or 3 dimensions, as many as `kernel` has sizes.

    positions: number of output positions, over batch, time, height and width; inputs: that of input positions, where
    a stride makes them differ (only `moved` depends on it). A group sees width_in / groups channels.
    parameters = width_out · (width_in / groups) · Π kernel (+ width_out)
    FLOPs = 2 · positions · width_out · (width_in / groups) · Π kernel
    """
    products = width_out * (width_in // groups) * math.prod(kernel)
    weights = products + bias * width_out
    moved = (positions if inputs is None else inputs) * width_in + positions * width_out + weights
    return Cost(weights, convolution=2 * positions * products, moved=moved)


def convolved(size: int, kernel: int, stride: int = 1, padding: int = 0) -> int:
    """The length of a convolution's output along one axis: ⌊(size + 2 · padding − kernel) / stride⌋ + 1."""
    return (size + 2 * padding - kernel) // stride + 1


def attention(queries: int, keys: int, width: int, sequences: int = 1, value_width: int | None = None) -> Cost:
    """softmax(Q Kᵀ / √d) V (Vaswani et al. 2017, equation 1) without its projections: two products, no parameters.

    queries, keys: lengths of one sequence and of what it looks at; sequences: how many there are, over the batch.
    width = heads · head dimension, the sum over all heads; value_width: the same of V, where it differs.
    FLOPs = 2 · sequences · queries · keys · (width + value_width)
    """
    both = width + (width if value_width is None else value_width)
    return Cost(attention=2 * sequences * queries * keys * both, moved=sequences * (queries + keys) * both)


def norm(width: int, bias: bool = True) -> Cost:
    """A norm with a learned scale (RMSNorm, bias=False) and shift (LayerNorm, GroupNorm): width (+ width) numbers."""
    return Cost(width * (1 + bias))


def numbers(*sizes: int) -> Cost:
    """A learned array of that shape, such as an embedding of so many entries and channels: only parameters."""
    return Cost(math.prod(sizes))
