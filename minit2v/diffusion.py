"""From noise to data: flow matching, its samplers and guidance, and DDPM with v-prediction beside it.

A flow network predicts the *velocity*, noise - data; a DDPM network here predicts *v*, another mixture of
the two. `FlowMatching` says velocity, `DDPM` says v_target; `read_as_v` reads the one kind of network as the
other.

Data, noise, x and predictions are latents (b, f, c, h, w). `sigma` (b, f) is the noise level of each latent
frame: 0 is clean, 1 is pure noise, and a frame at exactly 0 is known: given, not generated.
A `velocity_fn(x, sigma)` is a denoiser whose text is already filled in; `guided` makes one.
"""

import math
from dataclasses import dataclass, fields, is_dataclass
from itertools import pairwise
from numbers import Integral
from typing import NamedTuple

import torch
from einops import rearrange, repeat

from minit2v.errors import UserError
from minit2v.text import TextFeatures


def on_frames(level):
    """(b, f) -> (b, f, 1, 1, 1): one number per latent frame, ready to multiply latents."""
    return rearrange(level, "b f -> b f 1 1 1")


def randn(shape, generator=None):
    """Gaussian noise, drawn on the generator's own device: one on the CPU gives every machine the same clip."""
    return torch.randn(shape, generator=generator, device=device_of(generator))


def draw_noise(shape, generators):
    """Gaussian noise (b, …), one generator per sample: a clip depends on its own seed, not on its batch."""
    return torch.stack([randn(shape[1:], generator) for generator in generators])


def device_of(generator):
    return "cpu" if generator is None else generator.device


# ---- Schedules


def shift_sigma(sigma, shift):
    """Moves noise levels towards noise (shift > 1): shift * sigma / (1 + (shift - 1) * sigma).

    Esser et al. 2024 (Stable Diffusion 3), eq. 23. Video latents are redundant, so much can be read off very
    noisy ones; training and sampling must spend more time there. Keeps 0 and 1; 1 / shift undoes shift.
    """
    return shift * sigma / (1 - sigma + shift * sigma)  # the same, ordered so that 1 stays exactly 1


def sigmas(steps, shift=1.0):
    """The sampler's schedule: (steps + 1,) noise levels from 1 down to 0, evenly spaced, then shifted.

    Raises UserError if steps is not a whole number of at least 1, or shift is not positive.
    """
    check_steps(steps)
    check_shift(shift)
    return shift_sigma(torch.linspace(1, 0, steps + 1), shift)  # (steps + 1,)


def check_steps(steps, most=math.inf):
    if not isinstance(steps, Integral) or not 1 <= steps <= most:
        legal = "of at least 1" if most == math.inf else f"from 1 to {most}"
        raise UserError(f"{steps} sampling steps: give a whole number {legal}; 20 is a good start")


def check_shift(shift):
    if not 0 < shift < math.inf:
        raise UserError(f"timestep shift {shift}: give a positive number; 1 shifts nothing, 5 suits video")


# ---- Flow matching


