"""09.4, the way through the U: which layer runs when, at which size, and with whose skip."""

import torch.nn.functional as F

from minit2v.exercises.judging import Spy, Wrong, compare, in_words, mixture, near, tensor
from minit2v.exercises.lesson09_convolution import listed
from minit2v.exercises.registry import task


class Layer:
    """Stands in for the layers of a U-Net: every scale does something else, and a skip counts half."""

    def __call__(self, x, scale, skip=None):
        y = (1.5 + scale) * x.roll(1, dims=-1) + 0.1 * scale
        if skip is None:
            return y
        if skip.shape != x.shape:  # judged by what it was asked: nothing stops here
            skip = F.interpolate(skip.flatten(0, 1).movedim(-1, 1), size=x.shape[2:4]).movedim(1, -1).view(x.shape)
        return y + 0.5 * skip


def halve(x):
    """Half the rows and columns: the mean of each 2 × 2 places, of x (b, f, h, w, c)."""
    return x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).mean(dim=(3, 5))


def double(x):
    """Twice the rows and columns."""
    return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)


@task(
    "09.4", "through_the_u(x, layer, halve, double, scales)", "Down, up, and across", difficulty=3, importance=4,
    minutes=20,
    hints=(
        "Three parts: down, where each scale's layer runs and then everything gets smaller; the middle; and up, where "
        "everything gets larger and each scale's layer runs again. Something must be kept on the way down.",
        "What is kept is what the layer *says*, before it is halved. On the way up the last one kept is needed first: "
        "a list with `append` and `pop`.",
        "Down: `x = layer(x, s)`, `skips.append(x)`, `x = halve(x)`. Middle: `layer(x, scales)`. Up, with s from "
        "scales − 1 to 0: `x = layer(double(x), s, skips.pop())`.",
    ),
)
def through_the_u(learner):
    for (b, f, h, w, c), scales in (((2, 3, 8, 4, 3), 2), ((1, 2, 8, 8, 4), 3), ((2, 2, 2, 4, 3), 1)):
        x, layer = learner.draw(b, f, h, w, c), Spy(Layer())
        y = learner(x, layer, Spy(halve), Spy(double), scales)
        _check_calls(learner.logs.get(1, []), x, scales)
        due = _through(x, scales)
        _check_end(y, due, x)
        compare(tensor(y, x.shape, "bfhwc"), due, "bfhwc")
    return "Every scale runs on its way down and on its way up, and hands across what it has seen."


def _check_end(y, due, x):
    """The result is what the last layer said, and nothing else."""
    y = tensor(y, x.shape, "bfhwc")
    shares = mixture(y, {"what the last layer said": due, "x": x.double()})
    if shares and abs(float(shares["x"])) > 1e-3:
        raise Wrong(f"The result is {in_words(shares)}. All layers are right; return what the last one says, without "
                    "the input: the skips carry what is needed of it.")


def _through(x, scales):
    x, skips, layer = x.double(), [], Layer()
    for scale in range(scales):
        x = layer(x, scale)
        skips.append(x)
        x = halve(x)
    x = layer(x, scales)
    for scale in reversed(range(scales)):
        x = layer(double(x), scale, skips.pop())
    return x


def _check_calls(asked, x, scales):
    """What `layer` was asked, call by call: the scale, the size of what it got, and which skip."""
    if not asked:
        raise Wrong("You never call `layer`.")
    calls = [(*call, None)[:3] for call in asked]  # (x, scale, skip)
    order = [call[1] for call in calls]
    due = [*range(scales), scales, *reversed(range(scales))]
    if order != due:
        raise Wrong(f"With {scales} scales above the middle, the layers run at the scales {listed(order)}; due are "
                    f"{listed(due)}: down, the middle once, and up again.")
    for place, (given, scale, _) in enumerate(calls):
        rows, way = x.shape[2] >> scale, "down" if place < scales else "up"
        if given.shape[2] != rows:
            verb = "halve" if given.shape[2] > rows else "double"
            where = f"On the way {way}" if place != scales else "In the middle"
            raise Wrong(f"{where}, the layer at scale {scale} gets {given.shape[2]} rows, and {rows} are due: "
                        f"`{verb}` is missing, or comes at the wrong moment.")
    if any(skip is not None for *_, skip in calls[: scales + 1]):
        raise Wrong("On the way down and in the middle there is no skip yet: `layer(x, scale)` alone.")
    if any(skip is None for *_, skip in calls[scales + 1 :]):
        raise Wrong("A layer on the way up gets no skip: all that is fine would have to pass through the narrow "
                    "middle. Hand it what its twin on the way down said.")
    _check_skips(calls, scales)


def _check_skips(calls, scales):
    """Of each skip: whose it is, and whether it is what that layer said or what it was given."""
    layer = Layer()
    said = [layer(given, scale) for given, scale, _ in calls[: scales + 1]]
    for given, scale, skip in calls[scales + 1 :]:
        if skip.shape == said[scale].shape and near(skip, said[scale]):
            continue
        whose = next((s for s, each in enumerate(said) if skip.shape == each.shape and near(skip, each)), None)
        if given.shape == said[scale].shape and near(given, said[scale]):
            raise Wrong(f"At scale {scale}, what comes from below and the skip are exchanged: `layer(x, s, skip)`.")
        if whose is not None:
            raise Wrong(f"The layer at scale {scale} gets the skip of scale {whose}: the skip that was kept last is "
                        "needed first.")
        if skip.shape == said[scale].shape and near(skip, calls[scale][0]):
            raise Wrong(f"The skip at scale {scale} is what its twin was *given*. It should be what the twin *said*: "
                        "keep it behind the layer, not before it.")
        if any(skip.shape == each.shape and near(skip, each) for each in map(halve, said[:-1])):
            raise Wrong(f"The skip at scale {scale} has been halved: the fine detail that it should save is gone. Keep "
                        "it before halving.")
        if skip.shape == given.shape and near(skip, given):
            raise Wrong(f"The skip at scale {scale} is what comes from below, so nothing is handed across.")
        share = mixture(skip, {"it": said[scale]}) if skip.shape == said[scale].shape else None
        changed = f": it is {float(share['it']):.3g} times that" if share else ""
        raise Wrong(f"The skip at scale {scale} is not what its twin on the way down said{changed}. It is handed over "
                    "as it is.")
    _check_ways_up(calls, scales)


def _check_ways_up(calls, scales):
    layer = Layer()
    before = layer(*calls[scales][:2])
    for given, scale, skip in calls[scales + 1 :]:
        if not near(given, double(before)):
            if near(given, double(before) + skip):
                raise Wrong("You add the skip yourself, and the layer merges it once more: hand it over, and no more.")
            raise Wrong(f"On the way up, the layer at scale {scale} must get what came from below, doubled, and gets "
                        "something else.")
        before = layer(given, scale, skip)
