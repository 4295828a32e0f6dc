"""Lesson 12, image to video: noise levels per frame, a step around a picture, channel concatenation, crop and pad,
whose error it is."""

import math

import torch

from minit2v.exercises.judging import Spy, Wrong, compare, mixture, near, number, pair, tensor
from minit2v.exercises.registry import task

# ---- a table of noise levels -------------------------------------------------------------------------------------


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


# ---- a step around a picture -------------------------------------------------------------------------------------


def plug_step(fn):
    """The sampler's every step is the learner's."""
    from itertools import pairwise

    from minit2v import diffusion

    def euler(velocity_fn, noise, schedule, known=None, on_step=None):
        x = noise
        for sigma, next_sigma in pairwise(schedule.tolist()):
            x = fn(x, sigma, next_sigma, known.latents[:, 0], velocity_fn)
        return x

    return [(diffusion.SAMPLERS, "euler", euler)]


class Field:
    """Stands in for a denoiser: its velocity depends on every frame, on each frame's level, and is never simple."""

    def __call__(self, x, level):
        level = torch.as_tensor(level).to(x)
        if tuple(level.shape) != tuple(x.shape[:2]):  # judged by what it was asked: nothing stops here
            level = level.mean().expand(x.shape[:2])
        level = level[:, :, None, None, None]
        return torch.tanh(x + 0.5 * level) + 0.3 * x.mean(dim=1, keepdim=True) * (1 + level) - 0.7


@task(
    "12.2", "held_step(x, sigma, next_sigma, picture, velocity_fn)", "One step, and the picture stays", difficulty=3,
    importance=5, minutes=15,
    hints=(
        "Three things make frame 0 a known frame: what stands there when the network looks, which level the network is "
        "told of it, and what stands there after the step.",
        "Put the picture into frame 0 of a copy of x. Make levels (b, f): sigma everywhere, 0 for frame 0. Ask the "
        "network once. Step the others by (next_sigma - sigma) · velocity.",
        "`x = x.clone(); x[:, 0] = picture`; `levels = torch.full(x.shape[:2], sigma); levels[:, 0] = 0`; `y = x + "
        "(next_sigma - sigma) * velocity_fn(x, levels)`; `y[:, 0] = picture`; return y.",
    ),
    plug=plug_step,
)
def held_step(learner):
    for (b, f, c, h, w), sigma, then in (((2, 4, 3, 2, 2), 0.9, 0.6), ((3, 3, 2, 2, 3), 1.0, 0.8),
                                         ((1, 5, 2, 2, 2), 0.4, 0.0)):  # fmt: skip
        x, picture = learner.draw(b, f, c, h, w), learner.draw(b, c, h, w)
        y = learner(x, sigma, then, picture, Spy(Field()))
        seen, levels = _question(learner, x.shape)
        _check_told(levels, sigma, then, seen, x, picture)
        _check_seen(seen, x, picture, sigma)
        y = tensor(y, x.shape, "bfchw")
        _check_step(y, seen.double(), picture.double(), Field()(seen, levels), sigma, then, x[:, 0].double())
    return "The network sees the picture and knows it for clean; the step moves all frames but this one."


def _question(learner, shape):
    """With what the network was asked: x and levels."""
    asked = learner.logs.get(4, [])
    if not asked:
        raise Wrong("You never ask `velocity_fn`: without it there is nowhere to go.")
    if len(asked) > 1:
        raise Wrong(f"You ask `velocity_fn` {len(asked)} times. One step of Euler's method is one look.")
    if len(asked[0]) != 2 or not isinstance(asked[0][0], torch.Tensor):
        raise Wrong("`velocity_fn` takes two things: x (b, f, c, h, w), and the noise levels (b, f).")
    x, levels = asked[0]
    tensor(x, shape, "bfchw", "x that you ask velocity_fn about")
    if not isinstance(levels, torch.Tensor) or tuple(levels.shape) != tuple(shape[:2]):
        if isinstance(levels, torch.Tensor) and levels.dim() > 1:
            raise Wrong(f"The noise levels that you tell have the shape {tuple(levels.shape)}; one for each frame is "
                        f"asked for, (b, f), here {tuple(shape[:2])}.")
        raise Wrong(f"You tell the network one noise level for the whole clip; it takes one for each frame, (b, f), "
                    f"here {tuple(shape[:2])}. That is how it knows the picture from the noise.")
    return x, tensor(levels, shape[:2], "bf", "levels that you tell")


