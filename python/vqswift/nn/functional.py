"""Operators of networks as functions. Images are [n, h, w, c]; weights in torch's layouts."""

from __future__ import annotations

import numpy.typing as npt

from .. import _core
from .._arguments import checked
from .._integers import as_floats, as_layer_input
from .._random import Generator
from .._shapes import place
from .._tensor import Pair, Tensor, as_pair
from ._attend import scaled_dot_product_attention as scaled_dot_product_attention
from ._convolve import conv1d as conv1d
from ._convolve import conv2d as conv2d
from ._convolve import conv3d as conv3d
from ._convolve import conv_transpose1d as conv_transpose1d
from ._convolve import conv_transpose2d as conv_transpose2d
from ._convolve import conv_transpose3d as conv_transpose3d
from ._losses import (
    binary_cross_entropy_with_logits as binary_cross_entropy_with_logits,
)
from ._losses import cosine_embedding_loss as cosine_embedding_loss
from ._losses import cosine_similarity as cosine_similarity
from ._losses import cross_entropy as cross_entropy
from ._losses import huber_loss as huber_loss
from ._losses import kl_div as kl_div
from ._losses import l1_loss as l1_loss
from ._losses import mse_loss as mse_loss
from ._losses import nll_loss as nll_loss
from ._losses import smooth_l1_loss as smooth_l1_loss
from ._losses import triplet_margin_loss as triplet_margin_loss
from ._pool import adaptive_avg_pool1d as adaptive_avg_pool1d
from ._pool import adaptive_avg_pool2d as adaptive_avg_pool2d
from ._pool import adaptive_max_pool1d as adaptive_max_pool1d
from ._pool import adaptive_max_pool2d as adaptive_max_pool2d
from ._pool import avg_pool2d as avg_pool2d
from ._pool import avg_pool3d as avg_pool3d
from ._pool import max_pool2d as max_pool2d
from ._pool import max_pool3d as max_pool3d
from ._thresholds import hardshrink as hardshrink
from ._thresholds import softshrink as softshrink
from ._thresholds import step as step
from ._thresholds import tanhshrink as tanhshrink
from ._thresholds import threshold as threshold
from ._upsample import interpolate as interpolate

Array = npt.ArrayLike | Tensor


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


@checked
def relu(x: Array) -> Tensor:
    """max(x, 0)."""
    return as_layer_input("relu", x)._function("relu")


@checked
def silu(x: Array) -> Tensor:
    """x sigmoid(x)."""
    return as_layer_input("silu", x)._function("silu")


@checked
def mish(x: Array) -> Tensor:
    """x tanh(softplus(x))."""
    return as_layer_input("mish", x)._function("mish")


@checked
def hardswish(x: Array) -> Tensor:
    """x clamp(x + 3, 0, 6) / 6."""
    return as_layer_input("hardswish", x)._function("hardswish")


@checked
def hardsigmoid(x: Array) -> Tensor:
    """clamp(x + 3, 0, 6) / 6."""
    return as_layer_input("hardsigmoid", x)._function("hardsigmoid")


@checked
def selu(x: Array) -> Tensor:
    """The ELU that keeps mean 0 and variance 1 (Klambauer et al. 2017)."""
    return as_layer_input("selu", x)._function("selu")


@checked
def softsign(x: Array) -> Tensor:
    """x / (1 + |x|)."""
    return as_layer_input("softsign", x)._function("softsign")


@checked
def log_sigmoid(x: Array) -> Tensor:
    """log(sigmoid(x))."""
    return as_layer_input("log_sigmoid", x)._function("log_sigmoid")


@checked
def leaky_relu(x: Array, negative_slope: float = 0.01) -> Tensor:
    """x, `negative_slope` times x below 0."""
    return as_layer_input("leaky_relu", x)._function("leaky_relu", negative_slope)


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
def glu(x: Array, dim: int = -1) -> Tensor:
    """a sigmoid(b), a and b the halves of x along `dim` (Dauphin et al. 2017)."""
    given = as_layer_input("glu", x)
    axis = place("glu", dim, given.ndim)
    if given.shape[axis] % 2:
        raise ValueError(f"[glu] shape {list(given.shape)}: axis {axis} must have an even size")
    half = given.shape[axis] // 2
    a, b = given.split([half, half], axis)
    return a * b.sigmoid()


@checked
def linear(x: Array, weight: Array, bias: Array | None = None) -> Tensor:
    """x [..., in] -> x W^T + b [..., out]; weight [out, in], bias [out] or none."""
    offset = None if bias is None else as_floats("linear", "bias", bias)._handle
    given = as_layer_input("linear", x)._handle
    return Tensor._wrap(
        _core.tensor_linear(given, as_floats("linear", "weight", weight)._handle, offset)
    )


@checked
def bilinear(x1: Array, x2: Array, weight: Array, bias: Array | None = None) -> Tensor:
    """x1 [..., i] and x2 [..., j] -> x1 W x2 + b [..., o]; weight [o, i, j], bias [o] or none."""
    a, b = as_layer_input("bilinear", x1), as_layer_input("bilinear", x2)
    kernel = as_floats("bilinear", "weight", weight)
    shapes = f"[bilinear] shapes {list(a.shape)}, {list(b.shape)}, weight {list(kernel.shape)}"
    if kernel.ndim != 3 or min(a.ndim, b.ndim) < 1 or a.shape[:-1] != b.shape[:-1]:
        raise ValueError(f"{shapes}: [..., i], [..., j] and [o, i, j] are required")
    outputs, left, right = kernel.shape
    if (a.shape[-1], b.shape[-1]) != (left, right):
        raise ValueError(f"{shapes}: the last axes must have {left} and {right} elements")
    offset = None if bias is None else as_floats("bilinear", "bias", bias)
    if offset is not None and offset.shape != (outputs,):
        raise ValueError(f"{shapes}: the bias has shape {list(offset.shape)}, not [{outputs}]")
    products = (a.unsqueeze(-1) * b.unsqueeze(-2)).reshape(*a.shape[:-1], left * right)
    return linear(products, kernel.reshape(outputs, left * right), offset)


@checked
def layer_norm(x: Array, weight: Array, bias: Array | None = None, eps: float = 1e-5) -> Tensor:
    """x [..., *s] normalized over its last axes, those of `weight` [*s]; `bias` [*s] or none."""
    offset = None if bias is None else as_floats("layer_norm", "bias", bias)._handle
    given = as_layer_input("layer_norm", x)._handle
    scale = as_floats("layer_norm", "weight", weight)._handle
    return Tensor._wrap(_core.tensor_layer_norm(given, scale, offset, True, eps))


@checked
def rms_norm(x: Array, weight: Array, eps: float = 1e-5) -> Tensor:
    """x [..., *s] scaled to a mean square of 1 over its last axes, those of `weight` [*s]."""
    given = as_layer_input("rms_norm", x)._handle
    scale = as_floats("rms_norm", "weight", weight)._handle
    return Tensor._wrap(_core.tensor_layer_norm(given, scale, None, False, eps))


@checked
def group_norm(
    x: Array,
    num_groups: int,
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """x [n, ..., c], each of `num_groups` groups of channels of a sample normalized over its
    positions; `weight` and `bias` [c] or none."""
    scale = None if weight is None else as_floats("group_norm", "weight", weight)._handle
    offset = None if bias is None else as_floats("group_norm", "bias", bias)._handle
    given = as_layer_input("group_norm", x)._handle
    return Tensor._wrap(_core.tensor_group_norm(given, num_groups, scale, offset, eps))
