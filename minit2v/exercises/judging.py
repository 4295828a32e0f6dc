"""How an answer is judged: the function is run on random inputs, and its mistake is told by what its results do.

A judge never looks at the text of an answer. It asks: are the axes those that are due? Which outputs move when one
input moves? Of which inputs, in which shares, is the result a mixture? Is it right for one clip of the batch and wrong
for the next? So it can name mistakes that nobody has thought of before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations
from numbers import Number

import numpy as np
import torch

from minit2v.exercises import wire
from minit2v.exercises.sandbox import Died, Guest, TooSlow

WORDS = {  # of the axes, as one says them: one, many
    "b": ("clip of the batch", "clips of the batch"), "f": ("frame", "frames"), "c": ("channel", "channels"),
    "h": ("row", "rows"), "w": ("column", "columns"), "n": ("place", "places"), "d": ("channel", "channels"),
    "s": ("sequence", "sequences"), "a": ("head", "heads"), "m": ("moment", "moments"),
}  # fmt: skip


class Wrong(Exception):
    """The verdict that an answer is wrong, with the sentence that names the mistake."""


class Unfinished(Wrong):
    """The function raises NotImplementedError: nobody has begun it yet, or it was left at some case."""


# ---- asking the learner's function ---------------------------------------------------------------------------


class Learner:
    """The learner's function in its own process, called like a function. Raises `Wrong` for what it may not do."""

    def __init__(self, running: Guest, task, seed: int = 0):
        self.running, self.task, self.dice = running, task, False
        self.generator = torch.Generator().manual_seed(seed)
        self.logs: dict[int, list] = {}  # of the last call: what it asked of each argument that keeps a log

    def draw(self, *shape: int):
        """Random numbers of spread 1."""
        return torch.randn(shape, generator=self.generator)

    def whole(self, low: int, high: int) -> int:
        """A random whole number, low ≤ n < high."""
        return int(torch.randint(low, high, (), generator=self.generator))

    def __call__(self, *arguments):
        """What the function returns. Raises `Wrong` if it stops, changes its inputs, or returns nothing."""
        told = self.ask(arguments)
        if "raised" in told:
            self._complain(told, arguments)
        for number in told["changed"]:
            name = self.task.arguments[number]
            raise Wrong(
                f"Your function changes its input `{name}` in place: whoever called it finds other numbers in `{name}` "
                "afterwards. Make a new tensor instead."
            )
        if told["value"] is None:
            raise Wrong("Your function returns nothing (None). Is the `return` at its end missing?")
        self.dice, self.logs = self.dice or told["dice"], told["logs"]
        return told["value"]

    def ask(self, arguments) -> dict:
        """The answer as `guest.answer` tells it."""
        try:
            return wire.unpack(self.running.ask(wire.pack(tuple(arguments), trusted=True)))
        except TooSlow:
            raise Wrong(
                f"Your function was still running after {self.running.limits.seconds:g} seconds and was stopped. "
                "Look for a loop that never ends."
            ) from None
        except Died as end:
            raise Wrong(
                f"Your function ended Python itself ({end}). Does it call exit, or ask for more memory than there is?"
            ) from None

    def _complain(self, told: dict, arguments) -> None:
        where = _where(told)
        if told["raised"] == "NotImplementedError":
            raise Unfinished(unfinished(self.task))
        if told["memory"]:
            limit = self.running.limits.memory
            raise Wrong(
                f"Your function asks for more memory than a check may use ({(limit or 0) / 2**20:,.0f} MB){where}. "
                "Does some tensor have far more numbers than it should?"
            )
        alone = self._alone(arguments)
        if alone:
            raise Wrong(f"Your function works for one clip and stops for a batch of {alone}, {broken(told)}.")
        shapes = [f"{n} {tuple(a.shape)}" for n, a in self._named(arguments) if isinstance(a, torch.Tensor)]
        values = [f"{n} = {a!r}" for n, a in self._named(arguments) if isinstance(a, Number | str | tuple)]
        given = ", ".join(shapes + values)
        raise Wrong(f"Your function stops {broken(told)}{'. It was given ' + given if given else ''}.")

    def _named(self, arguments):
        return zip(self.task.arguments, arguments, strict=False)

    def _alone(self, arguments) -> int:
        """If the function stops for a batch, but not for its first clip alone: how large the batch was. Otherwise 0."""
        sizes = {len(each) for each in arguments if isinstance(each, torch.Tensor) and each.dim() > 1}
        if len(sizes) != 1 or (batch := sizes.pop()) < 2:
            return 0
        single = [a[:1] if isinstance(a, torch.Tensor) and a.dim() > 1 else a for a in arguments]
        return 0 if "raised" in self.ask(single) else batch