@dataclass(frozen=True)
class FlowMatching:
    """Rectified flow (Liu et al. 2022; Lipman et al. 2022): the straight line between data and noise.

    x = (1 - sigma) * data + sigma * noise,  d x / d sigma = velocity = noise - data

    times: how training draws noise levels before the shift: "uniform", or "logit-normal" (Esser et al. 2024,
    eq. 19, with m = 0, s = 1), which prefers the middle. shift: see `shift_sigma`.
    """

    shift: float = 1.0
    times: str = "logit-normal"

    def __post_init__(self):
        check_shift(self.shift)
        if self.times not in ("uniform", "logit-normal"):
            raise UserError(f"times {self.times!r} is not known: use 'uniform' or 'logit-normal'")

    @staticmethod
    def add_noise(data, noise, sigma):
        return (1 - on_frames(sigma)) * data + on_frames(sigma) * noise  # (b, f, c, h, w)

    @staticmethod
    def velocity(data, noise):
        return noise - data

    @staticmethod
    def data_from_velocity(x, velocity, sigma):
        return x - on_frames(sigma) * velocity  # (b, f, c, h, w)

    @staticmethod
    def noise_from_velocity(x, velocity, sigma):
        return x + (1 - on_frames(sigma)) * velocity  # (b, f, c, h, w)

    def sample_sigma(self, batch, frames, generator=None, per_frame=False):
        """Noise levels for training, (batch, frames) in (0, 1]: one per clip, or one `per_frame`."""
        shape = (batch, frames if per_frame else 1)
        if self.times == "uniform":
            uniform = torch.rand(shape, generator=generator, device=device_of(generator))
            sigma = 1 - uniform  # never 0, which would mean a known frame
        else:
            sigma = randn(shape, generator).sigmoid()
        return shift_sigma(sigma, self.shift).repeat(1, 1 if per_frame else frames)  # (b, f)

    def loss(
        self, denoiser, data, text, condition=None, known=None, level=0.0, weight=None,
        sigma=None, noise=None, generator=None,
    ):  # fmt: skip
        """Mean squared velocity error of each sample, (b,), over the frames that are to be generated.

        known (b, f) bool: frames that the denoiser is given, at the noise level `level`, a number or (b, 1): 0 is
        clean. weight (c,): how much each channel counts, on average 1; None: all the same. sigma (b, f) and noise
        are drawn from `generator` unless given.
        """
        sigma = self.sample_sigma(*data.shape[:2], generator) if sigma is None else sigma
        known = torch.zeros_like(sigma, dtype=torch.bool) if known is None else known
        sigma = torch.where(known, level, sigma).to(data)  # (b, f)
        noise = randn(data.shape, generator).to(data) if noise is None else noise
        predicted = denoiser(self.add_noise(data, noise, sigma), sigma, text, condition)  # (b, f, c, h, w)
        error = (predicted - self.velocity(data, noise)).square().mean((3, 4))  # (b, f, c)
        error = error.mean(2) if weight is None else (weight.to(error) * error).mean(2)  # (b, f)
        # A clean frame says nothing about the noise: its velocity cannot be learned, and no sampler uses it.
        counted = ~known & (sigma > 0)
        return error.masked_fill(~counted, 0).sum(1) / counted.sum(1).clamp(min=1)  # (b,)


# ---- Samplers


class Known(NamedTuple):
    """The frames that a sampler is given: the first for image-to-video, the first k for extension, both ends
    for interpolation. mask (b, f) bool, True = known; latents (b, f, c, h, w), finite everywhere.
    level: noise level in [0, 1) at which the network sees them; a little hides the flaws of given frames.
    """

    mask: torch.Tensor
    latents: torch.Tensor
    level: float = 0.0


def start(noise, schedule, known):
    """The first x, and every frame's noise level at every moment: that of a known frame never changes."""
    levels = repeat(schedule.to(noise), "moments -> moments b f", b=noise.shape[0], f=noise.shape[1])
    if known is None:
        return noise, levels
    levels = torch.where(known.mask, known.level, levels)  # (moments, b, f)
    return FlowMatching.add_noise(known.latents, noise, levels[0]), levels


def finish(x, known):
    return x if known is None else torch.where(on_frames(known.mask), known.latents, x)


@torch.no_grad()
def euler(velocity_fn, noise, schedule, known=None, on_step=None):
    """Follows the velocity from noise to data in straight steps: first order, one network call per step.

    noise (b, f, c, h, w); schedule (steps + 1,) from `sigmas`; known: a `Known` or None. Returns data.
    on_step(i, sigma, x, data_estimate) sees every x before its step, and what data the network sees in it.
    """
    x, levels = start(noise, schedule, known)
    for i, (sigma, next_sigma) in enumerate(pairwise(levels)):
        step = on_frames(next_sigma - sigma)  # 0 in known frames, so they stay as they are
        velocity = velocity_fn(x, sigma)  # (b, f, c, h, w)
        if on_step:
            on_step(i, sigma, x, FlowMatching.data_from_velocity(x, velocity, sigma))
        x = x + step * velocity
    return finish(x, known)


