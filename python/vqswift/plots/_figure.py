"""New figures, axes that are given, and files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Panel
    from matplotlib.figure import Figure


def axes_of(rows: int, columns: int, side: float, height: float | None = None) -> tuple[Any, Any]:
    """A figure and its panels, an array, each `side` inches wide and `height` high, or square.

    ImportError without matplotlib.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('figures need matplotlib: pip install "vqswift[train]"') from error
    figure = Figure(figsize=(side * columns, (height or side) * rows), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns)
    for panel in getattr(panels, "flat", [panels]):
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    return figure, panels


def panel_of(ax: Panel | None, width: float, height: float) -> tuple[Figure, Panel]:
    """The axes that are given and their figure, or new ones."""
    if ax is None:
        figure, panel = axes_of(1, 1, width, height)
        return figure, panel
    return ax.get_figure(root=True), ax  # type: ignore[return-value]


def finished(figure: Figure, path: str | os.PathLike[str] | None) -> Figure:
    """The figure, written where a path is given."""
    if path is not None:
        figure.savefig(path, dpi=110, bbox_inches="tight")
    return figure
