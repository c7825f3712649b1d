"""Convolutions of images [n, h, w, c], sequences [n, t, c] and volumes [n, d, h, w, c].

Defaults, names and initial weights are torch's.
"""

from __future__ import annotations

import math
from typing import Any

import numpy.typing as npt

from .._arguments import checked
from .._options import create
from .._random import Generator, layer_generator
from .._tensor import Pair, Tensor, as_pair
from ._collections import Parameter
from ._convolve import Triple, as_sizes, conv3d, conv_transpose3d, is_same
from ._module import Module
from ._native import Native


def _padding(operation: str, padding: Any, zeros: Any) -> dict[str, Any]:
    """The core's options for sizes, "valid" or "same"; `zeros` are no padding."""
    if not isinstance(padding, str):
        return {"padding": padding}
    return {"padding": zeros, "same": is_same(operation, padding)}


@checked
class Conv2d(Native):
    """x [n, h, w, in] -> [n, h', w', out]; `weight` [out, in / groups, kh, kw], `bias` [out].

    `padding`: sizes, "valid" for none, "same" for an output of the input's size. `padding_mode`:
    "zeros", "reflect", "replicate" or "circular".
    """

    weight: Tensor
    bias: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair | str = 0,
        dilation: Pair = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        generator: Generator | None = None,
    ) -> None:
        sizes = padding if isinstance(padding, str) else as_pair(padding)
        super().__init__(
            create(
                "conv2d",
                in_channels=in_channels,
                out_channels=out_channels,
                kernel_size=as_pair(kernel_size),
                stride=as_pair(stride),
                **_padding("conv2d", sizes, (0, 0)),
                dilation=as_pair(dilation),
                groups=groups,
                bias=bias,
                padding_mode=padding_mode,
                generator=layer_generator(generator),
            )
        )


@checked
class ConvTranspose2d(Native):
    """x [n, h, w, in] -> [n, (h-1) stride - 2 padding + dilation (k-1) + 1 + output_padding, ...].

    `weight` [in, out / groups, kh, kw], `bias` [out].
    """

    weight: Tensor
    bias: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair = 0,
        output_padding: Pair = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Pair = 1,
        *,
        generator: Generator | None = None,
    ) -> None:
        super().__init__(
            create(
                "conv_transpose2d",
                in_channels=in_channels,
                out_channels=out_channels,
                kernel_size=as_pair(kernel_size),
                stride=as_pair(stride),
                padding=as_pair(padding),
                dilation=as_pair(dilation),
                output_padding=as_pair(output_padding),
                groups=groups,
                bias=bias,
                generator=layer_generator(generator),
            )
        )


@checked
class Conv1d(Native):
    """x [n, t, in] -> [n, t', out]; `weight` [out, in / groups, k], `bias` [out].

    `padding` and `padding_mode` as in `Conv2d`.
    """

    weight: Tensor
    bias: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int | str = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        generator: Generator | None = None,
    ) -> None:
        super().__init__(
            create(
                "conv1d",
                in_channels=in_channels,
                out_channels=out_channels,
                kernel_size=kernel_size,
                stride=stride,
                **_padding("conv1d", padding, 0),
                dilation=dilation,
                groups=groups,
                bias=bias,
                padding_mode=padding_mode,
                generator=layer_generator(generator),
            )
        )


@checked
class ConvTranspose1d(Native):
    """x [n, t, in] -> [n, (t-1) stride - 2 padding + dilation (k-1) + 1 + output_padding, out].

    `weight` [in, out / groups, k], `bias` [out].
    """

    weight: Tensor
    bias: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        output_padding: int = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int = 1,
        *,
        generator: Generator | None = None,
    ) -> None:
        super().__init__(
            create(
                "conv_transpose1d",
                in_channels=in_channels,
                out_channels=out_channels,
                kernel_size=kernel_size,
                stride=stride,
                padding=padding,
                dilation=dilation,
                output_padding=output_padding,
                groups=groups,
                bias=bias,
                generator=layer_generator(generator),
            )
        )


def _require_channels(
    operation: str, inputs: int, outputs: int, groups: int, kernel: tuple[int, ...]
) -> None:
    if min(inputs, outputs, groups, *kernel) < 1:
        raise ValueError(
            f"[{operation}] {inputs} to {outputs} channels, {groups} groups, kernel {kernel}: all "
            "must be at least 1"
        )
    if inputs % groups or outputs % groups:
        raise ValueError(
            f"[{operation}] groups = {groups}: must divide in_channels = {inputs} and "
            f"out_channels = {outputs}"
        )


@checked
class Conv3d(Module):
    """x [n, d, h, w, in] -> [n, d', h', w', out]; `weight` [out, in / groups, kd, kh, kw],
    `bias` [out]."""

    weight: Parameter
    bias: Parameter | None
    stride: tuple[int, ...]
    dilation: tuple[int, ...]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Triple,
        stride: Triple = 1,
        padding: Triple | str = 0,
        dilation: Triple = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        kernel = as_sizes("conv3d", "kernel_size", kernel_size, 3)
        _require_channels("conv3d", in_channels, out_channels, groups, kernel)
        source = layer_generator(generator)
        bound = 1 / math.sqrt(in_channels // groups * math.prod(kernel))
        shape = (out_channels, in_channels // groups, *kernel)
        self.weight = Parameter(source.uniform(shape, -bound, bound))
        self.bias = Parameter(source.uniform((out_channels,), -bound, bound)) if bias else None
        self.stride = as_sizes("conv3d", "stride", stride, 3)
        self.dilation = as_sizes("conv3d", "dilation", dilation, 3)
        self.padding: tuple[int, ...] | str = (
            padding if isinstance(padding, str) else as_sizes("conv3d", "padding", padding, 3)
        )
        self.groups = groups

    def forward(self, x: npt.ArrayLike | Tensor) -> Tensor:
        """The layer's output."""
        return conv3d(
            x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )


@checked
class ConvTranspose3d(Module):
    """x [n, d, h, w, in] -> [n, (d-1) stride - 2 padding + dilation (k-1) + 1 + output_padding,
    ...]; `weight` [in, out / groups, kd, kh, kw], `bias` [out]."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Triple,
        stride: Triple = 1,
        padding: Triple = 0,
        output_padding: Triple = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Triple = 1,
        *,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        operation = "conv_transpose3d"
        kernel = as_sizes(operation, "kernel_size", kernel_size, 3)
        _require_channels(operation, in_channels, out_channels, groups, kernel)
        source = layer_generator(generator)
        bound = 1 / math.sqrt(out_channels // groups * math.prod(kernel))
        shape = (in_channels, out_channels // groups, *kernel)
        self.weight = Parameter(source.uniform(shape, -bound, bound))
        self.bias = Parameter(source.uniform((out_channels,), -bound, bound)) if bias else None
        self.stride = as_sizes(operation, "stride", stride, 3)
        self.padding = as_sizes(operation, "padding", padding, 3)
        self.output_padding = as_sizes(operation, "output_padding", output_padding, 3)
        self.dilation = as_sizes(operation, "dilation", dilation, 3)
        self.groups = groups

    def forward(self, x: npt.ArrayLike | Tensor) -> Tensor:
        """The layer's output."""
        return conv_transpose3d(
            x,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.output_padding,
            self.groups,
            self.dilation,
        )
