"""Lesson 06, diffusion: adding noise, a step of Euler and one of Heun, shifted times, guidance and its rescaling."""

from dataclasses import dataclass
from itertools import pairwise

import torch

from minit2v.exercises.judging import Spy, Wrong, compare, in_words, mixture, near, pair, tensor
from minit2v.exercises.registry import task

AXES = "bfchw"


# ---- adding noise ------------------------------------------------------------------------------------------------


@task(
    "06.1", "add_noise(data, noise, "
            "sigma)", "A straight line from data to noise", difficulty=2, importance=5, minutes=10,
    hints=(
        "At noise level 0 x is the data, at 1 the noise, and on the way there it goes along a straight line. Which "
        "shares of both does x have at 0.3? And in which direction does the line run?",
        "x = (1 − sigma) · data + sigma · noise, and velocity = noise − data. But sigma has the shape (b, f), and data "
        "has five axes: every latent frame has a noise level of its own.",
        "Give sigma three more axes at its end: `sigma[:, :, None, None, None]`, or `rearrange(sigma, 'b f -> b f 1 1 "
        "1')`.",
    ),
)
def add_noise(learner):
    for shape in ((2, 3, 4, 2, 3), (3, 5, 4, 6, 2), (1, 4, 2, 2, 2)):
        data, noise = learner.draw(*shape), learner.draw(*shape)
        sigma = 0.1 + 0.8 * torch.rand(shape[:2], generator=learner.generator)
        x, velocity = pair(learner(data, noise, sigma), ("x", "velocity"))
        _check_line(tensor(x, shape, AXES, "x"), data, noise, sigma)
        shares = mixture(tensor(velocity, shape, AXES, "velocity"), {"data": data, "noise": noise})
        if shares is None:
            raise Wrong("The velocity must be the same mixture of data and noise at every noise level: it does not "
                        "depend on sigma at all. It is how far, and where to, the line from data to noise "
                        "runs.")
        if not (near(shares["data"], -1) and near(shares["noise"], 1)):
            turned = near(shares["data"], 1) and near(shares["noise"], -1)
            why = "its sign is turned around: it points from noise to data" if turned else "that is another direction"
            raise Wrong(f"Your velocity is {in_words(shares)}: {why}. Here it points from data to noise.")
    data, noise = learner.draw(1, 3, 2, 2, 2), learner.draw(1, 3, 2, 2, 2)
    x, _ = pair(learner(data, noise, torch.tensor([[0.0, 1.0, 0.5]])), ("x", "velocity"))
    compare(x, torch.stack([data[:, 0], noise[:, 1], (data[:, 2] + noise[:, 2]) / 2], 1), AXES, "x")
    return "Level 0 gives the data, level 1 the noise, and each frame has a level of its own."


def _check_line(x, data, noise, sigma):
    shares = mixture(x, {"data": data, "noise": noise}, groups=2)
    if shares is None:
        raise Wrong(_no_line(x, data, noise))
    of_data, of_noise, sigma = shares["data"], shares["noise"], sigma.double()
    if near(of_noise, sigma, 1e-3) and near(of_data, 1 - sigma, 1e-3):
        return
    level, a, b = float(sigma[0, 0]), float(of_data[0, 0]), float(of_noise[0, 0])
    told = f"At noise level {level:.2f} your x is {in_words({'data': a, 'noise': b})}"
    if near(of_data, -torch.ones_like(sigma), 1e-3) and near(of_noise, torch.ones_like(sigma), 1e-3):
        raise Wrong("What you return first is the velocity. The order is (x, velocity).")
    if near(of_data, 1 - sigma, 1e-3):
        raise Wrong(f"{told}: the share of the data is right, and that of the noise is not.")
    for axis, what in ((1, "frames"), (0, "clips")):
        if near(of_noise, sigma.flip(axis), 1e-3) or near(of_noise, sigma.roll(1, axis), 1e-3):
            raise Wrong(f"{told}: {what} get each other's noise levels.")
    if near(of_data, sigma, 1e-3) and near(of_noise, 1 - sigma, 1e-3):
        raise Wrong(f"{told}: data and noise have exchanged their roles. Level 0 must give the data, and level 1 the "
                    "noise.")
    if sigma.shape[1] > 1 and near(of_noise, of_noise[:, :1].expand_as(of_noise), 1e-3):
        raise Wrong(f"{told}, and all frames of a clip get the same shares although their noise levels differ: use "
                    "each frame's own sigma.")
    if sigma.shape[0] > 1 and near(of_noise, of_noise[:1].expand_as(of_noise), 1e-3):
        raise Wrong(f"{told}, and all clips of the batch get the same shares: each has noise levels of its own.")
    if near(of_data, torch.ones_like(sigma), 1e-3):
        raise Wrong(f"{told}: the noise is added on top, and the data is not taken back. At level 1 nothing of it may "
                    "be left.")
    if near(of_data**2 + of_noise**2, torch.ones_like(sigma), 1e-3):
        raise Wrong(f"{told}: the squares of these shares add up to 1. That is DDPM's circle; flow matching goes along "
                    "a straight line, where the shares themselves add up to 1.")
    raise Wrong(f"{told}, and {in_words({'data': 1 - level, 'noise': level})} is due: the shares add up to 1, and "
                "sigma is that of the noise.")


