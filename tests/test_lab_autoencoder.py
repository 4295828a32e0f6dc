"""Autoencoders taken apart: who hears of whom, errors that stay and errors that change, tiles, prices, silence."""

import numpy as np
import pytest
import torch

from minit2v.lab import autoencoder
from minit2v.vae import VAE, VAEConfig, to_pixels

SMALL = VAEConfig(channels=4, widths=(8, 12), encoder_blocks=(1, 1), decoder_blocks=(1, 1))


def lively(config=SMALL):
    torch.manual_seed(0)
    vae = VAE(config).eval()
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.copy_(torch.randn(parameter.shape) * 0.1)
    return vae


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), dtype=np.uint8)


# ---- there and back


def test_noise_comes_in_three_ways(frames):
    vae = lively()
    calm = autoencoder.through(vae, frames)
    for way in ("clip", "alone", "same"):
        assert autoencoder.noisy(vae, frames, 1.0, way).shape == frames.shape
    assert (autoencoder.noisy(vae, frames, 0.0) == calm).all()
    alone = autoencoder.noisy(vae, frames, 0.0, "alone")
    assert (alone[0] == calm[0]).all() and (alone[1:] != calm[1:]).any()


def test_an_error_that_stays_echoes_and_one_that_changes_does_not():
    rng, right = np.random.default_rng(0), np.full((6, 16, 16, 3), 100, np.uint8)
    stays = right + rng.integers(0, 50, (1, 16, 16, 3), dtype=np.uint8)
    changes = right + rng.integers(0, 50, (6, 16, 16, 3), dtype=np.uint8)
    assert autoencoder.echo(stays, right) == pytest.approx(1)
    assert abs(autoencoder.echo(changes, right)) < 0.1
    assert autoencoder.off(right + 3, right) == 3


# ---- who hears of whom


def test_the_staircase_is_found():
    found = ~autoencoder.silent(autoencoder.hears(lively(), 9, 16))
    assert (found == [[t <= 4 * k for k in range(3)] for t in range(9)]).all()
    back = ~autoencoder.silent(autoencoder.hears(lively(), 9, 16, decoder=True))
    assert (back == [[t > 4 * k - 4 if k else True for t in range(9)] for k in range(3)]).all()


def test_norms_over_time_leak_and_leave_the_original_alone():
    vae = lively()
    assert not autoencoder.silent(autoencoder.hears(autoencoder.leaky(vae), 9, 16)).any()
    assert autoencoder.silent(autoencoder.hears(vae, 9, 16)).any()


def test_the_picture_says_who_moves_what():
    found = {"mine: frame → latent": np.array([[1.0, 0.1], [0.0, 1.0], [0.0, 1.0]])}
    found |= {"other: latent → frame": np.eye(2)}
    alt = autoencoder.reached(found).alt
    assert "frame 0 moves 0 to 1" in alt and "latent 1 moves 1 alone" in alt


# ---- tiles


def test_tiles_that_overlap_all_over_are_the_whole():
    vae = lively()
    latents = torch.randn(1, 2, 4, 4, 8, generator=torch.Generator().manual_seed(0))
    whole = vae.decode(latents)
    error = [(autoencoder.in_tiles(vae, latents, overlap) - whole).abs() for overlap in (0, 2, 4)]
    assert error[2].max() < 1e-5
    assert error[0][..., 28:36].mean() > error[1][..., 28:36].mean() > 0
    assert autoencoder.in_tiles(vae, latents, 1).shape == whole.shape


# ---- the KL term


def test_nats_are_those_of_the_formula(frames):
    vae = lively()
    with torch.no_grad():
        mean, log_variance = vae.posterior(to_pixels(frames)[None])
    normal = torch.distributions.Normal(0.0, 1.0)
    said = torch.distributions.kl_divergence(torch.distributions.Normal(mean, (0.5 * log_variance).exp()), normal)
    assert np.allclose(autoencoder.nats(vae, frames), said.mean(dim=(0, 1, 3, 4)), atol=1e-5)