def _check_told(levels, sigma, then, seen, x, picture):
    due = torch.full_like(levels, sigma)
    due[:, 0] = 0
    if near(levels, due, 1e-5):
        return
    clean = (levels.abs() < 1e-6).all(dim=0).nonzero().flatten().tolist()
    if near(levels, torch.full_like(levels, sigma), 1e-5) and not near(seen[:, 0], picture) \
            and not near(seen[:, 0], x[:, 0]):
        raise Wrong("You put noise on the picture, and tell the network so: to it, frame 0 is as vague as all others. "
                    "A known frame is shown as it is, without noise, and at level 0.")
    if near(levels, torch.full_like(levels, sigma), 1e-5):
        raise Wrong("The network is told that frame 0 is as noisy as the others. It stands there without noise, so its "
                    "level is 0; otherwise the network takes the picture for noise that happens to look like one.")
    if near(levels[:, 1:], torch.full_like(levels[:, 1:], then), 1e-5) and abs(then - sigma) > 1e-5:
        raise Wrong(f"The frames to be made are told to have the level after the step, {then:g}. The network looks at "
                    f"them before it, at {sigma:g}.")
    if clean == list(range(levels.shape[1])):
        raise Wrong("The network is told that all frames are clean. Only frame 0 is.")
    if len(clean) == 1 and clean != [0] and near(seen[:, clean[0]], picture):
        raise Wrong(f"The picture is put into frame {clean[0]}, and that one is told to be known. The clip begins with "
                    "the picture: it is frame 0.")
    if clean != [0]:
        where = f"frame {', '.join(map(str, clean))}" if clean else "no frame"
        raise Wrong(f"Level 0 is told of {where}, and the picture stands in frame 0: the level is on the wrong frame.")
    if not near(levels, levels[:1].expand_as(levels), 1e-5):
        raise Wrong("The clips of the batch are told different levels; all of them are at the same moment.")
    raise Wrong(f"The frames to be made are at noise level {sigma:g}, and the network is told "
                f"{float(levels[0, -1]):.3g}.")


def _check_seen(seen, x, picture, sigma):
    first = seen[:, 0].double()
    if not near(first, picture):
        if near(first, x[:, 0]):
            raise Wrong("When the network looks, frame 0 still holds what was in x: it never sees the picture, and "
                        "putting it in after the step comes too late.")
        if near(first, picture[:1].expand_as(picture)):
            raise Wrong("All clips of the batch get the picture of clip 0; each has its own.")
        shares = mixture(first, {"picture": picture.double(), "x": x[:, 0].double()})
        if shares and abs(float(shares["x"])) < 1e-6:
            raise Wrong(f"What the network sees in frame 0 is {float(shares['picture']):.3g} · picture. A known frame "
                        "is shown as it is: at level 0, all of it is there.")
        if shares and float(shares["picture"]):
            raise Wrong(f"What the network sees in frame 0 is the picture with noise on it "
                        f"({float(shares['picture']):.3g} of it). A known frame is shown as it is.")
        raise Wrong("What the network sees in frame 0 is not the picture.")
    if near(seen[:, 1:], x[:, 1:]):
        return
    everywhere = picture[:, None].expand_as(x)
    if near(seen, everywhere):
        raise Wrong("The picture stands in all frames when the network looks: no noise is left to make a clip of.")
    moved = [k for k in range(x.shape[1]) if k and not near(seen[:, k], x[:, k])]
    raise Wrong(f"When the network looks, frame {', '.join(map(str, moved))} is not what was in x; only frame 0 is "
                "replaced.")


