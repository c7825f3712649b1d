"""Convolutions of images [n, h, w, c]. Defaults, names and initial weights are torch's."""

from __future__ import annotations

from .._arguments import checked
from .._options import create
from .._random import Generator, layer_generator
from .._tensor import Pair, as_pair
from ._native import Native


@checked
class Conv2d(Native):
    """x [n, h, w, in] -> [n, h', w', out]; `weight` [out, in, kh, kw], `bias` [out]."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair = 0,
        bias: bool = True,
        *,
        generator: Generator | None = None,
    ) -> None:
        super().__init__(
            create(
                "conv2d",
                in_channels=in_channels,
                out_channels=out_channels,
                kernel_size=as_pair(kernel_size),
                stride=as_pair(stride),
                padding=as_pair(padding),
                bias=bias,
                generator=layer_generator(generator),
            )
        )


@checked
class ConvTranspose2d(Native):
    """x [n, h, w, in] -> [n, (h-1) stride - 2 padding + k + output_padding, ..., out].

    `weight` [in, out, kh, kw], `bias` [out].
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair = 0,
        output_padding: Pair = 0,
        bias: bool = True,
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
                output_padding=as_pair(output_padding),
                bias=bias,
                generator=layer_generator(generator),
            )
        )
