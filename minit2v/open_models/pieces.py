"""What the published denoisers are put together from, each through the primitives of `minit2v.arithmetic`.

Rows are vectors that a layer treats one by one: tokens, or 1 for what is computed once per forward pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from minit2v.arithmetic import Cost, attention, linear, norm
from minit2v.arithmetic.memory import ATTENTION

FREQUENCIES = 256  # channels of the sinusoidal embedding that a noise level enters most transformers as


@dataclass(frozen=True)
class Forward:
    """One pass of a denoiser, batch 1, without guidance."""

    parts: dict[str, Cost]  # in reading order
    alive: int  # numbers of activations alive at once, about; see `widest`

    @property
    def total(self) -> Cost:
        """All parts together."""
        return sum(self.parts.values(), Cost())


def widest(rows: int, width: int, hidden: int) -> int:
    """Numbers alive at once in a transformer's block, in plain PyTorch, at the worse of two moments.

    Turning queries and keys: what the block was given twice, as it is added and as it goes in, and
    `minit2v.arithmetic.memory.ATTENTION`. In the feed-forward layer: the same two, its modulated input, and the hidden
    layer before and after its activation function, so `hidden` of both together.
    """
    return rows * max((2 + ATTENTION) * width, 3 * width + hidden)


def mlp(rows: int, *widths: int, bias: bool = True) -> Cost:
    """Linear layers in a row: mlp(n, d, 4d, d) is a transformer's feed-forward layer."""
    return sum((linear(rows, a, b, bias) for a, b in pairwise(widths)), Cost())


def gated_mlp(rows: int, width: int, hidden: int, bias: bool = True) -> Cost:
    """W (f(V x) · U x), GEGLU or SwiGLU (Shazeer 2020, equation 6): two ways in, one out."""
    return linear(rows, width, 2 * hidden, bias) + linear(rows, hidden, width, bias)


def self_attention(length: int, width: int, sequences: int = 1, inner: int | None = None, bias: bool = True) -> Cost:
    """Q, K, V, attention within each of the `sequences`, and the way out, which always has a bias."""
    inner = inner or width
    rows = sequences * length
    products = attention(length, length, inner, sequences)
    return 3 * linear(rows, width, inner, bias) + products + linear(rows, inner, width)


def cross_attention(
    length: int, keys: int, width: int, context: int, sequences: int = 1, bias: bool = True, repeated: bool = False
) -> Cost:
    """Q from each sequence, K and V from `keys` vectors of width `context`, attention, and the way out.

    repeated: K and V are computed anew for each sequence, from copies of the context.
    """
    rows, key_rows = sequences * length, keys * (sequences if repeated else 1)
    ways = linear(rows, width, width, bias) + 2 * linear(key_rows, context, width, bias)
    return ways + attention(length, keys, width, sequences) + linear(rows, width, width)


def head_norms(head_dim: int, bias: bool = False) -> Cost:
    """QK-norm, per head: one norm for the queries and one for the keys, shared by all heads."""
    return 2 * norm(head_dim, bias)


def time_embedding(width: int, rows: int = 1) -> Cost:
    """Noise level → sinusoids → width → width."""
    return mlp(rows, FREQUENCIES, width, width)