def unfinished(task) -> str:
    """What is said of a function that has not been written."""
    return (
        f"`{task.name}` is not written yet: it still raises NotImplementedError. Begin with the part of the docstring "
        f"that you can do, and put it in the place of that line. `hint('{task.id}')` gives you a start."
    )


def broken(told: dict) -> str:
    """An exception as `guest.raised` tells it, in words."""
    message = " ".join(told["message"].split())
    return f"with {told['raised']}{': ' + message if message else ''}{_where(told)}"


def _where(told: dict) -> str:
    return f", in the line `{told['line']}`" if told["line"] else ""


@dataclass
class Spy:
    """A function that is handed to the learner's function: it keeps a log of what it was asked."""

    function: Callable

    def __post_init__(self):
        self.asked: list = []

    def __call__(self, *arguments):
        self.asked.append(tuple(a.clone() if isinstance(a, torch.Tensor) else a for a in arguments))
        return self.function(*arguments)


# ---- what is asked of every tensor -----------------------------------------------------------------------------


def tensor(value, shape, axes: str, what: str = "result") -> torch.Tensor:
    """The value as float64, if it is a tensor of that shape; `axes` names its axes, one letter each. Raises `Wrong`."""
    if isinstance(value, np.ndarray):
        raise Wrong(f"The {what} is a numpy array. Stay with torch tensors: the model computes with nothing else.")
    if not isinstance(value, torch.Tensor):
        raise Wrong(f"The {what} is {said(value)}; a torch tensor of shape ({', '.join(axes)}) is asked for.")
    shape = tuple(shape)
    if tuple(value.shape) != shape:
        raise Wrong(f"The {what} has the shape {tuple(value.shape)}, and ({', '.join(axes)}) is {shape} here: "
                    f"{misshapen(tuple(value.shape), shape, axes)}.")
    if not value.dtype.is_floating_point:
        raise Wrong(f"The {what} holds {value.dtype}; the inputs are floating-point numbers, and it must be, too.")
    value = value.double()
    if not value.isfinite().all():
        count = int((~value.isfinite()).sum())
        raise Wrong(f"The {what} holds {count} numbers that are NaN or infinite. Is something divided by 0?")
    return value


def misshapen(found: tuple, due: tuple, axes: str) -> str:
    """What is wrong with a shape."""
    if len(found) != len(due):
        return f"it has {len(found)} axes, and {len(due)} are due"
    if sorted(found) == sorted(due):
        return "the axes are swapped: the same sizes stand in another order"
    wrong = [(WORDS.get(a, (a, a))[1], f, d) for a, f, d in zip(axes, found, due, strict=True) if f != d]
    return " and ".join(f"there are {f} {name} where {d} are due" for name, f, d in wrong)


def said(value) -> str:
    """A value in a few words."""
    if isinstance(value, wire.Foreign):
        return value.type
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return f"{value!r}"[:60] if isinstance(value, Number | str) else f"a {type(value).__name__}"


def pair(value, names: tuple[str, ...]):
    """A tuple or list of as many values as there are names. Raises `Wrong`."""
    if not isinstance(value, tuple | list) or len(value) != len(names):
        raise Wrong(f"Return a tuple of {len(names)}: ({', '.join(names)}). Yours returns {said(value)}.")
    return value


def near(a, b, tolerance: float = 1e-4) -> bool:
    """Whether two tensors (or numbers) agree but for rounding."""
    a, b = (torch.as_tensor(each, dtype=torch.float64) for each in (a, b))
    return bool((a - b).abs().max() <= tolerance * max(1.0, float(b.abs().max())))


# ---- how a wrong tensor is related to the right one ------------------------------------------------------------


def compare(value, due, axes: str, what: str = "result") -> torch.Tensor:
    """The value, if it is `due` but for rounding. Raises `Wrong` with the relation between the two that was found."""
    value, due = tensor(value, due.shape, axes, what), due.double()
    if not near(value, due):
        raise Wrong(f"The shape is right, but the values of the {what} are not: {relation(value, due, axes)}.")
    return value


def relation(value, due, axes: str) -> str:
    """How wrong values come from the right ones, in words. Both float64, of the same shape."""
    for find in (_constant, _multiple, _moved_along, _part, _rearranged):
        if words := find(value, due, axes):
            return words
    off = (value - due).abs()
    place = np.unravel_index(int(off.argmax()), off.shape)
    at = ", ".join(f"{axis} {i}" for axis, i in zip(axes, place, strict=True))
    share = float((off > 1e-4).double().mean())
    return f"{share:.0%} of them are off; at {at} it is {value[place]:.4g} where {due[place]:.4g} is due"


def _constant(value, due, axes):
    if near(value, torch.zeros_like(value)):
        return "all of them are 0"
    return "all of them are the same number" if near(value, value.mean().expand_as(value)) else ""


