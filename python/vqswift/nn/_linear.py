"""Dense layers and embeddings. Defaults, names and initial weights are torch's."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from .._arguments import checked
from .._integers import as_codes
from .._options import create
from .._random import Generator, layer_generator
from .._tensor import Tensor
from ._collections import Parameter
from ._module import Module
from ._native import Native
from .functional import bilinear


@checked
class Linear(Native):
    """x [..., in] -> x W^T + b [..., out]; `weight` [out, in], `bias` [out]."""

    weight: Tensor
    bias: Tensor

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        generator: Generator | None = None,
    ) -> None:
        super().__init__(
            create(
                "linear",
                in_features=in_features,
                out_features=out_features,
                bias=bias,
                generator=layer_generator(generator),
            )
        )


@checked
class Bilinear(Module):
    """x1 [..., in1] and x2 [..., in2] -> x1 W x2 + b [..., out]; `weight` [out, in1, in2], `bias`
    [out]."""

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        *,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        if min(in1_features, in2_features, out_features) < 1:
            raise ValueError(
                f"[bilinear] {in1_features} and {in2_features} to {out_features} features: all "
                "must be at least 1"
            )
        source, bound = layer_generator(generator), in1_features**-0.5
        shape = (out_features, in1_features, in2_features)
        self.weight = Parameter(source.uniform(shape, -bound, bound))
        self.bias = Parameter(source.uniform((out_features,), -bound, bound)) if bias else None

    def forward(self, x1: npt.ArrayLike | Tensor, x2: npt.ArrayLike | Tensor) -> Tensor:
        """The layer's output."""
        return bilinear(x1, x2, self.weight, self.bias)

    def _options_text(self) -> str:
        outputs, left, right = self.weight.shape
        return f"{left}, {right}, {outputs}" + ("" if self.bias is not None else ", bias=False")


@checked
class Embedding(Native):
    """int32 [...] -> rows of `weight` [count, features]."""

    weight: Tensor

    def __init__(self, count: int, features: int, *, generator: Generator | None = None) -> None:
        source = layer_generator(generator)
        super().__init__(create("embedding", count=count, features=features, generator=source))

    def _input(self, x: Any) -> Tensor:
        return as_codes("embedding", "x", x)
