"""Reproducible batches of images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arguments import checked
from .._arrays import as_array


@checked
class Batches:
    """Float32 batches `[b, h, w, c]` in [0, 1], in an order that the seed and the epoch give.

    Iterating yields the rest of the current epoch and moves to the next one; `forever()` goes on
    without end. With labels, each item is a pair `(images, labels)`. The position is two
    numbers, so that `state_dict` resumes exactly where an iterator stood::

        for x in Batches(photos("train").images, batch_size=128, seed=0):
            ...

    Args:
        images: `[n, h, w, c]`, uint8 (divided by 255) or float32 in [0, 1].
        labels: `[n]` integers, or none.
        batch_size: images in a batch.
        seed: of the order.
        shuffle: a new order every epoch; otherwise as given.
        drop_last: leave out an incomplete last batch; by default as `shuffle`.

    Raises:
        TypeError: for another dtype.
        ValueError: for another rank, no images, values outside [0, 1] or not finite, labels of
            another length, a negative seed, or a batch size below 1 or (with `drop_last`)
            above n.
    """

    images: NDArray[Any]
    labels: NDArray[np.int32] | None
    seed: int
    drop_last: bool
    epoch: int
    position: int

    def __init__(
        self,
        images: NDArray[Any],
        labels: NDArray[Any] | None = None,
        *,
        batch_size: int = 128,
        seed: int = 0,
        shuffle: bool = True,
        drop_last: bool | None = None,
    ) -> None:
        self.images = _checked_images(as_array("batches", "images", images))
        self.labels = (
            None
            if labels is None
            else _checked_labels(as_array("batches", "labels", labels), len(images))
        )
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.drop_last = shuffle if drop_last is None else drop_last
        self.epoch = 0
        self.position = 0
        self._order: tuple[int, NDArray[np.intp]] | None = None
        if seed < 0:
            raise ValueError(f"[batches] seed {seed}: must not be negative")
        if batch_size < 1:
            raise ValueError(f"[batches] batch_size {batch_size}: must be at least 1")
        if self.drop_last and batch_size > len(images):
            raise ValueError(
                f"[batches] batch_size {batch_size} and {len(images)} images: "
                "no complete batch (drop_last)"
            )

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        whole, rest = divmod(len(self.images), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Any]:
        while self.position < len(self):
            start = self.position * self.batch_size
            rows = self._epoch_order()[start : start + self.batch_size]
            self.position += 1
            images = unit_range(self.images[rows])
            yield images if self.labels is None else (images, self.labels[rows])
        self.epoch += 1
        self.position = 0

    def forever(self) -> Iterator[Any]:
        """Batches of one epoch after the other, without end."""
        while True:
            yield from self

    def state_dict(self) -> dict[str, int]:
        """The position: seed, epoch and number of batches taken from it."""
        return {"seed": self.seed, "epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Continues where `state_dict` was taken.

        Raises `ValueError` when a key is missing, no integer or negative, or the position lies
        beyond an epoch.
        """
        keys = ("seed", "epoch", "position")
        if missing := set(keys) - set(state):
            raise ValueError(f"[batches] state without {', '.join(sorted(missing))}")
        for key in keys:
            whole = isinstance(state[key], (int, np.integer)) and not isinstance(state[key], bool)
            if not whole or state[key] < 0:
                raise ValueError(f"[batches] {key} {state[key]!r}: must be an integer from 0")
        seed, epoch, position = (int(state[key]) for key in keys)
        if position > len(self):
            raise ValueError(
                f"[batches] epoch {epoch}, position {position}: an epoch has {len(self)} batches"
            )
        self.seed, self.epoch, self.position = seed, epoch, position
        self._order = None

    def _epoch_order(self) -> NDArray[np.intp]:
        if not self.shuffle:
            return np.arange(len(self.images))
        if self._order is None or self._order[0] != self.epoch:
            random = np.random.default_rng([self.seed, self.epoch])
            self._order = (self.epoch, random.permutation(len(self.images)))
        return self._order[1]


@checked
def unit_range(images: NDArray[Any]) -> NDArray[np.float32]:
    """Float32 in [0, 1]: uint8 divided by 255, floats as they are."""
    images = as_array("unit_range", "images", images)
    if images.dtype == np.uint8:
        return images.astype(np.float32) / np.float32(255)
    if images.dtype == object:
        raise TypeError("[unit_range] images of object: an array of real numbers is required")
    return np.asarray(images, np.float32)


def _checked_images(images: NDArray[Any]) -> NDArray[Any]:
    if images.ndim != 4:
        raise ValueError(f"[batches] images {list(images.shape)}: must be [n, h, w, c]")
    if images.size == 0:
        raise ValueError(f"[batches] images {list(images.shape)}: must not be empty")
    if images.dtype == np.uint8:
        return images
    if images.dtype != np.float32:
        raise TypeError(f"[batches] images of {images.dtype}: must be uint8 or float32")
    low, high = float(images.min()), float(images.max())
    if not (low >= 0 and high <= 1):
        raise ValueError(f"[batches] images from {low:g} to {high:g}: must lie in [0, 1]")
    return images


def _checked_labels(labels: NDArray[Any], count: int) -> NDArray[np.int32]:
    if labels.shape != (count,):
        raise ValueError(f"[batches] labels {list(labels.shape)}: must be [{count}]")
    if labels.dtype.kind not in "iu":
        raise TypeError(f"[batches] labels of {labels.dtype}: must be integers")
    if labels.size and not -(1 << 31) <= int(labels.min()) <= int(labels.max()) < 1 << 31:
        raise ValueError(
            f"[batches] labels {labels.min()}...{labels.max()}: they do not fit in int32"
        )
    return labels.astype(np.int32)
