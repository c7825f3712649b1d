"""Keys between brackets."""

from __future__ import annotations

from typing import Any

from .case import Case, Draw, Maker


def _basic(draw: Draw, size: int) -> Any:
    if size and draw.chance(0.3):
        return draw.whole(-size, size - 1)
    ends = [None, *range(-size - 2, size + 3)]
    step = draw.one_of([None, None, None, 1, 2, 3, 50, -1, -1, -2, -50])
    return slice(draw.one_of(ends), draw.one_of(ends), step)


def _between(draw: Draw, key: list[Any]) -> tuple[Any, ...]:
    """`key` with None and `...` among its items, or fewer of its items."""
    if draw.chance(0.3):
        key = key[: draw.whole(0, len(key))]
    elif draw.chance(0.4):
        first = draw.whole(0, len(key))
        last = draw.whole(first, len(key))
        key = [*key[:first], Ellipsis, *key[last:]]
    while draw.chance(0.2):
        key.insert(draw.whole(0, len(key)), None)
    return tuple(key)


def _case(draw: Draw, shape: tuple[int, ...], key: Any) -> Case:
    kind = draw.one_of([draw.floats, draw.floats, draw.floats, draw.integers, draw.truths])
    return Case(lambda t: t[key], lambda x: x[key], [kind(shape)], scale=16)


def _slices(draw: Draw) -> Case:
    shape = draw.shape()
    key = [_basic(draw, size) for size in shape]
    return _case(draw, shape, _between(draw, key))


def _arrays(draw: Draw) -> Case:
    """Integer arrays that broadcast, among slices and integers."""
    shape = draw.shape(least_rank=1, least=1)
    common = draw.shape(most_rank=2)
    key: list[Any] = [_basic(draw, size) for size in shape]
    for axis in draw.rng.permutation(len(shape))[: draw.whole(1, 3)]:
        size = shape[axis]
        key[axis] = draw.rng.integers(-size, size, draw.broadcasting(common))
    return _case(draw, shape, _between(draw, key))


def _masks(draw: Draw) -> Case:
    """A mask over several axes, perhaps beside an array as long as it has trues."""
    shape = draw.shape(least_rank=1)
    first = draw.whole(0, len(shape) - 1)
    last = draw.whole(first + 1, len(shape))
    mask = draw.truths(shape[first:last])
    key: list[Any] = [_basic(draw, size) for size in shape]
    key[first:last] = [mask]
    for at, axis in enumerate([*range(first), *range(last, len(shape))]):
        if draw.chance(0.2) and shape[axis]:
            count = draw.one_of([1, int(mask.sum())])
            place = at if at < first else at + 1
            key[place] = draw.rng.integers(-shape[axis], shape[axis], count)
    return _case(draw, shape, _between(draw, key))


def _lists(draw: Draw) -> Case:
    shape = draw.shape(least_rank=1, least=1)
    count = draw.whole(0, 4)
    return _case(draw, shape, [draw.whole(-shape[0], shape[0] - 1) for _ in range(count)])


MAKERS: dict[str, Maker] = {
    "slices": _slices,
    "arrays": _arrays,
    "masks": _masks,
    "lists": _lists,
}
