"""14.2, a batch by the roofline: two clocks, and what they may be taken for."""

import math

import torch

from minit2v.exercises.judging import Wrong, near, number, pair
from minit2v.exercises.registry import task


@task(
    "14.2", "batched(flops, weights, moved, batch, speed, bandwidth)", "What a batch costs, and what it brings",
    difficulty=2, importance=5, minutes=10,
    hints=(
        "Two clocks run at once: one for computing, one for fetching. Write both down for one clip. Which of the two "
        "does the pass wait for?",
        "In a batch every clip has its own FLOPs and its own activations, but all share the weights. So: batch · "
        "flops, and weights + batch · moved.",
        "`seconds = max(batch * flops / speed, (weights + batch * moved) / bandwidth)`, and `batch / seconds` clips a "
        "second.",
    ),
)
def batched(learner):
    cases = [(6.1, 30.0, 1.0, 1, 2.0, 3.0), (6.1, 30.0, 1.0, 4, 2.0, 3.0), (1.0, 80.0, 2.0, 8, 10.0, 4.0),
             (9.0, 1.0, 0.1, 3, 2.0, 5.0)]  # fmt: skip
    found = [_answered(learner, given) for given in cases]
    _check_meaning(found, cases)
    _check_clock(learner, "computing", dict(flops=6.0, weights=TINY, moved=TINY, speed=2.0, bandwidth=5.0), 0.0, 3.0)
    _check_clock(learner, "fetching", dict(flops=TINY, weights=8.0, moved=2.0, speed=3.0, bandwidth=4.0), 2.0, 0.5)
    for given, (seconds, clips) in zip(cases, found, strict=True):
        computing, fetching = _clocks(*given)
        if not near(seconds, max(computing, fetching), 1e-6):
            why = ". Which of the two is slower depends on the batch" if near(seconds, min(_clocks(*given))) else ""
            raise Wrong(f"Computing takes {computing:.4g} s and fetching {fetching:.4g} s, so the pass is done after "
                        f"{max(computing, fetching):.4g} s, and you say {seconds:.4g} s{why}.")
        _check_clips(clips, given, seconds)
    return "The weights are fetched once: that is all that a batch can save, and only where fetching decides."


TINY = 1e-9  # not 0: who asks which of the two is slower may well divide by one of them


def _answered(learner, given):
    values = pair(learner(*given), ("seconds", "clips per second"))
    return tuple(float(number(each, name)) for each, name in zip(values, ("time", "throughput"), strict=True))


def _clocks(flops, weights, moved, batch, speed, bandwidth):
    return batch * flops / speed, (weights + batch * moved) / bandwidth


