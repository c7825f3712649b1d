"""The classifiers of `vqswift.models` without a quantizer, by torchvision's loss."""

from __future__ import annotations

from typing import Any

import vqswift as vq
from vqswift.models import AlexNet, ResNet18, VisionTransformer
from vqswift.nn import functional as F

__all__ = ["AlexNet", "ResNet18", "VisionTransformer", "loss_of"]


def loss_of(model: Any, images: Any, labels: Any) -> vq.Tensor:
    """Of images [n, h, w, 3] and their labels [n]."""
    return F.cross_entropy(model(images)[0], labels)
