"""Lesson 10, training: the loss of a batch, the average that follows the weights, and batches that can be had again."""

import weakref
from itertools import combinations
from math import prod

import torch
from torch import nn

from minit2v.exercises.judging import WORDS, Wrong, compare, in_words, mixture, near, said, tensor
from minit2v.exercises.registry import task

# ---- the loss ----------------------------------------------------------------------------------------------------


class Says:
    """Stands in for a denoiser: answers with the numbers it was given, and keeps a log of what it was asked."""

    def __init__(self, answer):
        self.answer, self.log, self.at = answer, [], 0

    def __call__(self, x, level):
        clips = [(self.at + i) % len(self.answer) for i in range(len(x))]
        self.at += len(x)
        said, mark = 1 * self.answer[clips].requires_grad_(), Mark()
        if said.grad_fn is not None:
            said.grad_fn.metadata["mark"] = mark  # it lives as long as some result can be traced back to this answer
        kept = level.detach().clone() if isinstance(level, torch.Tensor) else level
        self.log.append((x.detach().clone(), kept, torch.is_grad_enabled(), weakref.ref(mark)))
        return said

    @property
    def asked(self):
        """(x, level, whether gradients were on, whether a gradient finds the way back to this answer)."""
        return [(x, level, on, mark() is not None) for x, level, on, mark in self.log]


class Mark:
    """Something that can be watched by a weak reference."""


@task(
    "10.1", "flow_loss(denoiser, data, noise, level, weight, counted)", "How wrong was it?", difficulty=3, importance=5,
    minutes=15,
    hints=(
        "Three things in a row: what the denoiser sees, what it should have said, and how much each of its errors "
        "counts. For the first, give `level` as many axes as `data` has. Which of the two should be multiplied by it?",
        "x = (1 − level) · data + level · noise; the target is noise − data. Square the difference, and keep the axes "
        "of clips and frames: only rows, columns and the weighted channels are averaged first. Then comes `counted`.",
        "`s = level[:, :, None, None, None]`; `error = (denoiser((1 - s) * data + s * noise, level) - (noise - data)) "
        "** 2`; `error = (weight[:, None, None] * error).mean((2, 3, 4))`; then `(error * counted).sum(1) / "
        "counted.sum(1).clamp(min=1)`.",
    ),
)
def flow_loss(learner):
    _check_turned(learner)
    _check_question(learner)
    _check_growth(learner)
    _check_target(learner)
    _check_places(learner)
    _check_channels(learner)
    _check_frames(learner)
    for b, f, c, h, w in ((2, 5, 3, 6, 4), (1, 2, 4, 3, 5)):
        data, noise, answer = (learner.draw(b, f, c, h, w) for _ in range(3))
        level, weight, counted = _levels(learner, b, f), _weights(learner, c), _counted(learner, b, f)
        found, _ = _ask(learner, answer, data, noise, level, weight, counted)
        error = (answer - (noise - data)).double().square().mean((3, 4))  # (b, f, c)
        error = (weight.double() * error).mean(2)  # (b, f)
        compare(found, (error * counted).sum(1) / counted.sum(1), "b", "loss")
    _check_nothing(learner)
    return "The right question, the right target, and each error counts for what it is worth."


SIZES = 3, 4, 4, 3, 4  # b, f, c, h, w: a level on the wrong axes fits as well, so that its effect can be seen
UNEVEN = torch.tensor([[1, 0, 1, 1], [0, 1, 0, 0], [1, 1, 1, 1]], dtype=torch.bool)
COUNTED = torch.tensor([[True, True, False, False], [False, True, True, False], [True, False, False, True]])


def _levels(learner, b, f):
    return 0.1 + 0.8 * torch.rand(b, f, generator=learner.generator)


def _weights(learner, c):
    weight = 0.2 + torch.rand(c, generator=learner.generator)
    return weight / weight.mean()


def _counted(learner, b, f):
    counted = torch.rand(b, f, generator=learner.generator) < 0.6
    counted[:, 0] |= ~counted.any(1)
    return counted


