"""Dropout."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .._arguments import checked, operation_of
from .._integers import as_layer_input
from .._options import create
from .._random import Generator, layer_generator
from .._tensor import Tensor
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
        operation = operation_of(type(self))
        given = as_layer_input(operation, x)
        if given.ndim < 2:
            raise ValueError(f"[{operation}] shape {list(given.shape)}: [n, ..., c] is required")
        between = (1,) * (given.ndim - 2)
        ones = np.ones((given.shape[0], *between, given.shape[-1]), np.float32)
        return given * super().forward(ones)


@checked
class Dropout3d(Dropout2d):
    """`Dropout2d` by the name that torch has for volumes."""
