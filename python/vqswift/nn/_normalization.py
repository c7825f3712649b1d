"""Normalization over the batch or over channels."""

from __future__ import annotations

import re

from .._arguments import checked
from .._options import create
from ._native import Native


@checked
class BatchNorm(Native):
    """Normalizes the last axis over all others; running variance unbiased."""

    def __init__(self, features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__(create("batch_norm", features=features, eps=eps, momentum=momentum))


@checked
class LayerNorm(Native):
    """Normalizes each vector of the last axis."""

    def __init__(self, features: int, eps: float = 1e-5) -> None:
        super().__init__(create("layer_norm", normalized_shape=(features,), eps=eps))

    def _options_text(self) -> str:
        # The kind takes a shape, the layer its one size.
        return re.sub(r"normalized_shape=\((\d+),\)", r"\1", super()._options_text())
