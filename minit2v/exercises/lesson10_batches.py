"""10.3, batches that can be had again: by seed, step and number, whoever makes them."""

from itertools import combinations

import torch

from minit2v.exercises.judging import Wrong, near, tensor
from minit2v.exercises.registry import task


@task(
    "10.3", "batch_of(seed, step, rank, ranks, batch, d)", "A batch that can be had again", difficulty=3, importance=5,
    minutes=15,
    hints=(
        "Imagine one process that makes the whole batch. Which numbers decide what sample 5 of step 7 looks like? "
        "Then let two processes make one half each: which samples are theirs, by their numbers in the whole batch?",
        "Rank r has the samples r · each to (r + 1) · each, with each = batch / ranks. Give each sample a "
        "`torch.Generator` of its own, whose seed is made of all of (seed, step, i). A sum won't do: 1 + 2 is 2 + 1. "
        "Nor do high bits: torch hears the lowest 32.",
        "`number = hash((seed, step, i)) % 2**63`, `torch.randn(d, generator=torch.Generator().manual_seed(number))` "
        "for each i in `range(rank * each, (rank + 1) * each)`, and `torch.stack` of them.",
    ),
)
def batch_of(learner):
    _check_again(learner)
    _check_rows(learner)
    _check_ranks(learner)
    _check_seeds(learner)
    _check_spread(learner)
    _check_quiet(learner)
    return "Whoever makes a sample, when, and beside how many others: it is always the same one, and nobody else's."


def _samples(learner, seed, step, rank=0, ranks=1, batch=8, d=6):
    """The samples of one process, (batch / ranks, d), float64."""
    value, each = learner(seed, step, rank, ranks, batch, d), batch // ranks
    if isinstance(value, torch.Tensor) and ranks > 1 and value.shape == (batch, d):
        raise Wrong(f"Each of {ranks} processes returns the whole batch of {batch}. Its share is {each} samples: the "
                    "work has to be divided.")
    if isinstance(value, torch.Tensor) and not value.dtype.is_floating_point:
        raise Wrong(f"The samples are {value.dtype}. Normal random numbers are asked for, around 0 with spread 1.")
    return tensor(value, (each, d), "bd")


def _check_again(learner):
    """The same question, asked again after others, has the same answer."""
    cases = [(3, 7, 1, 2), (3, 8, 0, 2), (4, 7, 1, 2)]
    first = [_samples(learner, *case) for case in cases]
    for case, was in reversed([*zip(cases, first, strict=True)]):
        if near(_samples(learner, *case), was, 1e-6):
            continue
        why = "something is kept, or drawn anew, from call to call"
        if learner.dice:
            why = "it is drawn from a global random generator, and so depends on all that was drawn before"
        raise Wrong(f"Asked twice for step {case[1]} of rank {case[2]}, your function gives two different batches: "
                    f"{why}. A run that was stopped and goes on would see other samples.")


def _check_rows(learner):
    """What a batch depends on, and whether its samples are all different."""
    base = _samples(learner, 3, 7)
    for name, other in (("step", (3, 8)), ("seed", (4, 7))):
        if near(_samples(learner, *other), base):
            if name == "step" and not near(_samples(learner, 3, 1007), base):
                raise Wrong("Steps 7 and 8 see the same batch, and step 1007 another one: several steps in a row are "
                            "alike. Each has samples of its own.")
            what = "Every step sees the same batch" if name == "step" else "Every run sees the same batches"
            raise Wrong(f"{what}: `{name}` does not play a part. (If it is in the seed of a generator: on the CPU, "
                        "torch hears only the lowest 32 bits of that number.)")
    if near(base, base[:1].expand_as(base)):
        raise Wrong("All samples of a batch are the same one: each needs random numbers of its own.")
    if twice := _shared(base, base, same=True):
        raise Wrong(f"Samples {twice[0]} and {twice[1]} of one batch are the same.")
    if near(base, base[:, :1].expand_as(base)):
        raise Wrong("All numbers of a sample are the same: d random numbers are due.")


