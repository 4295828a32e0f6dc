"""09.1, a temporal branch that begins silent, and can learn."""

import torch
import torch.nn.functional as F

from minit2v.exercises.judging import Wrong, near, pair, tensor
from minit2v.exercises.registry import task


class Dice:
    """Random numbers of spread 1, of the shape that is asked for."""

    def __init__(self, seed):
        self.seed = seed

    def __call__(self, *shape):
        shape = tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], tuple | list | torch.Size) else shape
        self.seed += 1
        return torch.randn(shape, generator=torch.Generator().manual_seed(self.seed))


@task(
    "09.1", "begin_branch(width, kernel, random)", "A layer that says nothing yet", difficulty=2, importance=5,
    minutes=15,
    hints=(
        "The branch is added to what the image model has computed. What must come out of it at first, whatever goes "
        "in, if the image model shall stay what it is, to the last bit?",
        "One layer of zeros is enough for silence. Think of the gradient: a layer learns from what comes in *and* from "
        "what the other layer does with it. Which of the two may be 0, and what must the other one be?",
        "The first one as `random(width, width, kernel)`, perhaps scaled down; the last one as "
        "`torch.zeros(width, width, kernel)`. In the first step the last one wakes up, in the second the first.",
    ),
)
def begin_branch(learner):
    for width, kernel in ((4, 3), (6, 5), (3, 1)):
        shape = (width, width, kernel)
        found = pair(learner(width, kernel, Dice(learner.whole(0, 1000))), ("first", "last"))
        first, last = (
            tensor(each, shape, ("out", "in", "kernel"), f"{name} layer's weight")
            for each, name in zip(found, ("first", "last"), strict=True)
        )
        x, target = learner.draw(2, width, 7).double(), learner.draw(2, width, 7).double()
        _check_silence(_branch(x, first, last), x)
        _check_waking(first, last, x, target)
    return "Silent at the first step, and by the second one every weight has a gradient."


def _branch(x, first, last):
    """What is added to x (b, c, f): two convolutions along time, with zeros around."""
    return F.conv1d(F.silu(F.conv1d(x, first, padding="same")), last, padding="same")


def _check_silence(y, x):
    loud = float(y.abs().max())
    if loud == 0:
        return
    if loud < 0.1 * float(x.abs().max()):
        raise Wrong(f"Your branch is quiet, but not silent: it adds up to {loud:.1g}. At step 0 the inflated model has "
                    "to be the image model bit for bit, so exactly 0 must come out.")
    raise Wrong(f"Your branch is not silent: with nothing learned it adds up to {loud:.2g} to everything, and the "
                "image model behind it is spoiled from the first step on. Exactly 0 must come out at first.")


def _check_waking(first, last, x, target):
    """Two steps of gradient descent: by the second all weights have a gradient, and channels learn different things."""
    first, last = first.clone().requires_grad_(), last.clone().requires_grad_()
    for _ in range(2):
        gradients = torch.autograd.grad((_branch(x, first, last) - target).square().sum(), (first, last))
        still = [name for name, g in zip(("first", "last"), gradients, strict=True) if not g.any()]
        if len(still) == 2:
            raise Wrong("Your branch is silent for ever: neither layer gets a gradient. The first one learns only "
                        "through the last one's weights, the last one only from what the first one says, and both are "
                        "0. One of them must not be.")
        first, last = ((w - 0.01 * g).detach().requires_grad_() for w, g in zip((first, last), gradients, strict=True))
    if still:
        raise Wrong(f"After one step, the {still[0]} layer still gets no gradient: it will never learn.")
    if any((g == 0).all(dim=(1, 2)).any() for g in gradients):
        raise Wrong("Some output channels get no gradient in the second step: a part of the branch stays dead.")
    weight, gradient = (each[0].detach() for each in ((first, last), gradients))
    if len(weight) > 1 and near(weight, weight[:1].expand_as(weight), 1e-6):
        raise Wrong("All channels of your first layer begin alike, so they get the same gradient and stay alike for "
                    "ever: the branch has a single channel's worth. Random numbers tell them apart.")
    if len(gradient) > 1 and near(gradient, gradient[:1].expand_as(gradient), 1e-9):
        raise Wrong("All channels of the first layer get the same gradient, and learn one and the same thing.")
