"""Convolutions of every small shape against Float64, forward and all gradients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from image_reference import Convolution
from vqswift import Tensor
from vqswift.nn import functional as F

UNIT = 2.0**-24


def assert_sums(found: np.ndarray, exact: np.ndarray, absolute: np.ndarray, terms: int) -> None:
    """Float32 sums of `terms` products, whose magnitudes sum to `absolute`, in any order."""
    assert found.shape == exact.shape
    assert np.all(np.abs(found - exact) <= (terms + 2) * UNIT * absolute)


def check(
    convolution: Convolution, shape: tuple[int, ...], out: int, transposed: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    images, height, width, channels = shape
    x = rng.standard_normal(shape).astype(np.float32)
    weight_shape = (channels, out) if transposed else (out, channels)
    weight = rng.standard_normal((*weight_shape, *convolution.kernel)).astype(np.float32)
    bias = rng.standard_normal(out).astype(np.float32)
    leaves = [Tensor(value, requires_grad=True) for value in (x, weight, bias)]
    call = F.conv_transpose2d if transposed else F.conv2d
    y = call(*leaves, convolution.stride, convolution.padding)
    gradient = rng.standard_normal(y.shape).astype(np.float32)
    y.backward(Tensor(gradient))

    def exact(x: np.ndarray, w: np.ndarray, b: np.ndarray, g: np.ndarray) -> list[np.ndarray]:
        if transposed:
            rows, columns = convolution.transposed_size(height, width)
            forward = convolution.input_gradient(x, w, rows, columns) + b
            return [
                forward,
                convolution.forward(g, w),
                convolution.weight_gradient(g, x),
                g.sum((0, 1, 2)),
            ]
        return [
            convolution.forward(x, w) + b,
            convolution.input_gradient(g, w, height, width),
            convolution.weight_gradient(x, g),
            g.sum((0, 1, 2)),
        ]

    doubles = [value.astype(np.float64) for value in (x, weight, bias, gradient)]
    found = [y.numpy(), *(leaf.grad.numpy() for leaf in leaves)]
    area = int(np.prod(convolution.kernel))
    pixels = images * max(y.shape[1] * y.shape[2], height * width)
    terms = [area * channels + 1, area * out, pixels, pixels]
    witness = zip(found, exact(*doubles), exact(*map(np.abs, doubles)), terms, strict=True)
    for values, want, absolute, count in witness:
        assert_sums(values, want, absolute, count)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("stride, padding", [((2, 2), (0, 0)), ((3, 1), (0, 2)), ((1, 2), (1, 0))])
@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_one_pixel_kernels_that_skip_or_pad(
    threads: Callable[[int], None],
    count: int,
    stride: tuple[int, int],
    padding: tuple[int, int],
    transposed: bool,
) -> None:
    threads(count)
    convolution = Convolution((1, 1), stride, padding)
    for images in (1, 3, 9):
        for channels in (1, 4, 7, 8, 15, 17):
            check(convolution, (images, 16, 13, channels), 16, transposed, channels)


def test_one_pixel_kernels_of_large_images(threads: Callable[[int], None]) -> None:
    threads(2)
    for images in (1, 3, 5):
        for channels in (2, 4, 8):
            check(Convolution((1, 1), (2, 2)), (images, 64, 64, channels), 16, False, channels)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("kernel, padding", [((3, 3), (3, 4)), ((2, 1), (0, 5)), ((5, 2), (5, 0))])
def test_padding_that_holds_a_whole_kernel(
    kernel: tuple[int, int], padding: tuple[int, int], transposed: bool
) -> None:
    for channels in (4, 16):
        check(Convolution(kernel, (2, 1), padding), (3, 12, 12, channels), 8, transposed, channels)