def test_a_channel_without_which_nothing_changes_is_one_that_nobody_reads(frames):
    vae = lively()
    with torch.no_grad():
        vae.decoder.enter.conv.weight[:, 2] = 0
    assert (autoencoder.without(vae, frames, [2]) == autoencoder.through(vae, frames)).all()
    assert (autoencoder.without(vae, frames, [1]) != autoencoder.through(vae, frames)).any()


@pytest.fixture(scope="module")
def pocket():
    rng = np.random.default_rng(0)
    smooth = rng.normal(size=(6, 4, 4, 3)).repeat(4, axis=1).repeat(4, axis=2) * 60
    grainy = smooth + rng.normal(size=(6, 16, 16, 3)) * 8 + 128
    return autoencoder.Pocket([grainy.clip(0, 255).astype(np.uint8)], side=4)


def test_the_pocket_vae_pays_for_what_is_worth_it(pocket):
    clip = np.random.default_rng(1).integers(0, 256, (20, 16, 16, 3), dtype=np.uint8)
    patches = pocket.cut(clip)
    assert patches.shape == (20 * 16, 48) and abs(patches).max() <= 1
    betas = (1e-3, 1e-2, 0.3)
    assert [pocket.alive(b) for b in betas] == [(pocket.variances > b).sum() for b in betas]
    assert pocket.nats(1e-3) > pocket.nats(1e-2) > pocket.nats(0.3) > 0
    assert (pocket.through(clip, 1e-9).astype(int) - clip).max() <= 1  # at no price, everything comes back


def test_the_one_line_is_the_optimum(pocket):
    """Loss along one direction, in closed form: no other scale of encoder, spread or decoder does better."""
    beta = 0.01
    for variance in pocket.variances[[0, 2, 10]]:
        spread = min(beta / variance, 1)
        best = (np.sqrt((1 - spread) / variance), spread, np.sqrt(max(variance - beta, 0)))

        def loss(scale, spread, decode, variance=variance):
            error = variance * (1 - scale * decode) ** 2 + decode**2 * spread
            return 0.5 * error + beta * 0.5 * (scale**2 * variance + spread - 1 - np.log(spread))

        rng = np.random.default_rng(0)
        nudges = rng.normal(size=(200, 2, 3)) * [[0.2], [1e-3]]  # relative, and absolute
        others = np.maximum(1e-6, best * (1 + nudges[:, 0]) + nudges[:, 1])
        assert loss(*best) <= min(loss(*other) for other in others) + 1e-12


def test_a_pattern_at_half_its_contrast_is_kept_by_half(pocket):
    real = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    everywhere = np.ones((2, 16, 16), bool)
    assert autoencoder.kept(real / 2 + 60, real, everywhere) == pytest.approx(0.5, abs=0.01)
    assert autoencoder.kept(pocket.expected(real, 1e-9), real, everywhere) == pytest.approx(1, abs=0.01)


def test_a_slider_tells_the_price(pocket):
    clip = np.random.default_rng(1).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    pictures, labels = autoencoder.priced(pocket, [clip, clip], (0.01, 1.0))
    assert len(pictures) == 2 and "of 48 numbers alive" in labels[0] and pictures[0].shape[1] == 256


# ---- pictures


def test_stars_are_measured_against_their_sky():
    real = np.full((2, 8, 8, 3), 100, np.uint8)
    real[:, 2, 2] = 230
    dim = np.where(real == 230, 150, real).astype(np.uint8)
    everywhere = np.ones((2, 8, 8), bool)
    assert autoencoder.contrast(real, real, everywhere) == pytest.approx(130)
    assert autoencoder.contrast(dim, real, everywhere) == pytest.approx(50)


def test_pictures_have_words():
    said = autoencoder.bars({"a": np.array([0.5, 2.0]), "b": np.array([1.0])}, "Bars.").alt
    assert "a: from 2.0 down to 0.5 nats" in said
    frames = np.zeros((9, 32, 32, 3), np.uint8)
    latents = [torch.randn(n, 4, 4, 4, generator=torch.Generator().manual_seed(n)) for n in (9, 3)]
    assert "Frames 0, 4, 8" in autoencoder.latent_pictures(frames, *latents).alt
