"""k-means by small batches."""

from __future__ import annotations

from operator import index

import numpy as np
import numpy.typing as npt

from .._arguments import checked
from .._arrays import exact_points
from .._random import checked_word
from .._tensor import Tensor
from ._clusters import start_of, sums_of
from ._search import KMeansResult, kmeans, nearest_codes

_REMEMBERED = 0.2  # of the points of earlier epochs


@checked
def minibatch_kmeans(
    x: npt.ArrayLike | Tensor,
    k: int,
    batch_size: int = 4096,
    epochs: int = 4,
    init: str | npt.ArrayLike = "kmeans++",
    seed: int = 0,
) -> KMeansResult:
    """k-means of x [n, d] by batches of its rows, each row once an epoch (Sculley 2010).

    After a batch each centroid is the mean of the points that all batches have given it, those of
    earlier epochs counting for a fifth: they were given by worse centroids. A centroid without any
    at the end of an epoch is moved onto the point farthest from its own in the last batch. It costs
    `epochs` assignments; x may be an `np.memmap`, of which a batch's rows are read at a time.

    `init`: "kmeans++" or "random" among 64 k rows, or centroids [k, d]. `codes` and `inertia` are
    those of the final centroids, `iterations` the batches. ValueError for NaN, infinity, no rows,
    or k, batch_size or epochs below 1.
    """
    operation = "minibatch_kmeans"
    seed, k = checked_word(operation, "seed", seed), index(k)
    for name, value in (("k", k), ("batch_size", batch_size), ("epochs", epochs)):
        if value < 1:
            raise ValueError(f"[{operation}] {name} = {value}: must be at least 1")
    points = exact_points(operation, "x", x.numpy() if isinstance(x, Tensor) else x)
    if points.ndim != 2 or not points.size:
        raise ValueError(
            f"[{operation}] x of shape {[*points.shape]}: [n, d] with at least one row and column "
            "is required"
        )
    random = np.random.default_rng(seed)

    def drawn(count: int) -> np.ndarray:
        chosen = random.choice(len(points), min(len(points), count), replace=False)
        found: np.ndarray = points[np.sort(chosen)]
        return found

    start = start_of(operation, init, (k, points.shape[1]), drawn, seed)
    centroids = start.astype(np.result_type(start, points))
    counts = np.zeros(k)
    steps = 0
    for _ in range(epochs):
        counts *= _REMEMBERED
        order = random.permutation(len(points))
        for first in range(0, len(points), batch_size):
            rows = np.sort(order[first : first + batch_size])
            batch = points[rows]
            codes, squares = nearest_codes(batch, centroids, return_distances=True)
            _move(centroids, counts, batch, codes)
            steps += 1
        empty = np.flatnonzero(counts == 0)[: len(batch)]
        far = np.argsort(-squares, kind="stable")[: len(empty)]
        centroids[empty[: len(far)]] = batch[far]
    # An iteration more costs two searches; none gives codes and inertia.
    final = kmeans(points, k, 0, centroids, seed)
    return KMeansResult(final.centroids, final.codes, final.inertia, steps)


def _move(centroids: np.ndarray, counts: np.ndarray, batch: np.ndarray, codes: np.ndarray) -> None:
    """Moves centroids to the means of all points that they have been given."""
    used, here, sums = sums_of(batch, codes)
    counts[used] += here
    share = 1 / counts[used, None]
    centroids[used] += (sums - here[:, None] * centroids[used].astype(np.float64)) * share
