"""A function of a notebook as bytes, for a process that did not grow out of this one.

A notebook's function cannot be pickled: pickle writes down a name, and in another process there is nothing of that
name. So its code is carried, with the values of all names that it uses: modules by name, other functions in the same
way, anything else by pickle. What cannot be pickled (an object of a class that the notebook defines) is left out.
Needed where processes cannot fork safely (Windows, macOS); both sides run the same Python.
"""

from __future__ import annotations

import builtins
import importlib
import marshal
import pickle
import sys
from types import CellType, CodeType, FunctionType, ModuleType


def pack(function) -> bytes:
    """The function, and whatever of its surroundings it needs."""
    seen: dict[int, int] = {}
    records: list[dict] = []
    return pickle.dumps((_record(function, seen, records), records))


def unpack(data: bytes):
    """The function again, in a module of its own."""
    root, records = pickle.loads(data)
    scope: dict = {"__builtins__": builtins, "__name__": "__main__"}
    made: dict[int, FunctionType] = {}
    value = _restored(root, records, made, scope)
    for i, record in enumerate(records):
        _function(i, records, made, scope)
        for name, stored in record["names"].items():
            scope.setdefault(name, _restored(stored, records, made, scope))
    return value


def names_in(code: CodeType) -> set[str]:
    """All names that a piece of code, with the functions inside it, looks up in its module."""
    inner = (part for part in code.co_consts if isinstance(part, CodeType))
    return set(code.co_names).union(*(names_in(part) for part in inner))


def _record(value, seen, records):
    """How a value is written down: ("module", name), ("function", number), ("pickle", bytes) or ("lost", type)."""
    if isinstance(value, ModuleType):
        return "module", value.__name__
    if isinstance(value, FunctionType) and not _importable(value):
        if id(value) not in seen:
            seen[id(value)] = number = len(records)
            records.append({})
            records[number] = _describe(value, seen, records)
        return "function", seen[id(value)]
    try:
        data = pickle.dumps(value)
        main = getattr(type(value), "__module__", "") == "__main__" or getattr(value, "__module__", "") == "__main__"
        return ("lost", type(value).__name__) if main else ("pickle", data)
    except Exception:  # pickle raises whatever an object's own methods raise
        return "lost", type(value).__name__


def _importable(function) -> bool:
    module = sys.modules.get(function.__module__)
    return function.__module__ != "__main__" and getattr(module, function.__qualname__, None) is function


def _describe(function, seen, records):
    wanted = names_in(function.__code__) & function.__globals__.keys()
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    return {
        "code": marshal.dumps(function.__code__),
        "name": function.__name__,
        "defaults": [_record(value, seen, records) for value in function.__defaults__ or ()],
        "keywords": {name: _record(value, seen, records) for name, value in (function.__kwdefaults__ or {}).items()},
        "cells": [_record(value, seen, records) for value in cells],
        "names": {name: _record(function.__globals__[name], seen, records) for name in sorted(wanted)},
    }


def _restored(stored, records, made, scope):
    kind, value = stored
    if kind == "module":
        return importlib.import_module(value)
    if kind == "function":
        return _function(value, records, made, scope)
    return pickle.loads(value) if kind == "pickle" else None


def _function(number, records, made, scope):
    if number not in made:
        record = records[number]
        cells = tuple(CellType() for _ in record["cells"])
        made[number] = function = FunctionType(marshal.loads(record["code"]), scope, record["name"], None, cells)
        function.__defaults__ = tuple(_restored(value, records, made, scope) for value in record["defaults"]) or None
        function.__kwdefaults__ = {k: _restored(v, records, made, scope) for k, v in record["keywords"].items()} or None
        for cell, value in zip(cells, record["cells"], strict=True):
            cell.cell_contents = _restored(value, records, made, scope)
    return made[number]
