"""Operators whose gradient is written in Python."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._arguments import checked, described
from .._functions import no_grad
from .._tensor import Tensor, as_tensor
from ._outputs import Outputs, as_tuple, joined


@checked
class FunctionContext:
    """What `forward` keeps for `backward`: saved tensors, and any attribute.

    `needs_input_grad` tells of each input of `apply` whether its gradient is wanted.
    """

    def __init__(self, needs_input_grad: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs_input_grad
        self._saved: tuple[Tensor | None, ...] = ()

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors that `backward` reads, inputs or results: it is refused with RuntimeError
        once one of them was written in place."""
        for tensor in tensors:
            if tensor is not None and not isinstance(tensor, Tensor):
                raise TypeError(
                    f"[save_for_backward] tensors has {described(tensor)}: Tensors are required, "
                    "and what is none is kept as an attribute"
                )
        self._saved = tensors

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """What `save_for_backward` was given."""
        return self._saved


class Function:
    """An operator of your own: a subclass with static `forward` and `backward`, used by `apply`.

        class Cube(vq.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x * x * x

            @staticmethod
            def backward(ctx, gradient):
                (x,) = ctx.saved_tensors
                return gradient * 3 * x * x

        y = Cube.apply(x)

    Neither is recorded: gradients of gradients are not computed. An exception in `backward` ends
    the call of `Tensor.backward` that came to it.
    """

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """`forward(ctx, *inputs)`: the result, a Tensor or a tuple of Tensors, of the inputs of
        `apply`."""
        raise NotImplementedError("[function] a subclass defines forward(ctx, *inputs)")

    @staticmethod
    def backward(*args: Any, **kwargs: Any) -> Any:
        """`backward(ctx, *gradients)`: that of each input, from that of each tensor of the result.

        One or a tuple: a tensor of the input's shape, or None for no gradient. Of a result that is
        not float32 there is None.
        """
        raise NotImplementedError("[function] a subclass defines backward(ctx, *gradients)")

    @classmethod
    def apply(cls, *inputs: Any) -> Any:
        """What `forward` gives, on the tape where an input requires a gradient."""
        name = cls.__name__
        context = FunctionContext(
            tuple(isinstance(x, Tensor) and x.requires_grad for x in inputs),
        )
        with no_grad():
            result = cls.forward(context, *inputs)
            tensors = as_tuple(name, result)
            outputs = Outputs(result, tensors)
            value = joined(tensors) if outputs.has_floats else None
        if value is None:
            return outputs.result(None)
        positions = [i for i, x in enumerate(inputs) if isinstance(x, Tensor)]
        shapes = {i: inputs[i].shape for i in positions}
        count = len(inputs)

        def pullback(gradient: _core.TensorHandle) -> list[_core.TensorHandle | None]:
            given = cls.backward(context, *outputs.gradients(gradient))
            found = _one_for_each(name, given, count)
            for index in set(range(count)) - shapes.keys():
                if found[index] is not None:
                    raise TypeError(
                        f"[{name}] backward gave a gradient of input {index}, which is no tensor: "
                        "None is required"
                    )
            return [_handle(name, i, found[i], shapes[i]) for i in positions]

        saved = [tensor._handle for tensor in context._saved if tensor is not None]
        handles = [inputs[i]._handle for i in positions]
        return outputs.result(_core.tensor_record(name, value, handles, saved, pullback))


def _one_for_each(name: str, given: Any, count: int) -> tuple[Any, ...]:
    gradients = tuple(given) if isinstance(given, (tuple, list)) else (given,)
    if len(gradients) != count:
        raise ValueError(
            f"[{name}] backward gave {len(gradients)} gradients: one, or None, is required for "
            f"each of {count} inputs"
        )
    return gradients


def _handle(
    name: str, index: int, gradient: Any, shape: tuple[int, ...]
) -> _core.TensorHandle | None:
    if gradient is None:
        return None
    tensor = as_tensor(gradient)
    if tensor.shape != shape:
        raise ValueError(
            f"[{name}] shapes {list(tensor.shape)} and {list(shape)}: the gradient of input "
            f"{index} must have the input's shape"
        )
    return tensor._handle
