"""Answers to lesson 10, training."""

import copy
import math

import torch
from einops import rearrange, reduce

from minit2v.exercises.bank import right, wrong

# ---- 10.1 flow_loss(denoiser, data, noise, level, weight, counted)


def losses(error, weight, counted):
    error = (weight[:, None, None] * error).mean((2, 3, 4))
    return (error * counted).sum(1) / counted.sum(1).clamp(min=1)


@right("10.1")
def straight(denoiser, data, noise, level, weight, counted):
    s = level[:, :, None, None, None]
    error = (denoiser((1 - s) * data + s * noise, level) - (noise - data)) ** 2
    return losses(error, weight, counted)


@right("10.1")
def one_clip_after_another(denoiser, data, noise, level, weight, counted):
    found = []
    for i in range(len(data)):
        x = torch.stack([torch.lerp(d, n, s) for d, n, s in zip(data[i], noise[i], level[i], strict=True)])
        said = denoiser(x[None], level[i : i + 1])[0]
        kept = [(weight * reduce((v - n + d) ** 2, "c h w -> c", "mean")).mean()
                for v, n, d, c in zip(said, noise[i], data[i], counted[i], strict=True) if c]  # fmt: skip
        found.append(torch.stack(kept).mean() if kept else torch.zeros(()))
    return torch.stack(found)


@right("10.1")
def with_einops(denoiser, data, noise, level, weight, counted):
    s, share = rearrange(level, "b f -> b f 1 1 1"), counted.double()
    x = data + s * (noise - data)
    error = torch.einsum("b f c h w, c, b f -> b", (denoiser(x, level) + data - noise).double().square(),
                         weight.double(), share)  # fmt: skip
    return error / (data[0, 0].numel() * share.sum(1)).clamp(min=1e-9)


@wrong("10.1", "data and noise are exchanged")
def mixes_the_other_way(denoiser, data, noise, level, weight, counted):
    s = level[:, :, None, None, None]
    return losses((denoiser(s * data + (1 - s) * noise, level) - (noise - data)) ** 2, weight, counted)


@wrong("10.1", "sign is turned round")
def towards_data(denoiser, data, noise, level, weight, counted):
    s = level[:, :, None, None, None]
    return losses((denoiser((1 - s) * data + s * noise, level) - (data - noise)) ** 2, weight, counted)


@wrong("10.1", "the noise, and not the velocity")
def asks_for_the_noise(denoiser, data, noise, level, weight, counted):
    s = level[:, :, None, None, None]
    return losses((denoiser((1 - s) * data + s * noise, level) - noise) ** 2, weight, counted)


@wrong("10.1", "levels lie along the wrong axes")
def level_without_axes(denoiser, data, noise, level, weight, counted):
    return losses((denoiser((1 - level) * data + level * noise, level) - (noise - data)) ** 2, weight, counted)


@wrong("10.1", "wrong axis")
def weight_without_axes(denoiser, data, noise, level, weight, counted):
    s = level[:, :, None, None, None]
    error = weight * (denoiser((1 - s) * data + s * noise, level) - (noise - data)) ** 2
    return losses(error, torch.ones_like(weight), counted)


@wrong("10.1", "square of it")
def weighs_the_error(denoiser, data, noise, level, weight, counted):
    s = level[:, :, None, None, None]
    error = weight[:, None, None] * (denoiser((1 - s) * data + s * noise, level) - (noise - data))
    return losses(error**2, torch.ones_like(weight), counted)


@wrong("10.1", "weights do not play a part")
def forgets_the_weights(denoiser, data, noise, level, weight, counted):
    s = level[:, :, None, None, None]
    error = (denoiser((1 - s) * data + s * noise, level) - (noise - data)) ** 2
    return losses(error, torch.ones_like(weight), counted)


@wrong("10.1", "`counted` does not play a part")
def counts_all(denoiser, data, noise, level, weight, counted):
    s = level[:, :, None, None, None]
    error = (denoiser((1 - s) * data + s * noise, level) - (noise - data)) ** 2
    return losses(error, weight, torch.ones_like(counted))


