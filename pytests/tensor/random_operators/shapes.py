"""Shapes and orders of elements: every operator is linear."""

from __future__ import annotations

from typing import Any

import numpy as np
import vqswift as vq
from vqswift import Tensor

from .case import Case, Draw, Maker


def _elements(draw: Draw, shape: tuple[int, ...]) -> np.ndarray:
    """Mostly floats, which have gradients."""
    kind = draw.whole(0, 9)
    return (draw.integers, draw.truths, *[draw.floats] * 8)[kind](shape)


def _reshape(draw: Draw) -> Case:
    shape = draw.shape()
    flat = [int(size) for size in draw.rng.permutation(shape)] if shape else [1]
    while len(flat) > 1 and draw.chance(0.5):
        last = flat.pop()
        flat[draw.whole(0, len(flat) - 1)] *= last
    if draw.chance(0.5) and np.prod(flat) > 0:
        flat[draw.whole(0, len(flat) - 1)] = -1
    return Case(lambda t: t.reshape(flat), lambda x: x.reshape(flat), [_elements(draw, shape)])


def _permute(draw: Draw) -> Case:
    shape = draw.shape()
    order = [int(axis) for axis in draw.rng.permutation(len(shape))]
    order = [axis - len(shape) if draw.chance(0.3) else axis for axis in order]
    return Case(lambda t: t.permute(order), lambda x: x.transpose(order), [_elements(draw, shape)])


def _transpose(draw: Draw) -> Case:
    shape = draw.shape(least_rank=1)
    a, b = draw.axis(len(shape)), draw.axis(len(shape))
    return Case(lambda t: t.transpose(a, b), lambda x: x.swapaxes(a, b), [_elements(draw, shape)])


def _reversed_axes(draw: Draw) -> Case:
    return Case(lambda t: t.T, lambda x: x.T, [_elements(draw, draw.shape())])


def _broadcast_to(draw: Draw) -> Case:
    shape = draw.shape()
    return Case(
        lambda t: t.broadcast_to(shape),
        lambda x: np.broadcast_to(x, shape),
        [_elements(draw, draw.broadcasting(shape))],
        scale=64,
    )


def _squeeze(draw: Draw) -> Case:
    x = _elements(draw, draw.shape())
    ones = [axis for axis, size in enumerate(x.shape) if size == 1]
    axis = draw.one_of(ones) if ones and draw.chance(0.7) else None
    return Case(lambda t: t.squeeze(axis), lambda v: np.squeeze(v, axis), [x])


def _unsqueeze(draw: Draw) -> Case:
    shape = draw.shape()
    axis = draw.axis(len(shape) + 1)
    return Case(
        lambda t: t.unsqueeze(axis), lambda x: np.expand_dims(x, axis), [_elements(draw, shape)]
    )


def _flatten(draw: Draw) -> Case:
    shape = draw.shape(least_rank=1)
    first = draw.whole(0, len(shape) - 1)
    last = draw.whole(first, len(shape) - 1)
    joined = (*shape[:first], int(np.prod(shape[first : last + 1])), *shape[last + 1 :])
    return Case(
        lambda t: t.flatten(first, last), lambda x: x.reshape(joined), [_elements(draw, shape)]
    )


def _flip(draw: Draw) -> Case:
    shape = draw.shape(least_rank=1)
    axis = draw.axis(len(shape))
    return Case(lambda t: t.flip(axis), lambda x: np.flip(x, axis), [_elements(draw, shape)])


def _roll(draw: Draw) -> Case:
    shape = draw.shape(least_rank=1)
    axis, shift = draw.axis(len(shape)), draw.whole(-9, 9)
    return Case(
        lambda t: t.roll(shift, axis), lambda x: np.roll(x, shift, axis), [_elements(draw, shape)]
    )


def _split(draw: Draw) -> Case:
    """Parts joined again in another order."""
    shape = draw.shape(least_rank=1, least=1)
    axis, size = draw.axis(len(shape)), draw.whole(1, 4)

    def ours(t: Tensor) -> Tensor:
        return vq.concatenate(t.split(size, axis)[::-1], axis)

    def numpys(x: np.ndarray) -> np.ndarray:
        parts = np.split(x, range(size, shape[axis], size), axis)
        return np.concatenate(parts[::-1], axis)

    return Case(ours, numpys, [_elements(draw, shape)])


