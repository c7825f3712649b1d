"""A discriminator of patches."""

from __future__ import annotations

import numpy.typing as npt

from .._arguments import checked
from .._integers import as_layer_input
from .._random import Generator, layer_generator
from .._tensor import Tensor
from ..nn import BatchNorm, Conv2d, LeakyReLU, Sequential, init
from ..nn._module import Module
from ._network import Network

# Of stride 2: an image of more has sides of millions of pixels.
MOST_LAYERS = 20


@checked
class PatchDiscriminator(Network):
    """PatchGAN, the discriminator of pix2pix (Isola et al., 2017).

    x [n, h, w, channels] -> logits [n, h', w', 1], each of a patch: of 70 pixels with three layers.
    4x4 convolutions, `layers` of stride 2 and one of stride 1 before the last, with batch norms but
    in the first, and leaky ReLUs of slope 0.2. Convolutions begin at N(0, 0.02), norms' weights at
    N(1, 0.02), biases at 0.

    Args:
        channels: of the images.
        width: channels of the first convolution; each has twice as many, up to 8 `width`.
        layers: convolutions of stride 2; images have sides of at least 3 * 2**layers.
    """

    layers: Sequential[Tensor]

    def __init__(
        self,
        channels: int = 3,
        *,
        width: int = 64,
        layers: int = 3,
        generator: Generator | None = None,
    ) -> None:
        super().__init__(channels=channels, width=width, layers=layers)
        for name, value in (("channels", channels), ("width", width), ("layers", layers)):
            if value < 1:
                raise ValueError(f"[patch_discriminator] {name} = {value}: must be at least 1")
        if layers > MOST_LAYERS:
            raise ValueError(
                f"[patch_discriminator] layers = {layers}: must be at most {MOST_LAYERS}, an image "
                f"has sides of at least 3 * 2**layers pixels"
            )
        source = layer_generator(generator)
        self._strided = layers
        made: list[Module] = [Conv2d(channels, width, 4, 2, 1, generator=source), LeakyReLU(0.2)]
        inputs = width
        for place in range(1, layers + 1):
            outputs = min(2**place, 8) * width
            stride = 2 if place < layers else 1
            convolution = Conv2d(inputs, outputs, 4, stride, 1, bias=False, generator=source)
            made += [convolution, BatchNorm(outputs), LeakyReLU(0.2)]
            inputs = outputs
        self.layers = Sequential(*made, Conv2d(inputs, 1, 4, 1, 1, generator=source))
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                init.zeros_(parameter)
            else:
                mean = 0.0 if parameter.ndim == 4 else 1.0
                init.normal_(parameter, mean, 0.02, generator=source)

    def forward(self, x: Tensor | npt.ArrayLike) -> Tensor:
        """Logits: above 0 for what it takes for an image."""
        x = as_layer_input("patch_discriminator", x)
        # Two convolutions of stride 1 take a pixel each off a side that has been halved.
        least = 3 * 2**self._strided
        if x.ndim == 4 and min(x.shape[1:3]) < least:
            raise ValueError(
                f"[patch_discriminator] shape {list(x.shape)}: height and width must be at least "
                f"{least}"
            )
        return self.layers(x)
