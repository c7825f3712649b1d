"""k-means of vectors that are spread over ranks."""

from __future__ import annotations

import math
from operator import index

import numpy as np
import numpy.typing as npt

from .._arguments import checked
from .._random import checked_word
from .._tensor import Tensor
from ..quantizers._search import KMeansResult, nearest_codes
from ..quantizers._search import kmeans as kmeans_here
from ._communicator import Communicator
from ._current import current
from ._tree import Array

_SAMPLE = 64  # rows a center that starts are chosen among
_ROWS = 1 << 14  # whose distances are in memory at a time


@checked
def kmeans(
    x: npt.ArrayLike | Tensor,
    k: int,
    iterations: int = 25,
    init: str | npt.ArrayLike = "kmeans++",
    seed: int = 0,
) -> KMeansResult:
    """Lloyd's k-means of the rows of all ranks; x float32 [n, d] are this rank's, maybe none.

    Every rank calls it with the same k, iterations, init and seed, and gets the same `centroids`
    [k, d], `inertia` and `iterations`, with the `codes` of its own rows. The result does not
    depend, to the last bit, on how the rows are spread, as long as their order over the ranks is
    one: sums are exact, of elements that are rounded to a multiple of
    `2^(e - 52) n`, 2^e above the largest, n rounded up to a power of two: to 2^-32 of the largest
    for a million rows.

    Starts are "kmeans++" or "random" among 64 k rows drawn uniformly by `seed` (all, where there
    are fewer), or centroids [k, d]. A cluster that empties takes the row farthest from its
    centroid.

    TypeError for arrays of float64, which these sums would round; ValueError for NaN, infinity, no
    rows on any rank or k < 1. What is wrong with the rows of one rank is an error on all.
    """
    seed, k = checked_word("kmeans", "seed", seed), index(k)
    if k < 1 or iterations < 0:
        raise ValueError(f"[kmeans] k = {k}, iterations = {iterations}: at least 1 and 0")
    communicator = current()
    error: Exception | None = None
    try:
        points = _points(x)
    except (TypeError, ValueError) as wrong:
        points, error = np.empty((0, 0), np.float32), wrong
    told = np.array([len(points), points.shape[1] if points.ndim > 1 else -1, error is not None])
    rows = np.stack(communicator.all_gather_of(told, [3] * communicator.size))
    if error is not None:
        raise error
    if rows[:, 2].any():
        wrong_ranks = ", ".join(map(str, np.flatnonzero(rows[:, 2])))
        raise ValueError(f"[kmeans] x of rank {wrong_ranks} is refused there")
    widths = sorted(set(rows[:, 1].tolist()) - {-1})
    if len(widths) > 1:
        raise ValueError(f"[kmeans] d = {rows[:, 1].tolist()} by rank: it must be one")
    if not rows[:, 0].sum():
        raise ValueError("[kmeans] no rows on any rank")
    points = points.reshape(len(points), *widths)
    return _Clustering(communicator, points, k, rows[:, 0]).run(iterations, init, seed)


def _points(x: npt.ArrayLike | Tensor) -> Array:
    """This rank's rows [n, d], or [0] where it has none."""
    points = x.numpy() if isinstance(x, Tensor) else np.asarray(x)
    if points.size and points.dtype == np.float64 and isinstance(x, np.ndarray):
        raise TypeError("[kmeans] x float64: float32 is required over ranks")
    if points.dtype.kind not in "biuf":
        raise TypeError(f"[kmeans] x {points.dtype}: real numbers are required")
    with np.errstate(over="ignore"):
        points = np.ascontiguousarray(points, np.float32)
    if points.size == 0 and points.ndim == 1:
        return points
    if points.ndim != 2:
        raise ValueError(f"[kmeans] shape {list(points.shape)}: x [n, d] is required")
    if not np.isfinite(points).all():
        raise ValueError("[kmeans] x holds NaN or infinity")
    return points


