"""`vqswift.models.MaskGIT` and its loss on given hidden codes."""

from __future__ import annotations

from typing import Any

import vqswift as vq
from vqswift.models import MaskGIT
from vqswift.nn import functional as F

__all__ = ["MaskGIT", "loss_of"]


def loss_of(model: Any, codes: Any, targets: Any, labels: Any) -> vq.Tensor:
    """Of codes [n, length] whose hidden ones are -1, where the targets are not."""
    return F.cross_entropy(model(codes, labels), targets, 0.1, ignore_index=-1)
