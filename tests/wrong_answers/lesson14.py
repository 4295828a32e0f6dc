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


def walked(velocity_fn, noise, schedule, due, step=None, told=None):
    """Euler's walk with a cache. step(i, x, kept), told(i): what is done in another way."""
    x, kept = noise, None
    for i in range(len(schedule) - 1):
        if kept is None or i in due:
            kept = velocity_fn(x, told(i) if told else schedule[i])
        x = step(i, x, kept) if step else x + (schedule[i + 1] - schedule[i]) * kept
    return x


@wrong("14.1", "Keep the velocity, not the way")
def keeps_the_way(velocity_fn, noise, schedule, due):
    x, way = noise, None
    for i in range(len(schedule) - 1):
        if way is None or i in due:
            way = (schedule[i + 1] - schedule[i]) * velocity_fn(x, schedule[i])
        x = x + way
    return x


@wrong("14.1", "what has been walked since is lost")
def from_the_last_look(velocity_fn, noise, schedule, due):
    x, kept, looked = noise, None, noise
    for i in range(len(schedule) - 1):
        if kept is None or i in due:
            kept, looked = velocity_fn(x, schedule[i]), x
        x = looked + (schedule[i + 1] - schedule[i]) * kept
    return x


@wrong("14.1", "not mixed with others before it")
def in_a_straight_line(velocity_fn, noise, schedule, due):
    x, kept, older = noise, None, None
    for i in range(len(schedule) - 1):
        if kept is None or i in due:
            older, kept = kept, velocity_fn(x, schedule[i])
            velocity = kept
        elif older is not None:
            velocity = 2 * kept - older
        x = x + (schedule[i + 1] - schedule[i]) * velocity
    return x


@wrong("14.1", "equally long")
def steps_of_one_length(velocity_fn, noise, schedule, due):
    return walked(velocity_fn, noise, schedule, due, lambda i, x, kept: x - kept / (len(schedule) - 1))


@wrong("14.1", "taken again as it is")
def dies_away(velocity_fn, noise, schedule, due):
    return walked(velocity_fn, noise, schedule, due, lambda i, x, kept: (
        x + (schedule[i + 1] - schedule[i]) * kept * (1 if i in due else 0.9)))  # fmt: skip


@wrong("14.1", "kept for ever")
def asks_once(velocity_fn, noise, schedule, due):
    return walked(velocity_fn, noise, schedule, ())


@wrong("14.1", "one step late")
def asks_behind_the_step(velocity_fn, noise, schedule, due):
    x, kept = noise, velocity_fn(noise, schedule[0])
    for i in range(len(schedule) - 1):
        x = x + (schedule[i + 1] - schedule[i]) * kept
        if i and i in due:
            kept = velocity_fn(x, schedule[i + 1])
    return x


@wrong("14.1", "number of the step")
def told_the_number(velocity_fn, noise, schedule, due):
    return walked(velocity_fn, noise, schedule, due, told=lambda i: torch.tensor(float(i)))


@wrong("14.1", "last step is not walked")
def one_step_too_few(velocity_fn, noise, schedule, due):
    return walked(velocity_fn, noise, schedule[:-1], due)


@wrong("14.1", "does not go by `due`")
def every_other_step(velocity_fn, noise, schedule, due):
    return walked(velocity_fn, noise, schedule, range(0, len(schedule), 2))


@wrong("14.1", "the last velocity. Asked")
def hands_back_the_velocity(velocity_fn, noise, schedule, due):
    velocities = []
    walked(lambda x, sigma: velocities.append(velocity_fn(x, sigma)) or velocities[-1], noise, schedule, due)
    return velocities[-1]


@wrong("14.1", "begin again at the noise")
def always_from_the_noise(velocity_fn, noise, schedule, due):
    return walked(velocity_fn, noise, schedule, due, lambda i, x, kept: noise + (schedule[i + 1] - schedule[0]) * kept)


