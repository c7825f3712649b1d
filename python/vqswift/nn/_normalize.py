"""Normalization as functions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .. import _core
from .._arguments import checked
from .._integers import as_floats, as_layer_input
from .._shapes import place
from .._tensor import Tensor

Array = npt.ArrayLike | Tensor


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


@checked
def instance_norm(
    x: Array,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Array | None = None,
    bias: Array | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """x [n, ..., c], each channel of each sample normalized over its positions; `weight` and `bias`
    [c] or none.

    Running statistics [c] that are given move by `momentum` towards the mean of the samples'; with
    `use_input_stats=False` they take the place of the samples' own.
    """
    given = as_layer_input("instance_norm", x)
    if given.ndim < 2:
        raise ValueError(f"[instance_norm] shape {list(given.shape)}: [n, ..., c] is required")
    channels = given.shape[-1]
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise ValueError(
                "[instance_norm] use_input_stats = False: running_mean and running_var are required"
            )
        scale = np.ones(channels, np.float32) if weight is None else weight
        shift = np.zeros(channels, np.float32) if bias is None else bias
        return batch_norm(given, scale, shift, running_mean, running_var, False, momentum, eps)
    normalized = group_norm(given, channels, weight, bias, eps)
    if running_mean is not None or running_var is not None:
        _move(given, running_mean, running_var, momentum)
    return normalized


def _move(x: Tensor, mean: Tensor | None, variance: Tensor | None, momentum: float) -> None:
    """Running statistics towards the means over samples of those of x [n, ..., c]."""
    positions = int(np.prod(x.shape[1:-1]))
    if positions < 2 or not x.shape[0]:
        raise ValueError(
            f"[instance_norm] shape {list(x.shape)}: running statistics need samples of more than "
            "one position"
        )
    samples = x.detach().reshape(x.shape[0], positions, x.shape[-1])
    for running, found in ((mean, samples.mean(1)), (variance, samples.var(1))):
        if running is not None:
            running.assign((1 - momentum) * running.detach() + momentum * found.mean(0))


@checked
def normalize(x: Array, p: float = 2.0, dim: int = -1, eps: float = 1e-12) -> Tensor:
    """x / max(|x|_p, eps) along `dim`: the channels, which torch has at its default, 1."""
    given = as_layer_input("normalize", x)
    axis = place("normalize", dim, given.ndim)
    return given / given.norm(p, axis, keepdims=True).clamp(eps, None)
