"""Pools as functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from .._arguments import checked
from .._functions import concatenate
from .._integers import as_layer_input
from .._tensor import Pair, Tensor, as_pair
from ._convolve import Triple, as_sizes

Array = npt.ArrayLike | Tensor


@checked
def max_pool1d(x: Array, kernel_size: int, stride: int | None = None, padding: int = 0) -> Tensor:
    """Maximum of each window of x [n, l, c]."""
    return _pool1d("max_pool1d", max_pool2d, x, (kernel_size, stride, padding))


@checked
def avg_pool1d(x: Array, kernel_size: int, stride: int | None = None, padding: int = 0) -> Tensor:
    """Mean of each window of x [n, l, c], padding counted as zeros."""
    return _pool1d("avg_pool1d", avg_pool2d, x, (kernel_size, stride, padding))


def _pool1d(
    operation: str,
    pool: Callable[..., Tensor],
    x: Array,
    sizes: tuple[int, int | None, int],
) -> Tensor:
    """`pool` of sequences as images of one row."""
    (kernel,), (step,), (zeros,) = pool_sizes(operation, *sizes, axes=1)
    given = as_layer_input(operation, x)
    if given.ndim != 3:
        raise ValueError(f"[{operation}] shape {list(given.shape)}: [n, l, c] is required")
    return pool(given.unsqueeze(1), (1, kernel), (1, step), (0, zeros)).squeeze(1)


@checked
def max_pool2d(
    x: Array, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0
) -> Tensor:
    """Maximum of each window of x [n, h, w, c]."""
    step = kernel_size if stride is None else stride
    sizes = as_pair(kernel_size), as_pair(step), as_pair(padding)
    return Tensor._wrap(_core.tensor_max_pool2d(as_layer_input("max_pool2d", x)._handle, *sizes))


@checked
def avg_pool2d(
    x: Array, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0
) -> Tensor:
    """Mean of each window of x [n, h, w, c], padding counted as zeros."""
    step = kernel_size if stride is None else stride
    sizes = as_pair(kernel_size), as_pair(step), as_pair(padding)
    return Tensor._wrap(
        _core.tensor_average_pool2d(as_layer_input("avg_pool2d", x)._handle, *sizes)
    )


def pool_sizes(
    operation: str, kernel_size: Triple, stride: Triple | None, padding: Triple, axes: int = 3
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Kernel, stride and padding of so many axes; ValueError for those that there are not."""
    kernel = as_sizes(operation, "kernel_size", kernel_size, axes)
    step = kernel if stride is None else as_sizes(operation, "stride", stride, axes)
    zeros = as_sizes(operation, "padding", padding, axes)
    if min(*kernel, *step) < 1:
        raise ValueError(
            f"[{operation}] kernel_size = {kernel}, stride = {step}: must be at least 1"
        )
    if any(not 0 <= z <= k // 2 for z, k in zip(zeros, kernel, strict=True)):
        raise ValueError(
            f"[{operation}] padding = {zeros}: must be from 0 to half the kernel {kernel}"
        )
    return kernel, step, zeros


def _pool3d(
    operation: str,
    pool: Callable[..., Tensor],
    x: Array,
    sizes: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]],
) -> Tensor:
    """`pool` of the planes, then of their depth, as images of one column."""
    given = as_layer_input(operation, x)
    (kd, *kernel), (sd, *step), (pd, *zeros) = sizes
    if given.ndim != 5:
        raise ValueError(f"[{operation}] shape {list(given.shape)}: [n, d, h, w, c] is required")
    n, d, h, w, c = given.shape
    reach = [size + 2 * z for size, z in zip((d, h, w), sizes[2], strict=True)]
    if any(k > size for k, size in zip(sizes[0], reach, strict=True)):
        raise ValueError(
            f"[{operation}] shape {list(given.shape)}: the kernel {sizes[0]} exceeds the input "
            f"and its padding, {tuple(reach)}"
        )
    planes = pool(given.reshape(n * d, h, w, c), tuple(kernel), tuple(step), tuple(zeros))
    _, oh, ow, _ = planes.shape
    lines = pool(planes.reshape(n, d, 1, oh * ow * c), (kd, 1), (sd, 1), (pd, 0))
    return lines.reshape(n, lines.shape[1], oh, ow, c)