def _multiple(value, due, axes):
    if near(value, -due):
        return "each has the wrong sign"
    factor = float((value * due).sum() / (due * due).sum()) if due.any() else 0.0
    if factor and near(value, factor * due):
        return f"each is {factor:.4g} times what it should be, so a factor is missing, or one too many"
    shift = float((value - due).mean())
    return f"each is {shift:+.4g} off, by the same amount" if near(value, due + shift) else ""


def _part(value, due, axes):
    """Right for some indices of one axis only."""
    for i, axis in enumerate(axes):
        good = [near(v, d) for v, d in zip(value.unbind(i), due.unbind(i), strict=True)]
        if any(good) and not all(good):
            one, many = WORDS.get(axis, (axis, axis))
            right, wrong = ([k for k, ok in enumerate(good) if ok is which] for which in (True, False))
            return f"{_list(right, one, many)} right, and {_list(wrong, one, many)} wrong (counted from 0)"
    return ""


def _list(numbers, one, many) -> str:
    if len(numbers) == 1:
        return f"{one} {numbers[0]} is"
    return f"{many} {', '.join(map(str, numbers[:6]))}{' …' if len(numbers) > 6 else ''} are"


def _moved_along(value, due, axes):
    for i, axis in enumerate(axes):
        many = WORDS.get(axis, (axis, axis))[1]
        if due.shape[i] > 1 and near(value, due.flip(i)):
            return f"the {many} come in reverse order"
        for step in (1, -1):
            if due.shape[i] > 2 and near(value.roll(step, i), due):
                return f"the {many} are shifted by one"
    return ""


def _rearranged(value, due, axes):
    if not near(value.flatten().sort().values, due.flatten().sort().values):
        return ""
    for order in permutations(range(due.dim())) if due.dim() < 7 else ():
        if list(order) != sorted(order) and near(due.permute(order).reshape(due.shape), value):
            swapped = " and ".join(axes[i] for i in range(due.dim()) if order[i] != i)
            return f"all the right numbers are there, but in the wrong places: the axes {swapped} are mixed up"
    return "all the right numbers are there, but in the wrong places: some axes are mixed up"


# ---- of what is it made? ---------------------------------------------------------------------------------------


def mixture(value, parts: dict[str, torch.Tensor], groups: int = 0):
    """The shares of the parts in a value: least squares, for each index of the first `groups` axes on its own.

    Returns {name: shares, of shape value.shape[:groups]}, or None if the value is no such mixture. Parts that are
    equal, or multiples of each other, have no shares of their own: give random ones.
    """
    value = value.double()
    lead = value.shape[:groups]
    flat = value.reshape(*lead, -1, 1)
    basis = torch.stack([part.double().expand_as(value).reshape(*lead, -1) for part in parts.values()], dim=-1)
    shares = torch.linalg.lstsq(basis, flat).solution  # (…, parts, 1)
    if not near(basis @ shares, flat, 1e-3):
        return None
    return {name: shares[..., i, 0] for i, name in enumerate(parts)}


def in_words(shares: dict) -> str:
    """A mixture of numbers as a sum: "0.3 · data + 0.7 · noise"."""
    terms = [f"{float(share):.3g} · {name}" for name, share in shares.items() if abs(float(share)) > 1e-3]
    return " + ".join(terms).replace("+ -", "- ") or "0"


# ---- numbers ----------------------------------------------------------------------------------------------------


def number(value, what: str = "result"):
    """The value, if it is one number; a tensor with a single one counts. Raises `Wrong`."""
    if isinstance(value, torch.Tensor | np.ndarray) and np.prod(value.shape) == 1:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, Number):
        raise Wrong(f"The {what} is {said(value)}; one number is asked for.")
    return value


def growth(function, base: dict[str, int], due: dict[str, int], what: str) -> None:
    """Doubles one argument after the other and looks by which factor a product grows: 2 for a factor, 4 for a square.

    function: takes the arguments by name, in the order of `base`; due: in which power each belongs into the product.
    Raises `Wrong` at the first argument that has another power, or if only a fixed factor is wrong.
    """
    start = number(function(**base), what)
    for name, power in due.items():
        factor = number(function(**{**base, name: 2 * base[name]}), what) / start if start else 0
        if abs(factor - 2**power) > 1e-6 * 2**power:
            due_factor = _times(2**power)
            raise Wrong(f"With `{name}` doubled, the {what} must become {due_factor}; yours becomes {_times(factor)}.")


def _times(factor) -> str:
    if abs(factor - 1) < 1e-9:
        return "no larger"
    words = f"{factor:.4g} times as large" if factor > 1 else f"{1 / factor:.4g} times smaller" if factor > 0 else "0"
    return words
