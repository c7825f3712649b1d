"""The nearest codes of vectors, and k-means."""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import index
from typing import Literal, NoReturn, overload

import numpy as np
import numpy.typing as npt

from .. import _core
from .._arguments import checked
from .._arrays import exact_points
from .._random import checked_word
from .._tensor import Tensor


@overload
def nearest_codes(
    x: npt.ArrayLike | Tensor,
    codebook: npt.ArrayLike | Tensor,
    return_distances: Literal[False] = False,
    topk: int | None = None,
) -> np.ndarray: ...
@overload
def nearest_codes(
    x: npt.ArrayLike | Tensor,
    codebook: npt.ArrayLike | Tensor,
    return_distances: Literal[True],
    topk: int | None = None,
) -> tuple[np.ndarray, np.ndarray]: ...
@checked
def nearest_codes(
    x: npt.ArrayLike | Tensor,
    codebook: npt.ArrayLike | Tensor,
    return_distances: bool = False,
    topk: int | None = None,
) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """x [n, d], codebook [k, d] -> codes int32 [n], and squared distances [n] if asked.

    With `topk`, 1 to k: the so many nearest codes, nearest first, [n, topk], and their distances.

    The code is the arg-min of the squared distance in Float64, the lowest index on equality, the
    same for every thread count. Arrays of float64, and of integers of 32 bits and more, are
    compared in float64 and give float64 distances, all others in float32; nothing is rounded first.
    Arrays are read in place. What was made of a codebook for the search is kept with a `Tensor`
    until it changes, not with an array. ValueError for NaN, infinity, no rows or no codes.
    """
    points = _points("nearest_codes", "x", x)
    rows = _points("nearest_codes", "codebook", codebook)
    if _is_float64(points, rows):
        return _nearest_in_float64(_float64(points), _float64(rows), return_distances, topk)
    first, second = _handle(points), _handle(rows)
    if topk == 0:  # which the core takes for the nearest alone
        _refuse_topk(topk, len(rows))
    codes, distances = _core.nearest_codes(first, second, topk or 0, return_distances)
    found = Tensor._wrap(codes).numpy()
    return found if distances is None else (found, Tensor._wrap(distances).numpy())


_Points = Tensor | np.ndarray


def _points(operation: str, name: str, value: npt.ArrayLike | Tensor) -> _Points:
    return value if isinstance(value, Tensor) else exact_points(operation, name, value)


def _is_float64(*values: _Points | None) -> bool:
    return any(value is not None and value.dtype == np.float64 for value in values)


def _float64(value: _Points) -> np.ndarray:
    array = value.numpy() if isinstance(value, Tensor) else value
    return np.ascontiguousarray(array, np.float64)


def _handle(value: _Points) -> _core.TensorHandle:
    """A tensor over the elements as they lie, for searches alone."""
    if isinstance(value, Tensor):
        return value._handle
    return _core.points(value) if value.ndim == 2 else Tensor(value)._handle


def _refuse_topk(topk: int, codes: int) -> NoReturn:
    raise ValueError(
        f"[nearest_codes] topk = {topk}: must be at least 1 and at most the {codes} codes"
    )


def _power(*arrays: np.ndarray) -> int:
    """The power of two by which squares of numbers far from 1 neither overflow nor vanish."""
    # Without an array of magnitudes: what is searched may be most of the memory.
    ends = [end for array in arrays if array.size for end in (array.max(), -array.min())]
    largest = float(max(ends, default=0.0))
    exponent = math.frexp(largest)[1] if math.isfinite(largest) else 0
    return -exponent if abs(exponent) > 400 else 0


def _times(array: np.ndarray, power: int) -> np.ndarray:
    with np.errstate(over="ignore"):  # a squared distance may be above all that float64 has
        return np.ldexp(array, power) if power else array


def _nearest_in_float64(
    x: np.ndarray, codebook: np.ndarray, return_distances: bool, topk: int | None
) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    if x.ndim != 2 or codebook.ndim != 2 or x.shape[1] != codebook.shape[1]:
        raise ValueError(
            f"[nearest_codes] shapes {list(x.shape)} and {list(codebook.shape)}: "
            "x [n, d] and codebook [k, d] with equal d are required"
        )
    count = 1 if topk is None else topk
    if not 1 <= count <= max(len(codebook), 1):
        _refuse_topk(count, len(codebook))
    codes = np.empty((len(x), count), np.int32)
    distances = np.empty(codes.shape) if return_distances else None
    power = _power(x, codebook)
    _core.nearest_codes_f64(_times(x, power), _times(codebook, power), codes, distances)
    if distances is not None:
        distances = _times(distances, -2 * power)
    shape = codes.shape if topk is not None else codes.shape[:1]
    if distances is None:
        return codes.reshape(shape)
    return codes.reshape(shape), distances.reshape(shape)


@dataclass(frozen=True)
class KMeansResult:
    """`centroids` [k, d], `codes` int32 [n] nearest to them, `inertia` (the sum of squared
    distances) and the number of `iterations` run."""

    centroids: np.ndarray
    codes: np.ndarray
    inertia: float
    iterations: int


@checked
def kmeans(
    x: npt.ArrayLike | Tensor,
    k: int,
    iterations: int = 25,
    init: str | npt.ArrayLike = "kmeans++",
    seed: int = 0,
) -> KMeansResult:
    """Lloyd's k-means of x [n, d].

    `init`: "kmeans++", "random", or centroids [k, d] to start from. k is kept when n < k; no
    cluster is left empty while a point lies off its centroid. Arrays of float64, and of integers of
    32 bits and more, are clustered in float64 and give float64 centroids, all others in float32.
    ValueError for NaN, infinity, no rows or k < 1.
    """
    seed, k = checked_word("kmeans", "seed", seed), index(k)
    points = _points("kmeans", "x", x)
    kind, initial = "kmeans++", None
    if not isinstance(init, str):
        initial = _points("kmeans", "init", init)
    elif init in ("kmeans++", "random"):
        kind = init
    else:
        raise ValueError(f"[kmeans] init = {init!r}: it must be 'kmeans++', 'random' or an array")
    if _is_float64(points, initial):
        start = None if initial is None else _float64(initial)
        return _kmeans_in_float64(_float64(points), k, iterations, kind, start, seed)
    centroids, codes, inertia, count = _core.kmeans(
        _handle(points), k, iterations, kind, None if initial is None else _handle(initial), seed
    )
    return KMeansResult(
        Tensor._wrap(centroids).numpy(), Tensor._wrap(codes).numpy(), inertia, count
    )


def _kmeans_in_float64(
    x: np.ndarray, k: int, iterations: int, kind: str, start: np.ndarray | None, seed: int
) -> KMeansResult:
    if x.ndim != 2:
        raise ValueError(f"[kmeans] shape {list(x.shape)}: x [n, d] is required")
    if not 1 <= k < 1 << 31:
        raise ValueError(f"[kmeans] k = {k}: must be at least 1 and fit in int32")
    if start is not None and start.shape != (k, x.shape[1]):
        raise ValueError(
            f"[kmeans] shapes {list(start.shape)} and {[k, x.shape[1]]}: "
            "initial centroids must be [k, d]"
        )
    centroids = np.empty((k, x.shape[1]))
    codes = np.empty(len(x), np.int32)
    power = _power(x) if start is None else _power(x, start)
    scaled = None if start is None else _times(start, power)
    inertia, count = _core.kmeans_f64(
        _times(x, power), iterations, kind, scaled, seed, centroids, codes
    )
    inertia = float(_times(np.array(inertia), -2 * power))
    return KMeansResult(_times(centroids, -power), codes, inertia, count)