@torch.no_grad()
def heun(velocity_fn, noise, schedule, known=None, on_step=None):
    """Like `euler`, with the mean of the velocities at both ends of a step: second order, two calls per step.

    A step to sigma 0 stays an Euler step: no network is trained at 0 (Karras et al. 2022, algorithm 1).
    """
    x, levels = start(noise, schedule, known)
    for i, (sigma, next_sigma) in enumerate(pairwise(levels)):
        step = on_frames(next_sigma - sigma)
        velocity = velocity_fn(x, sigma)  # (b, f, c, h, w)
        if on_step:
            on_step(i, sigma, x, FlowMatching.data_from_velocity(x, velocity, sigma))
        if schedule[i + 1] > 0:
            velocity = (velocity + velocity_fn(x + step * velocity, next_sigma)) / 2
        x = x + step * velocity
    return finish(x, known)


SAMPLERS = {"euler": euler, "heun": heun}


# ---- Guidance


def check_guidance(scale, rescale=0.0):
    if not 0 <= scale < math.inf:
        raise UserError(f"guidance {scale}: give a number of at least 0; 1 is no guidance, 3 is a good start")
    if not 0 <= rescale <= 1:
        raise UserError(f"guidance rescale {rescale}: give a number from 0 (off) to 1; 0.7 is a good start")


def guide(v_text, v_null, scale):
    """Classifier-free guidance (Ho & Salimans 2022): away from what is predicted without the prompt.

    scale 0 ignores the prompt, 1 is the prompt alone. Raises UserError if it is negative, NaN or infinite.
    """
    check_guidance(scale)
    return v_null + scale * (v_text - v_null)


def rescale_guidance(v_guided, v_text, x, sigma, amount):
    """Takes back the contrast that guidance adds: Lin et al. 2023, "Common Diffusion Noise Schedules and
    Sample Steps are Flawed", eq. 15-16: multiply by std(without guidance) / std(guided), as far as `amount`,
    from 0 (not at all) to 1, says.

    A flow's velocity must not be scaled itself: it holds the noise too, and a share of it would stay in the
    clip. So the *data estimate* is scaled and read as a velocity again: by one factor per clip, for one per
    frame would flicker, found on the generated frames only, for known ones are the same with and without.
    """
    generated = sigma > 0  # (b, f)
    guided_data = FlowMatching.data_from_velocity(x, v_guided, sigma)  # (b, f, c, h, w)
    plain_data = FlowMatching.data_from_velocity(x, v_text, sigma)
    ratio = std_over(plain_data, generated) / std_over(guided_data, generated)  # (b, 1, 1, 1, 1)
    factor = amount * ratio + (1 - amount)
    # x = data + sigma * velocity: to make data * factor of data, add data * (1 - factor) / sigma to velocity.
    rescaled = v_guided + guided_data * (1 - factor) / on_frames(sigma)
    return torch.where(on_frames(generated), rescaled, v_guided)


def std_over(latents, mask):
    """Each clip's standard deviation over the frames in mask (b, f), as (b, 1, 1, 1, 1)."""
    weight = on_frames(mask).to(latents).expand_as(latents)
    weight = weight / weight.sum((1, 2, 3, 4), keepdim=True)
    mean = (weight * latents).sum((1, 2, 3, 4), keepdim=True)
    return (weight * (latents - mean).square()).sum((1, 2, 3, 4), keepdim=True).sqrt()


def twice(batch):
    """The batch, and once more: a tensor, a dataclass of tensors (field by field), or None."""
    if is_dataclass(batch):
        return type(batch)(*(twice(getattr(batch, field.name)) for field in fields(batch)))
    return None if batch is None else torch.cat([batch, batch])