def _ask(learner, answer, data=0.0, noise=0.0, level=None, weight=None, counted=None):
    """The losses (b,), float64, and what the denoiser was asked. What is not given is 0, or counts all the same."""
    b, f, c = answer.shape[:3]
    level = torch.full((b, f), 0.3) if level is None else level
    weight = torch.ones(c) if weight is None else weight
    counted = torch.ones(b, f, dtype=torch.bool) if counted is None else counted
    data, noise = (torch.as_tensor(each).expand(answer.shape).contiguous() for each in (data, noise))
    value = learner(Says(answer), data, noise, level, weight, counted)
    if isinstance(value, torch.Tensor) and b > 1 and value.numel() == 1:
        raise Wrong(f"One number comes back for a batch of {b} clips: the clips are averaged, too. The loss of each "
                    "clip is asked for, (b,).")
    if isinstance(value, torch.Tensor) and value.shape == (b, f):
        raise Wrong("The losses of the frames come back, (b, f). Each clip has one loss: the mean over those of its "
                    "frames that count.")
    if isinstance(value, torch.Tensor) and b > 1 and value.dim() == 1 and len(value) == int(counted.sum()) != b:
        raise Wrong(f"{len(value)} numbers come back, one for each frame that counts. The loss of each of the {b} "
                    "clips is asked for: the mean over its own frames.")
    return tensor(value, (b,), "b", "loss"), learner.logs.get(0, [])


def _check_turned(learner):
    """Whether `counted` is taken for its contrary. Asked first: then a batch in which all count costs nothing."""
    errors = [mask[:, :, None, None, None].expand(SIZES).float() for mask in (COUNTED, ~COUNTED)]
    inside, outside = (_ask(learner, error, counted=COUNTED)[0] for error in errors)
    if near(inside, 0.0) and bool((outside > 1e-6).all()):
        raise Wrong("`counted` is turned round: only those frames are in your loss for which it is False.")


def _check_question(learner):
    """What the denoiser is asked: at which levels, and of how much data and noise x is made at every place."""
    level, zero = _levels(learner, *SIZES[:2]), torch.zeros(SIZES)
    seen = {}
    for name, data, noise in (("neither", 0.0, 0.0), ("data", 1.0, 0.0), ("noise", 0.0, 1.0)):
        _, asked = _ask(learner, zero, data, noise, level, counted=COUNTED)
        seen[name] = _question(asked, SIZES)
        if name == "neither":
            _check_level(asked, level)
    if not near(seen["neither"], zero):
        own = "you draw noise of your own. Take the one that is given" if learner.dice else "something is added"
        raise Wrong(f"Where data and noise are both 0, the denoiser must see 0. It does not: {own}.")
    _explain_mixture(seen["data"], seen["noise"], level.double()[:, :, None, None, None].expand(SIZES))


def _question(asked, sizes):
    """All x that the denoiser was asked about, in one tensor, float64."""
    if not asked:
        raise Wrong("The denoiser is never asked.")
    if not all(on for _, _, on, _ in asked):
        raise Wrong("The denoiser is asked where gradients are switched off (no_grad): from such a loss nothing can be "
                    "learned.")
    if not any(traced for *_, traced in asked):
        raise Wrong("The loss is cut off from the denoiser's answer: no gradient finds the way back, and nothing can "
                    "be learned. Where is it detached, or made a plain number?")
    x = [each for each, *_ in asked]
    if sum(map(len, x)) > sizes[0]:
        raise Wrong(f"The denoiser is asked about {sum(map(len, x))} clips, and there are {sizes[0]}: it is asked more "
                    "often than once.")
    if any(each.shape[1:] != sizes[1:] for each in x) or sum(map(len, x)) != sizes[0]:
        raise Wrong(f"The denoiser is asked about {' and '.join(str(tuple(each.shape)) for each in x)}; the clips are "
                    f"{tuple(sizes)}.")
    return torch.cat(x).double()


