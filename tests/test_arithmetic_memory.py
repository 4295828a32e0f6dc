"""The formulas for memory, against the tensors that are alive while the models run."""

import random
from dataclasses import replace

import pytest
import torch

from minit2v.arithmetic import ClipShape, LatentShape, memory, models
from minit2v.dit import DiT, DiTConfig
from minit2v.meter import LiveBytes, peak_bytes
from minit2v.text import TextFeatures
from minit2v.unet import GROUPS, UNet, UNetConfig
from minit2v.vae import VAE, VAEConfig

DRAWS = 16


def text_of(batch, words, dim):
    return TextFeatures(torch.ones(batch, words, dim), torch.ones(batch, words, dtype=torch.bool),
                        torch.ones(batch, dim))  # fmt: skip


def clip_of(batch, shape):
    return torch.ones(batch, shape.frames, shape.channels, shape.height, shape.width), torch.ones(batch, shape.frames)


# ---- the meter -----------------------------------------------------------------------------------------------


def test_the_meter_counts_what_is_alive():
    weights = torch.ones(1000)  # 4 kB
    with LiveBytes(weights) as live:
        a = torch.ones(500)  # 2 kB more
        view = a[:10].reshape(2, 5)
        b = a + 1  # 8 kB in all
        assert live.now == live.peak == 8000
        del a, b
        assert live.now == 6000 and view is not None  # the view keeps the first one alive
        del view
        assert live.now == 4000
        torch.ones(250, dtype=torch.bool)
    assert live.now == 4000 and live.peak == 8000
    assert peak_bytes(lambda: (torch.ones(10) + 1).sum(), weights) == 4000 + 80


# ---- forward passes ------------------------------------------------------------------------------------------


def within(share, peak, run, *given):
    """The formula's bytes are within that share of the measured ones, weights and inputs included."""
    measured = peak_bytes(run, *given)
    assert 4 * peak.numbers == pytest.approx(measured, rel=share), (peak.when, 4 * peak.numbers / measured)
    return peak.when


def draw_dit(rng, attention, window):
    heads = rng.choice((2, 3, 4))
    config = DiTConfig(
        channels=rng.randint(4, 24), patch=(1, *rng.choice(((1, 1), (2, 2)))), dim=heads * 2 * rng.randint(6, 16),
        layers=rng.randint(1, 3), heads=heads, text_dim=rng.randint(16, 96), mlp_ratio=rng.randint(1, 4),
        attention=attention, window=window, positions=rng.choice(("both", "rotary", "sinusoidal")),
    )  # fmt: skip
    _, cut_h, cut_w = config.patch
    shape = LatentShape(rng.randint(2, 8), config.channels, cut_h * rng.randint(4, 10), cut_w * rng.randint(4, 10))
    return config, shape, rng.randint(2, 16), rng.randint(1, 3)


@pytest.mark.parametrize(
    ("attention", "window"), [("full", None), ("factorised", None), ("temporal", None), ("full", 1)]
)
def test_transformer(attention, window):
    rng, worst = random.Random(attention), set()
    for _ in range(DRAWS):
        config, shape, words, batch = draw_dit(rng, attention, window)
        model, text = DiT(config), text_of(batch, words, config.text_dim)
        latents, level = clip_of(batch, shape)
        given = (model, latents, level, [text.tokens, text.mask, text.pooled])
        run = lambda args=(latents, level, text), model=model: model(*args)  # noqa: E731
        worst.add(within(0.01, memory.transformer_peak(config, shape, words, batch), run, *given))
    assert attention != "full" or ({"turning", "MLP"} if window is None else {"mask"}) <= worst


@pytest.mark.parametrize("video", [True, False])
def test_autoencoder(video):
    rng = random.Random(video)
    for _ in range(DRAWS):
        patch = rng.choice((2, 4))
        config = VAEConfig(
            channels=rng.randint(4, 24), temporal=rng.choice((2, 4)) if video else 1, spatial=patch * rng.randint(1, 2),
            patch=patch, fine=rng.choice((0, 8, 40)), encoder_blocks=(rng.randint(0, 2), rng.randint(0, 2)),
            decoder_blocks=(rng.randint(0, 2), rng.randint(0, 2)), widths=(rng.randint(16, 64), rng.randint(16, 64)),
        )  # fmt: skip
        frames = (rng.randint(1, 4) - 1) * config.temporal + 1
        clip = ClipShape(frames, config.spatial * rng.randint(3, 8), config.spatial * rng.randint(3, 8))
        shape, batch = models.factors(config).latents(clip), rng.randint(1, 2)
        model, latents = VAE(config), clip_of(batch, shape)[0]
        pixels = torch.ones(batch, clip.frames, 3, clip.height, clip.width)
        encode, decode = memory.encoder_peak(config, shape, batch), memory.decoder_peak(config, shape, batch)
        within(0.1, encode, lambda model=model, x=pixels: model.encode(x), model, pixels)
        within(0.1, decode, lambda model=model, x=latents: model.decode(x), model, latents)