def _no_line(x, data, noise):
    for i, (axis, name) in enumerate(zip("bfchw", ("clip", "frame", "channel", "row", "column"), strict=True)):
        turn = (i, *(k for k in range(5) if k != i))
        parts = {"data": data.permute(turn), "noise": noise.permute(turn)}
        if axis in "chw" and mixture(x.permute(turn), parts, groups=1) is not None:
            return (f"The noise level changes from {name} to {name}: sigma was broadcast along the wrong axis. It has "
                    "one number per clip and frame.")
    turn = (3, 4, 0, 1, 2)
    if mixture(x.permute(turn), {"data": data.permute(turn), "noise": noise.permute(turn)}, groups=2) is not None:
        return ("The noise level changes from pixel to pixel: sigma was broadcast along height and width. It "
                    "belongs to clips and frames, the first two axes.")
    return ("x is no mixture of the data and the noise that were given, with one pair of shares per frame. Is noise "
            "drawn anew, a share taken of the wrong frame, or something clamped?")


# ---- steps -------------------------------------------------------------------------------------------------------


@dataclass
class Field:
    """A velocity field that depends on where one is and on the noise level: velocity_fn for the steps below."""

    level: torch.Tensor
    still: torch.Tensor

    def __call__(self, x, sigma):
        return 0.7 * x + float(sigma) * self.level + self.still


def _field(learner, shape):
    return Spy(Field(learner.draw(*shape), learner.draw(*shape)))


def plug_euler(fn):
    """The sampler takes the learner's steps."""
    from minit2v import diffusion, pipeline

    def sampler(velocity_fn, noise, schedule, known=None, on_step=None):
        def velocity(x, sigma):
            return velocity_fn(x, x.new_full(x.shape[:2], float(sigma)))

        x = noise
        with torch.no_grad():
            for sigma, next_sigma in pairwise(schedule.tolist()):
                x = fn(velocity, x, sigma, next_sigma)
        return x

    assert pipeline.SAMPLERS is diffusion.SAMPLERS
    return [(diffusion.SAMPLERS, "euler", sampler)]


@task(
    "06.2", "euler_step(velocity_fn, x, sigma, "
            "next_sigma)", "One straight step", difficulty=2, importance=5, minutes=10,
    hints=(
        "The velocity says how x changes when sigma grows by 1. You do not go that far, and you go in the other "
        "direction: towards less noise.",
        "Ask once, where you stand: velocity_fn(x, sigma). Then multiply by how much sigma changes in this step. That "
        "number is negative, since next_sigma is the smaller one.",
        "`x + (next_sigma - sigma) * velocity_fn(x, sigma)`",
    ),
    plug=plug_euler,
)
def euler_step(learner):
    for sigma, next_sigma in ((0.8, 0.5), (1.0, 0.9), (0.25, 0.0)):
        x = learner.draw(2, 3, 4, 5, 6)
        field = _field(learner, x.shape)
        y = tensor(learner(field, x, sigma, next_sigma), x.shape, AXES)
        asked = _asked(learner, x, 1, "An Euler step")
        if not near(asked[0][0], x):
            raise Wrong("You ask velocity_fn about another place than x: an Euler step asks where it stands.")
        if not near(asked[0][1], sigma):
            raise Wrong(f"You ask velocity_fn at noise level {float(asked[0][1]):.3g}, and x stands at {sigma:g} "
                        "(sigma).")
        shares = mixture(y, {"x": x, "velocity": field.function(x, sigma)})
        step = next_sigma - sigma
        if shares is None:
            raise Wrong("The result is not made of x and its velocity, with one share of each: x + length · velocity.")
        _check_step(shares["x"], shares["velocity"], sigma, next_sigma, step, shares)
    return "x moves by velocity times the change of sigma: a negative number, for we go from noise to data."