def _check_step(y, seen, picture, velocity, sigma, then, before):
    """The step of the frames to be made, and what stands in frame 0 after it; before: what stood there in x."""
    step = then - sigma
    first, rest = y[:, 0], y[:, 1:]
    x, v = seen[:, 1:], velocity[:, 1:].double()
    shares = mixture(rest, {"x": x, "velocity": v})
    if not near(rest, x + step * v):
        if shares is None:
            good = [k for k in range(1, y.shape[1]) if near(y[:, k], seen[:, k] + step * velocity[:, k].double())]
            alike = (rest - x) / step
            if near(alike, alike[:, :1].expand_as(alike)):
                raise Wrong("All frames take the same step: the velocities are averaged, or that of one frame is taken "
                            "for all. Each frame has a velocity of its own.")
            if good:
                odd = [k for k in range(1, y.shape[1]) if k not in good]
                what = "the picture" if near(y[:, odd[0]], picture) else "something else"
                raise Wrong(f"Frame {', '.join(map(str, odd))} becomes {what}, and the others are right. Only frame 0 "
                            "is the picture; all others take a step.")
            more = rest - x - step * v
            if near(more, more.mean().expand_as(more)):
                raise Wrong(f"The step is right, and {float(more.mean()):+.3g} is added to all frames behind it. A "
                            "step of Euler's method adds nothing else, and no noise.")
            raise Wrong("The frames to be made are no mixture of x and the velocity: a step is x plus some of the "
                        "velocity, and nothing else.")
        a, s = float(shares["x"]), float(shares["velocity"])
        if near(torch.tensor(s), torch.tensor(-step), 1e-3):
            raise Wrong("You step the wrong way: the velocity points from data to noise, and sigma falls, so the step "
                        f"is {step:+.3g}, not {-step:+.3g}.")
        if abs(s) < 1e-6:
            raise Wrong("The frames to be made do not move: the step is missing.")
        if abs(a) < 1e-6:
            raise Wrong("The frames to be made lose what they were: a step is x plus some of the velocity, and x is "
                        "missing.")
        if abs(a - 1) < 1e-4 and abs(s + sigma) < 1e-4:
            raise Wrong(f"You go all the way to level 0 at once, by {sigma:g} · velocity; this step ends at {then:g}: "
                        f"from {sigma:g} to {then:g} it is x {step:+.3g} · velocity.")
        if abs(a - 1) < 1e-4 and abs(s + then) < 1e-4:
            raise Wrong(f"Your step is as long as the level after it, {then:g}. It leads from {sigma:g} to {then:g}: "
                        f"x {step:+.3g} · velocity.")
        raise Wrong(f"The frames to be made become {a:.3g} · x + {s:.3g} · velocity; from {sigma:g} to {then:g} it has "
                    f"to be x {step:+.3g} · velocity.")
    if near(first, picture):
        return
    if near(first, before):
        raise Wrong("After the step frame 0 is what stood there in x before: the picture was shown, and not kept. A "
                    "known frame stays as it is.")
    if near(first, picture + step * velocity[:, 0].double()):
        raise Wrong("The picture is stepped along with the others: after the step, frame 0 is another one. Its level "
                    "was 0 before and is 0 after, so it must stay.")
    raise Wrong("After the step frame 0 is not the picture any more. A known frame stays as it is.")


# ---- channel concatenation ---------------------------------------------------------------------------------------


@task(
    "12.3", "condition(source, frames)", "The picture beside every frame, and a mask", difficulty=2, importance=4,
    minutes=10,
    hints=(
        "Every frame gets the same c channels, the source's latents. And one more channel: which number does it hold "
        "in the frame that the source shows, and which in all others?",
        "Repeat the source along a new axis behind the batch, and join a mask (b, f, 1, h, w) to it by the channels.",
        "`repeated = source[:, None].expand(-1, frames, -1, -1, -1)`; a mask of zeros like `repeated[:, :, :1]`, with "
        "1 at `[:, 0]`; `torch.cat([repeated, mask], dim=2)`.",
    ),
)
def condition(learner):
    for b, c, h, w, f in ((2, 3, 2, 4, 5), (3, 3, 3, 2, 3), (1, 4, 2, 2, 4)):
        source = learner.draw(b, c, h, w)
        y = learner(source, f)
        if isinstance(y, torch.Tensor) and y.shape == (b, f, c, h, w):
            raise Wrong("The mask is missing: there are only the source's channels, so that nobody knows which of the "
                        "frames the source is.")
        if isinstance(y, torch.Tensor) and y.shape == (b, f, 2 * c, h, w) and c > 1:
            raise Wrong(f"The mask has as many channels as the source, {c}. One is enough, and one is due: yes or no.")
        y = tensor(y, (b, f, c + 1, h, w), "bfchw")
        repeated = source.double()[:, None].expand(-1, f, -1, -1, -1)
        if near(y[:, :, 1:], repeated) and not near(y[:, :, :-1], repeated):
            raise Wrong("The mask stands before the source's channels. It is the last channel: a convolution has "
                        "weights for each place, and does not look for it.")
        _check_source(y[:, :, :-1], repeated)
        _check_mask(y[:, :, -1])
    return "All frames can look at the source, and the mask says which of them it is."


