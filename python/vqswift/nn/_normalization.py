"""Normalization over the batch or over channels."""

from __future__ import annotations

import re
from typing import Any

from .._arguments import checked
from .._options import create
from .._tensor import Tensor
from ._native import Native


class _OneSize(Native):
    """A norm whose kind takes a shape, and the layer its one size."""

    def _arguments(self) -> dict[str, Any]:
        (features,) = self.options["normalized_shape"]
        return {"features": features} | (super()._arguments() or {})

    def _options_text(self) -> str:
        return re.sub(r"normalized_shape=\((\d+),\)", r"\1", super()._options_text())


@checked
class BatchNorm(Native):
    """Normalizes the last axis over all others; running variance unbiased."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__(create("batch_norm", features=features, eps=eps, momentum=momentum))


@checked
class LayerNorm(_OneSize):
    """Normalizes each vector of the last axis."""

    weight: Tensor
    bias: Tensor

    def __init__(self, features: int, eps: float = 1e-5, bias: bool = True) -> None:
        super().__init__(create("layer_norm", normalized_shape=(features,), eps=eps, bias=bias))


@checked
class RMSNorm(_OneSize):
    """Scales each vector of the last axis to a mean square of 1 (Zhang and Sennrich 2019)."""

    weight: Tensor

    def __init__(self, features: int, eps: float = 1e-5) -> None:
        super().__init__(create("rms_norm", normalized_shape=(features,), eps=eps))


@checked
class GroupNorm(Native):
    """Normalizes `groups` groups of neighboring channels of each sample over its positions (Wu and
    He 2018): [n, ..., features]; `weight` and `bias` [features] with `affine`."""

    weight: Tensor
    bias: Tensor

    def __init__(self, groups: int, features: int, eps: float = 1e-5, affine: bool = True) -> None:
        super().__init__(
            create("group_norm", groups=groups, features=features, eps=eps, affine=affine)
        )


@checked
class InstanceNorm(Native):
    """Normalizes each channel of each sample over its positions (Ulyanov et al. 2016):
    [n, ..., features]; `weight` and `bias` [features] with `affine`."""

    weight: Tensor
    bias: Tensor

    def __init__(self, features: int, eps: float = 1e-5, affine: bool = False) -> None:
        super().__init__(
            create("group_norm", groups=features, features=features, eps=eps, affine=affine)
        )

    def _options_text(self) -> str:
        # The kind is that of groups, affine unless it is told otherwise.
        eps = "" if self.options["eps"] == 1e-5 else f", eps={self.options['eps']}"
        affine = ", affine=True" if self.options["affine"] else ""
        return f"{self.options['features']}{eps}{affine}"
