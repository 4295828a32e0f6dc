"""Lesson 14, speed: answers kept from step to step, batches, two steps in one, and attention that is shared out."""

import math
from itertools import pairwise

import torch

from minit2v.exercises.judging import Spy, Wrong, compare, in_words, mixture, near, number, pair, tensor
from minit2v.exercises.registry import task


class Field:
    """Stands in for a denoiser: a velocity that depends on x and on the noise level, differently at every place."""

    def __call__(self, x, sigma):
        wave = torch.sin(torch.arange(x[0].numel(), dtype=x.dtype)).view(x[0].shape)
        return 0.3 * x + wave * (1 + float(sigma)) + 0.2 * float(sigma) ** 2


class Numbered:
    """A velocity that says which call it comes from: call n is 1 at place n of each clip, and 0 everywhere else."""

    def __init__(self):
        self.calls = 0

    def __call__(self, x, sigma):
        velocity = torch.zeros_like(x).flatten(1)
        velocity[:, self.calls % velocity.shape[1]] = 1.0
        self.calls += 1
        return velocity.view(x.shape)


def asked_of(learner, argument: int = 0) -> list:
    """(x, sigma) of every call of the learner's `velocity_fn`. Raises `Wrong` for calls of another form."""
    asked = learner.logs.get(argument, [])
    if not all(len(entry) == 2 and isinstance(entry[0], torch.Tensor) for entry in asked):
        raise Wrong("`velocity_fn` takes two arguments, x and the noise level: velocity_fn(x, sigma).")
    return [(x, float(torch.as_tensor(sigma).double().mean())) for x, sigma in asked]


def levels_said(levels) -> str:
    return ", ".join(f"{level:.2f}" for level in levels) or "none"


# ---- step caching ------------------------------------------------------------------------------------------------


def plug_cache(fn):
    """The sampler of the model takes twice as many steps, every other one from memory: the clip must be the same, for
    two steps along one velocity are one."""
    from minit2v import diffusion

    def euler(velocity_fn, noise, schedule, known=None, on_step=None):
        def network(x, sigma):
            return velocity_fn(x, torch.full(x.shape[:2], float(sigma)))  # the level of every latent frame

        middle = (schedule[:-1] + schedule[1:]) / 2
        fine = torch.cat([torch.stack([schedule[:-1], middle], dim=1).flatten(), schedule[-1:]])
        return fn(network, noise, fine, tuple(range(0, len(fine) - 1, 2)))

    return [(diffusion.SAMPLERS, "euler", euler)]


@task(
    "14.1", "sample_with_cache(velocity_fn, noise, schedule, due)", "Call the network only when it is due",
    difficulty=3, importance=5, minutes=15,
    hints=(
        "Begin with Euler as it is: for every step, ask for the velocity at the step's beginning, and walk. Then think "
        "about what changes in a step that is not due: the walk, or only where the velocity comes from?",
        "Keep the last velocity in a variable that begins as None. In step i ask anew if i is in `due` or if nothing "
        "is "
        "kept yet; in every step, walk from schedule[i] to schedule[i + 1].",
        "`if kept is None or i in due: kept = velocity_fn(x, schedule[i])`, then in any case `x = x + (schedule[i + "
        "1] - "
        "schedule[i]) * kept`.",
    ),
    plug=plug_cache,
)
def sample_with_cache(learner):
    noise, schedule = learner.draw(2, 3, 4), torch.tensor([1.0, 0.9, 0.75, 0.55, 0.3, 0.1, 0.0])
    due = (0, 1, 3, 4)
    y = tensor(learner(Spy(Numbered()), noise, schedule, due), noise.shape, "bnd")
    asked = asked_of(learner)
    if near(y.sort(dim=-1).values.sum((1, 2)), torch.ones(len(y))) and near(y, y.round()):
        raise Wrong("What comes back is the last velocity. Asked is where the walk ends: x.")
    _check_calls(asked, schedule, due)
    _check_walk([x.double() - noise.double() for x, _ in asked] + [y - noise.double()], schedule.double(), due)
    again = tensor(learner(Spy(Field()), noise + 1, schedule, due), noise.shape, "bnd")
    if len(asked_of(learner)) != len(due):
        raise Wrong("The first clip is right, and the one after it is not: something is kept from the last clip. Each "
                    "call has to begin with an empty cache.")
    compare(again, _path(noise + 1, schedule, due), "bnd")
    _check_first(learner, noise, schedule)
    return "Every step walks, and only those that are due call the network."


