"""Functions that give gradients of functions."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from . import _core
from ._arguments import checked, described, is_integer
from ._dtypes import FLOAT32
from ._functions import enable_grad
from ._tensor import Tensor, as_tensor


@checked
def value_and_grad(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., tuple[Any, Any]]:
    """A function of the arguments of `f` that gives (value, gradients).

    `f` gives a float32 tensor of one element; with `has_aux` a pair of it and anything else, and
    the value is that pair. Gradients are those of the positional arguments `argnums`, a tuple for a
    sequence: tensors, arrays or numbers, or lists, tuples and dicts of them, whose form the
    gradients have. They are not on the tape, and no tensor's `.grad` changes, whatever `f` uses.
    """
    several = None if is_integer(argnums) else argnums
    given_numbers: Any = [argnums] if several is None else several
    numbers = [operator.index(number) for number in given_numbers]

    def call(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        places = _places(numbers, len(args))
        given, leaves = list(args), list[Tensor]()
        for number in places:
            given[number] = _map(given[number], lambda value: _fresh(value, leaves))
        with enable_grad():
            result = f(*given, **kwargs)
        value = loss_of(_first(result, has_aux))
        handles = [leaf._handle for leaf in leaves]
        found = iter(_core.tensor_gradients(value._handle, None, handles, False))
        gradients = tuple(
            _map(given[number], lambda _: Tensor._wrap(next(found)[1])) for number in places
        )
        whole = (value.detach(), result[1]) if has_aux else value.detach()
        return whole, gradients[0] if several is None else gradients

    return call


@checked
def grad(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function of the arguments of `f` that gives its gradients, with `has_aux` (gradients, aux);
    see `value_and_grad`."""
    both = value_and_grad(f, argnums, has_aux)

    def call(*args: Any, **kwargs: Any) -> Any:
        value, gradients = both(*args, **kwargs)
        return (gradients, value[1]) if has_aux else gradients

    return call


def _places(numbers: list[int], count: int) -> list[int]:
    """The arguments of these numbers, counted from the front."""
    for number in numbers:
        if not -count <= number < count:
            raise ValueError(
                f"[value_and_grad] argnums has {number}: {count} positional arguments were given"
            )
    places = [number % count for number in numbers]
    if len(set(places)) < len(places):
        raise ValueError(f"[value_and_grad] argnums = {numbers}: each argument once")
    return places


def _map(value: Any, function: Callable[[Any], Tensor]) -> Any:
    """`value` with `function` of each leaf of its lists, tuples and dicts."""
    if isinstance(value, dict):
        return {key: _map(inner, function) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        parts = [_map(inner, function) for inner in value]
        if hasattr(value, "_fields"):
            return type(value)(*parts)
        return tuple(parts) if isinstance(value, tuple) else parts
    return function(value)


def _fresh(value: Any, leaves: list[Tensor]) -> Tensor:
    """A leaf of its own over the elements of `value`."""
    tensor = as_tensor(value)
    if tensor._is_whole:
        raise TypeError(
            f"[value_and_grad] an argument is {described(value)}: only floats have gradients"
        )
    floats = _core.tensor_astype(tensor._handle, FLOAT32)
    leaves.append(Tensor._wrap(_core.tensor_requiring_grad(floats, 0)))
    return leaves[-1]


def _first(result: Any, has_aux: bool) -> Any:
    if has_aux and not (isinstance(result, (tuple, list)) and len(result) == 2):
        raise TypeError(
            f"[value_and_grad] the function gave {described(result)}: with has_aux a pair "
            "(value, aux) is required"
        )
    return result[0] if has_aux else result


def loss_of(value: Any) -> Tensor:
    """`value`, which must be a float32 tensor of one element."""
    if not isinstance(value, Tensor) or value._is_whole or value.size != 1:
        raise TypeError(
            f"[value_and_grad] the function gave {described(value)}: a float32 Tensor of one "
            "element is required"
        )
    return value
