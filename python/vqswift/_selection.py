"""Elements of a tensor by position, by order and by condition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import _core
from ._arguments import checked
from ._shapes import place

if TYPE_CHECKING:
    from ._tensor import Tensor


class Ordered(NamedTuple):
    """Elements in order, and their int32 positions along the axis."""

    values: Tensor
    indices: Tensor


def _codes(indices: npt.ArrayLike | Tensor) -> Tensor:
    """int32 positions; of an empty list too, whose elements have no kind."""
    from ._tensor import Tensor, as_tensor

    if isinstance(indices, (list, tuple)) and not np.size(indices):
        return Tensor(np.asarray(indices, np.int32))
    return as_tensor(indices)


def _like(x: Any, value: float) -> Any:
    """`value` as an operand that leaves `x` the kind of its elements."""
    return np.bool_(value) if x.dtype == np.bool_ else value


@checked
class Selection:
    """Elements of a `Tensor` that are chosen, as PyTorch and NumPy name it."""

    __slots__ = ()

    def take(self: Any, indices: npt.ArrayLike | Tensor, axis: int) -> Tensor:
        """The elements at `indices`, integers [...], along `axis`, in whose place their axes stand.

        IndexError for one outside 0..size-1.
        """
        from ._tensor import Tensor

        at = place("take", axis, self.ndim)
        return Tensor._wrap(_core.tensor_take(self._handle, _codes(indices)._handle, at))

    def gather(self: Any, axis: int, index: npt.ArrayLike | Tensor) -> Tensor:
        """`x[i, index[i, j, k], k]`, and so along other axes: one element for each of `index`.

        `index`: integers of as many axes, none but `axis` larger than x's. IndexError for one
        outside 0..size-1; equal ones add up their gradients.
        """
        from ._tensor import Tensor

        at = place("gather", axis, self.ndim)
        return Tensor._wrap(_core.tensor_gather(self._handle, _codes(index)._handle, at))

    def take_along_axis(self: Any, indices: npt.ArrayLike | Tensor, axis: int = -1) -> Tensor:
        """`gather` whose `indices` broadcast with x along the other axes and may be negative."""
        at = place("take_along_axis", axis, self.ndim)
        codes, size = _codes(indices).numpy(), self.shape[at]
        if codes.ndim != self.ndim:
            raise ValueError(
                f"[take_along_axis] shapes {list(self.shape)} and {list(codes.shape)}: they must "
                "have as many axes"
            )
        others = [(*shape[:at], 1, *shape[at + 1 :]) for shape in (self.shape, codes.shape)]
        try:
            shape = np.broadcast_shapes(*others)
        except ValueError:
            raise ValueError(
                f"[take_along_axis] shapes {list(self.shape)} and {list(codes.shape)}: all axes "
                f"but axis {axis} must be equal or 1 to broadcast"
            ) from None
        codes = np.broadcast_to(codes, (*shape[:at], codes.shape[at], *shape[at + 1 :]))
        source = self.broadcast_to((*shape[:at], size, *shape[at + 1 :]))
        taken: Tensor = source.gather(at, np.where(codes < 0, codes + size, codes))
        return taken

    def scatter_add(
        self: Any, axis: int, index: npt.ArrayLike | Tensor, source: npt.ArrayLike | Tensor
    ) -> Tensor:
        """x with each element of `source` added at its place of `index` along `axis`.

        `index` and `source` have one shape, x's but for `axis`. IndexError outside 0..size-1.
        """
        from ._tensor import Tensor, _operand

        at = place("scatter_add", axis, self.ndim)
        return Tensor._wrap(
            _core.tensor_scatter_add(self._handle, _codes(index)._handle, _operand(source), at)
        )

    def argsort(self: Any, axis: int = -1, descending: bool = False) -> Tensor:
        """int32 positions along `axis` of its elements in order, of equal ones the lowest first.

        NaN is greater than every number.
        """
        from ._tensor import Tensor

        at = place("argsort", axis, self.ndim)
        return Tensor._wrap(_core.tensor_argsort(self._handle, at, descending, -1))

    def sort(self: Any, axis: int = -1, descending: bool = False) -> Ordered:
        """(values, indices) in the order of `argsort`."""
        at = place("sort", axis, self.ndim)
        positions = self.argsort(at, descending)
        return Ordered(self.gather(at, positions), positions)

    def topk(self: Any, k: int, axis: int = -1, largest: bool = True) -> Ordered:
        """(values, indices) of the `k` largest along `axis`, or smallest, the first of them first.

        Of equal ones the lowest position comes first; NaN is greater than every number.
        """
        from ._tensor import Tensor

        at = place("topk", axis, self.ndim)
        if not 0 <= k <= self.shape[at]:
            raise ValueError(
                f"[topk] k = {k}: must lie in 0...{self.shape[at]}, the size of axis {axis}"
            )
        positions = Tensor._wrap(_core.tensor_argsort(self._handle, at, largest, k))
        return Ordered(self.gather(at, positions), positions)

    def masked_fill(self: Any, mask: npt.ArrayLike | Tensor, value: float) -> Tensor:
        """`value` where `mask`, of bools that broadcast to x, holds, and x elsewhere."""
        from ._functions import where
        from ._tensor import as_tensor

        mask = as_tensor(mask)
        if mask.dtype != np.bool_:
            raise TypeError(f"[masked_fill] a mask of {mask.dtype}: bool is required")
        sizes = zip(mask.shape[::-1], self.shape[::-1], strict=False)
        if mask.ndim > self.ndim or any(size not in (1, wanted) for size, wanted in sizes):
            raise ValueError(
                f"[masked_fill] shapes {list(mask.shape)} and {list(self.shape)}: the first must "
                "broadcast to the second"
            )
        if self.dtype == np.int32 and not isinstance(value, (int, np.integer)):
            raise TypeError(f"[masked_fill] value = {value}: an integer is required of int32")
        return where(mask, _like(self, value), self)

    def tril(self: Any, diagonal: int = 0) -> Tensor:
        """0 above the `diagonal` of the last two axes, which counts from the main one upwards."""
        return _triangle(self, "tril", diagonal, True)

    def triu(self: Any, diagonal: int = 0) -> Tensor:
        """0 below the `diagonal` of the last two axes, which counts from the main one upwards."""
        return _triangle(self, "triu", diagonal - 1, False)


def _triangle(x: Any, operation: str, diagonal: int, is_lower: bool) -> Tensor:
    from ._functions import where

    if x.ndim < 2:
        raise ValueError(f"[{operation}] shape {list(x.shape)}: at least two axes are required")
    rows, columns = x.shape[-2:]
    lower = np.tri(rows, columns, diagonal, dtype=np.bool_)
    return where(lower if is_lower else ~lower, x, _like(x, 0))
