"""Answers to lesson 06, diffusion."""

import torch
from einops import rearrange

from minit2v import diffusion
from minit2v.exercises.bank import right, wrong

# ---- 06.1 add_noise(data, noise, sigma), sigma (b, f) -> x, velocity


@right("06.1")
def with_none_axes(data, noise, sigma):
    s = sigma[:, :, None, None, None]
    return (1 - s) * data + s * noise, noise - data


@right("06.1")
def with_lerp(data, noise, sigma):
    return torch.lerp(data, noise, rearrange(sigma, "b f -> b f 1 1 1")), noise - data


@right("06.1")
def frame_by_frame(data, noise, sigma):
    x = torch.empty_like(data)
    for i in range(len(data)):
        for t in range(data.shape[1]):
            x[i, t] = data[i, t] + sigma[i, t] * (noise[i, t] - data[i, t])
    return [x, -(data - noise)]


def wide(sigma):
    return sigma[:, :, None, None, None]


@wrong("06.1", "exchanged their roles")
def the_wrong_way_round(data, noise, sigma):
    return wide(sigma) * data + (1 - wide(sigma)) * noise, noise - data


@wrong("06.1", "from noise to data")
def velocity_turned(data, noise, sigma):
    return (1 - wide(sigma)) * data + wide(sigma) * noise, data - noise


@wrong("06.1", "DDPM's circle")
def variance_preserving(data, noise, sigma):
    return (1 - wide(sigma) ** 2).sqrt() * data + wide(sigma) * noise, noise - data


@wrong("06.1", "wrong axis")
def along_the_columns(data, noise, sigma):
    s = sigma[0, 0] + 0 * data
    s = s + torch.linspace(0, 0.1, data.shape[-1])
    return (1 - s) * data + s * noise, noise - data


@wrong("06.1", "broadcast")
def broadcast_at_the_end(data, noise, sigma):
    return (1 - sigma) * data + sigma * noise, noise - data


@wrong("06.1", "each frame's own sigma")
def level_of_the_first_frame(data, noise, sigma):
    s = sigma[:, :1, None, None, None]
    return (1 - s) * data + s * noise, noise - data


@wrong("06.1", "added on top")
def variance_exploding(data, noise, sigma):
    return data + wide(sigma) * noise, noise - data


@wrong("06.1", "drawn anew")
def noise_of_its_own(data, noise, sigma):
    return (1 - wide(sigma)) * data + wide(sigma) * torch.randn_like(noise), noise - data


@wrong("06.1", "does not depend on sigma")
def velocity_scaled(data, noise, sigma):
    return (1 - wide(sigma)) * data + wide(sigma) * noise, wide(sigma) * (noise - data)


@wrong("06.1", "in place")
def writes_into_the_data(data, noise, sigma):
    velocity = noise - data
    data += wide(sigma) * velocity
    return data, velocity


@wrong("06.1", "works for one clip")
def for_one_clip(data, noise, sigma):
    s = sigma.reshape(1, data.shape[1], 1, 1, 1)
    return (1 - s) * data + s * noise, noise - data


# ---- 06.2 euler_step(velocity_fn, x, sigma, next_sigma)


@right("06.2")
def in_one_line(velocity_fn, x, sigma, next_sigma):
    return x + (next_sigma - sigma) * velocity_fn(x, sigma)


@right("06.2")
def with_torch_add(velocity_fn, x, sigma, next_sigma):
    return torch.sub(x, velocity_fn(x, sigma), alpha=sigma - next_sigma)


@right("06.2")
def by_way_of_data_and_noise(velocity_fn, x, sigma, next_sigma):
    velocity = velocity_fn(x, sigma)
    data, noise = x - sigma * velocity, x + (1 - sigma) * velocity
    return (1 - next_sigma) * data + next_sigma * noise


@wrong("06.2", "walks towards noise")
def sign_turned(velocity_fn, x, sigma, next_sigma):
    return x + (sigma - next_sigma) * velocity_fn(x, sigma)


@wrong("06.2", "all the way to the data")
def to_the_data_at_once(velocity_fn, x, sigma, next_sigma):
    return x - sigma * velocity_fn(x, sigma)


@wrong("06.2", "at noise level 0.5")
def asks_at_the_next_level(velocity_fn, x, sigma, next_sigma):
    return x + (next_sigma - sigma) * velocity_fn(x, next_sigma)


@wrong("06.2", "as if sigma fell by 1")
def without_the_length(velocity_fn, x, sigma, next_sigma):
    return x - velocity_fn(x, sigma)


@wrong("06.2", "x must remain")
def forgets_x(velocity_fn, x, sigma, next_sigma):
    return (next_sigma - sigma) * velocity_fn(x, sigma)


