"""The closed forms of lesson 06, each against another way to find the same number."""

import numpy as np
import pytest
import torch

from minit2v.diffusion import FlowMatching, euler, heun, sigmas
from minit2v.lab import denoising
from minit2v.lab import denoising_figures as figures

SHAPE = (3, 2, 4, 4)  # f, c, h, w


def some(count, seed=0, scale=1.0):
    dice = torch.Generator().manual_seed(seed)
    return scale * torch.randn((count, *SHAPE), generator=dice, dtype=torch.float64)


def at(level, count):
    return torch.full((count, SHAPE[0]), float(level))


def test_weights_are_those_of_bayes_rule():
    clips, x = some(4), some(5, seed=1)
    sigma = torch.rand(5, SHAPE[0], generator=torch.Generator().manual_seed(2)) * 0.5 + 0.4  # each frame its own
    prior = torch.tensor([1.0, 2.0, 3.0, 4.0])
    found = denoising.Few(clips, prior).weights(x, sigma)
    for b in range(5):
        odds = []
        for k in range(4):
            s = sigma[b].double()[:, None, None, None]
            odds.append(prior[k].item() * np.exp(-(((x[b] - (1 - s) * clips[k]) ** 2) / (2 * s**2)).sum().item()))
        assert np.allclose(found[b].numpy(), np.array(odds) / sum(odds), atol=1e-5)


def test_no_guess_makes_a_smaller_error_than_the_posterior_mean():
    clips = some(3, scale=0.3)
    few, draws = denoising.Few(clips), 4000
    data, noise, sigma = clips.repeat(draws, 1, 1, 1, 1), some(3 * draws, seed=3), at(0.7, 3 * draws)
    x = FlowMatching.add_noise(data, noise, sigma)
    guess = few.data(x, sigma)
    error = (guess - data).square().mean()
    for other in (guess * 1.1, guess + 0.05 * (clips[0] - guess), clips[few.weights(x, sigma).argmax(1)]):
        assert (other - data).square().mean() > error


def test_a_clip_that_the_prior_rules_out_is_never_seen():
    clips = some(3)
    few = denoising.Few(clips, torch.tensor([True, False, True]))
    assert few.weights(some(6, seed=1), at(0.9, 6))[:, 1].abs().max() == 0


def test_a_frame_without_noise_says_which_clip_it_is():
    clips = some(3)
    x, sigma = some(3, seed=1), at(1, 3)
    x[:, 0], sigma[:, 0] = clips[:, 0], 0.0
    few = denoising.Few(clips)
    assert torch.allclose(few.weights(x, sigma), torch.eye(3).double(), atol=1e-9)
    assert few.velocity(x, sigma).isfinite().all()


def test_the_formula_for_two_clips_is_what_is_measured():
    clips = some(2, scale=0.4)
    answers = torch.tensor([[0], [1]]).repeat(1, len(denoising.QUESTIONS))
    apart, levels = (clips[0] - clips[1]).norm().item(), [1.0, 0.9, 0.8, 0.6]
    found = denoising.certainty(denoising.Few(clips), answers, levels, seeds=2000)[:, 0]
    assert np.allclose(found, denoising.by_formula(apart, levels), atol=0.02)
    assert found[0] == pytest.approx(0.5) and denoising.by_formula(0.0, levels) == pytest.approx(0.5)


@pytest.mark.parametrize("shift", [1, 4])
def test_samplers_lead_to_the_exact_clips_of_a_cloud(shift):
    cloud, noise = denoising.Cloud.of(some(6, scale=3.0)), some(2, seed=5)
    steps = (64, 128, 256)
    for take, power in ((euler, 1), (heun, 2)):
        errors = [cloud.error(take(cloud.velocity, noise, sigmas(n, shift)), noise) for n in steps]
        assert errors[-1] < 0.05 and denoising.order(steps, errors) == pytest.approx(power, abs=0.15)


def test_a_cloud_has_the_mean_and_the_covariance_of_its_clips():
    clips = some(6)
    cloud = denoising.Cloud.of(clips)
    flat = (clips - clips.mean(0)).flatten(1)
    rows = cloud.directions.flatten(1)
    assert torch.allclose(rows @ rows.T, torch.eye(5).double(), atol=1e-9)
    assert torch.allclose(rows.T @ (cloud.spreads[:, None] ** 2 * rows), flat.T @ flat / 5, atol=1e-9)


