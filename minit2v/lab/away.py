"""Lessons away from home: the guarded first cell, and badges that open a lesson on Colab and on Binder.

The repository has no public address yet. Once it has one, write it into `REPOSITORY` and run
`python -m minit2v.lab.away notebooks/*.ipynb`: all badges and first cells follow. Then refresh the lessons.
"""

from __future__ import annotations

import sys
from pathlib import Path

from minit2v.errors import UserError

REPOSITORY = ""  # "OWNER/NAME" on GitHub; "": not public, so there are no badges, and the first cell fetches nothing
BRANCH = "main"
TAG, BADGES = "first-cell", "badges"  # of the two cells that `stamp` owns


def first_cell(repository: str = REPOSITORY) -> str:
    """The code of a lesson's first cell: it does nothing where the course is installed."""
    what = "on Colab: fetch the course, once" if repository else "not in the course's own environment"
    get = f'    %pip install --quiet "minit2v[course] @ git+https://github.com/{repository}@{BRANCH}"'
    say = '    raise ImportError("minit2v is not installed here; in its folder, start: python3 course.py lab")'
    guard = f'if find_spec("minit2v") is None:  # {what}'
    return "\n".join(["from importlib.util import find_spec", "", guard, get if repository else say])


def badges(name: str, repository: str = REPOSITORY) -> str:
    """Markdown that opens notebooks/NAME elsewhere; "" as long as there is nowhere to open it from."""
    if not repository:
        return ""
    colab = f"https://colab.research.google.com/github/{repository}/blob/{BRANCH}/notebooks/{name}"
    binder = f"https://mybinder.org/v2/gh/{repository}/{BRANCH}?urlpath=lab/tree/notebooks/{name}"
    return (
        f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({colab})\n"
        f"[![Launch Binder](https://mybinder.org/badge_logo.svg)]({binder})"
    )


def stamp(page, name: str, repository: str = REPOSITORY) -> None:
    """Puts badges and first cell behind a notebook's front matter, in place of those that are there."""
    import nbformat

    page.cells = [cell for cell in page.cells if not {TAG, BADGES} & set(cell.metadata.get("tags", []))]
    stem = name.partition(".")[0].replace("_", "-")
    code = nbformat.v4.new_code_cell(first_cell(repository), id=f"{stem}-first"[:64], metadata={"tags": [TAG]})
    page.cells.insert(1, code)
    if said := badges(name, repository):
        page.cells.insert(1, nbformat.v4.new_markdown_cell(said, id=f"{stem}-badges"[:64], metadata={"tags": [BADGES]}))


def main(paths: list[str]) -> int:
    """Exit code: 0, or 2 if there is no such notebook."""
    import nbformat

    from minit2v.files import write_whole

    for path in map(Path, paths):
        try:
            if not path.is_file():
                raise UserError(f"there is no notebook '{path}'; give the path of an .ipynb file")
        except UserError as error:
            print(f"away: {error}", file=sys.stderr)
            return 2
        page = nbformat.read(path, as_version=4)
        stamp(page, path.name)
        write_whole(path, (nbformat.writes(page).rstrip("\n") + "\n").encode())
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
