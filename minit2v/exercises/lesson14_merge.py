"""14.4, attention merged from shares: the weights, and sizes that overflow."""

import torch

from minit2v.exercises.judging import Wrong, compare, mixture, near, tensor
from minit2v.exercises.registry import task


@task(
    "14.4", "merge(answers, said)", "Merge what several devices heard", difficulty=4, importance=4, minutes=20,
    hints=(
        "If both devices hold equally much of what a query listens to, a plain mean is right. If one of them holds "
        "nearly all of it, which weight has to go to the other?",
        "`said` is the logarithm of a sum of exponentials. So the weights are e^said, divided by their sum over the "
        "shares, for every query on its own. And e^said overflows for large scores: take the largest away first.",
        "`weight = said.softmax(dim=0)` is all of that at once; then `(weight[..., None] * answers).sum(dim=0)`.",
    ),
)
def merge(learner):
    for shares, n, d in ((2, 5, 4), (3, 4, 6), (4, 4, 4)):
        answers, said = learner.draw(shares, n, d), learner.draw(shares, n)
        _check_one(learner, answers[:1], said[:1])
        _check_weights(learner, answers, said)
        y = tensor(learner(answers, said), (n, d), "nd")
        compare(y, _merged(answers, said), "nd")
    _check_sizes(learner)
    return "Shares of any size give what one device would have said, and no exponential overflows."


def _merged(answers, said):
    return (said.double().softmax(dim=0)[..., None] * answers.double()).sum(dim=0)


def _check_one(learner, answers, said):
    """One share only: its answer has to come back."""
    y = tensor(learner(answers, said), answers.shape[1:], "nd")
    if near(y, answers[0]):
        return
    told = "With one share only, its answer has to come back as it is, whatever was said"
    found = mixture(y, {"it": answers[0]}, groups=1)
    if found is None:
        raise Wrong(f"{told}. Yours is not even a multiple of it: an answer is weighted, and nothing is added to "
                    "it, or done to its values.")
    weight = found["it"]
    if near(weight.sum(), 1.0, 1e-3):
        raise Wrong(f"{told}. In yours the weights sum to 1 over the queries. What one query takes from all shares "
                    "has to: that is the first axis of `said`.")
    raise Wrong(f"{told}; for query 0 it comes back times {float(weight[0]):.3g}: the weights of one query do not sum "
                "to 1 over the shares.")


def _check_weights(learner, answers, said):
    """Which weight every share has, for every query on its own."""
    shares, n, d = answers.shape
    y = tensor(learner(answers, said), (n, d), "nd")
    total = tensor(learner(torch.ones_like(answers), said), (n, d), "nd")
    if not near(total, torch.ones_like(total), 1e-3):
        if near(total, shares * torch.ones_like(total), 1e-3):
            raise Wrong("When all shares answer 1, the merged answer has to be 1, and yours is the number of shares: "
                        "the answers are added up, and not weighted.")
        raise Wrong(f"When all shares answer 1, the merged answer has to be 1, and yours is {float(total[0, 0]):.3g}: "
                    "the weights of the shares do not sum to 1.")
    if d < shares:
        return
    found = mixture(y, {str(i): answers[i] for i in range(shares)}, groups=1)
    if found is not None and near(torch.stack(list(found.values())), torch.full_like(said, 1 / shares), 1e-3):
        raise Wrong("A plain mean: every share counts the same, however much was said in it.")
    if near(tensor(learner(answers, said + learner.draw(*said.shape)), (n, d), "nd"), y):
        raise Wrong("`said` plays no part: when the shares say as much as others did, the result is the same.")
    if found is None:
        raise Wrong("The merged answer to a query is no mixture of the shares' answers to it: each share has one "
                    "weight, for all channels of its answer.")
    weight, due = torch.stack(list(found.values())), said.double().softmax(dim=0)  # (shares, n)
    if near(weight, due, 5e-5):
        return
    if near(weight, (-said.double()).softmax(dim=0), 1e-3):
        raise Wrong("The weights are turned round: a share in which much was said counts little.")
    if near(weight, said.double() / said.double().sum(0), 1e-2):
        raise Wrong("The shares are weighted by `said` itself. It is a logarithm: the weights are its exponentials.")
    if near(weight, weight[:, :1].expand_as(weight), 1e-3):
        raise Wrong("Every query gets the same weights. Each one hears something else in each share: `said` has a "
                    "number for every query, and it has to be used there.")
    if near(weight.amax(0), torch.ones(n), 1e-3):
        raise Wrong("Only the share in which most was said is heard. The others count, too, by how much was said.")
    for order, words in ((said.double().sort(dim=0).values, "are sorted"),
                         (said.double().roll(1, 0), "are shifted by one share")):
        if near(weight, order.softmax(dim=0), 1e-3) and shares > 2:
            raise Wrong(f"The weights are right, and stand at the wrong shares: they {words}.")
    if near(weight, due, 1e-2):
        raise Wrong("The weights are right to two or three digits only: is something rounded, or computed in half "
                    "precision?")
    if near(weight, due.softmax(dim=0), 1e-3):
        raise Wrong("The weights go through a softmax twice, and are nearly equal after it. Once is enough.")
    _explain_weights(weight, said.double())
    worst = int((weight - due).abs().amax(0).argmax())
    rest = "; ".join(f"share {i}: {float(w):.3f}, due {float(d):.3f}"
                     for i, (w, d) in enumerate(zip(weight[:, worst], due[:, worst], strict=True)))  # fmt: skip
    raise Wrong(f"The weights of the shares are wrong. For query {worst}, {rest}.")


