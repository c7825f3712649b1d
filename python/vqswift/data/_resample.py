"""Bilinear scaling of windows of images, one window for each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_WEIGHTS = 1 << 19  # of a part of the batch


def resampled(
    images: NDArray[np.float32], windows: NDArray[np.int64], size: tuple[int, int]
) -> NDArray[np.float32]:
    """Of each of `[n, ..., h, w, c]` a window, scaled to `size`: `[n, ..., height, width, c]`.

    Linear interpolation between the centers of pixels; where a window shrinks, the triangle is as
    wide as a pixel of the result, so that every pixel of the window counts. What lies outside the
    window does not. `windows` `[n, 4]` or, for all the same, `[1, 4]`: top, left, height, width.
    """
    *lead, height, width, channels = images.shape
    found = np.empty((*lead, *size, channels), np.float32)
    part = max(1, _WEIGHTS // max(size[0] * height, size[1] * width, 1))
    shared = len(windows) == 1
    if shared:
        down = _weights(windows[:, 0], windows[:, 2], size[0], height)
        across = _weights(windows[:, 1], windows[:, 3], size[1], width)
    for start in range(0, len(images), part):
        rows = slice(start, start + part)
        if not shared:
            down = _weights(windows[rows, 0], windows[rows, 2], size[0], height)
            across = _weights(windows[rows, 1], windows[rows, 3], size[1], width)
        found[rows] = _scaled(images[rows], down, across)
    return found


def _scaled(
    images: NDArray[np.float32], down: NDArray[np.float32], across: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Both axes, each as one product of matrices an image."""
    *lead, height, width, channels = images.shape
    between = (1,) * (len(lead) - 1)
    down = down.reshape(len(down), *between, *down.shape[1:])
    across = across.reshape(len(across), *between, *across.shape[1:])
    tall, wide = down.shape[-2], across.shape[-2]
    rows = down @ images.reshape(*lead, height, width * channels)  # [..., tall, width * c]
    turned = np.swapaxes(rows.reshape(*lead, tall, width, channels), -3, -2)
    columns = across @ turned.reshape(*lead, width, tall * channels)  # [..., wide, tall * c]
    return np.swapaxes(columns.reshape(*lead, wide, tall, channels), -3, -2)


def _weights(
    starts: NDArray[np.int64], lengths: NDArray[np.int64], size: int, extent: int
) -> NDArray[np.float32]:
    """`[n, size, extent]`: what each pixel counts in each pixel of the result; rows sum to 1."""
    scale = lengths[:, None, None] / size
    first, last = starts[:, None, None], (starts + lengths)[:, None, None]
    centers = first + (np.arange(size)[:, None] + 0.5) * scale  # [n, size, 1]
    pixels = np.arange(extent)
    weights = 1 - np.abs(pixels + 0.5 - centers) / np.maximum(scale, 1)
    np.maximum(weights, 0, out=weights)
    weights *= (pixels >= first) & (pixels < last)
    weights /= weights.sum(axis=-1, keepdims=True)
    return weights.astype(np.float32)
