"""Several results of one function as one tensor, as the tape has them, and back."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._arguments import described
from .._tensor import Tensor

Handle = _core.TensorHandle


def as_tuple(operation: str, result: Any) -> tuple[Tensor, ...]:
    """The tensors of a result; TypeError for what is neither a tensor nor a tuple of tensors."""
    tensors = result if isinstance(result, tuple) else (result,)
    for tensor in tensors:
        if not isinstance(tensor, Tensor):
            raise TypeError(
                f"[{operation}] the result is {described(result)}: a Tensor or a tuple of Tensors "
                "is required"
            )
    return tensors


class Outputs:
    """How the float32 tensors of a result stand in one tensor; others are kept as they are."""

    def __init__(self, result: Any, tensors: tuple[Tensor, ...]) -> None:
        self._is_tuple = isinstance(result, tuple)
        self._shapes = [t.shape if is_float(t) else None for t in tensors]
        self._others = [None if is_float(t) else t.detach() for t in tensors]

    @property
    def has_floats(self) -> bool:
        return any(shape is not None for shape in self._shapes)

    def result(self, joined: Handle | None) -> Any:
        """The result, whose float32 tensors are parts of `joined`."""
        floats = iter(self.parts(joined) if joined is not None else ())
        tensors = [next(floats) if other is None else other for other in self._others]
        return tuple(tensors) if self._is_tuple else tensors[0]

    def parts(self, joined: Handle) -> list[Tensor]:
        """The float32 tensors in `joined`."""
        shapes = [shape for shape in self._shapes if shape is not None]
        if len(shapes) == 1:
            return [Tensor._wrap(joined)]
        parts, start = [], 0
        for shape in shapes:
            size = 1
            for axis in shape:
                size *= axis
            part = _core.tensor_slice(joined, 0, start, start + size, 1)
            parts.append(Tensor._wrap(_core.tensor_reshape(part, shape)))
            start += size
        return parts

    def gradients(self, joined: Handle) -> list[Tensor | None]:
        """Those of each tensor of the result, None for one that is not float32."""
        floats = iter(self.parts(joined))
        return [None if shape is None else next(floats) for shape in self._shapes]


def joined(tensors: tuple[Tensor, ...]) -> Handle:
    """The float32 tensors one after another, or the only one as it is."""
    floats = [tensor for tensor in tensors if is_float(tensor)]
    if len(floats) == 1:
        return floats[0]._handle
    rows = [_core.tensor_reshape(tensor._handle, (tensor.size,)) for tensor in floats]
    return _core.tensor_concatenate(rows, 0)


def is_float(value: object) -> bool:
    return isinstance(value, Tensor) and not value._is_whole