@wrong("10.1", "number of all frames")
def divides_by_all(denoiser, data, noise, level, weight, counted):
    s = level[:, :, None, None, None]
    error = (denoiser((1 - s) * data + s * noise, level) - (noise - data)) ** 2
    return ((weight[:, None, None] * error).mean((2, 3, 4)) * counted).mean(1)


@wrong("10.1", "turned round")
def counts_the_others(denoiser, data, noise, level, weight, counted):
    return straight(denoiser, data, noise, level, weight, ~counted)


@wrong("10.1", "averaged, too")
def one_number(denoiser, data, noise, level, weight, counted):
    return straight(denoiser, data, noise, level, weight, counted).mean()


@wrong("10.1", "not its square")
def absolute(denoiser, data, noise, level, weight, counted):
    s = level[:, :, None, None, None]
    return losses((denoiser((1 - s) * data + s * noise, level) - (noise - data)).abs(), weight, counted)


@wrong("10.1", "draw noise of your own")
def other_noise(denoiser, data, noise, level, weight, counted):
    s = level[:, :, None, None, None]
    noise = torch.randn_like(data)
    return losses((denoiser((1 - s) * data + s * noise, level) - (noise - data)) ** 2, weight, counted)


@wrong("10.1", "clips of the batch get the same share")
def level_of_the_first(denoiser, data, noise, level, weight, counted):
    s = level[:1, :, None, None, None]
    return losses((denoiser((1 - s) * data + s * noise, level) - (noise - data)) ** 2, weight, counted)


@wrong("10.1", "mixture of DDPM")
def squares_sum_to_one(denoiser, data, noise, level, weight, counted):
    s = level[:, :, None, None, None]
    return losses((denoiser((1 - s**2).sqrt() * data + s * noise, level) - (noise - data)) ** 2, weight, counted)


@wrong("10.1", "no_grad")
def nothing_to_learn(denoiser, data, noise, level, weight, counted):
    with torch.no_grad():
        return straight(denoiser, data, noise, level, weight, counted)


@wrong("10.1", "divided by 0 frames")
def divides_by_nothing(denoiser, data, noise, level, weight, counted):
    s = level[:, :, None, None, None]
    error = (denoiser((1 - s) * data + s * noise, level) - (noise - data)) ** 2
    return ((weight[:, None, None] * error).mean((2, 3, 4)) * counted).sum(1) / counted.sum(1)


@wrong("10.1", "summed up")
def summed(denoiser, data, noise, level, weight, counted):
    s = level[:, :, None, None, None]
    error = (denoiser((1 - s) * data + s * noise, level) - (noise - data)) ** 2
    return losses(error, weight, counted) * data.shape[2]


@wrong("10.1", "whole batch")
def one_mean_over_the_batch(denoiser, data, noise, level, weight, counted):
    s = level[:, :, None, None, None]
    error = (denoiser((1 - s) * data + s * noise, level) - (noise - data)) ** 2
    return ((weight[:, None, None] * error).mean((2, 3, 4)) * counted).sum(1) * len(data) / counted.sum()


@wrong("10.1", "cancel each other")
def averages_first(denoiser, data, noise, level, weight, counted):
    s = level[:, :, None, None, None]
    error = (weight[:, None, None] * (denoiser((1 - s) * data + s * noise, level) - (noise - data))).mean((2, 3, 4))
    return (error**2 * counted).sum(1) / counted.sum(1).clamp(min=1)


@wrong("10.1", "number of frames that count in the whole batch")
def one_number_of_frames_for_all(denoiser, data, noise, level, weight, counted):
    s = level[:, :, None, None, None]
    error = (denoiser((1 - s) * data + s * noise, level) - (noise - data)) ** 2
    return ((weight[:, None, None] * error).mean((2, 3, 4)) * counted).sum(1) / counted.sum()


