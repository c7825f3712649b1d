"""Quantizers and gradient estimators for quantization-aware training."""

from ._categorical import gumbel_softmax, reinmax, straight_through_softmax
from ._learned import LSQ, PACT, LSQPlus

__all__ = [
    "LSQ",
    "LSQPlus",
    "PACT",
    "gumbel_softmax",
    "reinmax",
    "straight_through_softmax",
]
