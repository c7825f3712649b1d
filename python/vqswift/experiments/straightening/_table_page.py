"""The page of a table: numbers beside the paper's, curves, pictures, use of the codebook."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...train._run import lines_of
from .._page import Page, curves
from ._results import Results


def write_page(results: Results, panels: Sequence[tuple[str, str, bool]]) -> Path:
    """Write `index.html` beside the results.

    Args:
        results: of the table; the runs' directories are beside its file.
        panels: of the curves: key, title, and whether the scale is logarithmic.
    """
    page = Page(results.title)
    page.text(
        "Each number is of the test set; beside it stands the paper's. Rows of several seeds "
        "show the mean."
    )
    page.table(results.header, results.lines())
    folders = {path.name: path for path in sorted(results.folder.iterdir()) if path.is_dir()}
    runs = {name: lines for name, path in folders.items() if (lines := lines_of(path))}
    if runs:
        page.heading("Curves")
        page.figure(curves(runs, panels), "Validation by step")
    shown = [(name, path / "pictures.png") for name, path in folders.items()]
    if any(picture.is_file() for _, picture in shown):
        page.heading("Pictures")
        for name, picture in shown:
            if picture.is_file():
                page.picture(picture.read_bytes(), name)
    page.heading("Commands")
    page.code("\n".join(dict.fromkeys(found["command"] for found in results.rows)))
    return page.write(results.folder / "index.html")