@wrong("10.1", "no gradient finds the way back")
def detached(denoiser, data, noise, level, weight, counted):
    s = level[:, :, None, None, None]
    error = (denoiser((1 - s) * data + s * noise, level).detach() - (noise - data)) ** 2
    return losses(error, weight, counted)


@wrong("10.1", "for frames that do not count")
def says_clean_where_nothing_counts(denoiser, data, noise, level, weight, counted):
    return straight(denoiser, data, noise, level * counted, weight, counted)


@wrong("10.1", "only there")
def hides_what_does_not_count(denoiser, data, noise, level, weight, counted):
    s, shown = level[:, :, None, None, None], counted[:, :, None, None, None]
    error = (denoiser(((1 - s) * data + s * noise) * shown, level) - (noise - data)) ** 2
    return losses(error, weight, counted)


@wrong("10.1", "yours hears 1000 times as much")
def told_in_thousandths(denoiser, data, noise, level, weight, counted):
    s = level[:, :, None, None, None]
    return losses((denoiser((1 - s) * data + s * noise, 1000 * level) - (noise - data)) ** 2, weight, counted)


@wrong("10.1", "one level for all frames of a clip")
def told_the_mean(denoiser, data, noise, level, weight, counted):
    s, mean = level[:, :, None, None, None], level.mean(1, keepdim=True).expand_as(level)
    return losses((denoiser((1 - s) * data + s * noise, mean) - (noise - data)) ** 2, weight, counted)


@wrong("10.1", "only one is in the loss")
def the_first_that_counts(denoiser, data, noise, level, weight, counted):
    s = level[:, :, None, None, None]
    error = (denoiser((1 - s) * data + s * noise, level) - (noise - data)) ** 2
    return losses(error, weight, counted & (counted.cumsum(1) == 1))


@wrong("10.1", "nothing is asked of it")
def all_where_none_counts(denoiser, data, noise, level, weight, counted):
    s = level[:, :, None, None, None]
    error = (denoiser((1 - s) * data + s * noise, level) - (noise - data)) ** 2
    return losses(error, weight, counted | ~counted.any(1, keepdim=True))


# ---- 10.2 follow(average, model, step, ema)


@right("10.2")
def in_place(average, model, step, ema):
    d = min(ema, (1 + step) / (10 + step))
    with torch.no_grad():
        for mine, its in zip(average.parameters(), model.parameters(), strict=True):
            mine.mul_(d).add_(its, alpha=1 - d)
        for mine, its in zip(average.buffers(), model.buffers(), strict=True):
            mine.copy_(its)
    return average


@right("10.2")
def through_data(average, model, step, ema):
    d = (1 + step) / (10 + step)
    d = ema if d > ema else d
    its = dict(model.named_parameters())
    for name, mine in average.named_parameters():
        mine.data = mine.data + (1 - d) * (its[name].detach() - mine.data)
    for name, mine in average.named_buffers():
        mine.data = model.get_buffer(name).clone()
    return average


@right("10.2")
@torch.no_grad()
def by_loading(average, model, step, ema):
    d, mixed = min(ema, (1 + step) / (10 + step)), model.state_dict()
    for name, old in average.named_parameters():
        mixed[name] = torch.lerp(model.get_parameter(name), old, d)
    average.load_state_dict(mixed)
    return average


@wrong("10.2", "no warm-up")
def the_same_from_the_start(average, model, step, ema):
    with torch.no_grad():
        for mine, its in zip(average.parameters(), model.parameters(), strict=True):
            mine.mul_(ema).add_(its, alpha=1 - ema)
        for mine, its in zip(average.buffers(), model.buffers(), strict=True):
            mine.copy_(its)
    return average


def averaged(average, model, d):
    with torch.no_grad():
        for mine, its in zip(average.parameters(), model.parameters(), strict=True):
            mine.mul_(d).add_(its, alpha=1 - d)
        for mine, its in zip(average.buffers(), model.buffers(), strict=True):
            mine.copy_(its)
    return average


