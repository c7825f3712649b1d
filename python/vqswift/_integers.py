"""Integer arrays where numbers are meant: float32 of the same values, or an error."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ._arguments import described
from ._arrays import first_rounded
from ._tensor import Tensor, as_tensor

_IMAGES = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}


def as_floats(operation: str, name: str, value: Tensor | npt.ArrayLike) -> Tensor:
    """`value` as a float32 tensor; integers and booleans that float32 holds exactly are taken too.

    ValueError names the first integer that it does not hold.
    """
    if isinstance(value, Tensor):
        if not value._is_whole:
            return value
        return Tensor(_exact(operation, name, value.numpy()))
    source = np.asanyarray(value)
    if source.dtype.kind not in "iub":
        return Tensor(value)
    return Tensor(_exact(operation, name, source))


def as_layer_input(operation: str, value: Tensor | npt.ArrayLike) -> Tensor:
    """As `as_floats`, but images of uint8 and uint16, and integer tensors, raise TypeError."""
    if isinstance(value, Tensor):
        if value.dtype == np.int32:
            raise TypeError(
                f"[{operation}] x is {described(value)} that holds integers (int32): floating "
                "elements are required; of an 8-bit image give Tensor(image / 255)"
            )
        return value
    source = np.asanyarray(value)
    if source.dtype in _IMAGES:
        largest = _IMAGES[source.dtype]
        raise TypeError(
            f"[{operation}] x is {described(source)}: a layer takes floating numbers, so divide an "
            f"image by {largest}: x.astype(np.float32) / {largest}"
        )
    return as_floats(operation, "x", value)


def as_codes(operation: str, name: str, value: Tensor | npt.ArrayLike) -> Tensor:
    """`value` as a tensor of int32 or bools; TypeError for elements of another kind."""
    given = as_tensor(value)
    if not given._is_whole:
        raise TypeError(
            f"[{operation}] {name} are of {given.dtype}: codes must be int32; write "
            f"{name}.astype(np.int32)"
        )
    return given


def _exact(operation: str, name: str, source: np.ndarray) -> Any:
    floats = source.astype(np.float32)
    position = first_rounded(source, floats)
    if position is not None:
        integer, real = int(source.flat[position]), int(floats.flat[position])
        raise ValueError(
            f"[{operation}] {name} of dtype {source.dtype} holds {integer}, which float32 "
            f"rounds to {real}: subtract an offset or scale it first"
        )
    return floats
