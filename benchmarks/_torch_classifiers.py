"""torchvision's classifiers by the names and sizes of `vqswift.models`."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn import functional as F
from torchvision import models


class Classifier(nn.Module):
    """A network of images [n, h, w, 3] and its loss."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def loss(self, images: Any, labels: Any) -> Any:
        return F.cross_entropy(self.network(images.movedim(-1, 1)), labels.long())


class ResNet18(Classifier):
    def __init__(self) -> None:
        super().__init__(models.resnet18())


class AlexNet(Classifier):
    def __init__(self, dropout: float) -> None:
        super().__init__(models.AlexNet(dropout=dropout))


class VisionTransformer(Classifier):
    def __init__(self, image_size: int, patch_size: int) -> None:
        sizes = {"num_layers": 12, "num_heads": 3, "hidden_dim": 192, "mlp_dim": 768}
        super().__init__(models.VisionTransformer(image_size, patch_size, **sizes))