def _check_level(asked, level):
    told = "The denoiser has to be told the noise levels as they are given, (b, f)"
    if not all(isinstance(each, torch.Tensor) and each.dim() == 2 for _, each, *_ in asked):
        shapes = ", ".join(said(each) for _, each, *_ in asked)
        raise Wrong(f"{told}; yours hears {shapes}.")
    found = torch.cat([each for _, each, *_ in asked]).double()
    if found.shape != level.shape:
        raise Wrong(f"{told}; yours hears a tensor of shape {tuple(found.shape)}.")
    if near(found, 1 - level):
        raise Wrong(f"{told}; yours hears 1 − level: 1 is pure noise, and not clean data.")
    if not near(found, level):
        i, j = _worst(found - level)
        raise Wrong(f"{told}; for clip {i} and frame {j} that is {float(level[i, j]):.3f}, and yours hears "
                    f"{float(found[i, j]):.3f}.")


def _worst(off):
    """(clip, frame) at which a difference (b, f) is largest."""
    return divmod(int(off.abs().argmax()), off.shape[1])


def _explain_mixture(data, noise, level):
    """Raises `Wrong` unless x is (1 - level) · data + level · noise, at every place."""
    one, zero = torch.ones_like(level), torch.zeros_like(level)
    if near(noise, level) and near(data, 1 - level):
        return
    cases = [
        (1 - level, level, "data and noise are exchanged: level is the share of the noise, and 1 is pure noise"),
        (zero, one, "the denoiser sees clean data, without any noise"),
        (one, zero, "the denoiser sees nothing but noise"),
        (level, one, "the noise is added, and the data keeps its full size; it has to shrink to 1 − level"),
        (one, 1 - level, "the data shrinks, and the noise keeps its full size; its share is the level"),
        (one, one, "both are added up in full size; level does not play a part"),
    ]
    for due_noise, due_data, words in cases:
        if near(noise, due_noise) and near(data, due_data):
            raise Wrong(f"What the denoiser sees is mixed wrongly: {words}.")
    inside = [axis for axis, i in (("c", 2), ("h", 3), ("w", 4)) if not near(noise.amax(i), noise.amin(i))]
    if inside:
        raise Wrong(f"Within one frame, the share of noise differs between {_many(inside)}: the levels lie along the "
                    "wrong axes. They belong to clips and frames; give them axes for the rest.")
    if near(noise.square() + data.square(), one) and not near(noise, one):
        raise Wrong("The squares of the two shares sum to 1: that is the mixture of DDPM. In flow matching the shares "
                    "themselves do: 1 − level and level.")
    share = noise[:, :, 0, 0, 0]  # (b, f)
    alike = [axis for axis, i in (("b", 0), ("f", 1)) if near(share.amax(i), share.amin(i))]
    if alike:
        raise Wrong(f"All {_many(alike)} get the same share of noise. Each has a level of its own in `level`.")
    off = ((noise - level).abs() + (data - 1 + level).abs())[:, :, 0, 0, 0]  # (b, f)
    i, j = _worst(off)
    a, b, s = (float(each[i, j, 0, 0, 0]) for each in (data, noise, level))
    only = "in frames that do not count, and only there, " if not (off * COUNTED > 1e-4).any() else ""
    raise Wrong(f"What the denoiser sees is mixed wrongly: {only}at clip {i}, frame {j}, level {s:.3f}, it is "
                f"{in_words({'data': a, 'noise': b})}; due is {in_words({'data': 1 - s, 'noise': s})}.")


def _many(axes):
    return " and ".join(WORDS[axis][1] for axis in axes)


