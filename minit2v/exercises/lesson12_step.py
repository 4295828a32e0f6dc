"""12.2, one step around a picture: what the network sees, what it is told, and what stands there afterwards."""

import torch

from minit2v.exercises.judging import Spy, Wrong, mixture, near, tensor
from minit2v.exercises.registry import task


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
    if not near(levels, levels[:1].expand_as(levels), 1e-5):
        raise Wrong("The clips of the batch are told different levels; all of them are at the same moment.")
    if len(clean) == 1 and clean != [0] and near(seen[:, clean[0]], picture):
        raise Wrong(f"The picture is put into frame {clean[0]}, and that one is told to be known. The clip begins with "
                    "the picture: it is frame 0.")
    if clean != [0]:
        where = f"frame {', '.join(map(str, clean))}" if clean else "no frame"
        raise Wrong(f"Level 0 is told of {where}, and the picture stands in frame 0: the level is on the wrong frame.")
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