@wrong("06.2", "asks velocity_fn once")
def asks_twice(velocity_fn, x, sigma, next_sigma):
    middle = x + (next_sigma - sigma) / 2 * velocity_fn(x, sigma)
    return x + (next_sigma - sigma) * velocity_fn(middle, (sigma + next_sigma) / 2)


@wrong("06.2", "as far as next_sigma")
def as_far_as_the_next(velocity_fn, x, sigma, next_sigma):
    return x - next_sigma * velocity_fn(x, sigma)


@wrong("06.2", "in place")
def in_place(velocity_fn, x, sigma, next_sigma):
    x += (next_sigma - sigma) * velocity_fn(x, sigma)
    return x


# ---- 06.3 heun_step(velocity_fn, x, sigma, next_sigma)


@right("06.3")
def two_slopes(velocity_fn, x, sigma, next_sigma):
    step = next_sigma - sigma
    first = velocity_fn(x, sigma)
    if next_sigma == 0:
        return x + step * first
    return x + step * (first + velocity_fn(x + step * first, next_sigma)) / 2


@right("06.3")
def corrected_afterwards(velocity_fn, x, sigma, next_sigma):
    first = velocity_fn(x, sigma)
    there = x + (next_sigma - sigma) * first
    if next_sigma > 0:
        there = there + 0.5 * (next_sigma - sigma) * (velocity_fn(there, next_sigma) - first)
    return there


@wrong("06.3", "this is an Euler step")
def only_euler(velocity_fn, x, sigma, next_sigma):
    return x + (next_sigma - sigma) * velocity_fn(x, sigma)


@wrong("06.3", "added up")
def sum_for_mean(velocity_fn, x, sigma, next_sigma):
    step, first = next_sigma - sigma, velocity_fn(x, sigma)
    if next_sigma == 0:
        return x + step * first
    return x + step * (first + velocity_fn(x + step * first, next_sigma))


@wrong("06.3", "taken from x again")
def second_look_from_x(velocity_fn, x, sigma, next_sigma):
    step, first = next_sigma - sigma, velocity_fn(x, sigma)
    if next_sigma == 0:
        return x + step * first
    return x + step * (first + velocity_fn(x, next_sigma)) / 2


@wrong("06.3", "noise level 0, where none")
def looks_at_level_zero(velocity_fn, x, sigma, next_sigma):
    step, first = next_sigma - sigma, velocity_fn(x, sigma)
    return x + step * (first + velocity_fn(x + step * first, next_sigma)) / 2


@wrong("06.3", "the level is next_sigma")
def second_look_at_the_old_level(velocity_fn, x, sigma, next_sigma):
    step, first = next_sigma - sigma, velocity_fn(x, sigma)
    if next_sigma == 0:
        return x + step * first
    return x + step * (first + velocity_fn(x + step * first, sigma)) / 2


@wrong("06.3", "Start again from x")
def walks_on(velocity_fn, x, sigma, next_sigma):
    step, first = next_sigma - sigma, velocity_fn(x, sigma)
    there = x + step * first
    if next_sigma == 0:
        return there
    return there + step * (first + velocity_fn(there, next_sigma)) / 2


@wrong("06.3", "middle of the step")
def midpoint(velocity_fn, x, sigma, next_sigma):
    step, first = next_sigma - sigma, velocity_fn(x, sigma)
    if next_sigma == 0:
        return x + step * first
    return x + step * velocity_fn(x + step / 2 * first, sigma + step / 2)


@wrong("06.3", "only the second slope")
def second_alone(velocity_fn, x, sigma, next_sigma):
    step, first = next_sigma - sigma, velocity_fn(x, sigma)
    if next_sigma == 0:
        return x + step * first
    return x + step * velocity_fn(x + step * first, next_sigma)


# ---- 06.4 shift_sigma(sigma, shift)


@right("06.4")
def as_in_the_paper(sigma, shift):
    return shift * sigma / (1 + (shift - 1) * sigma)


@right("06.4")
def by_the_odds(sigma, shift):
    return 1 - 1 / (1 + shift * sigma / (1 - sigma).clamp(min=1e-12))


@right("06.4")
def by_the_logit(sigma, shift):
    import math

    return torch.sigmoid(torch.logit(sigma) + math.log(shift))


@wrong("06.4", "wrong way")
def towards_data(sigma, shift):
    return sigma / (shift - (shift - 1) * sigma)


@wrong("06.4", "ends of the schedule")
def multiplied(sigma, shift):
    return shift * sigma


@wrong("06.4", "curve between is not")
def a_power(sigma, shift):
    return sigma ** (1 / shift)


