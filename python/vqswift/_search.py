"""The nearest codes of vectors, and k-means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, overload

import numpy as np
import numpy.typing as npt

from . import _core
from ._arguments import checked
from ._random import checked_word
from ._tensor import Tensor, as_tensor


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
    """x [n, d], codebook [k, d] -> codes int32 [n], and squared distances float32 [n] if asked.

    With `topk`, 1 to k: the so many nearest codes, nearest first, [n, topk], and their distances.

    The code is the arg-min of the squared distance in Float64, the lowest index on equality, the
    same for every thread count. ValueError for NaN, infinity, no rows or no codes.
    """
    points, codes = as_tensor(x)._handle, as_tensor(codebook)._handle
    if not return_distances:
        only = (
            _core.nearest_codes(points, codes, False)
            if topk is None
            else _core.nearest_codes_ranked(points, codes, topk, False)
        )
        return Tensor._wrap(only).numpy()
    found = (
        _core.nearest_codes(points, codes, True)
        if topk is None
        else _core.nearest_codes_ranked(points, codes, topk, True)
    )
    return Tensor._wrap(found[0]).numpy(), Tensor._wrap(found[1]).numpy()


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

    `init`: "kmeans++", "random", or centroids [k, d] to start from. k is kept when n < k.
    ValueError for NaN, infinity, no rows or k < 1.
    """
    seed = checked_word("kmeans", "seed", seed)
    kinds = {"kmeans++": 0, "random": 1}
    if isinstance(init, str):
        if init not in kinds:
            raise ValueError(f"[kmeans] init = {init!r}: it must be one of {[*kinds]} or an array")
        kind, initial = kinds[init], None
    else:
        kind, initial = 2, as_tensor(init)._handle
    centroids, codes, inertia, count = _core.kmeans(
        as_tensor(x)._handle, k, iterations, kind, initial, seed
    )
    return KMeansResult(
        Tensor._wrap(centroids).numpy(), Tensor._wrap(codes).numpy(), inertia, count
    )
