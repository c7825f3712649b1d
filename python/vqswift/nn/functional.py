"""Operators of networks as functions. Images are [n, h, w, c]; weights in torch's layouts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy.typing as npt

from .. import _core
from .._arguments import checked
from .._functions import pad as pad_axes
from .._integers import as_floats, as_layer_input
from .._tensor import Pair, Tensor, as_pair, as_tensor
from ._activate import (
    celu,
    elu,
    gelu,
    glu,
    gumbel_softmax,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    log_sigmoid,
    log_softmax,
    logsigmoid,
    mish,
    prelu,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    snake,
    softmax,
    softmin,
    softplus,
    softsign,
    tanh,
)
from ._attend import (
    scaled_dot_product_attention,
)
from ._convolve import (
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
)
from ._drop import (
    dropout,
    dropout2d,
    dropout3d,
)
from ._embed import (
    embedding,
    one_hot,
)
from ._losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cosine_embedding_loss,
    cosine_similarity,
    cross_entropy,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    nll_loss,
    smooth_l1_loss,
    triplet_margin_loss,
)
from ._normalize import (
    batch_norm,
    group_norm,
    instance_norm,
    layer_norm,
    normalize,
    rms_norm,
)
from ._pool import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
)
from ._shuffle import (
    pixel_shuffle,
    pixel_unshuffle,
)
from ._thresholds import (
    hardshrink,
    softshrink,
    step,
    tanhshrink,
    threshold,
)
from ._upsample import (
    interpolate,
)

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "batch_norm",
    "bilinear",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "celu",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "cosine_embedding_loss",
    "cosine_similarity",
    "cross_entropy",
    "dropout",
    "dropout2d",
    "dropout3d",
    "elu",
    "embedding",
    "gelu",
    "glu",
    "group_norm",
    "gumbel_softmax",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "huber_loss",
    "instance_norm",
    "interpolate",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "logsigmoid",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "mish",
    "mse_loss",
    "nll_loss",
    "normalize",
    "one_hot",
    "pad",
    "pixel_shuffle",
    "pixel_unshuffle",
    "prelu",
    "relu",
    "relu6",
    "rms_norm",
    "scaled_dot_product_attention",
    "selu",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "snake",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "step",
    "tanh",
    "tanhshrink",
    "threshold",
    "triplet_margin_loss",
    "upsample_nearest2d",
]

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
def pad(x: Array, pad: Sequence[int], mode: str = "constant", value: float = 0.0) -> Tensor:
    """x with more elements along its last axes: `pad` counts those before and after the last axis,
    then before and after the one in front of it, and so on.

    The order is torch's, and so is what each number does to the same array. Since channels come
    last here, an image [n, h, w, c] is padded by (0, 0, left, right, top, bottom). `mode`:
    "constant", of `value`, where a negative number cuts elements off, "reflect", "replicate" or
    "circular". `vq.pad` takes a pair for each axis, the first first.
    """
    given, counts = as_tensor(x), [int(count) for count in pad]
    if len(counts) % 2 or len(counts) > 2 * given.ndim:
        raise ValueError(
            f"[pad] pad = {tuple(counts)}: two numbers are required for each of the last axes of "
            f"shape {list(given.shape)}"
        )
    pairs = list(zip(counts[::2], counts[1::2], strict=True))[::-1]
    widths = [(0, 0)] * (given.ndim - len(pairs)) + pairs
    if mode == "constant" and min(counts, default=0) < 0:
        given, widths = _cut(given, widths)
    return pad_axes(given, widths, value, mode)


def _cut(x: Tensor, widths: list[tuple[int, int]]) -> tuple[Tensor, list[tuple[int, int]]]:
    """x without what negative widths take off, and the widths that are left."""
    ends = [
        (max(-before, 0), size - max(-after, 0))
        for (before, after), size in zip(widths, x.shape, strict=True)
    ]
    if any(start > end for start, end in ends):
        raise ValueError(f"[pad] widths {widths}: they cut off more than shape {list(x.shape)} has")
    rest = [(max(before, 0), max(after, 0)) for before, after in widths]
    return x[tuple(slice(start, end) for start, end in ends)], rest


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