@wrong("14.1", "more than once at the same level")
def looks_ahead(velocity_fn, noise, schedule, due):
    def heun(x, sigma):
        i = int((schedule == sigma).nonzero()[0])
        first = velocity_fn(x, sigma)
        return (first + velocity_fn(x + (schedule[i + 1] - sigma) * first, schedule[i + 1])) / 2

    return walked(heun, noise, schedule, due)


@wrong("14.1", "1 minus the noise level")
def told_the_share_of_data(velocity_fn, noise, schedule, due):
    return walked(lambda x, sigma: velocity_fn(x, 1 - sigma), noise, schedule, due)


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


@right("14.2")
def by_the_rate(flops, weights, moved, batch, speed, bandwidth):
    rate = min(speed / flops, batch * bandwidth / (weights + batch * moved))
    return batch / rate, rate


@wrong("14.2", "two numbers are exchanged")
def clips_first(*given):
    return two_clocks(*given)[::-1]


@wrong("14.2", "time for each clip")
def shared_by_the_clips(*given):
    seconds, _ = two_clocks(*given)
    return seconds / given[3], given[3] / seconds


@wrong("14.2", "`speed` and `bandwidth` are exchanged")
def one_for_the_other(flops, weights, moved, batch, speed, bandwidth):
    return two_clocks(flops, weights, moved, batch, bandwidth, speed)


