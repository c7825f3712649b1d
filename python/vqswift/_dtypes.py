"""Element types: arrays as tensors hold them, and powers of integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from . import _core
from ._arrays import as_array

#: By their numbers in vqswift.h.
DTYPES = (np.dtype(np.float32), np.dtype(np.int32), np.dtype(np.bool_))
FLOAT32 = 0


def dtype_code(dtype: npt.DTypeLike) -> int:
    """The number of a tensor's element type; Python's float and int are float32 and int32."""
    if dtype is float or dtype is int:
        return 0 if dtype is float else 1
    wanted = np.dtype(dtype)
    if wanted not in DTYPES:
        raise TypeError(f"[astype] dtype {wanted}: tensors are float32, int32 or bool")
    return DTYPES.index(wanted)


def contiguous(array: Any) -> tuple[np.ndarray, int]:
    """`array` as C-contiguous float32 or int32, and the code of its dtype; bools as int32."""
    source = as_array("tensor", "the array", array)
    if source.dtype.kind == "f":
        code = 0
    elif source.dtype.kind == "b":
        return np.ascontiguousarray(source, dtype=np.int32).reshape(source.shape), dtype_code(bool)
    elif source.dtype.kind in "iu":
        code = 1
        if source.size and source.dtype.itemsize >= 4 and source.dtype != np.int32:
            low, high = int(source.min()), int(source.max())
            if low < -(1 << 31) or high >= 1 << 31:
                raise OverflowError(f"[tensor] integers {low}...{high}: they do not fit in int32")
    else:
        raise TypeError(
            f"[tensor] dtype {source.dtype}: real numbers are required, "
            "floating (kept as float32), integer (kept as int32) or bool"
        )
    made = np.require(source, DTYPES[code], ["C_CONTIGUOUS", "ALIGNED"])
    return made.reshape(source.shape), code


def whole_power(base: _core.TensorHandle, exponent: float) -> _core.TensorHandle:
    """Integers to a whole exponent, by repeated squaring."""
    if not isinstance(exponent, (int, np.integer)) or exponent < 0:
        raise ValueError(
            f"[pow] exponent = {exponent}: integers take whole exponents of at least 0; "
            "convert with astype"
        )
    one = _core.tensor_create(np.ones((), np.int32), dtype_code(int))
    result = _core.tensor_bitwise_or(
        _core.tensor_multiply(base, _core.tensor_subtract(one, one)), one
    )
    square, left = base, int(exponent)
    while left:
        if left & 1:
            result = _core.tensor_multiply(result, square)
        square, left = _core.tensor_multiply(square, square), left >> 1
    return result
