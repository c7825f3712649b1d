"""Batches from folders of image files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .._arguments import checked
from .._warning import warn
from ._picture import Color, Picture

_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm", ".pgm", ".pbm", ".tif", ".tiff"}
)
# What archives, photo servers and file systems leave behind.
_NO_CLASSES = frozenset(
    {"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"}
)

_Batch = tuple[NDArray[np.float32], NDArray[np.int32]]


@checked
class ImageFolder:
    """Images below a folder with a sub-folder for each class, read when a batch needs them.

    `labels` are the positions of the sub-folders' names in order: ImageNet's layout. Left out are
    files that are no images by their suffix, and what begins with a dot or stands in a folder that
    a system made for itself (`.ipynb_checkpoints`, `._a.jpg`, `__MACOSX`, `@eaDir`).

    Gray, palettes and transparency are converted exactly, 16-bit gray with all its bits; CMYK and
    colors of 16 bits a channel with a warning.

    Args:
        folder: with the sub-folders.
        size: of the square images that batches hold.
        classes: names of the sub-folders, in the order of the labels; all of them by default.
        upright: turn photographs as their EXIF orientation says; Pillow always turns TIFF files.
        background: red, green and blue, 0 to 255, that show through transparent pixels; `None`
            leaves transparency out and shows the colors beneath.

    Raises `FileNotFoundError` without a sub-folder that has images, `ImportError` without
    Pillow, and `ValueError` for a size below 1 or a background that is no color. Warns of
    sub-folders without images: they are classes too.
    """

    classes: list[str]
    labels: NDArray[np.int32]

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        size: int,
        classes: list[str] | None = None,
        upright: bool = True,
        background: Color | None = (255, 255, 255),
    ) -> None:
        import PIL  # noqa: F401

        if size < 1:
            raise ValueError(f"[image_folder] size {size}: must be at least 1")
        if background is not None and not _is_color(background):
            raise ValueError(
                f"[image_folder] background {background!r}: must be red, green and blue, 0 to 255"
            )
        self.size = size
        self.upright = upright
        self.background = background
        root = Path(folder)
        found = sorted(e.name for e in root.iterdir() if not _is_left_out(e.name) and e.is_dir())
        self.classes = found if classes is None else classes
        self.paths: list[Path] = []
        labels: list[int] = []
        empty: list[str] = []
        for label, name in enumerate(self.classes):
            files = sorted(_pictures(root / name))
            self.paths += files
            labels += [label] * len(files)
            if not files:
                empty.append(name)
        if not self.paths:
            raise FileNotFoundError(f"[image_folder] {root}: no sub-folder has images")
        if empty:
            warn(f"[image_folder] {root}: the classes {empty} have no images")
        self.labels = np.array(labels, np.int32)

    def __len__(self) -> int:
        return len(self.paths)

    def image(self, index: int, random: np.random.Generator | None = None) -> NDArray[np.float32]:
        """An image, float32 [size, size, 3] in [0, 1]: its middle, or with `random` a crop of it.

        The shorter side is scaled to 8/7 of the size before; random crops may be mirrored. Raises
        `ValueError` with the path of a file that cannot be read.
        """
        picture = Picture(self.paths[index], upright=self.upright, background=self.background)
        scaled = -(-self.size * 8 // 7)
        factor = scaled / min(picture.size)
        width, height = (max(scaled, round(side * factor)) for side in picture.size)
        rows, columns = height - self.size, width - self.size
        if random is None:
            y, x, mirrored = rows // 2, columns // 2, False
        else:
            y, x = int(random.integers(rows + 1)), int(random.integers(columns + 1))
            mirrored = bool(random.integers(2))
        window = slice(y, y + self.size), slice(x, x + self.size)
        crop = picture.cropped((width, height), *window)
        return crop[:, ::-1] if mirrored else crop

    def images(self, indices: NDArray[np.integer]) -> NDArray[np.float32]:
        """The middles of these images, float32 [n, size, size, 3]."""
        chosen = np.asarray(indices)
        if chosen.ndim != 1 or chosen.dtype.kind not in "iu" or not chosen.size:
            raise TypeError(
                f"[image_folder] indices of {chosen.dtype} {list(chosen.shape)}: one or more "
                "integers are required (np.flatnonzero of a mask)"
            )
        return np.stack([self.image(int(index)) for index in chosen])

    def batches(self, batch_size: int, *, seed: int = 0) -> Iterator[_Batch]:
        """Random crops in random order, epoch after epoch, the next batch read ahead.

        Pairs of float32 [batch_size, size, size, 3] and int32 [batch_size]. Raises `ValueError`
        for a batch size below 1 or above the number of images, or a negative seed.
        """
        if seed < 0:
            raise ValueError(f"[image_folder] seed {seed}: must not be negative")
        if not 1 <= batch_size <= len(self):
            raise ValueError(
                f"[image_folder] batch_size {batch_size}: must be from 1 to {len(self)}, the images"
            )
        return self._batches(batch_size, seed)

    def _batches(self, batch_size: int, seed: int) -> Iterator[_Batch]:
        def read(indices: NDArray[np.integer], stream: int) -> NDArray[np.float32]:
            random = np.random.default_rng([seed, stream])
            return np.stack([self.image(int(index), random) for index in indices])

        def orders() -> Iterator[NDArray[np.integer]]:
            epoch = 0
            while True:
                order = np.random.default_rng([seed, epoch]).permutation(len(self))
                for start in range(0, len(order) - batch_size + 1, batch_size):
                    yield order[start : start + batch_size]
                epoch += 1

        with ThreadPoolExecutor(max_workers=1) as pool:
            ahead = None
            for stream, indices in enumerate(orders()):
                following = indices, pool.submit(read, indices, stream)
                if ahead is not None:
                    yield ahead[1].result(), self.labels[ahead[0]]
                ahead = following


def _is_left_out(name: str) -> bool:
    return name.startswith(".") or name in _NO_CLASSES


def _pictures(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """The image files below a folder, also through links, but for those that lead back."""
    here = folder.resolve()
    if here in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if _is_left_out(entry.name):
                continue
            if entry.is_dir():
                yield from _pictures(Path(entry.path), (*above, here))
            elif Path(entry.name).suffix.lower() in _SUFFIXES and entry.is_file():
                yield Path(entry.path)


def _is_color(value: object) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 3
        and all(isinstance(part, int) and 0 <= part <= 255 for part in value)
    )
