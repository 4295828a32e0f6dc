"""Lesson 04, the VAE: padding and mixing over time without looking ahead, legal frame counts, the KL divergence."""

import math
from itertools import combinations

import torch

from minit2v.exercises.judging import Wrong, compare, in_words, mixture, near, number, pair, relation, tensor
from minit2v.exercises.registry import task


@task(
    "04.1", "causal_pad(x, kernel)", "Pad the past, not the future", difficulty=1, importance=5, minutes=5,
    hints=(
        "A convolution makes a clip shorter by kernel − 1 frames. You give these frames back before it starts. On "
        "which side of the clip may they stand, if frame 0 must not know what comes later?",
        "Make zeros of the shape of x, but with kernel − 1 frames: `x.new_zeros(b, kernel - 1, c, h, w)`.",
        "Join the zeros and x along the axis of the frames (dim=1) with `torch.cat`. The zeros go first.",
    ),
)
def causal_pad(learner):
    for kernel, frames in ((3, 5), (2, 4), (5, 3)):
        x = learner.draw(2, frames, 3, 4, 6)
        due = (2, frames + kernel - 1, 3, 4, 6)
        y = learner(x, kernel)
        if isinstance(y, torch.Tensor) and y.dim() == 5:
            _padded_too_much(y, x, due)
        y = tensor(y, due, "bfchw")
        place = _where(y, x)
        if place is None:
            raise Wrong(f"The frames of x do not stand in the result as they were: {_inside(y, x, kernel)}.")
        before, after = place, kernel - 1 - place
        if after:
            sides = "all of them" if not before else f"{after} of the {kernel - 1}"
            raise Wrong(
                f"New frames stand behind the last one, in the future ({sides}). A kernel of {kernel} then lets frame "
                "0 see later frames. All padding belongs before frame 0."
            )
        if not near(y[:, :before], torch.zeros_like(y[:, :before])):
            copies = near(y[:, :before], y[:, before : before + 1].expand_as(y[:, :before]))
            what = "copies of frame 0" if copies else "numbers other than 0"
            raise Wrong(f"Before frame 0 stand {what}, and zeros are asked for.")
    compare(learner(x, 1), x, "bfchw", "result for a kernel of 1, which needs no padding,")
    return "Zeros for the past, nothing for the future: frame 0 sees only itself."


def _padded_too_much(y, x, due):
    grown = [i for i in (0, 2, 3, 4) if y.shape[i] != x.shape[i]]
    if grown:
        names = ("batch", "time", "channels", "height", "width")
        raise Wrong(f"You pad the wrong axis: {names[grown[0]]} became longer. Only time (axis 1) may grow.")
    extra, wanted = y.shape[1] - x.shape[1], due[1] - x.shape[1]
    if extra != wanted:
        raise Wrong(
            f"You add {extra} frames for a kernel of {wanted + 1}, and it needs {wanted}: one less than the kernel, "
            "whatever the kernel is, for it sees its own frame as well."
        )


def _where(y, x):
    """At which frame of y the frames of x begin, or None."""
    for start in range(y.shape[1] - x.shape[1] + 1):
        if near(y[:, start : start + x.shape[1]], x):
            return start
    return None


def _inside(y, x, kernel):
    places = [next((i for i in range(y.shape[1]) if near(y[:, i], frame)), None) for frame in x.unbind(1)]
    if None in places:
        return relation(y[:, kernel - 1 :], x.double(), "bfchw")
    if places == sorted(places, reverse=True):
        return "time runs backwards, they come in reverse order"
    if places == sorted(places):
        return "new frames stand between them. All padding belongs before frame 0"
    return f"they stand at frames {', '.join(map(str, places))}, not one after the other"


# ---- a causal convolution --------------------------------------------------------------------------------------


def plug_mix(fn):
    """Every causal convolution of the video VAE calls the learner's function."""
    from minit2v import vae

    def forward(self, x, memory):
        return fn(x, self.linear.weight, self.linear.bias)

    return [(vae.CausalMix, "forward", forward)]


