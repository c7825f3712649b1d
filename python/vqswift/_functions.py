"""Functions of several tensors, and the switch of the tape."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _core
from ._arguments import checked
from ._dtypes import DTYPES, BFloat16, DTypeLike, dtype_code
from ._tensor import Tensor, _operand, as_tensor


@checked
def concatenate(tensors: Sequence[Tensor | npt.ArrayLike], axis: int = 0) -> Tensor:
    """Join tensors that are equal in every other axis along `axis`."""
    return Tensor._wrap(_core.tensor_concatenate([_operand(t) for t in tensors], axis))


@checked
def stack(tensors: Sequence[Tensor | npt.ArrayLike], axis: int = 0) -> Tensor:
    """Join tensors of equal shape along a new `axis`."""
    return Tensor._wrap(_core.tensor_stack([_operand(t) for t in tensors], axis))


def _pair(a: Any, b: Any) -> tuple[_core.TensorHandle, _core.TensorHandle]:
    """Both operands; a whole number beside integers is one too, as for operators."""
    if isinstance(a, Tensor):
        return a._handle, a._beside(b)
    return (b._beside(a), b._handle) if isinstance(b, Tensor) else (_operand(a), _operand(b))


@checked
def maximum(a: Tensor | npt.ArrayLike, b: Tensor | npt.ArrayLike) -> Tensor:
    """The greater of each pair of elements; operands broadcast."""
    return Tensor._wrap(_core.tensor_maximum(*_pair(a, b)))


@checked
def minimum(a: Tensor | npt.ArrayLike, b: Tensor | npt.ArrayLike) -> Tensor:
    """The smaller of each pair of elements; operands broadcast."""
    return Tensor._wrap(_core.tensor_minimum(*_pair(a, b)))


@checked
def where(
    condition: Tensor | npt.ArrayLike, a: Tensor | npt.ArrayLike, b: Tensor | npt.ArrayLike
) -> Tensor:
    """Elements of `a` where the bool `condition` holds, else of `b`; operands broadcast."""
    return Tensor._wrap(_core.tensor_where(_operand(condition), *_pair(a, b)))


@checked
def zeros(shape: Sequence[int] | int, dtype: DTypeLike = np.float32) -> Tensor:
    """A tensor of zeros, of any element type."""
    return full(shape, 0, dtype)


@checked
def ones(shape: Sequence[int] | int, dtype: DTypeLike = np.float32) -> Tensor:
    """A tensor of ones, of any element type."""
    return full(shape, 1, dtype)


@checked
def full(shape: Sequence[int] | int, value: float, dtype: DTypeLike | None = None) -> Tensor:
    """A tensor of one value, of its kind where no `dtype` is given."""
    array = np.full(shape, value)
    if dtype is None:
        return Tensor(array)
    wanted = DTYPES[dtype_code(dtype)]
    held = np.float32 if isinstance(wanted, BFloat16) else wanted
    return Tensor(array.astype(held), dtype=wanted)


@checked
def arange(start: float, stop: float | None = None, step: float = 1) -> Tensor:
    """start, start + step, ... below stop, or 0, 1, ... below the one number: int32 of integers."""
    if step == 0:
        raise ValueError("[arange] step = 0: must not be 0")
    return Tensor(np.arange(start, step=step) if stop is None else np.arange(start, stop, step))


@checked
def pad(
    x: Tensor | npt.ArrayLike,
    widths: Sequence[tuple[int, int]],
    value: float = 0.0,
    mode: str = "constant",
) -> Tensor:
    """`x` with so many elements more before and after it along each axis.

    `mode` is "constant", of `value`, or "reflect", "replicate" or "circular", as PyTorch has them.
    """
    result = x if isinstance(x, Tensor) else Tensor(x)
    if len(widths) != result.ndim:
        raise ValueError(
            f"[pad] widths {list(widths)}: a pair (before, after) is required for each of "
            f"{result.ndim} axes"
        )
    for axis, (before, after) in enumerate(widths):
        if before or after:
            handle = _core.tensor_pad(result._handle, axis, before, after, mode, value)
            result = Tensor._wrap(handle)
    return result


@checked
def outer(a: Tensor | npt.ArrayLike, b: Tensor | npt.ArrayLike) -> Tensor:
    """[n] and [m] -> [n, m], the product of each element of `a` with each of `b`."""
    left, right = as_tensor(a), as_tensor(b)
    if left.ndim != 1 or right.ndim != 1:
        raise ValueError(
            f"[outer] shapes {list(left.shape)} and {list(right.shape)}: one axis each is required"
        )
    return left.unsqueeze(1) * right


@checked
def meshgrid(*tensors: Tensor | npt.ArrayLike, indexing: str = "ij") -> tuple[Tensor, ...]:
    """[n], [m], ... -> each repeated to [n, m, ...]; with `indexing="xy"` to [m, n, ...]."""
    if indexing not in ("ij", "xy"):
        raise ValueError(f"[meshgrid] indexing = {indexing!r}: must be ij or xy")
    lines = [as_tensor(t) for t in tensors]
    for line in lines:
        if line.ndim != 1:
            raise ValueError(f"[meshgrid] shape {list(line.shape)}: one axis is required")
    axes = list(range(len(lines)))
    if indexing == "xy":
        axes[:2] = axes[1::-1]
    shape = [0] * len(lines)
    for axis, line in zip(axes, lines, strict=True):
        shape[axis] = line.size
    return tuple(
        line.reshape(
            [line.size if other == axis else 1 for other in range(len(axes))]
        ).broadcast_to(shape)
        for axis, line in zip(axes, lines, strict=True)
    )


@contextlib.contextmanager
def no_grad() -> Iterator[None]:
    """Record no gradients within the block, on this thread."""
    before = _core.set_grad_enabled(False)
    try:
        yield
    finally:
        _core.set_grad_enabled(before)


@contextlib.contextmanager
def enable_grad() -> Iterator[None]:
    """Record gradients within the block, on this thread, whatever is around it."""
    before = _core.set_grad_enabled(True)
    try:
        yield
    finally:
        _core.set_grad_enabled(before)
