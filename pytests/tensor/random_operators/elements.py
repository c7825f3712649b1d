"""Functions of one element, of two, and of a condition."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import vqswift as vq
from test_element_functions import FUNCTIONS
from vqswift import Tensor, _core
from vqswift.nn import functional as F

from .case import Case, Draw, Maker


def _unary(name: str, parameter: float, reference: Callable[..., Any], lowest: float) -> Maker:
    def make(draw: Draw) -> Case:
        x = draw.floats(draw.shape())
        x = np.where(x < lowest + 0.1, np.float32(lowest + 0.2) + np.abs(x), x)
        return Case(
            lambda t: Tensor._wrap(_core.tensor_unary(t._handle, name, parameter)),
            lambda v: reference(v) if v.size else v,
            [x.astype(np.float32)],
            roundings=64,
        )

    return make


def _binary(
    ours: Callable[..., Tensor], reference: Callable[..., Any], divides: bool = False
) -> Maker:
    def make(draw: Draw) -> Case:
        a, b = draw.pair()
        x = draw.floats(a)
        y = draw.away_from_zero(b) if divides else draw.offset_floats(b)
        if draw.chance(0.15):  # beside a number of Python
            number = float(draw.one_of([0.75, 1.25, -1.75]))
            if divides or draw.chance(0.5):
                return Case(lambda t: ours(t, number), lambda v: reference(v, number), [x])
            return Case(lambda t: ours(number, t), lambda v: reference(number, v), [y])
        return Case(ours, reference, [x, y])

    return make


def _where(draw: Draw) -> Case:
    shape = draw.shape()
    condition, a, b = (draw.broadcasting(shape) for _ in range(3))
    return Case(
        vq.where,
        lambda c, x, y: np.where(c, x, y),
        [draw.truths(condition), draw.floats(a), draw.floats(b)],
    )


def _clamp(draw: Draw) -> Case:
    low, high = draw.one_of([(-0.5, 1.0), (None, 0.5), (-1.0, None), (0.5, 0.5)])
    return Case(
        lambda t: t.clamp(low, high), lambda x: np.clip(x, low, high), [draw.floats(draw.shape())]
    )


def _power(draw: Draw) -> Case:
    exponent = draw.one_of([-2, -1, 0, 1, 2, 3, 0.5, 1.5])
    x = draw.away_from_zero(draw.shape())
    x = np.abs(x) if exponent % 1 else x
    return Case(lambda t: t**exponent, lambda v: v**exponent, [x], roundings=64)


def _ties(ours: Callable[..., Tensor], reference: Callable[..., Any]) -> Maker:
    def make(draw: Draw) -> Case:
        a, b = draw.pair()
        return Case(ours, reference, [draw.special(a), draw.special(b)], is_smooth=False)

    return make


def _masked_fill(draw: Draw) -> Case:
    shape = draw.shape()
    mask = draw.truths(draw.broadcasting(shape))
    return Case(
        lambda t: t.masked_fill(mask, 2.5), lambda x: np.where(mask, 2.5, x), [draw.floats(shape)]
    )


def _layer(ours: Callable[..., Tensor], reference: Callable[..., Any]) -> Maker:
    """A function of `vq.nn.functional` with kinks at multiples of 1/2 alone."""

    def make(draw: Draw) -> Case:
        return Case(ours, reference, [draw.floats(draw.shape())], roundings=16)

    return make


def _softmin(draw: Draw) -> Case:
    shape = draw.shape(least_rank=1, least=1)
    axis = draw.axis(len(shape))

    def reference(x: np.ndarray) -> np.ndarray:
        e = np.exp(x.min(axis=axis, keepdims=True) - x)
        return np.asarray(e / e.sum(axis=axis, keepdims=True))

    return Case(lambda t: F.softmin(t, axis), reference, [draw.floats(shape)], roundings=64)


def _used_twice(draw: Draw) -> Case:
    """One tensor in several places adds up its gradients."""
    return Case(
        lambda t: (t * t + t) * t.exp() - t,
        lambda x: (x * x + x) * np.exp(x) - x,
        [np.clip(draw.floats(draw.shape()), -2, 2)],
        roundings=64,
    )


MAKERS: dict[str, Maker] = {
    **{
        f"{name} {parameter:g}": _unary(name, parameter, reference, lowest)
        for name, parameter, reference, lowest, _ in FUNCTIONS
    },
    "add": _binary(operator.add, np.add),
    "subtract": _binary(operator.sub, np.subtract),
    "multiply": _binary(operator.mul, np.multiply),
    "divide": _binary(operator.truediv, np.divide, divides=True),
    "maximum": _binary(vq.maximum, np.maximum),
    "minimum": _binary(vq.minimum, np.minimum),
    "maximum of ties": _ties(vq.maximum, np.maximum),
    "minimum of ties": _ties(vq.minimum, np.minimum),
    "where": _where,
    "clamp": _clamp,
    "power": _power,
    "masked_fill": _masked_fill,
    "softmin": _softmin,
    "hardshrink": _layer(F.hardshrink, lambda x: np.where(np.abs(x) > 0.5, x, 0)),
    "softshrink": _layer(
        lambda t: F.softshrink(t, 1.5), lambda x: np.sign(x) * np.maximum(np.abs(x) - 1.5, 0)
    ),
    "tanhshrink": _layer(F.tanhshrink, lambda x: x - np.tanh(x)),
    "threshold": _layer(lambda t: F.threshold(t, -0.5, 2.0), lambda x: np.where(x > -0.5, x, 2.0)),
    "step": _layer(lambda t: F.step(t, 0.5), lambda x: np.where(x > 0.5, 1.0, 0.0)),
    "used twice": _used_twice,
}