def _asked(learner, x, most, what):
    asked = learner.logs.get(0, [])
    if not asked:
        raise Wrong("You never ask velocity_fn, so that the step cannot know where to go.")
    if len(asked) > most:
        times = "once" if most == 1 else "twice"
        raise Wrong(f"{what} asks velocity_fn {times}; yours asks {len(asked)} times, and each is a pass of the "
                    "network.")
    for entry in asked:
        if not (len(entry) == 2 and isinstance(entry[0], torch.Tensor) and entry[0].shape == x.shape):
            raise Wrong("velocity_fn is called with x and a noise level: velocity_fn(x, sigma).")
    return [(entry[0].double(), entry[1]) for entry in asked]


def _check_step(of_x, of_v, sigma, next_sigma, step, shares):
    told = f"From sigma {sigma:g} to {next_sigma:g} your step gives {in_words(shares)}"
    if not near(of_x, 1):
        raise Wrong(f"{told}: x must remain, whole, and only a piece of the velocity is added to it.")
    if near(of_v, step):
        return
    if near(of_v, -step):
        raise Wrong(f"{told}: the sign is wrong. This walks towards noise; sigma falls, so that the change is "
                    "negative.")
    if near(abs(of_v), sigma):
        raise Wrong(f"{told}: it goes as far as sigma, all the way to the data at once. Go to next_sigma only.")
    if near(abs(of_v), next_sigma):
        raise Wrong(f"{told}: it goes as far as next_sigma is large. The length of a step is the difference of the "
                    "two.")
    if near(abs(of_v), 1):
        raise Wrong(f"{told}: the velocity is taken whole, as if sigma fell by 1. This step is shorter.")
    ratio = float(of_v) / step
    raise Wrong(f"{told}: {ratio:.3g} times the way that is due. The length is the change of sigma in this step.")


def plug_heun(fn):
    """The sampler takes the learner's steps of Heun."""
    return plug_euler(fn)


@task(
    "06.3", "heun_step(velocity_fn, x, sigma, "
            "next_sigma)", "Look ahead, then step", difficulty=3, importance=4, minutes=15,
    hints=(
        "An Euler step trusts the slope at its start. Try it, look at the slope where you land, and then decide how to "
        "go from the start after all.",
        "first = velocity_fn(x, sigma); there = x plus a whole Euler step; second = velocity_fn(there, next_sigma). "
        "The step that you take in the end starts at x and goes along the mean of both. One case is left: no network "
        "has been trained at noise level 0.",
        "If next_sigma is 0, return the Euler step. Otherwise `x + step * (first + second) / 2`.",
    ),
    plug=plug_heun,
)
def heun_step(learner):
    for sigma, next_sigma in ((0.9, 0.6), (0.5, 0.1), (0.25, 0.0)):
        x = learner.draw(2, 3, 4, 5, 6)
        field, step = _field(learner, x.shape), next_sigma - sigma
        y = tensor(learner(field, x, sigma, next_sigma), x.shape, AXES)
        asked = _asked(learner, x, 2, "A step of Heun")
        if not (near(asked[0][0], x) and near(asked[0][1], sigma)):
            raise Wrong("The first question to velocity_fn belongs to where you stand: x, at noise level sigma.")
        first = field.function(x, sigma).double()
        if next_sigma == 0:
            _check_last(y, x, first, step, asked)
            continue
        if len(asked) < 2:
            euler = near(y, x + step * first)
            extra = " As it is, this is an Euler step." if euler else ""
            raise Wrong(f"You ask velocity_fn once; Heun looks a second time, where the Euler step lands.{extra}")
        _check_second(asked[1], x, first, sigma, next_sigma, step)
        second = field.function(*asked[1]).double()
        _check_mean(y, x, first, second, step, sigma, next_sigma)
    return "The mean of two slopes: second order. And to noise level 0 it stays an Euler step."


def _check_last(y, x, first, step, asked):
    if len(asked) > 1:
        raise Wrong(f"For a step to sigma 0 you ask the network at noise level {float(asked[1][1]):g}, where none has "
                    "been trained. This last step stays an Euler step, with one question.")
    if not near(y, x + step * first):
        raise Wrong("A step to sigma 0 must be a plain Euler step; yours ends elsewhere.")


