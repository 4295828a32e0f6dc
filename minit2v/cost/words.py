"""Figures of any size in words: 134,217,728, 4.28 PFLOP, 2.5 h. Nothing goes through a float too small for it."""

from __future__ import annotations

from fractions import Fraction

PREFIXES = {24: "Y", 21: "Z", 18: "E", 15: "P", 12: "T", 9: "G", 6: "M", 3: "k"}  # powers of ten
DURATIONS = ((365 * 86400, "years"), (86400, "days"), (3600, "h"), (60, "min"))


def times(*numbers: int) -> str:
    """A product, as the chapter writes it: 64 × 64 × 4."""
    return " × ".join(f"{number:,}" for number in numbers)


def brief(value) -> str:
    """A number: whole ones in full up to thirty digits, others with four."""
    if value == int(value) and abs(value) < 10**30:
        return f"{int(value):,}"
    small = Fraction(1, 1000) <= abs(value) < 10**6
    return f"{float(value):,.0f}" if small and value >= 1000 else f"{float(value):.4g}" if small else scientific(value)


def scientific(value) -> str:
    """A positive number of any size, such as 1.23e+450."""
    value = Fraction(value)
    exponent = len(str(value.numerator)) - len(str(value.denominator))
    if value < Fraction(10) ** exponent:
        exponent -= 1
    return f"{float(value / Fraction(10) ** exponent):.3g}e{exponent:+d}"


def human(value, unit: str) -> str:
    """A figure with its unit, "FLOP", "bytes", "s" or "$", in three digits."""
    if unit == "s":
        return duration(Fraction(value))
    if unit == "$":
        return f"{brief(round(value)) if value >= 1000 else format(float(value), '.3g')} $"
    letter = "B" if unit == "bytes" else unit
    for power, prefix in PREFIXES.items():
        if 10**power <= value < 10**27:
            return f"{float(Fraction(value, 10**power)):.3g} {prefix}{letter}"
    return f"{scientific(value) if value >= 1000 else brief(value)} {unit}"


def duration(seconds: Fraction) -> str:
    """Seconds, in the unit that suits them."""
    for size, unit in DURATIONS:
        if seconds >= 2 * size:
            return f"{brief(round(seconds / size, 1) if seconds < 1000 * size else round(seconds / size))} {unit}"
    if seconds >= 1:
        return f"{float(seconds):.3g} s"
    return f"{float(1000 * seconds):.3g} ms" if 1000 * seconds >= Fraction(1, 1000) else f"{scientific(seconds)} s"
