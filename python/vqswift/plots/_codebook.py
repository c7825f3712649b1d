"""A codebook and its vectors in two dimensions."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from .._arguments import checked
from .._arrays import exact_points
from .._tensor import Tensor
from ..quantizers import Quantizer, nearest_codes
from ._figure import finished, panel_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Panel
    from matplotlib.figure import Figure

_MOST = 4000  # vectors that are drawn


@checked
def codebook(
    codes: Quantizer | npt.ArrayLike | Tensor,
    vectors: npt.ArrayLike | Tensor | None = None,
    *,
    ax: Panel | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Codes, those that are used and those that are not, among their vectors.

    `codes`: [k, d], or a quantizer with one codebook, whose vectors are then those that it
    compares, `info.z`. `vectors` [..., d]: codes that are the nearest of one are used; without
    vectors all are drawn alike. Beyond two dimensions the two principal components are drawn, of
    the vectors, or of the codes without any. Of more than 4000 vectors as many are drawn, evenly
    spaced.
    ValueError for shapes that do not fit, NaN and infinity.
    """
    book = _points("codes", _rows(codes))
    given = book if vectors is None else _points("vectors", vectors)
    if given.shape[-1] != book.shape[-1]:
        raise ValueError(
            f"[codebook] codes {[*book.shape]} and vectors {[*given.shape]}: their last axes "
            "must be equal; of a quantizer with a projection give info.z"
        )
    used = np.ones(len(book), np.bool_)
    if vectors is not None:
        used[:] = False
        used[nearest_codes(given, book)] = True
    axes, center, shares = components(given)
    figure, panel = panel_of(ax, 4.6, 4.4)
    if vectors is not None:
        drawn = given[np.linspace(0, len(given) - 1, min(len(given), _MOST)).astype(int)]
        x, y = ((drawn - center) @ axes).T
        panel.scatter(x, y, s=4, color="0.7", linewidths=0, label="vectors")
    places = (book - center) @ axes
    for kind, color, marker, chosen in (
        ("used codes" if vectors is not None else "codes", "C0", "o", used),
        ("unused codes", "C3", "x", ~used),
    ):
        if chosen.any():
            x, y = places[chosen].T
            panel.scatter(x, y, s=18, color=color, marker=marker, linewidths=1, label=kind)
    panel.set(
        title=f"{np.count_nonzero(used)} of {len(book)} codes used" if vectors is not None else "",
        xlabel=_axis(0, shares, book.shape[-1]),
        ylabel=_axis(1, shares, book.shape[-1]),
    )
    panel.set_aspect("equal", adjustable="datalim")
    panel.legend(frameon=False)
    return finished(figure, path)


def components(
    points: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Of points [n, d] the two axes to project on [d, 2], the origin [d], and the axes' shares of
    the variance; of two dimensions the axes themselves."""
    center = points.mean(0)
    d = points.shape[-1]
    if d <= 2:
        return np.eye(d, 2), np.zeros(d), np.ones(2)
    _, lengths, directions = np.linalg.svd(points - center, full_matrices=False)
    shares = lengths**2 / max(float((lengths**2).sum()), np.finfo(float).tiny)
    axes = np.zeros((d, 2))
    count = min(2, len(directions))
    axes[:, :count] = directions[:count].T
    # The sign of a direction is free: its largest component is positive.
    largest = axes[np.abs(axes).argmax(0), [0, 1]]
    return axes * np.where(largest < 0, -1, 1), center, np.pad(shares, (0, 2))[:2]


def _rows(codes: object) -> object:
    if not isinstance(codes, Quantizer):
        return codes
    book = getattr(codes, "effective_codebook", None)
    if book is None:
        book = getattr(codes, "codebook", None)
    if book is None:
        raise ValueError(
            f"[codebook] codes is a {type(codes).__name__}, which has no one codebook: give codes "
            "[k, d], such as those of one group or stage"
        )
    return book


def _points(name: str, value: object) -> NDArray[np.float64]:
    """float64 [n, d] of finite numbers."""
    found = exact_points("codebook", name, value).astype(np.float64)  # type: ignore[arg-type]
    if found.ndim < 2 or not found.size:
        raise ValueError(f"[codebook] {name} has shape {[*found.shape]}: [n, d] is required")
    if not np.isfinite(found).all():
        raise ValueError(f"[codebook] {name} has NaN or infinity: finite numbers are required")
    return found.reshape(-1, found.shape[-1])


def _axis(index: int, shares: NDArray[np.float64], dimensions: int) -> str:
    if dimensions <= 2:
        return f"channel {index}" if index < dimensions else ""
    return f"component {index + 1}, {shares[index]:.0%} of the variance"
