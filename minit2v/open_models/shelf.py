"""Which models there are."""

from __future__ import annotations

from functools import cache

from minit2v.errors import UserError, nearest
from minit2v.open_models.card import ROOT, OpenModel, read


@cache
def names() -> tuple[str, ...]:
    """The names of all models, sorted, in lower case."""
    return tuple(sorted(file.name.removesuffix(".json") for file in ROOT.iterdir() if file.name.endswith(".json")))


def find(name: str) -> OpenModel:
    """The model of that name, in any case. Raises `UserError`, with the nearest names, if there is none."""
    wanted = str(name).strip().lower()
    if wanted in names():
        return read(wanted)
    hint = nearest(wanted, names()) or f"one of {', '.join(names())}"
    raise UserError(f"unknown model {str(name)[:60]!r}; {hint}")