@wrong("14.2", "rounded down")
def whole_seconds(flops, weights, moved, batch, speed, bandwidth):
    seconds = max(batch * flops // speed, (weights + batch * moved) // bandwidth)
    return seconds, batch / max(seconds, 1)


@wrong("14.2", "the clock of computing alone")
def throughput_of_the_computing(flops, weights, moved, batch, speed, bandwidth):
    return two_clocks(flops, weights, moved, batch, speed, bandwidth)[0], speed / flops


@wrong("14.2", "divided by the batch")
def weights_in_shares(flops, weights, moved, batch, speed, bandwidth):
    return two_clocks(flops, weights / batch, moved, batch, speed, bandwidth)


@wrong("14.2", "depends on the batch")
def decided_for_one_clip(flops, weights, moved, batch, speed, bandwidth):
    computes = flops / speed > (weights + moved) / bandwidth
    seconds = batch * flops / speed if computes else (weights + batch * moved) / bandwidth
    return seconds, batch / seconds


@wrong("14.2", "You multiply by")
def times_the_speed(flops, weights, moved, batch, speed, bandwidth):
    return two_clocks(flops, weights, moved, batch, 1 / speed, 1 / bandwidth)


@wrong("14.2", "mean of the two clocks")
def half_of_both(flops, weights, moved, batch, speed, bandwidth):
    seconds = (batch * flops / speed + (weights + batch * moved) / bandwidth) / 2
    return seconds, batch / seconds


@wrong("14.2", "a clock each")
def three_clocks(flops, weights, moved, batch, speed, bandwidth):
    seconds = max(batch * flops / speed, weights / bandwidth, batch * moved / bandwidth)
    return seconds, batch / seconds


@wrong("14.2", "8 times what it has to be")
def in_bits(flops, weights, moved, batch, speed, bandwidth):
    return two_clocks(flops, weights, moved, batch, speed, bandwidth / 8)


@wrong("14.2", "a batch of one clip brings")
def throughput_of_one(flops, weights, moved, batch, speed, bandwidth):
    alone = two_clocks(flops, weights, moved, 1, speed, bandwidth)
    return two_clocks(flops, weights, moved, batch, speed, bandwidth)[0], alone[1]


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


def two_looks(velocity_fn, x, here, middle):
    first = velocity_fn(x, here)
    return first, velocity_fn(x + (middle - here) * first, middle)


@wrong("14.3", "first step is missing")
def from_the_middle(velocity_fn, x, here, middle, there):
    return two_looks(velocity_fn, x, here, middle)[1] * (there - middle) / (there - here)


@wrong("14.3", "all the way from `here` to `there`")
def second_step_too_long(velocity_fn, x, here, middle, there):
    first, second = two_looks(velocity_fn, x, here, middle)
    return ((middle - here) * first + (there - here) * second) / (there - here)


@wrong("14.3", "the first step alone")
def divided_by_the_first_step(velocity_fn, x, here, middle, there):
    first, second = two_looks(velocity_fn, x, here, middle)
    return ((middle - here) * first + (there - middle) * second) / (middle - here)


@wrong("14.3", "Both velocities count the same")
def added_up(velocity_fn, x, here, middle, there):
    return sum(two_looks(velocity_fn, x, here, middle))


@wrong("14.3", "weights are exchanged")
def the_others_lengths(velocity_fn, x, here, middle, there):
    first, second = two_looks(velocity_fn, x, here, middle)
    return ((there - middle) * first + (middle - here) * second) / (there - here)


@wrong("14.3", "subtracted from each other")
def their_difference(velocity_fn, x, here, middle, there):
    first, second = two_looks(velocity_fn, x, here, middle)
    return second - first


@wrong("14.3", "weighted by the levels")
def weighted_by_the_levels(velocity_fn, x, here, middle, there):
    first, second = two_looks(velocity_fn, x, here, middle)
    return (here * first + middle * second) / (here + middle)


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


@wrong("14.4", "the largest of *all* queries")
def one_largest_for_all(answers, said):
    weight = (said - said.max()).exp()
    return (weight[..., None] * answers).sum(dim=0) / weight.sum(dim=0)[..., None]


@wrong("14.4", "not the largest")
def the_mean_taken_away(answers, said):
    weight = (said - said.mean(dim=0)).exp()
    return (weight[..., None] * answers).sum(dim=0) / weight.sum(dim=0)[..., None]


@wrong("14.4", "cut off at some size")
def cut_off(answers, said):
    return (said.clamp(max=50).softmax(dim=0)[..., None] * answers).sum(dim=0)


@wrong("14.4", "already")
def divided_once_more(answers, said):
    return ((said / answers.shape[2] ** 0.5).softmax(dim=0)[..., None] * answers).sum(dim=0)


@wrong("14.4", "to the base of 2")
def powers_of_two(answers, said):
    weight = 2 ** (said - said.max(dim=0).values)
    return (weight[..., None] * answers).sum(dim=0) / weight.sum(dim=0)[..., None]


@wrong("14.4", "softmax twice")
def softmax_twice(answers, said):
    return (said.softmax(dim=0).softmax(dim=0)[..., None] * answers).sum(dim=0)


@wrong("14.4", "is not heard at all")
def only_two_of_them(answers, said):
    return (said[:2].softmax(dim=0)[..., None] * answers[:2]).sum(dim=0)


@wrong("14.4", "more than either")
def forgets_what_was_said(answers, said):
    answer, total = answers[0], said[0]
    for other, more in zip(answers[1:], said[1:], strict=True):
        share = (more - total).sigmoid()[:, None]
        answer, total = (1 - share) * answer + share * other, torch.maximum(total, more)
    return answer


@wrong("14.4", "`said` plays no part")
def by_the_answers(answers, said):
    return (answers.softmax(dim=0) * answers).sum(dim=0)


@wrong("14.4", "do not sum to 1 over the shares")
def each_on_its_own(answers, said):
    return (said.sigmoid()[..., None] * answers).sum(dim=0)


@wrong("14.4", "not even a multiple of it")
def logarithms_added(answers, said):
    return (answers + said[..., None]).logsumexp(dim=0)


@wrong("14.4", "two or three digits")
def in_half_precision(answers, said):
    return (said.half().float().softmax(dim=0)[..., None] * answers).sum(dim=0)


@wrong("14.4", "may be negative")
def what_is_positive(answers, said):
    weight = said.relu() + 1e-6
    return (weight[..., None] * answers).sum(dim=0) / weight.sum(dim=0)[..., None]
