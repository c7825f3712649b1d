"""A page of results in one HTML file: tables, curves, pictures."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ..plots._curves import curve
from ..train._metrics_file import lines_of
from ._drawing import axes_of
from ._harness import Command, setting

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem;
  color: #222; background: #fff; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; }
th { border-bottom: 2px solid #888; font-weight: 600; }
figure { margin: 1rem 0; } figcaption { color: #555; font-size: .9rem; }
img { max-width: 100%; height: auto; image-rendering: auto; }
pre { background: #f5f5f5; padding: .8rem; overflow-x: auto; font-size: .85rem; }
"""
_COLORS = 10  # of lines that go round
_PANELS = 4  # curves beside each other
_DRAWN = 1e300  # above it an axis has no ticks
_METRICS = "metrics.jsonl"
# What is in every line, and no curve.
_UNSHOWN = ("step", "seconds", "images_per_second", "run")


class Page:
    """Collects what a page shows, in order."""

    def __init__(self, title: str) -> None:
        self.title = title
        self._parts = [f"<h1>{html.escape(title)}</h1>"]

    def heading(self, text: str) -> None:
        """Begin a section."""
        self._parts.append(f"<h2>{html.escape(text)}</h2>")

    def text(self, text: str) -> None:
        """A paragraph."""
        self._parts.append(f"<p>{html.escape(text)}</p>")

    def code(self, text: str) -> None:
        """Text as it is."""
        self._parts.append(f"<pre>{html.escape(text)}</pre>")

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table, its first column to the left."""

        def line(cells: Sequence[str], tag: str) -> str:
            return "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells)

        body = "\n".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
        head = f"<thead><tr>{line(header, 'th')}</tr></thead>"
        self._parts.append(f'<div class="wide"><table>{head}\n<tbody>{body}</tbody></table></div>')

    def picture(self, png: bytes, caption: str) -> None:
        """A PNG, within the page."""
        data = base64.b64encode(png).decode("ascii")
        words = html.escape(caption)
        self._parts.append(
            f'<figure><img alt="{words}" src="data:image/png;base64,{data}">'
            f"<figcaption>{words}</figcaption></figure>"
        )

    def figure(self, figure: Any, caption: str) -> None:
        """A matplotlib figure."""
        stream = io.BytesIO()
        figure.savefig(stream, format="png", dpi=90)
        self.picture(stream.getvalue(), caption)

    def write(self, path: Path) -> Path:
        """Write the page."""
        path.write_text(
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{html.escape(self.title)}</title><style>{_STYLE}</style></head>\n<body>\n"
            + "\n".join(self._parts)
            + "\n</body></html>\n",
            encoding="utf-8",
            errors="backslashreplace",
        )
        print(f"written to {path}")
        return path


def curves(
    runs: Mapping[str, Sequence[Mapping[str, Any]]], keys: Sequence[tuple[str, str, bool]]
) -> Any:
    """A figure with a panel for each of `keys` (key, title, log scale) and a line for each run."""
    rows = -(-len(keys) // _PANELS)
    figure, panels = axes_of(rows, min(len(keys), _PANELS), 3.4)
    flat = list(getattr(panels, "flat", [panels]))
    names = _without_common_end(list(runs))
    drawn = {}
    for panel, (key, title, is_log) in zip(flat, keys, strict=False):
        for index, (name, lines) in enumerate(zip(names, runs.values(), strict=True)):
            points = _drawable(lines, key)
            if len(points):
                style = "-" if index < _COLORS else "--"
                color = f"C{index % _COLORS}"
                (drawn[name],) = panel.plot(*points.T, style, color=color, linewidth=1)
        panel.set(xlabel="step", yscale="log" if is_log else "linear")
        panel.set_title(title, parse_math=False)
    for panel in flat[len(keys) :]:
        panel.set_visible(False)
    if len(runs) > 1:
        labels = [name for name in names if name in drawn]
        inches = 0.6 + 0.09 * max(map(len, labels), default=0)  # of a label with its line
        columns = max(1, min(4, int(figure.get_figwidth() / inches)))
        lines_drawn = [drawn[name] for name in labels]
        legend = figure.legend(
            lines_drawn, labels, loc="outside lower center", ncols=columns, frameon=False
        )
        for text in legend.get_texts():
            text.set_parse_math(False)
    return figure


def _drawable(lines: Sequence[Mapping[str, Any]], key: str) -> Any:
    """The curve of a number, without points that no axis shows."""
    with np.errstate(over="ignore", invalid="ignore"):
        points = curve(lines, key)
    return points[(np.abs(points) < _DRAWN).all(1)]


def _without_common_end(names: list[str]) -> list[str]:
    """The names less the parts between hyphens that all of several end with."""
    parts = [name.split("-") for name in names]
    while len(parts) > 1 and len({each[-1] for each in parts}) == 1 and all(e[1:] for e in parts):
        parts = [each[:-1] for each in parts]
    return ["-".join(each) for each in parts]


@dataclass(frozen=True)
class ReportSettings:
    """Which directory is told of."""

    directory: Path = setting(Path("."), "of a run, or of several", is_positional=True)


def report(settings: ReportSettings) -> Path:
    """Write `report.html` of a run's directory, or of those of several runs below it.

    FileNotFoundError where there is no metrics.jsonl, ValueError for one without numbers, or with
    a line that is no JSON object with an integer `step`.
    """
    top = settings.directory
    folders = _named_folders(top)
    runs = {name: _numbers_of(folder) for name, folder in folders.items()}
    runs = {name: lines for name, lines in runs.items() if lines}
    if not runs:
        _refuse_without_lines(top, folders.values())
    page = Page(f"Training in {_readable(top.resolve().name)}")
    keys = dict.fromkeys(key for lines in runs.values() for line in lines for key in line)
    numbers = [key for key in keys if key not in _UNSHOWN]
    if not numbers:
        raise ValueError(
            f"[report] {top}: no line of {_METRICS} has a number beside {', '.join(_UNSHOWN)}"
        )
    last = [
        [name, *(_last(lines, key) for key in ("step", *numbers))] for name, lines in runs.items()
    ]
    page.table(["run", "step", *numbers], last)
    panels = [(key, key, "loss" in key and _is_positive(runs, key)) for key in numbers]
    page.figure(curves(runs, panels), "Means of windows of the run's steps")
    for name, folder in folders.items():
        for png in sorted(folder.glob("*.png")):
            if png.is_file():
                page.picture(png.read_bytes(), f"{name}: {_readable(png.stem)}")
        configuration = folder / "config.toml"
        if configuration.is_file():
            page.heading(f"Configuration of {name}")
            page.code(configuration.read_text(encoding="utf-8", errors="backslashreplace"))
    return page.write(top / "report.html")


def _named_folders(top: Path) -> dict[str, Path]:
    """The directory and those in it, by names of their own."""
    if not top.is_dir():
        return {}
    own = _readable(top.resolve().name)
    named = {own: top}
    for folder in sorted(each for each in top.iterdir() if each.is_dir()):
        name = _readable(folder.name)
        named[f"{own}/{name}" if name in named else name] = folder
    return named


def _readable(name: str) -> str:
    """A name without halves of surrogates, which stand for bytes that are no UTF-8."""
    return name.encode("utf-8", "backslashreplace").decode()


def _numbers_of(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run, each with its numbers alone."""
    return [
        {_readable(key): _float(v) for key, v in line.items() if isinstance(v, (int, float))}
        for line in lines_of(folder, _METRICS, operation="report")
    ]


def _float(value: float) -> float:
    """As a number that is drawn; beyond float's range infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _refuse_without_lines(top: Path, folders: Iterable[Path]) -> NoReturn:
    for folder in folders:
        if (folder / _METRICS).is_file():
            raise ValueError(f"[report] {folder / _METRICS}: it has no line that is finished yet")
    raise FileNotFoundError(f"[report] {top}: no {_METRICS} in it or in its folders")


def _is_positive(runs: Mapping[str, Sequence[Mapping[str, Any]]], key: str) -> bool:
    return all(bool((_drawable(lines, key)[:, 1] > 0).all()) for lines in runs.values())


def _last(lines: Sequence[Mapping[str, Any]], key: str) -> str:
    found = [line[key] for line in lines if key in line]
    return f"{found[-1]:.6g}" if found else ""


REPORT = Command(
    "report",
    "write a page of a run's metrics, or of several runs",
    report.__doc__,
    ReportSettings,
    report,
)
