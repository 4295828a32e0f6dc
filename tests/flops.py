"""Formulas beside what PyTorch counts when a model runs on tensors without storage."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from minit2v.text import TextFeatures

DRAWS = 50  # configurations of each model
OPS = {"addmm": "linear", "mm": "linear", "convolution": "convolution", "bmm": "attention"}


def counted(run):
    """FLOPs by kind, as PyTorch counts them on `meta`, where attention is counted: there it is two batched products."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        run()
    kinds = dict.fromkeys(OPS.values(), 0)
    for op, flops in counter.get_flop_counts()["Global"].items():
        kinds[OPS[op.__name__]] += flops
    return kinds


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def holds(cost, model, run):
    """Parameters and every kind of FLOPs agree, to the digit."""
    assert cost.parameters == parameters(model)
    assert {name: getattr(cost, name) for name in ("linear", "convolution", "attention")} == counted(run)
    assert cost.flops > 0


def text_features(batch, words, dim):
    return TextFeatures(torch.empty(batch, words, dim), torch.ones(batch, words, dtype=torch.bool),
                        torch.empty(batch, dim))  # fmt: skip