def _path(noise, schedule, due):
    """The end of the right walk, in float64."""
    x, kept = noise.double(), None
    for i, (here, there) in enumerate(zip(schedule.double()[:-1], schedule.double()[1:], strict=True)):
        if kept is None or i in due:
            kept = Field()(x, here)
        x = x + (there - here) * kept
    return x


def _check_walk(ways, schedule, due):
    """How far it went along each velocity: ways are x - noise at every call, and at the end, of `Numbered` velocities.

    Place n of a way says how far it went along the velocity of call n. Raises `Wrong` for the first that is not right.
    """
    runs = [range(i, j) for i, j in zip(due, (*due[1:], len(schedule) - 1), strict=True)]  # of steps, one per velocity
    step = schedule.diff()
    if any(near(way, torch.zeros_like(way)) for way in ways[1:-1]):
        raise Wrong(f"In step {due[1]} you ask for the velocity at the noise itself: x has to move on in every step, "
                    "also in those that are not due.")
    whole = torch.stack([way.flatten(1)[0, : len(due)] for way in ways[1:]])  # (look, velocity)
    if near(whole, whole.diagonal().diag()) and len(due) > 1:
        raise Wrong("At every look, x is the noise plus the last velocity alone: you begin again at the noise, and "
                    "what has been walked before is lost. Walk on from where x is.")
    table = torch.stack([way.flatten(1)[0, : len(due)] for way in ways]).diff(dim=0)  # (run, velocity)
    for k, j in (table.abs() > 1e-4).nonzero().tolist():
        if j != k:
            raise Wrong(f"In the steps from {runs[k][0]} to {runs[k][-1]} you walk along the velocity of step {due[j]} "
                        "as well: the *last* velocity is taken again, as it is, not mixed with others before it.")
    went, wanted = table.diagonal(), torch.stack([step[run].sum() for run in runs])
    if near(went, wanted):
        return
    for other, told in (
        (-wanted, "You walk in the wrong direction, from level 0 to level 1 and beyond. The step is schedule[i + 1] − "
                  "schedule[i], which is negative."),
        (torch.stack([step[run[0]] for run in runs]),
         "You go just as far as the steps lead that are due. In the others you stand still instead of walking on with "
         "the velocity that is kept."),
        (torch.stack([len(run) * step[run[0]] for run in runs]),
         "A step that is skipped is as long in yours as the one before it. Keep the velocity, not the way: every step "
         "has a length of its own."),
        (torch.stack([step[run[-1]] for run in runs]),
         "In a step that is skipped you begin again where the network was asked last, and what has been walked since "
         "is lost. Walk on from where x is."),
        (torch.stack([wanted.new_tensor(-len(run) / len(step)) for run in runs]),
         "All your steps are equally long. The schedule says how long each is: schedule[i + 1] − schedule[i]."),
    ):
        if near(went, other):
            raise Wrong(told)
    if near(went[:-1], wanted[:-1]) and near(went[-1], wanted[-1] - step[-1]):
        raise Wrong(f"The last step is not walked: {len(schedule)} noise levels are {len(step)} steps, and you end at "
                    f"level {float(schedule[-2]):g}.")
    k = int((went - wanted).abs().argmax())
    single = [i for i, run in enumerate(runs) if len(run) == 1]
    why = " Steps that are due are right. In the others the velocity has to be taken again as it is, for the length " \
          "of that step." if near(went[single], wanted[single]) else ""
    raise Wrong(f"Along the velocity of step {due[k]} you go {_along(runs[k], schedule)} by {float(went[k]):.3g}, and "
                f"that is {float(wanted[k]):.3g}.{why}")


