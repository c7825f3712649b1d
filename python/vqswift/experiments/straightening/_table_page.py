"""The page of a table: numbers beside the paper's, curves, pictures, use of the codebook."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from ...train._run import lines_of
from .._harness import rounded
from .._page import Page, curve, curves
from ._results import Results

_POINTS = 60  # of a curve that is kept
_PICTURES = "pictures.png"


def write_page(results: Results, panels: Sequence[tuple[str, str, bool]]) -> Path:
    """Write `index.html` beside the results.

    What it shows of a run is kept in `curves` and `pictures`, so that the page can be made anew
    without the run's directory.

    Args:
        results: of the table; the runs' directories are beside its file.
        panels: of the curves: key, title, and whether the scale is logarithmic.
    """
    pictures = results.folder / "pictures"
    for name in results.names():
        _keep_curves(results.folder, name, [key for key, *_ in panels])
        drawn = results.folder / name / _PICTURES
        if drawn.is_file():
            pictures.mkdir(exist_ok=True)
            shutil.copyfile(drawn, pictures / f"{name}.png")
    page = Page(results.title)
    page.text(
        "Each number is of the test set; beside it stands the paper's. Rows of several seeds "
        "show the mean."
    )
    page.table(results.header, results.lines())
    runs = {name: lines_of(results.folder / "curves", f"{name}.jsonl") for name in results.names()}
    runs = {name: lines for name, lines in runs.items() if lines}
    if runs:
        page.heading("Curves")
        page.figure(curves(runs, panels), "Validation by step")
    shown = {name: pictures / f"{name}.png" for name in results.names()}
    if any(picture.is_file() for picture in shown.values()):
        page.heading("Pictures")
        for name, picture in shown.items():
            if picture.is_file():
                page.picture(picture.read_bytes(), name)
    page.heading("Commands")
    page.code("\n".join(dict.fromkeys(found["command"] for found in results.rows)))
    return page.write(results.folder / "index.html")


def _keep_curves(folder: Path, name: str, keys: Iterable[str]) -> None:
    """Write a few points of a run's curves, where its directory is there."""
    lines = lines_of(folder / name)
    if not lines:
        return
    points = [
        {"step": int(step), key: value}
        for key in keys
        for step, value in curve(lines, key, _POINTS)
    ]
    (folder / "curves").mkdir(exist_ok=True)
    text = "".join(json.dumps(rounded(point)) + "\n" for point in points)
    (folder / "curves" / f"{name}.jsonl").write_text(text, encoding="utf-8")
