"""What leaves fewer elements, or one that depends on those before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .case import Case, Draw, Maker


def _seen(shape: tuple[int, ...], axes: Any) -> int:
    """Elements that one result sees."""
    if axes is None:
        axes = range(len(shape))
    axes = (axes,) if isinstance(axes, int) else axes
    return int(np.prod([shape[axis] for axis in axes], dtype=np.int64))


def _reduction(
    name: str,
    reference: Callable[..., Any],
    elements: Callable[[Draw, tuple[int, ...]], np.ndarray] = Draw.floats,
    least: int = 0,
    **options: Any,
) -> Maker:
    """`least`: elements below which it is refused."""

    def make(draw: Draw) -> Case:
        shape = draw.shape()
        axes, keepdims = draw.axes(len(shape)), draw.chance(0.5)
        case = Case(
            lambda t: getattr(t, name)(axis=axes, keepdims=keepdims),
            lambda x: reference(x, axis=axes, keepdims=keepdims),
            [elements(draw, shape)],
            **options,
        )
        if _seen(shape, axes) < least:
            case.raises = ValueError
        return case

    return make


def _logsumexp(x: np.ndarray, **options: Any) -> Any:
    return np.log(np.exp(x).sum(**options))


def _deviation(name: str, function: Callable[..., Any]) -> Maker:
    def make(draw: Draw) -> Case:
        shape, unbiased, keepdims = draw.shape(), draw.chance(0.5), draw.chance(0.5)
        axes = draw.axes(len(shape))
        x = draw.floats(shape) / 4
        case = Case(
            lambda t: getattr(t, name)(axis=axes, keepdims=keepdims, unbiased=unbiased),
            lambda v: function(v, axis=axes, keepdims=keepdims, ddof=int(unbiased)),
            [x],
            # The mean, the differences and, of a root, the root of a small sum.
            roundings=256,
            scale=4,
        )
        if _seen(shape, axes) < 1 + unbiased:
            case.raises = ValueError
        # The root of no deviation has no slope.
        case.is_smooth = name == "var" or _seen(shape, axes) > 1
        return case

    return make


def _some_zeros(draw: Draw, shape: tuple[int, ...]) -> np.ndarray:
    x = draw.away_from_zero(shape)
    if x.size > 24:
        x = np.clip(x, -1.1, 1.1)
    return np.where(draw.rng.random(shape) < 0.2, np.float32(0), x).astype(np.float32)


def _few_integers(draw: Draw, shape: tuple[int, ...]) -> np.ndarray:
    if draw.chance(0.3):
        return draw.truths(shape)
    return draw.integers(shape)


def _signs(draw: Draw, shape: tuple[int, ...]) -> np.ndarray:
    return draw.truths(shape) if draw.chance(0.3) else draw.integers(shape, -1, 1)


def _in_int32(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, **options: np.asarray(function(x, dtype=np.int64, **options)).astype(np.int32)


def _norm(draw: Draw) -> Case:
    p = draw.one_of([1, 2, 2, 3, 1.5, 0.5, np.inf])
    shape, keepdims = draw.shape(), draw.chance(0.5)
    axes = draw.axes(len(shape))

    def reference(x: np.ndarray) -> Any:
        size = np.abs(x)
        if p == np.inf:
            return size.max(axis=axes, keepdims=keepdims)
        return (size**p).sum(axis=axes, keepdims=keepdims) ** (1 / p)

    case = Case(
        lambda t: t.norm(p, axis=axes, keepdims=keepdims),
        reference,
        [_apart_in_size(draw, shape)],
        roundings=16,
    )
    if p == np.inf and not _seen(shape, axes):
        case.raises = ValueError
    return case


def _apart_in_size(draw: Draw, shape: tuple[int, ...]) -> np.ndarray:
    """Absolute values that differ, so that the largest has a slope."""
    x = draw.floats(shape)
    return np.asarray(np.where(x < 0, x - np.float32(1 / 128), x), np.float32)


def _along(name: str, reference: Callable[..., Any], elements: Any, **options: Any) -> Maker:
    def make(draw: Draw) -> Case:
        shape = draw.shape(least_rank=1)
        axis = draw.axis(len(shape))
        return Case(
            lambda t: getattr(t, name)(axis=axis),
            lambda x: reference(x, axis=axis),
            [elements(draw, shape)],
            **options,
        )

    return make


def _position(name: str, reference: Callable[..., Any]) -> Maker:
    def make(draw: Draw) -> Case:
        shape = draw.shape(least_rank=1)
        axis = draw.axis(len(shape))
        kinds = [draw.special, draw.ties, draw.extreme_integers, draw.truths]
        case: Case = Case(
            lambda t: getattr(t, name)(axis),
            lambda x: np.asarray(reference(x, axis=axis), np.int32),
            [draw.one_of(kinds)(shape)],
        )
        if shape[axis] == 0:
            case.raises = ValueError
        return case

    return make


MAKERS: dict[str, Maker] = {
    "sum": _reduction("sum", np.sum, scale=64),
    "mean": _reduction("mean", np.mean, least=1, scale=4),
    "max": _reduction("max", np.max, least=1),
    "min": _reduction("min", np.min, least=1),
    "max of special numbers": _reduction("max", np.max, Draw.special, 1, is_smooth=False),
    "min of special numbers": _reduction("min", np.min, Draw.special, 1, is_smooth=False),
    "logsumexp": _reduction("logsumexp", _logsumexp, least=1, roundings=64),
    "prod": _reduction("prod", np.prod, _some_zeros, roundings=32),
    "any": _reduction("any", np.any, Draw.special),
    "all": _reduction("all", np.all, Draw.special),
    "integer sum": _reduction("sum", _in_int32(np.sum), _few_integers),
    "integer prod": _reduction("prod", _in_int32(np.prod), _signs),
    "integer max": _reduction("max", np.max, Draw.extreme_integers, least=1),
    "integer min": _reduction("min", np.min, Draw.truths, least=1),
    "integer mean": _reduction("mean", np.mean, _few_integers, least=1),
    "integer any": _reduction("any", np.any, _few_integers),
    "integer all": _reduction("all", np.all, Draw.truths),
    "var": _deviation("var", np.var),
    "std": _deviation("std", np.std),
    "norm": _norm,
    "cumsum": _along("cumsum", np.cumsum, Draw.floats, scale=64),
    "cumprod": _along("cumprod", np.cumprod, _some_zeros, roundings=32),
    "integer cumsum": _along("cumsum", _in_int32(np.cumsum), _few_integers),
    "integer cumprod": _along("cumprod", _in_int32(np.cumprod), _signs),
    "argmax": _position("argmax", np.argmax),
    "argmin": _position("argmin", np.argmin),
}