def _check_growth(learner):
    """How the loss grows with the error, where data and noise are 0: an error of 1 costs 1, and one of 2 costs 4."""
    one = torch.ones(SIZES)
    first, second = (_ask(learner, factor * one)[0] for factor in (1.0, 2.0))
    if near(first, second) and near(first, 0.0):
        raise Wrong("With an error everywhere, the loss is still 0: it does not hear the denoiser's answer.")
    factor = float(second.mean() / first.mean()) if float(first.mean()) else 0.0
    if abs(factor - 2) < 1e-3:
        half = torch.zeros(SIZES)
        half[..., :2] = 2.0  # columns 0 and 1 of 4
        root = float((_ask(learner, half)[0] / first).mean()) > 1.2
        way = "a root is drawn from the mean of the squares" if root else "its amount is averaged, and not its square"
        raise Wrong(f"With the error doubled, the loss doubles: {way}. It has to become four times as large.")
    if abs(factor - 4) > 1e-3:
        raise Wrong(f"With the error doubled, the loss must become four times as large; yours becomes {factor:.3g} "
                    "times.")
    signs = torch.randn(SIZES, generator=learner.generator).sign()
    if not near(_ask(learner, signs)[0], first):
        raise Wrong("Errors of 1 and of −1 cancel each other in your loss: the error is averaged, or summed up, "
                    "before it is squared.")
    high = _ask(learner, one, level=torch.full(SIZES[:2], 0.8))[0]
    if not near(high, first):
        raise Wrong(f"An error of 1 everywhere costs {float(first[0]):.3g} at level 0.3 and {float(high[0]):.3g} at "
                    "level 0.8. It has to cost the same at every level: the error is that of the velocity, and "
                    "nothing else.")
    if near(first, torch.ones_like(first)):
        return
    _explain_frames(_response(learner, "f", counted=UNEVEN))
    found = float(first.mean())
    if near(first, found * torch.ones_like(first)):
        for axes in [each for n in (1, 2, 3, 4) for each in combinations("bfchw", n)]:
            size = prod(SIZES["bfchw".index(axis)] for axis in axes)
            ways = {"summed up, and not averaged, over the": size, "divided once too often, by the number of": 1 / size}
            for words, value in ways.items():
                if abs(found - value) < 1e-4 * value:
                    raise Wrong(f"An error of 1 everywhere has to cost 1, and costs {found:.4g}: it is {words} "
                                f"{_either(axes)}.")
    raise Wrong(f"An error of 1 everywhere, with all weights 1, has to cost 1, and costs {found:.4g}: there is a "
                "factor too many or too few.")


def _either(axes):
    """Rows and channels, say; with all sets of axes that are as large, for their sizes cannot tell them apart."""
    size = prod(SIZES["bfchw".index(axis)] for axis in axes)
    alike = [each for each in combinations("bfchw", len(axes)) if prod(SIZES["bfchw".index(a)] for a in each) == size]
    return ", or ".join(_many(each) for each in sorted(alike, key=lambda each: "b" in each)[:3])


def _check_target(learner):
    """At which answer the loss is least: for noise 1 alone that has to be 1, for data 1 alone −1."""
    target = {}
    for name, data, noise in (("noise", 0.0, 1.0), ("data", 1.0, 0.0)):
        at = [float(_ask(learner, torch.full(SIZES, v), data, noise)[0].mean()) for v in (-1.0, 0.0, 1.0)]
        bend = at[0] + at[2] - 2 * at[1]
        target[name] = (at[0] - at[2]) / (2 * bend) if abs(bend) > 1e-6 else 0.0
    pairs = {(1, -1): "", (-1, 1): "the sign is turned round", (1, 0): "that is the noise, and not the velocity",
             (0, 1): "that is the clean clip, and not the velocity", (0, 0): "the denoiser is taught to say nothing"}
    for (noise, data), words in pairs.items():
        if abs(target["noise"] - noise) < 1e-3 and abs(target["data"] - data) < 1e-3:
            if words:
                raise Wrong(f"The denoiser's answer is compared with {in_words(target)}: {words}. The velocity leads "
                            "from data to noise.")
            return
    raise Wrong(f"At level 0.3, the denoiser's answer is compared with {in_words(target)}. The velocity leads from "
                "data to noise, and is the same at every level.")


def _response(learner, axis, **given):
    """What an error of 1 costs that is at one index of an axis only, (b, size of the axis)."""
    i, found = "bfchw".index(axis), []
    for at in range(SIZES[i]):
        answer = torch.zeros(SIZES)
        answer.select(i, at).fill_(1.0)
        found.append(_ask(learner, answer, **given)[0])
    return torch.stack(found, dim=1)


