"""Tensors: NumPy in and out, gradients on a tape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _core
from ._arguments import checked
from ._dtypes import (
    BOOL,
    DTYPES,
    INT32,
    BFloat16,
    DTypeLike,
    contiguous,
    dtype_code,
    whole_power,
)
from ._elements import Elements
from ._hints import tape_hints
from ._indexing import indexed
from ._interop import Interop
from ._scans import Scans
from ._selection import Selection
from ._shapes import Shapes

Axes = int | Sequence[int] | None
Pair = int | tuple[int, int]


def as_pair(value: Pair) -> tuple[int, int]:
    """(height, width) of one number or of two."""
    if isinstance(value, (int, np.integer)):
        return int(value), int(value)
    pair = tuple(value)
    if len(pair) != 2:
        raise ValueError(f"[pair] {value!r}: one size or a pair (height, width) is required")
    return pair[0], pair[1]


@checked
class Tensor(Elements, Shapes, Selection, Scans, Interop):
    """An immutable array of float32, int32 or bool that records how it was computed.

    `Tensor(array)` copies. Floating arrays become float32, integers int32, booleans bool, and then
    what `dtype` says, as by `astype`; complex, object and string arrays raise TypeError. Integers
    compute in int32, wrapping around, and `/` gives float32; beside float32 they become float32, or
    raise ValueError where that would round. NumPy's functions on tensors give tensors, on the tape,
    or raise TypeError.

    float16 and bfloat16 are for storage, in half the bytes: whatever takes a float32 tensor takes
    them as float32, without rounding, and gives float32. They collect no gradient of their own.

    With `requires_grad=True` it collects a gradient in `.grad` when `backward` of something that
    depends on it is called.
    """

    __slots__ = ("_handle", "__weakref__")

    def __init__(
        self,
        array: npt.ArrayLike | Tensor,
        requires_grad: bool = False,
        dtype: DTypeLike | None = None,
    ) -> None:
        if isinstance(array, Tensor):
            array = array.numpy()
        self._handle = _core.tensor_create(*contiguous(array))
        if dtype is not None:
            self._handle = _core.tensor_astype(self._handle, dtype_code(dtype))
        if requires_grad:
            self._handle = _core.tensor_requiring_grad(self._handle, 0)

    @classmethod
    def _wrap(cls, handle: _core.TensorHandle) -> Tensor:
        tensor = cls.__new__(cls)
        tensor._handle = handle
        return tensor

    # Reading

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes, outermost first."""
        return _core.tensor_shape(self._handle)

    @property
    def dtype(self) -> np.dtype[Any] | BFloat16:
        """float32, int32, bool, float16 or `vq.bfloat16`, which is no NumPy type."""
        return DTYPES[_core.tensor_dtype(self._handle)]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Bytes that the elements take: two each in float16 and bfloat16, else four."""
        return self.size * (4 if _core.tensor_dtype(self._handle) <= BOOL else 2)

    def numpy(self) -> np.ndarray:
        """A copy as a NumPy array, float32 of bfloat16."""
        dtype = self.dtype
        if isinstance(dtype, BFloat16):
            return self.astype(np.float32).numpy()
        array = np.empty(self.shape, np.int32 if dtype == np.bool_ else dtype)
        _core.tensor_copy_out(self._handle, array)
        return array.astype(dtype, copy=False)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("[__array__] copy=False: a tensor's elements are always copied")
        array = self.numpy()
        return array if dtype is None else array.astype(dtype, copy=False)

    def item(self) -> float | int:
        """The only element."""
        if self.size != 1:
            raise ValueError(f"[item] shape {list(self.shape)}: exactly one element is required")
        value: float | int = self.numpy().reshape(()).item()
        return value

    def tolist(self) -> Any:
        """The elements as Python numbers in nested lists."""
        return self.numpy().tolist()

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("[len] a tensor without axes has no length")
        return self.shape[0]

    def __repr__(self) -> str:
        body = np.array2string(self.numpy(), separator=", ", prefix="Tensor(")
        grad = ", requires_grad=True" if self.requires_grad else ""
        return f"Tensor({body}, shape={[*self.shape]}, dtype={self.dtype}{grad})"

    # Gradients

    @property
    def requires_grad(self) -> bool:
        """Whether backward passes through this tensor.

        Written False it freezes a parameter: its gradient is forgotten, operators record none, and
        optimizers leave it alone until it is True again. RuntimeError for a tensor that was not
        made with `requires_grad=True`.
        """
        return _core.tensor_requires_grad(self._handle)

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        _core.tensor_set_requires_grad(self._handle, bool(value))

    @property
    def is_leaf(self) -> bool:
        """Whether the tensor collects its own gradient: made with requires_grad, not computed."""
        return _core.tensor_is_leaf(self._handle)

    @property
    def grad(self) -> Tensor | None:
        """The accumulated gradient of a tensor made with requires_grad; None before backward."""
        handle = _core.tensor_grad(self._handle)
        return None if handle is None else Tensor._wrap(handle)

    @grad.setter
    def grad(self, value: Tensor | npt.ArrayLike | None) -> None:
        _core.tensor_set_grad(self._handle, None if value is None else _operand(value))

    def backward(
        self, gradient: Tensor | npt.ArrayLike | None = None, retain_graph: bool = False
    ) -> None:
        """Add the gradient of this tensor to `.grad` of all that it depends on.

        `gradient`: this tensor's own gradient, its shape; may be left out for one element. The tape
        is freed unless `retain_graph`; a second backward then raises RuntimeError.
        """
        seed = None if gradient is None else _operand(gradient)
        with tape_hints():
            _core.tensor_backward(self._handle, seed, retain_graph)

    def detach(self) -> Tensor:
        """The same elements, cut from the tape."""
        return Tensor._wrap(_core.tensor_detach(self._handle))

    def assign(self, value: npt.ArrayLike | Tensor) -> None:
        """Copy `value`, same shape and dtype, into this tensor in place."""
        _core.tensor_assign(self._handle, _operand(value))

    # Arithmetic

    def _beside_bits(self, other: Any) -> _core.TensorHandle:
        # Python's truth beside truths is one of them, not the integer 1.
        is_truth = isinstance(other, bool) and self.dtype == np.bool_
        return self._beside(np.bool_(other) if is_truth else other)

    def _beside(self, other: Any) -> _core.TensorHandle:
        """The handle of the other operand; a whole number beside integers is an int32."""
        whole = isinstance(other, (int, np.integer))
        if whole and self._is_whole:
            return _core.tensor_create(*contiguous(int(other)))
        return _operand(other)

    @property
    def _is_whole(self) -> bool:
        """Whether the elements are int32 or bool."""
        return _core.tensor_dtype(self._handle) in (INT32, BOOL)

    def astype(self, dtype: DTypeLike) -> Tensor:
        """The elements as another type: float32, int32, bool, float16 or `vq.bfloat16`.

        The last two round to the nearest, ties to even; float16 is infinite from 65520 on. Between
        floating types gradients pass unchanged; otherwise the result is cut from the tape where
        the type changes. To int32 the fraction is dropped; ValueError for NaN and what int32 does
        not hold.
        """
        return Tensor._wrap(_core.tensor_astype(self._handle, dtype_code(dtype)))

    def _compare(self, other: Any, kind: int) -> Tensor:
        return Tensor._wrap(_core.tensor_compare(self._handle, self._beside(other), kind))

    def __add__(self, other: Any) -> Tensor:
        return Tensor._wrap(_core.tensor_add(self._handle, self._beside(other)))

    __radd__ = __add__

    def __sub__(self, other: Any) -> Tensor:
        return Tensor._wrap(_core.tensor_subtract(self._handle, self._beside(other)))

    def __rsub__(self, other: Any) -> Tensor:
        return Tensor._wrap(_core.tensor_subtract(self._beside(other), self._handle))

    def __mul__(self, other: Any) -> Tensor:
        return Tensor._wrap(_core.tensor_multiply(self._handle, self._beside(other)))

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Tensor:
        return Tensor._wrap(_core.tensor_divide(self._handle, self._beside(other)))

    def __rtruediv__(self, other: Any) -> Tensor:
        return Tensor._wrap(_core.tensor_divide(self._beside(other), self._handle))

    def __floordiv__(self, other: Any) -> Tensor:
        return Tensor._wrap(_core.tensor_floor_divide(self._handle, self._beside(other)))

    def __rfloordiv__(self, other: Any) -> Tensor:
        return Tensor._wrap(_core.tensor_floor_divide(self._beside(other), self._handle))

    def __mod__(self, other: Any) -> Tensor:
        return Tensor._wrap(_core.tensor_remainder(self._handle, self._beside(other)))

    def __rmod__(self, other: Any) -> Tensor:
        return Tensor._wrap(_core.tensor_remainder(self._beside(other), self._handle))

    def __and__(self, other: Any) -> Tensor:
        return Tensor._wrap(_core.tensor_bitwise_and(self._handle, self._beside_bits(other)))

    __rand__ = __and__

    def __or__(self, other: Any) -> Tensor:
        return Tensor._wrap(_core.tensor_bitwise_or(self._handle, self._beside_bits(other)))

    __ror__ = __or__

    def __xor__(self, other: Any) -> Tensor:
        return Tensor._wrap(_core.tensor_bitwise_xor(self._handle, self._beside_bits(other)))

    __rxor__ = __xor__

    def __matmul__(self, other: Any) -> Tensor:
        return Tensor._wrap(_core.tensor_matmul(self._handle, self._beside(other)))

    def __rmatmul__(self, other: Any) -> Tensor:
        return Tensor._wrap(_core.tensor_matmul(self._beside(other), self._handle))

    def __invert__(self) -> Tensor:
        return self == 0 if self.dtype == np.bool_ else self ^ -1

    def __pow__(self, exponent: float) -> Tensor:
        if not isinstance(exponent, (int, float, np.integer, np.floating)):
            return NotImplemented
        if self._is_whole:
            return Tensor._wrap(whole_power(self._handle, exponent))
        if exponent == 2:
            return self.square()
        return self._function("pow", exponent)

    def _function(self, name: str, parameter: float = 0.0) -> Tensor:
        return Tensor._wrap(_core.tensor_unary(self._handle, name, parameter))

    def clamp(self, minimum: float | None = None, maximum: float | None = None) -> Tensor:
        """Each element, at least `minimum` and at most `maximum`."""
        return Tensor._wrap(_core.tensor_clamp(self._handle, minimum, maximum))

    def __neg__(self) -> Tensor:
        return self._function("negate")

    # Reductions

    def sum(self, axis: Axes = None, keepdims: bool = False) -> Tensor:
        """Sum over `axis`, one, several or all; ValueError for one that int32 does not hold."""
        return Tensor._wrap(_core.tensor_sum(self._handle, _axes(axis), keepdims))

    def mean(self, axis: Axes = None, keepdims: bool = False) -> Tensor:
        """Mean over `axis`; ValueError without elements."""
        return Tensor._wrap(_core.tensor_mean(self._handle, _axes(axis), keepdims))

    def max(self, axis: Axes = None, keepdims: bool = False) -> Tensor:
        """Maximum over `axis`; its gradient goes to the first maximum."""
        return Tensor._wrap(_core.tensor_max(self._handle, _axes(axis), keepdims))

    def min(self, axis: Axes = None, keepdims: bool = False) -> Tensor:
        """Minimum over `axis`; its gradient goes to the first minimum."""
        return Tensor._wrap(_core.tensor_min(self._handle, _axes(axis), keepdims))

    def var(self, axis: Axes = None, keepdims: bool = False, unbiased: bool = True) -> Tensor:
        """Variance over `axis`, divided by n - 1, or by n unless `unbiased`."""
        return Tensor._wrap(_core.tensor_variance(self._handle, _axes(axis), keepdims, unbiased))

    def argmax(self, axis: int = -1) -> Tensor:
        """int32 position of the first maximum along `axis`."""
        return Tensor._wrap(_core.tensor_argmax(self._handle, axis))

    def softmax(self, axis: int = -1) -> Tensor:
        """exp(x) / sum exp(x) along `axis`."""
        return Tensor._wrap(_core.tensor_softmax(self._handle, axis))

    def log_softmax(self, axis: int = -1) -> Tensor:
        """Logarithm of softmax along `axis`."""
        return Tensor._wrap(_core.tensor_log_softmax(self._handle, axis))

    # Shape

    def reshape(self, *shape: int | Sequence[int]) -> Tensor:
        """The same elements in row-major order; one axis may be -1."""
        return Tensor._wrap(_core.tensor_reshape(self._handle, _sizes(shape)))

    def permute(self, *axes: int | Sequence[int]) -> Tensor:
        """Axes in the order given."""
        return Tensor._wrap(_core.tensor_permute(self._handle, _sizes(axes)))

    @property
    def T(self) -> Tensor:
        """Axes in reverse order."""
        return self.permute(tuple(range(self.ndim))[::-1])

    def broadcast_to(self, shape: Sequence[int]) -> Tensor:
        """Repeat axes of size 1 up to `shape`."""
        return Tensor._wrap(_core.tensor_broadcast_to(self._handle, shape))

    def gather_rows(self, codes: Tensor | npt.ArrayLike) -> Tensor:
        """[k, d] and int32 codes [...] -> [..., d]; IndexError outside 0..k-1."""
        return Tensor._wrap(_core.tensor_gather_rows(self._handle, _operand(codes)))

    def scatter_add_rows(self, codes: Tensor | npt.ArrayLike, rows: int) -> Tensor:
        """[..., d] and int32 codes [...] -> [rows, d], the sum of each code's rows."""
        return Tensor._wrap(_core.tensor_scatter_add_rows(self._handle, _operand(codes), rows))

    def one_hot(self, count: int) -> Tensor:
        """int32 [...] -> float32 [..., count]."""
        return Tensor._wrap(_core.tensor_one_hot(self._handle, count))

    def __getitem__(self, key: Any) -> Tensor:
        """Integers, slices, `...`, `None`, arrays of integers and masks, as in NumPy.

        IndexError for what lies outside an axis. A place that is taken twice adds up its gradients.
        """
        return Tensor._wrap(indexed(self._handle, self.shape, key))


def _operand(value: Any) -> _core.TensorHandle:
    """The handle of a tensor, a number or an array; numbers become float32."""
    if isinstance(value, Tensor):
        return value._handle
    if isinstance(value, (int, float, np.integer, np.floating)):
        value = np.float32(value)
    return _core.tensor_create(*contiguous(value))


def _axes(axis: Axes) -> Sequence[int] | None:
    return (int(axis),) if isinstance(axis, (int, np.integer)) else axis


def _sizes(values: tuple[Any, ...]) -> Any:
    alone = len(values) == 1 and not isinstance(values[0], (int, np.integer))
    return values[0] if alone else values


def as_tensor(value: Tensor | npt.ArrayLike) -> Tensor:
    """`value` itself, or a tensor of the array."""
    return value if isinstance(value, Tensor) else Tensor(value)