def _explain_weights(weight, said):
    """What the relation of the weights to each other tells: weight, said (shares, n). e to said's difference is due."""
    silent = (weight.abs() < 1e-4).all(dim=1).nonzero().flatten().tolist()
    if silent:
        raise Wrong(f"Of {len(said)} shares, number {', '.join(map(str, silent))} (counted from 0) is not heard at "
                    "all. There may be any number of them.")
    quiet = weight < 0.01 * said.softmax(dim=0)
    if quiet.any():
        i, j = quiet.nonzero()[0].tolist()
        raise Wrong(f"Share {i} is hardly heard by query {j}, though `said` is {float(said[i, j]):.3g} there. It is a "
                    "logarithm and may be negative: e^said is above 0 all the same.")
    apart, due = ((each - each[:1])[1:] for each in (weight.log(), said))  # from the first share, (shares - 1, n)
    factor = float((apart * due).sum() / (due * due).sum())
    if near(apart, factor * due, 1e-3):
        base = " (to the base of 2, and not of e)" if abs(factor - 0.6931) < 1e-3 else ""
        raise Wrong(f"The weights are exponentials, but of {factor:.3g} · said{base}: the scores in it are scaled "
                    "already. They are exponentials of `said` as it is.")
    if len(apart) > 1 and near(apart[0], due[0], 1e-3):
        raise Wrong("The first two shares have the right weights to each other, and a third one has not: when you "
                    "merge one after the other, what the first two have said together is log(e^a + e^b), and more "
                    "than either.")


def _check_sizes(learner):
    """Attention for real, cut into unequal shares, with large scores."""
    q, k, v = learner.draw(3, 4), learner.draw(7, 4), learner.draw(7, 4)
    for size in (1.0, 300.0):
        scores, cuts = size * (q @ k.T), [slice(0, 2), slice(2, 7)]
        answers = torch.stack([scores[:, cut].softmax(-1) @ v[cut] for cut in cuts])
        said = torch.stack([scores[:, cut].logsumexp(-1) for cut in cuts])
        value = learner(answers, said)
        if isinstance(value, torch.Tensor) and not value.isfinite().all():
            raise Wrong(f"With scores in the hundreds (said reaches {float(said.max()):.0f}), the result is NaN or "
                        f"infinite: {_overflow(learner)}.")
        _check_shift(learner, answers, said, value)
        compare(value, scores.double().softmax(-1) @ v.double(), "nd", "attention merged from two unequal shares")


def _overflow(learner):
    """Which exponentials get too large, or all of them too small: three small questions."""
    answers = torch.tensor([[[0.0], [0.0]], [[1.0], [1.0]]])
    told = "an exponential overflows. Take the largest away before you exponentiate"
    for said, words in (
        ([[500.0, 500.0], [499.0, 499.0]], told),
        ([[500.0, 0.0], [499.0, -1.0]], "the largest of *all* queries is taken away, and where less was said every "
                                        "exponential is 0: 0 / 0. Take away the largest of each query on its own"),
        ([[500.0, 500.0], [0.0, 0.0]], "something is taken away before you exponentiate, but not the largest: where "
                                       "shares are far apart, an exponential still overflows"),
    ):
        value = learner(answers, torch.tensor(said))
        if isinstance(value, torch.Tensor) and not value.isfinite().all():
            return words
    return told


def _check_shift(learner, answers, said, value):
    """The same number is added to what all shares said to a query: nothing may change."""
    for more in (200.0, -200.0):
        shift = torch.zeros(said.shape[1])
        shift[-1] = more
        moved = learner(answers, said + shift)
        if isinstance(moved, torch.Tensor) and not moved.isfinite().all():
            raise Wrong(f"When all shares say {abs(more):g} {'more' if more > 0 else 'less'} to a query, the result is "
                        f"NaN or infinite: {_overflow(learner)}.")
        if isinstance(moved, torch.Tensor) and moved.shape == value.shape and not near(moved, value, 1e-3):
            raise Wrong(f"When all shares say {abs(more):g} {'more' if more > 0 else 'less'} to a query, their weights "
                        "stay the same, and in yours they change: is `said` cut off at some size, or is something "
                        "added to the sum by which is divided? What counts is the difference between shares.")
