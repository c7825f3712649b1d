"""Residual quantization."""

from __future__ import annotations

import operator
from typing import SupportsIndex, Unpack

import numpy.typing as npt

from .._arguments import checked
from .._tensor import Tensor
from ._base import QuantizerInfo
from ._vector import CodebookQuantizer, VectorQuantOptions, created


@checked
class ResidualVectorQuant(CodebookQuantizer):
    """Residual quantization: each of `stages` quantizes what the stages before leave.

    z [..., d] -> codes [..., stages]; the output is the sum of the stages' values (Zeghidour et
    al., SoundStream, 2021). Every stage's commitment reaches z, the output's gradient reaches it
    once. The options are `VectorQuant`'s and hold for each stage; without `code_size`, z is
    normalized once, in front. `info.loss` is the sum over stages, `info.stage_losses` its parts.

    Args:
        stages: the number of stages; `layer(z, stages=m)` and `layer.encode(z, stages=m)` use
            the first m.
        shared: whether all stages use one codebook.
        quantizer_dropout: probability that a training batch uses a random number of stages, 1 to
            all equally likely, once every stage has its start; codes of the others are -1.
    """

    _operation = "residual_vector_quant"

    def __init__(
        self,
        feature_size: int,
        num_codes: int,
        *,
        stages: int,
        shared: bool = False,
        quantizer_dropout: float = 0.0,
        dim: int = -1,
        seed: int | None = None,
        **options: Unpack[VectorQuantOptions],
    ) -> None:
        own = {"stages": stages, "shared": shared, "quantizer_dropout": quantizer_dropout}
        super().__init__(
            created(self._operation, feature_size, num_codes, seed, options, **own),
            dim,
            options.get("inplace_optimizer"),
        )

    def forward(  # type: ignore[override]
        self,
        z: Tensor | npt.ArrayLike,
        mask: Tensor | npt.ArrayLike | None = None,
        *,
        lengths: npt.ArrayLike | None = None,
        stages: int | None = None,
    ) -> tuple[Tensor, QuantizerInfo]:
        """As `Quantizer.forward`, by the first `stages` stages: codes are [..., stages]."""
        return self._forward(z, mask, lengths, self._stages(stages))

    def encode(
        self,
        z: Tensor | npt.ArrayLike,
        mask: Tensor | npt.ArrayLike | None = None,
        *,
        lengths: npt.ArrayLike | None = None,
        stages: int | None = None,
    ) -> Tensor:
        """z -> int32 codes [..., stages] of the first `stages` stages; changes no state."""
        return self._encode(z, mask, lengths, self._stages(stages))

    def _stages(self, stages: SupportsIndex | None) -> int:
        if stages is None:
            return 0
        count = operator.index(stages)
        if count < 1:
            raise ValueError(f"[{self._operation}] stages = {count}: it must be at least 1")
        return count
