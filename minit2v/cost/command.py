"""The command line's side: from flags to setups, and one, several or all of them on the page."""

from __future__ import annotations

import shlex
from dataclasses import fields, replace

from minit2v.arithmetic.device import find_device
from minit2v.cost.lines import Line, lines
from minit2v.cost.page import as_json, comparison, exactly, ratios, table
from minit2v.cost.published import listing, model_lines
from minit2v.cost.setup import Setup
from minit2v.errors import UserError

MACHINE = {"device_flops": "flops", "bandwidth": "bandwidth", "price": "price", "utilization": "utilization"}


def result(options, parse) -> tuple[dict, list[str]]:
    """What `minit2v cost` answers: facts for JSON, and lines for people.

    options: the parsed flags; parse: a function that parses the flags of `--against`, a list of words.
    """
    settings = given(options)
    if options.models:
        return listing(settings.get("device", Setup().device))
    columns = columns_of(options.model, settings)
    if options.against:
        other = parse(split(options.against))
        own_model = other.model and not options.model
        settings = given(other) if own_model else merged(settings, given(other))
        columns |= columns_of(other.model or options.model, settings, "against" if other.model else options.against)
    if len(columns) == 1:
        (figures,) = columns.values()
        return as_json(figures), table(figures)
    facts = {"configurations": {name: as_json(figures) for name, figures in columns.items()}}
    if len(columns) == 2:
        found = ({line.path: line for line in figures} for figures in columns.values())
        facts["ratios"] = {path: exactly(ratio) for path, ratio in ratios(*found).items()}
    return facts, comparison(list(columns), list(columns.values()))


def columns_of(models: list[str] | None, settings: dict, said: str = "") -> dict[str, list[Line]]:
    """The lines of each model, or of the one setup, under their names; `said` tells two of the same name apart."""
    if not models:
        return {said or "this": lines(Setup(**settings))}
    return {f"{model} {said}".strip(): model_lines(model, settings) for model in models}


def given(options) -> dict:
    """The fields of `Setup` that the flags say."""
    said = {field.name: getattr(options, field.name) for field in fields(Setup)}
    said = {name: value for name, value in said.items() if value is not None}
    machine = {ours: getattr(options, flag) for flag, ours in MACHINE.items() if getattr(options, flag) is not None}
    if "device" in said or machine:
        on = find_device(said["device"]) if "device" in said else Setup().device
        said["device"] = replace(on, name=f"{on.name}, changed", **machine) if machine else on
    return said


def merged(first: dict, second: dict) -> dict:
    """Settings of which the second ones win; a length in frames and one in seconds displace each other."""
    for name, other in (("frames", "seconds"), ("seconds", "frames")):
        if name in second:
            first = {key: value for key, value in first.items() if key != other}
    if second.get("attention", "windowed") != "windowed":
        first = {key: value for key, value in first.items() if key != "window"}
    return {**first, **second}


def split(flags: str) -> list[str]:
    """The words of a quoted command line. Raises `UserError` for an open quote."""
    try:
        return shlex.split(flags)
    except ValueError as error:
        raise UserError(f"--against {flags!r}: {error}; give flags such as '--attention factorised'") from error
