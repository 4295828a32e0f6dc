"""Answers that stay closed until the reader has one of her own."""

from __future__ import annotations

import io
from contextlib import contextmanager, redirect_stdout
from html import escape

from minit2v.lab.page import Html


@contextmanager
def folded(summary: str = "Open when you have written down your answer"):
    """What is printed inside `with` is shown folded away under `summary`; a click or the Enter key opens it."""
    from IPython.display import display

    out = io.StringIO()
    with redirect_stdout(out):
        yield
    text = out.getvalue().rstrip("\n")
    page = f"<details><summary><b>{escape(summary)}</b></summary><pre>{escape(text)}</pre></details>"
    display(Html(page, text))
