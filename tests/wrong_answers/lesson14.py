"""Answers to lesson 14, speed."""

from itertools import pairwise

import torch

from minit2v.exercises.bank import right, wrong

# ---- 14.1 sample_with_cache(velocity_fn, noise, schedule, due)


@right("14.1")
def with_none(velocity_fn, noise, schedule, due):
    x, kept = noise, None
    for i in range(len(schedule) - 1):
        if kept is None or i in due:
            kept = velocity_fn(x, schedule[i])
        x = x + (schedule[i + 1] - schedule[i]) * kept
    return x


@right("14.1")
def in_long_steps(velocity_fn, noise, schedule, due):
    x, stops = noise, [*sorted({0, *due}), len(schedule) - 1]
    for begin, end in pairwise(stops):
        x = x + (schedule[end] - schedule[begin]) * velocity_fn(x, schedule[begin])
    return x


@right("14.1")
def with_a_dictionary(velocity_fn, noise, schedule, due):
    levels, memory, x = schedule.tolist(), {}, noise.clone()
    for i, (here, there) in enumerate(pairwise(levels)):
        if i in set(due) or not memory:
            memory["velocity"] = velocity_fn(x, here)
        x = x - (here - there) * memory["velocity"]
    return x


@wrong("14.1", "stand still")
def stands_still(velocity_fn, noise, schedule, due):
    x = noise
    for i in range(len(schedule) - 1):
        if i in due:
            x = x + (schedule[i + 1] - schedule[i]) * velocity_fn(x, schedule[i])
    return x


@wrong("14.1", "nothing is saved")
def never_kept(velocity_fn, noise, schedule, due):
    x, kept = noise, None
    for i in range(len(schedule) - 1):
        velocity = kept if kept is not None and i not in due else velocity_fn(x, schedule[i])
        x = x + (schedule[i + 1] - schedule[i]) * velocity
    return x


@wrong("14.1", "turned round")
def condition_turned_round(velocity_fn, noise, schedule, due):
    x, kept = noise, None
    for i in range(len(schedule) - 1):
        if i not in due:
            kept = velocity_fn(x, schedule[i])
        if kept is None:
            kept = torch.ones_like(x)
        x = x + (schedule[i + 1] - schedule[i]) * kept
    return x


@wrong("14.1", "wrong direction")
def towards_noise(velocity_fn, noise, schedule, due):
    x, kept = noise, None
    for i in range(len(schedule) - 1):
        if kept is None or i in due:
            kept = velocity_fn(x, schedule[i])
        x = x + (schedule[i] - schedule[i + 1]) * kept
    return x


@wrong("14.1", "end of the step")
def asks_at_the_end(velocity_fn, noise, schedule, due):
    x, kept = noise, None
    for i in range(len(schedule) - 1):
        if kept is None or i in due:
            kept = velocity_fn(x, schedule[i + 1])
        x = x + (schedule[i + 1] - schedule[i]) * kept
    return x


@wrong("14.1", "the noise itself")
def always_asks_at_the_noise(velocity_fn, noise, schedule, due):
    x, kept = noise, None
    for i in range(len(schedule) - 1):
        if kept is None or i in due:
            kept = velocity_fn(noise, schedule[i])
        x = x + (schedule[i + 1] - schedule[i]) * kept
    return x


shelf = {}


@wrong("14.1", "from the last clip")
def kept_for_ever(velocity_fn, noise, schedule, due):
    x = noise
    for i in range(len(schedule) - 1):
        if (i in due or not shelf) and (i, len(due)) not in shelf:
            shelf[i, len(due)] = velocity_fn(x, schedule[i])
        last = max(key for key in shelf if key[0] <= i)
        x = x + (schedule[i + 1] - schedule[i]) * shelf[last]
    if bool((shelf[0, len(due)] == 1).all()):
        shelf.clear()
    return x


@wrong("14.1", "computed all the same")
def trusts_due(velocity_fn, noise, schedule, due):
    x, kept = noise, None
    for i in range(len(schedule) - 1):
        if i in due:
            kept = velocity_fn(x, schedule[i])
        x = x + (schedule[i + 1] - schedule[i]) * kept
    return x


# ---- 14.2 batched(flops, weights, moved, batch, speed, bandwidth)


@right("14.2")
def two_clocks(flops, weights, moved, batch, speed, bandwidth):
    seconds = max(batch * flops / speed, (weights + batch * moved) / bandwidth)
    return seconds, batch / seconds


@right("14.2")
def with_a_branch(flops, weights, moved, batch, speed, bandwidth):
    computing = batch * flops / speed
    fetching = weights / bandwidth + moved * batch / bandwidth
    seconds = computing if computing > fetching else fetching
    return [seconds, 1 / (seconds / batch)]


@wrong("14.2", "added up")
def one_after_the_other(flops, weights, moved, batch, speed, bandwidth):
    seconds = batch * flops / speed + (weights + batch * moved) / bandwidth
    return seconds, batch / seconds


@wrong("14.2", "once for every clip")
def weights_for_every_clip(flops, weights, moved, batch, speed, bandwidth):
    seconds = batch * max(flops / speed, (weights + moved) / bandwidth)
    return seconds, batch / seconds


@wrong("14.2", "takes no longer")
def computes_once(flops, weights, moved, batch, speed, bandwidth):
    seconds = max(flops / speed, (weights + batch * moved) / bandwidth)
    return seconds, batch / seconds