def _check_places(learner):
    """Each clip pays for itself alone; rows and columns all count the same, whatever the weights and `counted` are."""
    mine = _response(learner, "b")
    if not near(mine, torch.eye(SIZES[0])):
        raise Wrong("A clip's loss changes with the answer to another clip of the batch. Each clip pays for its own "
                    "errors.")
    weight, counted = torch.tensor([0.4, 1.9, 0.7, 1.0]), torch.ones(SIZES[:2], dtype=torch.bool)
    counted[0, 1] = counted[1, 2] = False
    for name, given in (("weight", {"weight": weight}), ("counted", {"counted": counted})):
        for axis in "hw":
            cost = _response(learner, axis, **given)
            if not near(cost.amax(1), cost.amin(1), 1e-3):
                belongs = "channels" if name == "weight" else "clips and frames"
                raise Wrong(f"`{name}` acts along the {WORDS[axis][1]}: it lies on the wrong axis, where it happens "
                            f"to fit. It belongs to the {belongs}.")
    cost = _response(learner, "f", weight=weight)
    if not near(cost.amax(1), cost.amin(1), 1e-3):
        raise Wrong("`weight` acts along the frames: it lies on the wrong axis, where it happens to fit. It belongs "
                    "to the channels.")


def _check_channels(learner):
    weight = _weights(learner, SIZES[2])
    cost, w = _response(learner, "c", weight=weight)[0] * SIZES[2], weight.double()
    if near(cost, w):
        return
    told = "An error in one channel has to cost as much as its weight says"
    if near(cost, cost.mean().expand_as(cost)):
        raise Wrong(f"{told}. In yours all channels cost the same: the weights do not play a part.")
    cases = [(w**2, "the square of it. Multiply the squared error, and not the error, by the weight"),
             (w**0.5, "the root of it"), (1 / w, "one over it: divided instead of multiplied"),
             (w.flip(0), "the weights in reverse order"), (w.softmax(0) * len(w), "a softmax of it")]
    for value, words in cases:
        if near(cost / cost.sum(), value / value.sum(), 1e-3):
            raise Wrong(f"{told}. In yours it costs {words}.")
    if near(cost / cost.sum(), w / w.sum(), 1e-3):
        raise Wrong(f"{told}, and the mean over channels is a sum divided by their number. Yours is "
                    f"{float(cost.sum() / w.sum()):.3g} times as large.")
    raise Wrong(f"{told}: channel 0 has the weight {float(w[0]):.3g}, and costs {float(cost[0]):.3g}.")


def _explain_frames(cost):
    """Raises `Wrong` if only the frames that count are in the loss, but divided by a wrong number of them. cost (b, "
    "f)"""
    one = UNEVEN.double()
    number = one.sum(1, keepdim=True)
    cases = [(one / 4, "their sum is divided by the number of all frames. It is a mean over those that count"),
             (one, "they are summed up, and not averaged"),
             (one / one.sum(), "their sum is divided by the number of frames that count in the whole batch. Each clip "
                               "has its own number"),
             (3 * one / one.sum(), "their sum is divided by the mean number of them in the whole batch. Each clip has "
                                   "its own number"),
             (one / (number + 1), "their sum is divided by one more than their number. Only where no frame counts, 1 "
                                  "has to stand for 0")]
    for value, words in cases:
        if near(cost, value, 1e-3):
            raise Wrong(f"Only the frames that count are in your loss, as it should be, but {words}.")


def _check_frames(learner):
    counted = UNEVEN
    cost, one = _response(learner, "f", counted=counted), counted.double()
    if near(cost, one / one.sum(1, keepdim=True)):
        return
    if near(cost * ~counted, 0.0) and not near(cost, 0.0):
        _explain_frames(cost)
        raise Wrong("Only the frames that count are in your loss, but they have the wrong share: in clip 0, three "
                    f"frames count, and an error of 1 in the first one costs {float(cost[0, 0]):.3g}; due is 0.333.")
    if near(cost, torch.full_like(cost, 0.25)):
        raise Wrong("All frames are in your loss: `counted` does not play a part. Those where it is False must not be "
                    "heard.")
    if near(cost, cost[:1].expand_as(cost)):
        raise Wrong("The same frames count in all clips. Each clip has its own row in `counted`.")
    heard = (cost * ~counted > 1e-4).nonzero()
    if len(heard):
        i, j = (int(each) for each in heard[0])
        raise Wrong(f"A frame that does not count is in your loss all the same: an error of 1 in frame {j} of clip "
                    f"{i} costs {float(cost[i, j]):.3g}, and has to cost nothing.")
    raise Wrong("The frames that count have the wrong share in the loss.")


