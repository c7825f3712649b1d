"""Values that backward computes again instead of keeping them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from .. import _core
from .._arguments import checked
from .._tensor import Tensor
from ._outputs import Outputs, as_tuple, is_float, joined

P = ParamSpec("P")
Result = TypeVar("Result")


@checked
def checkpoint(function: Callable[P, Result], *inputs: P.args, **options: P.kwargs) -> Result:
    """`function(*inputs, **options)`, without keeping the values inside it for backward (Chen et
    al. 2016): backward calls it again, with the same random draws.

    The result is a Tensor or a tuple of Tensors. Gradients reach inputs that are tensors and the
    parameters that the function uses; a tensor that is computed outside must be an input. What
    else a forward in training writes, running statistics and codebooks, it writes twice.
    """
    positions = [i for i, x in enumerate(inputs) if isinstance(x, Tensor)]
    known: list[Outputs] = []

    def run(handles: list[_core.TensorHandle]) -> _core.TensorHandle:
        given: Any = list(inputs)
        for position, handle in zip(positions, handles, strict=True):
            given[position] = Tensor._wrap(handle)
        result = function(*given, **options)
        tensors = as_tuple("checkpoint", result)
        if not any(map(is_float, tensors)):
            raise TypeError("[checkpoint] the result has no float32 tensor: one is required")
        if not known:
            known.append(Outputs(result, tensors))
        return joined(tensors)

    tensors: list[Any] = [inputs[i] for i in positions]
    handle = _core.tensor_checkpoint([tensor._handle for tensor in tensors], run)
    result: Result = known[0].result(handle)
    return result
