"""Flow matching, DDPM, samplers and guidance against closed forms and against the schedulers of diffusers."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from minit2v.diffusion import (
    DDPM,
    SAMPLERS,
    FlowMatching,
    Known,
    draw_noise,
    euler,
    guide,
    guided,
    heun,
    read_as_v,
    read_as_velocity,
    rescale_guidance,
    shift_sigma,
    sigmas,
    std_over,
    twice,
    v_from_velocity,
    velocity_from_v,
)
from minit2v.errors import UserError
from minit2v.text import TextFeatures

SHAPE = (2, 3, 4, 2, 2)  # (b, f, c, h, w)


def latents(seed, shape=SHAPE, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def levels(seed, shape=SHAPE[:2]):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def swirl(x, sigma):
    """A small nonlinear network: mixes channels, and depends on x and on the noise level of each frame."""
    sigma = sigma[:, :, None, None, None]
    return torch.sin(1.3 * x + sigma) + 0.5 * x.roll(1, dims=2) * torch.cos(3 * sigma) + 0.2 * sigma


def swirl_at(level):
    """The same network as a scheduler of diffusers calls it: one noise level for everything."""
    return lambda x: swirl(x, torch.full(x.shape[:2], float(level), dtype=x.dtype))


# ---- Shifted schedules


def test_shift_is_the_papers_equation_and_its_inverse():
    sigma = torch.linspace(0, 1, 21, dtype=torch.float64)
    for ratio in (0.3, 1, 4, 25):  # eq. 23 in the paper's own letters: ratio = m / n, the shift is its root
        paper = math.sqrt(ratio) * sigma / (1 + (math.sqrt(ratio) - 1) * sigma)
        torch.testing.assert_close(shift_sigma(sigma, math.sqrt(ratio)), paper, rtol=0, atol=1e-15)
    for shift in (0.1, 0.7, 1, 3, 5.5, 12):
        shifted = shift_sigma(sigma, shift)
        assert shifted[0] == 0 and shifted[-1] == 1
        assert (shifted.diff() > 0).all()
        torch.testing.assert_close(shift_sigma(shifted, 1 / shift), sigma, rtol=0, atol=1e-14)
        if shift != 1:  # data / noise ratio falls by exactly the shift
            inner, moved = sigma[1:-1], shifted[1:-1]
            torch.testing.assert_close((1 - moved) / moved, (1 - inner) / inner / shift)
    assert shift_sigma(torch.tensor(0.5), 5) == pytest.approx(5 / 6)


@pytest.mark.parametrize("steps", [1, 2, 7, 50])
@pytest.mark.parametrize("shift", [0.1, 1, 3.3, 7])
def test_schedule_goes_from_exactly_one_to_exactly_zero(steps, shift):
    schedule = sigmas(steps, shift)
    assert schedule.shape == (steps + 1,)
    assert schedule[0] == 1 and schedule[-1] == 0
    assert (schedule.diff() < 0).all()
    expected = [shift * s / (1 + (shift - 1) * s) for s in np.linspace(1, 0, steps + 1)]
    np.testing.assert_allclose(schedule.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("steps", [0, -3, 2.5, math.nan, math.inf, None, "20"])
def test_wrong_step_counts(steps):
    with pytest.raises(UserError, match="whole number"):
        sigmas(steps)
    with pytest.raises(UserError, match="whole number"):
        DDPM(timesteps=10).timesteps(steps)


def test_wrong_schedule_options():
    for shift in (0, -1, math.nan, math.inf):
        with pytest.raises(UserError, match="shift"):
            sigmas(4, shift)
        with pytest.raises(UserError, match="shift"):
            FlowMatching(shift=shift)
    with pytest.raises(UserError, match="logit-normal"):
        FlowMatching(times="gaussian")
    with pytest.raises(UserError, match="cosine"):
        DDPM("quadratic")
    with pytest.raises(UserError, match="from 1 to 10"):
        DDPM(timesteps=10).timesteps(11)


# ---- Flow matching


def test_flow_closed_forms_with_a_level_per_frame():
    data, noise, sigma = latents(0), latents(1), levels(2)
    x = FlowMatching.add_noise(data, noise, sigma)
    velocity = FlowMatching.velocity(data, noise)
    for b in range(SHAPE[0]):
        for f in range(SHAPE[1]):
            s = sigma[b, f].item()
            torch.testing.assert_close(x[b, f], (1 - s) * data[b, f] + s * noise[b, f], rtol=0, atol=1e-15)
    torch.testing.assert_close(velocity, noise - data)
    torch.testing.assert_close(FlowMatching.data_from_velocity(x, velocity, sigma), data)
    torch.testing.assert_close(FlowMatching.noise_from_velocity(x, velocity, sigma), noise)
    ahead = FlowMatching.add_noise(data, noise, sigma + 1e-6)
    torch.testing.assert_close((ahead - x) / 1e-6, velocity, rtol=0, atol=1e-8)  # velocity = d x / d sigma


@pytest.mark.parametrize("shift", [1.0, 5.0])
def test_training_levels_follow_their_distribution(shift):
    generator = torch.Generator().manual_seed(0)
    uniform = FlowMatching(shift, "uniform").sample_sigma(20000, 1, generator).double()
    assert (uniform > 0).all() and (uniform <= 1).all()
    back = shift_sigma(uniform, 1 / shift).flatten().sort().values
    assert (back - torch.linspace(0, 1, 20000, dtype=torch.float64)).abs().max() < 0.015  # Kolmogorov-Smirnov

    # A logit-normal level stays logit-normal under the shift: only its mean moves, by log(shift).
    logit = FlowMatching(shift, "logit-normal").sample_sigma(20000, 1, generator).double().logit()
    assert logit.mean().item() == pytest.approx(math.log(shift), abs=0.03)
    assert logit.std().item() == pytest.approx(1, abs=0.02)


def test_training_levels_per_clip_and_per_frame():
    for times in ("uniform", "logit-normal"):
        flow = FlowMatching(3.0, times)
        shared = flow.sample_sigma(4, 5, torch.Generator().manual_seed(0))
        assert shared.shape == (4, 5)
        assert (shared == shared[:, :1]).all() and shared[:, 0].unique().numel() == 4
        own = flow.sample_sigma(4, 5, torch.Generator().manual_seed(0), per_frame=True)
        assert own.shape == (4, 5) and own.unique().numel() == 20
        torch.testing.assert_close(shared, flow.sample_sigma(4, 5, torch.Generator().manual_seed(0)))


def test_loss_is_the_naive_one_and_ignores_clean_frames():
    data, noise, sigma = latents(0), latents(1), levels(2)
    known = torch.tensor([[True, False, False], [True, False, True]])
    seen = {}

    def denoiser(x, sigma, text, condition):
        seen.update(x=x, sigma=sigma, text=text, condition=condition)
        return swirl(x, sigma) + seen.get("bump", 0)

    losses = FlowMatching().loss(denoiser, data, "text", "cond", known=known, sigma=sigma, noise=noise)
    assert seen["text"] == "text" and seen["condition"] == "cond"
    assert torch.equal(seen["x"][known], data[known])  # the denoiser is given known frames clean
    assert torch.equal(seen["sigma"], sigma.masked_fill(known, 0))
    for b in range(2):
        errors = []
        for f in range(3):
            if not known[b, f]:
                predicted = swirl(seen["x"], seen["sigma"])[b, f]
                errors.append(((predicted - (noise[b, f] - data[b, f])) ** 2).mean().item())
        assert losses[b].item() == pytest.approx(np.mean(errors), rel=1e-12)

    # Given frames may carry noise, each sample's at a level of its own, and still do not count.
    level = torch.tensor([[0.25], [0.5]]).to(sigma)
    rough = FlowMatching().loss(denoiser, data, "text", "cond", known=known, level=level, sigma=sigma, noise=noise)
    assert torch.equal(seen["sigma"], torch.where(known, level, sigma))
    share = seen["sigma"][:, :, None, None, None]
    expected = (1 - share) * data + share * noise
    torch.testing.assert_close(seen["x"], expected)
    assert rough.shape == losses.shape and (rough > 0).all()

    # Channels count as they are told to: the mean of all, each alone, is what equal weights give.
    alone = [
        FlowMatching().loss(denoiser, data, None, known=known, weight=weight, sigma=sigma, noise=noise)
        for weight in torch.eye(data.shape[2])
    ]
    torch.testing.assert_close(sum(alone), losses)
    assert all((one != losses).all() for one in alone)

    # An error in a known frame costs nothing, in any other frame it costs its own sample only.
    for b, f in np.ndindex(2, 3):
        seen["bump"] = torch.zeros(SHAPE, dtype=torch.float64)
        seen["bump"][b, f] = 10
        again = FlowMatching().loss(denoiser, data, None, known=known, sigma=sigma, noise=noise)
        moved = (again != losses).tolist()
        assert moved == [b == i and not known[b, f] for i in range(2)]


def test_loss_of_a_perfect_network_is_zero_and_random_draws_repeat():
    data = latents(0, dtype=torch.float32)
    flow = FlowMatching(3.0)

    def perfect(x, sigma, text, condition):  # knows the data, so it can read off the noise
        return (x - data) / sigma[:, :, None, None, None]

    losses = flow.loss(perfect, data, None, generator=torch.Generator().manual_seed(5))
    assert losses.shape == (2,) and losses.max() < 1e-8
    everything = torch.ones(2, 3, dtype=torch.bool)
    assert flow.loss(lambda x, *_: x, data, None, known=everything).tolist() == [0, 0]

    draws = [flow.loss(lambda x, *_: x, data, None, generator=torch.Generator().manual_seed(s)) for s in (7, 7, 8)]
    assert torch.equal(draws[0], draws[1]) and (draws[0] != draws[2]).all()


# ---- Samplers against diffusers


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_euler_equals_diffusers(shift):
    from diffusers import FlowMatchEulerDiscreteScheduler

    steps, x = 9, latents(0, dtype=torch.float32)
    ours = euler(swirl, x, sigmas(steps, shift))
    scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
    # Its default schedule has an extra level just above 0, shifted twice; even levels must be passed in.
    scheduler.set_timesteps(sigmas=np.linspace(1, 1 / steps, steps))
    torch.testing.assert_close(scheduler.sigmas, sigmas(steps, shift), rtol=0, atol=1e-6)
    for t, sigma in zip(scheduler.timesteps, scheduler.sigmas, strict=False):
        x = scheduler.step(swirl_at(sigma)(x), t, x).prev_sample
    torch.testing.assert_close(ours, x, rtol=0, atol=1e-5)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_heun_equals_diffusers(shift):
    from diffusers import FlowMatchHeunDiscreteScheduler

    x = latents(0, dtype=torch.float32)
    scheduler = FlowMatchHeunDiscreteScheduler(shift=shift)
    scheduler.set_timesteps(9)
    schedule = scheduler.sigmas.unique().flip(0)  # it lists inner levels twice, and cannot be given others
    ours = heun(swirl, x, schedule)
    calls = list(scheduler.timesteps)
    assert len(calls) == 2 * 9 - 1 and len(schedule) == 10
    for t in calls:
        x = scheduler.step(swirl_at(t / 1000)(x), t, x).prev_sample
    torch.testing.assert_close(ours, x, rtol=0, atol=1e-5)


def betas(ddpm):
    alpha_bar = torch.cat([torch.ones(1, dtype=torch.float64), ddpm.alpha_bar])
    return (1 - alpha_bar[1:] / alpha_bar[:-1]).numpy()


def on_our_betas(scheduler_class, ddpm, steps):
    options = {"clip_sample": False, "prediction_type": "v_prediction", "timestep_spacing": "trailing"}
    scheduler = scheduler_class(len(ddpm.alpha_bar), trained_betas=betas(ddpm), **options)
    np.testing.assert_allclose(scheduler.alphas_cumprod.numpy(), ddpm.alpha_bar.numpy(), atol=2e-6)
    # Its product of 1 - beta runs in float32, which alone moves some samples by 1e-5: give it all the digits.
    scheduler.alphas_cumprod = torch.from_numpy(1 - betas(ddpm)).cumprod(0)
    scheduler.set_timesteps(steps)
    return scheduler


DDPMS = [("cosine", False), ("linear", False), ("linear", True), ("cosine", True)]


@pytest.mark.parametrize(("schedule", "zero_snr"), DDPMS)
@pytest.mark.parametrize("steps", [8, 25])
def test_ddim_equals_diffusers(schedule, zero_snr, steps):
    from diffusers import DDIMScheduler

    ddpm, x = DDPM(schedule, 200, zero_snr), latents(0, dtype=torch.float32)
    scheduler = on_our_betas(DDIMScheduler, ddpm, steps)
    assert torch.equal(scheduler.timesteps, ddpm.timesteps(steps))
    ours = ddpm.sample(swirl, x, steps)
    for t in scheduler.timesteps:
        x = scheduler.step(swirl_at(ddpm.noise_level(t))(x), t, x).prev_sample
    torch.testing.assert_close(ours, x, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("schedule", "zero_snr"), DDPMS)
@pytest.mark.parametrize("steps", [8, 25])
def test_ancestral_sampling_equals_diffusers(schedule, zero_snr, steps):
    from diffusers import DDPMScheduler

    ddpm, x = DDPM(schedule, 200, zero_snr), latents(0, dtype=torch.float32)
    scheduler = on_our_betas(DDPMScheduler, ddpm, steps)
    ours = ddpm.sample(swirl, x, steps, eta=1, generators=[torch.Generator().manual_seed(i) for i in (3, 4)])
    generators = [torch.Generator().manual_seed(i) for i in (3, 4)]
    for t in scheduler.timesteps:
        output = swirl_at(ddpm.noise_level(t))(x)
        x = scheduler.step(output, t, x, generator=generators).prev_sample
    torch.testing.assert_close(ours, x, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("schedule", "zero_snr"), DDPMS)
def test_alpha_bar_equals_diffusers(schedule, zero_snr):
    from diffusers import DDPMScheduler

    theirs = {"cosine": "squaredcos_cap_v2", "linear": "linear"}[schedule]
    expected = DDPMScheduler(1000, beta_schedule=theirs, rescale_betas_zero_snr=zero_snr).alphas_cumprod
    alpha_bar = DDPM(schedule, 1000, zero_snr).alpha_bar
    np.testing.assert_allclose(alpha_bar.numpy(), expected.numpy(), rtol=0, atol=2e-6)
    assert (alpha_bar.diff() < 0).all() and alpha_bar[-1] >= 0 and alpha_bar[0] < 1
    assert (alpha_bar[-1] == 0) == zero_snr


# ---- Samplers against known solutions

MEAN, STD = 1.5, 0.6


def gaussian_velocity(x, sigma):
    """E[noise - data | x] when data is N(MEAN, STD²): x and both parts are jointly Gaussian."""
    sigma = sigma[:, :, None, None, None]
    variance = (1 - sigma) ** 2 * STD**2 + sigma**2
    covariance = sigma - (1 - sigma) * STD**2  # of noise - data with x
    return -MEAN + covariance / variance * (x - (1 - sigma) * MEAN)


@pytest.mark.parametrize(("sampler", "order", "tolerance"), [("euler", 1, 0.1), ("heun", 2, 0.003)])
def test_order_of_convergence_on_gaussian_data(sampler, order, tolerance):
    noise = latents(0)
    exact = MEAN + STD * noise  # the flow keeps every sample's quantile
    errors = []
    for steps in (20, 40, 80, 160):
        schedule = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
        errors.append((SAMPLERS[sampler](gaussian_velocity, noise, schedule) - exact).abs().max().item())
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert errors[1] < tolerance
    assert all(abs(measured - order) < 0.25 for measured in orders[1:]), (errors, orders)


def test_samplers_carry_noise_to_the_data_distribution():
    noise = latents(0, (64, 1, 16, 8, 8))
    ddpm = DDPM("cosine", 400, zero_snr=True)
    v_fn = read_as_v(gaussian_velocity)
    generators = [torch.Generator().manual_seed(i) for i in range(64)]
    for clips in (
        euler(gaussian_velocity, noise, sigmas(100, 2.0)),
        heun(gaussian_velocity, noise, sigmas(30, 2.0)),
        ddpm.sample(v_fn, noise, 100),
        ddpm.sample(v_fn, noise, 200, eta=1, generators=generators),
    ):
        assert clips.mean().item() == pytest.approx(MEAN, abs=0.015)
        assert clips.std().item() == pytest.approx(STD, abs=0.015)


def test_a_constant_velocity_is_solved_in_one_step():
    data, noise = latents(0), latents(1)
    for sampler in SAMPLERS.values():
        torch.testing.assert_close(sampler(lambda x, sigma: noise - data, noise, sigmas(1)), data)


# ---- Samplers: known frames, steps watched, batches


@pytest.mark.parametrize("sampler", SAMPLERS.values())
@pytest.mark.parametrize("frames", [[0], [0, 1], [0, 2], [0, 1, 2], []])
def test_known_frames_come_out_exactly_and_never_see_noise(sampler, frames):
    noise, given = latents(0, dtype=torch.float32), latents(1, dtype=torch.float32)
    mask = torch.zeros(2, 3, dtype=torch.bool)
    mask[1, frames] = True  # the first clip is plain text-to-video in the same batch
    seen = []

    def velocity_fn(x, sigma):
        seen.append((x.clone(), sigma.clone()))
        return swirl(x, sigma)

    schedule = sigmas(5, 3.0)
    clip = sampler(velocity_fn, noise, schedule, Known(mask, given))
    assert torch.equal(clip[mask], given[mask])
    for x, sigma in seen:
        assert torch.equal(x[mask], given[mask]) and (sigma[mask] == 0).all() and (sigma[~mask] > 0).all()
    free = sampler(swirl, noise, schedule)
    torch.testing.assert_close(clip[~mask], free[~mask], rtol=0, atol=1e-5)  # swirl keeps frames apart
    if not frames:
        assert torch.equal(clip, free)

    junk = torch.where(mask[:, :, None, None, None], given, 99.0)  # what stands in unknown frames is unused
    assert torch.equal(sampler(swirl, noise, schedule, Known(mask, junk)), clip)


@pytest.mark.parametrize("sampler", SAMPLERS.values())
def test_known_frames_at_a_small_noise_level(sampler):
    noise, given = latents(0), latents(1)
    mask = torch.tensor([[True, False, False], [True, True, False]])
    seen = []

    def velocity_fn(x, sigma):
        seen.append((x, sigma))
        return swirl(x, sigma)

    clip = sampler(velocity_fn, noise, sigmas(4), Known(mask, given, level=0.1))
    for x, sigma in seen:
        assert (sigma[mask] == 0.1).all()
        torch.testing.assert_close(x[mask], (0.9 * given + 0.1 * noise)[mask])
    assert torch.equal(clip[mask], given[mask])


@pytest.mark.parametrize("sampler", SAMPLERS.values())
def test_every_step_can_be_watched(sampler):
    noise, schedule, seen = latents(0), sigmas(6, 2.0), []
    watched = sampler(swirl, noise, schedule, on_step=lambda *step: seen.append(step))
    assert torch.equal(watched, sampler(swirl, noise, schedule))
    assert [i for i, *_ in seen] == list(range(6))
    assert torch.equal(seen[0][2], noise)
    for i, sigma, x, data in seen:
        assert sigma.shape == (2, 3) and (sigma == schedule[i].double()).all()
        torch.testing.assert_close(data, x - schedule[i] * swirl(x, sigma))
    torch.testing.assert_close(seen[-1][3], watched)  # the last estimate is the clip

    seen.clear()
    clip = DDPM(timesteps=50).sample(swirl, noise, 5, on_step=lambda *step: seen.append(step))
    assert [i for i, *_ in seen] == list(range(5))
    torch.testing.assert_close(seen[-1][3], clip)


def test_network_calls_per_step():
    for sampler, expected in ((euler, 7), (heun, 13)):
        denoiser = Denoiser()
        sampler(guided(denoiser, text(0), text(1), 3), latents(0), sigmas(7))
        assert denoiser.calls == expected


def test_a_batch_of_two_equals_two_batches_of_one():
    def noise(seeds):
        return draw_noise((len(seeds), *SHAPE[1:]), [torch.Generator().manual_seed(seed) for seed in seeds])

    def ancestral(velocity_fn, noise, seeds):
        generators = [torch.Generator().manual_seed(seed + 100) for seed in seeds]
        return DDPM(timesteps=50).sample(velocity_fn, noise, 10, eta=1, generators=generators)

    for sample in (
        lambda fn, noise, _: euler(fn, noise, sigmas(5)),
        lambda fn, noise, _: heun(fn, noise, sigmas(5)),
        lambda fn, noise, _: DDPM(timesteps=50).sample(fn, noise, 10),
        ancestral,
    ):
        both = sample(swirl, noise([1, 2]), [1, 2])
        torch.testing.assert_close(both[:1], sample(swirl, noise([1]), [1]), rtol=0, atol=1e-6)
        torch.testing.assert_close(both[1:], sample(swirl, noise([2]), [2]), rtol=0, atol=1e-6)
        assert not torch.allclose(both[0], both[1], atol=0.1)


# ---- Guidance


def text(seed, words=5):
    mask = levels(seed, (2, words)) > 0.5
    return TextFeatures(latents(seed, (2, words, 4)), mask, latents(seed + 50, (2, 4)))


class Denoiser:
    """Depends on every input; counts its calls."""

    calls = 0

    def __call__(self, x, sigma, text, condition=None):
        self.calls += 1
        push = text.pooled + (text.tokens * text.mask[:, :, None]).sum(1)
        velocity = swirl(x, sigma) + push[:, None, :, None, None] * (1 + 0.1 * x)
        return velocity if condition is None else velocity + condition


def test_guide_is_linear_with_its_identities():
    v_text, v_null = latents(0), latents(1)
    torch.testing.assert_close(guide(v_text, v_null, 1), v_text, rtol=0, atol=1e-15)
    assert torch.equal(guide(v_text, v_null, 0), v_null)
    torch.testing.assert_close(guide(v_text, v_text, 7.5), v_text)
    torch.testing.assert_close(guide(v_text, v_null, 3), 3 * v_text - 2 * v_null)
    middle = (guide(v_text, v_null, 2) + guide(v_text, v_null, 4)) / 2
    torch.testing.assert_close(middle, guide(v_text, v_null, 3))
    # The data estimate is guided in the same way, for it is linear in velocity.
    x, sigma, data = latents(2), levels(3), FlowMatching.data_from_velocity
    guided_data = guide(data(x, v_text, sigma), data(x, v_null, sigma), 3)
    torch.testing.assert_close(data(x, guide(v_text, v_null, 3), sigma), guided_data)


@pytest.mark.parametrize("scale", [-1, -1e-9, math.nan, math.inf])
def test_wrong_guidance(scale):
    with pytest.raises(UserError, match="guidance"):
        guide(latents(0), latents(1), scale)
    with pytest.raises(UserError, match="guidance"):
        guided(Denoiser(), text(0), text(1), scale)


@pytest.mark.parametrize("rescale", [-0.1, 1.1, math.nan])
def test_wrong_guidance_rescale(rescale):
    with pytest.raises(UserError, match="rescale"):
        guided(Denoiser(), text(0), text(1), 3, rescale)


@pytest.mark.parametrize("condition", [None, latents(9)])
def test_guided_equals_two_separate_passes(condition):
    x, sigma = latents(2), levels(3)
    denoiser, prompt, null = Denoiser(), text(0, words=5), text(1, words=1)
    v_text, v_null = (denoiser(x, sigma, features, condition) for features in (prompt, null))
    for scale, calls in ((1, 1), (0, 1), (3.5, 1)):
        counted = Denoiser()
        velocity = guided(counted, prompt, null, scale, condition=condition)(x, sigma)
        torch.testing.assert_close(velocity, v_null + scale * (v_text - v_null))
        assert counted.calls == calls
    # Scale 1 never touches the null prompt.
    assert torch.equal(guided(Denoiser(), prompt, None, 1, 0.7, condition)(x, sigma), v_text)


def test_twice_repeats_the_whole_batch():
    both = twice(text(0))
    assert isinstance(both, TextFeatures) and both.mask.dtype == torch.bool
    for name in ("tokens", "mask", "pooled"):
        for half in getattr(both, name).chunk(2):
            assert torch.equal(half, getattr(text(0), name))
    assert twice(None) is None


@pytest.mark.parametrize("amount", [0.0, 0.4, 1.0])
def test_rescale_restores_the_standard_deviation_of_the_data_estimate(amount):
    x, sigma, data = latents(2), 0.2 + 0.8 * levels(3), FlowMatching.data_from_velocity
    v_text, v_null = latents(0), latents(1)
    v_guided = guide(v_text, v_null, 5)
    plain, strong = data(x, v_text, sigma), data(x, v_guided, sigma)
    mild = data(x, rescale_guidance(v_guided, v_text, x, sigma, amount), sigma)
    for b in range(2):
        std = {name: clip[b].std(correction=0) for name, clip in (("plain", plain), ("strong", strong))}
        expected = amount * strong[b] * std["plain"] / std["strong"] + (1 - amount) * strong[b]  # eq. 15, 16
        torch.testing.assert_close(mild[b], expected)
        if amount == 1:
            torch.testing.assert_close(mild[b].std(correction=0), std["plain"])
    if amount == 0:
        torch.testing.assert_close(mild, strong)


def test_rescale_leaves_known_frames_out():
    x, v_text, v_guided = latents(2), latents(0), 3 * latents(1)
    sigma = 0.5 * torch.ones(2, 3, dtype=torch.float64)
    sigma[:, 0] = 0
    rescaled = rescale_guidance(v_guided, v_text, x, sigma, 1.0)
    assert torch.equal(rescaled[:, 0], v_guided[:, 0])
    alone = rescale_guidance(v_guided[:, 1:], v_text[:, 1:], x[:, 1:], sigma[:, 1:], 1.0)
    torch.testing.assert_close(rescaled[:, 1:], alone)
    moved = x.clone()
    moved[:, 0] += 5  # no trace of known frames in the others
    torch.testing.assert_close(rescale_guidance(v_guided, v_text, moved, sigma, 1.0)[:, 1:], alone)
    expected = x[:, 1:].std((1, 2, 3, 4), correction=0).view(2, 1, 1, 1, 1)
    torch.testing.assert_close(std_over(x, sigma > 0), expected)


def test_rescaled_guidance_ends_at_the_plain_contrast():
    """Whole sampling runs on a network with a known answer: guidance widens its data, rescale undoes it."""

    def denoiser(x, sigma, text, condition=None):  # its data is text.pooled times ±1
        return (x - text.pooled[:, None, :, None, None] * pattern) / sigma[:, :, None, None, None]

    pattern = latents(4, (1, 3, 4, 2, 2)).sign()
    nothing = torch.zeros(2, 1, 4), torch.zeros(2, 1, dtype=torch.bool)
    prompt, null = (TextFeatures(*nothing, torch.full((2, 4), size).double()) for size in (1.0, 0.5))
    stds = {}
    for scale, rescale in ((1, 0), (4, 0), (4, 1.0), (4, 0.5)):
        clip = euler(guided(denoiser, prompt, null, scale, rescale), latents(0), sigmas(10, 3.0))
        stds[scale, rescale] = clip.std((1, 2, 3, 4), correction=0)
    unit = pattern.std(correction=0).expand(2)
    torch.testing.assert_close(stds[1, 0], unit)
    torch.testing.assert_close(stds[4, 0], 2.5 * unit)
    torch.testing.assert_close(stds[4, 1.0], unit)
    torch.testing.assert_close(stds[4, 0.5], 1.75 * unit)


# ---- DDPM, and the bridge to flow matching


def test_ddpm_closed_forms_with_a_timestep_per_frame():
    ddpm, data, noise = DDPM("cosine", 100), latents(0), latents(1)
    t = torch.tensor([[0, 50, 99], [10, 90, 30]])
    x, v = ddpm.add_noise(data, noise, t), ddpm.v_target(data, noise, t)
    for b in range(2):
        for f in range(3):
            bar = ddpm.alpha_bar[t[b, f]].item()
            a, s = math.sqrt(bar), math.sqrt(1 - bar)
            torch.testing.assert_close(x[b, f], a * data[b, f] + s * noise[b, f])
            torch.testing.assert_close(v[b, f], a * noise[b, f] - s * data[b, f])
    torch.testing.assert_close(ddpm.data_from_v(x, v, t), data)
    torch.testing.assert_close(ddpm.noise_from_v(x, v, t), noise)


def test_alpha_bar_closed_forms():
    moments = np.arange(1, 999) / 1000
    curve = np.cos((moments + 0.008) / 1.008 * np.pi / 2) ** 2 / np.cos(0.008 / 1.008 * np.pi / 2) ** 2
    np.testing.assert_allclose(DDPM("cosine").alpha_bar[:998].numpy(), curve, rtol=1e-9)
    np.testing.assert_allclose(betas(DDPM("linear")), np.linspace(0.0001, 0.02, 1000), atol=1e-12)
    assert betas(DDPM("cosine")).max() == pytest.approx(0.999)
    few = DDPM("linear", 100).alpha_bar  # fewer timesteps end at about the same noise
    assert few[-1].item() == pytest.approx(DDPM("linear").alpha_bar[-1].item(), abs=2e-5)
    plain, zero = DDPM("linear").alpha_bar.sqrt(), DDPM("linear", zero_snr=True).alpha_bar.sqrt()
    assert zero[-1] == 0 and zero[0].item() == pytest.approx(plain[0].item())
    torch.testing.assert_close(zero, plain[0] * (plain - plain[-1]) / (plain[0] - plain[-1]))


def test_ddpm_loss_is_the_naive_one():
    ddpm, data, noise = DDPM("linear", 100), latents(0), latents(1)
    t = torch.tensor([[5, 50, 99], [10, 90, 30]])
    losses = ddpm.loss(lambda x, sigma, text, condition: swirl(x, sigma), data, None, t=t, noise=noise)
    predicted = swirl(ddpm.add_noise(data, noise, t), ddpm.noise_level(t))
    for b in range(2):
        assert losses[b].item() == pytest.approx(
            ((predicted - ddpm.v_target(data, noise, t))[b] ** 2).mean().item(), rel=1e-12
        )


def test_ddpm_loss_draws_one_timestep_per_clip():
    def denoiser(x, sigma, text, condition):
        assert sigma.dtype == x.dtype == torch.float32
        assert (sigma == sigma[:, :1]).all() and sigma[0, 0] != sigma[1, 0]
        return x

    data = latents(0, dtype=torch.float32)
    draws = [DDPM().loss(denoiser, data, None, generator=torch.Generator().manual_seed(s)) for s in (7, 7, 8)]
    assert draws[0].shape == (2,)
    assert torch.equal(draws[0], draws[1]) and (draws[0] != draws[2]).all()


def test_velocity_and_v_at_equal_signal_to_noise():
    ddpm, data, noise = DDPM("cosine", 100, zero_snr=True), latents(0), latents(1)
    t = torch.tensor([[0, 50, 99], [10, 90, 30]])
    sigma = ddpm.noise_level(t)
    assert sigma[0, 2] == 1 and (sigma > 0).all()
    torch.testing.assert_close((1 - sigma) ** 2 / sigma**2, ddpm.alpha_bar[t] / (1 - ddpm.alpha_bar[t]))
    x_flow, x_ddpm = FlowMatching.add_noise(data, noise, sigma), ddpm.add_noise(data, noise, t)
    v, velocity = ddpm.v_target(data, noise, t), FlowMatching.velocity(data, noise)
    torch.testing.assert_close(v_from_velocity(velocity, x_flow, sigma), v)
    torch.testing.assert_close(velocity_from_v(v, x_flow, sigma), velocity)
    assert (v - velocity).abs().max() > 0.5  # two different things
    # The same network, read both ways: wrapped, the oracle gives the other target; twice wrapped, its own.
    torch.testing.assert_close(read_as_v(lambda x, sigma: noise - data)(x_ddpm, sigma), v)
    torch.testing.assert_close(read_as_velocity(lambda x, sigma: v)(x_flow, sigma), velocity)
    there_and_back = read_as_velocity(read_as_v(swirl))(x_flow, sigma)
    torch.testing.assert_close(there_and_back, swirl(x_flow, sigma))


def test_ddim_is_euler_in_other_coordinates():
    """Both keep their estimates of data and noise and move on to the next ratio: same path, same clip."""
    ddpm, noise, steps = DDPM("cosine", 100, zero_snr=True), latents(0), 12
    schedule = torch.cat([ddpm.noise_level(ddpm.timesteps(steps)), torch.zeros(1, dtype=torch.float64)])
    torch.testing.assert_close(ddpm.sample(read_as_v(swirl), noise, steps), euler(swirl, noise, schedule))
