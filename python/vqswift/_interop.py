"""What makes a tensor a well-behaved Python and NumPy object."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

if TYPE_CHECKING:
    from ._tensor import Tensor


def not_copied(kind: str) -> NoReturn:
    """What copying or pickling a native object raises."""
    raise TypeError(
        f"[copy] a {kind} cannot be copied or pickled: build another and load the state_dict"
    )


class Interop:
    """Comparison, iteration, formatting and pickling of a `Tensor`.

    Comparisons give NumPy arrays of bool. In-place operators are refused on parameters, which only
    `assign` and optimizers write.
    """

    __slots__ = ()
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> Any:
        return np.asarray(self) == np.asarray(other)

    def __ne__(self, other: object) -> Any:
        return np.asarray(self) != np.asarray(other)

    def __lt__(self, other: Any) -> Any:
        return np.asarray(self) < np.asarray(other)

    def __le__(self, other: Any) -> Any:
        return np.asarray(self) <= np.asarray(other)

    def __gt__(self, other: Any) -> Any:
        return np.asarray(self) > np.asarray(other)

    def __ge__(self, other: Any) -> Any:
        return np.asarray(self) >= np.asarray(other)

    def __contains__(self, value: object) -> bool:
        return bool(np.any(self == value))

    def __iter__(self: Any) -> Iterator[Tensor]:
        return (self[index] for index in range(len(self)))

    def __format__(self: Any, spec: str) -> str:
        return format(self.item() if self.size == 1 and spec else str(self), spec)

    def __abs__(self: Any) -> Tensor:
        result: Tensor = self.abs()
        return result

    def __reduce__(self: Any) -> tuple[Any, ...]:
        return type(self), (self.numpy(), self.requires_grad and self.is_leaf)

    def _in_place(self: Any, result: Tensor) -> Tensor:
        if self.requires_grad and self.is_leaf:
            raise TypeError("[in place] a parameter is written by .assign(value) or an optimizer")
        return result

    def __iadd__(self: Any, other: Any) -> Tensor:
        return Interop._in_place(self, self + other)

    def __isub__(self: Any, other: Any) -> Tensor:
        return Interop._in_place(self, self - other)

    def __imul__(self: Any, other: Any) -> Tensor:
        return Interop._in_place(self, self * other)

    def __itruediv__(self: Any, other: Any) -> Tensor:
        return Interop._in_place(self, self / other)