def _check_meaning(found, cases):
    """Whether the first numbers are something else that can be said of the same clocks, in all cases."""
    due = [max(_clocks(*given)) for given in cases]
    seconds, clips = zip(*found, strict=True)
    if _alike(seconds, due):
        return
    batches = [given[3] for given in cases]
    if _alike(clips, due):
        raise Wrong("The two numbers are exchanged: first the seconds until the pass is done, then clips per second.")
    exchanged = [(f, w, m, n, bandwidth, speed) for f, w, m, n, speed, bandwidth in cases]
    upside_down = [(f, w, m, n, 1 / speed, 1 / bandwidth) for f, w, m, n, speed, bandwidth in cases]
    for other, told in (
        ([sum(_clocks(*given)) for given in cases], "Both clocks are added up. They run at the same time: the pass is "
                                                    "done when the slower one is."),
        ([min(_clocks(*given)) for given in cases], "You take the faster of the two clocks. A pass waits for the "
                                                    "slower one."),
        ([_clocks(*given)[0] for given in cases], "You count computing alone. Where fetching takes longer, the pass "
                                                  "waits for it."),
        ([_clocks(*given)[1] for given in cases], "You count fetching alone. Where computing takes longer, the pass "
                                                  "waits for it."),
        ([s / n for s, n in zip(due, batches, strict=True)], "The first number is the time for each clip. Asked is "
                                                             "when the pass is done, and with it all of its clips."),
        ([s * n for s, n in zip(due, batches, strict=True)], "The first number is the time of the pass, multiplied by "
                                                             "the batch: the clips are in one pass, and not in a row."),
        ([n / s for s, n in zip(due, batches, strict=True)], "The first number is the throughput, clips per second. "
                                                             "Asked first is when the pass is done, in seconds."),
        ([max(_clocks(*given)) for given in exchanged], "`speed` and `bandwidth` are exchanged: FLOPs are done at "
                                                        "`speed`, bytes come at `bandwidth`."),
        ([max(_clocks(*given)) for given in upside_down], "You multiply by `speed` and `bandwidth`. They are amounts "
                                                          "per second: a time is the amount, divided by them."),
        ([sum(_clocks(*given)) / 2 for given in cases], "The mean of the two clocks is taken. The pass is done when "
                                                        "the slower one is."),
        ([math.hypot(*_clocks(*given)) for given in cases], "The clocks are added up, in squares. They run at the same "
                                                            "time: the pass is done when the slower one is."),
        ([max(n * f / s, w / b, n * m / b) for f, w, m, n, s, b in cases],
         "Weights and activations have a clock each. They come over the same wire, one after the other: add them up."),
        ([max(n * f / s, (n * w + m) / b) for f, w, m, n, s, b in cases],
         "Weights and activations are exchanged: the weights are fetched once, the activations once for each clip."),
        ([s // 1 for s in due], "The seconds are rounded down to whole ones: `//` throws the rest away. Divide by /."),
    ):  # fmt: skip
        if _alike(seconds, other):
            raise Wrong(told)


def _alike(found, due):
    return near(torch.tensor(found, dtype=torch.float64), torch.tensor(due, dtype=torch.float64), 1e-6)


def _check_clock(learner, name, sizes, fixed, each):
    """One clock alone, for two batches: fixed + batch · each."""
    found = []
    for batch in (1, 3):
        values = learner(sizes["flops"], sizes["weights"], sizes["moved"], batch, sizes["speed"], sizes["bandwidth"])
        found.append(number(pair(values, ("seconds", "clips per second"))[0], "time"))
    slope = (found[1] - found[0]) / 2
    start = found[0] - slope
    if near(slope, each, 1e-6) and near(start, fixed, 1e-6):
        return
    if near(slope, 0.0, 1e-9):
        raise Wrong(f"With a batch of three, {name} takes no longer than for one clip. Every clip has its own "
                    f"{'FLOPs' if name == 'computing' else 'activations, that have to be fetched as well'}.")
    if name == "fetching" and near(slope, fixed + each, 1e-6):
        raise Wrong("You fetch the weights once for every clip. In a batch, they are fetched once for all: that is "
                    "what a batch is for.")
    if name == "fetching" and near(slope, each, 1e-6):
        raise Wrong(f"Fetching {sizes['weights']:g} bytes of weights at {sizes['bandwidth']:g} a second takes "
                    f"{fixed:g} s "
                    f"for any batch, and in yours it takes {start:.4g} s.")
    factor = slope / each
    if near(start, factor * fixed, 1e-6):
        raise Wrong(f"Where only {name} counts, your time is {factor:.4g} times what it has to be, for every batch: a "
                    "factor too many. FLOPs and bytes are counted as they are given.")
    if name == "fetching" and near(start, fixed, 1e-6):
        raise Wrong(f"Fetching the weights takes {fixed:g} s, as it should, and the activations of each clip "
                    f"{slope:.4g} s, where {each:g} are due.")
    if name == "fetching" and near(found[0], fixed + each, 1e-6) and found[1] < fixed + each:
        raise Wrong("The weights are divided by the batch: with more clips they take less time to fetch. All of them "
                    "are fetched in every pass, once, however many clips there are.")
    raise Wrong(f"Where only {name} counts, a batch of n has to take {fixed:g} + {each:g} · n seconds, and yours takes "
                f"{start:.4g} + {slope:.4g} · n.")


def _check_clips(clips, given, seconds):
    batch = given[3]
    if near(clips, batch / seconds, 1e-6):
        return
    if near(clips, 1 / seconds, 1e-6):
        raise Wrong("The second number counts passes per second: each of them makes as many clips as the batch has.")
    if near(clips, seconds / batch, 1e-6):
        raise Wrong("The second number is the time for each clip. Asked is the throughput: how many clips there are in "
                    "a second.")
    told = f"A batch of {batch} is done after {seconds:.4g} s: that makes {batch / seconds:.4g} clips a second, and " \
           f"you say {clips:.4g}"
    for clock, name in zip(_clocks(*given), ("computing", "fetching"), strict=True):
        if near(clips, batch / clock, 1e-6):
            raise Wrong(f"{told}: that goes by the clock of {name} alone. The next batch begins when the slower of "
                        "the two is done.")
    if near(clips, 1 / max(_clocks(*given[:3], 1, *given[4:])), 1e-6):
        raise Wrong(f"{told}: that is what a batch of one clip brings.")
    factor = clips * seconds / batch
    if near(factor, round(factor), 1e-6) and factor > 1 and batch == 1:
        raise Wrong(f"{told}, {factor:.4g} times as many. Clips per second are asked for.")
    if near(clips, batch * seconds, 1e-6):
        raise Wrong(f"{told}: multiplied by the seconds, and not divided.")
    raise Wrong(f"{told}.")
