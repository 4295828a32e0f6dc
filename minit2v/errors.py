"""Errors that a person can act on."""

from difflib import get_close_matches


class UserError(ValueError):
    """A wrong input, told in one line: the wrong value, what is legal, and the fix.

    The command line prints the message and exits with code 2; it never shows a traceback for it.
    Line breaks and runs of spaces in the message, which a quoted input may bring along, become one space.
    """

    def __init__(self, message):
        super().__init__(" ".join(str(message).split()))


def nearest(word, legal, n=3):
    """The legal words that look most like `word`, as the end of an error message.

    Returns a string such as "did you mean 'ball', 'tall'?", best match first and at most `n` of them,
    or "" if nothing in `legal` is close. Upper and lower case count as the same.
    """
    by_lower = {}
    for choice in legal:
        by_lower.setdefault(str(choice).lower(), str(choice))
    found = get_close_matches(str(word).lower(), list(by_lower), n=n)
    return f"did you mean {', '.join(repr(by_lower[match]) for match in found)}?" if found else ""
