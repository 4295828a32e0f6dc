"""Values on their way between the judge and the process that runs a learner's function.

What comes back from there is plain data, never code: whatever a function returns, reading it here starts nothing.
"""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch

MOST_BYTES = 64 * 2**20  # of one tensor
MOST_ITEMS = 10_000  # of one list
DEEPEST = 8  # lists in lists


@dataclass(frozen=True)
class Foreign:
    """Something that no task asks for: its type in words."""

    type: str


def pack(value, trusted: bool = False) -> bytes:
    """Any value as bytes. trusted: what is not plain data is pickled; otherwise it arrives as `Foreign`."""
    return pickle.dumps(_plain(value, trusted))


def unpack(data: bytes, trusted: bool = False):
    """The value again. Raises pickle.UnpicklingError for bytes that `pack` did not write, without running any."""
    return _value((pickle.Unpickler if trusted else _Plain)(io.BytesIO(data)).load(), trusted)


class _Plain(pickle.Unpickler):
    """Numbers, text, bytes, tuples and lists need no class; anything that does is refused."""

    def find_class(self, module, name):
        raise pickle.UnpicklingError(f"{module}.{name} is no plain data")


def _plain(value, trusted=False, depth=0):
    if value is None or isinstance(value, bool | int | float | complex):
        kind = next((kind for kind in (bool, int, float, complex) if isinstance(value, kind)), None)
        return "plain", value if kind is None else kind(value)
    if isinstance(value, str):
        return "plain", str(value)[:MOST_ITEMS]
    if isinstance(value, bytes):
        return "plain", bytes(value) if len(value) <= MOST_BYTES else b""
    if isinstance(value, Fraction):
        return "fraction", value.numerator, value.denominator
    if isinstance(value, np.generic):
        return _plain(value.item(), trusted, depth + 1) if depth < DEEPEST else _foreign(value)
    if isinstance(value, torch.Tensor | np.ndarray):
        return _array(value)
    if isinstance(value, tuple | list) and len(value) <= MOST_ITEMS and depth < DEEPEST:
        return "list" if isinstance(value, list) else "tuple", [_plain(item, trusted, depth + 1) for item in value]
    if isinstance(value, dict) and len(value) <= MOST_ITEMS and depth < DEEPEST:
        return "dict", [[_plain(part, trusted, depth + 1) for part in item] for item in value.items()]
    if isinstance(value, Foreign):
        return "foreign", value.type
    return ("object", pickle.dumps(value)) if trusted else _foreign(value)


def _array(value):
    tensor = isinstance(value, torch.Tensor)
    if tensor and (value.device.type == "meta" or value.layout != torch.strided):
        return "foreign", f"a tensor without ordinary storage, on {value.device.type}"
    if value.nbytes > MOST_BYTES:
        return "foreign", f"a tensor of {value.nbytes / 2**20:,.0f} MB, of shape {tuple(value.shape)}"
    kind = str(value.dtype).removeprefix("torch.")
    if tensor:
        value = value.detach().cpu()
        value = (value.float() if value.dtype in (torch.bfloat16, torch.float16) else value).resolve_conj().numpy()
    if value.dtype.kind not in "biufc":
        return _foreign(value)
    return "tensor" if tensor else "array", kind, tuple(value.shape), value.dtype.str, value.tobytes()


def _foreign(value):
    name = type(value).__name__
    return "foreign", f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def _value(plain, trusted):
    kind, *rest = plain
    if kind == "plain":
        return rest[0]
    if kind == "fraction":
        return Fraction(*rest)
    if kind == "foreign":
        return Foreign(rest[0])
    if kind == "object" and trusted:
        return pickle.loads(rest[0])
    if kind in ("list", "tuple"):
        items = [_value(item, trusted) for item in rest[0]]
        return items if kind == "list" else tuple(items)
    if kind == "dict":
        return {_key(_value(key, trusted)): _value(item, trusted) for key, item in rest[0]}
    dtype, shape, stored, data = rest
    array = np.frombuffer(data, dtype=np.dtype(stored)).reshape(shape).copy()
    return torch.from_numpy(array).to(getattr(torch, dtype)) if kind == "tensor" else array


def _key(value):
    return value if isinstance(value, str | int | float | bool | tuple | type(None)) else repr(value)