def _along(run, schedule):
    return f"from level {float(schedule[run[0]]):g} to {float(schedule[run[-1] + 1]):g}"


def _check_calls(asked, schedule, due):
    """How often, and at which levels, the network was called."""
    steps, levels = len(schedule) - 1, [level for _, level in asked]
    if len(asked) == steps:
        raise Wrong(f"The network is called in all {steps} steps: nothing is saved. In steps that are not due, the "
                    "last velocity is taken again.")
    told_as = torch.tensor(levels) if len(levels) == len(due) else torch.zeros(len(due))
    if near(told_as, schedule[[i + 1 for i in due]]):
        raise Wrong("You tell the network the noise level at the end of the step. x is still at its beginning, so it "
                    "has to be schedule[i].")
    if near(told_as, torch.tensor(due)):
        raise Wrong("You tell the network the number of the step. It wants the noise level: schedule[i].")
    if any(abs(a - b) < 1e-6 for a, b in pairwise(levels)):
        raise Wrong(f"The network is asked more than once at the same level: {levels_said(levels)}. One look for each "
                    "step that is due, and none for the others.")
    called = [i for level in levels for i in range(steps) if abs(float(schedule[i]) - level) < 1e-4]
    if len(called) < len(levels):
        raise Wrong(f"The network is asked at the levels {levels_said(levels)}, and those of the steps that are due "
                    f"are {levels_said([float(schedule[i]) for i in due])}.")
    if called == list(due):
        return
    told = f"With due = {due}, you call the network in step{'s' if len(called) != 1 else ''} {_steps(called)}"
    if called == [0]:
        raise Wrong(f"{told}: what is kept is kept for ever. In every step that is due, ask anew.")
    if not (set(called) - {0}) & set(due):
        raise Wrong(f"{told}: the condition is turned round. It is called where a step is due, and in no other.")
    if set(called) - {0} == {i + 1 for i in due if i} - {steps}:
        raise Wrong(f"{told}: one step late. Ask first, and then walk along the new velocity.")
    if set(called) < set(due):
        raise Wrong(f"{told}: step {_steps(sorted(set(due) - set(called)))} is due as well.")
    raise Wrong(f"{told}: it does not go by `due`.")


def _steps(numbers):
    return ", ".join(map(str, numbers)) or "none"


def _check_first(learner, noise, schedule):
    """Step 0 is not in `due`: it has to be computed all the same."""
    told = "When step 0 is not in `due`, nothing is kept yet, so it has to be computed all the same."
    try:
        y = tensor(learner(Spy(Field()), noise, schedule, (2, 3)), noise.shape, "bnd")
    except Wrong as found:
        raise Wrong(f"{told} {found}") from None
    if not near(y, _path(noise, schedule, (2, 3))):
        raise Wrong(f"{told} Yours goes on with something else.")


# ---- batches -----------------------------------------------------------------------------------------------------


