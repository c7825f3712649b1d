"""Operators of networks as functions. Images are [n, h, w, c]; weights in torch's layouts."""

from __future__ import annotations

from .. import _core
from .._random import Generator
from .._tensor import Pair, Tensor, as_pair, as_tensor


def mse_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean over all elements of (prediction - target)^2; equal shapes."""
    return Tensor._wrap(_core.mse_loss(as_tensor(prediction)._handle, as_tensor(target)._handle))


def l1_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean over all elements of |prediction - target|; equal shapes."""
    return Tensor._wrap(_core.l1_loss(as_tensor(prediction)._handle, as_tensor(target)._handle))


def cross_entropy(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """logits [n, k], labels int32 [n] -> mean negative log likelihood."""
    target = as_tensor(labels)._handle
    return Tensor._wrap(_core.cross_entropy(as_tensor(logits)._handle, target, label_smoothing))


def conv2d(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Pair = 1, padding: Pair = 0
) -> Tensor:
    """x [n, h, w, i], weight [o, i, kh, kw] -> [n, h', w', o]; docs/numerics.md: its accuracy."""
    offset = None if bias is None else as_tensor(bias)._handle
    return Tensor._wrap(
        _core.conv2d(
            as_tensor(x)._handle,
            as_tensor(weight)._handle,
            offset,
            as_pair(stride),
            as_pair(padding),
        )
    )


def conv_transpose2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
) -> Tensor:
    """x [n, h, w, i], weight [i, o, kh, kw] -> [n, h', w', o]."""
    offset = None if bias is None else as_tensor(bias)._handle
    sizes = as_pair(stride), as_pair(padding), as_pair(output_padding)
    return Tensor._wrap(
        _core.conv_transpose2d(as_tensor(x)._handle, as_tensor(weight)._handle, offset, *sizes)
    )


def max_pool2d(
    x: Tensor, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0
) -> Tensor:
    """Maximum of each window of x [n, h, w, c]."""
    step = kernel_size if stride is None else stride
    sizes = as_pair(kernel_size), as_pair(step), as_pair(padding)
    return Tensor._wrap(_core.max_pool2d(as_tensor(x)._handle, *sizes))


def avg_pool2d(
    x: Tensor, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0
) -> Tensor:
    """Mean of each window of x [n, h, w, c], padding counted as zeros."""
    step = kernel_size if stride is None else stride
    sizes = as_pair(kernel_size), as_pair(step), as_pair(padding)
    return Tensor._wrap(_core.average_pool2d(as_tensor(x)._handle, *sizes))


def upsample_nearest2d(x: Tensor, scale: Pair) -> Tensor:
    """x [n, h, w, c] with each pixel repeated along both axes."""
    return Tensor._wrap(_core.upsample_nearest2d(as_tensor(x)._handle, as_pair(scale)))


def batch_norm(
    x: Tensor,
    scale: Tensor,
    shift: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """x [..., c] normalized over all axes but the last; training moves the running statistics."""
    return Tensor._wrap(
        _core.batch_norm(
            as_tensor(x)._handle,
            as_tensor(scale)._handle,
            as_tensor(shift)._handle,
            running_mean._handle,
            running_var._handle,
            training,
            momentum,
            eps,
        )
    )


def dropout(x: Tensor, p: float, generator: Generator) -> Tensor:
    """Zeroes elements with probability `p`, the others times 1 / (1 - p)."""
    return Tensor._wrap(_core.dropout(as_tensor(x)._handle, p, generator._handle))
