"""Figures as PNG files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SCALE = 3  # of pictures


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
    figure.savefig(path, dpi=110, bbox_inches="tight")
    print(f"written to {path}")
    return path


def save_pictures(path: Path, rows: Sequence[NDArray[np.float32]]) -> None:
    """Write rows of images [n, h, w, 3] in [0, 1] under each other, magnified."""
    from PIL import Image

    strips = []
    for images in rows:
        padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=1)
        strips.append(np.concatenate([*padded], axis=1))
    pixels = np.rint(np.concatenate(strips).clip(0, 1) * 255).astype(np.uint8)
    Image.fromarray(pixels.repeat(_SCALE, 0).repeat(_SCALE, 1)).save(path)
