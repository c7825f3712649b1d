"""Dropout as functions. Without a generator they draw from the stream of the next layer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from .. import _core
from .._arguments import checked
from .._integers import as_layer_input
from .._random import Generator, layer_generator
from .._tensor import Tensor

Array = npt.ArrayLike | Tensor


def on_channels(operation: str, x: Array, drop: Callable[[Tensor], Tensor]) -> Tensor:
    """x [n, ..., c] times what `drop` makes of a one for each of its channels."""
    given = as_layer_input(operation, x)
    if given.ndim < 2:
        raise ValueError(f"[{operation}] shape {list(given.shape)}: [n, ..., c] is required")
    between = (1,) * (given.ndim - 2)
    ones = Tensor(np.ones((given.shape[0], *between, given.shape[-1]), np.float32))
    return given * drop(ones)


@checked
def dropout(
    x: Array, p: float = 0.5, training: bool = True, *, generator: Generator | None = None
) -> Tensor:
    """Zero elements with probability `p`, the others times 1 / (1 - p); x unless `training`."""
    given = as_layer_input("dropout", x)
    if not 0 <= p <= 1:
        raise ValueError(f"[dropout] p = {p}: must lie in 0...1")
    if not training:
        return given
    return Tensor._wrap(_core.tensor_dropout(given._handle, p, layer_generator(generator)._handle))


@checked
def dropout2d(
    x: Array, p: float = 0.5, training: bool = True, *, generator: Generator | None = None
) -> Tensor:
    """Zero channels of x [n, ..., c] with probability `p`, the others times 1 / (1 - p); x unless
    `training`."""
    return on_channels("dropout2d", x, lambda ones: dropout(ones, p, training, generator=generator))


@checked
def dropout3d(
    x: Array, p: float = 0.5, training: bool = True, *, generator: Generator | None = None
) -> Tensor:
    """`dropout2d` by the name that torch has for volumes."""
    return on_channels("dropout3d", x, lambda ones: dropout(ones, p, training, generator=generator))
