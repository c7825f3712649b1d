"""Functions of several tensors, and the switch of the tape."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy.typing as npt

from . import _core
from ._arguments import checked
from ._tensor import Tensor, _operand


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


@contextlib.contextmanager
def no_grad() -> Iterator[None]:
    """Record no gradients within the block, on this thread."""
    before = _core.set_grad_enabled(False)
    try:
        yield
    finally:
        _core.set_grad_enabled(before)