@task(
    "14.2", "batched(flops, weights, moved, batch, speed, bandwidth)", "What a batch costs, and what it brings",
    difficulty=2, importance=5, minutes=10,
    hints=(
        "Two clocks run at once: one for computing, one for fetching. Write both down for one clip. Which of the two "
        "does the pass wait for?",
        "In a batch every clip has its own FLOPs and its own activations, but all share the weights. So: batch · "
        "flops, "
        "and weights + batch · moved.",
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
                    "what "
                    "a batch is for.")
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


# ---- two steps in one --------------------------------------------------------------------------------------------


@task(
    "14.3", "two_in_one(velocity_fn, x, here, middle, there)", "What a student is asked", difficulty=4, importance=5,
    minutes=15,
    hints=(
        "First let the teacher walk, with two Euler steps, and note where he ends. Only then ask: which single "
        "velocity "
        "leads there in one step?",
        "Step one goes from `here` to `middle` with the velocity at x. Step two begins where step one ended, and asks "
        "there again, at the level `middle`. One step of the student is (there − here) · velocity.",
        "`half = x + (middle - here) * velocity_fn(x, here)`, `end = half + (there - middle) * velocity_fn(half, "
        "middle)`, and the answer is `(end - x) / (there - here)`.",
    ),
)
def two_in_one(learner):
    for here, middle, there in ((0.9, 0.6, 0.1), (1.0, 0.9, 0.5), (0.5, 0.25, 0.0)):
        x = learner.draw(2, 3, 4)
        y = tensor(learner(Spy(Field()), x, here, middle, there), x.shape, "bnd")
        asked = asked_of(learner)
        first = Field()(x.double(), here)
        half = x.double() + (middle - here) * first
        _check_teacher(asked, x, half, here, middle, there)
        second = Field()(half, middle)
        share = (here - middle) / (here - there)
        due = share * first + (1 - share) * second
        if not near(y, due):
            _explain_student(y, x, half, first, second, share, (here, middle, there))
            compare(y, due, "bnd")
    return "One step of the student ends where two of the teacher do, however long the two are."


def _check_teacher(asked, x, half, here, middle, there):
    if len(asked) != 2:
        times = {0: "never", 1: "once"}.get(len(asked), f"{len(asked)} times")
        raise Wrong(f"The teacher takes two steps, so he is asked twice. You ask him {times}.")
    (x1, level1), (x2, level2) = sorted(asked, key=lambda each: -each[1])
    if near(level1, here, 1e-5) and near(level2, there, 1e-5) and not near(middle, there, 1e-5):
        raise Wrong("The second time you ask at the level `there`, where the second step ends. It begins at `middle`.")
    if near(level1, level2, 1e-5):
        raise Wrong(f"You ask the teacher twice at the level {level1:.2f}. His second step begins at `middle`.")
    if not (near(level1, here, 1e-5) and near(level2, middle, 1e-5)):
        raise Wrong(f"You ask the teacher at the levels {level1:.2f} and {level2:.2f}; his steps begin at {here:.2f} "
                    "and "
                    f"{middle:.2f}.")
    if not near(x1, x):
        raise Wrong("The first question has to be asked at x itself.")
    if near(x2, half, 1e-4):
        return
    if near(x2, x):
        raise Wrong("Both times you ask at x. The second step begins where the first one has ended: walk there first.")
    if near(x2, 2 * x.double() - half, 1e-4):
        raise Wrong("The first step goes in the wrong direction: to `middle` it is (middle − here) · velocity, and "
                    "that "
                    "is negative.")
    step = mixture(x2.double() - x.double(), {"step": half - x.double()})
    if step is not None:
        raise Wrong(f"The first step is {float(step['step']):.3g} times as long as it should be: from `here` to "
                    "`middle`.")
    raise Wrong("The second question is asked at a place to which the teacher's first step does not lead.")


def _explain_student(y, x, half, first, second, share, levels):
    here, middle, there = levels
    shares = mixture(y, {"first": first, "second": second})
    if shares is None:
        end = half + (there - middle) * second
        if near(y, end):
            raise Wrong("You return where the teacher ends. Asked is the velocity that leads there in one step.")
        if near(y, (half + (there - middle) * second) / (there - here)):
            raise Wrong("You divide the end by the length of the step. It is the way from x to the end that has to be "
                        "divided.")
        raise Wrong("The result is no mixture of the teacher's two velocities: is x itself in it?")
    a, b = float(shares["first"]), float(shares["second"])
    told = f"Yours is {in_words({'first velocity': a, 'second velocity': b})}; due is {share:.3g} and {1 - share:.3g}."
    if near(a + b, 1.0, 1e-3) and near(a, 0.5, 1e-3):
        raise Wrong(f"Both velocities count the same, and the two steps are not equally long. {told}")
    if near(a + b, 1.0, 1e-3) and near(a, 1 - share, 1e-3):
        raise Wrong(f"The weights are exchanged: the first velocity counts by the length of the second step. {told}")
    if near(a + b, -1.0, 1e-3):
        raise Wrong(f"The sign is wrong: the way from `here` to `there` is there − here, and that is negative. {told}")
    if near(abs(a + b), here - there, 1e-3):
        raise Wrong(f"You return the way from x to the teacher's end. A velocity is that way, divided by there − here. "
                    f"{told}")
    first_way, second_way, whole = (a * (there - here), b * (there - here), there - here)  # along each velocity
    if abs(a) < 1e-3 or abs(b) < 1e-3:
        which, end = ("first", "begins at x") if abs(a) < 1e-3 else ("second", "ends where the second step does")
        raise Wrong(f"The {which} step is missing in the result: the way that is asked for {end}. {told}")
    if near(a / b, share / (1 - share), 1e-3):
        divisor = whole / (a + b)
        names = {middle - here: "that is the first step alone", there - middle: "that is the second step alone",
                 -here: "that would be the way down to level 0"}  # fmt: skip
        why = next((f": {words}" for value, words in names.items() if abs(value - divisor) < 1e-3), "")
        raise Wrong(f"The way from x to the teacher's end is right, and divided by {divisor:.3g}{why}. One step of the "
                    f"student is there − here, {whole:.3g}. {told}")
    if abs(a - b) < 1e-3:
        raise Wrong(f"Both velocities count the same, and the two steps are not equally long. {told}")
    if abs(a + b) < 1e-3:
        raise Wrong(f"The velocities are subtracted from each other. Both lead on, one after the other: their ways are "
                    f"added. {told}")
    if near(a / b, here / middle, 1e-3):
        raise Wrong(f"The velocities are weighted by the levels at which they are asked. They count by the lengths of "
                    f"their steps. {told}")
    if abs(second_way - whole) < 1e-3:
        raise Wrong(f"The second step goes all the way from `here` to `there`. It begins at `middle`: there − middle. "
                    f"{told}")
    if abs(first_way - whole) < 1e-3:
        raise Wrong(f"The first step goes all the way from `here` to `there`. It ends at `middle`: middle − here. "
                    f"{told}")
    raise Wrong(f"The two velocities have the wrong weights. {told}")


# ---- attention, shared out ---------------------------------------------------------------------------------------


@task(
    "14.4", "merge(answers, said)", "Merge what several devices heard", difficulty=4, importance=4, minutes=20,
    hints=(
        "If both devices hold equally much of what a query listens to, a plain mean is right. If one of them holds "
        "nearly all of it, which weight has to go to the other?",
        "`said` is the logarithm of a sum of exponentials. So the weights are e^said, divided by their sum over the "
        "shares, for every query on its own. And e^said overflows for large scores: take the largest away first.",
        "`weight = said.softmax(dim=0)` is all of that at once; then `(weight[..., None] * answers).sum(dim=0)`.",
    ),
)
def merge(learner):
    for shares, n, d in ((2, 5, 4), (3, 4, 6), (4, 4, 4)):
        answers, said = learner.draw(shares, n, d), learner.draw(shares, n)
        _check_one(learner, answers[:1], said[:1])
        _check_weights(learner, answers, said)
        y = tensor(learner(answers, said), (n, d), "nd")
        compare(y, _merged(answers, said), "nd")
    _check_sizes(learner)
    return "Shares of any size give what one device would have said, and no exponential overflows."


def _merged(answers, said):
    return (said.double().softmax(dim=0)[..., None] * answers.double()).sum(dim=0)


def _check_one(learner, answers, said):
    """One share only: its answer has to come back."""
    y = tensor(learner(answers, said), answers.shape[1:], "nd")
    if near(y, answers[0]):
        return
    told = "With one share only, its answer has to come back as it is, whatever was said"
    found = mixture(y, {"it": answers[0]}, groups=1)
    if found is None:
        raise Wrong(f"{told}. Yours is not even a multiple of it: an answer is weighted, and nothing is added to "
                    "it, or done to its values.")
    weight = found["it"]
    if near(weight.sum(), 1.0, 1e-3):
        raise Wrong(f"{told}. In yours the weights sum to 1 over the queries. What one query takes from all shares "
                    "has to: that is the first axis of `said`.")
    raise Wrong(f"{told}; for query 0 it comes back times {float(weight[0]):.3g}: the weights of one query do not sum "
                "to 1 over the shares.")


def _check_weights(learner, answers, said):
    """Which weight every share has, for every query on its own."""
    shares, n, d = answers.shape
    y = tensor(learner(answers, said), (n, d), "nd")
    total = tensor(learner(torch.ones_like(answers), said), (n, d), "nd")
    if not near(total, torch.ones_like(total), 1e-3):
        if near(total, shares * torch.ones_like(total), 1e-3):
            raise Wrong("When all shares answer 1, the merged answer has to be 1, and yours is the number of shares: "
                        "the "
                        "answers are added up, and not weighted.")
        raise Wrong(f"When all shares answer 1, the merged answer has to be 1, and yours is {float(total[0, 0]):.3g}: "
                    "the "
                    "weights of the shares do not sum to 1.")
    if d < shares:
        return
    found = mixture(y, {str(i): answers[i] for i in range(shares)}, groups=1)
    if found is not None and near(torch.stack(list(found.values())), torch.full_like(said, 1 / shares), 1e-3):
        raise Wrong("A plain mean: every share counts the same, however much was said in it.")
    if near(tensor(learner(answers, said + learner.draw(*said.shape)), (n, d), "nd"), y):
        raise Wrong("`said` plays no part: when the shares say as much as others did, the result is the same.")
    if found is None:
        raise Wrong("The merged answer to a query is no mixture of the shares' answers to it: each share has one "
                    "weight, for all channels of its answer.")
    weight, due = torch.stack(list(found.values())), said.double().softmax(dim=0)  # (shares, n)
    if near(weight, due, 5e-5):
        return
    if near(weight, (-said.double()).softmax(dim=0), 1e-3):
        raise Wrong("The weights are turned round: a share in which much was said counts little.")
    if near(weight, said.double() / said.double().sum(0), 1e-2):
        raise Wrong("The shares are weighted by `said` itself. It is a logarithm: the weights are its exponentials.")
    if near(weight, weight[:, :1].expand_as(weight), 1e-3):
        raise Wrong("Every query gets the same weights. Each one hears something else in each share: `said` has a "
                    "number "
                    "for every query, and it has to be used there.")
    if near(weight.amax(0), torch.ones(n), 1e-3):
        raise Wrong("Only the share in which most was said is heard. The others count, too, by how much was said.")
    for order, words in ((said.double().sort(dim=0).values, "are sorted"),
                         (said.double().roll(1, 0), "are shifted by one share")):
        if near(weight, order.softmax(dim=0), 1e-3) and shares > 2:
            raise Wrong(f"The weights are right, and stand at the wrong shares: they {words}.")
    if near(weight, due, 1e-2):
        raise Wrong("The weights are right to two or three digits only: is something rounded, or computed in half "
                    "precision?")
    if near(weight, due.softmax(dim=0), 1e-3):
        raise Wrong("The weights go through a softmax twice, and are nearly equal after it. Once is enough.")
    _explain_weights(weight, said.double())
    worst = int((weight - due).abs().amax(0).argmax())
    rest = "; ".join(f"share {i}: {float(w):.3f}, due {float(d):.3f}"
                     for i, (w, d) in enumerate(zip(weight[:, worst], due[:, worst], strict=True)))  # fmt: skip
    raise Wrong(f"The weights of the shares are wrong. For query {worst}, {rest}.")


def _explain_weights(weight, said):
    """What the relation of the weights to each other tells: weight, said (shares, n). e to said's difference is due."""
    silent = (weight.abs() < 1e-4).all(dim=1).nonzero().flatten().tolist()
    if silent:
        raise Wrong(f"Of {len(said)} shares, number {', '.join(map(str, silent))} (counted from 0) is not heard at "
                    "all. There may be any number of them.")
    quiet = weight < 0.01 * said.softmax(dim=0)
    if quiet.any():
        i, j = quiet.nonzero()[0].tolist()
        raise Wrong(f"Share {i} is hardly heard by query {j}, though `said` is {float(said[i, j]):.3g} there. It is a "
                    "logarithm and may be negative: e^said is above 0 all the same.")
    apart, due = ((each - each[:1])[1:] for each in (weight.log(), said))  # from the first share, (shares - 1, n)
    factor = float((apart * due).sum() / (due * due).sum())
    if near(apart, factor * due, 1e-3):
        base = " (to the base of 2, and not of e)" if abs(factor - 0.6931) < 1e-3 else ""
        raise Wrong(f"The weights are exponentials, but of {factor:.3g} · said{base}: the scores in it are scaled "
                    "already. They are exponentials of `said` as it is.")
    if len(apart) > 1 and near(apart[0], due[0], 1e-3):
        raise Wrong("The first two shares have the right weights to each other, and a third one has not: when you "
                    "merge one after the other, what the first two have said together is log(e^a + e^b), and more "
                    "than either.")


def _check_sizes(learner):
    """Attention for real, cut into unequal shares, with large scores."""
    q, k, v = learner.draw(3, 4), learner.draw(7, 4), learner.draw(7, 4)
    for size in (1.0, 300.0):
        scores, cuts = size * (q @ k.T), [slice(0, 2), slice(2, 7)]
        answers = torch.stack([scores[:, cut].softmax(-1) @ v[cut] for cut in cuts])
        said = torch.stack([scores[:, cut].logsumexp(-1) for cut in cuts])
        value = learner(answers, said)
        if isinstance(value, torch.Tensor) and not value.isfinite().all():
            raise Wrong(f"With scores in the hundreds (said reaches {float(said.max()):.0f}), the result is NaN or "
                        f"infinite: {_overflow(learner)}.")
        _check_shift(learner, answers, said, value)
        compare(value, scores.double().softmax(-1) @ v.double(), "nd", "attention merged from two unequal shares")


def _overflow(learner):
    """Which exponentials get too large, or all of them too small: three small questions."""
    answers = torch.tensor([[[0.0], [0.0]], [[1.0], [1.0]]])
    told = "an exponential overflows. Take the largest away before you exponentiate"
    for said, words in (
        ([[500.0, 500.0], [499.0, 499.0]], told),
        ([[500.0, 0.0], [499.0, -1.0]], "the largest of *all* queries is taken away, and where less was said every "
                                        "exponential is 0: 0 / 0. Take away the largest of each query on its own"),
        ([[500.0, 500.0], [0.0, 0.0]], "something is taken away before you exponentiate, but not the largest: where "
                                       "shares are far apart, an exponential still overflows"),
    ):
        value = learner(answers, torch.tensor(said))
        if isinstance(value, torch.Tensor) and not value.isfinite().all():
            return words
    return told


def _check_shift(learner, answers, said, value):
    """The same number is added to what all shares said to a query: nothing may change."""
    for more in (200.0, -200.0):
        shift = torch.zeros(said.shape[1])
        shift[-1] = more
        moved = learner(answers, said + shift)
        if isinstance(moved, torch.Tensor) and not moved.isfinite().all():
            raise Wrong(f"When all shares say {abs(more):g} {'more' if more > 0 else 'less'} to a query, the result is "
                        f"NaN or infinite: {_overflow(learner)}.")
        if isinstance(moved, torch.Tensor) and moved.shape == value.shape and not near(moved, value, 1e-3):
            raise Wrong(f"When all shares say {abs(more):g} {'more' if more > 0 else 'less'} to a query, their weights "
                        "stay the same, and in yours they change: is `said` cut off at some size, or is something "
                        "added to the sum by which is divided? What counts is the difference between shares.")