def _check_second(entry, x, first, sigma, next_sigma, step):
    there, level = entry
    if near(there, x):
        raise Wrong("Your second look is taken from x again. Take it where the Euler step lands.")
    if not near(there, x + step * first):
        shares = mixture(there, {"x": x, "velocity": first})
        told = f" It looks from {in_words(shares)}." if shares else ""
        halfway = shares and near(shares["velocity"], step / 2)
        half = " That is the middle of the step; Heun looks at its end." if halfway else ""
        raise Wrong("Your second look is taken from the wrong place: it belongs where a whole Euler step "
                    f"lands.{told}{half}")
    if not near(level, next_sigma):
        raise Wrong(f"Your second look is taken at noise level {float(level):.3g}. Where the Euler step lands, the "
                    f"level is next_sigma ({next_sigma:g}).")


def _check_mean(y, x, first, second, step, sigma, next_sigma):
    shares = mixture(y, {"x": x, "first": first, "second": second})
    if shares is None:
        raise Wrong("The result is not made of x and the two velocities.")
    told = f"From sigma {sigma:g} to {next_sigma:g} your step gives {in_words(shares)}"
    of_x, one, two = shares["x"], shares["first"] / step, shares["second"] / step
    if near(of_x, 1) and near(one, 0.5, 1e-3) and near(two, 0.5, 1e-3):
        return
    if near(of_x, 1) and near(one, 1.5, 1e-3) and near(two, 0.5, 1e-3):
        raise Wrong(f"{told}: the mean of the slopes is walked from where the Euler step landed. Start again from x.")
    if not near(of_x, 1):
        raise Wrong(f"{told}: x must remain, whole.")
    if near(shares["second"], 0.5, 1e-3) and abs(step) != 1:
        raise Wrong(f"{told}: the mean of the slopes is taken whole, as if sigma grew by 1. Multiply it by the length "
                    "of the step, and start from x.")
    total = float(one + two)
    if near(total, -1, 1e-3):
        raise Wrong(f"{told}: the sign is wrong, it walks towards noise.")
    if near(total, 2, 1e-3):
        raise Wrong(f"{told}: the two slopes are added up. Take their mean, or the step is twice as long.")
    if near(one, 0, 1e-3):
        raise Wrong(f"{told}: only the second slope counts. Take the mean of both.")
    if near(two, 0, 1e-3):
        raise Wrong(f"{told}: the second slope is asked for and not used. That is an Euler step, at twice its price.")
    raise Wrong(f"{told}: in shares of the step, that is {float(one):.3g} of the first slope and {float(two):.3g} of "
                "the second. Take their mean.")


# ---- shifted times -----------------------------------------------------------------------------------------------


def plug_shift(fn):
    """The sampler's schedule is shifted by the learner's function."""
    from minit2v import diffusion

    return [(diffusion, "shift_sigma", fn)]


@task(
    "06.4", "shift_sigma(sigma, shift)", "More time where it is noisy", difficulty=2, importance=4, minutes=10,
    hints=(
        "The two ends of the schedule stay where they are, 0 and 1. What lies between moves up, towards noise, the "
        "more the larger the shift is. A shift of 1 moves nothing.",
        "Look at σ / (1 − σ), the odds of noise: the shift multiplies them. Solve for the new σ.",
        "shift · σ / (1 + (shift − 1) · σ)",
    ),
    plug=plug_shift,
)
def shift_sigma(learner):
    sigma = torch.linspace(0, 1, 21)
    same = tensor(learner(sigma, 1.0), sigma.shape, "n")
    if not near(same, sigma):
        worst = int((same - sigma).abs().argmax())
        made, of = float(same[worst]), float(sigma[worst])
        raise Wrong(f"A shift of 1 must change nothing, and with it your function makes {made:.3g} of {of:.3g}.")
    for shift in (4.0, 7.0, 0.5):
        moved = tensor(learner(sigma, shift), sigma.shape, "n")
        for end in (0, -1):
            if abs(moved[end] - sigma[end]) > 1e-5:
                raise Wrong(f"A shift of {shift:g} moves {sigma[end]:g} to {moved[end]:.4g}: the ends of the schedule, "
                            "pure noise and clean data, must stay where they are.")
        due = shift * sigma.double() / (1 + (shift - 1) * sigma.double())
        if near(moved, due):
            continue
        told = f"A shift of {shift:g} makes {float(moved[10]):.4g} of 0.5, and {float(due[10]):.4g} is due"
        if near(moved, sigma):
            raise Wrong(f"{told}: your function changes nothing at all.")
        if ((moved - sigma)[1:-1] * (shift - 1) < 0).any():
            raise Wrong(f"{told}: it moves noise levels the wrong way. A shift above 1 moves them towards noise, up to "
                        "1.")
        back = tensor(learner(moved.float(), 1 / shift), sigma.shape, "n")
        undone = "" if near(back, sigma, 1e-3) else f" Nor does a shift by 1/{shift:g} undo one by {shift:g}."
        raise Wrong(f"{told}: the ends and the direction are right, the curve between is not.{undone} The shift "
                    "multiplies the odds σ / (1 − σ).")
    grid = torch.rand(2, 5, generator=learner.generator)
    due = 5 * grid.double() / (1 + 4 * grid.double())
    compare(learner(grid, 5.0), due, "bf", "result for noise levels (b, f)")
    return "The ends stay, a shift of 1 changes nothing, and 1/s undoes s."


