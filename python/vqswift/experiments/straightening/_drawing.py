"""Figures as PNG files."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def axes_of(rows: int, columns: int, side: float) -> tuple[Any, Any]:
    """A figure and its panels, an array; ImportError without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('figures need matplotlib: pip install "vqswift[train]"') from error
    figure = Figure(figsize=(side * columns, side * rows), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns)
    for panel in getattr(panels, "flat", [panels]):
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    return figure, panels


def saved(figure: Any, path: Path) -> Path:
    """Write the figure, and tell where."""
    figure.savefig(path, dpi=110)
    print(f"written to {path}")
    return path