def _shared(a, b, same=False):
    """(i, j) of two rows that are equal, or None. same: a and b are one batch, whose rows equal themselves."""
    alike = (a[:, None] - b[None]).abs().amax(-1) < 1e-6  # (rows of a, rows of b)
    if same:
        alike = alike.triu(1)
    found = alike.nonzero()
    return tuple(int(each) for each in found[0]) if len(found) else None


def _check_ranks(learner):
    """No two ranks share a sample, and together they make the batch that one process alone would make."""
    for seed, step, ranks in ((0, 0, 2), (5, 3, 4), (2, 11, 8)):
        alone = _samples(learner, seed, step)
        parts = [_samples(learner, seed, step, rank, ranks) for rank in range(ranks)]
        for i, j in combinations(range(ranks), 2):
            if near(parts[i], parts[j]):
                raise Wrong(f"Ranks {i} and {j} make the same samples: two processes do the work of one. `rank` has "
                            "to play a part.")
            if twice := _shared(parts[i], parts[j]):
                raise Wrong(f"Sample {twice[0]} of rank {i} is sample {twice[1]} of rank {j}: their shares overlap. "
                            f"With {ranks} processes and a batch of 8, each has {8 // ranks} of its own.")
        if not all(_shared(row[None], alone) for row in torch.cat(parts)):
            some = [i for i, part in enumerate(parts) if _shared(part, alone)]
            told = f"{ranks} processes make another batch than one process alone"
            if some:
                raise Wrong(f"{told}: of the same samples, only some are there. A sample must depend on its number in "
                            "the whole batch, not on its number within a rank, and not on how many ranks there are.")
            raise Wrong(f"{told}. No two of them share a sample, but a run that goes on with more processes sees "
                        "another batch. A sample must depend on seed, step and its number in the whole batch, not on "
                        "who makes it.")


SEEDS = [(seed, step) for seed in (0, 1, 2, 3, 10) for step in (0, 1, 2, 3, 7, 10)]
SEEDS += [(0, 100), (0, 1000), (0, 1001), (0, 10_000), (1, 1000), (0, 100_000), (100, 0)]
SEEDS += [(1000, 0), (1000, 1), (0, 65_536)]


def _check_seeds(learner):
    """No sample of any (seed, step) comes again in another one."""
    known, where = [], []
    for seed, step in SEEDS:
        now = _samples(learner, seed, step)
        if known and (twice := _shared(torch.cat(known), now)):
            (was_seed, was_step), i = where[twice[0]]
            which = "at another place of the batch" if i != twice[1] else "at the same place"
            raise Wrong(f"Seed {was_seed}, step {was_step} and seed {seed}, step {step} share a sample, {which} "
                        f"(numbers {i} and {twice[1]}): two different questions lead to the same random numbers. When "
                        "seed, step and number are added up or multiplied, their sums meet; and digits that are "
                        "written one behind the other do, too.")
        known.append(now)
        where += [((seed, step), i) for i in range(len(now))]


def _check_spread(learner):
    values = torch.cat([_samples(learner, 1, step, batch=16, d=32) for step in range(8)])
    mean, spread = float(values.mean()), float(values.std())
    if float(values.min()) >= 0 and float(values.max()) <= 1:
        raise Wrong("The numbers lie evenly between 0 and 1 (rand). Normal ones are asked for, around 0 with spread 1.")
    if abs(mean) > 0.1 or abs(spread - 1) > 0.1:
        raise Wrong(f"The numbers lie around {mean:.2f}, with a spread of {spread:.2f}. Normal ones are asked for, "
                    "around 0 with spread 1.")
    alike = (values[:, None] + values[None]).abs().amax(-1).triu(1) + torch.ones(len(values), len(values)).tril() < 1e-4
    if alike.any():
        raise Wrong("Some samples are others with the sign turned round. No two of them may come from the same random "
                    "numbers.")
    columns = values.mean(0).abs().max()
    rows = torch.corrcoef(values.T).fill_diagonal_(0).abs().max()
    if columns > 0.5 or rows > 0.6:
        raise Wrong("The numbers of a sample are not independent of each other: some places always get about the same.")


def _check_quiet(learner):
    if learner.dice:
        raise Wrong("The batch is right, but a global random generator is seeded or drawn from on the way: whoever "
                    "draws from it next, as dropout does, is thrown back in every step. Use a `torch.Generator` of "
                    "your own.")