def guided(denoiser, text, null_text, scale, rescale=0.0, condition=None):
    """The `velocity_fn(x, sigma)` for a sampler: with and without the prompt in one forward pass.

    text, null_text: TextFeatures of b samples each. scale 1 skips null_text, at half the cost. Raises UserError.
    """
    check_guidance(scale, rescale)
    if scale == 1:
        return lambda x, sigma: denoiser(x, sigma, text, condition)
    both_texts, condition = TextFeatures.cat(text, null_text), twice(condition)

    def velocity_fn(x, sigma):
        v_text, v_null = denoiser(twice(x), twice(sigma), both_texts, condition).chunk(2)
        velocity = guide(v_text, v_null, scale)
        return rescale_guidance(velocity, v_text, x, sigma, rescale) if rescale else velocity

    return velocity_fn


# ---- DDPM


def cosine_alpha_bar(timesteps):
    """Nichol & Dhariwal 2021, eq. 17, with their cap of 0.999 on every beta."""
    moments = torch.linspace(0, 1, timesteps + 1, dtype=torch.float64)
    curve = ((moments + 0.008) / 1.008 * math.pi / 2).cos().square()
    return (curve[1:] / curve[:-1]).clamp(min=0.001).cumprod(0)  # (timesteps,)


def linear_alpha_bar(timesteps):
    """Ho et al. 2020: beta from 0.0001 to 0.02 over 1000 timesteps; over fewer, larger in proportion."""
    betas = torch.linspace(0.0001, 0.02, timesteps, dtype=torch.float64) * 1000 / timesteps
    return (1 - betas).clamp(min=0.001).cumprod(0)  # (timesteps,)


def zero_terminal_snr(alpha_bar):
    """Shifts and scales sqrt(alpha_bar) to make the last timestep pure noise (Lin et al. 2023, alg. 1)."""
    root = alpha_bar.sqrt()
    return ((root - root[-1]) * root[0] / (root[0] - root[-1])).square()