@wrong("10.2", "exchanged")
def shares_exchanged(average, model, step, ema):
    return averaged(average, model, 1 - min(ema, (1 + step) / (10 + step)))


@wrong("10.2", "the larger of")
def the_larger(average, model, step, ema):
    return averaged(average, model, max(ema, (1 + step) / (10 + step)))


@wrong("10.2", "never ends")
def warms_up_for_ever(average, model, step, ema):
    return averaged(average, model, (1 + step) / (10 + step))


@wrong("10.2", "one step ahead")
def counts_from_one(average, model, step, ema):
    return averaged(average, model, min(ema, (2 + step) / (11 + step)))


@wrong("10.2", "stays as it was. Buffers are no parameters")
def forgets_buffers(average, model, step, ema):
    d = min(ema, (1 + step) / (10 + step))
    with torch.no_grad():
        for mine, its in zip(average.parameters(), model.parameters(), strict=True):
            mine.lerp_(its, 1 - d)
    return average


@wrong("10.2", "is averaged")
def averages_buffers(average, model, step, ema):
    d = min(ema, (1 + step) / (10 + step))
    old, new = average.state_dict(), model.state_dict()
    average.load_state_dict({name: d * old[name] + (1 - d) * new[name] for name in old})
    return average


@wrong("10.2", "remembers how it was computed")
def records(average, model, step, ema):
    d = min(ema, (1 + step) / (10 + step))
    for mine, its in zip(average.parameters(), model.parameters(), strict=True):
        mine.mul_(d).add_((1 - d) * its)
    for mine, its in zip(average.buffers(), model.buffers(), strict=True):
        mine.copy_(its)
    return average


@wrong("10.2", "as they were")
def new_names(average, model, step, ema):
    d = min(ema, (1 + step) / (10 + step))
    for mine, its in zip(average.parameters(), model.parameters(), strict=True):
        mine = d * mine + (1 - d) * its
    return average


@wrong("10.2", "as they were")
def a_copy(average, model, step, ema):
    return averaged(copy.deepcopy(average), model, min(ema, (1 + step) / (10 + step)))


@wrong("10.2", "weights of `model` are changed")
def the_model_follows(average, model, step, ema):
    averaged(model, average, min(ema, (1 + step) / (10 + step)))
    return average


@wrong("10.2", "layers within layers")
def the_outermost_alone(average, model, step, ema):
    d = min(ema, (1 + step) / (10 + step))
    with torch.no_grad():
        for mine, its in zip(average.parameters(recurse=False), model.parameters(recurse=False), strict=True):
            mine.lerp_(its, 1 - d)
    return average


@wrong("10.2", "sum to")
def never_shrinks(average, model, step, ema):
    d = min(ema, (1 + step) / (10 + step))
    with torch.no_grad():
        for mine, its in zip(average.parameters(), model.parameters(), strict=True):
            mine.add_(its, alpha=1 - d)
    return average


@wrong("10.2", "gradients of `model`")
def clears_gradients(average, model, step, ema):
    averaged(average, model, min(ema, (1 + step) / (10 + step)))
    model.zero_grad()
    return average


@wrong("10.2", "no longer ask for gradients")
def freezes_the_model(average, model, step, ema):
    model.requires_grad_(False)
    return averaged(average, model, min(ema, (1 + step) / (10 + step)))


@wrong("10.2", "one and the same tensor")
def shares_buffers(average, model, step, ema):
    averaged(average, model, min(ema, (1 + step) / (10 + step)))
    average.spread, average.seen = model.spread, model.seen
    return average


@wrong("10.2", "a copy of the model")
def copies_the_model(average, model, step, ema):
    average.load_state_dict(model.state_dict())
    return average


@wrong("10.2", "steps that are done")
def forgets_all_at_first(average, model, step, ema):
    return averaged(average, model, min(ema, step / (10 + step)))


