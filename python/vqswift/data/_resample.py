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
    for start in range(0, len(images), part):
        rows = slice(start, start + part)
        chosen = windows if len(windows) == 1 else windows[rows]
        down = _weights(chosen[:, 0], chosen[:, 2], size[0], height)
        across = _weights(chosen[:, 1], chosen[:, 3], size[1], width)
        scaled = _scaled(images[rows], down, across)
        for channel in range(channels):
            found[rows, ..., channel] = scaled[..., channel, :]
    return found


def _scaled(
    images: NDArray[np.float32], down: NDArray[np.float32], across: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Both axes, each as one product of matrices an image: `[n, ..., tall, c, wide]`."""
    *lead, height, width, channels = images.shape
    between = (1,) * (len(lead) - 1)
    down = down.reshape(len(down), *between, *down.shape[1:])
    across = across.reshape(len(across), *between, *across.shape[1:])
    tall, wide = down.shape[-2], across.shape[-2]
    lines = np.ascontiguousarray(np.swapaxes(images, -1, -2))  # [n, ..., h, c, w]
    rows = down @ lines.reshape(*lead, height, channels * width)
    columns = rows.reshape(*lead, tall * channels, width) @ np.swapaxes(across, -1, -2)
    return np.asarray(columns, np.float32).reshape(*lead, tall, channels, wide)


def _weights(
    starts: NDArray[np.int64], lengths: NDArray[np.int64], size: int, extent: int
) -> NDArray[np.float32]:
    """`[n, size, extent]`: what each pixel counts in each pixel of the result; rows sum to 1."""
    scale = lengths[:, None] / size
    reach = np.maximum(scale, 1)
    centers = starts[:, None] + (np.arange(size) + 0.5) * scale  # [n, size]
    count = int(np.ceil(2 * reach.max(initial=1))) + 1
    first = np.floor(centers - reach + 0.5).astype(np.int64)
    pixels = first[:, :, None] + np.arange(count)  # those within reach, [n, size, count]
    near = 1 - np.abs(pixels + 0.5 - centers[:, :, None]) / reach[:, :, None]
    ends = (starts + lengths)[:, None, None]
    near[(near < 0) | (pixels < starts[:, None, None]) | (pixels >= ends)] = 0
    near /= near.sum(axis=-1, keepdims=True)
    # Pixels beyond the image count nothing, but have a place here.
    found = np.zeros((len(starts), size, count + extent + count), np.float32)
    np.put_along_axis(found, pixels + count, near.astype(np.float32), axis=-1)
    return found[:, :, count:-count]