@task(
    "04.2", "causal_mix(x, weight, "
            "bias)", "A convolution that never looks ahead", difficulty=3, importance=5, minutes=15,
    hints=(
        "Frame t of the result is made of frames t − 2, t − 1 and t of x. What does frame 0 find where there is no "
        "past?",
        "Put two frames of zeros before x. Then three views of the same line, each as long as x and each beginning one "
        "frame later, are the oldest, the middle and the newest frame that every output sees.",
        "`line = torch.cat([zeros, x], dim=1)`; lay `line[:, k : k + f]` for k = 0, 1, 2 side by side along the "
        "channels (the last axis), and multiply by the weights: `torch.nn.functional.linear(side_by_side, weight, "
        "bias)`.",
    ),
    plug=plug_mix,
)
def causal_mix(learner):
    b, f, h, w, c, out = 2, 6, 3, 4, 5, 7
    x, weight, bias = learner.draw(b, f, h, w, c), learner.draw(out, 3 * c) / 4, learner.draw(out)
    y = tensor(learner(x, weight, bias), (b, f, h, w, out), "bfhwc")
    due = _mixed(x, weight, bias)
    _check_reach(learner, x, weight, bias, y)
    _check_taps(learner, c)
    silent = tensor(learner(torch.zeros_like(x), weight, bias), (b, f, h, w, out), "bfhwc")
    if not near(silent, bias.double().expand_as(silent)):
        what = "nothing at all" if near(silent, torch.zeros_like(silent)) else "something else"
        raise Wrong(f"From a clip of zeros only the bias must come out, and {what} does. Is the bias added once?")
    if near(y[:, 2:], due[:, 2:]) and not near(y, due):
        raise Wrong("From frame 2 on all is right; frames 0 and 1 look back past the beginning of the clip, and what "
                    "they find there must be zeros.")
    compare(y, due, "bfhwc")
    x = learner.draw(1, 1, 2, 2, c)
    compare(learner(x, weight, bias), _mixed(x, weight, bias), "bfhwc", "result for a picture, a clip of one frame,")
    return "Disturb a frame, and only it and the two after it move. The past never hears of the future."


def _mixed(x, weight, bias):
    """The reference, in float64, frame by frame and tap by tap."""
    x, weight, bias = x.double(), weight.double(), bias.double()
    c, frames = x.shape[-1], []
    for t in range(x.shape[1]):
        y = bias.expand(*x[:, t].shape[:-1], -1)
        for k in range(3):
            if t - 2 + k >= 0:
                y = y + x[:, t - 2 + k] @ weight[:, k * c : (k + 1) * c].T
        frames.append(y)
    return torch.stack(frames, dim=1)


def _check_reach(learner, x, weight, bias, before):
    """Disturbs one frame of one place of one clip; exactly three frames of that place may move."""
    t, place = 2, (1, 1, 2)  # clip, row, column
    changed = x.clone()
    changed[place[0], t, place[1], place[2]] += 1.0
    after = tensor(learner(changed, weight, bias), before.shape, "bfhwc")
    moved = (after - before).abs().amax(dim=-1) > 1e-5  # (b, f, h, w)
    frames = moved.any(dim=3).any(dim=2)  # (b, f)
    if frames[0].any():
        raise Wrong("When one clip of the batch is disturbed, another one moves: clips must not mix.")
    heard = frames[1].nonzero().flatten().tolist()
    if any(i < t for i in heard):
        raise Wrong(
            f"Your function looks into the future: when frame {t} is disturbed, frame {min(heard)} moves. Only frames "
            f"{t}, {t + 1} and {t + 2} may hear of it."
        )
    still = moved.clone()
    still[place[0], :, place[1], place[2]] = False
    if still.any():
        raise Wrong("When one place is disturbed, other places move: this convolution goes along time only.")
    last = x.clone()
    last[:, -1] += 1.0
    after = tensor(learner(last, weight, bias), before.shape, "bfhwc")
    early = (after[:, :-1] - before[:, :-1]).abs().amax(dim=(0, 2, 3, 4)) > 1e-5
    if early.any():
        raise Wrong(
            f"When the last frame is disturbed, frame {int(early.nonzero()[0])} moves: the beginning of the clip looks "
            "into the future. What lies before frame 0 must be zeros, not the end of the clip."
        )
    if heard != [t, t + 1, t + 2]:
        told = ", ".join(map(str, heard)) or "none at all"
        raise Wrong(f"When frame {t} is disturbed, frames {t}, {t + 1} and {t + 2} must hear of it. Yours: {told}.")


