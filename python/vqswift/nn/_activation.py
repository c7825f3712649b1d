"""Layers without parameters that act on each element, or on the shape."""

from __future__ import annotations

from typing import Any

from .._options import create
from .._tensor import Tensor, as_tensor
from ._native import Native


class _Activation(Native):
    _kind: str

    def __init__(self) -> None:
        super().__init__(create(self._kind))


class ReLU(_Activation):
    """max(x, 0)."""

    _kind = "relu"


class GELU(_Activation):
    """x Phi(x), the exact form."""

    _kind = "gelu"


class SiLU(_Activation):
    """x sigmoid(x)."""

    _kind = "silu"


class Tanh(_Activation):
    """Hyperbolic tangent."""

    _kind = "tanh"


class Sigmoid(_Activation):
    """1 / (1 + exp(-x))."""

    _kind = "sigmoid"


class Identity(_Activation):
    """x."""

    _kind = "identity"

    def _input(self, x: Any) -> Tensor:
        return as_tensor(x)


class Flatten(_Activation):
    """[n, ...] -> [n, product of the rest]."""

    _kind = "flatten"

    def _input(self, x: Any) -> Tensor:
        return as_tensor(x)
