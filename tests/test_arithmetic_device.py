"""Seconds and money: by hand, and by acting out who sends what to whom."""

from fractions import Fraction

import pytest
import torch
from flops import counted

from minit2v.arithmetic import Cost, device, linear
from minit2v.errors import UserError

TOY = device.Device("toy", 1000, 100, 10**6, 36, "0.5")  # 500 FLOP/s, 100 B/s, 1 cent a second


def test_roofline():
    product = linear(10, 4, 5, bias=False)  # 400 FLOPs; 40 + 20 + 50 = 110 numbers
    time = device.roofline(product, TOY, number=2)
    assert (time.compute, time.memory) == (Fraction(400, 500), Fraction(220, 100))
    assert time.seconds == Fraction(11, 5) and time.bound == "memory"
    wide = device.roofline(linear(1000, 1000, 1000), TOY, number=2)
    assert wide.bound == "compute" and wide.seconds == 2 * 10**9 / Fraction(500)


def test_batching_reads_the_weights_once():
    one = linear(3, 4, 5)
    assert device.batched(one, 7) == linear(21, 4, 5)
    assert device.batched(one, 1) == one


def test_serving_by_hand():
    denoise, decode = Cost(100, linear=5000, moved=200), Cost(50, convolution=1000, moved=100)
    how = device.Serving(steps=10, passes=2, batch=3, reused=Fraction(1, 5), devices=2)
    served = device.serve(denoise, decode, TOY, how, number=1)
    step, last = 6 * 5000 / 500, 3 * 1000 / 500  # seconds, compute-bound: 700 B and 200 B take 7 s and 2 s
    assert served.latency == (8 * step + last) / 2 == 243
    assert served.clips_per_hour == Fraction(3600 * 3, 243)
    assert served.price == Fraction(2 * 36 * 243, 3600 * 3)  # both devices, all three clips


@pytest.mark.parametrize("change", [dict(steps=5), dict(passes=1), dict(reused=Fraction(1, 2)), dict(batch=8)])
def test_every_lever_makes_a_clip_cheaper(change):
    denoise, decode = Cost(100_000, linear=5000, moved=100_200), Cost(50, convolution=1000, moved=100)
    before = device.serve(denoise, decode, TOY, device.Serving(10, 2))
    after = device.serve(denoise, decode, TOY, device.Serving(**{"steps": 10, "passes": 2, **change}))
    assert after.price < before.price and after.clips_per_hour > before.clips_per_hour


def test_more_devices_are_faster_and_no_cheaper():
    parts = Cost(10, linear=5000, moved=30), Cost(5, linear=100, moved=10)
    one, four = (device.serve(*parts, TOY, device.Serving(devices=n)) for n in (1, 4))
    assert one.latency == 4 * four.latency and one.price == four.price


# ---- acting it out ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("devices", "tokens", "heads", "size"), [(2, 8, 4, 3), (4, 16, 8, 2), (8, 16, 8, 1)])
def test_bytes_that_devices_send(devices, tokens, heads, size):
    """Each number has an owner before and after; what changes hands is sent."""
    of_token, of_head = (lambda t: t * devices // tokens), (lambda h: h * devices // heads)
    moved = sum(of_token(t) != of_head(h) for t in range(tokens) for h in range(heads) for _ in range(size))
    each = Fraction(4 * moved, devices)  # q, k, v there, the result back
    assert device.all_to_all(3, tokens, heads * size, devices, number=2) == 3 * each * 2
    sent = 0
    for start in range(devices):  # the keys and values of one device visit all others, one hop at a time
        hops = len([start + step for step in range(1, devices)])
        sent += hops * 2 * sum(of_token(t) == start for t in range(tokens)) * heads * size
    assert device.ring(3, tokens, heads * size, devices, number=2) == 3 * Fraction(sent, devices) * 2
    assert device.ring(1, tokens, 8, devices) == Fraction(devices, 2) * device.all_to_all(1, tokens, 8, devices)
    assert device.flops_saved(1000, devices) == 1000 - Fraction(1000, devices)


def test_text_cache():
    keys_and_values = linear(10, 24, 2 * 32)
    assert device.text_cache(6, 10, 24, 32, runs=40) == 39 * 6 * keys_and_values.flops


def test_a_training_step_is_three_passes():
    """PyTorch counts the backward pass of a stack of layers as two forward ones."""
    with torch.device("meta"):
        model = torch.nn.Sequential(*(torch.nn.Linear(16, 16) for _ in range(3)))
        x = torch.empty(5, 16, requires_grad=True)
    forward = sum(counted(lambda: model(x)).values())
    with torch.enable_grad():
        both = sum(counted(lambda: step(model, x)).values())
    assert both == device.training_flops(forward) == 3 * 3 * 2 * 5 * 16 * 16
    assert device.training_flops(forward, checkpointing=True) == 4 * forward


def step(model, x):
    with torch.enable_grad():
        model(x).sum().backward()


def test_devices():
    assert device.find_device("H100").flops == 989 * 10**12
    with pytest.raises(UserError, match="did you mean 'h100'"):
        device.find_device("h10")
    for wrong in (dict(flops=0), dict(bandwidth=-1), dict(price="x"), dict(utilization=2)):
        with pytest.raises(UserError):
            device.Device(**{"name": "x", "flops": 1, "bandwidth": 1, "memory": 1, "price": 1, **wrong})
    for wrong in (dict(steps=0), dict(batch=1.5), dict(reused=1), dict(devices=-2)):
        with pytest.raises(UserError):
            device.Serving(**wrong)