def _check_taps(learner, c):
    """Opens one third of the weights at a time: each must hear of a frame after its own delay."""
    x = torch.zeros(1, 6, 1, 1, c)
    x[0, 1] = 1.0
    delays = []
    for k in range(3):
        weight = torch.zeros(c, 3 * c)
        weight[:, k * c : (k + 1) * c] = torch.eye(c)
        y = tensor(learner(x, weight, torch.zeros(c)), x.shape, "bfhwc")
        heard = (y[0, :, 0, 0].abs().amax(dim=-1) > 0.5).nonzero().flatten().tolist()
        delays.append(heard[0] - 1 if len(heard) == 1 and near(y[0, heard[0], 0, 0], torch.ones(c)) else None)
    if None in delays:
        raise Wrong(
            "The weights do not meet the frames in the order that is asked for: the first third of `weight` (columns 0 "
            "to c − 1) belongs to all channels of the oldest frame, the next to the middle one, the last to the "
            "newest. In yours, channels and frames are interleaved."
        )
    if delays != [2, 1, 0]:
        raise Wrong(
            f"The three thirds of `weight` hear frames {delays[0]}, {delays[1]} and {delays[2]} steps back, and must "
            "hear those 2, 1 and 0 steps back: the order of the frames is wrong. The oldest comes first."
        )


# ---- legal frame counts ------------------------------------------------------------------------------------------


@task(
    "04.3", "nearest_legal(frames, temporal)", "Which frame counts are legal?", difficulty=2, importance=4, minutes=10,
    hints=(
        "The first frame stands alone; every further latent frame takes `temporal` frames. Write down the legal counts "
        "for temporal = 4: 1, 5, 9, … What do they have in common?",
        "A count is legal if frames − 1 is a multiple of temporal. The greatest legal count that is not above `frames` "
        "comes from rounding frames − 1 down to such a multiple.",
        "`below = (frames - 1) // temporal * temporal + 1`. If below is frames itself, both answers are frames; "
        "otherwise the one above is below + temporal.",
    ),
)
def nearest_legal(learner):
    for temporal in (4, 8, 6, 1):
        for frames in (1, 2, 5, 16, 17, 18, 12, 13, 20, 21, 22, 64, 65, learner.whole(66, 200)):
            below = (frames - 1) // temporal * temporal + 1
            due = (frames, frames) if below == frames else (below, below + temporal)
            found = pair(learner(frames, temporal), ("below", "above"))
            found = tuple(number(n, "answer") for n in found)
            if found != due:
                raise Wrong(_illegal(frames, temporal, found, due))
    return "16 frames are not legal for a factor of 4, and 13 and 17 are: nothing vanishes silently any more."


def _illegal(frames, temporal, found, due):
    asked = f"For {frames} frames and temporal = {temporal} you answer {found}"
    for count in found:
        if count < 1:
            return f"{asked}: a clip has at least one frame, the first, which stands alone."
        if (count - 1) % temporal:
            multiple = " It is a multiple of temporal: the first frame, which stands alone, is left out." \
                if count % temporal == 0 else ""
            return f"{asked}, and {count} is not legal: it is not n · {temporal} + 1 for any whole n.{multiple}"
    if due[0] == due[1]:
        return f"{asked}. But {frames} is legal itself, so that both must be {frames}: nothing needs to change."
    if found == due[::-1]:
        return f"{asked}: the order is wrong. The smaller one comes first."
    if not found[0] <= frames <= found[1]:
        return f"{asked}: {frames} must lie between the two."
    return f"{asked}: both are legal, but not the nearest. There is a legal count closer to {frames}."


# ---- the KL divergence -------------------------------------------------------------------------------------------


