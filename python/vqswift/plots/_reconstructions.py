"""Images above what became of them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from .._arguments import checked
from .._arrays import as_array
from .._tensor import Tensor
from ._figure import finished, panel_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Panel
    from matplotlib.figure import Figure


@checked
def reconstructions(
    images: npt.ArrayLike | Tensor,
    reconstructed: npt.ArrayLike | Tensor,
    *,
    columns: int = 8,
    ax: Panel | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Pairs in a grid: each image above its reconstruction, `columns` of them beside each other.

    [n, h, w, 3], [n, h, w, 1] or [n, h, w], numbers in [0, 1], cut off beyond, or uint8. ValueError
    for other shapes, and for two that differ.
    """
    above, below = _pictures("images", images), _pictures("reconstructed", reconstructed)
    if above.shape != below.shape:
        raise ValueError(
            f"[reconstructions] shapes {[*np.shape(images)]} and {[*np.shape(reconstructed)]}: "
            "both must be equal"
        )
    if columns < 1:
        raise ValueError(f"[reconstructions] columns = {columns}: must be at least 1")
    picture = grid(above, below, columns)
    height, width, _ = picture.shape
    figure, panel = panel_of(ax, 8, max(8 * height / width, 1.0))
    panel.imshow(picture, interpolation="nearest")
    panel.set_axis_off()
    return finished(figure, path)


def grid(
    above: NDArray[np.float32], below: NDArray[np.float32], columns: int
) -> NDArray[np.float32]:
    """[n, h, w, c] twice -> pairs in rows, one white pixel around each and three between rows."""
    count, height, width, channels = above.shape
    columns = min(columns, count)
    rows = -(-count // columns)
    page = np.ones((rows * (2 * height + 5), columns * (width + 2), channels), np.float32)
    for index in range(count):
        top, left = index // columns * (2 * height + 5) + 1, index % columns * (width + 2) + 1
        page[top : top + height, left : left + width] = above[index]
        under = top + height + 1
        page[under : under + height, left : left + width] = below[index]
    return page if channels == 3 else page.repeat(3, -1)


def _pictures(name: str, value: npt.ArrayLike | Tensor) -> NDArray[np.float32]:
    """float32 [n, h, w, 1 or 3] in [0, 1]."""
    found = as_array("reconstructions", name, value)
    if found.ndim == 3:
        found = found[..., None]
    if found.ndim != 4 or found.shape[-1] not in (1, 3) or not found.size:
        hint = "; channels come last, x.transpose(0, 2, 3, 1)" if _is_channels_first(found) else ""
        raise ValueError(
            f"[reconstructions] {name} has shape {[*np.shape(value)]}: [n, h, w, 3] or "
            f"[n, h, w, 1] is required{hint}"
        )
    if found.dtype.kind in "iu" and found.dtype != np.uint8:
        raise TypeError(
            f"[reconstructions] {name} holds integers ({found.dtype}): numbers in [0, 1] or uint8 "
            "are required"
        )
    if not np.isfinite(found).all():
        raise ValueError(f"[reconstructions] {name} holds NaN or infinity")
    scale = 255 if found.dtype == np.uint8 else 1
    return (found.astype(np.float32) / scale).clip(0, 1)


def _is_channels_first(found: NDArray[np.generic]) -> bool:
    return found.ndim == 4 and found.shape[1] in (1, 3)
