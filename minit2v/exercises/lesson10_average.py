"""10.2, the average that follows a model's weights: which share it keeps, in place, and what it leaves alone."""

import torch
from torch import nn

from minit2v.exercises.judging import Wrong, in_words, mixture, near, said
from minit2v.exercises.registry import task
from minit2v.exercises.wire import Foreign


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


class Average(Net):
    """The one that follows."""


class Model(Net):
    """The one that is trained."""


def _told(net, kind):
    """{name: value} of one kind, from a Net or from its log; numbers as float64."""
    rows = net.asked if isinstance(net, Net) else net
    return {name: value.double() if isinstance(value, torch.Tensor) else value for k, name, value in rows if k == kind}


def _pair(learner):
    return Average(learner.draw).requires_grad_(False), Model(learner.draw).slope(learner.draw)


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
        back = learner(average, model, step, ema)
        after, its = learner.logs.get(0, []), learner.logs.get(1, [])
        _check_model(average, model, after, its)
        _check_moves(learner, average, after, step, ema)
        kept[step, ema] = _share_kept(average, model, after)
        _check_buffers(average, model, after)
        _check_gradients(after, its)
        if not isinstance(back, Foreign) or "Average" not in back.type:
            what = "`model`" if isinstance(back, Foreign) and "Model" in back.type else said(back)
            raise Wrong(f"`average` has followed as it should, and what comes back is {what}. Return `average` itself.")
    _explain_decay(kept)
    return "A short memory at first and a long one later, in place, and nothing of it is recorded."


def _same(a, b):
    return a.keys() == b.keys() and all(near(a[name], b[name], 1e-6) for name in a)


def _check_model(average, model, after, its):
    """The trained model is only read."""
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


def _check_moves(learner, average, after, step, ema):
    """The average does move, though it asks for no gradients."""
    if _same(_told(after, "weight"), _told(average, "weight")):
        average, model = _pair(learner)
        learner(average.requires_grad_(True), model, step, ema)
        if not _same(_told(learner.logs.get(0, []), "weight"), _told(average, "weight")):
            raise Wrong("The weights of `average` follow only if they ask for gradients (requires_grad), and those of "
                        "an average never do. All parameters have to follow.")
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
        (lambda step, ema: min(ema, warm(step)) ** 2, "The average follows twice in one step: what is kept is kept "
                                                      "twice over. Once is enough."),
        (lambda step, ema: (ema + warm(step)) / 2, "You take the mean of `ema` and the warm-up's share. The smaller of "
                                                   "the two is due."),
        (lambda step, ema: warm(step) if step < 10 else ema, "The warm-up ends after ten steps. It ends when its share "
                                                             "reaches `ema`."),
        (lambda step, ema: min(ema, step / (10 + step)), "The warm-up counts steps that are done: in step 0 the share "
                                                         "is (1 + 0) / (10 + 0)."),
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
