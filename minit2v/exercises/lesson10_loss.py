"""10.1, the loss: what the denoiser's answer is compared with, and what each of its errors costs."""

from itertools import combinations
from math import prod

import torch

from minit2v.exercises.judging import WORDS, Wrong, compare, in_words, near
from minit2v.exercises.lesson10_question import COUNTED, SIZES, Says, ask, check_question, levels, many
from minit2v.exercises.registry import task


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
    check_question(learner)
    _check_growth(learner)
    _check_target(learner)
    _check_places(learner)
    _check_channels(learner)
    _check_frames(learner)
    for b, f, c, h, w in ((2, 5, 3, 6, 4), (1, 2, 4, 3, 5)):
        data, noise, answer = (learner.draw(b, f, c, h, w) for _ in range(3))
        level, weight, counted = levels(learner, b, f), _weights(learner, c), _counted(learner, b, f)
        found, _ = ask(learner, answer, data, noise, level, weight, counted)
        error = (answer - (noise - data)).double().square().mean((3, 4))  # (b, f, c)
        error = (weight.double() * error).mean(2)  # (b, f)
        compare(found, (error * counted).sum(1) / counted.sum(1), "b", "loss")
    _check_nothing(learner)
    return "The right question, the right target, and each error counts for what it is worth."


UNEVEN = torch.tensor([[1, 0, 1, 1], [0, 1, 0, 0], [1, 1, 1, 1]], dtype=torch.bool)


def _weights(learner, c):
    weight = 0.2 + torch.rand(c, generator=learner.generator)
    return weight / weight.mean()


def _counted(learner, b, f):
    counted = torch.rand(b, f, generator=learner.generator) < 0.6
    counted[:, 0] |= ~counted.any(1)
    return counted


def _check_turned(learner):
    """Whether `counted` is taken for its contrary. Asked first: then a batch in which all count costs nothing."""
    errors = [mask[:, :, None, None, None].expand(SIZES).float() for mask in (COUNTED, ~COUNTED)]
    inside, outside = (ask(learner, error, counted=COUNTED)[0] for error in errors)
    if near(inside, 0.0) and bool((outside > 1e-6).all()):
        raise Wrong("`counted` is turned round: only those frames are in your loss for which it is False.")


def _check_growth(learner):
    """How the loss grows with the error, where data and noise are 0: an error of 1 costs 1, and one of 2 costs 4."""
    one = torch.ones(SIZES)
    first, second = (ask(learner, factor * one)[0] for factor in (1.0, 2.0))
    if near(first, second) and near(first, 0.0):
        raise Wrong("With an error everywhere, the loss is still 0: it does not hear the denoiser's answer.")
    factor = float(second.mean() / first.mean()) if float(first.mean()) else 0.0
    if abs(factor - 2) < 1e-3:
        half = torch.zeros(SIZES)
        half[..., :2] = 2.0  # columns 0 and 1 of 4
        root = float((ask(learner, half)[0] / first).mean()) > 1.2
        way = "a root is drawn from the mean of the squares" if root else "its amount is averaged, and not its square"
        raise Wrong(f"With the error doubled, the loss doubles: {way}. It has to become four times as large.")
    if abs(factor - 4) > 1e-3:
        raise Wrong(f"With the error doubled, the loss must become four times as large; yours becomes {factor:.3g} "
                    "times.")
    signs = torch.randn(SIZES, generator=learner.generator).sign()
    if not near(ask(learner, signs)[0], first):
        raise Wrong("Errors of 1 and of −1 cancel each other in your loss: the error is averaged, or summed up, "
                    "before it is squared.")
    high = ask(learner, one, level=torch.full(SIZES[:2], 0.8))[0]
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
    return ", or ".join(many(each) for each in sorted(alike, key=lambda each: "b" in each)[:3])


def _check_target(learner):
    """At which answer the loss is least: for noise 1 alone that has to be 1, for data 1 alone −1."""
    target = {}
    for name, data, noise in (("noise", 0.0, 1.0), ("data", 1.0, 0.0)):
        at = [float(ask(learner, torch.full(SIZES, v), data, noise)[0].mean()) for v in (-1.0, 0.0, 1.0)]
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
        found.append(ask(learner, answer, **given)[0])
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
    cost, even = _response(learner, "f", weight=weight), _response(learner, "f")
    if not near(cost.amax(1), cost.amin(1), 1e-3) and near(even.amax(1), even.amin(1), 1e-3):
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
        if bool(((cost > 1e-4).sum(1) == 1).all()):
            raise Wrong("Of the frames that count, only one is in the loss of each clip. It is the mean over all of "
                        "them.")
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
    if isinstance(value, torch.Tensor) and value.shape == (2,) and abs(float(value[1])) > 1e-6:
        raise Wrong(f"For a clip of which no frame counts, the loss is {float(value[1]):.3g}. It has to be 0: nothing "
                    "is asked of it.")
    compare(value, torch.stack([answer[0, :2].double().square().mean(), torch.zeros((), dtype=torch.float64)]), "b",
            "loss, where no frame of clip 1 counts")  # fmt: skip