def _check_source(found, repeated):
    if near(found, repeated):
        return
    b, f = repeated.shape[:2]
    clips = [(i, j) for i in range(b) for j in range(b) if i != j]
    if any(near(found[i, k], repeated[j, 0]) for i, j in clips for k in range(f)):
        raise Wrong("The clips get each other's pictures: the batch was repeated where the frames should have been.")
    good = [k for k in range(f) if near(found[:, k], repeated[:, k])]
    empty = [k for k in range(f) if near(found[:, k], torch.zeros_like(found[:, k]))]
    if good == [0] and len(empty) == f - 1:
        raise Wrong("The source stands in frame 0 only, and the others get zeros: they would have nothing to look at. "
                    "Its latents are repeated in every frame; to say which frame it shows is the mask's business.")
    if good:
        raise Wrong(f"The source stands in frame {', '.join(map(str, good))} as it should, and not in the others.")
    compare(found, repeated, "bfchw", "source's channels")


def _check_mask(mask):
    due = torch.zeros_like(mask)
    due[:, 0] = 1
    if near(mask, due):
        return
    if near(mask, torch.ones_like(mask)):
        raise Wrong("The mask is 1 in every frame: each is said to be the source, and a network that learns from that "
                    "learns to stand still. Only frame 0 shows the source.")
    if near(mask, torch.zeros_like(mask)):
        raise Wrong("The mask is 0 everywhere: the network cannot tell which frame the source shows, or whether there "
                    "is a source at all.")
    if near(mask, 1 - due):
        raise Wrong("The mask is turned round: it is 0 where the source is shown, and 1 where it is not.")
    flat = mask.flatten(2)
    if not near(flat, flat[:, :, :1].expand_as(flat)):
        raise Wrong("The mask differs from place to place. The source shows the whole of frame 0, so it is 1 at all of "
                    "its places.")
    if not near(flat, flat[:1].expand_as(flat)):
        raise Wrong("The mask is not the same for all clips of the batch; in each of them the source is frame 0.")
    ones = (flat[0, :, 0] - 1).abs().lt(1e-4).nonzero().flatten().tolist()
    if ones and ones != [0]:
        raise Wrong(f"The mask is 1 in frame {', '.join(map(str, ones))}; the source is frame 0, counted from 0.")
    found = ", ".join(f"{float(value):.3g}" for value in flat[0, :, 0])
    raise Wrong(f"Frame by frame, the mask holds {found}; it says yes or no: 1 in frame 0, 0 in all others.")


# ---- crop and pad ------------------------------------------------------------------------------------------------


