"""Clipping of gradients."""

from __future__ import annotations

from collections.abc import Iterable
from weakref import WeakValueDictionary

from .. import _core
from .._arguments import checked
from .._tensor import Tensor
from ._optimizer import handles_of

# Parameters whose gradients were clipped, by identity.
_clipped: WeakValueDictionary[int, Tensor] = WeakValueDictionary()


@checked
def clip_grad_norm(params: Iterable[Tensor], maximum: float) -> float:
    """Scale gradients so that their joint L2 norm is at most `maximum`; returns the norm before."""
    parameters = [params] if isinstance(params, Tensor) else list(params)
    norm = _core.clip_grad_norm(handles_of("clip_grad_norm", parameters), maximum)
    _clipped.update((id(parameter), parameter) for parameter in parameters)
    return norm


@checked
def clip_grad_value(params: Iterable[Tensor], maximum: float) -> None:
    """Clamp every gradient's elements to -maximum...maximum."""
    parameters = [params] if isinstance(params, Tensor) else list(params)
    _core.clip_grad_value(handles_of("clip_grad_value", parameters), maximum)
    _clipped.update((id(parameter), parameter) for parameter in parameters)


@checked
def is_clipped(parameter: Tensor) -> bool:
    """Whether a gradient of `parameter` has been clipped, by norm or by value."""
    return _clipped.get(id(parameter)) is parameter
