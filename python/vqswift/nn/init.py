"""Initial values of parameters: each function writes a tensor in place and gives it back.

Draws come from `generator`, and without one from the stream of the next layer, which
`vq.manual_seed` determines.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from .._arguments import checked
from .._random import Generator, layer_generator
from .._tensor import Tensor

__all__ = [
    "calculate_gain",
    "constant_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

_GAINS = {
    **dict.fromkeys(("linear", "conv1d", "conv2d", "conv3d", "sigmoid"), 1.0),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), 1.0),
    "tanh": 5 / 3,
    "relu": math.sqrt(2),
    "selu": 0.75,
}


@checked
def calculate_gain(nonlinearity: str, param: float = 0.01) -> float:
    """The factor on standard deviations that suits an activation: "linear", "sigmoid", "tanh",
    "relu", "selu", or "leaky_relu" of slope `param`. ValueError for another."""
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + param**2))
    if nonlinearity not in _GAINS:
        names = sorted([*_GAINS, "leaky_relu"])
        raise ValueError(
            f"[calculate_gain] nonlinearity = {nonlinearity!r}: it must be one of {names}"
        )
    return _GAINS[nonlinearity]


@checked
def constant_(tensor: Tensor, val: float) -> Tensor:
    """Every element `val`."""
    return _written(tensor, np.full(tensor.shape, val, np.float32))


@checked
def zeros_(tensor: Tensor) -> Tensor:
    """Every element 0."""
    return constant_(tensor, 0.0)


@checked
def ones_(tensor: Tensor) -> Tensor:
    """Every element 1."""
    return constant_(tensor, 1.0)


@checked
def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Uniform in [a, b). ValueError unless a is below b and both are finite."""
    return _written(tensor, layer_generator(generator).uniform(tensor.shape, a, b))


@checked
def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Normal. ValueError for a negative `std` or numbers that are not finite."""
    return _written(tensor, layer_generator(generator).normal(tensor.shape, mean, std))


@checked
def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Normal, conditioned on lying in [a, b].

    ValueError unless `std` is above 0, and a is below b with some of both within 6 standard
    deviations of the mean.
    """
    if not (std > 0 and math.isfinite(std)):
        raise ValueError(f"[trunc_normal_] std = {std}: must be finite and above 0")
    lowest, highest = (a - mean) / std, (b - mean) / std
    if not (lowest < highest and lowest < 6 and highest > -6):
        raise ValueError(
            f"[trunc_normal_] a = {a}, b = {b}: the first must be below the second, and within 6 "
            "standard deviations of the mean"
        )
    drawn = layer_generator(generator).truncated_normal(tensor.shape, mean, std, lowest, highest)
    return _written(tensor, drawn.numpy().clip(np.float32(a), np.float32(b)))


@checked
def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Uniform within `gain * sqrt(6 / (fan_in + fan_out))` of 0 (Glorot and Bengio, 2010).

    ValueError for a tensor of fewer than two axes, which has no fans.
    """
    bound = gain * math.sqrt(6 / max(sum(_fans("xavier_uniform_", tensor)), 1))
    return _uniform(tensor, bound, generator)


@checked
def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal of standard deviation `gain * sqrt(2 / (fan_in + fan_out))` (Glorot and Bengio, 2010).

    ValueError for a tensor of fewer than two axes, which has no fans.
    """
    std = gain * math.sqrt(2 / max(sum(_fans("xavier_normal_", tensor)), 1))
    return normal_(tensor, 0.0, std, generator)


@checked
def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0.0,
    mode: Literal["fan_in", "fan_out"] = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Uniform within `gain * sqrt(3 / fan)` of 0 (He et al., 2015); `a` is the slope of a leaky
    ReLU.

    ValueError for a tensor of fewer than two axes, which has no fans.
    """
    deviation = _kaiming("kaiming_uniform_", tensor, a, mode, nonlinearity)
    return _uniform(tensor, math.sqrt(3) * deviation, generator)


@checked
def kaiming_normal_(
    tensor: Tensor,
    a: float = 0.0,
    mode: Literal["fan_in", "fan_out"] = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Normal of standard deviation `gain / sqrt(fan)` (He et al., 2015); `a` is the slope of a
    leaky ReLU.

    ValueError for a tensor of fewer than two axes, which has no fans.
    """
    deviation = _kaiming("kaiming_normal_", tensor, a, mode, nonlinearity)
    return normal_(tensor, 0.0, deviation, generator)


@checked
def orthogonal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """`gain` times a matrix with orthonormal rows or columns, the fewer of them (Saxe et al.,
    2014); axes after the first count as one.

    ValueError for a tensor of fewer than two axes.
    """
    _fans("orthogonal_", tensor)
    if 0 in tensor.shape:
        return tensor
    rows = tensor.shape[0]
    shape = (rows, math.prod(tensor.shape[1:]))
    drawn = layer_generator(generator).normal(shape).numpy().astype(np.float64)
    q, r = np.linalg.qr(drawn if shape[0] >= shape[1] else drawn.T)
    # Signs that make the distribution uniform over all such matrices.
    q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
    matrix = gain * (q if shape[0] >= shape[1] else q.T)
    return _written(tensor, matrix.reshape(tensor.shape).astype(np.float32))


def _fans(operation: str, tensor: Tensor) -> tuple[int, int]:
    """Inputs and outputs of a weight [out, in, ...]."""
    shape = tensor.shape
    if len(shape) < 2:
        raise ValueError(f"[{operation}] shape {[*shape]}: a weight must have at least two axes")
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


def _kaiming(operation: str, tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"[{operation}] mode = {mode!r}: must be 'fan_in' or 'fan_out'")
    fan = _fans(operation, tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(max(fan, 1))


def _uniform(tensor: Tensor, bound: float, generator: Generator | None) -> Tensor:
    if bound == 0:
        return zeros_(tensor)
    return uniform_(tensor, -abs(bound), abs(bound), generator)


def _written(tensor: Tensor, value: Tensor | np.ndarray) -> Tensor:
    tensor.assign(value)
    return tensor