@task(
    "12.4", "shaped(picture, height, width, fit)", "Make any picture fit", difficulty=3, importance=3, minutes=20,
    hints=(
        "Nothing is scaled here. Cropping asks for the largest part, padding for the smallest whole, of the shape "
        "height : width. Which side of the picture stays as it is: in a picture that is too wide, and in one too tall?",
        "For a picture (h, w): h · width / height columns go with all its rows, w · height / width rows with all its "
        "columns. The crop takes the smaller of each and what there is; the pad the larger.",
        "`limit = min if fit == 'crop' else max`; `high, wide = limit(h, w * height // width), limit(w, h * width // "
        "height)`. Crop: `top, left = (h - high) // 2, (w - wide) // 2` and a slice. Pad: `torch.full((high, wide, 3), "
        "0.5)`, and put the picture into its middle.",
    ),
)
def shaped(learner):
    for (h, w), (high, wide) in (((6, 10), (4, 4)), ((12, 6), (5, 5)), ((8, 24), (4, 6)), ((12, 12), (4, 6)),
                                 ((4, 6), (8, 12))):  # fmt: skip
        picture = 2 + torch.arange(float(h * w)).view(h, w, 1).expand(-1, -1, 3) * torch.tensor([1.0, 1.001, 1.002])
        for fit in ("crop", "pad"):
            box = _box(h, w, high, wide, fit)
            told = f"A picture of {h} × {w}, made {high} : {wide} by '{fit}', "
            y = learner(picture.clone(), high, wide, fit)
            y = _of_shape(y, (*box, 3), picture, (high, wide), told, fit)
            (_check_crop if fit == "crop" else _check_pad)(y, picture.double(), told)
    return "What is shown is the middle, in the right shape, and no pixel was stretched."


def _of_shape(value, due, picture, asked, told, fit):
    if isinstance(value, torch.Tensor) and value.dim() == 3 and tuple(value.shape) != due:
        if tuple(value.shape) == (3, *due[:2]):
            raise Wrong(f"{told}comes out with the colors first, {tuple(value.shape)}. They stand last here: "
                        "(h, w, 3).")
        _explain_shape(value, due[:2], picture, asked, told, fit)
    return tensor(value, due, "hwc")


def _explain_shape(value, due, picture, asked, told, fit):
    """Height and width are not those that are due."""
    found, (h, w), (high, wide) = tuple(value.shape[:2]), picture.shape[:2], asked
    told = f"{told}comes out as {found[0]} × {found[1]}"
    other = "pad" if fit == "crop" else "crop"
    if found == _box(h, w, high, wide, other):
        raise Wrong(f"{told}: that is what '{other}' means. A crop is never larger than "
                    "the picture, a pad never smaller.")
    if 0 in found:
        raise Wrong(f"{told}: nothing is left. Where nothing is to be cut off, a slice that ends at -0 ends at 0.")
    if found == asked:
        raise Wrong(f"{told}. Those are not pixels here, but a shape: take as much of the picture as has this shape, "
                    "and leave the scaling to others.")
    if found == (h, w):
        if not near(value, picture):
            raise Wrong(f"{told}, as large as it was, and with other pixels: nothing is painted over or scaled here. "
                        f"The picture itself gets another size, {due[0]} × {due[1]}.")
        too, long, across = ("wide", "columns", "rows") if h * wide < w * high else ("tall", "rows", "columns")
        more = f"{long} have to go" if fit == "crop" else f"{across} have to be added"
        raise Wrong(f"{told}, as it was; {due[0]} × {due[1]} is due. It is too {too} for that shape: {more}.")
    if found in ((due[1], due[0]), _box(h, w, wide, high, fit)):
        raise Wrong(f"{told}: height and width are exchanged.")
    if found == (2 * due[0] - h, 2 * due[1] - w):
        raise Wrong(f"{told}: twice as much is {'cut off' if fit == 'crop' else 'added'} as has to be. Half of that "
                    "belongs on each side.")
    if found == (h + due[1] - w, w + due[0] - h):
        raise Wrong(f"{told}: the bars are at the wrong sides, where rows are due there are columns, or the other way "
                    "round. Does `F.pad` count from the last axis?")
    if found[0] == found[1] and high != wide:
        raise Wrong(f"{told}: that is a square, and {high} : {wide} is asked for.")
    if found[0] * wide != found[1] * high:
        raise Wrong(f"{told}, which is not {high} : {wide}; {due[0]} × {due[1]} is due.")
    raise Wrong(f"{told}: the right shape, but {'smaller' if found[0] < due[0] else 'larger'} than it has to be; "
                f"{due[0]} × {due[1]} is due.")