@checked
def max_pool3d(
    x: Array, kernel_size: Triple, stride: Triple | None = None, padding: Triple = 0
) -> Tensor:
    """Maximum of each window of x [n, d, h, w, c]."""
    sizes = pool_sizes("max_pool3d", kernel_size, stride, padding)
    return _pool3d("max_pool3d", max_pool2d, x, sizes)


@checked
def avg_pool3d(
    x: Array, kernel_size: Triple, stride: Triple | None = None, padding: Triple = 0
) -> Tensor:
    """Mean of each window of x [n, d, h, w, c], padding counted as zeros."""
    sizes = pool_sizes("avg_pool3d", kernel_size, stride, padding)
    return _pool3d("avg_pool3d", avg_pool2d, x, sizes)


def adaptive_sizes(operation: str, output_size: Any, axes: int) -> tuple[int, ...]:
    """The sizes of an adaptive pool's result; ValueError for one below 1."""
    sizes = as_sizes(operation, "output_size", output_size, axes)
    if min(sizes) < 1:
        raise ValueError(f"[{operation}] output_size = {output_size}: must be at least 1")
    return sizes


def _adaptive(operation: str, reduce: str, x: Array, output_size: Any, axes: int) -> Tensor:
    sizes = adaptive_sizes(operation, output_size, axes)
    given = as_layer_input(operation, x)
    if given.ndim != axes + 2 or 0 in given.shape[1:-1]:
        required = {1: "[n, l, c] with positions", 2: "[n, h, w, c] with pixels"}[axes]
        raise ValueError(f"[{operation}] shape {list(given.shape)}: {required} is required")
    # The last axis first: of equal maxima that in the first row counts, as in torch.
    for axis in range(axes, 0, -1):
        given = _windows(given, axis, sizes[axis - 1], reduce)
    return given


def _windows(x: Tensor, axis: int, count: int, reduce: str) -> Tensor:
    """Of `count` windows along `axis`, window i from floor(i l / count) to
    ceil((i + 1) l / count)."""
    length = x.shape[axis]
    if length % count == 0:
        apart = x.reshape(*x.shape[:axis], count, length // count, *x.shape[axis + 1 :])
        reduced: Tensor = getattr(apart, reduce)(axis + 1)
        return reduced
    numbers = np.arange(count)
    starts, ends = numbers * length // count, -(-(numbers + 1) * length // count)
    parts, order = [], []
    # Windows have few different widths: those of one are reduced together.
    for width in np.unique(ends - starts):
        places = np.flatnonzero(ends - starts == width)
        inside = x.take(starts[places, None] + np.arange(width), axis)
        parts.append(getattr(inside, reduce)(axis + 1))
        order.append(places)
    return concatenate(parts, axis).take(np.argsort(np.concatenate(order)), axis)


@checked
def adaptive_avg_pool1d(x: Array, output_size: int) -> Tensor:
    """x [n, l, c] -> [n, output_size, c], means of windows as torch divides the sequence."""
    return _adaptive("adaptive_avg_pool1d", "mean", x, output_size, 1)


@checked
def adaptive_avg_pool2d(x: Array, output_size: Pair) -> Tensor:
    """x [n, h, w, c] -> [n, *output_size, c], means of windows as torch divides the image."""
    return _adaptive("adaptive_avg_pool2d", "mean", x, output_size, 2)


@checked
def adaptive_max_pool1d(x: Array, output_size: int) -> Tensor:
    """x [n, l, c] -> [n, output_size, c], maxima of windows as torch divides the sequence."""
    return _adaptive("adaptive_max_pool1d", "max", x, output_size, 1)


@checked
def adaptive_max_pool2d(x: Array, output_size: Pair) -> Tensor:
    """x [n, h, w, c] -> [n, *output_size, c], maxima of windows as torch divides the image."""
    return _adaptive("adaptive_max_pool2d", "max", x, output_size, 2)