@pytest.mark.parametrize("video", [True, False])
def test_unet(video):
    rng = random.Random(video)
    for _ in range(DRAWS):
        heads, count = rng.choice((2, 3)), rng.randint(1, 3)
        config = UNetConfig(
            channels=rng.randint(2, 8), widths=tuple(heads * GROUPS * rng.randint(1, 3) for _ in range(count)),
            blocks=tuple(rng.randint(1, 2) for _ in range(count)), heads=heads, text_dim=rng.randint(8, 40),
            embedding=2 * rng.randint(8, 24), attention_from=rng.randint(0, count),
            temporal=tuple(rng.randint(0, 2) for _ in range(count)) if video else (), conditioned=rng.random() < 0.5,
        )  # fmt: skip
        size = 2 ** (count - 1)
        shape = LatentShape(rng.randint(2, 6), config.channels, size * rng.randint(3, 6), size * rng.randint(3, 6))
        batch, words = rng.randint(1, 2), rng.randint(2, 12)
        model, text = UNet(config), text_of(batch, words, config.text_dim)
        latents, level = clip_of(batch, shape)
        condition = torch.ones(batch, shape.frames, shape.channels + 1, shape.height, shape.width)
        args = (latents, level, text, condition if config.conditioned else None)
        given = (model, latents, level, [text.tokens, text.mask, text.pooled], args[3])
        peak = memory.unet_peak(config, shape, words, batch)
        within(0.08, peak, lambda model=model, args=args: model(*args), *given)


# ---- training ------------------------------------------------------------------------------------------------


def kept_for_backward(model, args):
    """Numbers in the storages that autograd holds on to, weights and inputs left out."""
    given = {p.untyped_storage()._cdata for p in [*model.parameters(), args[0]]}
    held = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        held[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = model(*args)
    assert out.requires_grad
    return sum(storage.nbytes() for key, storage in held.items() if key not in given) / 4


@pytest.mark.parametrize("attention", ["full", "factorised"])
def test_kept_activations(attention):
    rng = random.Random(attention)
    for _ in range(6):
        config, shape, words, batch = draw_dit(rng, attention, None)
        config = replace(config, layers=4, dim=48 * config.heads)
        text = text_of(batch, words, config.text_dim)
        for tensor in (text.tokens, text.pooled):
            tensor.requires_grad_()
        measured = kept_for_backward(DiT(config), (*clip_of(batch, shape), text))
        assert memory.kept(config, shape, batch) == pytest.approx(measured, rel=0.1)


def test_checkpointing_keeps_the_blocks_inputs():
    config, shape = DiTConfig(channels=4, dim=48, heads=4, layers=10), LatentShape(5, 4, 8, 8)
    x = 5 * 16 * 48
    assert memory.kept(config, shape) == 10 * 32 * x and memory.kept(config, shape, checkpointing=True) == 42 * x


def test_what_training_holds_per_parameter():
    """AdamW in fp32: weights, gradients and two averages; here with a running average of the weights, 20 bytes."""
    model = torch.nn.Linear(30, 20)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 30)).sum().backward()
    optimizer.step()
    states = [state[name] for state in optimizer.state.values() for name in ("exp_avg", "exp_avg_sq")]
    tensors = [*model.parameters(), *(p.grad for p in model.parameters()), *states]
    assert sum(memory.training_bytes(620, ema=False).values()) == sum(4 * t.numel() for t in tensors) == 620 * 16
    assert sum(memory.training_bytes(620, "muon", 2).values()) == 620 * (2 + 2 + 4 + 4 + 4)
    assert memory.kv_cache(2, 80, 48) == 2 * 2 * 80 * 48 * 2