@task(
    "04.4", "kl(mean, log_variance)", "How far from plain noise?", difficulty=3, importance=3, minutes=15,
    hints=(
        "For one value with mean m and variance v, the divergence from a standard normal distribution is "
        "½ (m² + v − 1 − log v). What is v, if you are given its logarithm?",
        "v = exp(log_variance), and log v is what you have. Check it: for m = 0 and log v = 0 nothing may be left.",
        "`0.5 * (mean**2 + log_variance.exp() - 1 - log_variance)` is the divergence of every value. The answer is one "
        "number: its mean over all values.",
    ),
)
def kl(learner):
    shape = (3, 5, 7, 11, 13)

    def at(m, log_v):
        return _scalar(learner(torch.full(shape, float(m)), torch.full(shape, float(log_v))))

    def due(m, log_v):
        return 0.5 * (m * m + math.exp(log_v) - 1 - log_v)

    zero = at(0, 0)
    if abs(zero) > 1e-4:
        raise Wrong(f"Where the latents are standard normal already (mean 0, log-variance 0), the divergence is 0; "
                    f"yours is {zero:.4g}. Which constant is missing, or which of the terms is another one?")
    _check_means(at, shape)
    for log_v in (-2.0, 1.0, 0.5):
        found, wanted = at(0, log_v), due(0, log_v)
        if abs(found - wanted) > 1e-3:
            raise Wrong(_wrong_spread(at, log_v, found, wanted))
    mean, log_variance = learner.draw(*shape), learner.draw(*shape)
    values = 0.5 * (mean.double() ** 2 + log_variance.double().exp() - 1 - log_variance.double())
    found = _scalar(learner(mean, log_variance))
    if abs(found - float(values.mean())) > 1e-3:
        raise Wrong(
            f"With constant inputs your function is right, with random ones it says {found:.4f} where "
            f"{values.mean():.4f} is due: are some values left out, or averaged before they are squared?"
        )
    return "0 for latents that are noise already, and more the farther they are from it."


def _scalar(value):
    if isinstance(value, torch.Tensor) and value.numel() != 1:
        raise Wrong(f"One number for everything is asked for, the mean over all values; yours is {tuple(value.shape)}.")
    found = float(number(value, "divergence"))
    if not math.isfinite(found):
        raise Wrong("The divergence is not a finite number. Is a logarithm or a square root taken of a negative "
                    "number?")
    return found


def _check_means(at, shape):
    found, wanted = at(2, 0), 2.0
    ratio = found / wanted
    if abs(ratio - 1) < 1e-3:
        if abs(at(-2, 0) - wanted) > 1e-3:
            raise Wrong("A mean of −2 lies as far from 0 as a mean of 2, but yours counts it otherwise: square it.")
        if abs(at(1, 0) - 0.5) > 1e-3:
            raise Wrong("The mean must count by its square: half as far away, a quarter of the divergence.")
        return
    names = ("clips", "frames", "channels", "rows", "columns")
    for chosen in (some for count in range(5, 0, -1) for some in combinations(range(5), count)):
        if abs(ratio / math.prod(shape[i] for i in chosen) - 1) < 1e-3:
            which = "all values" if len(chosen) == 5 else " and ".join(names[i] for i in chosen)
            which = "each clip" if chosen == (1, 2, 3, 4) else which
            raise Wrong(f"Your result is {ratio:.0f} times too large: that is a sum over {which}, and the mean over "
                        "all values is due.")
    if found < 0:
        raise Wrong(f"For a mean of 2 yours is {found:.4g}: negative, which a divergence never is. A sign is wrong.")
    raise Wrong(f"For a mean of 2 and a variance of 1 the divergence is 2; yours is {found:.4g}, {ratio:.3g} times "
                "that. How does the mean enter: squared, and halved?")


def _wrong_spread(at, log_v, found, wanted):
    v, points = math.exp(log_v), torch.tensor([-2.0, -1.0, 0.0, 0.5, 1.0, 1.5], dtype=torch.float64)
    told = f"For a mean of 0 and a log-variance of {log_v:g} the divergence is {wanted:.4f}; yours is {found:.4f}."
    as_std = 0.5 * (v * v - 1 - 2 * log_v)
    if abs(found - as_std) < 1e-3:
        return f"{told} You read `log_variance` as the logarithm of the standard deviation; it is that of the variance."
    seen = torch.tensor([at(0, float(p)) for p in points], dtype=torch.float64)
    shares = mixture(seen, {"v": points.exp(), "log v": points, "1": torch.ones_like(points)})
    if shares:
        made = f"{told} For a mean of 0, yours is made of v, log v and 1 as {in_words(shares)}"
        if abs(float(shares["log v"])) < 1e-3:
            return f"{made}: the logarithm of the variance is left out."
        if abs(float(shares["v"])) < 1e-3:
            return f"{made}: the variance itself is left out."
        return f"{made}: one of these shares is wrong."
    negative = " And a divergence is never negative." if found < -1e-6 else ""
    return f"{told} Look at how the variance enters: as itself, and by its logarithm.{negative}"
