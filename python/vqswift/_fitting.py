"""Arrays for tensors that exist."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._arrays import first_rounded
from ._dtypes import BFloat16
from ._warning import warn

# What averaging equal integers in float32 may leave, relative to them.
_AVERAGED = 1e-6


def fitted(
    operation: str, name: str, value: Any, dtype: np.dtype | BFloat16, shape: tuple[int, ...]
) -> np.ndarray:
    """`value` as an array of `dtype`, float32 or int32, and of `shape`.

    One element without an axis and with one of size 1 are the same. TypeError for what are no
    numbers of that kind, ValueError for another shape, NaN, infinity, or numbers that do not fit;
    rounding a float to an integer warns where it is more than what averaging leaves.
    """
    given = np.asarray(value)
    scalars = ((), (1,))
    if given.shape != shape and not (given.shape in scalars and shape in scalars):
        raise ValueError(
            f"[{operation}] {name}: shape {list(given.shape)} does not fit {list(shape)}"
        )
    given = given.reshape(shape)
    small_float = given.dtype.kind == "V" and np.can_cast(given.dtype, np.float32)
    if given.dtype.kind not in "fiub" and not small_float:
        raise TypeError(f"[{operation}] {name}: dtype {given.dtype} does not fit {dtype}")
    wanted = np.dtype(str(dtype))
    return (_floats if wanted.kind == "f" else _integers)(operation, name, given, wanted)


def _floats(operation: str, name: str, given: np.ndarray, dtype: np.dtype) -> np.ndarray:
    with np.errstate(over="ignore", under="ignore"):
        result = given.astype(dtype, copy=False)
    if given.dtype.kind in "iu" and first_rounded(given, result) is not None:
        raise ValueError(f"[{operation}] {name}: {dtype} does not hold its integers exactly")
    finite = np.isfinite(result)
    if not finite.all():
        index = int(np.flatnonzero(~finite.ravel())[0])
        raise ValueError(
            f"[{operation}] {name} holds {given.ravel()[index]} at flat index {index}: "
            f"every element must be a finite {dtype}"
        )
    return result


def _integers(operation: str, name: str, given: np.ndarray, dtype: np.dtype) -> np.ndarray:
    exact = given
    if given.dtype.kind not in "iub":
        numbers = given.astype(np.float64)
        exact = np.rint(numbers)
        if not np.isfinite(numbers).all():
            raise ValueError(f"[{operation}] {name}: every element must be finite")
        moved = np.abs(exact - numbers) > _AVERAGED * np.maximum(np.abs(numbers), 1)
        if moved.any():
            number = numbers[moved].ravel()[0]
            warn(f"[{operation}] {name}: {number:g} is rounded to {np.rint(number):g}")
    if exact.size and exact.dtype.kind != "b":
        low, high = int(exact.min()), int(exact.max())
        bounds = np.iinfo(dtype)
        if low < bounds.min or high > bounds.max:
            raise ValueError(f"[{operation}] {name}: {low}...{high} do not fit in {dtype}")
    return exact.astype(dtype, copy=False)