# ---- guidance ----------------------------------------------------------------------------------------------------


def plug_guide(fn):
    """Every step is guided by the learner's function."""
    from minit2v import diffusion

    return [(diffusion, "guide", fn)]


@task(
    "06.5", "guide(v_text, v_null, scale)", "Away from the promptless", difficulty=2, importance=5, minutes=10,
    hints=(
        "Two predictions: one with the prompt, one without. Their difference is what the prompt asks for. Guidance "
        "asks for it louder.",
        "Scale 0 must give v_null, scale 1 must give v_text, and larger scales go on along the same line.",
        "Start from v_null, and add scale times the difference: `v_null + scale * (v_text - v_null)`.",
    ),
    plug=plug_guide,
)
def guide(learner):
    for scale in (3.0, 1.0, 0.0, 7.5, 0.4):
        v_text, v_null = learner.draw(2, 3, 4, 5, 6), learner.draw(2, 3, 4, 5, 6)
        y = tensor(learner(v_text, v_null, scale), v_text.shape, AXES)
        shares = mixture(y, {"v_text": v_text, "v_null": v_null})
        if shares is None:
            raise Wrong("The result is not made of v_text and v_null in fixed shares: something is done to single "
                        "numbers, frames or clips (clamped, normalized?). Guidance is a straight line through "
                        "both.")
        text, null = shares["v_text"], shares["v_null"]
        if near(text, scale) and near(null, 1 - scale):
            continue
        raise Wrong(f"At scale {scale:g} your result is {in_words(shares)}: "
                    f"{_misguided(float(text), float(null), scale)}.")
    return "Scale 0 ignores the prompt, 1 is the prompt alone, and beyond 1 it is asked for louder."


def _misguided(text, null, scale):
    def are(a, b):
        return abs(text - a) < 1e-3 and abs(null - b) < 1e-3

    if are(1 - scale, scale):
        return "v_text and v_null are exchanged. It goes away from the prompt"
    if are(1 + scale, -scale):
        return ("it starts from v_text and adds the difference once too often: at scale 1 the result must be v_text. "
                "(Papers count so, with w = scale − 1; this course does not)")
    if are(-scale, 1 + scale):
        return "the sign of the difference is wrong. It goes away from the prompt"
    if are(1 - scale, scale - 1) or are(scale, -scale):
        return "only the scaled difference is left. It has to be added to v_null"
    if are(scale, 1) or are(scale, 0) or are(1, scale):
        return "what the model says without the prompt is not taken away. Guidance needs the difference of both"
    if abs(text + null - 1) > 1e-3:
        return "the two shares must add up to 1, or the length of the velocity changes with the scale"
    if abs(text + null - 1) < 1e-3:
        return f"the shares add up to 1, as they must, but that of v_text has to be the scale, {scale:g}"
    return "scale 0 must give v_null and scale 1 v_text"


def plug_rescale(fn):
    """After guidance, the data estimate is rescaled by the learner's function and read as a velocity again."""
    from minit2v import diffusion

    def rescale_guidance(v_guided, v_text, x, sigma, amount):
        guided, plain = (diffusion.FlowMatching.data_from_velocity(x, v, sigma) for v in (v_guided, v_text))
        return v_guided + (guided - fn(guided, plain, amount)) / diffusion.on_frames(sigma)

    return [(diffusion, "rescale_guidance", rescale_guidance)]