def _box(h, w, high, wide, fit):
    """Height and width that a picture (h, w) gets in the shape high : wide."""
    limit = min if fit == "crop" else max
    return limit(h, w * high // wide), limit(w, h * wide // high)


def _place(part, whole):
    """Where the top left pixel of `part` stands in `whole` (h, w, 3), if each of its pixels is one of those."""
    h, w = part.shape[:2]
    for top, left in ((whole - part[0, 0]).abs().amax(dim=-1) < 1e-4).nonzero().tolist():
        same = whole[top : top + h, left : left + w]
        if same.shape == part.shape and near(same, part, 1e-6):
            return top, left
    return None


def _check_crop(y, picture, told):
    due = tuple((a - b) // 2 for a, b in zip(picture.shape[:2], y.shape[:2], strict=True))
    found = _place(y, picture)
    if found is None and _place(y.transpose(0, 1), picture):
        raise Wrong(f"{told}comes out lying on its side: height and width are exchanged.")
    if found is None and any(_place(y.flip(axes), picture) for axes in ((0,), (1,), (0, 1))):
        raise Wrong(f"{told}is mirrored, or stands on its head. A crop only leaves something out.")
    if found is None:
        if not all(bool(((picture - pixel).abs().amax(dim=-1) < 1e-4).any()) for pixel in y.flatten(0, 1)):
            raise Wrong(f"{told}holds values that the picture does not have. A crop only leaves something out.")
        raise Wrong(f"{told}has its pixels in another order, or with gaps between them. A crop is one piece.")
    if found != due:
        raise Wrong(f"{told}begins at row {found[0]}, column {found[1]}. The middle is asked for: as much is cut off "
                    f"on one side as on the other, so it begins at row {due[0]}, column {due[1]}.")


def _check_pad(y, picture, told):
    h, w = picture.shape[:2]
    due = (y.shape[0] - h) // 2, (y.shape[1] - w) // 2
    found = _place(picture, y)
    if found is None:
        raise Wrong(f"{told}does not show the whole picture in one piece. Padding adds bars and changes no pixel.")
    if found != due:
        raise Wrong(f"{told}has the picture at row {found[0]}, column {found[1]}, and not in the middle, row {due[0]}, "
                    f"column {due[1]}: there are bars on both sides.")
    bars = torch.ones(y.shape[:2], dtype=torch.bool)
    bars[due[0] : due[0] + h, due[1] : due[1] + w] = False
    if bars.any() and not near(y[bars], torch.full_like(y[bars], 0.5)):
        if not near(y[bars], y[bars].mean().expand_as(y[bars])):
            raise Wrong(f"{told}has bars that show something: edges that are repeated, or mirrored. Gray, 0.5, is "
                        "asked for, everywhere.")
        raise Wrong(f"{told}has bars of {float(y[bars].mean()):.3g}. Gray, 0.5, is asked for: to a model that knows -1 "
                    "to 1 that is 0, the least it can be told.")


# ---- whose error -------------------------------------------------------------------------------------------------


@task(
    "12.5", "split_error(picture, rebuilt, first)", "The VAE's error, or the model's?", difficulty=1, importance=4,
    minutes=8,
    hints=(
        "Three pictures, and so three distances. On the way from the picture to the clip's first frame lies what the "
        "VAE alone makes of the picture.",
        "An rms distance is the root of the mean of the squared differences. The VAE's part goes from the picture to "
        "`rebuilt`; where does the model's part begin, and where does it end?",
        "`rms = lambda a, b: (a - b).square().mean().sqrt().item()`; return rms(picture, first), rms(picture, "
        "rebuilt), rms(rebuilt, first).",
    ),
)
def split_error(learner):
    for shape in ((4, 6, 3), (2, 5, 3)):
        picture, vae, model = (learner.draw(*shape) for _ in range(3))
        same = _parts(learner, picture, picture, picture)
        if any(abs(part) > 1e-6 for part in same):
            raise Wrong(f"When all three are the same picture there is no error, and you return {_shown(same)}.")
        _check_order(learner, picture, vae, model)
        _check_part(learner, 1, picture, picture + vae, picture + vae, vae,
                    "the clip's first frame is exactly what the VAE makes of the picture")
        _check_part(learner, 2, picture, picture, picture + model, model, "the VAE holds the picture perfectly")
        total, due = _parts(learner, picture, picture + vae, picture + vae + model), (vae + model, vae, model)
        due = tuple(float(part.double().square().mean().sqrt()) for part in due)
        for name, found, wanted in zip(("total", "VAE's part", "model's part"), total, due, strict=True):
            if abs(found - wanted) > 1e-4 * max(1, wanted):
                why = ""
                if name == "model's part" and abs(found - (total[0] - total[1])) < 1e-4:
                    why = " Distances do not subtract: two errors can point the same way, or cancel. Measure it."
                elif name == "model's part" and abs(found**2 - abs(total[0] ** 2 - total[1] ** 2)) < 1e-4:
                    why = " It is no right-angled triangle either: two errors can point the same way. Measure it."
                elif name == "total" and abs(found**2 - total[1] ** 2 - total[2] ** 2) < 1e-4:
                    why = " It is no right-angled triangle: two errors can cancel. Measure it from the picture itself."
                elif name == "total" and abs(found - (total[1] + total[2])) < 1e-4:
                    why = " Distances do not add up: two errors can cancel. Measure it from the picture itself."
                raise Wrong(f"With an error in both, the {name} is {found:.4g}, and {wanted:.4g} is due.{why}")
    return "The VAE's part is what no model behind it could mend; the model's part is what it did beyond that."


def _parts(learner, *pictures):
    found = pair(learner(*pictures), ("total", "vae", "model"))
    return tuple(float(number(part, name)) for part, name in zip(found, ("total", "VAE's part", "model's part"),
                                                                  strict=True))  # fmt: skip


def _shown(parts):
    return "(" + ", ".join(f"{part:.3g}" for part in parts) + ")"


def _check_order(learner, picture, vae, model):
    """Whether the three numbers are right and stand in another order."""
    found = _parts(learner, picture, picture + vae, picture + vae + model)
    due = [float(part.double().square().mean().sqrt()) for part in (vae + model, vae, model)]
    names = ("total", "VAE's part", "model's part")
    order = [next((i for i, value in enumerate(due) if abs(value - each) < 1e-4), -1) for each in found]
    if sorted(order) == [0, 1, 2] and order != [0, 1, 2]:
        moved = [i for i in range(3) if order[i] != i]
        if len(moved) == 2:
            raise Wrong(f"The {names[moved[0]]} and the {names[moved[1]]} are exchanged: the {names[moved[1]]} goes "
                        f"from {WAYS[moved[1]]}.")
        raise Wrong("The three numbers are right and stand in another order: total, the VAE's part, the model's part.")


WAYS = ("the picture to the clip's first frame", "the picture to `rebuilt`", "`rebuilt` to the clip's first frame")


def _check_part(learner, mine, picture, rebuilt, first, error, told):
    """All of the error is one part's: that one and the total must be its rms, the other 0."""
    found, other = _parts(learner, picture, rebuilt, first), 3 - mine
    names = ("total", "VAE's part", "model's part")
    due = float(error.double().square().mean().sqrt())
    if abs(found[other]) > 1e-5 and abs(found[mine]) < 1e-5:
        raise Wrong(f"When {told}, all of the error is the {names[mine]}, and yours says it is the {names[other]}: the "
                    "two are exchanged.")
    if abs(found[other]) > 1e-5:
        raise Wrong(f"When {told}, the {names[other]} is 0, and yours is {found[other]:.3g}.")
    for which in (mine, 0):
        value = found[which]
        if abs(value - due) < 1e-4 * max(1, due):
            continue
        square, absolute = due**2, float(error.double().abs().mean())
        norm, largest = float(error.double().norm()), float(error.double().abs().max())
        if abs(abs(value) - abs(float(error.double().mean()))) < 1e-4:
            raise Wrong(f"The {names[which]} is {value:.4g}, the mean of the differences: what is too bright cancels "
                        "what is too dark. Square first, then take the mean.")
        if abs(value - largest) < 1e-4:
            raise Wrong(f"The {names[which]} is {value:.4g}, the largest difference of all. One pixel must not decide: "
                        "the root of the mean square is asked for.")
        if abs(value - square) < 1e-4:
            raise Wrong(f"The {names[which]} is {value:.4g}, the mean square. Its root is asked for, so that it has "
                        "the unit of the pixels.")
        if abs(value - absolute) < 1e-4:
            raise Wrong(f"The {names[which]} is {value:.4g}, the mean of the absolute differences. The root of the "
                        "mean square is asked for, which minds large errors more.")
        if abs(value - norm) < 1e-3:
            raise Wrong(f"The {names[which]} is {value:.4g}: summed over all pixels, so it grows with the picture. "
                        "Take the mean before the root.")
        if math.isclose(value, 0, abs_tol=1e-6):
            raise Wrong(f"When {told}, the {names[which]} cannot be 0, and yours is.")
        _explain_distance(learner, value, error.double(), names[which])
        raise Wrong(f"When {told}, the {names[which]} is {due:.4g}, the root of the mean squared difference; yours is "
                    f"{value:.4g}, {value / due:.3g} times as much.")


def _explain_distance(learner, value, error, name):
    """What a number that is no rms distance may be: asked of pictures that are brighter, or put in another order."""
    picture = learner.draw(*error.shape)
    if abs(_parts(learner, picture, picture + 0.5, picture + 0.5)[0]) < 1e-4:
        raise Wrong("A picture that is a little brighter everywhere counts as no error: a mean is taken away, as for a "
                    "standard deviation. It is the differences themselves that are squared.")
    turned = picture.flip(0)
    if abs(_parts(learner, picture, turned, turned)[0]) < 1e-4:
        raise Wrong("A picture that stands on its head counts as no error: you compare how large the values of each "
                    "picture are, as a whole. Take the difference pixel by pixel first.")
    for axes, of in (((2,), "pixel"), ((0, 1), "color"), ((0,), "column"), ((1,), "row"), ((0, 2), "column"),
                     ((1, 2), "row")):  # fmt: skip
        if abs(value - float(error.square().mean(axes).sqrt().mean())) < 1e-4:
            raise Wrong(f"The {name} is {value:.4g}: a root for each {of}, and then the mean of the roots. The root "
                        "comes last: of the mean over everything.")
        if abs(value - float(error.square().sum(axes).sqrt().mean())) < 1e-4:
            raise Wrong(f"The {name} is {value:.4g}, the mean of the distances of each {of}. The root of the mean over "
                        "all numbers is asked for.")
    ways = {"the root of the mean of the *absolute* differences. Square them": error.abs().mean().sqrt(),
            "the fourth root of the mean of fourth powers. Squares are asked for": error.pow(4).mean().sqrt().sqrt(),
            "the median of the differences. The mean is asked for": error.abs().median()}
    for words, other in ways.items():
        if abs(value - float(other)) < 1e-4:
            raise Wrong(f"The {name} is {value:.4g}, {words}.")
    for axis, what in ((2, "color"), (0, "row"), (1, "column")):
        for i in range(error.shape[axis]):
            if abs(value - float(error.select(axis, i).square().mean().sqrt())) < 1e-4:
                raise Wrong(f"The {name} is {value:.4g}: that is {what} {i} alone. All numbers of the picture count.")
    due = float(error.square().mean().sqrt())
    scaled = _parts(learner, 2 * picture, 2 * (picture + error), 2 * (picture + error))[0]
    plain = _parts(learner, picture, picture + error, picture + error)[0]
    if plain and abs(scaled / plain - 1) < 1e-3:
        raise Wrong("With all values doubled, your numbers stay the same: they are divided by how large the picture's "
                    "values are. The difference itself is asked for.")
    for axes in ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2)):
        left = math.prod(error.shape[i] for i in range(3) if i not in axes) ** 0.5
        if abs(value - due * left) < 1e-3:
            raise Wrong(f"The {name} is {value:.4g}, {left:.3g} times too much: the squares are divided by the number "
                        f"of {' and '.join(('rows', 'columns', 'colors')[i] for i in axes)} only. Take the mean over "
                        "everything.")
    if abs(value - float(error.square().sum(2).mean().sqrt())) < 1e-4:
        raise Wrong(f"The {name} is {value:.4g}: the three colors are added up, and not averaged. The mean is over all "
                    "numbers of the picture.")
