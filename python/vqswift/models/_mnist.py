"""Small networks for MNIST."""

from __future__ import annotations

from .._arguments import checked
from .._random import Generator, layer_generator
from ..nn import AvgPool2d, Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential
from ..nn._module import Module


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