@task(
    "06.6", "rescale(guided, plain, amount)", "Take the contrast back", difficulty=4, importance=3, minutes=20,
    hints=(
        "Guidance adds contrast: the guided estimate has a larger standard deviation than the plain one. By which "
        "factor must it be multiplied to have the same?",
        "std(plain) / std(guided), one such factor per clip: over frames, channels, height and width together. One per "
        "frame would flicker. And `amount` says how much of the correction is made.",
        "`ratio = plain.std((1, 2, 3, 4), keepdim=True) / guided.std((1, 2, 3, 4), keepdim=True)`, then "
        "`guided * (amount * ratio + 1 - amount)`.",
    ),
    plug=plug_rescale,
)
def rescale(learner):
    b, f, c, h, w = 3, 4, 2, 5, 6
    plain = learner.draw(b, f, c, h, w) + 0.3
    guided = plain * 1.8 + 0.4 * learner.draw(b, f, c, h, w) * torch.linspace(0.3, 3, b * f).view(b, f, 1, 1, 1)
    guided = guided * torch.linspace(1, 2, c).view(1, 1, c, 1, 1)
    none = tensor(learner(guided, plain, 0.0), guided.shape, AXES)
    if not near(none, guided):
        raise Wrong("With amount 0 nothing may change: the result must be `guided`, and yours is something else.")
    for amount in (1.0, 0.7):
        y = tensor(learner(guided, plain, amount), guided.shape, AXES)
        factor = y / guided.double()  # (b, f, c, h, w)
        _check_one_factor(factor)
        found = factor.mean((1, 2, 3, 4))  # (b,)
        ratio = (plain.double().std((1, 2, 3, 4)) / guided.double().std((1, 2, 3, 4)))
        due = amount * ratio + 1 - amount
        if not near(found, due, 2e-3):
            raise Wrong(_wrong_factor(found, ratio, amount, plain.double(), guided.double()))
    return "One factor per clip: the contrast of the plain estimate, and no flicker from frame to frame."


def _check_one_factor(factor):
    spread = factor.flatten(1).std(dim=1).max()
    if spread < 1e-3:
        if factor.shape[0] > 1 and near(factor, factor[:1].expand_as(factor), 1e-4):
            raise Wrong("All clips of the batch get the same factor: a clip would look different in other company. "
                        "Each needs its own, from its own standard deviation.")
        return
    names = {1: "frame", 2: "channel"}
    for axis, name in names.items():
        others = tuple(k for k in (1, 2, 3, 4) if k != axis)
        if near(factor, factor.mean(others, keepdim=True).expand_as(factor), 1e-3):
            trouble = "that flickers" if name == "frame" else "that shifts the colors"
            raise Wrong(f"You multiply by one factor per {name}, and {trouble}. One factor for the whole clip is asked "
                        "for.")
    if near(factor, factor.mean((3, 4), keepdim=True).expand_as(factor), 1e-3):
        raise Wrong("You multiply by one factor per frame and channel. One factor for the whole clip is asked for.")
    if near(factor, factor.mean((1, 2), keepdim=True).expand_as(factor), 1e-3):
        raise Wrong("You multiply by one factor per pixel. One factor for the whole clip is asked for.")
    raise Wrong("The result is not `guided` times one factor per clip: numbers of the same clip are treated "
                "differently, or something is added or mixed in. Only the contrast may change.")


def _wrong_factor(found, ratio, amount, plain, guided):
    told = f"With amount {amount:g} your factors are {_few(found)}, and {_few(amount * ratio + 1 - amount)} are due"
    if near(found, amount / ratio + 1 - amount, 2e-3):
        return f"{told}: the ratio is upside down. Your result has more contrast than before, and it should have less."
    if near(found, (1 - amount) * ratio + amount, 2e-3):
        return f"{told}: amount and 1 − amount are exchanged."
    if near(found, amount * ratio, 2e-3):
        return f"{told}: the part 1 − amount, which keeps `guided` as it is, is missing."
    if near(found, ratio, 2e-3):
        return f"{told}: the amount has no effect, the correction is always made whole."
    if near(found, amount * ratio**2 + 1 - amount, 5e-3):
        return f"{told}: that is a ratio of variances. Take standard deviations, the square roots."
    if near(found, torch.ones_like(found), 2e-3):
        return f"{told}: nothing changes."
    rms = (plain.square().mean((1, 2, 3, 4)) / guided.square().mean((1, 2, 3, 4))).sqrt()
    if near(found, amount * rms + 1 - amount, 2e-3):
        return f"{told}: that measures the distance from 0. Contrast is the distance from the mean (its spread)."
    return f"{told}: at amount 1 the standard deviation of each clip must be that of `plain`."


def _few(numbers):
    return ", ".join(f"{float(n):.3f}" for n in numbers)
