"""Codes as rows of a table, and as rows with one 1."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .._arguments import checked
from .._functions import where
from .._integers import as_codes, as_floats
from .._tensor import Tensor

Array = npt.ArrayLike | Tensor


@checked
def embedding(x: Array, weight: Array, padding_idx: int | None = None) -> Tensor:
    """int32 [...] -> rows of `weight` [count, features], [..., features].

    The row `padding_idx`, counted from the end where it is negative, gets no gradient. IndexError
    outside 0..count-1.
    """
    codes, table = as_codes("embedding", "x", x), as_floats("embedding", "weight", weight)
    if table.ndim != 2:
        raise ValueError(
            f"[embedding] weight has shape {list(table.shape)}: [count, features] is required"
        )
    rows = table.gather_rows(codes)
    if padding_idx is None:
        return rows
    count = table.shape[0]
    if not -count <= padding_idx < count:
        raise IndexError(f"[embedding] padding_idx = {padding_idx}: weight has {count} rows")
    return where((codes == padding_idx % count).unsqueeze(-1), rows.detach(), rows)


@checked
def one_hot(x: Array, num_classes: int = -1) -> Tensor:
    """int32 [...] -> int32 [..., num_classes], 1 at the code's place and 0 elsewhere.

    -1 counts the classes: the largest code and one. IndexError outside 0..num_classes-1.
    """
    codes = as_codes("one_hot", "x", x)
    if num_classes == -1:
        if not codes.size:
            raise ValueError("[one_hot] num_classes = -1: of no codes it must be given")
        num_classes = int(codes.max()) + 1
    if num_classes < 1:
        raise ValueError(f"[one_hot] num_classes = {num_classes}: must be at least 1, or -1")
    return codes.one_hot(num_classes).astype(np.int32)
