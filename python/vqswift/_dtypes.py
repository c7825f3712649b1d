"""Element types, and powers of integers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from . import _core

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


def whole_power(base: _core.TensorHandle, exponent: float) -> _core.TensorHandle:
    """Integers to a whole exponent, by repeated squaring."""
    if not isinstance(exponent, (int, np.integer)) or exponent < 0:
        raise ValueError(
            f"[pow] exponent = {exponent}: integers take whole exponents of at least 0; "
            "convert with astype"
        )
    one = _core.tensor_create(np.ones((), np.int32), dtype_code(int))
    result = _core.bitwise_or(_core.multiply(base, _core.subtract(one, one)), one)
    square, left = base, int(exponent)
    while left:
        if left & 1:
            result = _core.multiply(result, square)
        square, left = _core.multiply(square, square), left >> 1
    return result
