"""Element types: arrays as tensors hold them, and powers of integers."""

from __future__ import annotations

from typing import Any, final

import numpy as np
import numpy.typing as npt

from . import _core
from ._arrays import as_array


@final
class BFloat16:
    """The type of `vq.bfloat16`, the first half of a float32: an element type that NumPy has not.

    It equals its name.
    """

    __slots__ = ()
    name: str = "bfloat16"
    kind: str = "f"
    itemsize: int = 2

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BFloat16) or (isinstance(other, str) and other == self.name)

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return self.name


DTypeLike = npt.DTypeLike | BFloat16

float32: np.dtype[np.float32] = np.dtype(np.float32)
float16: np.dtype[np.float16] = np.dtype(np.float16)
int32: np.dtype[np.int32] = np.dtype(np.int32)
bfloat16: BFloat16 = BFloat16()

#: By their numbers in vqswift.h.
DTYPES = (float32, int32, np.dtype(np.bool_), float16, bfloat16)
FLOAT32, INT32, BOOL, FLOAT16, BFLOAT16 = range(5)


def as_dtype(dtype: Any) -> np.dtype[Any] | BFloat16:
    """`np.dtype(dtype)`, or `bfloat16`; PyTorch's types are taken too."""
    name = str(dtype).removeprefix("torch.")
    if name == "bfloat16":
        return bfloat16
    found: np.dtype[Any] = np.dtype(name if type(dtype).__module__ == "torch" else dtype)
    return bfloat16 if found.name == "bfloat16" else found


def dtype_code(dtype: DTypeLike) -> int:
    """The number of a tensor's element type; Python's float and int are float32 and int32."""
    if dtype is float or dtype is int:
        return FLOAT32 if dtype is float else INT32
    wanted = as_dtype(dtype)
    for code, known in enumerate(DTYPES):
        if known == wanted:
            return code
    raise TypeError(
        f"[astype] dtype {wanted}: tensors are float32, int32 or bool, and stored as float16 or "
        "bfloat16 too"
    )


def contiguous(array: Any) -> tuple[np.ndarray, int]:
    """`array` as C-contiguous float32 or int32, and the code of its dtype; bools as int32."""
    source = as_array("tensor", "the array", array)
    if source.dtype.kind == "f":
        code = FLOAT32
    elif source.dtype.kind == "b":
        return np.ascontiguousarray(source, dtype=np.int32).reshape(source.shape), dtype_code(bool)
    elif source.dtype.kind in "iu":
        code = INT32
        if source.size and source.dtype.itemsize >= 4 and source.dtype != np.int32:
            low, high = int(source.min()), int(source.max())
            if low < -(1 << 31) or high >= 1 << 31:
                raise OverflowError(f"[tensor] integers {low}...{high}: they do not fit in int32")
    else:
        raise TypeError(
            f"[tensor] dtype {source.dtype}: real numbers are required, "
            "floating (kept as float32), integer (kept as int32) or bool"
        )
    made = np.require(source, float32 if code == FLOAT32 else int32, ["C_CONTIGUOUS", "ALIGNED"])
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
