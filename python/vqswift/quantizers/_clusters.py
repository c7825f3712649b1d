"""What the ways of k-means that see some rows at a time share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from .._arrays import exact_points
from .._tensor import Tensor
from ._search import kmeans

_SAMPLE = 64  # rows a centroid that a start is made of


def start_of(
    operation: str,
    init: str | npt.ArrayLike,
    shape: tuple[int, int | None],
    drawn: Callable[[int], np.ndarray],
    seed: int,
) -> np.ndarray:
    """Centroids of `shape` [k, d]: a copy of those given, or by name of 64 k rows that `drawn`
    gives; any d where it is None."""
    k, d = shape
    if not isinstance(init, str):
        start = exact_points(operation, "init", init.numpy() if isinstance(init, Tensor) else init)
        if d is not None and start.shape != (k, d):
            raise ValueError(
                f"[{operation}] shapes {[*start.shape]} and {[k, d]}: initial centroids must be "
                "[k, d]"
            )
        if start.ndim != 2 or len(start) != k or not start.shape[1]:
            raise ValueError(
                f"[{operation}] init of shape {[*start.shape]}: centroids [{k}, d] are required"
            )
        return start.copy()
    if init not in ("kmeans++", "random"):
        raise ValueError(
            f"[{operation}] init = {init!r}: it must be 'kmeans++', 'random' or an array"
        )
    return kmeans(drawn(_SAMPLE * k), k, 0, init, seed).centroids


def sums_of(rows: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The codes that there are, how many rows each has, and their sums in Float64, in order."""
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    sums = np.add.reduceat(rows[order].astype(np.float64), starts, axis=0)
    return ordered[starts], np.diff(np.r_[starts, len(ordered)]), sums
