"""Answers to lesson 04, the VAE."""

import torch
import torch.nn.functional as F
from einops import einsum, rearrange

from minit2v.exercises.bank import right, wrong

# ---- 04.1 causal_pad(x, kernel), x (b, f, c, h, w)


@right("04.1")
def with_functional_pad(x, kernel):
    return F.pad(x, (0, 0, 0, 0, 0, 0, kernel - 1, 0))


@right("04.1")
def frame_by_frame(x, kernel):
    frames = [torch.zeros_like(x[:, 0]) for _ in range(kernel - 1)] + list(x.unbind(1))
    return torch.stack(frames, dim=1)


@right("04.1")
def written_into_zeros(x, kernel):
    b, f, c, h, w = x.shape
    y = torch.zeros(b, f + kernel - 1, c, h, w)
    y[:, kernel - 1 :] = x
    return y


@wrong("04.1", "behind the last")
def pads_the_future(x, kernel):
    return F.pad(x, (0, 0, 0, 0, 0, 0, 0, kernel - 1))


@wrong("04.1", "future")
def pads_both_sides(x, kernel):
    before = (kernel - 1) // 2
    return F.pad(x, (0, 0, 0, 0, 0, 0, before, kernel - 1 - before))


@wrong("04.1", "copies of frame 0")
def repeats_the_first(x, kernel):
    return torch.cat([x[:, :1].expand(-1, kernel - 1, -1, -1, -1), x], dim=1)


@wrong("04.1", "You add 3 frames")
def one_too_many(x, kernel):
    return F.pad(x, (0, 0, 0, 0, 0, 0, kernel, 0))


@wrong("04.1", "wrong axis: width")
def pads_the_width(x, kernel):
    return F.pad(x, (kernel - 1, 0))


@wrong("04.1", "You add 0 frames")
def shifts_in_place_of_padding(x, kernel):
    return torch.cat([torch.zeros_like(x[:, : kernel - 1]), x[:, : x.shape[1] - kernel + 1]], dim=1)


@wrong("04.1", "batch of 2")
def works_for_one_clip(x, kernel):
    zeros = torch.zeros(1, kernel - 1, *x.shape[2:])
    return torch.cat([zeros, x], dim=1)


@wrong("04.1", "reverse order")
def turns_time_around(x, kernel):
    return F.pad(x.flip(1), (0, 0, 0, 0, 0, 0, kernel - 1, 0))


# ---- 04.2 causal_mix(x, weight, bias), x (b, f, h, w, c)


@right("04.2")
def as_a_conv3d(x, weight, bias):
    kernel = rearrange(weight, "o (k c) -> o c k 1 1", k=3)
    y = F.conv3d(F.pad(rearrange(x, "b f h w c -> b c f h w"), (0, 0, 0, 0, 2, 0)), kernel, bias)
    return rearrange(y, "b c f h w -> b f h w c")


@right("04.2")
def tap_by_tap(x, weight, bias):
    f, c = x.shape[1], x.shape[-1]
    padded = F.pad(x, (0, 0, 0, 0, 0, 0, 2, 0))
    return bias + sum(padded[:, k : k + f] @ weight[:, k * c : (k + 1) * c].T for k in range(3))


@right("04.2")
def with_unfold_and_einsum(x, weight, bias):
    taps = F.pad(x, (0, 0, 0, 0, 0, 0, 2, 0)).unfold(1, 3, 1)  # (b, f, h, w, c, 3)
    return einsum(taps, rearrange(weight, "o (k c) -> o k c", k=3), "b f h w c k, o k c -> b f h w o") + bias


def mixed(line, frames, weight, bias):
    return F.linear(torch.cat([line[:, k : k + frames] for k in range(3)], dim=-1), weight, bias)


@wrong("04.2", "looks into the future")
def centered(x, weight, bias):
    return mixed(F.pad(x, (0, 0, 0, 0, 0, 0, 1, 1)), x.shape[1], weight, bias)


@wrong("04.2", "looks into the future")
def anticausal(x, weight, bias):
    return mixed(F.pad(x, (0, 0, 0, 0, 0, 0, 0, 2)), x.shape[1], weight, bias)


@wrong("04.2", "order of the frames is wrong")
def newest_first(x, weight, bias):
    line, frames = F.pad(x, (0, 0, 0, 0, 0, 0, 2, 0)), x.shape[1]
    return F.linear(torch.cat([line[:, k : k + frames] for k in (2, 1, 0)], dim=-1), weight, bias)


@wrong("04.2", "interleaved")
def channels_interleaved(x, weight, bias):
    line, frames = F.pad(x, (0, 0, 0, 0, 0, 0, 2, 0)), x.shape[1]
    return F.linear(torch.stack([line[:, k : k + frames] for k in range(3)], dim=-1).flatten(-2), weight, bias)