def _check_nothing(learner):
    counted = torch.tensor([[True, True, False], [False, False, False]])
    answer = learner.draw(2, 3, 2, 2, 2)
    value = learner(Says(answer), torch.zeros(answer.shape), torch.zeros(answer.shape), torch.full((2, 3), 0.5),
                    torch.ones(2), counted)  # fmt: skip
    if isinstance(value, torch.Tensor) and not value.isfinite().all():
        raise Wrong("For a clip of which no frame counts, the loss is NaN: it is divided by 0 frames. It has to be 0.")
    compare(value, torch.stack([answer[0, :2].double().square().mean(), torch.zeros((), dtype=torch.float64)]), "b",
            "loss, where no frame of clip 1 counts")  # fmt: skip


# ---- the average -------------------------------------------------------------------------------------------------


class Net(nn.Module):
    """A small model with layers in layers and two buffers. After a call, `asked` tells what has become of it."""

    def __init__(self, draw):
        super().__init__()
        self.slopes = {}
        self.first = nn.Linear(3, 4)
        self.inner = nn.Sequential(nn.Linear(4, 5, bias=False), nn.ModuleList([nn.LayerNorm(5)]))
        self.table = nn.Parameter(torch.zeros(6))
        self.register_buffer("spread", draw(3))
        self.register_buffer("seen", (100 * draw(2).abs()).long())
        for weight in self.parameters():
            weight.data = draw(*weight.shape)

    def slope(self, draw):
        """Gives all weights a gradient, which is not lost on the way to the learner's function."""
        self.slopes = {name: draw(*weight.shape) for name, weight in self.named_parameters()}
        return self._put_slopes()

    def _put_slopes(self):
        for name, slope in self.slopes.items():
            self.get_parameter(name).grad = slope.clone()
        return self

    def __setstate__(self, state):
        super().__setstate__(state)
        self._put_slopes()
        self.__dict__["before"] = dict(self.named_parameters())

    @property
    def asked(self):
        """(kind, name, value): of its weights, buffers, gradients, and of what is no longer as it was made."""
        rows = [("weight", name, weight.detach().clone()) for name, weight in self.named_parameters()]
        rows += [("buffer", name, value.detach().clone()) for name, value in self.named_buffers()]
        rows += [("gradient", name, w.grad.clone()) for name, w in self.named_parameters() if w.grad is not None]
        rows += [("frozen", name, 1) for name, weight in self.named_parameters() if not weight.requires_grad]
        rows += [("resting", name, 1) for name, layer in self.named_modules() if not layer.training]
        rows += [("memory", name, value.data_ptr()) for name, value in self.named_buffers()]
        rows += [("memory", name, weight.data_ptr()) for name, weight in self.named_parameters()]
        rows += [("history", name, 1) for name, w in self.named_parameters() if w.grad_fn is not None]
        before = self.__dict__.get("before", {})
        return rows + [("new", name, 1) for name, w in self.named_parameters() if w is not before.get(name, w)]


def _told(net, kind):
    """{name: value} of one kind, from a Net or from its log; numbers as float64."""
    rows = net.asked if isinstance(net, Net) else net
    return {name: value.double() if isinstance(value, torch.Tensor) else value for k, name, value in rows if k == kind}


def _pair(learner):
    return Net(learner.draw).requires_grad_(False), Net(learner.draw).slope(learner.draw)


@task(
    "10.2", "follow(average, model, step, ema)", "The average of the restless", difficulty=3, importance=4, minutes=15,
    hints=(
        "Which share of the old average is kept? Write that number down first, for step 0 and for step 10,000. Then "
        "walk through the weights of both models side by side.",
        "d = min(ema, (1 + step) / (10 + step)). `zip(average.parameters(), model.parameters())` gives the pairs; "
        "methods whose names end in an underscore change a tensor in place. None of it may be recorded for a "
        "gradient. And buffers are not weights.",
        "Inside `with torch.no_grad():` write `mine.mul_(d).add_(its, alpha=1 - d)` for each pair of parameters, and "
        "`mine.copy_(its)` for each pair of `buffers()`. Return `average`.",
    ),
)
def follow(learner):
    kept = {}
    for step, ema in ((0, 0.999), (4, 0.9), (60, 0.99), (20, 0.5), (9000, 0.99)):
        average, model = _pair(learner)
        learner(average, model, step, ema)
        after, its = learner.logs.get(0, []), learner.logs.get(1, [])
        _check_model(average, model, after, its)
        kept[step, ema] = _share_kept(average, model, after)
        _check_buffers(average, model, after)
        _check_gradients(after, its)
    _explain_decay(kept)
    return "A short memory at first and a long one later, in place, and nothing of it is recorded."


