"""The course's own README: map, lessons with claim, minutes and signature figure, three ways through.

`python -m minit2v.lab.contents` writes notebooks/README.md, and the pictures that it shows into docs/pictures/lessons.
All of it comes from the notebooks: their front matter, and the figure of the cell that is tagged `signature`.
"""

from __future__ import annotations

import json
import re
import sys
from base64 import b64decode
from html import escape, unescape
from pathlib import Path

from minit2v.errors import UserError
from minit2v.lab.start import LESSONS, NOTEBOOKS, course_map, front_matter, way_rows

ROOT = NOTEBOOKS.parent
PICTURES, PAGE = ROOT / "docs" / "pictures" / "lessons", NOTEBOOKS / "README.md"
TITLES = LESSONS | {"16": "The interview room"}
IMAGE = re.compile(r'<img\b[^>]*?alt="(?P<alt>[^"]*)"[^>]*?src="data:image/png;base64,(?P<data>[^"]*)"')
HEAD = """# The lessons

Sixteen lessons and a room to practise in. Each makes one claim and measures it, breaks something and measures that,
and ends with questions. They run on two processor cores; what they show is stored, so they can be read right here.

<img src="../docs/pictures/lessons/map.png" width="820" alt="{alt}">

| | the lesson and its claim | to read | |
|---|---|---|---|
"""
TAIL = """
## Three ways through

| who | when | lessons | to read |
|---|---|---|---|
{ways}

Words that are new have a link into [the glossary](glossary.md). Tasks, with checks that know a wrong answer:
[../exercises](../exercises). For teachers: [../docs/teaching.md](../docs/teaching.md).

*This page is written by `python -m minit2v.lab.contents`.*
"""


def signature(path: Path) -> tuple[str, bytes]:
    """The figure that stands for a lesson, as (description, png). Raises `UserError` if no cell is tagged so, or more
    than one, or if that cell shows no picture."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    tagged = [cell for cell in cells if "signature" in cell["metadata"].get("tags", [])]
    if len(tagged) != 1:
        raise UserError(f"'{path.name}' has {len(tagged)} cells tagged 'signature'; tag the one with its main figure")
    shown = ("".join(output.get("data", {}).get("text/html", "")) for output in tagged[0]["outputs"])
    found = IMAGE.search("".join(shown))
    if not found:
        raise UserError(f"'{path.name}': the cell tagged 'signature' shows no picture; refresh it, or tag another")
    return unescape(found["alt"]), b64decode(found["data"])


def row(number: str, alt: str) -> str:
    """A line of the table of lessons."""
    said = front_matter(number)
    claim, read = said["claim"].replace("|", "\\|"), f"{said['minutes']} min" if "minutes" in said else ""
    picture = f'<img src="../docs/pictures/lessons/{number}.png" width="260" alt="{escape(alt, quote=True)}">'
    return f"| {number} | [**{TITLES[number]}**]({said['file']})<br>{claim} | {read} | {picture} |"


def build() -> dict[Path, bytes]:
    """All files of the page: path → content. Raises `UserError` if a lesson lacks its figure."""
    chart, files, rows = course_map(), {}, []
    for number in TITLES:
        if said := front_matter(number):
            alt, files[PICTURES / f"{number}.png"] = signature(NOTEBOOKS / said["file"])
            rows.append(row(number, alt))
    ways = "\n".join(f"| {' | '.join(part)} |" for part in way_rows())
    page = HEAD.format(alt=escape(chart.alt, quote=True)) + "\n".join(rows) + "\n" + TAIL.format(ways=ways)
    return {PICTURES / "map.png": chart.png, **files, PAGE: page.encode()}


def main() -> int:
    """Exit code: 0, or 2 if a lesson lacks its figure."""
    from minit2v.files import write_whole

    try:
        files = build()
    except UserError as error:
        print(f"contents: {error}", file=sys.stderr)
        return 2
    PICTURES.mkdir(parents=True, exist_ok=True)
    for path, content in files.items():
        write_whole(path, content)
    print(PAGE.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
