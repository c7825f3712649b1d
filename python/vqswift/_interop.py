"""What makes a tensor a well-behaved Python and NumPy object."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from . import _core
from ._arguments import checked
from ._hints import refuse_of_tensor
from ._numpy_protocol import apply_function, apply_ufunc

if TYPE_CHECKING:
    from ._tensor import Tensor


#: DLPack's number of the CPU, and of the first of them.
_CPU = (1, 0)


def not_copied(kind: str) -> NoReturn:
    """What copying or pickling a native object raises."""
    raise TypeError(
        f"[copy] a {kind} cannot be copied or pickled: build another and load the state_dict"
    )


def _frozen(kind: type[Tensor], array: np.ndarray) -> Tensor:
    """The copy of a frozen parameter."""
    tensor = kind(array, requires_grad=True)
    tensor.requires_grad = False
    return tensor


def _is_comparable(other: object) -> bool:
    return isinstance(other, (int, float, np.generic, list, tuple)) or hasattr(other, "__array__")


@checked
class Interop:
    """Comparison, iteration, formatting and pickling of a `Tensor`.

    Comparisons give tensors of bool. In-place operators are refused on parameters, which only
    `assign` and optimizers write.
    """

    __slots__ = ()
    _compare: Callable[[Any, int], Tensor]

    def __hash__(self) -> int:
        return object.__hash__(self)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        return apply_ufunc(ufunc, method, inputs, options)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        return apply_function(function, args, options)

    def __eq__(self, other: object) -> Any:
        return self._compare(other, 0) if _is_comparable(other) else NotImplemented

    def __ne__(self, other: object) -> Any:
        return self._compare(other, 1) if _is_comparable(other) else NotImplemented

    def __lt__(self, other: Any) -> Tensor:
        return self._compare(other, 2)

    def __le__(self, other: Any) -> Tensor:
        return self._compare(other, 3)

    def __gt__(self, other: Any) -> Tensor:
        return self._compare(other, 4)

    def __ge__(self, other: Any) -> Tensor:
        return self._compare(other, 5)

    def any(self: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
        """Whether an element along `axis` is not 0."""
        result: Tensor = (self != 0).sum(axis, keepdims) != 0
        return result

    def all(self: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
        """Whether no element along `axis` is 0."""
        result: Tensor = (self == 0).sum(axis, keepdims) == 0
        return result

    def __float__(self: Any) -> float:
        return float(self.item())

    def __int__(self: Any) -> int:
        return int(self.item())

    def __bool__(self: Any) -> bool:
        if self.size != 1:
            raise ValueError(
                f"[bool] shape {list(self.shape)}: exactly one element is required; "
                "x.any() or x.all() tells of several"
            )
        return bool(self.item())

    def __index__(self: Any) -> int:
        if not self._is_whole:
            raise TypeError(
                f"[index] a {self.dtype} tensor is no index: an integer one is required"
            )
        return int(self.item())

    def __setitem__(self: Any, key: Any, value: Any) -> NoReturn:
        raise TypeError(
            "[setitem] a tensor is immutable: make another by vq.where(mask, value, x) or "
            "x.masked_fill(mask, value); a parameter is written by .assign(value)"
        )

    # What PyTorch's tensors have and these do not.
    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            refuse_of_tensor(name)

    def __contains__(self, value: object) -> bool:
        return bool(np.any(np.asarray(self == value)))

    def __iter__(self: Any) -> Iterator[Tensor]:
        return (self[index] for index in range(len(self)))

    def __format__(self: Any, spec: str) -> str:
        return format(self.item() if self.size == 1 and spec else str(self), spec)

    def __abs__(self: Any) -> Tensor:
        result: Tensor = self.abs()
        return result

    def __dlpack__(
        self: Any,
        *,
        stream: None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> object:
        """The elements for another library, cut from the tape (DLPack).

        In place and read-only where it takes version 1; else, and of bools, a copy.

        Raises:
            BufferError: another device or a stream, or `copy=False` where it takes a copy.
        """
        if dl_device not in (None, _CPU) or stream is not None:
            raise BufferError(
                f"[dlpack] device {dl_device}, stream {stream}: tensors are on the CPU, {_CPU}"
            )
        is_versioned = max_version is not None and max_version[0] >= 1
        is_copied = not is_versioned or self.dtype == bool or bool(copy)
        if copy is False and is_copied:
            why = "bools are kept as int32" if is_versioned else "others might write into a tensor"
            raise BufferError(f"[dlpack] copy = False: {why}")
        return _core.tensor_dlpack(self._handle, is_versioned, is_copied)

    def __dlpack_device__(self) -> tuple[int, int]:
        return _CPU

    def __reduce__(self: Any) -> tuple[Any, ...]:
        if self.is_leaf and not self.requires_grad:
            return _frozen, (type(self), self.numpy())
        if self.dtype.kind == "f" and self.dtype.itemsize == 2:
            return type(self), (self.numpy(), False, self.dtype.name)
        return type(self), (self.numpy(), self.is_leaf)

    def _in_place(self: Any, result: Tensor) -> Tensor:
        if self.is_leaf:
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

    def __ipow__(self: Any, other: Any) -> Tensor:
        return Interop._in_place(self, self**other)

    def __imatmul__(self: Any, other: Any) -> Tensor:
        return Interop._in_place(self, self @ other)
