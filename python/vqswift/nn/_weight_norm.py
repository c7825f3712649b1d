"""Weights as lengths and directions (Salimans and Kingma 2016)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy.typing as npt

from .._arguments import checked, described
from .._functions import pad
from .._integers import as_layer_input
from .._tensor import Tensor
from ._collections import Parameter
from ._convolution import Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d
from ._convolve import (
    as_sizes,
    conv1d,
    conv2d,
    conv_transpose1d,
    conv_transpose2d,
    same_widths,
)
from ._linear import Linear
from ._module import Module


@checked
class WeightNorm(Module):
    """A linear or convolution layer whose weight is `weight_g` v / |v|, v being `weight_v`.

    The norm is over all axes but `dim`; names and shapes are those of `torch.nn.utils.weight_norm`.
    """

    weight_g: Parameter
    weight_v: Parameter
    bias: Parameter | None

    def __init__(self, layer: Module, dim: int = 0) -> None:
        super().__init__()
        if not isinstance(layer, (Linear, Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d)):
            raise TypeError(
                f"[weight_norm] layer is {described(layer)}: Linear, Conv1d, Conv2d, "
                "ConvTranspose1d or ConvTranspose2d is required"
            )
        weight = layer.weight.detach()
        if not 0 <= dim < weight.ndim:
            raise ValueError(f"[weight_norm] dim = {dim}: the weight has {weight.ndim} axes")
        self._axes = tuple(axis for axis in range(weight.ndim) if axis != dim)
        self.weight_g = Parameter((weight * weight).sum(self._axes, True).sqrt())
        self.weight_v = Parameter(weight)
        self.bias = Parameter(layer.bias.detach()) if layer.options["bias"] else None
        self._kind, self._options = type(layer), layer.options

    @property
    def weight(self) -> Tensor:
        """The weight that the forward computes with."""
        v = self.weight_v
        return v * (self.weight_g / (v * v).sum(self._axes, True).sqrt())

    def forward(self, x: npt.ArrayLike | Tensor) -> Tensor:
        """The layer's output."""
        given, weight = as_layer_input("weight_norm", x), self.weight
        if self._kind is Linear:
            y = given @ weight.transpose(0, 1)
            return y if self.bias is None else y + self.bias
        options = self._options
        stride, padding = options["stride"], options["padding"]
        dilation, groups = options["dilation"], options["groups"]
        if self._kind in (ConvTranspose1d, ConvTranspose2d):
            more = options["output_padding"], groups, dilation
            transposed: Callable[..., Tensor] = (
                conv_transpose1d if self._kind is ConvTranspose1d else conv_transpose2d
            )
            return transposed(given, weight, self.bias, stride, padding, *more)
        if options["same"]:
            padding = "same"
        if options["padding_mode"] != "zeros":
            given, padding = self._surrounded(given, weight.shape[2:]), 0
        function: Callable[..., Tensor] = conv1d if self._kind is Conv1d else conv2d
        return function(given, weight, self.bias, stride, padding, dilation, groups)

    def _surrounded(self, x: Tensor, kernel: Sequence[int]) -> Tensor:
        """x with what stands beyond its ends in the layer's padding mode."""
        count, options = len(kernel), self._options
        if options["same"]:
            gaps = as_sizes("weight_norm", "dilation", options["dilation"], count)
            widths = same_widths(kernel, gaps)
        else:
            widths = [(w, w) for w in as_sizes("weight_norm", "padding", options["padding"], count)]
        return pad(x, [(0, 0), *widths, (0, 0)], mode=options["padding_mode"])


@checked
def weight_norm(layer: Module, dim: int = 0) -> WeightNorm:
    """`layer`, linear or a convolution, with the length and direction of its weight apart.

    A module to put in its place; it computes what the layer did.
    """
    return WeightNorm(layer, dim)