@wrong("14.2", "waits for the slower one")
def does_not_wait(flops, weights, moved, batch, speed, bandwidth):
    computing, fetching = batch * flops / speed, (weights + batch * moved) / bandwidth
    seconds = min(computing, fetching) or max(computing, fetching)
    return seconds, batch / seconds


@wrong("14.2", "passes per second")
def counts_passes(flops, weights, moved, batch, speed, bandwidth):
    seconds = max(batch * flops / speed, (weights + batch * moved) / bandwidth)
    return seconds, 1 / seconds


@wrong("14.2", "Return a tuple of 2")
def only_the_time(flops, weights, moved, batch, speed, bandwidth):
    return max(batch * flops / speed, (weights + batch * moved) / bandwidth)


@wrong("14.2", "activations")
def forgets_the_activations(flops, weights, moved, batch, speed, bandwidth):
    seconds = max(batch * flops / speed, (weights + moved) / bandwidth)
    return seconds, batch / seconds


# ---- 14.3 two_in_one(velocity_fn, x, here, middle, there)


@right("14.3")
def by_walking(velocity_fn, x, here, middle, there):
    half = x + (middle - here) * velocity_fn(x, here)
    end = half + (there - middle) * velocity_fn(half, middle)
    return (end - x) / (there - here)


@right("14.3")
def by_weights(velocity_fn, x, here, middle, there):
    first = velocity_fn(x, here)
    second = velocity_fn(torch.lerp(x, x - first, here - middle), middle)
    share = (middle - here) / (there - here)
    return share * first + (1 - share) * second


@wrong("14.3", "not equally long")
def plain_mean(velocity_fn, x, here, middle, there):
    first = velocity_fn(x, here)
    return (first + velocity_fn(x + (middle - here) * first, middle)) / 2


@wrong("14.3", "Both times you ask at x")
def twice_at_x(velocity_fn, x, here, middle, there):
    first, second = velocity_fn(x, here), velocity_fn(x, middle)
    return ((middle - here) * first + (there - middle) * second) / (there - here)


@wrong("14.3", "where the teacher ends")
def the_end_itself(velocity_fn, x, here, middle, there):
    half = x + (middle - here) * velocity_fn(x, here)
    return half + (there - middle) * velocity_fn(half, middle)


@wrong("14.3", "divided by there")
def not_divided(velocity_fn, x, here, middle, there):
    return by_walking(velocity_fn, x, here, middle, there) * (there - here)


@wrong("14.3", "sign is wrong")
def divided_the_wrong_way(velocity_fn, x, here, middle, there):
    return -by_walking(velocity_fn, x, here, middle, there)


@wrong("14.3", "at the level `there`")
def asks_at_the_end_of_it(velocity_fn, x, here, middle, there):
    half = x + (middle - here) * velocity_fn(x, here)
    return (half + (there - middle) * velocity_fn(half, there) - x) / (there - here)


@wrong("14.3", "asked twice")
def only_once(velocity_fn, x, here, middle, there):
    return velocity_fn(x, here)


@wrong("14.3", "wrong direction")
def first_step_backwards(velocity_fn, x, here, middle, there):
    half = x + (here - middle) * velocity_fn(x, here)
    return (half + (there - middle) * velocity_fn(half, middle) - x) / (there - here)


# ---- 14.4 merge(answers, said)


@right("14.4")
def with_softmax(answers, said):
    return (said.softmax(dim=0)[..., None] * answers).sum(dim=0)


@right("14.4")
def one_after_another(answers, said):
    """As a ring does it: a running answer, and how much has been said so far."""
    answer, total = answers[0], said[0]
    for other, more in zip(answers[1:], said[1:], strict=True):
        both = torch.logaddexp(total, more)
        answer = (total - both).exp()[:, None] * answer + (more - both).exp()[:, None] * other
        total = both
    return answer


@right("14.4")
def with_the_largest_taken_away(answers, said):
    weight = (said - said.max(dim=0).values).exp()
    return torch.einsum("s n, s n d -> n d", weight, answers) / weight.sum(0)[:, None]


@wrong("14.4", "A plain mean")
def the_mean(answers, said):
    return answers.mean(dim=0)


@wrong("14.4", "added up")
def the_sum(answers, said):
    return answers.sum(dim=0) if len(answers) > 1 else answers[0]


@wrong("14.4", "overflows")
def naked_exponentials(answers, said):
    weight = said.exp()
    return (weight[..., None] * answers).sum(dim=0) / weight.sum(dim=0)[..., None]


@wrong("14.4", "by `said` itself")
def weighted_by_the_logarithm(answers, said):
    return (said[..., None] * answers).sum(dim=0) / said.sum(dim=0)[..., None]


@wrong("14.4", "same weights")
def one_weight_for_all_queries(answers, said):
    weight = said.mean(dim=1).softmax(dim=0)
    return (weight[:, None, None] * answers).sum(dim=0)


@wrong("14.4", "most was said")
def only_the_loudest(answers, said):
    which = said.argmax(dim=0)
    return answers[which, torch.arange(answers.shape[1])]


@wrong("14.4", "turned round")
def the_quietest_first(answers, said):
    return ((-said).softmax(dim=0)[..., None] * answers).sum(dim=0)


@wrong("14.4", "sum to 1")
def softmax_over_the_queries(answers, said):
    weight = said.softmax(dim=1) if len(said) > 1 else torch.ones_like(said)
    return (weight[..., None] * answers).sum(dim=0)
