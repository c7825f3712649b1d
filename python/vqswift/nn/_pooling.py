"""Pooling and upsampling of images [n, h, w, c] and sequences [n, l, c]."""

from __future__ import annotations

import numpy.typing as npt

from .._arguments import checked
from .._functions import concatenate
from .._integers import as_layer_input
from .._options import Made, create
from .._tensor import Pair, Tensor, as_pair
from ._module import Module
from ._native import Native


def _pool(kind: str, kernel: Pair, stride: Pair | None, padding: Pair) -> Made:
    step = None if stride is None else as_pair(stride)
    return create(kind, kernel_size=as_pair(kernel), stride=step, padding=as_pair(padding))


@checked
class MaxPool2d(Native):
    """Maximum of each window; the stride is the kernel's size unless given."""

    def __init__(self, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0) -> None:
        super().__init__(_pool("max_pool2d", kernel_size, stride, padding))


@checked
class AvgPool2d(Native):
    """Mean of each window, padding counted as zeros."""

    def __init__(self, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0) -> None:
        super().__init__(_pool("average_pool2d", kernel_size, stride, padding))


@checked
class Upsample(Native):
    """Repeats each pixel `scale` times along both axes."""

    def __init__(self, scale: Pair) -> None:
        super().__init__(create("upsample_nearest2d", scale=as_pair(scale)))


def _sequence(operation: str, x: npt.ArrayLike | Tensor) -> Tensor:
    """[n, l, c] as an image of one row."""
    given = as_layer_input(operation, x)
    if given.ndim != 3:
        raise ValueError(f"[{operation}] shape {list(given.shape)}: [n, l, c] is required")
    return given.unsqueeze(1)


@checked
class MaxPool1d(MaxPool2d):
    """Maximum of each window of [n, l, c]; the stride is the kernel's size unless given."""

    def __init__(self, kernel_size: int, stride: int | None = None, padding: int = 0) -> None:
        step = None if stride is None else (1, stride)
        super().__init__((1, kernel_size), step, (0, padding))

    def forward(self, x: npt.ArrayLike | Tensor) -> Tensor:
        """The layer's output."""
        return super().forward(_sequence("max_pool1d", x)).squeeze(1)


@checked
class AvgPool1d(AvgPool2d):
    """Mean of each window of [n, l, c], padding counted as zeros."""

    def __init__(self, kernel_size: int, stride: int | None = None, padding: int = 0) -> None:
        step = None if stride is None else (1, stride)
        super().__init__((1, kernel_size), step, (0, padding))

    def forward(self, x: npt.ArrayLike | Tensor) -> Tensor:
        """The layer's output."""
        return super().forward(_sequence("avg_pool1d", x)).squeeze(1)


def _adaptive(x: Tensor, axis: int, count: int) -> Tensor:
    """Means of `count` windows along `axis`, window i from floor(i l / count) to
    ceil((i + 1) l / count)."""
    length = x.shape[axis]
    before = (slice(None),) * axis
    if length % count == 0:
        apart = x.reshape(*x.shape[:axis], count, length // count, *x.shape[axis + 1 :])
        return apart.mean(axis + 1)
    ends = [(i * length // count, -(-(i + 1) * length // count)) for i in range(count)]
    return concatenate([x[(*before, slice(a, b))].mean(axis, True) for a, b in ends], axis)


@checked
class AdaptiveAvgPool2d(Module):
    """[n, h, w, c] -> [n, *output_size, c], means of windows as torch divides the image."""

    output_size: tuple[int, int]

    def __init__(self, output_size: Pair) -> None:
        super().__init__()
        self.output_size = as_pair(output_size)
        if min(self.output_size) < 1:
            raise ValueError(f"[adaptive_avg_pool2d] output_size {self.output_size}: at least 1")

    def forward(self, x: npt.ArrayLike | Tensor) -> Tensor:
        """The layer's output."""
        given = as_layer_input("adaptive_avg_pool2d", x)
        if given.ndim != 4 or 0 in given.shape[1:3]:
            raise ValueError(
                f"[adaptive_avg_pool2d] shape {list(given.shape)}: [n, h, w, c] with pixels"
            )
        return _adaptive(_adaptive(given, 1, self.output_size[0]), 2, self.output_size[1])

    def _options_text(self) -> str:
        return f"{self.output_size}"


@checked
class AdaptiveAvgPool1d(Module):
    """[n, l, c] -> [n, output_size, c], means of windows as torch divides the sequence."""

    def __init__(self, output_size: int) -> None:
        super().__init__()
        if output_size < 1:
            raise ValueError(f"[adaptive_avg_pool1d] output_size = {output_size}: at least 1")
        self.output_size = output_size

    def forward(self, x: npt.ArrayLike | Tensor) -> Tensor:
        """The layer's output."""
        given = as_layer_input("adaptive_avg_pool1d", x)
        if given.ndim != 3 or given.shape[1] == 0:
            raise ValueError(
                f"[adaptive_avg_pool1d] shape {list(given.shape)}: [n, l, c] with positions"
            )
        return _adaptive(given, 1, self.output_size)

    def _options_text(self) -> str:
        return f"{self.output_size}"
