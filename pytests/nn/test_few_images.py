"""Convolutions of batches that are cut into bands of rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import vqswift as vq
from vqswift import nn


def reference(
    x: np.ndarray, w: np.ndarray, g: np.ndarray, stride: tuple[int, int], padding: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Output and both gradients in Float64; x [n, h, w, i], w [o, i, kh, kw], g as the output."""
    x, w, g = (array.astype(np.float64) for array in (x, w, g))
    (top, left), (down, across) = padding, stride
    padded = np.pad(x, ((0, 0), (top, top), (left, left), (0, 0)))
    rows, columns = g.shape[1:3]
    y, dw = np.zeros_like(g), np.zeros_like(w)
    dx = np.zeros_like(padded)
    for i in range(w.shape[2]):
        for j in range(w.shape[3]):
            place = np.s_[:, i : i + down * rows : down, j : j + across * columns : across]
            seen = padded[place][:, :rows, :columns]
            y += seen @ w[:, :, i, j].T
            dw[:, :, i, j] = np.einsum("nhwo,nhwi->oi", g, seen)
            dx[place][:, :rows, :columns] += g @ w[:, :, i, j]
    height, width = x.shape[1:3]
    return y, dx[:, top : top + height, left : left + width], dw


def passes(
    x: np.ndarray, layer: nn.Conv2d, g: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    layer.zero_grad()
    inputs = vq.Tensor(x, requires_grad=True)
    y = layer(inputs)
    (y * g).sum().backward()
    return y.numpy(), inputs.grad.numpy(), layer.weight.grad.numpy(), layer.bias.grad.numpy()


CASES = [
    # kernel, stride, padding, height, width, channels, outputs
    ((5, 5), (1, 1), (2, 2), 41, 40, 16, 24),
    ((5, 5), (2, 2), (2, 2), 64, 61, 17, 24),
    ((3, 3), (2, 2), (1, 1), 97, 80, 9, 16),
    ((3, 3), (3, 2), (0, 1), 98, 64, 16, 16),
    ((4, 4), (2, 2), (1, 1), 66, 64, 16, 16),
    ((4, 2), (4, 2), (0, 0), 103, 96, 16, 32),
    ((2, 3), (3, 1), (0, 1), 95, 64, 16, 16),  # gaps between the windows
    ((7, 3), (1, 1), (6, 0), 40, 34, 16, 16),
    ((1, 5), (1, 1), (0, 2), 64, 40, 16, 32),
    ((3, 3), (1, 1), (1, 1), 40, 40, 24, 40),
    ((9, 9), (1, 1), (4, 4), 12, 70, 16, 16),
    ((5, 5), (1, 1), (2, 2), 41, 40, 32, 24),
    ((4, 4), (2, 2), (1, 1), 66, 64, 32, 40),
    ((1, 7), (1, 1), (0, 3), 1, 900, 40, 32),
    ((1, 8), (1, 4), (0, 2), 1, 900, 32, 48),
]


@pytest.mark.parametrize("images", [1, 2, 3, 7])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_all_passes_agree_with_float64_whatever_the_threads(
    threads: Callable[[int], None], case: tuple, images: int
) -> None:
    kernel, stride, padding, height, width, channels, outputs = case
    layer = nn.Conv2d(
        channels, outputs, kernel, stride=stride, padding=padding, generator=vq.Generator(1)
    )
    x = vq.Generator(2).normal((images, height, width, channels)).numpy()
    shape = layer(vq.Tensor(x)).shape
    g = vq.Generator(3).normal(shape).numpy()
    threads(1)
    one = passes(x, layer, g)
    w, bias = layer.weight.numpy(), layer.bias.numpy()
    y, dx, dw = reference(x, w, g, stride, padding)
    terms = channels * kernel[0] * kernel[1]
    pixels = shape[0] * shape[1] * shape[2]
    eps = 2.0**-23
    # Sums of so many products of normal numbers, weights being below 1.
    np.testing.assert_allclose(one[0], y + bias, rtol=0, atol=8 * eps * terms**0.5 * 4)
    np.testing.assert_allclose(one[1], dx, rtol=0, atol=8 * eps * (outputs * terms) ** 0.5 * 4)
    np.testing.assert_allclose(one[2], dw, rtol=0, atol=16 * eps * pixels)
    np.testing.assert_allclose(one[3], g.sum((0, 1, 2), dtype=np.float64), atol=16 * eps * pixels)
    for count in (2, 3):
        threads(count)
        for a, b in zip(one, passes(x, layer, g), strict=True):
            assert np.array_equal(a, b)
