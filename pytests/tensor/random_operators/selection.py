"""Elements by position and by order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from vqswift import Tensor

from .case import Case, Draw, Maker


def _take(draw: Draw) -> Case:
    shape = draw.shape(least_rank=1, most_rank=4, least=1)
    axis = draw.axis(len(shape))
    indices = draw.rng.integers(0, shape[axis], draw.shape(most_rank=2)).astype(np.int32)
    return Case(
        lambda t: t.take(indices, axis),
        lambda x: np.take(x, indices, axis),
        [draw.floats(shape)],
        scale=32,
    )


def _positions(draw: Draw, shape: tuple[int, ...], axis: int, low: int = 0) -> np.ndarray:
    """As many axes, of another length along `axis`."""
    sizes = list(shape)
    sizes[axis] = draw.size()
    return np.asarray(draw.rng.integers(low, shape[axis], sizes), np.int32)


def _gather(draw: Draw) -> Case:
    shape = draw.shape(least_rank=1, least=1)
    axis = draw.axis(len(shape))
    fewer = tuple(draw.whole(0, size) if draw.chance(0.2) else size for size in shape)
    fewer = (*fewer[: axis % len(shape)], shape[axis], *fewer[axis % len(shape) + 1 :])
    index = _positions(draw, fewer, axis)

    def reference(x: np.ndarray) -> np.ndarray:
        cut = [slice(None) if at == axis % x.ndim else slice(n) for at, n in enumerate(fewer)]
        return np.take_along_axis(x[tuple(cut)], index.astype(np.int64), axis)

    kind = draw.one_of([draw.floats, draw.floats, draw.integers])
    return Case(lambda t: t.gather(axis, index), reference, [kind(shape)], scale=32)


def _take_along_axis(draw: Draw) -> Case:
    shape = draw.shape(least_rank=1, least=1)
    axis = draw.axis(len(shape))
    given = tuple(1 if draw.chance(0.3) else size for size in shape)
    given = (*given[: axis % len(shape)], shape[axis], *given[axis % len(shape) + 1 :])
    index = _positions(draw, given, axis, low=-shape[axis])
    return Case(
        lambda t: t.take_along_axis(index, axis),
        lambda x: np.take_along_axis(x, index.astype(np.int64), axis),
        [draw.floats(shape)],
        scale=64,
    )


def _scatter_add(draw: Draw) -> Case:
    shape = draw.shape(least_rank=1, least=1)
    axis = draw.axis(len(shape))
    index = _positions(draw, shape, axis)

    def reference(x: np.ndarray, source: np.ndarray) -> np.ndarray:
        total = x.copy()
        places = list(np.indices(index.shape))
        places[axis] = index
        np.add.at(total, tuple(places), source)
        return total

    return Case(
        lambda t, source: t.scatter_add(axis, index, source),
        reference,
        [draw.floats(shape), draw.floats(index.shape)],
        scale=16,
    )


def _gather_rows(draw: Draw) -> Case:
    k, d = draw.size(1), draw.one_of([0, 1, 3, 16, 35])
    codes = draw.rng.integers(0, k, draw.shape(most_rank=3)).astype(np.int32)
    return Case(lambda t: t.gather_rows(codes), lambda x: x[codes], [draw.floats((k, d))], scale=64)


def _scatter_add_rows(draw: Draw) -> Case:
    k, d = draw.size(1), draw.one_of([0, 1, 3, 16, 35])
    codes = draw.rng.integers(0, k, draw.shape(most_rank=2)).astype(np.int32)

    def reference(x: np.ndarray) -> np.ndarray:
        total = np.zeros((k, d))
        np.add.at(total, codes, x)
        return total

    return Case(
        lambda t: t.scatter_add_rows(codes, k),
        reference,
        [draw.floats((*codes.shape, d))],
        roundings=32,
        scale=32,
    )


def _one_hot(draw: Draw) -> Case:
    k = draw.size(1)
    codes = draw.integers(draw.shape(), 0, k - 1)
    return Case(lambda t: t.one_hot(k), lambda c: np.eye(k)[c], [codes])


def _order(x: np.ndarray, axis: int, descending: bool) -> np.ndarray:
    """Positions in order, stable, NaN as the greatest."""
    ranks = np.unique(x, return_inverse=True)[1].reshape(x.shape)
    ranks = np.where(np.isnan(x), x.size, ranks) if x.dtype.kind == "f" else ranks
    return np.argsort(-ranks if descending else ranks, axis=axis, kind="stable")


def _sorted(result: str) -> Maker:
    def make(draw: Draw) -> Case:
        shape = draw.shape(least_rank=1)
        axis, descending = draw.axis(len(shape)), draw.chance(0.5)
        kinds = [draw.floats, draw.special, draw.extreme_integers, draw.truths]
        x = draw.one_of(kinds[:2] if result == "values" else kinds)(shape)
        if result == "indices":
            return Case(
                lambda t: t.argsort(axis, descending),
                lambda v: _order(v, axis, descending).astype(np.int32),
                [x],
            )
        return Case(
            lambda t: t.sort(axis, descending).values,
            lambda v: np.take_along_axis(v, _order(v, axis, descending), axis),
            [x],
            is_smooth=np.isfinite(x).all() and len(np.unique(x)) == x.size,
        )

    return make


def _topk(draw: Draw) -> Case:
    shape = draw.shape(least_rank=1)
    axis, largest = draw.axis(len(shape)), draw.chance(0.5)
    k = draw.whole(0, shape[axis])
    kinds: list[Callable[..., Any]] = [draw.floats, draw.special, draw.extreme_integers]
    x = draw.one_of(kinds)(shape)

    def positions(v: np.ndarray) -> np.ndarray:
        return _order(v, axis, largest).take(range(k), axis)

    if draw.chance(0.5):
        return Case(
            lambda t: t.topk(k, axis, largest).indices, lambda v: positions(v).astype(np.int32), [x]
        )
    return Case(
        lambda t: t.topk(k, axis, largest).values,
        lambda v: np.take_along_axis(v, positions(v), axis),
        [x],
        is_smooth=x.dtype == np.float32
        and bool(np.isfinite(x).all())
        and len(np.unique(x)) == x.size,
    )


def _sort_of_long_rows(draw: Draw) -> Case:
    """Beyond the length where digits are sorted, and few of many."""
    shape = (draw.whole(1, 2), draw.whole(400, 3000))
    x = draw.one_of([draw.floats, draw.special, draw.extreme_integers])(shape)
    k = draw.one_of([1, 7, 40, 600, shape[1]])
    descending = draw.chance(0.5)
    k = min(k, shape[1])

    def ours(t: Tensor) -> Tensor:
        return t.topk(k, -1, descending).indices

    return Case(ours, lambda v: _order(v, -1, descending)[:, :k].astype(np.int32), [x])


MAKERS: dict[str, Maker] = {
    "take": _take,
    "gather": _gather,
    "take_along_axis": _take_along_axis,
    "scatter_add": _scatter_add,
    "gather_rows": _gather_rows,
    "scatter_add_rows": _scatter_add_rows,
    "one_hot": _one_hot,
    "argsort": _sorted("indices"),
    "sort": _sorted("values"),
    "topk": _topk,
    "sort of long rows": _sort_of_long_rows,
}
