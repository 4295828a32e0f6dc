"""Things that a notebook can show, each with words for people who cannot see it, and source code."""

from __future__ import annotations

import inspect
from base64 import b64encode
from html import escape
from pathlib import Path

from PIL import Image

import minit2v
from minit2v.errors import UserError
from minit2v.media import png_bytes

# Okabe & Ito 2008: eight colors that people with any kind of color vision can tell apart.
COLORS = {
    "black": "#000000", "orange": "#e69f00", "sky": "#56b4e9", "green": "#009e73",
    "yellow": "#f0e442", "blue": "#0072b2", "red": "#d55e00", "pink": "#cc79a7",
}  # fmt: skip


class Html:
    """A piece of a page; `text` is what a terminal shows in its place."""

    def __init__(self, html: str, text: str):
        self.html, self.text = html, text

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text


class Figure(Html):
    """A picture with a description. `png` is the file's content; `save` writes it."""

    def __init__(self, picture: Image.Image, alt: str):
        self.picture, self.alt, self.png = picture, alt, png_bytes(picture, alt)
        super().__init__(image(self.png, alt), alt)

    def save(self, path: str | Path) -> None:
        """Write the png. Raises `UserError` if it cannot be written."""
        from minit2v.files import write_whole

        write_whole(path, self.png)


def image(png: bytes, alt: str) -> str:
    """An <img> that carries its own data."""
    data = b64encode(png).decode("ascii")
    return f'<img style="max-width:100%" alt="{escape(alt, quote=True)}" src="data:image/png;base64,{data}">'


def table(head: list[str], rows: list[list[str]], caption: str = "") -> Html:
    """A table whose first column names its rows."""
    left = "style='text-align:left'"
    top = "".join(f"<th scope='col' {left}>{escape(name)}</th>" for name in head)
    body = "".join(
        f"<tr><th scope='row' {left}>{escape(first)}</th>"
        + "".join(f"<td {left}>{escape(cell)}</td>" for cell in rest)
        + "</tr>"
        for first, *rest in rows
    )
    about = f"<caption {left}>{escape(caption)}</caption>" if caption else ""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in [head, *rows]
    ]
    return Html(f"<table>{about}<tr>{top}</tr>{body}</table>", "\n".join(filter(None, [caption, *lines])))


# ---- source code -------------------------------------------------------------------------------------------


def show_source(thing) -> Html:
    """The source of a function, method or class of the package, with its file and lines.

    The notebook shows the very code that runs, so the two cannot drift apart. Raises `UserError` for things
    without source in the package.
    """
    thing = inspect.unwrap(thing) if callable(thing) else thing
    try:
        lines, first = inspect.getsourcelines(thing)
        package = Path(minit2v.__file__).resolve().parent
        where = package.name / Path(inspect.getsourcefile(thing)).resolve().relative_to(package)
    except (TypeError, OSError, ValueError):
        raise UserError(f"{thing!r} has no source in minit2v: give one of its functions or classes") from None
    source = inspect.cleandoc("\n" + "".join(lines)) + "\n"
    place = f"{where.as_posix()}:{first}-{first + len(lines) - 1}"
    return Html(f"<p><code>{escape(place)}</code></p>{_highlighted(source)}", f"{place}\n\n{source}")


def _highlighted(source: str) -> str:
    try:
        from pygments import highlight
        from pygments.formatters import HtmlFormatter
        from pygments.lexers import PythonLexer
    except ImportError:  # it comes with Jupyter
        return f"<pre>{escape(source)}</pre>"
    # Its keywords are bold and its comments slanted, so that the colors are not needed.
    page = HtmlFormatter(noclasses=True, style="tango", prestyles="font-family: monospace")
    return highlight(source, PythonLexer(), page)
