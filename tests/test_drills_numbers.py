"""Every generated figure, worked out a second time: by running modules where there are some, else by counting."""

import math
from fractions import Fraction

import pytest
import torch
from flops import counted, parameters
from torch import nn
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop

import minit2v.attention as attention
from minit2v.diffusion import FlowMatching, euler, guide, guided, heun, shift_sigma, sigmas
from minit2v.dit import patchify
from minit2v.drills.numbers import families
from minit2v.drills.shapes import overheard
from minit2v.errors import UserError
from minit2v.open_models import find
from minit2v.optimizers import Muon
from minit2v.request import Sliding, cut_into_windows
from minit2v.text import TextFeatures
from minit2v.unet import Conv, Layer, UNet, UNetConfig, fold
from minit2v.vae import VAE, VAEConfig, check_frames
from minit2v.world.scenes import STANDARD

DRAWS = range(6)


def on_meta(run):
    with torch.device("meta"), torch.no_grad():
        return run()


def vae(channels=8, temporal=1, spatial=8):
    return VAE(
        VAEConfig(
            channels=channels,
            temporal=temporal,
            spatial=spatial,
            fine=0,
            widths=(8, 8),
            encoder_blocks=(0, 0),
            decoder_blocks=(0, 0),
        )
    )


def encoded(frames, side, **sizes):
    return on_meta(lambda: vae(**sizes).encode(torch.empty(1, frames, 3, side, side)))


def decoded(latent, time):
    return on_meta(lambda: vae(temporal=time).decode(torch.empty(1, latent, 8, 2, 2)))


def scores(layout, g, heads=1):
    """Counted from the queries and keys that arrive at the equation."""
    layer = on_meta(lambda: attention.SpacetimeAttention(2 * heads, heads, layout))
    tokens = torch.empty(1, g["frames"], g["height"] * g["width"], 2 * heads, device="meta")
    q, k, _ = overheard(attention, "attend", lambda: layer(tokens))
    return math.prod(q[:3]) * k[2]


def calls(sampler, steps, scale=1.0):
    """Clips that pass through the denoiser while one is sampled."""
    seen = []
    told = TextFeatures(torch.zeros(1, 1, 4), torch.ones(1, 1, dtype=torch.bool), torch.zeros(1, 4))

    def denoiser(x, sigma, text, condition=None):
        seen.append(len(x))
        return x

    sampler(guided(denoiser, told, told, scale), torch.zeros(1, 1, 1, 1, 1), sigmas(steps))
    return sum(seen)


def one(value):
    return torch.full((1, 1, 1, 1, 1), float(value), dtype=torch.float64)


def level(value):
    return torch.full((1, 1), float(value), dtype=torch.float64)


def remembered(optimizer):
    """Numbers that an optimizer keeps per parameter of a matrix, after a step."""
    weight = nn.Parameter(torch.randn(8, 8))
    made = {
        "sgd": lambda: torch.optim.SGD([weight], 0.1),
        "adamw": lambda: torch.optim.AdamW([weight], 0.1),
        "muon": lambda: Muon([weight], lr=0.1),
    }[optimizer]()
    weight.sum().backward()
    made.step()
    return sum(v.numel() for v in made.state[weight].values() if torch.is_tensor(v) and v.numel() > 1) // weight.numel()


def step_over_forward(again):
    """FLOPs of a training step over those of its forward pass, counted on a block of linear layers."""
    from torch.utils.flop_counter import FlopCounterMode

    block = nn.Sequential(nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 64))
    x = torch.randn(16, 64, requires_grad=True)
    with FlopCounterMode(display=False) as forward:
        block(x)
    with FlopCounterMode(display=False) as step, set_checkpoint_early_stop(False):  # the whole block once more
        y = checkpoint(block, x, use_reentrant=False, preserve_rng_state=False) if again else block(x)
        y.sum().backward()
    return Fraction(step.get_total_flops(), forward.get_total_flops())


def legal_below(frames):
    while True:
        try:
            check_frames(frames)
            return frames
        except UserError:
            frames -= 1


def product(share, times):
    value = Fraction(1)
    for _ in range(times):
        value *= Fraction(share, 100)
    return 100 * value


