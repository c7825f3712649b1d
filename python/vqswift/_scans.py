"""Running sums and products along an axis, products and norms over axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import _core
from ._arguments import checked
from ._shapes import place

if TYPE_CHECKING:
    from ._tensor import Tensor


@checked
class Scans:
    """What accumulates elements of a `Tensor`, in Float64."""

    __slots__ = ()

    def cumsum(self: Any, axis: int) -> Tensor:
        """The sum of each element and those before it along `axis`.

        int32 of integers and bools; ValueError for a sum that int32 does not hold.
        """
        from ._tensor import Tensor

        at = place("cumsum", axis, self.ndim)
        return Tensor._wrap(_core.tensor_scan(self._handle, "cumsum", at))

    def cumprod(self: Any, axis: int) -> Tensor:
        """The product of each element and those before it along `axis`.

        int32 of integers and bools; ValueError for a product that int32 does not hold.
        """
        from ._tensor import Tensor

        at = place("cumprod", axis, self.ndim)
        return Tensor._wrap(_core.tensor_scan(self._handle, "cumprod", at))

    def prod(self: Any, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Tensor:
        """Product over `axis`, 1 of no elements; its gradient is right beside zeros too.

        int32 of integers and bools; ValueError for a product that int32 does not hold.
        """
        from ._tensor import Tensor, _axes

        return Tensor._wrap(_core.tensor_reduce(self._handle, "prod", 0, _axes(axis), keepdims))

    def norm(
        self: Any,
        p: float = 2,
        axis: int | Sequence[int] | None = None,
        keepdims: bool = False,
    ) -> Tensor:
        """(sum |x|^p)^(1 / p) over `axis`, the largest |x| for an infinite p; p above 0.

        Its gradient is 0 where the norm is 0; the largest of an infinite p share it evenly.
        """
        from ._tensor import Tensor, _axes

        return Tensor._wrap(_core.tensor_reduce(self._handle, "norm", p, _axes(axis), keepdims))
