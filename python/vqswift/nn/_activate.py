"""Activations as functions."""

from __future__ import annotations

import numpy.typing as npt

from .. import _core
from .._arguments import checked
from .._integers import as_floats, as_layer_input
from .._random import Generator, layer_generator
from .._shapes import place
from .._tensor import Tensor

Array = npt.ArrayLike | Tensor


def _of_channels(operation: str, x: Array, name: str, value: Array) -> tuple[Tensor, Tensor]:
    """x [..., c] and a parameter of one element or of c."""
    given, own = as_layer_input(operation, x), as_floats(operation, name, value)
    if own.ndim > 1 or not own.size:
        raise ValueError(
            f"[{operation}] {name} has shape {list(own.shape)}: [1] or [c] is required"
        )
    if own.size > 1 and (given.ndim == 0 or given.shape[-1] != own.size):
        raise ValueError(
            f"[{operation}] shape {list(given.shape)}: the last axis must have {own.size} channels"
        )
    return given, own


@checked
def relu(x: Array) -> Tensor:
    """max(x, 0)."""
    return as_layer_input("relu", x)._function("relu")


@checked
def relu6(x: Array) -> Tensor:
    """min(max(x, 0), 6)."""
    return as_layer_input("relu6", x).clamp(0.0, 6.0)


@checked
def silu(x: Array) -> Tensor:
    """x sigmoid(x)."""
    return as_layer_input("silu", x)._function("silu")


@checked
def mish(x: Array) -> Tensor:
    """x tanh(softplus(x))."""
    return as_layer_input("mish", x)._function("mish")


@checked
def sigmoid(x: Array) -> Tensor:
    """1 / (1 + exp(-x))."""
    return as_layer_input("sigmoid", x)._function("sigmoid")


@checked
def logsigmoid(x: Array) -> Tensor:
    """log(sigmoid(x))."""
    return as_layer_input("logsigmoid", x)._function("log_sigmoid")


#: What MLX calls it.
log_sigmoid = logsigmoid


@checked
def tanh(x: Array) -> Tensor:
    """Hyperbolic tangent."""
    return as_layer_input("tanh", x)._function("tanh")


@checked
def hardswish(x: Array) -> Tensor:
    """x clamp(x + 3, 0, 6) / 6."""
    return as_layer_input("hardswish", x)._function("hardswish")


@checked
def hardsigmoid(x: Array) -> Tensor:
    """clamp(x + 3, 0, 6) / 6."""
    return as_layer_input("hardsigmoid", x)._function("hardsigmoid")


@checked
def hardtanh(x: Array, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """Each element, at least `min_val` and at most `max_val`, which is greater."""
    if not min_val < max_val:
        raise ValueError(f"[hardtanh] min_val = {min_val}: must be below max_val = {max_val}")
    return as_layer_input("hardtanh", x).clamp(min_val, max_val)


@checked
def selu(x: Array) -> Tensor:
    """The ELU that keeps mean 0 and variance 1 (Klambauer et al. 2017)."""
    return as_layer_input("selu", x)._function("selu")


@checked
def softsign(x: Array) -> Tensor:
    """x / (1 + |x|)."""
    return as_layer_input("softsign", x)._function("softsign")


@checked
def leaky_relu(x: Array, negative_slope: float = 0.01) -> Tensor:
    """x, `negative_slope` times x below 0."""
    return as_layer_input("leaky_relu", x)._function("leaky_relu", negative_slope)


@checked
def prelu(x: Array, weight: Array) -> Tensor:
    """x [..., c], `weight` times x below 0; `weight` [1] or [c]."""
    given, slope = _of_channels("prelu", x, "weight", weight)
    return given.relu() - slope * (-given).relu()


@checked
def elu(x: Array, alpha: float = 1.0) -> Tensor:
    """x, `alpha` (exp(x) - 1) below 0."""
    return as_layer_input("elu", x)._function("elu", alpha)


@checked
def celu(x: Array, alpha: float = 1.0) -> Tensor:
    """x, `alpha` (exp(x / alpha) - 1) below 0."""
    return as_layer_input("celu", x)._function("celu", alpha)


@checked
def softplus(x: Array, beta: float = 1.0) -> Tensor:
    """log(1 + exp(`beta` x)) / beta."""
    return as_layer_input("softplus", x)._function("softplus", beta)


@checked
def gelu(x: Array, approximate: str = "none") -> Tensor:
    """x Phi(x), the exact form, or with `approximate="tanh"` the one by tanh."""
    return as_layer_input("gelu", x).gelu(approximate)


@checked
def snake(x: Array, alpha: Array) -> Tensor:
    """x + sin(alpha x)^2 / alpha of x [..., c]; `alpha` [1] or [c] (Ziyin et al. 2020)."""
    given, rate = _of_channels("snake", x, "alpha", alpha)
    return given + (given * rate).sin().square() / (rate + 1e-9)


@checked
def softmax(x: Array, dim: int = -1) -> Tensor:
    """exp(x) / sum exp(x) along `dim`."""
    return as_layer_input("softmax", x).softmax(dim)


@checked
def softmin(x: Array, dim: int = -1) -> Tensor:
    """exp(-x) / sum exp(-x) along `dim`."""
    return (-as_layer_input("softmin", x)).softmax(dim)


@checked
def log_softmax(x: Array, dim: int = -1) -> Tensor:
    """Logarithm of softmax along `dim`."""
    return as_layer_input("log_softmax", x).log_softmax(dim)


@checked
def gumbel_softmax(
    logits: Array,
    tau: float = 1.0,
    hard: bool = False,
    *,
    dim: int = -1,
    generator: Generator | None = None,
) -> Tensor:
    """softmax((logits + g) / tau) along `dim`, g Gumbel noise (Jang et al. 2017).

    `hard`: one-hot, 1 where that is largest, with the same gradients. `generator` draws the noise,
    and without one the stream of the next layer. ValueError: logits that are not finite, or none.
    """
    given = as_floats("gumbel_softmax", "logits", logits)
    axis = place("gumbel_softmax", dim, given.ndim)
    source = layer_generator(generator)._handle
    rows = given.transpose(axis, given.ndim - 1)._handle
    drawn = Tensor._wrap(_core.tensor_gumbel_softmax(rows, tau, hard, source))
    return drawn.transpose(axis, given.ndim - 1)


@checked
def glu(x: Array, dim: int = -1) -> Tensor:
    """a sigmoid(b), a and b the halves of x along `dim` (Dauphin et al. 2017)."""
    given = as_layer_input("glu", x)
    axis = place("glu", dim, given.ndim)
    if given.shape[axis] % 2:
        raise ValueError(f"[glu] shape {list(given.shape)}: axis {axis} must have an even size")
    half = given.shape[axis] // 2
    a, b = given.split([half, half], axis)
    return a * b.sigmoid()