@wrong("10.2", "follow only if they ask for gradients")
def those_that_learn(average, model, step, ema):
    d = min(ema, (1 + step) / (10 + step))
    with torch.no_grad():
        for mine, its in zip(average.parameters(), model.parameters(), strict=True):
            if mine.requires_grad:
                mine.lerp_(its, 1 - d)
        for mine, its in zip(average.buffers(), model.buffers(), strict=True):
            mine.copy_(its)
    return average


@wrong("10.2", "follows twice in one step")
def twice_in_a_step(average, model, step, ema):
    d = min(ema, (1 + step) / (10 + step))
    return averaged(averaged(average, model, d), model, d)


@wrong("10.2", "the mean of `ema`")
def between_the_two(average, model, step, ema):
    return averaged(average, model, (ema + (1 + step) / (10 + step)) / 2)


@wrong("10.2", "what comes back is `model`")
def hands_back_the_model(average, model, step, ema):
    averaged(average, model, min(ema, (1 + step) / (10 + step)))
    return model


@wrong("10.2", "ends after ten steps")
def ten_steps_of_warm_up(average, model, step, ema):
    return averaged(average, model, (1 + step) / (10 + step) if step < 10 else ema)


# ---- 10.3 batch_of(seed, step, rank, ranks, batch, d)


@right("10.3")
def one_generator_each(seed, step, rank, ranks, batch, d):
    each, rows = batch // ranks, []
    for i in range(rank * each, (rank + 1) * each):
        generator = torch.Generator().manual_seed(hash((seed, step, i)) % 2**63)
        rows.append(torch.randn(d, generator=generator))
    return torch.stack(rows)


@right("10.3")
def the_whole_batch_cut(seed, step, rank, ranks, batch, d):
    generator = torch.Generator().manual_seed(seed * 10**9 + step)
    return torch.randn(batch, d, generator=generator).chunk(ranks)[rank]


@right("10.3")
def every_other_one(seed, step, rank, ranks, batch, d):
    import numpy as np

    rows = [np.random.default_rng([seed, step, i]).standard_normal(d) for i in range(rank, batch, ranks)]
    return torch.from_numpy(np.stack(rows)).float()


