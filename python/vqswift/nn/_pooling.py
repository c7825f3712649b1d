"""Pooling and upsampling of images [n, h, w, c]."""

from __future__ import annotations

from .._arguments import checked
from .._options import Made, create
from .._tensor import Pair, as_pair
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
