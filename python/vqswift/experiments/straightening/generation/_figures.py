"""Figures 4 and 11: distances in the course of training, and samples beside each other."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....plots._curves import curve
from ..._drawing import axes_of, saved
from ..._harness import written
from .._results import Results, name_of
from .._table_page import kept_curves, picture_path
from ._pictures import SAMPLES
from ._row import TOKENIZER
from ._table9 import PANELS, TOKENIZER_PANELS, Table9Settings, run

_PLAIN, _OURS = "MaskGIT", "MaskGIT+Affine+OPT"


@dataclass(frozen=True)
class GenerationFigureSettings(Table9Settings):
    """Of which rows of Table 9; those that are not done are trained."""


def figure4(settings: GenerationFigureSettings) -> dict[str, Any]:
    """Distances of reconstructions and of samples in the course of Table 9's trainings."""
    results = run(settings)
    figure, panels = axes_of(1, 2, 4.4)
    sides = (
        (TOKENIZER, TOKENIZER_PANELS[0], "step of the tokenizer"),
        ("", PANELS[0], "step of the transformer"),
    )
    told: dict[str, Any] = {}
    for panel, (part, (key, title, _), label) in zip(panels, sides, strict=True):
        for row in settings.rows:
            points = _mean_curve(results, row, part, key)
            panel.plot(*points.T, ".-", label=row)
            told.setdefault(row, {})[title] = points.tolist()
        panel.set(title=title, xlabel=label, ylim=(0, None))
    panels[0].legend(frameon=False)
    saved(figure, settings.folder / "fig4.png")
    return written(settings.folder / "fig4.json", told)


def figure11(settings: GenerationFigureSettings) -> Path:
    """Samples of the plain MaskGIT on the left, of the one with the paper's method on the right."""
    both = dataclasses.replace(settings, rows=(_PLAIN, _OURS), seeds=settings.seeds[:1])
    results = run(both)
    figure, panels = axes_of(1, 2, 3.6)
    for panel, row in zip(panels, both.rows, strict=True):
        panel.imshow(_picture(results.folder, _name(results, row), SAMPLES))
        panel.set(title=row, xticks=[], yticks=[])
        panel.grid(False)
    return saved(figure, settings.folder / "fig11.png")


def _name(results: Results, row: str) -> str:
    """How the files of the row's first seed are named."""
    found = next(each for each in results.rows if each["row"] == row)
    return name_of(found["row"], found["seed"], found["epochs"])


def _mean_curve(results: Results, row: str, part: str, key: str) -> NDArray[np.float64]:
    """Steps and values [points, 2], the mean over the row's seeds."""
    found = []
    for each in results.rows:
        if each["row"] == row:
            name = name_of(each["row"], each["seed"], each["epochs"])
            found.append(curve(kept_curves(results.folder, name, part), key))
    shapes = {points.shape for points in found}
    if len(shapes) != 1:
        raise ValueError(
            f"[fig4] {row}: runs of {len(found)} seeds and lengths have {len(shapes)} different "
            "numbers of points; take a folder with runs of one length"
        )
    mean: NDArray[np.float64] = np.mean(found, axis=0)
    return mean


def _picture(folder: Path, name: str, file: str) -> NDArray[np.uint8]:
    from PIL import Image

    with Image.open(picture_path(folder, name, file)) as picture:
        return np.asarray(picture.convert("RGB"))