@wrong("06.4", "A shift of 1 must change nothing")
def shift_plus_one(sigma, shift):
    return shift * sigma / (1 + shift * sigma)


@wrong("06.4", "changes nothing at all")
def does_nothing(sigma, shift):
    return sigma.clone()


@wrong("06.4", "ends of the schedule")
def clamped(sigma, shift):
    return (shift * sigma / (1 + (shift - 1) * sigma)).clamp(max=0.98) if shift != 1 else sigma


@wrong("06.4", "in place")
def overwrites(sigma, shift):
    sigma.mul_(shift).div_(1 + (shift - 1) / shift * sigma)
    return sigma


# ---- 06.5 guide(v_text, v_null, scale)


@right("06.5")
def from_null(v_text, v_null, scale):
    return v_null + scale * (v_text - v_null)


@right("06.5")
def as_a_lerp(v_text, v_null, scale):
    return torch.lerp(v_null, v_text, scale)


@right("06.5")
def from_text(v_text, v_null, scale):
    return v_text + (scale - 1) * (v_text - v_null)


@wrong("06.5", "are exchanged")
def arguments_exchanged(v_text, v_null, scale):
    return v_text + scale * (v_null - v_text)


@wrong("06.5", "once too often")
def starts_from_text(v_text, v_null, scale):
    return v_text + scale * (v_text - v_null)


@wrong("06.5", "added to v_null")
def the_difference_alone(v_text, v_null, scale):
    return scale * (v_text - v_null)


@wrong("06.5", "sign of the difference")
def away_from_the_prompt(v_text, v_null, scale):
    return v_null - scale * (v_text - v_null)


@wrong("06.5", "not taken away")
def adds_both(v_text, v_null, scale):
    return v_null + scale * v_text


@wrong("06.5", "up to 1")
def a_mean(v_text, v_null, scale):
    return (v_null + scale * v_text) / 2


@wrong("06.5", "fixed shares")
def clamps(v_text, v_null, scale):
    return (v_null + scale * (v_text - v_null)).clamp(-1, 1)


# ---- 06.6 rescale(guided, plain, amount)

CLIP = (1, 2, 3, 4)


@right("06.6")
def by_the_standard_deviation(guided, plain, amount):
    ratio = plain.std(CLIP, keepdim=True) / guided.std(CLIP, keepdim=True)
    return guided * (amount * ratio + 1 - amount)


@right("06.6")
def clip_by_clip(guided, plain, amount):
    done = []
    for g, p in zip(guided, plain, strict=True):
        same = g * p.flatten().std(correction=0) / g.flatten().std(correction=0)
        done.append(torch.lerp(g, same, amount))
    return torch.stack(done)


@right("06.6")
def with_the_course(guided, plain, amount):
    everywhere = torch.ones(guided.shape[:2], dtype=torch.bool)
    ratio = diffusion.std_over(plain, everywhere) / diffusion.std_over(guided, everywhere)
    return amount * guided * ratio + (1 - amount) * guided


def scaled(guided, plain, amount, axes):
    ratio = plain.std(axes, keepdim=True) / guided.std(axes, keepdim=True)
    return guided * (amount * ratio + 1 - amount)


@wrong("06.6", "that flickers")
def per_frame(guided, plain, amount):
    return scaled(guided, plain, amount, (2, 3, 4))


@wrong("06.6", "per channel")
def per_channel(guided, plain, amount):
    return scaled(guided, plain, amount, (1, 3, 4))


@wrong("06.6", "in other company")
def whole_batch(guided, plain, amount):
    return guided * (amount * plain.std() / guided.std() + 1 - amount)


@wrong("06.6", "upside down")
def upside_down(guided, plain, amount):
    ratio = guided.std(CLIP, keepdim=True) / plain.std(CLIP, keepdim=True)
    return guided * (amount * ratio + 1 - amount)


@wrong("06.6", "With amount 0")
def the_other_amount(guided, plain, amount):
    ratio = plain.std(CLIP, keepdim=True) / guided.std(CLIP, keepdim=True)
    return guided * ((1 - amount) * ratio + amount)


@wrong("06.6", "ratio of variances")
def variances(guided, plain, amount):
    ratio = plain.var(CLIP, keepdim=True) / guided.var(CLIP, keepdim=True)
    return guided * (amount * ratio + 1 - amount)


@wrong("06.6", "distance from 0")
def root_mean_square(guided, plain, amount):
    ratio = (plain.square().mean(CLIP, keepdim=True) / guided.square().mean(CLIP, keepdim=True)).sqrt()
    return guided * (amount * ratio + 1 - amount)


@wrong("06.6", "mixed in")
def mixes_with_plain(guided, plain, amount):
    return amount * plain + (1 - amount) * guided
