"""Arrays of numbers as float32 in a declared range."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arguments import checked
from .._arrays import as_array
from ._draws import Draws

Range = tuple[float, float]

_MOST = float(np.finfo(np.float32).max)
_FULL = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}


@checked
def unit_range(images: NDArray[Any]) -> NDArray[np.float32]:
    """Float32 in [0, 1]: uint8 divided by 255, uint16 by 65535, floats as they are."""
    images = as_array("unit_range", "images", images)
    if full := _FULL.get(images.dtype):
        return images.astype(np.float32) / np.float32(full)
    if images.dtype == object:
        raise TypeError("[unit_range] images of object: an array of real numbers is required")
    return np.asarray(images, np.float32)


def mapped(unit: NDArray[np.float32], value_range: Range | None) -> NDArray[np.float32]:
    """Numbers in [0, 1] laid over the range: 0 and 1 are its ends, and none lies beyond."""
    if value_range is None or value_range == (0.0, 1.0):
        return unit
    low, high = map(np.float32, value_range)
    found = unit * high
    found += (1 - unit) * low
    return np.clip(found, low, high, out=found)


def checked_range(value: Range | None) -> Range | None:
    """The range as floats; ValueError unless it is two numbers in order, finite in float32."""
    if value is None:
        return None
    fits = all(math.isfinite(bound) and abs(float(bound)) <= _MOST for bound in value)
    if len(value) != 2 or not fits or value[0] >= value[1]:
        raise ValueError(
            f"[batches] value_range = {value}: must be the least and the greatest value, finite in "
            "float32, or None"
        )
    return float(value[0]), float(value[1])


class ArraySamples:
    """Samples that stand in one array, `[n, ...]`."""

    def __init__(self, images: NDArray[Any], value_range: Range | None, add_channel: bool) -> None:
        array = as_array("batches", "images", images)
        if add_channel:
            array = array[..., None]
        if not 2 <= array.ndim <= 5:
            raise ValueError(
                f"[batches] images {[*array.shape]}: must be [n, h, w, c], [n, h, w] with "
                "add_channel, [n, t, c], [n, t, h, w, c] or [n, features]"
            )
        if array.size == 0:
            raise ValueError(f"[batches] images {[*array.shape]}: must not be empty")
        if array.dtype not in _FULL:
            _check_floats(array, value_range)
        self.array = array
        self._range = value_range

    def __len__(self) -> int:
        return len(self.array)

    def take(
        self, rows: NDArray[np.intp], draws: Callable[[NDArray[np.intp]], Draws]
    ) -> tuple[NDArray[np.float32], NDArray[np.intp], list[str]]:
        """Float32 `[b, ...]`, the rows that they are, and nothing to tell."""
        taken = self.array[rows]
        if taken.dtype in _FULL:
            return mapped(unit_range(taken), self._range), rows, []
        return taken.astype(np.float32, copy=False), rows, []


def _check_floats(array: NDArray[Any], value_range: Range | None) -> None:
    if array.dtype not in (np.float16, np.float32, np.float64):
        raise TypeError(
            f"[batches] images of {array.dtype}: must be uint8, uint16, float16, float32 or "
            "float64; scale other numbers to a range that you know"
        )
    # What is broadcast along an axis is looked at once.
    apart = array[tuple(slice(1 if step == 0 else None) for step in array.strides)]
    low, high = float(apart.min()), float(apart.max())
    if value_range is None:
        if not -_MOST <= low <= high <= _MOST:
            raise ValueError(
                f"[batches] images from {low:g} to {high:g}: must be finite in float32"
            )
    elif not value_range[0] <= low <= high <= value_range[1]:
        raise ValueError(
            f"[batches] images from {low:g} to {high:g}: must lie in "
            f"[{value_range[0]:g}, {value_range[1]:g}], the value_range"
        )
