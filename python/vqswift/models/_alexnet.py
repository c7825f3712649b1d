"""AlexNet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy.typing as npt

from .._arguments import checked
from .._random import Generator, layer_generator
from .._tensor import Tensor
from ..nn import AdaptiveAvgPool2d, Conv2d, Dropout, Linear, MaxPool2d, ReLU, Sequential
from ..nn._module import Module
from ..quantizers import Quantizer
from ._classifier import Classifier


class _Features(Module):
    """Convolutions, and means of windows where the map's size is fixed."""

    def __init__(self, layers: Sequence[Module], side: int | None) -> None:
        super().__init__()
        self.features = Sequential(*layers)
        self.pool = None if side is None else AdaptiveAvgPool2d(side)

    def forward(self, x: Tensor | npt.ArrayLike) -> Tensor:
        y: Tensor = self.features(x)
        return y if self.pool is None or y.shape[1:3] == (6, 6) else self.pool(y)


class _Head(Module):
    """Dense layers over the map, whose values are taken channel by channel, as in torchvision."""

    def __init__(self, layers: Sequence[Module]) -> None:
        super().__init__()
        self.classifier = Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.classifier(x.permute(0, 3, 1, 2).flatten(1))
        return y


@checked
class AlexNet(Classifier):
    """AlexNet (Krizhevsky, 2014) with a quantizer between convolutions and dense layers.

    x [n, h, w, channels] -> (logits [n, classes], info). The quantizer's vectors are those of
    [n, 6, 6, 4 width], for images below 128 [n, h/8, w/8, 4 width].

    Args:
        quantizer: a layer of feature size `4 width`; None leaves quantization out.
        classes: of the logits.
        channels: of the images.
        width: channels of the first convolution.
        hidden: of the two dense layers.
        image_size: side of the images. Below 128 it must be a multiple of 8, and the network has
            a first convolution of 3x3 and pools of 2x2; else it is torchvision's, of 224.
        dropout: in front of the two first dense layers.
    """

    def __init__(
        self,
        quantizer: Quantizer | None = None,
        *,
        classes: int = 1000,
        channels: int = 3,
        width: int = 64,
        hidden: int = 4096,
        image_size: int = 224,
        dropout: float = 0.5,
        generator: Generator | None = None,
    ) -> None:
        super().__init__(
            quantizer,
            classes=classes,
            channels=channels,
            width=width,
            hidden=hidden,
            image_size=image_size,
            dropout=dropout,
        )
        is_small = image_size < 128
        if is_small and (image_size < 8 or image_size % 8):
            raise ValueError(
                f"[alexnet] image_size = {image_size}: below 128 it must be a multiple of 8"
            )
        source = layer_generator(generator)
        pool = (2, 2) if is_small else (3, 2)
        widths = (width, 3 * width, 6 * width, 4 * width, 4 * width)

        def convolution(place: int, kernel: int, stride: int = 1, padding: int = 1) -> Conv2d:
            inputs = widths[place - 1] if place else channels
            return Conv2d(inputs, widths[place], kernel, stride, padding, generator=source)

        first = convolution(0, 3) if is_small else convolution(0, 11, 4, 2)
        second = convolution(1, 3) if is_small else convolution(1, 5, 1, 2)
        layers: list[Module] = [
            *(first, ReLU(), MaxPool2d(*pool), second, ReLU(), MaxPool2d(*pool)),
            *(convolution(2, 3), ReLU(), convolution(3, 3), ReLU(), convolution(4, 3), ReLU()),
            MaxPool2d(*pool),
        ]
        side = image_size // 8 if is_small else 6
        self.front = _Features(layers, None if is_small else side)
        self.back = _Head(
            [
                *(Dropout(dropout), Linear(side * side * 4 * width, hidden, generator=source)),
                *(ReLU(), Dropout(dropout), Linear(hidden, hidden, generator=source), ReLU()),
                Linear(hidden, classes, generator=source),
            ]
        )
