"""What is done to images between the set and the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from .._arguments import checked, operation_of, refuse
from .._arrays import as_array
from ._draws import Draws

Images = NDArray[np.float32]


@dataclass(frozen=True)
class Region:
    """What of a picture is read: top, left, height and width, and to which size it is scaled."""

    window: tuple[int, int, int, int]
    size: tuple[int, int]


class Transform:
    """Of images float32 `[n, ..., h, w, c]` others, with the random numbers of each sample.

    Subclasses override `__call__`; those that draw use `draws`, one sample of it for each image, so
    that results do not depend on the batch. Any other function of the images alone can stand in
    a transform's place.
    """

    def __call__(self, images: Images, draws: Draws | None = None) -> Images:
        """The images, transformed."""
        raise NotImplementedError(f"[{operation_of(type(self))}] __call__ is not overridden")

    def _region(self, height: int, width: int, draws: Draws) -> Region | None:
        """Which part of a picture of this size is read from a file; None for all of it."""
        return None

    def _after(self, images: Images, draws: Draws) -> Images:
        """What is left to do with images of which the region alone was read."""
        return images


def applied(transform: Callable[..., Any], images: Images, draws: Draws) -> Images:
    """`transform` of the images, float32 `[n, ...]`; TypeError or ValueError for anything else."""
    is_own = isinstance(transform, Transform)
    found = np.asarray(transform(images, draws) if is_own else transform(images))
    if found.dtype.kind not in "fiub":
        raise TypeError(f"[transform] it gives {found.dtype}: real numbers are required")
    if found.ndim < 1 or len(found) != len(images):
        raise ValueError(
            f"[transform] {[*images.shape]} becomes {[*found.shape]}: the first axis must stay"
        )
    return found.astype(np.float32, copy=False)


def region_of(transform: object, height: int, width: int, draws: Draws) -> Region | None:
    """What the transform reads of a picture, unless a subclass calls it otherwise."""
    if not isinstance(transform, Transform):
        return None
    called = next(kind for kind in type(transform).__mro__ if "__call__" in vars(kind))
    return transform._region(height, width, draws) if "_region" in vars(called) else None


def checked_images(operation: str, images: npt.ArrayLike) -> Images:
    """Float32 `[n, ..., h, w, c]`, or an exception."""
    found = _floats(operation, images)
    if found.ndim < 4:
        raise ValueError(f"[{operation}] images {[*found.shape]}: must be [n, ..., h, w, c]")
    return found


def _floats(operation: str, images: npt.ArrayLike) -> Images:
    found = as_array(operation, "images", images)
    if found.dtype.kind != "f":
        raise TypeError(f"[{operation}] images of {found.dtype}: must be floats")
    return found.astype(np.float32, copy=False)


def checked_draws(operation: str, images: Images, draws: Draws | None) -> Draws:
    """The draws, or an exception when there are none or of another number of samples."""
    if draws is None:
        raise ValueError(f"[{operation}] draws are required: Draws(seed, epoch, indices)")
    if len(draws) != len(images):
        raise ValueError(
            f"[{operation}] {len(images)} images and draws of {len(draws)} samples: must be as many"
        )
    return draws


@checked
class Compose(Transform):
    """Transforms one after the other.

    Args:
        transforms: each a `Transform`, or a function of the images alone.
    """

    def __init__(self, transforms: Sequence[Callable[..., Any]]) -> None:
        self.transforms = list(transforms)
        for position, transform in enumerate(self.transforms):
            if not callable(transform):
                refuse("compose", f"transforms[{position}]", transform, "a transform")

    def __call__(self, images: Images, draws: Draws | None = None) -> Images:
        """The images after all transforms."""
        given = Draws(0, 0, np.arange(len(images))) if draws is None else draws
        for transform in self.transforms:
            if isinstance(transform, Transform):
                images = transform(images, draws)
            else:
                images = applied(transform, images, given)
        return images

    def _region(self, height: int, width: int, draws: Draws) -> Region | None:
        """That of the first."""
        first = self.transforms[0] if self.transforms else None
        return None if first is None else region_of(first, height, width, draws)

    def _after(self, images: Images, draws: Draws) -> Images:
        """What is left of the first, and all others."""
        if not self.transforms:
            return images
        first, *others = self.transforms
        if isinstance(first, Transform):
            images = first._after(images, draws)
        for transform in others:
            images = applied(transform, images, draws)
        return images


@checked
class Normalize(Transform):
    """`(x - mean) / std`, for each channel.

    Args:
        mean: a number, or one for each channel.
        std: likewise; positive.

    Raises `ValueError` for numbers that are not finite in float32 or a std that is not positive
    there.
    """

    def __init__(self, mean: Sequence[float] | float, std: Sequence[float] | float) -> None:
        self.mean, self.std = (np.asarray(value, np.float64) for value in (mean, std))
        for name, value in (("mean", self.mean), ("std", self.std)):
            if value.ndim > 1 or not (np.abs(value) <= np.finfo(np.float32).max).all():
                raise ValueError(
                    f"[normalize] {name} = {value.tolist()}: must be finite in float32, a number "
                    "or one for each channel"
                )
        least = np.finfo(np.float32).tiny
        if not (self.std >= least).all():
            raise ValueError(
                f"[normalize] std = {self.std.tolist()}: must be positive, at least {least:.2g}"
            )

    def __call__(self, images: Images, draws: Draws | None = None) -> Images:
        """`[n, ..., c]`, of as many channels as mean and std have."""
        images = _floats("normalize", images)
        for name, value in (("mean", self.mean), ("std", self.std)):
            if value.ndim and (images.ndim < 2 or value.size not in (1, images.shape[-1])):
                raise ValueError(
                    f"[normalize] images {[*images.shape]} and {value.size} numbers of {name}: "
                    "must be one for each channel"
                )
        # Numbers of channels repeated for a row of pixels are read faster than one by one.
        is_repeated = max(self.mean.size, self.std.size) > 1 and images.ndim > 2 and images.size > 0
        repeats = images.shape[-2] if is_repeated else 1
        rows = images.reshape(*images.shape[:-2], -1) if is_repeated else images
        mean, std = (
            np.tile(value.astype(np.float32), repeats) if value.size > 1 else np.float32(value)
            for value in (self.mean, self.std)
        )
        found = rows - mean
        found /= std
        return found.reshape(images.shape)


@checked
class RandomHorizontalFlip(Transform):
    """Mirrors an image, left to right, with a probability.

    Args:
        p: the probability, from 0 to 1.
    """

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"[random_horizontal_flip] p = {p}: must be from 0 to 1")
        self.p = p

    def __call__(self, images: Images, draws: Draws | None = None) -> Images:
        """`[n, ..., h, w, c]`, all frames of a sample alike."""
        images = checked_images("random_horizontal_flip", images)
        draws = checked_draws("random_horizontal_flip", images, draws)
        mirrored = np.flatnonzero(draws.uniform() < self.p)
        found = images.copy()
        found[mirrored] = images[mirrored][..., ::-1, :]
        return found