class _Clustering:
    """`counts` are the rows of each rank."""

    def __init__(self, communicator: Communicator, points: Array, k: int, counts: Array) -> None:
        self._communicator, self._points, self._k = communicator, points, k
        self._counts = counts
        self._n = int(counts.sum())
        self._first = int(counts[: communicator.rank].sum())
        grid = self._grid_of(points)
        self._wide = np.rint(points.astype(np.float64) / grid) * grid

    def run(self, iterations: int, init: str | npt.ArrayLike, seed: int) -> KMeansResult:
        """The clustering."""
        centroids = self._start(init, seed)
        codes = self._nearest(centroids)
        done = 0
        while done < iterations:
            centroids = self._moved(centroids, codes)
            before = codes
            codes = self._nearest(centroids)
            done += 1
            changed = np.array([np.count_nonzero(codes != before)], np.int64)
            if not self._communicator.all_reduce(changed)[0]:
                break
        return KMeansResult(centroids, codes, self._inertia(centroids, codes), done)

    def _start(self, init: str | npt.ArrayLike, seed: int) -> Array:
        shape = self._k, self._points.shape[1]
        if not isinstance(init, str):
            given = np.ascontiguousarray(
                init.numpy() if isinstance(init, Tensor) else init, np.float32
            )
            if given.shape != shape:
                raise ValueError(
                    f"[kmeans] shapes {list(given.shape)} and {list(shape)}: initial centroids "
                    "must be [k, d]"
                )
            return given.copy()
        count = min(self._n, _SAMPLE * self._k)
        rows = np.arange(self._n)
        if count < self._n:
            rows = np.sort(np.random.default_rng(seed).choice(self._n, count, replace=False))
        return kmeans_here(self._rows(rows), self._k, 0, init, seed).centroids

    def _rows(self, rows: Array) -> Array:
        """Rows by their number over all ranks, ascending, on every rank."""
        ends = np.cumsum(self._counts)
        owners = np.searchsorted(ends, rows, side="right")
        lengths = [int((owners == rank).sum()) for rank in range(self._communicator.size)]
        own = self._points[rows[owners == self._communicator.rank] - self._first]
        return np.concatenate(self._communicator.all_gather_of(own, lengths))

    def _nearest(self, centroids: Array) -> Array:
        if not len(self._points):
            return np.empty(0, np.int32)
        return nearest_codes(self._points, centroids)

    def _distances(self, centroids: Array, codes: Array) -> Array:
        """The squared distances in Float64, where those of all finite float32 are finite."""
        found = np.empty(len(codes))
        for begin in range(0, len(codes), _ROWS):
            part = slice(begin, begin + _ROWS)
            difference = self._points[part].astype(np.float64) - centroids[codes[part]]
            found[part] = np.square(difference).sum(1)
        return found

    def _moved(self, centroids: Array, codes: Array) -> Array:
        k, d = centroids.shape
        sums = np.empty((k, d + 1))
        sums[:, d] = np.bincount(codes, minlength=k)
        for column in range(d):
            sums[:, column] = np.bincount(codes, self._wide[:, column], minlength=k)
        total = self._communicator.all_reduce(sums)
        counts = total[:, d]
        moved = centroids.copy()
        used = counts > 0
        moved[used] = total[used, :d] / counts[used, None]
        empty = np.flatnonzero(~used)
        if empty.size:
            farthest = self._farthest(self._distances(centroids, codes), empty.size)
            moved[empty[: len(farthest)]] = farthest
        return moved

    def _farthest(self, distances: Array, count: int) -> Array:
        """The vectors farthest from their centroids, those with distance 0 left out."""
        order = np.lexsort((np.arange(len(distances)), -distances))[:count]
        own = order[distances[order] > 0]
        told = np.stack([distances[own], own + float(self._first)], 1)
        found = np.concatenate(self._communicator.all_gather(told))
        best = np.lexsort((found[:, 1], -found[:, 0]))[:count]
        chosen = found[best, 1].astype(np.int64)
        ascending = np.sort(chosen)
        found_rows: Array = self._rows(ascending)[np.searchsorted(ascending, chosen)]
        return found_rows

    def _inertia(self, centroids: Array, codes: Array) -> float:
        """The sum of squared distances, exact in the same way."""
        distances = self._distances(centroids, codes)
        grid = self._grid_of(distances)
        rounded = np.array([(np.rint(distances / grid) * grid).sum()])
        return float(self._communicator.all_reduce(rounded)[0])

    def _grid_of(self, values: Array) -> float:
        """What elements are rounded to a multiple of, so that sums of all ranks' are exact."""
        here = np.array([np.abs(values).max(initial=0.0)], np.float64)
        most = float(self._communicator.all_reduce(here, "max")[0])
        bits = 52 - max(self._n - 1, 1).bit_length()
        return math.ldexp(1.0, math.frexp(most)[1] - bits) if most else 1.0
