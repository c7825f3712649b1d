"""Gradients of a loss with respect to a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import _core
from .._arguments import checked
from .._functions import enable_grad
from .._gradients import loss_of
from .._tensor import Tensor
from ._module import Module


@checked
def value_and_grad(
    model: Module, function: Callable[..., Any]
) -> Callable[..., tuple[Any, dict[str, Tensor]]]:
    """A function of the arguments of `function` that gives (value, gradients by parameter's name).

    `function` gives a loss of one element, or a tuple that begins with it and is given back whole.
    Gradients are those of `model.named_parameters()` that are not frozen; no `.grad` changes.
    """

    def call(*args: Any, **kwargs: Any) -> tuple[Any, dict[str, Tensor]]:
        with enable_grad():
            result = function(*args, **kwargs)
        several = isinstance(result, (tuple, list)) and len(result) > 0
        values = [*result] if several else [result]
        loss = loss_of(values[0])
        named = {n: p._handle for n, p in model.named_parameters() if p.requires_grad}
        found = _core.tensor_gradients(loss._handle, None, list(named.values()), False)
        gradients = {n: Tensor._wrap(h) for n, (_, h) in zip(named, found, strict=True)}
        return (loss.detach(), *values[1:]) if several else loss.detach(), gradients

    return call
