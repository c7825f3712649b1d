"""Networks of the papers."""

from __future__ import annotations

import numpy.typing as npt

from ._arguments import checked
from ._integers import as_layer_input
from ._options import create
from ._random import Generator, layer_generator
from ._tensor import Tensor
from .nn import AvgPool2d, Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential
from .nn._module import Module
from .nn._native import Native
from .quantizers import Quantizer, QuantizerInfo


@checked
class SQVAE(Module):
    """The SQ-VAE autoencoder (Takida et al., 2022) for 32x32 images, and its 28x28 sibling.

    x [n, s, s, channels] in 0...1 -> reconstruction of x's shape; the encoder gives
    [n, s/4, s/4, width].

    Args:
        quantizer: a layer of feature size `width`.
        image_size: s, 32 or 28.
        channels: of the images.
        width: d, the encoder's channels.
    """

    encoder: Native
    decoder: Native

    def __init__(
        self,
        quantizer: Quantizer,
        *,
        image_size: int = 32,
        channels: int = 3,
        width: int = 64,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        sizes = {"image_size": image_size, "channels": channels, "width": width}
        self.encoder = Native(
            create("sqvae_encoder", **sizes, generator=layer_generator(generator))
        )
        self.quantizer = quantizer
        self.decoder = Native(
            create("sqvae_decoder", **sizes, generator=layer_generator(generator))
        )

    def forward(self, x: Tensor | npt.ArrayLike) -> tuple[Tensor, QuantizerInfo]:
        """Images -> (reconstruction, the quantizer's info)."""
        x = as_layer_input("sqvae", x)
        if x.ndim == 4 and (x.shape[1] % 4 or x.shape[2] % 4):
            raise ValueError(
                f"[sqvae] shape {list(x.shape)}: height and width must be multiples of 4"
            )
        z_q, info = self.quantizer(self.encoder(x))
        return self.decoder(z_q), info

    def encode(self, x: Tensor | npt.ArrayLike) -> Tensor:
        """Images -> int32 codes [n, s/4, s/4]."""
        return self.quantizer.encode(self.encoder(x))

    def decode(self, codes: Tensor | npt.ArrayLike) -> Tensor:
        """int32 codes [n, s/4, s/4] -> images."""
        images: Tensor = self.decoder(self.quantizer.decode(codes))
        return images


def _he_convolution(inputs: int, outputs: int, padding: int, generator: Generator) -> Conv2d:
    """3x3, its kernel uniform in +-sqrt(6 / fan_in) (He et al., 2015)."""
    layer = Conv2d(inputs, outputs, 3, padding=padding, generator=generator)
    bound = (6 / (9 * inputs)) ** 0.5
    layer.weight.assign(generator.uniform((outputs, inputs, 3, 3), -bound, bound))
    return layer


@checked
def mnist_net_a(*, generator: Generator | None = None) -> Sequential:
    """Images [n, 28, 28, 1] -> logits [n, 10]; net A of the experiments on gradient estimators.

    3x3 convolutions without padding of 32, 64 and 128 channels, each with ReLU and max-pooling over
    2x2, then a dense layer. Kernels begin uniform over the range of their quantizer.
    """
    source = layer_generator(generator)
    layers: list[Module] = []
    for inputs, outputs in ((1, 32), (32, 64), (64, 128)):
        layers += [_he_convolution(inputs, outputs, 0, source), ReLU(), MaxPool2d(2)]
    return Sequential(*layers, Flatten(), Linear(128, 10, generator=source))


@checked
def mnist_net_b(*, generator: Generator | None = None) -> Sequential:
    """Images [n, 28, 28, 1] -> logits [n, 10]; net B of the experiments on gradient estimators.

    3x3 convolutions with padding of 32 and 64 channels, each with ReLU and average-pooling over
    2x2, then dense layers of 256 (ReLU) and 10. Kernels begin uniform over the range of their
    quantizer.
    """
    source = layer_generator(generator)
    layers: list[Module] = []
    for inputs, outputs in ((1, 32), (32, 64)):
        layers += [_he_convolution(inputs, outputs, 1, source), ReLU(), AvgPool2d(2)]
    head = Linear(49 * 64, 256, generator=source), ReLU(), Linear(256, 10, generator=source)
    return Sequential(*layers, Flatten(), *head)


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