def _same(a, b):
    return a.keys() == b.keys() and all(near(a[name], b[name], 1e-6) for name in a)


def _check_model(average, model, after, its):
    """The trained model is only read; the average does move."""
    for kind, words in (("weight", "weights"), ("buffer", "buffers")):
        if not _same(_told(its, kind), _told(model, kind)):
            more = " The average stays as it was: are the two exchanged?" if _same(
                _told(after, kind), _told(average, kind)) else ""  # fmt: skip
            raise Wrong(f"The {words} of `model` are changed. It is being trained, and is only read here; `average` "
                        f"follows.{more}")
    if not _same(_told(its, "gradient"), _told(model, "gradient")):
        raise Wrong("The gradients of `model` are no longer what they were. They are none of the average's business.")
    if _told(its, "frozen") or _told(its, "resting"):
        what = "its weights no longer ask for gradients" if _told(its, "frozen") else "it is no longer in training mode"
        raise Wrong(f"`model` is not what it was: {what}. It is being trained, and is only read here.")
    if _told(its, "new"):
        raise Wrong("`model` has new parameters afterwards: its optimizer would go on with the old ones.")
    if _same(_told(after, "weight"), _told(average, "weight")):
        raise Wrong("The weights of `average` are as they were. It has to be changed in place: a new tensor under an "
                    "old name, or a copy, leaves it alone.")


def _share_kept(average, model, after):
    """Which share of itself the average has kept, the same for all weights. Raises `Wrong` if it is no average."""
    old, new, now = _told(average, "weight"), _told(model, "weight"), _told(after, "weight")
    if old.keys() != now.keys() or any(old[name].shape != now[name].shape for name in old):
        raise Wrong("`average` has other parameters afterwards, or parameters of other shapes.")
    stay = [name for name in old if near(now[name], old[name], 1e-6)]
    if stay:
        raise Wrong(f"{_names(stay)} of `average` stays as it was; {len(old) - len(stay)} of {len(old)} parameters "
                    "follow. All of them have to, also those of layers within layers.")
    shares = {}
    for name in old:
        found = mixture(now[name], {"average": old[name], "model": new[name]})
        if found is None:
            raise Wrong(f"`{name}` of `average` is no mixture of what it was and of what it is in `model`.")
        shares[name] = float(found["average"]), float(found["model"])
    first = shares[next(iter(shares))]
    odd = [name for name in shares if not near(torch.tensor(shares[name]), torch.tensor(first), 1e-3)]
    if odd:
        raise Wrong(f"`{odd[0]}` is mixed as {_mixed(shares[odd[0]])}, and `{next(iter(shares))}` as {_mixed(first)}: "
                    "the shares have to be the same for all parameters.")
    if abs(sum(first) - 1) > 2e-3:
        raise Wrong(f"The average becomes {_mixed(first)}: the shares sum to {sum(first):.3g}, and so it grows or "
                    "shrinks. They have to sum to 1.")
    return first[0]


def _names(names):
    return f"`{names[0]}`" + (f" (and {len(names) - 1} more)" if len(names) > 1 else "")


def _mixed(shares):
    return in_words({"average": shares[0], "model": shares[1]})


def _check_buffers(average, model, after):
    old, new, now = (_told(each, "buffer") for each in (average, model, after))
    for name in old:
        if name in now and near(now[name], new[name], 1e-6):
            continue
        if name not in now or near(now[name], old[name], 1e-6):
            raise Wrong(f"The buffer `{name}` of `average` stays as it was. Buffers are no parameters; they have to "
                        "be copied from `model`, or the average computes with old ones.")
        if mixture(now[name], {"average": old[name], "model": new[name]}) or name == "seen":
            raise Wrong(f"The buffer `{name}` is averaged. Buffers, such as counters, have to be copied from `model` "
                        "as they are.")
        raise Wrong(f"The buffer `{name}` of `average` is not that of `model`.")


