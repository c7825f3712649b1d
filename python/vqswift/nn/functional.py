"""Operators of networks as functions. Images are [n, h, w, c]; weights in torch's layouts."""

from __future__ import annotations

import numpy.typing as npt

from .. import _core
from .._arguments import checked
from .._integers import as_floats, as_layer_input
from .._random import Generator
from .._tensor import Pair, Tensor, as_pair, as_tensor

Array = npt.ArrayLike | Tensor


@checked
def mse_loss(prediction: Array, target: Array) -> Tensor:
    """Mean over all elements of (prediction - target)^2; equal shapes."""
    given = as_floats("mse_loss", "prediction", prediction)._handle
    return Tensor._wrap(
        _core.tensor_mse_loss(given, as_floats("mse_loss", "target", target)._handle)
    )


@checked
def l1_loss(prediction: Array, target: Array) -> Tensor:
    """Mean over all elements of |prediction - target|; equal shapes."""
    given = as_floats("l1_loss", "prediction", prediction)._handle
    return Tensor._wrap(_core.tensor_l1_loss(given, as_floats("l1_loss", "target", target)._handle))


@checked
def cross_entropy(logits: Array, labels: Array, label_smoothing: float = 0.0) -> Tensor:
    """logits [n, k], labels int32 [n] -> mean negative log likelihood."""
    scores = as_floats("cross_entropy", "logits", logits)._handle
    target = as_tensor(labels)._handle
    return Tensor._wrap(_core.tensor_cross_entropy(scores, target, label_smoothing))


@checked
def conv2d(
    x: Array, weight: Array, bias: Array | None = None, stride: Pair = 1, padding: Pair = 0
) -> Tensor:
    """x [n, h, w, i], weight [o, i, kh, kw] -> [n, h', w', o]; docs/numerics.md: its accuracy."""
    offset = None if bias is None else as_floats("conv2d", "bias", bias)._handle
    return Tensor._wrap(
        _core.tensor_conv2d(
            as_layer_input("conv2d", x)._handle,
            as_floats("conv2d", "weight", weight)._handle,
            offset,
            as_pair(stride),
            as_pair(padding),
        )
    )


@checked
def conv_transpose2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
) -> Tensor:
    """x [n, h, w, i], weight [i, o, kh, kw] -> [n, h', w', o]."""
    offset = None if bias is None else as_floats("conv_transpose2d", "bias", bias)._handle
    sizes = as_pair(stride), as_pair(padding), as_pair(output_padding)
    given = as_layer_input("conv_transpose2d", x)._handle
    kernel = as_floats("conv_transpose2d", "weight", weight)._handle
    return Tensor._wrap(_core.tensor_conv_transpose2d(given, kernel, offset, *sizes))


@checked
def max_pool2d(
    x: Array, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0
) -> Tensor:
    """Maximum of each window of x [n, h, w, c]."""
    step = kernel_size if stride is None else stride
    sizes = as_pair(kernel_size), as_pair(step), as_pair(padding)
    return Tensor._wrap(_core.tensor_max_pool2d(as_layer_input("max_pool2d", x)._handle, *sizes))


@checked
def avg_pool2d(
    x: Array, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0
) -> Tensor:
    """Mean of each window of x [n, h, w, c], padding counted as zeros."""
    step = kernel_size if stride is None else stride
    sizes = as_pair(kernel_size), as_pair(step), as_pair(padding)
    return Tensor._wrap(
        _core.tensor_average_pool2d(as_layer_input("avg_pool2d", x)._handle, *sizes)
    )


@checked
def upsample_nearest2d(x: Array, scale: Pair) -> Tensor:
    """x [n, h, w, c] with each pixel repeated along both axes."""
    return Tensor._wrap(
        _core.tensor_upsample_nearest2d(
            as_layer_input("upsample_nearest2d", x)._handle, as_pair(scale)
        )
    )


@checked
def batch_norm(
    x: Array,
    scale: Array,
    shift: Array,
    running_mean: Tensor,
    running_var: Tensor,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """x [..., c] normalized over all axes but the last; training moves the running statistics."""
    return Tensor._wrap(
        _core.tensor_batch_norm(
            as_layer_input("batch_norm", x)._handle,
            as_floats("batch_norm", "scale", scale)._handle,
            as_floats("batch_norm", "shift", shift)._handle,
            running_mean._handle,
            running_var._handle,
            training,
            momentum,
            eps,
        )
    )


@checked
def dropout(x: Array, p: float, generator: Generator) -> Tensor:
    """Zero elements with probability `p`, the others times 1 / (1 - p)."""
    return Tensor._wrap(
        _core.tensor_dropout(as_layer_input("dropout", x)._handle, p, generator._handle)
    )
