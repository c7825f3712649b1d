"""What Table 9 is trained on, and what its samples are compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .... import data
from .._cifar import cifar10

Name = Literal["cifar10", "faces"]
NAMES: tuple[Name, ...] = ("cifar10", "faces")
_FACES, _FACES_EVERY = Path("faces", "faces64.npz"), 11  # every 11th face is a test image


@dataclass(frozen=True)
class Images:
    """A set in two parts, uint8 [n, h, w, 3].

    Attributes:
        name: of the set.
        training, test: the images.
        labels, test_labels: their classes, int32 [n]; None where there are none.
        classes: how many there are, 0 without.
        compared: the part that samples are compared with: "test", or "training" where the test
            part is too small for distances of distributions.
        mirrored: images are trained on as they are and mirrored.
    """

    name: Name
    training: NDArray[np.uint8]
    test: NDArray[np.uint8]
    labels: NDArray[np.int32] | None
    test_labels: NDArray[np.int32] | None
    classes: int
    compared: Literal["training", "test"]
    mirrored: bool

    @property
    def side(self) -> int:
        """Of an image in pixels."""
        return int(self.training.shape[1])

    def compared_images(self, count: int) -> NDArray[np.uint8]:
        """The first images of the part that samples are compared with."""
        return (self.test if self.compared == "test" else self.training)[:count]

    def other_images(self, count: int) -> NDArray[np.uint8]:
        """The first images of the other part."""
        return (self.training if self.compared == "test" else self.test)[:count]

    def training_codes(self, encode: Callable[[NDArray[Any]], NDArray[Any]]) -> NDArray[Any]:
        """What `encode` gives of all training images, mirrored ones behind."""
        codes = encode(self.training)
        if not self.mirrored:
            return codes
        return np.concatenate([codes, encode(self.training[:, :, ::-1])])

    @property
    def code_labels(self) -> NDArray[np.int32] | None:
        """The classes of `training_codes`."""
        if self.labels is None or not self.mirrored:
            return self.labels
        return np.concatenate([self.labels, self.labels])


def images_of(name: Name, root: Path | None, count: int | None = None) -> Images:
    """CIFAR-10, or the faces at 64x64; `count`: the first training images alone.

    FileNotFoundError where the set is absent.
    """
    if name == "cifar10":
        training, test = cifar10(root)
        return Images(
            name,
            training.images[:count],
            test.images,
            training.labels[:count],
            test.labels,
            classes=10,
            compared="test",
            mirrored=False,
        )
    path = _FACES if root is None else root / _FACES
    faces = [data.npz_images(path, split=part, every=_FACES_EVERY) for part in ("train", "test")]
    training, test = faces
    return Images(
        name,
        training.images[:count],
        test.images,
        None,
        None,
        classes=0,
        compared="training",
        mirrored=True,
    )
