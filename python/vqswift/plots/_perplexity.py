"""The perplexity of a run's batches over its steps."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._arguments import checked, described, refuse
from ..train import StepMetrics
from ..train._metrics_file import lines_of
from ._curves import curve
from ._figure import finished, panel_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Panel
    from matplotlib.figure import Figure

History = str | os.PathLike[str] | Sequence[float] | Sequence[StepMetrics]


@checked
def perplexity(
    history: History | Mapping[str, History],
    *,
    num_codes: int | None = None,
    ax: Panel | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Perplexity of each step's batch; a falling curve tells of codes that die.

    `history`: a run's directory or its `metrics.jsonl`, a sequence of numbers, one a step, or of
    what `Trainer.steps` gives; or several by name, for a line each. A file with several runs has a
    line for each of their names. Beyond 200 steps means of windows are drawn. `num_codes`: k, which
    the perplexity is at most, as a dashed line. ValueError where nothing is to be drawn, or for a
    line that is no JSON object with a step, FileNotFoundError for a file that there is not.
    """
    several = history.items() if isinstance(history, Mapping) else [("", history)]
    if not several:
        raise ValueError("[perplexity] history is {}: there is nothing to draw")
    if num_codes is not None and num_codes < 1:
        raise ValueError(f"[perplexity] num_codes = {num_codes}: must be at least 1")
    lines: dict[str, NDArray[np.float64]] = {}
    for name, each in several:
        lines |= _lines(name, each)
    figure, panel = panel_of(ax, 6, 3.4)
    for name, points in lines.items():
        panel.plot(*points.T, linewidth=1.2, label=name or None)
    if num_codes is not None:
        panel.axhline(num_codes, color="0.4", linewidth=1, linestyle="--", label=f"k = {num_codes}")
    panel.set(xlabel="step", ylabel="perplexity of the batch")
    panel.set_ylim(bottom=0)
    if num_codes is not None or any(lines):
        panel.legend(frameon=False)
    return finished(figure, path)


def _lines(name: str, history: Any) -> dict[str, NDArray[np.float64]]:
    """Steps and perplexities [points, 2] by name."""
    if isinstance(history, (str, os.PathLike)):
        return _of_file(name, Path(history))
    if isinstance(history, np.ndarray) and history.ndim != 1:
        refuse("perplexity", "history", history, "a sequence of numbers or StepMetrics")
    values = list(history)
    if values and all(isinstance(value, StepMetrics) for value in values):
        rows = [{"step": value.step, "perplexity": value.perplexity} for value in values]
    else:
        numbers = _numbers(values)
        rows = [{"step": i, "perplexity": float(value)} for i, value in enumerate(numbers, 1)]
    return {name: _required(curve(rows, "perplexity"), "the history")}


def _numbers(values: list[Any]) -> list[Any]:
    for value in values:
        if not isinstance(value, (int, float, np.number)):
            raise TypeError(
                f"[perplexity] history has {described(value)}: numbers or StepMetrics are required"
            )
    return values


def _of_file(name: str, path: Path) -> dict[str, NDArray[np.float64]]:
    file = path / "metrics.jsonl" if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(f"[perplexity] {file}: there is no such file")
    runs: dict[str, list[dict[str, Any]]] = {}
    for line in lines_of(file.parent, file.name, operation="perplexity"):
        if "perplexity" in line:
            runs.setdefault(line.get("run") or "", []).append(line)
    _required(runs, str(file))
    return {
        " ".join(filter(None, (name, run))): curve(lines, "perplexity")
        for run, lines in runs.items()
    }


def _required(found: Any, where: str) -> Any:
    if not len(found):
        raise ValueError(f"[perplexity] {where} has no perplexity: nothing is to be drawn")
    return found
