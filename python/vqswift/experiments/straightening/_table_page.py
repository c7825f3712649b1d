"""The page of a table: numbers beside the paper's, curves, pictures, use of the codebook."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ...plots._curves import curve
from ...train._metrics_file import lines_of
from .._harness import rounded
from .._page import Page, curves
from ._results import Results

_POINTS = 60  # of a curve that is kept
_ABOUT = (
    "Each number is of the test set; beside it stands the paper's. Rows of several seeds show the "
    "mean."
)
_PICTURES = {"pictures.png": "test images, their reconstructions"}
Panels = Sequence[tuple[str, str, bool]]


def write_page(
    results: Results,
    panels: Panels,
    *,
    about: str = _ABOUT,
    inner: Mapping[str, Panels] | None = None,
    pictures: Mapping[str, str] = _PICTURES,
) -> Path:
    """Write `index.html` beside the results.

    What it shows of a run is kept in `curves` and `pictures`, so that the page can be made anew
    without the run's directory.

    Args:
        results: of the table; the runs' directories are beside its file.
        panels: of the curves: key, title, and whether the scale is logarithmic.
        about: what stands above the table.
        inner: panels of further runs, by their folders within the rows' directories.
        pictures: files of the rows' directories, and what they show.
    """
    parts = {"": panels} | dict(inner or {})
    for name in results.names():
        for part, shown in parts.items():
            _keep_curves(results.folder, name, part, [key for key, *_ in shown])
        for file in pictures:
            drawn = results.folder / name / file
            if drawn.is_file():
                kept = picture_path(results.folder, name, file)
                kept.parent.mkdir(exist_ok=True)
                shutil.copyfile(drawn, kept)
    page = Page(results.title)
    page.text(about)
    page.table(results.header, results.lines())
    for part, shown in parts.items():
        runs = {name: kept_curves(results.folder, name, part) for name in results.names()}
        runs = {name: lines for name, lines in runs.items() if lines}
        if runs:
            page.heading(f"Curves of the {part}" if part else "Curves")
            page.figure(curves(runs, shown), "Validation by step")
    for file, words in pictures.items():
        found = {name: picture_path(results.folder, name, file) for name in results.names()}
        found = {name: path for name, path in found.items() if path.is_file()}
        if found:
            page.heading(f"Pictures: {words}")
            for name, path in found.items():
                page.picture(path.read_bytes(), name)
    page.heading("Commands")
    page.code("\n".join(dict.fromkeys(found["command"] for found in results.rows)))
    return page.write(results.folder / "index.html")


def picture_path(folder: Path, name: str, file: str) -> Path:
    """Where a row's picture is kept; "pictures.png" has the row's name alone."""
    suffix = "" if file in _PICTURES else f"-{Path(file).stem}"
    return folder / "pictures" / f"{name}{suffix}.png"


def kept_curves(folder: Path, name: str, part: str = "") -> list[dict[str, float]]:
    """The points that are kept of a row's run, or of the run in a folder of its own."""
    return lines_of(folder / "curves", _curves_file(name, part))


def _curves_file(name: str, part: str) -> str:
    return f"{name}-{part}.jsonl" if part else f"{name}.jsonl"


def _keep_curves(folder: Path, name: str, part: str, keys: Iterable[str]) -> None:
    """Write a few points of a run's curves, where its directory is there."""
    lines = lines_of(folder / name / part)
    if not lines:
        return
    points = [
        {"step": int(step), key: value}
        for key in keys
        for step, value in curve(lines, key, _POINTS)
    ]
    (folder / "curves").mkdir(exist_ok=True)
    text = "".join(json.dumps(rounded(point)) + "\n" for point in points)
    (folder / "curves" / _curves_file(name, part)).write_text(text, encoding="utf-8")
