"""Residual networks."""

from __future__ import annotations

from .._arguments import checked
from .._options import create
from .._random import Generator, layer_generator
from ..nn._native import Native
from ..quantizers import Quantizer
from ._classifier import Classifier


@checked
class ResNet50(Native):
    """ResNet-50 (He et al., 2016) v1.5: bottlenecks halve in their 3x3 convolution.

    x [n, h, w, channels] -> logits [n, classes]. `state_dict` has torchvision's names, and the
    initial weights are drawn as there.

    Args:
        classes: of the logits.
        channels: of the images.
        small_images: begin with a 3x3 convolution instead of a 7x7 one of stride 2 and a max-pool,
            as is usual for 32x32 images.
    """

    def __init__(
        self,
        classes: int = 1000,
        *,
        channels: int = 3,
        small_images: bool = False,
        generator: Generator | None = None,
    ) -> None:
        super().__init__(
            create(
                "resnet50",
                channels=channels,
                classes=classes,
                small_images=small_images,
                generator=layer_generator(generator),
            )
        )


@checked
class ResNet18(Classifier):
    """ResNet-18 (He et al., 2016) with a quantizer behind `layer2`.

    x [n, h, w, channels] -> (logits [n, classes], info). The quantizer's vectors are those of
    [n, h/8, w/8, 2 width], for small images [n, h/2, w/2, 2 width]. `torchvision_state` has
    torchvision's names, and the initial weights are drawn as there.

    Args:
        quantizer: a layer of feature size `2 width`; None leaves quantization out.
        classes: of the logits.
        channels: of the images.
        width: channels of `layer1`.
        small_images: begin with a 3x3 convolution instead of a 7x7 one of stride 2 and a max-pool,
            as is usual for 32x32 images.
    """

    def __init__(
        self,
        quantizer: Quantizer | None = None,
        *,
        classes: int = 1000,
        channels: int = 3,
        width: int = 64,
        small_images: bool = False,
        generator: Generator | None = None,
    ) -> None:
        super().__init__(
            quantizer,
            classes=classes,
            channels=channels,
            width=width,
            small_images=small_images,
        )
        self.front = Native(
            create(
                "resnet18_front",
                channels=channels,
                width=width,
                small_images=small_images,
                generator=layer_generator(generator),
            )
        )
        self.back = Native(
            create(
                "resnet18_back", classes=classes, width=width, generator=layer_generator(generator)
            )
        )
