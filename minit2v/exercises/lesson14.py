"""Lesson 14, speed: answers kept from step to step, batches, two steps in one, and attention that is shared out."""

import torch

from minit2v.exercises.judging import Spy, Wrong, compare, in_words, mixture, near, number, pair, tensor
from minit2v.exercises.registry import task


class Field:
    """Stands in for a denoiser: a velocity that depends on x and on the noise level, differently at every place."""

    def __call__(self, x, sigma):
        wave = torch.sin(torch.arange(x[0].numel(), dtype=x.dtype)).view(x[0].shape)
        return 0.3 * x + wave * (1 + float(sigma)) + 0.2 * float(sigma) ** 2


class Same:
    """A velocity that is 1 everywhere."""

    def __call__(self, x, sigma):
        return torch.ones_like(x)


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
    _check_walk(learner, noise, schedule, due)
    y = tensor(learner(Spy(Field()), noise, schedule, due), noise.shape, "bnd")
    asked = asked_of(learner)
    _check_calls(asked, schedule, due)
    path = _path(noise, schedule, due)
    for (x, _), i in zip(asked, due, strict=True):
        if not near(x, path[i]):
            where = "the noise itself" if near(x, noise) else "another x than the one that has been reached"
            raise Wrong(f"In step {i} you ask for the velocity at {where}: x has to move on in every step, also in "
                        "those that are not due.")
    compare(y, path[-1], "bnd")
    again = tensor(learner(Spy(Field()), noise + 1, schedule, due), noise.shape, "bnd")
    if len(asked_of(learner)) != len(due) or not near(again, _path(noise + 1, schedule, due)[-1]):
        raise Wrong("The first clip is right, and the one after it is not: something is kept from the last clip. Each "
                    "call has to begin with an empty cache.")
    _check_first(learner, noise, schedule)
    return "Every step walks, and only those that are due call the network."


def _path(noise, schedule, due):
    """All points of the right walk, in float64."""
    x, kept, points = noise.double(), None, [noise.double()]
    for i, (here, there) in enumerate(zip(schedule.double()[:-1], schedule.double()[1:], strict=True)):
        if kept is None or i in due:
            kept = Field()(x, here)
        x = x + (there - here) * kept
        points.append(x)
    return points


def _check_walk(learner, noise, schedule, due):
    """Where the velocity is 1 everywhere, one has to arrive 1 below the noise, whatever is skipped."""
    y = tensor(learner(Spy(Same()), noise, schedule, due), noise.shape, "bnd")
    went = (noise.double() - y).mean()
    if near(y, noise.double() - 1, 1e-3):
        return
    told = "Where the velocity is 1 everywhere, the walk from level 1 to level 0 takes 1 away from the noise, " \
           "whatever " \
           "is skipped."
    alone = sum(float(schedule[i] - schedule[i + 1]) for i in due)
    if near(went, alone, 1e-3):
        raise Wrong(f"{told} Yours takes {float(went):.2f} away: just as far as the steps lead that are due. In the "
                    "others, you stand still instead of walking on with the velocity that is kept.")
    if near(went, -1.0, 1e-3):
        raise Wrong(f"{told} Yours adds 1: it walks in the wrong direction. The step is schedule[i + 1] − schedule[i], "
                    "which is negative.")
    raise Wrong(f"{told} Yours takes {float(went):.3g} away: the steps do not have the lengths that the schedule says.")


def _check_calls(asked, schedule, due):
    steps = len(schedule) - 1
    if len(asked) == steps:
        raise Wrong(f"The network is called in all {steps} steps: nothing is saved. In steps that are not due, the "
                    "last "
                    "velocity is taken again.")
    if len(asked) == steps - len(due):
        wanted = [float(schedule[i]) for i in range(steps) if i not in due]
        if near(torch.tensor([s for _, s in asked]), torch.tensor(wanted), 1e-3):
            raise Wrong("You call the network in the steps that are not due, and skip those that are: the condition is "
                        "turned round.")
    if len(asked) != len(due):
        raise Wrong(f"With due = {due} the network has to be called {len(due)} times, and yours calls it {len(asked)} "
                    "times.")
    found, wanted = [s for _, s in asked], [float(schedule[i]) for i in due]
    if near(torch.tensor(found), torch.tensor(wanted), 1e-4):
        return
    if near(torch.tensor(found), torch.tensor([float(schedule[i + 1]) for i in due]), 1e-4):
        raise Wrong("You tell the network the noise level at the end of the step. x is still at its beginning, so it "
                    "has "
                    "to be schedule[i].")
    raise Wrong(f"The network is asked at the levels {levels_said(found)}, and those of the steps that are due are "
                f"{levels_said(wanted)}.")


