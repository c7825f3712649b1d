"""Integers, truths and comparisons."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import vqswift as vq
from vqswift import Tensor

from .case import Case, Draw, Maker


def _whole(draw: Draw, shape: tuple[int, ...]) -> np.ndarray:
    return draw.truths(shape) if draw.chance(0.3) else draw.extreme_integers(shape)


def _wrapping(function: Callable[..., Any]) -> Callable[..., np.ndarray]:
    """In int64, then the low 32 bits."""
    return lambda *operands: np.asarray(
        function(*(np.asarray(x).astype(np.int64) for x in operands))
    ).astype(np.int32)


def _arithmetic(ours: Callable[..., Tensor], function: Callable[..., Any]) -> Maker:
    def make(draw: Draw) -> Case:
        a, b = draw.pair()
        return Case(ours, _wrapping(function), [_whole(draw, a), _whole(draw, b)])

    return make


def _division(ours: Callable[..., Tensor], function: Callable[..., Any]) -> Maker:
    def make(draw: Draw) -> Case:
        a, b = draw.pair()
        divisor = draw.extreme_integers(b)
        divisor = np.where(divisor == 0, np.int32(3), divisor)
        return Case(ours, _wrapping(function), [_whole(draw, a), divisor])

    return make


def _keeping_truth(ours: Callable[..., Tensor], function: Callable[..., Any]) -> Maker:
    def make(draw: Draw) -> Case:
        a, b = draw.pair()
        return Case(ours, function, [_whole(draw, a), _whole(draw, b)])

    return make


def _comparison(ours: Callable[..., Tensor]) -> Maker:
    def make(draw: Draw) -> Case:
        shapes = draw.pair()
        kinds = [draw.special, draw.ties, draw.extreme_integers, draw.truths]
        return Case(ours, ours, [draw.one_of(kinds)(shape) for shape in shapes])

    return make


def _beside_floats(draw: Draw) -> Case:
    a, b = draw.pair()
    ours = draw.one_of([operator.add, operator.sub, operator.mul, vq.maximum])
    numpys = {vq.maximum: np.maximum}.get(ours, ours)
    if draw.chance(0.5):
        return Case(
            ours,
            lambda x, y: numpys(x, y * 1.0),
            [draw.floats(a), draw.integers(b, -99, 99)],
            8,
            99,
        )
    return Case(
        ours, lambda x, y: numpys(x * 1.0, y), [draw.integers(a, -99, 99), draw.floats(b)], 8, 99
    )


def _conversion(draw: Draw) -> Case:
    kinds = [draw.floats, draw.integers, draw.truths]
    x = draw.one_of(kinds)(draw.shape())
    target = draw.one_of([np.float32, np.int32, np.bool_])
    return Case(
        lambda t: t.astype(target),
        lambda v: v.astype(np.float64 if target == np.float32 else target),
        [x],
    )


def _where(draw: Draw) -> Case:
    shape = draw.shape()
    condition, a, b = (draw.broadcasting(shape) for _ in range(3))
    maker = draw.one_of([draw.truths, draw.extreme_integers])
    return Case(vq.where, np.where, [draw.truths(condition), maker(a), maker(b)])


def _sign_and_size(draw: Draw) -> Case:
    x = draw.extreme_integers(draw.shape())
    ours, function = draw.one_of(
        [(operator.neg, np.negative), (abs, np.abs), (operator.invert, np.invert)]
    )
    return Case(ours, _wrapping(function), [x])


MAKERS: dict[str, Maker] = {
    "integer add": _arithmetic(operator.add, np.add),
    "integer subtract": _arithmetic(operator.sub, np.subtract),
    "integer multiply": _arithmetic(operator.mul, np.multiply),
    "floor_divide": _division(operator.floordiv, np.floor_divide),
    "remainder": _division(operator.mod, np.remainder),
    "and": _keeping_truth(operator.and_, np.bitwise_and),
    "or": _keeping_truth(operator.or_, np.bitwise_or),
    "xor": _keeping_truth(operator.xor, np.bitwise_xor),
    "integer maximum": _keeping_truth(vq.maximum, np.maximum),
    "integer minimum": _keeping_truth(vq.minimum, np.minimum),
    **{
        f"compare {ours.__name__}": _comparison(ours)
        for ours in (
            *(operator.eq, operator.ne, operator.lt),
            *(operator.le, operator.gt, operator.ge),
        )
    },
    "integers beside floats": _beside_floats,
    "astype": _conversion,
    "integer where": _where,
    "integer sign and size": _sign_and_size,
}