def unet_side(g):
    x = torch.empty(1, 1, g["side"], g["side"], 1, device="meta")
    for _ in range(g["scale"]):
        x = fold(x)
    return x.shape[2] * x.shape[3]


def mlp(d, ratio):
    return parameters(on_meta(lambda: nn.Sequential(nn.Linear(d, ratio * d), nn.Linear(ratio * d, d))))


def sharing(d, layers):
    each = parameters(on_meta(lambda: nn.Linear(d, 6 * d)))
    return layers * each - (each + layers * on_meta(lambda: torch.zeros(6, d)).numel())


def merging(width):
    config = UNetConfig(widths=(width, width), blocks=(1, 1), heads=4)
    return on_meta(lambda: Layer(config, 0, skip=True)).merge.in_features


def conditioned(channels):
    config = UNetConfig(channels=channels, widths=(8,), blocks=(1,), heads=2, attention_from=1, conditioned=True)
    model = on_meta(lambda: UNet(config))
    return model.embed.in_channels + model.embed_condition.in_channels


def published(name):
    clip, config = find(name).clip, find(name)
    assert (config.latents.height * 8, config.latents.width * 8) == (clip.height, clip.width) and config.patch == (
        1,
        2,
        2,
    )
    frames = sum(1 for frame in range(clip.frames) if frame % 4 == 0)
    return frames * len(range(0, clip.height, 16)) * len(range(0, clip.width, 16))


def windowed(g):
    layer = on_meta(lambda: attention.SpacetimeAttention(4, 2, "temporal", g["window"]))
    return int(layer.window_mask(g["frames"], 1).sum())


def flops(g):
    x = torch.empty(1, 1, g["tokens"], g["dim" if "dim" in g else "width"], device="meta")
    return counted(lambda: attention.attend(x, x, x))["attention"]


