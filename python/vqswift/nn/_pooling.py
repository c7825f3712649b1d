"""Pools of sequences [n, l, c], images [n, h, w, c] and volumes [n, d, h, w, c]."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from .._arguments import checked
from .._options import Made, create
from .._tensor import Pair, Tensor, as_pair
from ._convolve import Triple
from ._module import Module
from ._native import Native
from ._pool import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_sizes,
    avg_pool1d,
    avg_pool3d,
    max_pool1d,
    max_pool3d,
    pool_sizes,
)


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
class MaxPool1d(MaxPool2d):
    """Maximum of each window of [n, l, c]; the stride is the kernel's size unless given."""

    def __init__(self, kernel_size: int, stride: int | None = None, padding: int = 0) -> None:
        step = None if stride is None else (1, stride)
        super().__init__((1, kernel_size), step, (0, padding))

    def _arguments(self) -> dict[str, Any]:
        return _of_sequences(self.options)

    def forward(self, x: npt.ArrayLike | Tensor) -> Tensor:
        """The layer's output."""
        return max_pool1d(x, **self._arguments())


@checked
class AvgPool1d(AvgPool2d):
    """Mean of each window of [n, l, c], padding counted as zeros."""

    def __init__(self, kernel_size: int, stride: int | None = None, padding: int = 0) -> None:
        step = None if stride is None else (1, stride)
        super().__init__((1, kernel_size), step, (0, padding))

    def _arguments(self) -> dict[str, Any]:
        return _of_sequences(self.options)

    def forward(self, x: npt.ArrayLike | Tensor) -> Tensor:
        """The layer's output."""
        return avg_pool1d(x, **self._arguments())


def _of_sequences(options: dict[str, Any]) -> dict[str, Any]:
    """The sizes along the one axis of options that have two."""
    return {name: None if pair is None else pair[1] for name, pair in options.items()}


class _Pool3d(Module):
    """Kernel, stride and padding of windows of volumes."""

    def _set(
        self, operation: str, kernel_size: Triple, stride: Triple | None, padding: Triple
    ) -> None:
        sizes = pool_sizes(operation, kernel_size, stride, padding)
        self.kernel_size, self.stride, self.padding = sizes

    def _options_text(self) -> str:
        return f"{self.kernel_size}, stride={self.stride}, padding={self.padding}"


@checked
class MaxPool3d(_Pool3d):
    """Maximum of each window of [n, d, h, w, c]; the stride is the kernel's size unless given."""

    def __init__(
        self, kernel_size: Triple, stride: Triple | None = None, padding: Triple = 0
    ) -> None:
        super().__init__()
        self._set("max_pool3d", kernel_size, stride, padding)

    def forward(self, x: npt.ArrayLike | Tensor) -> Tensor:
        """The layer's output."""
        return max_pool3d(x, self.kernel_size, self.stride, self.padding)


@checked
class AvgPool3d(_Pool3d):
    """Mean of each window of [n, d, h, w, c], padding counted as zeros."""

    def __init__(
        self, kernel_size: Triple, stride: Triple | None = None, padding: Triple = 0
    ) -> None:
        super().__init__()
        self._set("avg_pool3d", kernel_size, stride, padding)

    def forward(self, x: npt.ArrayLike | Tensor) -> Tensor:
        """The layer's output."""
        return avg_pool3d(x, self.kernel_size, self.stride, self.padding)


class _Adaptive(Module):
    output_size: Any

    def _options_text(self) -> str:
        return f"{self.output_size}"


@checked
class AdaptiveAvgPool1d(_Adaptive):
    """[n, l, c] -> [n, output_size, c], means of windows as torch divides the sequence."""

    output_size: int

    def __init__(self, output_size: int) -> None:
        super().__init__()
        (self.output_size,) = adaptive_sizes("adaptive_avg_pool1d", output_size, 1)

    def forward(self, x: npt.ArrayLike | Tensor) -> Tensor:
        """The layer's output."""
        return adaptive_avg_pool1d(x, self.output_size)


@checked
class AdaptiveAvgPool2d(_Adaptive):
    """[n, h, w, c] -> [n, *output_size, c], means of windows as torch divides the image."""

    output_size: tuple[int, int]

    def __init__(self, output_size: Pair) -> None:
        super().__init__()
        height, width = adaptive_sizes("adaptive_avg_pool2d", output_size, 2)
        self.output_size = (height, width)

    def forward(self, x: npt.ArrayLike | Tensor) -> Tensor:
        """The layer's output."""
        return adaptive_avg_pool2d(x, self.output_size)


@checked
class AdaptiveMaxPool1d(_Adaptive):
    """[n, l, c] -> [n, output_size, c], maxima of windows as torch divides the sequence."""

    output_size: int

    def __init__(self, output_size: int) -> None:
        super().__init__()
        (self.output_size,) = adaptive_sizes("adaptive_max_pool1d", output_size, 1)

    def forward(self, x: npt.ArrayLike | Tensor) -> Tensor:
        """The layer's output."""
        return adaptive_max_pool1d(x, self.output_size)


@checked
class AdaptiveMaxPool2d(_Adaptive):
    """[n, h, w, c] -> [n, *output_size, c], maxima of windows as torch divides the image."""

    output_size: tuple[int, int]

    def __init__(self, output_size: Pair) -> None:
        super().__init__()
        height, width = adaptive_sizes("adaptive_max_pool2d", output_size, 2)
        self.output_size = (height, width)

    def forward(self, x: npt.ArrayLike | Tensor) -> Tensor:
        """The layer's output."""
        return adaptive_max_pool2d(x, self.output_size)
