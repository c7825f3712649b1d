"""Dense layers and embeddings. Defaults, names and initial weights are torch's."""

from __future__ import annotations

from typing import Any

from .._arguments import checked
from .._options import create
from .._random import Generator, layer_generator
from .._tensor import Tensor, as_tensor
from ._native import Native


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
class Embedding(Native):
    """int32 [...] -> rows of `weight` [count, features]."""

    weight: Tensor

    def __init__(self, count: int, features: int, *, generator: Generator | None = None) -> None:
        source = layer_generator(generator)
        super().__init__(create("embedding", count=count, features=features, generator=source))

    def _input(self, x: Any) -> Tensor:
        return as_tensor(x)
