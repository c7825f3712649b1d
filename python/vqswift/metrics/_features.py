"""How far two sets of images are from each other by features, which any network may give."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import _core
from .._arguments import checked
from .._arrays import as_array

_PAIRS = 1 << 22  # distances that are held at a time


@checked
def frechet_distance(features_a: npt.ArrayLike, features_b: npt.ArrayLike) -> float:
    """|ma - mb|^2 + tr(Sa + Sb - 2 (Sa Sb)^(1/2)) of features [n, d] and [m, d], in Float64.

    m and S are means and unbiased covariances: the squared Wasserstein-2 distance of the Gaussians.
    ValueError for fewer than 2 rows, different d, NaN or infinity.
    """
    a, b = _pair("frechet_distance", ("features_a", features_a), ("features_b", features_b), 2)
    a, b, unit = _within_range(a, b)
    return _core.frechet_distance(np.ascontiguousarray(a), np.ascontiguousarray(b)) * unit * unit


@checked
def kernel_distance(features_a: npt.ArrayLike, features_b: npt.ArrayLike) -> float:
    """The squared maximum mean discrepancy of features [n, d] and [m, d], kernel (x.y / d + 1)^3.

    The unbiased estimate in Float64, which is below 0 by chance for sets that are alike: KID
    (Binkowski et al., 2018) where the features are Inception's, of the whole sets in place of
    subsets. ValueError for fewer than 2 rows, different d, NaN or infinity, and for features whose
    kernel is beyond Float64.
    """
    a, b = _pair("kernel_distance", ("features_a", features_a), ("features_b", features_b), 2)
    with np.errstate(over="ignore", invalid="ignore"):
        within = sum(
            (_kernel_sum(x, x) - float(_kernel(np.square(x).sum(1), x.shape[1]).sum()))
            / (len(x) * (len(x) - 1))
            for x in (a, b)
        )
        found = within - 2 * _kernel_sum(a, b) / (len(a) * len(b))
    if not np.isfinite(found):
        largest = max(np.abs(x).max() for x in (a, b))
        raise ValueError(
            f"[kernel_distance] features up to {largest:.3g}: (x.y / d + 1)^3 is beyond Float64; "
            "scale both sets by one factor"
        )
    return found


class PrecisionRecall(NamedTuple):
    """Shares in 0...1."""

    precision: float
    recall: float


@checked
def precision_recall(
    real: npt.ArrayLike, made: npt.ArrayLike, *, neighbors: int = 3
) -> PrecisionRecall:
    """Precision and recall of features [n, d] of real and [m, d] of made images.

    Precision is the share of made images that lie within a ball around a real one, whose radius is
    the distance to its k-th neighbor among the real ones, k = `neighbors`; recall is the same with
    the sets exchanged (Kynkaanniemi et al., 2019). In Float64, every pair is compared. ValueError
    where a set has not more than k rows, for different d, NaN or infinity.
    """
    if neighbors < 1:
        raise ValueError(f"[precision_recall] neighbors = {neighbors}: must be at least 1")
    pair = _pair("precision_recall", ("real", real), ("made", made), neighbors + 1)
    *sets, _ = _within_range(*pair)
    shares = []
    for balls, points in (sets, sets[::-1]):
        radii = np.empty(len(balls))
        for rows, distances in _distances(balls, balls):
            # The nearest is the row itself.
            distances[np.arange(len(distances)), np.arange(rows.start, rows.stop)] = 0
            radii[rows] = np.partition(distances, neighbors, axis=1)[:, neighbors]
        inside = [(distances <= radii).any(1) for _, distances in _distances(points, balls)]
        shares.append(float(np.concatenate(inside).mean()))
    return PrecisionRecall(*shares)


def _pair(
    operation: str, first: tuple[str, Any], second: tuple[str, Any], rows: int
) -> tuple[np.ndarray, np.ndarray]:
    """Both sets in Float64, of at least so many rows."""
    named = (first, second)
    a, b = (as_array(operation, name, x).astype(np.float64) for name, x in named)
    shapes = f"{list(a.shape)} and {list(b.shape)}"
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(
            f"[{operation}] shapes {shapes}: [n, d] and [m, d] with equal d are required"
        )
    if min(len(a), len(b)) < rows or a.shape[1] < 1:
        raise ValueError(
            f"[{operation}] shapes {shapes}: at least {rows} rows of 1 feature are required"
        )
    for (name, _), x in zip(named, (a, b), strict=True):
        if not np.isfinite(x).all():
            raise ValueError(
                f"[{operation}] {name} holds NaN or infinity: every element must be finite"
            )
    return a, b


def _within_range(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Both divided by one power of two where squares would leave Float64, and that power."""
    exponent = math.frexp(max(np.abs(x).max() for x in (a, b)))[1] - 1
    if abs(exponent) < 400:
        return a, b, 1.0
    return np.ldexp(a, -exponent), np.ldexp(b, -exponent), math.ldexp(1.0, exponent)


def _kernel(products: np.ndarray, d: int) -> np.ndarray:
    kernel: np.ndarray = (products / d + 1) ** 3
    return kernel


def _kernel_sum(a: np.ndarray, b: np.ndarray) -> float:
    """Of all pairs."""
    return sum(float(_kernel(a[rows] @ b.T, a.shape[1]).sum()) for rows in _blocks(a, b))


def _distances(a: np.ndarray, b: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Squared distances of some rows of a to all of b, one block after another."""
    # About the mean, where products lose the fewest digits.
    a, b = a - b.mean(0), b - b.mean(0)
    sizes = np.square(a).sum(1), np.square(b).sum(1)
    for rows in _blocks(a, b):
        yield rows, np.maximum(sizes[0][rows, None] + sizes[1] - 2 * (a[rows] @ b.T), 0)


def _blocks(a: np.ndarray, b: np.ndarray) -> Iterator[slice]:
    step = max(_PAIRS // len(b), 1)
    for start in range(0, len(a), step):
        yield slice(start, min(start + step, len(a)))