def _check_first(learner, noise, schedule):
    """Step 0 is not in `due`: it has to be computed all the same."""
    told = "When step 0 is not in `due`, nothing is kept yet, so it has to be computed all the same."
    try:
        y = tensor(learner(Spy(Field()), noise, schedule, (2, 3)), noise.shape, "bnd")
    except Wrong as found:
        raise Wrong(f"{told} {found}") from None
    if not near(y, _path(noise, schedule, (2, 3))[-1]):
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
    _check_clock(learner, "computing", dict(flops=6.0, weights=0.0, moved=0.0, speed=2.0, bandwidth=5.0), 0.0, 3.0)
    _check_clock(learner, "fetching", dict(flops=0.0, weights=8.0, moved=2.0, speed=3.0, bandwidth=4.0), 2.0, 0.5)
    for given in ((6.0, 30.0, 1.0, 1, 2.0, 3.0), (6.0, 30.0, 1.0, 4, 2.0, 3.0), (1.0, 80.0, 2.0, 8, 10.0, 4.0)):
        flops, weights, moved, batch, speed, bandwidth = given
        computing, fetching = batch * flops / speed, (weights + batch * moved) / bandwidth
        seconds, clips = (number(each) for each in pair(learner(*given), ("seconds", "clips per second")))
        if not near(seconds, max(computing, fetching), 1e-6):
            others = {computing + fetching: "both clocks added up. They run at the same time: the slower one decides",
                      computing: "computing alone. Here fetching takes longer, and a pass waits for the slower one",
                      fetching: "fetching alone. Here computing takes longer, and a pass waits for the slower one",
                      max(computing, fetching) / batch: "the time for each clip. Asked is when the pass is done"}
            why = next((text for value, text in others.items() if near(seconds, value, 1e-6)), "neither of the two")
            raise Wrong(f"Computing takes {computing:.4g} s and fetching {fetching:.4g} s, and you say {seconds:.4g} "
                        "s: "
                        f"{why}.")
        _check_clips(clips, batch, seconds)
    return "The weights are fetched once: that is all that a batch can save, and only where fetching decides."


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
    raise Wrong(f"Where only {name} counts, a batch of n has to take {fixed:g} + {each:g} · n seconds, and yours takes "
                f"{start:.4g} + {slope:.4g} · n.")


def _check_clips(clips, batch, seconds):
    if near(clips, batch / seconds, 1e-6):
        return
    if near(clips, 1 / seconds, 1e-6):
        raise Wrong("The second number counts passes per second: each of them makes as many clips as the batch has.")
    if near(clips, seconds / batch, 1e-6):
        raise Wrong("The second number is the time for each clip. Asked is the throughput: how many clips there are in "
                    "a second.")
    raise Wrong(f"A batch of {batch} is done after {seconds:.4g} s: that makes {batch / seconds:.4g} clips a second, "
                "and "
                f"you say {clips:.4g}.")


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
        one = learner(answers[:1], said[:1])
        if not near(tensor(one, (n, d), "nd"), answers[0]):
            raise Wrong("With one share only, its answer has to come back as it is, whatever was said.")
        _check_weights(learner, answers, said)
        y = tensor(learner(answers, said), (n, d), "nd")
        compare(y, _merged(answers, said), "nd")
    _check_sizes(learner)
    return "Shares of any size give what one device would have said, and no exponential overflows."


def _merged(answers, said):
    return (said.double().softmax(dim=0)[..., None] * answers.double()).sum(dim=0)


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
    if found is None:
        return
    weight, due = torch.stack(list(found.values())), said.double().softmax(dim=0)  # (shares, n)
    if near(weight, due, 1e-3):
        return
    if near(weight, torch.full_like(weight, 1 / shares), 1e-3):
        raise Wrong("A plain mean: every share counts the same, however much was said in it.")
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
    rest = "; ".join(f"share {i}: {float(weight[i, 0]):.3f}, due {float(due[i, 0]):.3f}" for i in range(shares))
    raise Wrong(f"The weights of the shares are wrong. For query 0, {rest}.")


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
                        "infinite:"
                        " an exponential overflows. Take the largest away before you exponentiate.")
        compare(value, scores.double().softmax(-1) @ v.double(), "nd", "attention merged from two unequal shares")
