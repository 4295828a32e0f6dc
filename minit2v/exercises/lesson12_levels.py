"""12.1, every frame's noise level at every moment."""

import torch

from minit2v.exercises.judging import Wrong, near, tensor
from minit2v.exercises.registry import task


def plug_levels(fn):
    """The samplers take every frame's noise level from the learner's function."""
    from minit2v import diffusion

    def start(noise, schedule, known):
        mask = torch.zeros(noise.shape[:2], dtype=torch.bool) if known is None else known.mask
        levels = fn(schedule.to(noise), mask, 0.0 if known is None else known.level)
        data = torch.zeros_like(noise) if known is None else known.latents
        return diffusion.FlowMatching.add_noise(data, noise, levels[0]), levels

    return [(diffusion, "start", start)]


@task(
    "12.1", "noise_levels(schedule, known, level)", "A noise level for each frame", difficulty=2, importance=5,
    minutes=10,
    hints=(
        "Begin with the table of a clip of which nothing is known: at each moment, all frames of all clips have the "
        "same level. Which axes does that table have, and along which of them do the numbers differ?",
        "Then change some of it: where a frame is known, its level is `level`, from the first moment to the last. It "
        "does not matter what the schedule says there.",
        "`levels = schedule[:, None, None].expand(-1, *known.shape)`, then `torch.where(known, level, levels)`.",
    ),
    plug=plug_levels,
)
def noise_levels(learner):
    for b, f, moments, level in ((2, 4, 5, 0.3), (3, 3, 4, 0.0), (1, 5, 6, 0.15)):
        schedule = torch.rand(moments, generator=learner.generator).sort(descending=True).values
        schedule[0], schedule[-1] = 1.0, 0.0
        for known in _masks(b, f):
            y = tensor(learner(schedule, known, level), (moments, b, f), "mbf", "table of levels")
            _check_levels(y, schedule.double(), known, level)
    return "Known frames keep their level, all others follow the schedule: four tasks in one table."


def _masks(b, f):
    """Which frames are known: the first, both ends, in every clip another, and none."""
    none, first = torch.zeros(b, f, dtype=torch.bool), torch.zeros(b, f, dtype=torch.bool)
    first[:, 0] = True
    ends = first.clone()
    ends[:, -1] = True
    own = (torch.arange(b)[:, None] + 1) % f == torch.arange(f)
    return first, ends, own, none


def _check_levels(y, schedule, known, level):
    free = free_of(schedule, y)
    due = torch.where(known, float(level), free)
    if near(y, due, 1e-6):
        return
    told = f"With {_named(known)} known at level {level:g}, "
    if known.any() and near(y, torch.where(known, free, float(level)), 1e-6):
        raise Wrong(f"{told}known and other frames are exchanged: those that are given follow the schedule, and those "
                    "that have to be made stay as they are.")
    off = (y - due).abs() > 1e-6  # (m, b, f)
    held = (y - level).abs().amax(dim=0) < 1e-6  # (b, f)
    theirs = known[:1].expand_as(known)
    if torch.equal(held, theirs) and not torch.equal(known, theirs):
        raise Wrong(f"{told}the mask of clip 0 is used for all clips: every clip of the batch has its own mask.")
    at_others = off & ~known
    if at_others.any():
        _check_others(y, schedule, known, told, at_others, level)
    held, follows = y[:, known], free[:, known]
    if level and near(held, follows.clamp(min=level), 1e-6):
        raise Wrong(f"{told}they come down from 1 with the schedule and stop at their level. The level of a known "
                    "frame is the same from the first moment.")
    if not off[1:][known.expand_as(off[1:])].any():
        raise Wrong(f"{told}all is right but the first moment, at which they have {float(held[0, 0]):.3g}. A known "
                    "frame never was noise: its level holds from the first moment.")
    if near(held, follows, 1e-6):
        raise Wrong(f"{told}they follow the schedule like all others: the mask changes nothing.")
    if near(held, held[:1].expand_as(held), 1e-6) and near(held, held.mean().expand_as(held), 1e-6):
        raise Wrong(f"{told}they have level {float(held.mean()):.3g} throughout. A known frame has the level that is "
                    "given: it may be known and noisy.")
    right = ~off.any(dim=0) & known
    if right.any():
        raise Wrong(f"{told}some of them are held, and {_named(known & ~right)} still follows the schedule: every "
                    "frame that the mask names is known, wherever it stands.")
    if not off[0][known].any():
        raise Wrong(f"{told}they start at their level and then change. The level of a known frame stays the same at "
                    "every moment, also when the others have come below it.")
    raise Wrong(f"{told}their levels are not what was given: at the first moment {float(held[0, 0]):.3g}, at the last "
                f"{float(held[-1, 0]):.3g}.")


def free_of(schedule, y):
    """The table of a clip of which nothing is known."""
    return schedule[:, None, None].expand_as(y)


def _check_others(y, schedule, known, told, at_others, level):
    """Frames that have to be made do not follow the schedule."""
    m, clip, frame = at_others.nonzero()[0].tolist()
    if near(y, torch.where(known, float(level), free_of(schedule.flip(0), y)), 1e-6):
        raise Wrong(f"{told}the schedule runs backwards: the first moment is the noisiest.")
    if near(y, torch.where(known, float(level), 1 - free_of(schedule, y)), 1e-6):
        raise Wrong(f"{told}the others have 1 minus their level. 1 is pure noise, as it is in the schedule.")
    more = (y - free_of(schedule, y))[:, ~known]
    if near(more, more.mean().expand_as(more), 1e-6):
        raise Wrong(f"{told}the others are {float(more.mean()):+.3g} off at every moment: the level of known frames is "
                    "for these alone. All others follow the schedule as it is.")
    extra = ((y - level).abs().amax(dim=0) < 1e-6) & ~known
    if extra.any() and known.any():
        raise Wrong(f"{told}the level of known frames goes to {_named(extra)} as well, which has to be made, "
                    "by the schedule.")
    due, column = float(schedule[m]), y[:, clip, frame]
    if near(column, level + (1 - level) * schedule, 1e-6):
        raise Wrong(f"{told}the others come down to the level of known frames, and not to 0: they follow the schedule "
                    "as it is, to the end.")
    for power, words in ((2.0, "its square"), (0.5, "its root")):
        if near(column, schedule**power, 1e-6):
            raise Wrong(f"{told}the others follow not the schedule, but {words}. Take its levels as they are.")
    if near(column, torch.linspace(1, 0, len(column)), 1e-6):
        raise Wrong(f"{told}the others fall by equal steps from 1 to 0. The schedule says where they are at each "
                    "moment.")
    raise Wrong(f"{told}frame {frame} of clip {clip} has to be made, and at moment {m} its level is "
                f"{float(y[m, clip, frame]):.3g} where the schedule says {due:.3g}.")


def _named(mask):
    """Frames of a mask (b, f) in words, of the first clip that has any."""
    if not mask.any():
        return "no frame"
    clip = int(mask.any(dim=1).nonzero()[0])
    frames = mask[clip].nonzero().flatten().tolist()
    whose = f" of clip {clip}" if len(mask) > 1 else ""
    return f"frame{'s' if len(frames) > 1 else ''} {', '.join(map(str, frames))}{whose}"
