"""Dropout."""

from __future__ import annotations

import numpy.typing as npt

from .._arguments import checked, operation_of
from .._options import create
from .._random import Generator, layer_generator
from .._tensor import Tensor
from ._drop import on_channels
from ._native import Native


@checked
class Dropout(Native):
    """Zeroes elements with probability `p` in training, the others times 1 / (1 - p)."""

    def __init__(self, p: float = 0.5, *, generator: Generator | None = None) -> None:
        super().__init__(create("dropout", p=p, generator=layer_generator(generator)))


@checked
class Dropout2d(Dropout):
    """Zeroes channels of [n, ..., c] with probability `p` in training, the others times
    1 / (1 - p)."""

    def forward(self, x: npt.ArrayLike | Tensor) -> Tensor:
        """The layer's output."""
        return on_channels(operation_of(type(self)), x, super().forward)


@checked
class Dropout3d(Dropout2d):
    """`Dropout2d` by the name that torch has for volumes."""