def _chunk(draw: Draw) -> Case:
    shape = draw.shape(least_rank=1, least=1)
    axis, count = draw.axis(len(shape)), draw.whole(1, 4)
    width = -(-shape[axis] // count)
    return Case(
        lambda t: t.chunk(count, axis)[-1],
        lambda x: np.split(x, range(width, shape[axis], width), axis)[-1],
        [_elements(draw, shape)],
    )


def _repeat(draw: Draw) -> Case:
    shape = draw.shape(most_rank=3)
    counts = [draw.whole(0, 3) for _ in range(len(shape) + draw.whole(0, 2))]
    return Case(
        lambda t: t.repeat(*counts),
        lambda x: np.tile(x, counts),
        [_elements(draw, shape)],
        scale=32,
    )


def _pad(draw: Draw) -> Case:
    shape = draw.shape(most_rank=4)
    widths = [(draw.whole(0, 2), draw.whole(0, 2)) for _ in shape]
    return Case(
        lambda t: vq.pad(t, widths, 1),
        lambda x: np.pad(x, widths, constant_values=1) if widths else x,
        [_elements(draw, shape)],
    )


def _pad_by_elements(draw: Draw) -> Case:
    ours, numpys = draw.one_of(
        [("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")]
    )
    shape = draw.shape(least_rank=1, most_rank=4, least=1)
    most = [size - 1 if ours == "reflect" else size for size in shape]
    widths = [(draw.whole(0, min(n, 2)), draw.whole(0, min(n, 2))) for n in most]
    return Case(
        lambda t: vq.pad(t, widths, mode=ours),
        lambda x: np.pad(x, widths, mode=numpys),
        [_elements(draw, shape)],
        scale=16,
    )


def _concatenate(draw: Draw) -> Case:
    shape = draw.shape(least_rank=1, most_rank=4)
    axis = draw.axis(len(shape))
    kind: Any = draw.one_of([draw.floats, draw.floats, draw.integers, draw.truths])
    inputs = []
    for _ in range(draw.whole(1, 4)):
        sizes = list(shape)
        sizes[axis] = draw.size()
        inputs.append(kind(sizes))
    return Case(lambda *ts: vq.concatenate(ts, axis), lambda *xs: np.concatenate(xs, axis), inputs)


def _stack(draw: Draw) -> Case:
    shape = draw.shape(most_rank=4)
    axis = draw.axis(len(shape) + 1)
    inputs = [draw.floats(shape) for _ in range(draw.whole(1, 4))]
    return Case(lambda *ts: vq.stack(ts, axis), lambda *xs: np.stack(xs, axis), inputs)


def _triangle(draw: Draw) -> Case:
    name, diagonal = draw.one_of(["tril", "triu"]), draw.whole(-4, 4)
    return Case(
        lambda t: getattr(t, name)(diagonal),
        lambda x: getattr(np, name)(x, diagonal),
        [_elements(draw, draw.shape(least_rank=2))],
    )


def _meshgrid(draw: Draw) -> Case:
    inputs = [draw.floats((draw.size(),)) for _ in range(draw.whole(1, 3))]
    indexing = draw.one_of(["ij", "xy"])
    return Case(
        lambda *ts: vq.stack(vq.meshgrid(*ts, indexing=indexing)),
        lambda *xs: np.stack(np.meshgrid(*xs, indexing=indexing)),
        inputs,
        scale=64,
    )


MAKERS: dict[str, Maker] = {
    "reshape": _reshape,
    "permute": _permute,
    "transpose": _transpose,
    "T": _reversed_axes,
    "broadcast_to": _broadcast_to,
    "squeeze": _squeeze,
    "unsqueeze": _unsqueeze,
    "flatten": _flatten,
    "flip": _flip,
    "roll": _roll,
    "split": _split,
    "chunk": _chunk,
    "repeat": _repeat,
    "pad": _pad,
    "pad by elements": _pad_by_elements,
    "concatenate": _concatenate,
    "stack": _stack,
    "triangle": _triangle,
    "meshgrid": _meshgrid,
}
