"""14.1, a cache of velocities: when the network is called, and how far the walk goes along each answer."""

from itertools import pairwise

import torch

from minit2v.exercises.judging import Spy, Wrong, compare, near, tensor
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
        "is kept yet; in every step, walk from schedule[i] to schedule[i + 1].",
        "`if kept is None or i in due: kept = velocity_fn(x, schedule[i])`, then in any case `x = x + (schedule[i + "
        "1] - schedule[i]) * kept`.",
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
    if near(told_as, 1 - schedule[list(due)]):
        raise Wrong("You tell the network 1 minus the noise level. 1 is pure noise: it wants schedule[i] as it is.")
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