@wrong("04.2", "only the bias must come out")
def forgets_the_bias(x, weight, bias):
    return mixed(F.pad(x, (0, 0, 0, 0, 0, 0, 2, 0)), x.shape[1], weight, None)


@wrong("04.2", "must be zeros")
def repeats_the_first_frame(x, weight, bias):
    line = torch.cat([x[:, :1], x[:, :1], x], dim=1)
    return mixed(line, x.shape[1], weight, bias)


@wrong("04.2", "must hear of it")
def one_frame_late(x, weight, bias):
    return mixed(F.pad(x, (0, 0, 0, 0, 0, 0, 3, 0))[:, : x.shape[1] + 2], x.shape[1], weight, bias)


@wrong("04.2", "other places move")
def along_the_rows(x, weight, bias):
    line, rows = F.pad(x, (0, 0, 0, 0, 2, 0)), x.shape[2]
    return F.linear(torch.cat([line[:, :, k : k + rows] for k in range(3)], dim=-1), weight, bias)


@wrong("04.2", "in place")
def wipes_the_first_frame(x, weight, bias):
    y = mixed(F.pad(x, (0, 0, 0, 0, 0, 0, 2, 0)), x.shape[1], weight, bias)
    x[:, 0] = 0
    return y


# ---- 04.3 nearest_legal(frames, temporal)


@right("04.3")
def rounded_down(frames, temporal):
    below = (frames - 1) // temporal * temporal + 1
    return (frames, frames) if below == frames else (below, below + temporal)


@right("04.3")
def by_searching(frames, temporal):
    below = above = frames
    while (below - 1) % temporal:
        below -= 1
    while (above - 1) % temporal:
        above += 1
    return below, above


@wrong("04.3", "stands alone, is left out")
def multiples(frames, temporal):
    return max(1, frames // temporal) * temporal, -(-frames // temporal) * temporal


@wrong("04.3", "legal itself")
def always_two_counts(frames, temporal):
    below = (frames - 1) // temporal * temporal + 1
    return below, below + temporal


@wrong("04.3", "order is wrong")
def above_first(frames, temporal):
    below = (frames - 1) // temporal * temporal + 1
    return (frames, frames) if below == frames else (below + temporal, below)


@wrong("04.3", "is not legal")
def always_by_four(frames, temporal):
    below = (frames - 1) // 4 * 4 + 1
    return (frames, frames) if below == frames else (below, below + 4)


@wrong("04.3", "at least one frame")
def below_zero(frames, temporal):
    below = (frames - 2) // temporal * temporal + 1
    return below, below + temporal


@wrong("04.3", "must lie between")
def one_step_too_far(frames, temporal):
    below = (frames - 1) // temporal * temporal + 1
    return (frames, frames) if below == frames else (below + temporal, below + 2 * temporal)


# ---- 04.4 kl(mean, log_variance)


@right("04.4")
def with_torch_distributions(mean, log_variance):
    ours = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    return torch.distributions.kl_divergence(ours, torch.distributions.Normal(0.0, 1.0)).mean()


@right("04.4")
def as_usually_written(mean, log_variance):
    return float(-0.5 * (1 + log_variance - mean.pow(2) - log_variance.exp()).mean())


@right("04.4")
def value_by_value(mean, log_variance):
    pairs = zip(mean.double().flatten().tolist(), log_variance.double().exp().flatten().tolist(), strict=True)
    import math

    values = [0.5 * (m * m + v - 1 - math.log(v)) for m, v in pairs]
    return sum(values) / len(values)


@wrong("04.4", "sum over all values")
def summed(mean, log_variance):
    return 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum()


@wrong("04.4", "2 times")
def without_the_half(mean, log_variance):
    return (mean**2 + log_variance.exp() - 1 - log_variance).mean()


@wrong("04.4", "constant is missing")
def without_the_one(mean, log_variance):
    return 0.5 * (mean**2 + log_variance.exp() - log_variance).mean()


@wrong("04.4", "logarithm of the standard deviation")
def takes_it_for_the_deviation(mean, log_variance):
    return 0.5 * (mean**2 + (2 * log_variance).exp() - 1 - 2 * log_variance).mean()


@wrong("04.4", "negative")
def the_sign_turned(mean, log_variance):
    return 0.5 * (1 + log_variance - mean**2 - log_variance.exp()).mean()


@wrong("04.4", "sum over each clip")
def mean_over_clips_only(mean, log_variance):
    return 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).flatten(1).sum(1).mean()


@wrong("04.4", "One number")
def no_mean_at_all(mean, log_variance):
    return 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance)


@wrong("04.4", "averaged before")
def averages_too_early(mean, log_variance):
    mean, log_variance = mean.mean(), log_variance.mean()
    return 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance)


@wrong("04.4", "by its square")
def the_mean_not_squared(mean, log_variance):
    return 0.5 * (2 * mean.abs() + log_variance.exp() - 1 - log_variance).mean()
