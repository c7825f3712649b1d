"""Random crops of the two photographs that scikit-learn ships."""

from __future__ import annotations

import os

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from .._arguments import checked
from ._sets import ImageSet, Split, check_split, frozen_set

PHOTO_CREDITS = (
    "Photographs: china.jpg by danielbuechele (flickr.com/photos/danielbuechele/6061409035), "
    "flower.jpg by vultilion (flickr.com/photos/vultilion/6056698931), CC BY 2.0 "
    "(creativecommons.org/licenses/by/2.0), cropped"
)
"""Who made the photographs of `photos`, and under which license they are shown."""

_BORDER = 400  # column at which the test part begins; the photographs are 640 wide


@checked
def photos(
    split: Split = "train", count: int | None = None, *, size: int = 32, seed: int = 0
) -> ImageSet:
    """Random square crops of `china.jpg` and `flower.jpg` (scikit-learn's sample images).

    The left 400 columns of each photograph are for training and the right 240 for test; no crop
    crosses the border. Every position of both photographs is equally likely, and the
    label tells the photograph. Show `PHOTO_CREDITS` beside any picture of them.

    Args:
        split: "train" or "test".
        count: the number of crops; 20000 for training and 2000 for test by default.
        size: the side of a crop in pixels, at most 240.
        seed: of the positions; the splits draw independently.

    Returns:
        images `[count, size, size, 3]` uint8, labels 0 (china) and 1 (flower).

    Raises:
        ImportError: without scikit-learn and Pillow.
        ValueError: for a split, count, size or seed out of range.
    """
    check_split("photos", split)
    if count is None:
        count = 20_000 if split == "train" else 2_000
    count, size, seed = int(count), int(size), int(seed)
    if count < 1:
        raise ValueError(f"[photos] count {count}: must be at least 1")
    if seed < 0:
        raise ValueError(f"[photos] seed {seed}: must not be negative")
    if not 1 <= size <= 240:
        raise ValueError(f"[photos] size {size}: must be from 1 to 240, the width of the test part")
    random = np.random.default_rng([seed, split == "test"])
    pictures = _load()
    # A picture is drawn with the probability of its number of positions.
    windows = [
        sliding_window_view(_part(picture, split), (size, size), axis=(0, 1))  # [y, x, 3, s, s]
        for picture in pictures
    ]
    positions = np.array([view.shape[0] * view.shape[1] for view in windows])
    drawn = random.integers(positions.sum(), size=count)
    labels = np.searchsorted(np.cumsum(positions), drawn, side="right")
    images = np.empty((count, size, size, 3), np.uint8)
    for label, view in enumerate(windows):
        rows = np.flatnonzero(labels == label)
        y, x = np.divmod(drawn[rows] - positions[:label].sum(), view.shape[1])
        images[rows] = view[y, x].transpose(0, 2, 3, 1)
    return frozen_set(f"photos {split}", images, labels, PHOTO_CREDITS)


def _part(picture: NDArray[np.uint8], split: str) -> NDArray[np.uint8]:
    return picture[:, :_BORDER] if split == "train" else picture[:, _BORDER:]


def _load() -> list[NDArray[np.uint8]]:
    """china and flower, `[427, 640, 3]` each."""
    try:
        import PIL  # noqa: F401
        from sklearn.datasets import load_sample_images  # type: ignore[import-untyped]
    except ImportError as error:
        raise ImportError(
            "[photos] the sample photographs need scikit-learn and Pillow: "
            'pip install "vqswift[train]"'
        ) from error
    bundle = load_sample_images()
    by_name = {
        os.path.basename(path): image
        for path, image in zip(bundle.filenames, bundle.images, strict=True)
    }
    return [np.asarray(by_name[name], np.uint8) for name in ("china.jpg", "flower.jpg")]