class DDPM:
    """Denoising diffusion (Ho et al. 2020) with v-prediction (Salimans & Ho 2022), on whole timesteps.

    x = sqrt(alpha_bar) * data + sqrt(1 - alpha_bar) * noise
    v = sqrt(alpha_bar) * noise - sqrt(1 - alpha_bar) * data

    t (b, f) long, 0 = least noise. schedule: "cosine" or "linear". A network is told `noise_level(t)`, not t:
    a v_fn(x, sigma) is called as a velocity_fn is, and both kinds share one scale from 0 to 1.
    """

    def __init__(self, schedule="cosine", timesteps=1000, zero_snr=False):
        curves = {"cosine": cosine_alpha_bar, "linear": linear_alpha_bar}
        if schedule not in curves:
            raise UserError(f"schedule {schedule!r} is not known: use 'cosine' or 'linear'")
        alpha_bar = curves[schedule](timesteps)
        self.alpha_bar = zero_terminal_snr(alpha_bar) if zero_snr else alpha_bar  # (timesteps,) float64

    def signal_and_noise(self, t):
        alpha_bar = self.alpha_bar[t.cpu()]
        return alpha_bar.sqrt(), (1 - alpha_bar).sqrt()  # (b, f) each, float64

    def noise_level(self, t):
        """The sigma (b, f) at which flow matching has the same signal-to-noise ratio."""
        signal, noise = self.signal_and_noise(t)
        return noise / (signal + noise)

    def add_noise(self, data, noise, t):
        a, s = (on_frames(weight).to(data) for weight in self.signal_and_noise(t))
        return a * data + s * noise  # (b, f, c, h, w)

    def v_target(self, data, noise, t):
        a, s = (on_frames(weight).to(data) for weight in self.signal_and_noise(t))
        return a * noise - s * data  # (b, f, c, h, w)

    def data_from_v(self, x, v, t):
        a, s = (on_frames(weight).to(x) for weight in self.signal_and_noise(t))
        return a * x - s * v  # (b, f, c, h, w)

    def noise_from_v(self, x, v, t):
        a, s = (on_frames(weight).to(x) for weight in self.signal_and_noise(t))
        return s * x + a * v  # (b, f, c, h, w)

    def loss(self, denoiser, data, text, condition=None, t=None, noise=None, generator=None):
        """Mean squared error of v in each sample, (b,). t and noise come from `generator` unless given."""
        if t is None:  # one timestep per clip
            shape, device = (data.shape[0], 1), device_of(generator)
            t = torch.randint(len(self.alpha_bar), shape, generator=generator, device=device)  # (b, 1)
            t = t.repeat(1, data.shape[1])  # (b, f)
        noise = randn(data.shape, generator).to(data) if noise is None else noise
        predicted = denoiser(self.add_noise(data, noise, t), self.noise_level(t).to(data), text, condition)
        return (predicted - self.v_target(data, noise, t)).square().mean((1, 2, 3, 4))  # (b,)

    def timesteps(self, steps):
        """From the last timestep down, evenly: "trailing" in Lin et al. 2023, table 2. (steps,) long."""
        check_steps(steps, most=len(self.alpha_bar))
        return torch.linspace(len(self.alpha_bar), 0, steps + 1, dtype=torch.float64)[:-1].round().long() - 1

    @torch.no_grad()
    def sample(self, v_fn, noise, steps, eta=0.0, generators=None, on_step=None):
        """Estimates data and noise, and mixes them anew for the next timestep (Song et al. 2021, eq. 12, 16).

        eta 0 is DDIM: nothing random. eta 1 is ancestral sampling (Ho et al. 2020, algorithm 2): new noise at
        every step, from `generators`, one per sample (see `draw_noise`). on_step as in `euler`.
        """
        x = noise
        path = self.timesteps(steps)
        alpha_bars = [*self.alpha_bar[path].tolist(), 1.0]  # no noise after the last step
        for i, (now, then) in enumerate(pairwise(alpha_bars)):
            t = path[i].expand(x.shape[:2])  # (b, f)
            sigma = self.noise_level(t).to(x)
            v = v_fn(x, sigma)  # (b, f, c, h, w)
            data, noise = self.data_from_v(x, v, t), self.noise_from_v(x, v, t)
            if on_step:
                on_step(i, sigma, x, data)
            variance = eta**2 * (1 - then) / (1 - now) * (1 - now / then)  # of the new noise
            x = math.sqrt(then) * data + math.sqrt(max(0, 1 - then - variance)) * noise
            if variance > 0:
                x = x + math.sqrt(variance) * draw_noise(x.shape, generators).to(x)
        return x


# ---- One network, read both ways


def radius(sigma):
    """Length of (1 - sigma, sigma). The flow's x / radius is DDPM's x of the same data, noise and SNR."""
    return on_frames(((1 - sigma).square() + sigma.square()).sqrt())


def v_from_velocity(velocity, x, sigma):
    """DDPM's v of the data and noise that the flow's velocity and x stand for."""
    return velocity * radius(sigma) + x * on_frames(1 - 2 * sigma) / radius(sigma)  # (b, f, c, h, w)


def velocity_from_v(v, x, sigma):
    """Undoes `v_from_velocity`; x is the flow's here too."""
    return (v - x * on_frames(1 - 2 * sigma) / radius(sigma)) / radius(sigma)  # (b, f, c, h, w)


def read_as_v(velocity_fn):
    """A flow network as a DDPM network: v_fn(x, sigma), x as DDPM makes it."""

    def v_fn(x, sigma):
        x = x * radius(sigma)
        return v_from_velocity(velocity_fn(x, sigma), x, sigma)

    return v_fn


def read_as_velocity(v_fn):
    """A DDPM network as a flow network: velocity_fn(x, sigma), x as flow matching makes it."""
    return lambda x, sigma: velocity_from_v(v_fn(x / radius(sigma), sigma), x, sigma)