def test_the_data_of_a_cloud_are_those_of_wieners_filter():
    clips = some(6)
    cloud, x = denoising.Cloud.of(clips), some(2, seed=7)
    flat = (clips - clips.mean(0)).flatten(1)
    covariance, s = flat.T @ flat / 5, 0.6
    shrunk = covariance @ torch.linalg.inv((1 - s) ** 2 * covariance + s**2 * torch.eye(flat.shape[1]).double())
    right = cloud.mean.flatten() + (x.flatten(1) - (1 - s) * cloud.mean.flatten()) @ ((1 - s) * shrunk).T
    assert torch.allclose(cloud.data(x, at(s, 2)).flatten(1), right, atol=1e-6)


def test_too_few_steps_never_have_too_much_contrast():
    cloud, noise = denoising.Cloud.of(some(6, scale=4.0)), some(3, seed=8)
    found = [cloud.contrast(euler(cloud.velocity, noise, sigmas(n)), noise) for n in (1, 2, 5, 20, 80)]
    assert found == sorted(found) and found[0] == pytest.approx(0, abs=1e-9) and found[-1] < 1


def village():
    chosen = torch.tensor([[i >> bit & 1 for bit in (4, 3, 2, 1, 0)] for i in range(32)])
    latents = some(5)[None].mul(chosen[:, :, None, None, None, None]).sum(1)
    prompts = tuple(f"clip {i}" for i in range(32))
    return denoising.Handful(prompts, chosen, np.zeros((32, 1, 4, 4, 3), np.uint8), latents)


def test_answers_find_clips_and_distances():
    found = village()
    right = found.where("direction", "right")
    assert right.sum() == 16 and (found.answers[right][:, 1] == 1).all()
    pieces = [piece.norm().item() for piece in some(5)]
    assert list(denoising.distances(found.latents, found.answers).values()) == pytest.approx(pieces)
    once = found.once()
    assert len(once.prompts) == 16 and len(once.frames) == 16
    which, apart = once.nearest(once.latents[[3, 7]] + 1e-3)
    assert which.tolist() == [3, 7] and (apart < 0.1).all()


def test_corners_of_the_plane_and_beliefs_along_a_path():
    found = village().once()
    places = denoising.corners(found)
    assert places["left, floor"] != places["right, floor"]
    assert np.mean([x for x, _ in places.values()]) == pytest.approx(0, abs=1e-6)
    few = denoising.Few(found.latents)
    levels, beliefs = denoising.believed(few, found.where("direction", "right"), some(3), sigmas(6, 2))
    assert len(levels) == 6 and beliefs.shape == (6, 3) and beliefs[0] == pytest.approx(0.5)


def test_detail_is_the_difference_of_neighbors():
    frames = np.zeros((2, 4, 4, 3), np.uint8)
    frames[:, :, 2:] = 30
    assert denoising.detail(frames) == pytest.approx((30 / 3 + 0) / 2)


def test_figures_tell_their_numbers():
    apart = dict.fromkeys(denoising.QUESTIONS, 30.0) | {"word": 0.0}
    found = np.array([[0.5] * 5, [0.95] * 4 + [0.5]])
    alt = figures.what_is_known([1.0, 0.8], found, apart).alt
    assert "shade is known to 90 % from level 0.80" in alt and "word is never known" in alt
    alt = figures.falling((1, 2), {"euler": [1.0, 0.5], "heun": [1.0, 0.25]}, [0.0, 0.4]).alt
    assert "heun from 1.00 to 0.25000" in alt and "rising from 0.00 to 0.40" in alt
    assert "clips: least at shift 4" in figures.best_shift((1, 4), {"clips": [0.5, 0.2]}, 10).alt
    path = (np.array([1.0, 0.5]), np.array([[0.5, 0.5], [0.0, 1.0]]))
    assert "undecided at 1 of 2 steps" in figures.decisions({"even": path}).alt
    corners = {"a": (-1, -1), "b": (-1, 1), "c": (1, -1), "d": (1, 1)}
    assert "scale 2 at 2.0 across" in figures.beyond(corners, {0: (0, 1), 2: (2, 1)}).alt
