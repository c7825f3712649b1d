"""k-means of points that are not in memory at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from operator import index

import numpy as np
import numpy.typing as npt

from .._arguments import checked, refuse
from .._arrays import exact_points
from .._random import checked_word
from .._tensor import Tensor
from ._clusters import start_of, sums_of
from ._search import nearest_codes

_ROWS = 1 << 16  # that are searched and summed at a time
_FARTHEST = 1024  # points at most that empty clusters are given after a pass
_SMALLEST, _LARGEST = 1e-25, 1e36  # squared distances that float32 holds with all its digits


@dataclass(frozen=True)
class KMeansProgress:
    """`iteration`: updates made so far; the `inertia` of the `centroids` [k, d] after them."""

    iteration: int
    inertia: float
    centroids: np.ndarray


@dataclass(frozen=True)
class BlockKMeansResult:
    """`centroids` [k, d] and their `inertia` (the sum of squared distances), the `iterations` run,
    the number of `points`, and whether `on_iteration` ended it (`is_stopped`)."""

    centroids: np.ndarray
    inertia: float
    iterations: int
    points: int
    is_stopped: bool


@checked
def kmeans_blocks(
    blocks: Iterable[npt.ArrayLike],
    k: int,
    iterations: int = 25,
    init: str | npt.ArrayLike = "kmeans++",
    seed: int = 0,
    on_iteration: Callable[[KMeansProgress], object] | None = None,
) -> BlockKMeansResult:
    """Lloyd's k-means of the rows of all blocks, arrays [n_i, d], in bounded memory.

    `blocks` is gone through once for the start, where that is drawn, and once an iteration, the
    same rows each time: a list of `np.memmap`s, or an object whose `__iter__` reads files. What is
    held is a part of a block of 65,536 rows, the sums [k, d] and, for a start, 64 k rows drawn
    uniformly, among which `init` "kmeans++" or "random" chooses; centroids [k, d] may stand in its
    place. Codes are not kept: `nearest_codes(block, result.centroids)` gives them.

    `on_iteration` is called after each pass; where it returns True, the clustering ends with the
    centroids and the inertia that it was shown; it returns a bool or None. What it raises passes
    through, as Ctrl-C does.

    Codes and means are those of `kmeans`: exact nearest centroids, sums in Float64. It ends when no
    centroid moves. A cluster that empties takes the point farthest from its centroid. Blocks of
    float64, and of integers of 32 bits and more, are compared in float64, and centroids are float64
    where any block is.

    TypeError for an iterator, which cannot be gone through again; ValueError for NaN, infinity, no
    rows, blocks of different widths, or rows that change in number between passes.
    """
    seed, k = checked_word("kmeans_blocks", "seed", seed), index(k)
    if iter(blocks) is blocks:
        refuse("kmeans_blocks", "blocks", blocks, "what can be gone through again, such as a list,")
    if k < 1 or iterations < 0:
        raise ValueError(
            f"[kmeans_blocks] k = {k}, iterations = {iterations}: must be at least 1 and 0"
        )
    drawn = partial(_drawn, blocks, seed)
    centroids = start_of("kmeans_blocks", init, (k, None), drawn, seed)
    run = _Passes(blocks, centroids)
    done = 0
    while True:
        run.measure(centroids)
        centroids = centroids.astype(run.dtype, copy=False)
        shown = KMeansProgress(done, run.inertia, centroids.copy())
        is_stopped = on_iteration is not None and _stops(on_iteration(shown))
        ends = is_stopped or iterations == 0
        moved = centroids if ends else run.moved(centroids, done < iterations)
        if np.array_equal(moved, centroids):
            return BlockKMeansResult(centroids, run.inertia, done, run.points, is_stopped)
        centroids = moved
        done = min(done + 1, iterations)


def _stops(answer: object) -> bool:
    """What `on_iteration` has returned."""
    if answer is not None and not isinstance(answer, (bool, np.bool_)):
        refuse("kmeans_blocks", "what on_iteration returns", answer, "True, False or None")
    return bool(answer)


class _Passes:
    """Goes through the blocks; what the last pass found."""

    def __init__(self, blocks: Iterable[npt.ArrayLike], centroids: np.ndarray) -> None:
        self._blocks = blocks
        self._shape = centroids.shape
        self.points = -1
        self.dtype = centroids.dtype

    def measure(self, centroids: np.ndarray) -> None:
        """The sums of the rows nearest to each centroid, and the rows farthest from theirs."""
        k, d = self._shape
        codebook = Tensor(centroids) if centroids.dtype == np.float32 else centroids
        self._sums, self._counts = np.zeros((k, d)), np.zeros(k, np.int64)
        self._far, self._lengths = np.empty((0, d), centroids.dtype), np.empty(0)
        self.inertia, points = 0.0, 0
        for rows in _parts(self._blocks, d):
            self.dtype = np.result_type(self.dtype, rows)
            codes, squares = nearest_codes(rows, codebook, return_distances=True)
            if not _SMALLEST < squares.max(initial=0.0) < _LARGEST:
                difference = rows.astype(np.float64) - centroids[codes]
                squares = np.square(difference).sum(1)
            used, counts, sums = sums_of(rows, codes)
            self._sums[used] += sums
            self._counts[used] += counts
            self.inertia += float(squares.sum(dtype=np.float64))
            self._remember(rows, squares)
            points += len(rows)
        if points == 0:
            raise ValueError("[kmeans_blocks] blocks hold no rows")
        if self.points not in (-1, points):
            raise ValueError(
                f"[kmeans_blocks] blocks held {self.points} rows and then {points}: every pass "
                "must give the same"
            )
        self.points = points

    def moved(self, centroids: np.ndarray, to_means: bool) -> np.ndarray:
        """The centroids at the means of their points, if wanted, and the empty ones filled."""
        moved = centroids.copy()
        used = self._counts > 0
        if to_means:
            moved[used] = self._sums[used] / self._counts[used, None]
        empty = np.flatnonzero(~used)[: len(self._far)]
        moved[empty] = self._far[: len(empty)]
        return moved

    def _remember(self, rows: np.ndarray, squares: np.ndarray) -> None:
        """Keeps distinct rows of largest distance above 0, the first ones on equality."""
        count = min(len(self._counts), _FARTHEST)
        least = self._lengths[-1] if len(self._lengths) == count else 0.0
        further = np.flatnonzero(squares > least)
        if not further.size:
            return
        if further.size > 4 * count:
            further = further[np.argpartition(-squares[further], 4 * count)[: 4 * count]]
            further.sort()
        far = np.concatenate([self._far, rows[further]])
        lengths = np.concatenate([self._lengths, squares[further].astype(np.float64)])
        order = np.argsort(-lengths, kind="stable")
        _, first = np.unique(far[order], axis=0, return_index=True)
        chosen = order[np.sort(first)[:count]]
        self._far, self._lengths = far[chosen], lengths[chosen]


def _parts(blocks: Iterable[npt.ArrayLike], d: int | None) -> Iterator[np.ndarray]:
    """Rows of the blocks, some at a time."""
    for number, block in enumerate(blocks):
        array = block if isinstance(block, np.ndarray) else np.asarray(block)
        if array.ndim != 2 or (d is not None and array.shape[1] != d):
            width = "d" if d is None else d
            raise ValueError(
                f"[kmeans_blocks] blocks: block {number} of shape {[*array.shape]}: "
                f"[n, {width}] is required"
            )
        d = array.shape[1]
        for first in range(0, len(array), _ROWS):
            rows = exact_points("kmeans_blocks", "blocks", array[first : first + _ROWS])
            if not np.isfinite(rows).all():
                row, column = np.argwhere(~np.isfinite(rows))[0]
                raise ValueError(
                    f"[kmeans_blocks] block {number} holds {rows[row, column]} in row "
                    f"{first + row}: every element must be finite"
                )
            yield rows


def _drawn(blocks: Iterable[npt.ArrayLike], seed: int, count: int) -> np.ndarray:
    """`count` rows drawn uniformly, or all, in their order: those of the least random keys."""
    random = np.random.default_rng(seed)
    kept: np.ndarray | None = None
    keys = np.empty(0)
    for rows in _parts(blocks, None):
        if kept is None:
            kept = rows[:0]
        elif rows.shape[1] != kept.shape[1]:
            raise ValueError(
                f"[kmeans_blocks] blocks of {kept.shape[1]} and of {rows.shape[1]} columns"
            )
        own = random.random(len(rows))
        if len(keys) == count:
            rows, own = rows[own < keys.max()], own[own < keys.max()]
        kept, keys = np.concatenate([kept, rows]), np.concatenate([keys, own])
        if len(keys) > count:
            least = np.sort(np.argpartition(keys, count)[:count])
            kept, keys = kept[least], keys[least]
    if kept is None or not len(kept):
        raise ValueError("[kmeans_blocks] blocks hold no rows")
    return kept
