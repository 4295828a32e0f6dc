"""Which numbers the arithmetic takes: whole ones, at least 1, as large as anybody likes to a hundred digits."""

from __future__ import annotations

from fractions import Fraction

from minit2v.errors import UserError

DIGITS = 100  # with more, Python refuses to print the products


def whole(name: str, value, least: int = 1) -> int:
    """`value` as an int. Raises `UserError` unless it is a whole number of at least `least` and at most 100 digits."""
    number = exact(name, value)
    if number.denominator != 1 or number < least:
        raise UserError(f"{name} is {shown(value)}; give a whole number of at least {least}")
    return int(number)


def positive(name: str, value) -> Fraction:
    """`value` as an exact fraction. Raises `UserError` unless it is a number above 0."""
    number = exact(name, value)
    if number <= 0:
        raise UserError(f"{name} is {shown(value)}; give a number above 0")
    return number


def exact(name: str, value) -> Fraction:
    """The number that `value` says: an int, a Fraction, a decimal string ("2.5", "1e12"), or a float by its digits.

    Raises `UserError` for what is no finite number, and for numbers that would not fit on a page.
    """
    try:
        text = repr(value) if isinstance(value, float) else value
        if isinstance(value, bool) or (isinstance(text, str) and _endless(text)):
            raise ValueError
        number = Fraction(text)
        if max(abs(number.numerator), number.denominator) < 10**DIGITS:
            return number
    except (ValueError, TypeError, ZeroDivisionError):
        pass
    raise UserError(f"{name} is {shown(value)}; give a number, of at most {DIGITS} digits")


def _endless(text: str) -> bool:
    """Whether writing the number out takes more digits than there may be: 1e999999999 would fill the memory."""
    mantissa, _, exponent = text.lower().partition("e")
    return len(mantissa) > 2 * DIGITS or len(exponent) > 4 or abs(int(exponent or 0)) > 2 * DIGITS


def shown(value) -> str:
    """A wrong value as an error message quotes it, cut where it is long."""
    try:
        text = str(value)
    except ValueError:  # an int with too many digits to print
        return "too long to print"
    return text if len(text) <= 40 else f"{text[:30]}… ({len(text)} characters)"


def divided(name: str, size: int, cut: int, by: str) -> int:
    """size / cut. Raises `UserError`, with the nearest multiples, unless it is whole."""
    if size % cut:
        below = size // cut * cut
        near = f"{below} or {below + cut}" if below else str(cut)
        raise UserError(f"{name} {shown(size)} does not divide by {by} {shown(cut)}; the nearest that do: {near}")
    return size // cut
