"""Crops and scaled crops of images."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arguments import checked, is_integer, refuse
from ._draws import Draws
from ._resample import resampled
from ._transform import Images, Region, Transform, checked_draws, checked_images

Pair = int | tuple[int, int]

_TRIALS = 10


@checked
class RandomResizedCrop(Transform):
    """A window of random area and aspect ratio, scaled to one size, as torchvision defines it.

    Ten times an area and a ratio are drawn, the ratio evenly on a logarithmic scale, and the first
    window that fits stands anywhere in the image; when none fits, it is the largest in the middle
    with a ratio in the range. Scaling is bilinear, and averages where it shrinks.

    Args:
        size: of the result, height and width or both at once.
        scale: the window's area over the image's, from the least to the most.
        ratio: the window's width over its height, from the least to the most.

    Raises `ValueError` for a size below 1 or ranges that are not positive and in order.
    """

    def __init__(
        self,
        size: Pair,
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
    ) -> None:
        self.size = _pair("random_resized_crop", "size", size, least=1)
        self.scale = _range("scale", scale)
        self.ratio = _range("ratio", ratio)

    def __call__(self, images: Images, draws: Draws | None = None) -> Images:
        """`[n, ..., height, width, c]`, all frames of a sample alike."""
        images = checked_images("random_resized_crop", images)
        draws = checked_draws("random_resized_crop", images, draws)
        height, width = images.shape[-3:-1]
        return resampled(images, self.windows(height, width, draws), self.size)

    def windows(self, height: int, width: int, draws: Draws) -> NDArray[np.int64]:
        """Top, left, height and width of a window in each image, `[n, 4]`."""
        height, width = int(height), int(width)
        if min(height, width) < 1:
            raise ValueError(
                f"[random_resized_crop] {height} x {width} pixels: must be at least 1 x 1"
            )
        area, ratio, down, across = np.moveaxis(
            draws.uniform(4 * _TRIALS).reshape(len(draws), _TRIALS, 4), -1, 0
        )
        least, most = self.scale
        area = height * width * (least + (most - least) * area)
        narrow, broad = np.log(self.ratio)
        ratio = np.exp(narrow + (broad - narrow) * ratio)
        wide, tall = np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))
        fits = (wide > 0) & (wide <= width) & (tall > 0) & (tall <= height)  # [n, trials]
        chosen = np.arange(len(draws)), fits.argmax(axis=1)
        tall, wide = tall[chosen], wide[chosen]
        top = np.floor(down[chosen] * (height - tall + 1))
        left = np.floor(across[chosen] * (width - wide + 1))
        found = np.stack([top, left, tall, wide], axis=1)
        found[~fits.any(axis=1)] = self._middle(height, width)
        return found.astype(np.int64)

    def _middle(self, height: int, width: int) -> tuple[int, int, int, int]:
        tall, wide = height, width
        if width / height < self.ratio[0]:
            tall = max(1, round(width / self.ratio[0]))
        elif width / height > self.ratio[1]:
            wide = max(1, round(height * self.ratio[1]))
        return (height - tall) // 2, (width - wide) // 2, tall, wide

    def _region(self, height: int, width: int, draws: Draws) -> Region:
        """The window, scaled."""
        top, left, tall, wide = self.windows(height, width, draws)[0].tolist()
        return Region((top, left, tall, wide), self.size)


@checked
class RandomCrop(Transform):
    """A window of one size anywhere in the image.

    Args:
        size: of the window, height and width or both at once.
        padding: zeros that are added before at the top and bottom, and left and right.

    Raises `ValueError` for a size below 1, a negative padding, or, when called, a window that is
    larger than the padded image.
    """

    def __init__(self, size: Pair, padding: Pair = 0) -> None:
        self.size = _pair("random_crop", "size", size, least=1)
        self.padding = _pair("random_crop", "padding", padding, least=0)

    def __call__(self, images: Images, draws: Draws | None = None) -> Images:
        """`[n, ..., height, width, c]`, all frames of a sample alike."""
        images = checked_images("random_crop", images)
        draws = checked_draws("random_crop", images, draws)
        if any(self.padding):
            down, across = self.padding
            around = ((0, 0),) * (images.ndim - 3) + ((down, down), (across, across), (0, 0))
            images = np.pad(images, around)
        height, width = images.shape[-3:-1]
        tall, wide = _fitting("random_crop", self.size, height, width)
        found = np.empty((*images.shape[:-3], tall, wide, images.shape[-1]), np.float32)
        tops, lefts = draws.integers(height - tall + 1), draws.integers(width - wide + 1)
        for row, (top, left) in enumerate(zip(tops.tolist(), lefts.tolist(), strict=True)):
            found[row] = images[row, ..., top : top + tall, left : left + wide, :]
        return found


@checked
class CenterCrop(Transform):
    """The middle of an image.

    Args:
        size: of the window, height and width or both at once.

    Raises `ValueError` for a size below 1 or, when called, above the image's.
    """

    def __init__(self, size: Pair) -> None:
        self.size = _pair("center_crop", "size", size, least=1)

    def __call__(self, images: Images, draws: Draws | None = None) -> Images:
        """`[n, ..., height, width, c]`."""
        images = checked_images("center_crop", images)
        height, width = images.shape[-3:-1]
        tall, wide = _fitting("center_crop", self.size, height, width)
        top, left = round((height - tall) / 2), round((width - wide) / 2)
        return images[..., top : top + tall, left : left + wide, :]


@checked
class Resize(Transform):
    """Images scaled to one size: bilinear, and averaging where they shrink.

    Args:
        size: height and width, or an integer for the shorter side, by which the other follows.
    """

    def __init__(self, size: Pair) -> None:
        self.size = _pair("resize", "size", size, least=1)
        self._is_shorter_side = is_integer(size)

    def __call__(self, images: Images, draws: Draws | None = None) -> Images:
        """`[n, ..., height, width, c]`."""
        images = checked_images("resize", images)
        height, width = images.shape[-3:-1]
        return resampled(
            images, np.array([[0, 0, height, width]]), self._result("resize", height, width)
        )

    def _result(self, operation: str, height: int, width: int) -> tuple[int, int]:
        if min(height, width) < 1:
            raise ValueError(f"[{operation}] {height} x {width} pixels: must be at least 1 x 1")
        if not self._is_shorter_side:
            return self.size
        shorter = self.size[0]
        longer = int(shorter * max(height, width) / min(height, width))
        return (longer, shorter) if width <= height else (shorter, longer)

    def _region(self, height: int, width: int, draws: Draws) -> Region:
        """All of it, scaled."""
        return Region((0, 0, height, width), self._result("resize", height, width))


def _pair(operation: str, name: str, value: Any, *, least: int) -> tuple[int, int]:
    both = (value, value) if is_integer(value) else tuple(value)
    if len(both) != 2 or not all(map(is_integer, both)):
        refuse(operation, name, value, "an integer or a pair of integers")
    first, second = map(int, both)
    if min(first, second) < least:
        raise ValueError(f"[{operation}] {name} = {value}: must be at least {least}")
    return first, second


def _range(name: str, value: tuple[float, float]) -> tuple[float, float]:
    if len(value) != 2 or not 0 < value[0] <= value[1] < float("inf"):
        raise ValueError(
            f"[random_resized_crop] {name} = {value}: must be the least and the most, positive"
        )
    return float(value[0]), float(value[1])


def _fitting(operation: str, size: tuple[int, int], height: int, width: int) -> tuple[int, int]:
    if size[0] > height or size[1] > width:
        raise ValueError(
            f"[{operation}] size {size[0]} x {size[1]} of images of {height} x {width}: "
            "must not be larger"
        )
    return size