@right("10.3")
def put_back(seed, step, rank, ranks, batch, d):
    from minit2v.training import seed_of

    with torch.random.fork_rng([]):
        torch.manual_seed(seed_of(seed, step))
        return torch.randn(batch, d)[rank * batch // ranks : (rank + 1) * batch // ranks]


@wrong("10.3", "drawn before")
def draws_on(seed, step, rank, ranks, batch, d):
    return torch.randn(batch // ranks, d)


@wrong("10.3", "from call to call")
def a_generator_that_is_kept(seed, step, rank, ranks, batch, d):
    if seed not in generators:
        generators[seed] = torch.Generator().manual_seed(seed)
    return torch.randn(batch // ranks, d, generator=generators[seed])


generators = {}


@wrong("10.3", "`step` does not play a part")
def the_same_in_every_step(seed, step, rank, ranks, batch, d):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, d, generator=generator).chunk(ranks)[rank]


@wrong("10.3", "`seed` does not play a part")
def the_same_in_every_run(seed, step, rank, ranks, batch, d):
    generator = torch.Generator().manual_seed(step)
    return torch.randn(batch, d, generator=generator).chunk(ranks)[rank]


@wrong("10.3", "two processes do the work of one")
def all_ranks_alike(seed, step, rank, ranks, batch, d):
    generator = torch.Generator().manual_seed(hash((seed, step)) % 2**63)
    return torch.randn(batch // ranks, d, generator=generator)


@wrong("10.3", "lowest 32 bits")
def in_the_high_bits(seed, step, rank, ranks, batch, d):
    generator = torch.Generator().manual_seed((seed << 40) + step)
    return torch.randn(batch, d, generator=generator).chunk(ranks)[rank]


@wrong("10.3", "the whole batch of")
def everybody_does_all(seed, step, rank, ranks, batch, d):
    generator = torch.Generator().manual_seed(hash((seed, step)) % 2**63)
    return torch.randn(batch, d, generator=generator)


@wrong("10.3", "overlap")
def shares_overlap(seed, step, rank, ranks, batch, d):
    return torch.stack([torch.randn(d, generator=torch.Generator().manual_seed(hash((seed, step, rank + i)) % 2**63))
                        for i in range(batch // ranks)])  # fmt: skip


@wrong("10.3", "not on how many ranks")
def each_rank_its_own(seed, step, rank, ranks, batch, d):
    generator = torch.Generator().manual_seed(hash((seed, step, rank)) % 2**63)
    return torch.randn(batch // ranks, d, generator=generator)


@wrong("10.3", "not on who makes it")
def each_count_its_own(seed, step, rank, ranks, batch, d):
    generator = torch.Generator().manual_seed(hash((seed, step, ranks, rank)) % 2**63)
    return torch.randn(batch // ranks, d, generator=generator)


@wrong("10.3", "sums meet")
def adds_up(seed, step, rank, ranks, batch, d):
    each = batch // ranks
    return torch.stack([torch.randn(d, generator=torch.Generator().manual_seed(seed + step + i))
                        for i in range(rank * each, (rank + 1) * each)])  # fmt: skip


@wrong("10.3", "sums meet")
def a_thousand_steps(seed, step, rank, ranks, batch, d):
    generator = torch.Generator().manual_seed(1000 * seed + step)
    return torch.randn(batch, d, generator=generator).chunk(ranks)[rank]


@wrong("10.3", "All samples of a batch")
def one_sample_for_all(seed, step, rank, ranks, batch, d):
    each = batch // ranks
    return torch.stack([torch.randn(d, generator=torch.Generator().manual_seed(hash((seed, step)) % 2**63))
                        for _ in range(each)])  # fmt: skip


@wrong("10.3", "rand")
def evenly(seed, step, rank, ranks, batch, d):
    generator = torch.Generator().manual_seed(hash((seed, step)) % 2**63)
    return torch.rand(batch, d, generator=generator).chunk(ranks)[rank]


@wrong("10.3", "is thrown back")
def seeds_the_world(seed, step, rank, ranks, batch, d):
    torch.manual_seed(hash((seed, step)) % 2**63)
    return torch.randn(batch, d).chunk(ranks)[rank]


@wrong("10.3", "with a spread of")
def scaled_down(seed, step, rank, ranks, batch, d):
    return the_whole_batch_cut(seed, step, rank, ranks, batch, d) / math.sqrt(d)


@wrong("10.3", "one behind the other")
def digits_in_a_row(seed, step, rank, ranks, batch, d):
    each = batch // ranks
    numbers = [int(f"{seed}{step}{i}") for i in range(rank * each, (rank + 1) * each)]
    return torch.stack([torch.randn(d, generator=torch.Generator().manual_seed(number)) for number in numbers])


@wrong("10.3", "share a sample")
def bits_that_meet(seed, step, rank, ranks, batch, d):
    each = batch // ranks
    numbers = [seed ^ step ^ i for i in range(rank * each, (rank + 1) * each)]
    return torch.stack([torch.randn(d, generator=torch.Generator().manual_seed(number)) for number in numbers])


@wrong("10.3", "several steps in a row")
def ten_steps_alike(seed, step, rank, ranks, batch, d):
    return one_generator_each(seed, step // 10, rank, ranks, batch, d)


@wrong("10.3", "with the sign turned round")
def mirror_images(seed, step, rank, ranks, batch, d):
    each, rows = batch // ranks, []
    for i in range(rank * each, (rank + 1) * each):
        generator = torch.Generator().manual_seed(hash((seed, step, i // 2)) % 2**63)
        rows.append((-1) ** i * torch.randn(d, generator=generator))
    return torch.stack(rows)
