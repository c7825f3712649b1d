"""Array-likes as NumPy arrays, without a loss that nobody is told of."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ._hints import for_torch


def _is_masked(value: Any) -> bool:
    if isinstance(value, np.ma.MaskedArray):
        return bool(np.ma.is_masked(value))
    return isinstance(value, (list, tuple)) and any(
        _is_masked(item) for item in value if isinstance(item, (list, tuple, np.ma.MaskedArray))
    )


def as_array(operation: str, name: str, value: npt.ArrayLike) -> np.ndarray:
    """`np.asarray(value)`; ValueError where that would uncover masked elements."""
    if _is_masked(value):
        raise ValueError(
            f"[{operation}] {name} has masked elements, which would count as data: leave them out, "
            "fill them (x.filled(value)), or give a layer a mask"
        )
    if type(value).__module__.partition(".")[0] == "torch" and (hint := for_torch(value)):
        raise TypeError(f"[{operation}] {name} is a tensor of PyTorch: {hint}")
    return np.asarray(value)


def first_rounded(source: np.ndarray, floats: np.ndarray) -> int | None:
    """The flat position of the first integer of `source` that float32 `floats` rounds."""
    if source.dtype.itemsize <= 2 or not source.size:
        return None
    low, high = int(source.min()), int(source.max())
    if low >= -(1 << 24) and high <= 1 << 24:
        return None
    # 64 bits of mantissa or more hold every integer.
    changed = np.flatnonzero(source.astype(np.longdouble) != floats)
    return int(changed[0]) if len(changed) else None


def exact_points(operation: str, name: str, value: npt.ArrayLike) -> np.ndarray:
    """C-contiguous float32 or float64 of the same values, or an exception that says which are not.

    Floats of 32 bits and fewer and integers of 16 bits and fewer become float32, others float64.
    """
    source = as_array(operation, name, value)
    kind, size = source.dtype.kind, source.dtype.itemsize
    if kind not in "fiub":
        raise TypeError(
            f"[{operation}] {name} of dtype {source.dtype}: real numbers are required, floating or "
            "integer"
        )
    is_narrow = size <= (4 if kind == "f" else 2)
    points = np.ascontiguousarray(source, np.float32 if is_narrow else np.float64)
    points = points.reshape(source.shape)
    if size >= 8 and source.dtype != np.float64 and source.size:
        if kind == "f":
            changed = bool((points != source)[np.isfinite(source)].any())
        else:
            changed = int(source.min()) < -(2**53) or int(source.max()) > 2**53
        if changed:
            raise ValueError(
                f"[{operation}] {name} of dtype {source.dtype} holds numbers that float64 rounds, "
                "such as integers beyond 2**53: subtract an offset first"
            )
    return points
