"""Figures as PNG files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..plots._figure import axes_of as axes_of
from ..plots._figure import finished

_SCALE = 3  # of pictures


def saved(figure: Any, path: Path) -> Path:
    """Write the figure, and tell where."""
    finished(figure, path)
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
