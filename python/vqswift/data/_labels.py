"""Labels as int32."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from .._arrays import as_array


def as_int32(operation: str, name: str, values: NDArray[Any]) -> NDArray[np.int32]:
    """The same integers; ValueError where they do not fit."""
    if values.size and not -(1 << 31) <= int(values.min()) <= int(values.max()) < 1 << 31:
        raise ValueError(
            f"[{operation}] {name} {values.min()}...{values.max()}: they do not fit in int32"
        )
    return values.astype(np.int32)


def checked_labels(operation: str, labels: npt.ArrayLike, count: int) -> NDArray[np.int32]:
    """Labels `[count]` or `[count, k]`, or an exception."""
    found = as_array(operation, "labels", labels)
    if found.ndim not in (1, 2) or len(found) != count:
        raise ValueError(
            f"[{operation}] labels {[*found.shape]}: must be [{count}], or [{count}, k]"
        )
    if found.dtype.kind not in "iu":
        raise TypeError(f"[{operation}] labels of {found.dtype}: must be integers")
    return as_int32(operation, "labels", found)
