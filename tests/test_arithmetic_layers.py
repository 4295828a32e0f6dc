"""The price of single layers, against PyTorch's own counters on tensors without storage."""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from minit2v import arithmetic as a


def counted(run):
    """FLOPs of what `run` does, by PyTorch's counter."""
    with FlopCounterMode(display=False) as counter, torch.device("meta"):
        run()
    return counter.get_total_flops()


def parameters(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("rows", "wide", "out"), [(1, 1, 1), (7, 5, 3), (130, 64, 257)])
def test_linear(rows, wide, out, bias):
    with torch.device("meta"):
        layer = nn.Linear(wide, out, bias=bias)
    cost = a.linear(rows, wide, out, bias)
    assert cost.parameters == parameters(layer)
    assert cost.flops == cost.linear == counted(lambda: layer(torch.empty(rows, wide)))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("kind", "sizes", "kernel", "stride", "padding", "groups"),
    [
        (nn.Conv1d, (9,), (3,), 1, 1, 1),
        (nn.Conv2d, (8, 10), (3, 3), 2, 1, 1),
        (nn.Conv2d, (7, 7), (1, 1), 1, 0, 2),
        (nn.Conv2d, (8, 6), (5, 3), 1, 2, 4),
        (nn.Conv3d, (5, 8, 6), (3, 3, 3), 1, 1, 1),
        (nn.Conv3d, (5, 8, 6), (3, 1, 1), 2, 0, 4),
    ],
)
def test_convolution(kind, sizes, kernel, stride, padding, groups, bias):
    batch, wide, out = 2, 8, 12
    with torch.device("meta"):
        layer = kind(wide, out, kernel, stride, padding, groups=groups, bias=bias)
        clip = torch.empty(batch, wide, *sizes)
    positions = batch
    for size, k in zip(sizes, kernel, strict=True):
        positions *= a.convolved(size, k, stride, padding)
    cost = a.convolution(positions, wide, out, kernel, groups, bias)
    assert positions == layer(clip).numel() // out
    assert cost.parameters == parameters(layer)
    assert cost.flops == cost.convolution == counted(lambda: layer(clip))


@pytest.mark.parametrize(("n", "m", "heads", "size", "value"), [(5, 5, 1, 4, 4), (6, 9, 3, 8, 8), (4, 7, 2, 8, 6)])
def test_attention(n, m, heads, size, value):
    batch = 3
    with torch.device("meta"):
        q, k, v = (torch.empty(batch, heads, *shape) for shape in ((n, size), (m, size), (m, value)))
    cost = a.attention(n, m, heads * size, batch, heads * value)
    assert cost.parameters == 0
    assert cost.flops == cost.attention == counted(lambda: F.scaled_dot_product_attention(q, k, v))
    if value == size:
        assert cost == a.attention(n, m, heads * size, batch)


def test_norms_and_tables():
    assert a.norm(12).parameters == parameters(nn.LayerNorm(12)) == parameters(nn.GroupNorm(3, 12))
    assert a.norm(12, bias=False).parameters == parameters(nn.RMSNorm(12))
    assert a.numbers(30, 7).parameters == parameters(nn.Embedding(30, 7))
    assert a.norm(12).flops == a.numbers(30, 7).flops == 0


def test_costs_add_up():
    one, two = a.linear(3, 4, 5), a.attention(6, 7, 8)
    both = sum([one, two])
    moved = 3 * 4 + 25 + 3 * 5 + (6 + 7 + 7 + 6) * 8
    assert both == a.Cost(25, linear=120, attention=1344, moved=moved) and both.flops == 1464
    assert 3 * both == both + both + both == both * 3
    assert both.run(3) == a.Cost(25, linear=360, attention=4032, moved=3 * moved)


def test_moved_numbers_are_the_operands():
    q, k, v, x, y = (torch.empty(shape) for shape in ((2, 5, 8), (2, 7, 8), (2, 7, 6), (3, 8, 9, 9), (3, 4, 5, 5)))
    out = torch.empty(2, 5, 6)
    assert a.attention(5, 7, 8, 2, 6).moved == sum(t.numel() for t in (q, k, v, out))
    layer = nn.Conv2d(8, 4, 3, stride=2, padding=1)
    assert layer(x).shape == y.shape
    cost = a.convolution(3 * 5 * 5, 8, 4, (3, 3), inputs=3 * 9 * 9)
    assert cost.moved == x.numel() + y.numel() + parameters(layer)


def test_huge_numbers_stay_exact():
    huge = 10**40
    cost = a.linear(huge, huge, huge) + a.convolution(huge, huge, huge, (3, 3, 3)) + a.attention(huge, huge, huge)
    assert cost.flops == (2 + 54 + 4) * 10**120
    assert cost.parameters == 28 * 10**80 + 2 * 10**40


def test_needs_the_standard_library_only():
    check = "import minit2v.arithmetic, sys; print([m for m in ('torch', 'numpy', 'matplotlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