PRICES = {"a100": 1.5, "h100": 2.5, "h200": 3, "b200": 5}
PEAK = {"rtx-4090": 165, "a100": 312, "h100": 989, "b200": 2250}  # TFLOP/s
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "fp8": torch.float8_e4m3fn}
SECOND = {
    "weight-bytes": lambda g: g["million"] * DTYPES[g["dtype"]].itemsize,
    "pixels-as-tokens": lambda g: scores("full", dict(frames=g["frames"], height=g["side"], width=g["side"])),
    "joint-share": lambda g: product(g["share"], g["count"]),
    "glide-distance": lambda g: sum(Fraction(g["speed"], g["fps"]) for _ in range(1, g["frames"])),
    "frames": lambda g: sum(1 for _ in range(g["seconds"]) for _ in range(g["fps"])),
    "pixel-values": lambda g: torch.empty(g["seconds"] * g["fps"], g["side"], g["side"], 3, device="meta").numel(),
    "latent-values": (
        lambda g: encoded(g["seconds"] * g["fps"], g["side"], channels=g["channels"], spatial=g["factor"]).numel()
    ),
    "compression-ratio": lambda g: Fraction(
        3 * 96 * 96, encoded(1, 96, channels=g["channels"], spatial=g["factor"]).numel()
    ),
    "causal-latent-frames": lambda g: encoded(g["frames"], 8, temporal=g["time"]).shape[1],
    "decoded-frames": lambda g: decoded(g["latent"], g["time"]).shape[1],
    "frames-lost": lambda g: g["asked"] - legal_below(g["asked"]),
    "guided-value": lambda g: guide(one(g["text"]), one(g["null"]), g["scale"]).item(),
    "guidance-passes": lambda g: calls(euler, g["steps"], g["scale"]),
    "mixture": lambda g: FlowMatching.add_noise(one(g["data"]), one(g["noise"]), level(g["sigma"])).item(),
    "data-estimate": (
        lambda g: FlowMatching.data_from_velocity(one(g["x"]), one(g["velocity"]), level(g["sigma"])).item()
    ),
    "euler-step": (
        lambda g: euler(
            lambda x, sigma: torch.full_like(x, g["velocity"]),
            one(g["x"]),
            torch.tensor([float(g["now"]), float(g["then"])]).double(),
        ).item()
    ),
    "shifted-level": lambda g: shift_sigma(float(g["sigma"]), g["shift"]),
    "heun-calls": lambda g: calls(heun, g["steps"]),
    "full-scores": lambda g: scores("full", g),
    "spatial-scores": lambda g: scores("spatial", g),
    "temporal-scores": lambda g: scores("temporal", g, g["heads"]),
    "scores-of-the-loop": lambda g: (
        sum(scores("temporal", g, g["heads"]) * g["passes"] for _ in range(g["steps"]) for _ in range(g["layers"]))
        if g["steps"] * g["layers"] < 25
        else scores("temporal", g, g["heads"]) * g["layers"] * g["steps"] * g["passes"]
    ),
    "factorised-saving": lambda g: Fraction(scores("full", g), scores("spatial", g) + scores("temporal", g)),
    "window-pairs": windowed,
    "attention-flops": flops,
    "tokens": lambda g: math.prod(
        patchify(torch.empty(1, g["sizes"][0], 1, *g["sizes"][1:], device="meta"), g["patch"]).shape[1:3]
    ),
    "cube-numbers": lambda g: patchify(torch.empty(1, 4, g["channels"], 8, 8, device="meta"), g["patch"]).shape[-1],
    "mlp-parameters": lambda g: mlp(g["dim"], g["ratio"]),
    "modulation-saved": lambda g: sharing(g["dim"], g["layers"]),
    "unet-places": unet_side,
    "temporal-convolution-parameters": lambda g: parameters(
        on_meta(lambda: Conv(g["width"], g["width"], "temporal", g["kernel"]))
    ),
    "merge-inputs": lambda g: merging(g["width"]),
    "training-memory": lambda g: 4 * (2 + remembered(g["optimizer"]) + g["ema"]) * g["million"],
    "training-step-flops": lambda g: step_over_forward(g["checkpointing"]) * g["giga"],
    "clips-seen": lambda g: sum(g["batch"] for _ in range(g["steps"])),
    "speed-ratio": lambda g: Fraction(g["seen"]) / g["asked"],
    "chained-drift": lambda g: product(g["kept"], g["links"]),
    "concatenated-channels": lambda g: conditioned(g["channels"]),
    "frames-to-invent": lambda g: encoded(g["frames"], 8, temporal=4).shape[1] - 1,
    "windows-needed": lambda g: len(cut_into_windows(g["frames"], STANDARD, Sliding(g["context"]))),
    "known-latents": lambda g: encoded(g["context"], 8, temporal=4).shape[1],
    "cache-bytes": lambda g: Fraction(
        torch.empty(2, g["layers"], g["tokens"], g["dim"], dtype=torch.bfloat16, device="meta").nbytes, 10**9
    ),
    "seconds-of-a-step": lambda g: g["tera"] / (PEAK[g["device"]] * 0.4),
    "clips-an-hour": lambda g: sum(Fraction(3600, g["seconds"]) * g["batch"] for _ in range(g["machines"])),
    "price-of-a-clip": lambda g: PRICES[g["device"]] * g["seconds"] * g["machines"] / 3600,
    "cached-speedup": lambda g: 1 / (1 - float(g["share"])),
    "published-tokens": lambda g: published(g["model"]),
    "free-attention": lambda g: 100 / (100 - g["share"]),
}


def test_every_family_is_worked_out_a_second_time():
    assert {card.id for card in families()} == {f"number-{name}" for name in SECOND}


@pytest.mark.parametrize("card", families(), ids=lambda card: card.id)
def test_the_figure_is_that_of_the_second_way(card):
    for seed in DRAWS:
        question = card.make(seed)
        second = SECOND[card.id.removeprefix("number-")](question.given)
        if isinstance(second, float):
            assert float(question.value) == pytest.approx(second, rel=1e-5, abs=1e-9), question.question
        else:
            assert question.value == second, question.question
        assert question.steps and question.answer and question.hint


def test_a_wrong_figure_would_be_noticed():
    question = families()[0].make(0)
    assert question.value != SECOND["weight-bytes"]({**question.given, "million": question.given["million"] + 1})