def _check_gradients(after, its):
    """What is wrong though all numbers are right: a record for gradients, other tensors, memory in common."""
    if _told(after, "history"):
        raise Wrong("The average remembers how it was computed, for a gradient that nobody will ask for: with every "
                    "step that record gets longer, until memory is full. Switch recording off.")
    mine, model = _told(after, "memory"), _told(its, "memory")
    if common := [name for name in mine if mine[name] == model.get(name)]:
        raise Wrong(f"`{common[0]}` of `average` and of `model` are now one and the same tensor: when training goes "
                    "on, both change. Copy the numbers.")
    if _told(after, "new"):
        raise Wrong("`average` has new parameters in the place of the old ones. Change the numbers within the old "
                    "ones, in place: whoever holds them has to see it.")


def _explain_decay(kept):
    """kept: which share was kept, by (step, ema)."""

    def warm(step):
        return (1 + step) / (10 + step)

    def all_are(rule):
        return all(abs(value - rule(*case)) < 2e-3 for case, value in kept.items())

    if all_are(lambda step, ema: min(ema, warm(step))):
        return
    (step, ema), value = next(iter(kept.items()))
    cases = [
        (lambda step, ema: 1 - min(ema, warm(step)), "The shares are exchanged: `ema` is what the average keeps of "
                                                     "itself, and the model gets the rest."),
        (lambda step, ema: ema, f"There is no warm-up: in step 0 you keep {value:.3g} of the average, that is, of "
                                "random first weights. At first the memory has to be short."),
        (lambda step, ema: 0.0, "Nothing of the average is kept: it becomes a copy of the model in every step."),
        (lambda step, ema: 1 - ema, "The shares are exchanged, and there is no warm-up: in step 0 the memory has to "
                                    "be short."),
        (lambda step, ema: warm(step), "The warm-up never ends: late in the run you keep more than `ema`. It is the "
                                       "upper limit."),
        (lambda step, ema: max(ema, warm(step)), "You take the larger of `ema` and the warm-up's share. The smaller "
                                                 "one is due."),
        (lambda step, ema: min(ema, step / (9 + step)), "The warm-up is one step behind: steps are counted from 0, "
                                                        "and in step 0 the share is (1 + 0) / (10 + 0)."),
        (lambda step, ema: min(ema, (2 + step) / (11 + step)), "The warm-up is one step ahead: steps are counted from "
                                                               "0, and in step 0 the share is (1 + 0) / (10 + 0)."),
        (lambda step, ema: ema * warm(step), "`ema` and the warm-up's share are multiplied. The smaller of the two is "
                                             "due."),
    ]  # fmt: skip
    for rule, words in cases:
        if all_are(rule):
            raise Wrong(words)
    off = {case: value for case, value in kept.items() if abs(value - min(case[1], warm(case[0]))) >= 2e-3}
    (step, ema), value = max(off.items(), key=lambda each: abs(each[1] - min(each[0][1], warm(each[0][0]))))
    part = ""
    if all(warm(s) < e for s, e in off):
        part = "The warm-up is wrong, and what comes after it is right. "
    elif all(warm(s) >= e for s, e in off):
        part = "The warm-up is right, and what comes after it is wrong. "
    raise Wrong(f"{part}In step {step} with ema {ema:g}, {min(ema, warm(step)):.3g} of the average has to be kept; "
                f"you keep {round(value, 3) + 0.0:.3f}.")


# ---- batches -----------------------------------------------------------------------------------------------------


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
                        "seed, step and number are added up or multiplied, their sums meet.")
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
    columns = values.mean(0).abs().max()
    rows = torch.corrcoef(values.T).fill_diagonal_(0).abs().max()
    if columns > 0.5 or rows > 0.6:
        raise Wrong("The numbers of a sample are not independent of each other: some places always get about the same.")


def _check_quiet(learner):
    if learner.dice:
        raise Wrong("The batch is right, but a global random generator is seeded or drawn from on the way: whoever "
                    "draws from it next, as dropout does, is thrown back in every step. Use a `torch.Generator` of "
                    "your own.")
