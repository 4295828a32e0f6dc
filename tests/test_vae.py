"""The autoencoders: what moves what, streams, legal shapes, and the groups of frames."""

import pytest
import torch

from minit2v.errors import UserError
from minit2v.vae import VAE, CausalMix, Norm, VAEConfig

SMALL = VAEConfig(channels=4, widths=(8, 12), encoder_blocks=(1, 1), decoder_blocks=(1, 1))


def lively(config=SMALL):
    """A VAE whose zero-initialised branches are not zero, so that everything that can move does."""
    torch.manual_seed(0)
    vae = VAE(config).eval()
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.copy_(torch.randn(parameter.shape) * 0.3)
    return vae.double()


def clip(frames=17, size=16):
    return torch.rand(1, frames, 3, size, size, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2 - 1


def moved(before, after):
    """The frames (axis 1) in which two tensors differ."""
    return set((before != after).flatten(2).any(-1)[0].nonzero().flatten().tolist())


@pytest.mark.parametrize("frame", [0, 1, 4, 5, 16])
def test_encoder_is_causal(frame):
    vae, pixels = lively(), clip()
    changed = pixels.clone()
    changed[:, frame] += 0.5
    first = -(-frame // 4)  # frame 0 is latent 0; frames 1-4 are latent 1
    reach = 2 * 2  # two blocks, each looking two latent frames back
    assert moved(vae.encode(pixels), vae.encode(changed)) == set(range(first, min(5, first + reach + 1)))


@pytest.mark.parametrize("latent", range(5))
def test_decoder_is_causal(latent):
    vae = lively()
    latents = vae.encode(clip())
    changed = latents.clone()
    changed[:, latent] += 0.5
    before, after = (vae.reconstruct(vae.denormalise(x)) for x in (latents, changed))
    first = 0 if latent == 0 else 4 * latent - 3
    assert moved(before, after) == set(range(first, 17))


def test_a_group_norm_would_leak_the_future():
    """The fault that the per-pixel norm avoids: with statistics over time, the last frame moves the first latent."""
    leaky = torch.nn.GroupNorm(1, 3).double()
    changed = clip().clone()
    changed[:, -1] += 0.5
    through = [leaky(x.transpose(1, 2)).transpose(1, 2) for x in (clip(), changed)]
    assert 0 in moved(*through)
    ours = Norm(3).double()
    through = [ours(x.movedim(2, -1)).movedim(-1, 2) for x in (clip(), changed)]
    assert moved(*through) == {16}


def test_streaming_equals_one_shot():
    vae, pixels = lively(), clip()
    memory: dict = {}
    chunks = [vae.encode(pixels[:, a:b], memory) for a, b in ((0, 5), (5, 9), (9, 17))]
    latents = vae.encode(pixels)
    assert torch.allclose(torch.cat(chunks, 1), latents, atol=1e-5)
    memory = {}
    back = torch.cat([vae.decode(latents[:, a:b], memory) for a, b in ((0, 1), (1, 2), (2, 5))], 1)
    assert torch.allclose(back, vae.decode(latents), atol=1e-5)


def test_first_frame_alone_is_an_image():
    """An image is a one-frame clip: its latent is the first latent of any clip that starts with it."""
    vae, pixels = lively(), clip()
    assert torch.allclose(vae.encode(pixels[:, :1]), vae.encode(pixels)[:, :1], atol=1e-12)


def test_causal_mix_is_a_causal_convolution():
    torch.manual_seed(0)
    mix, x = CausalMix(3).double(), torch.randn(1, 6, 1, 1, 3, dtype=torch.float64)
    kernel = mix.linear.weight.view(3, 3, 3).permute(0, 2, 1)  # (out, in, time), oldest frame first
    line = torch.nn.functional.pad(x[0, :, 0, 0].T[None], (2, 0))  # (1, c, t + 2)
    expected = torch.nn.functional.conv1d(line, kernel, mix.linear.bias)[0].T
    assert torch.allclose(mix(x, None)[0, :, 0, 0], expected)


def test_groups_repeat_the_first_frame_only():
    vae = VAE(SMALL)
    frames = torch.arange(9.0).view(1, 9, 1, 1, 1).expand(1, 9, 3, 8, 8)
    groups = vae._group(frames, started=False)[0, :, :, 0, 0, 0]
    assert groups.tolist() == [[0, 0, 0, 0], [1, 2, 3, 4], [5, 6, 7, 8]]


def test_shapes_and_reshapes_round_trip():
    vae = lively(VAEConfig(channels=4, temporal=1, widths=(8, 12)))
    latents = vae.encode(clip(3, 24))
    assert latents.shape == (1, 3, 4, 3, 3)
    assert vae.decode(latents).shape == (1, 3, 3, 24, 24)
    pixels = clip(2)
    changed = pixels.clone()
    changed[:, 1] += 0.5
    assert moved(vae.encode(pixels), vae.encode(changed)) == {1}  # an image VAE: every frame alone


def test_normalised_latents():
    vae, pixels = lively(), clip()
    raw = vae.posterior(pixels)[0].detach()
    vae.mean.copy_(raw.mean((0, 1, 3, 4)))
    vae.std.copy_(raw.std((0, 1, 3, 4)))
    latents = vae.encode(pixels)
    assert torch.allclose(latents.std((0, 1, 3, 4)), torch.ones(4, dtype=torch.float64))
    assert torch.allclose(vae.denormalise(latents), raw)


@pytest.mark.parametrize(("frames", "nearest"), [(16, "13 and 17"), (2, "1 and 5"), (0, "1 and 5"), (18, "17 and 21")])
def test_illegal_frame_counts_name_the_nearest(frames, nearest):
    with pytest.raises(UserError, match=nearest):
        VAE(SMALL).encode(torch.zeros(1, frames, 3, 16, 16))


@pytest.mark.parametrize(("height", "width", "words"), [(60, 64, "height 60.*56 and 64"), (64, 4, "width 4.*8 and 16")])
def test_illegal_sizes_name_the_nearest(height, width, words):
    with pytest.raises(UserError, match=words):
        VAE(SMALL).encode(torch.zeros(1, 1, 3, height, width))
