"""Runs notebooks anew and stores them so that the same run gives the same file:
`python -m minit2v.lab.refresh notebooks/01_factory.ipynb`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from minit2v.errors import UserError

WIDGET = "application/vnd.jupyter.widget-view+json"
WIDGET_NOTE = "<p><em>A slider stands here while the notebook runs; the still picture shows the same.</em></p>"
HOMES = re.compile(r"/(?:home|Users|root|work|tmp)/|[A-Z]:\\")  # where the paths of some machine begin
PICTURE = re.compile(r"base64,[A-Za-z0-9+/=]+")
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def refresh(path: str | Path, timeout: int = 600) -> None:
    """Execute a notebook in its own folder and write it back, normalised.

    Raises `UserError` if there is no such notebook, if a cell fails, or if an output holds a warning or a path of
    this machine: a page for everyone must not.
    """
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    from minit2v.files import write_whole

    path = Path(path)
    if path.suffix != ".ipynb" or not path.is_file():
        raise UserError(f"there is no notebook '{path}'; give the path of an .ipynb file")
    page = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(path.resolve().parent)}}
    how = dict(kernel_name="python3", timeout=timeout, record_timing=False, coalesce_streams=True)
    client = NotebookClient(page, resources=where, **how)
    try:
        client.execute()
    except CellExecutionError as error:
        raise UserError(f"'{path}' stops: {error.ename}: {error.evalue}; mend the cell and refresh again") from error
    normalise(page, path)
    write_whole(path, (nbformat.writes(page).rstrip("\n") + "\n").encode())


def normalise(page, path: str | Path = "") -> None:
    """Takes out what differs between two runs or two machines. Raises `UserError` for what must not be in at all."""
    page.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }  # among what goes is the state of the widgets, which viewers on the web refuse
    for number, cell in enumerate(page.cells):
        cell.metadata = {key: cell.metadata[key] for key in ("tags",) if key in cell.metadata}
        for output in cell.get("outputs", []):
            try:
                _clean(output)
            except UserError as error:
                raise UserError(f"'{path}', cell {number}: {error}") from None


def _clean(output) -> None:
    if output.output_type == "stream":
        if output.name == "stderr":
            raise UserError(f"it writes {output.text.strip()[:200]!r} to stderr; silence it")
        output.text = _everywhere(output.text)
        return
    data = output.get("data", {})
    if WIDGET in data:
        data.clear()
        data.update({"text/html": WIDGET_NOTE, "text/plain": "a slider"})
    for kind in [kind for kind in data if kind.startswith("text/") or kind.endswith("xml")]:
        data[kind] = _everywhere(data[kind])


def _everywhere(text: str) -> str:
    """The text as it would be on any machine."""
    if HOMES.search(PICTURE.sub("", text)):
        raise UserError("it shows a path of this machine; print a relative one")
    return ADDRESS.sub("", text)


def main(paths: list[str]) -> int:
    """Exit code: 0 if all went well, 2 if not."""
    for path in paths:
        try:
            refresh(path)
        except UserError as error:
            print(f"refresh: {error}", file=sys.stderr)
            return 2
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
