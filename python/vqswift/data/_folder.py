"""Batches from folders of image files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .._arguments import checked
from .._warning import warn
from ._image_files import ImageFiles
from ._picture import Color

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm", ".pgm", ".pbm", ".tif", ".tiff"}
)
# What archives, photo servers and file systems leave behind.
_NO_CLASSES = frozenset(
    {"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"}
)

_Batch = tuple[NDArray[np.float32], NDArray[np.int32]]


@checked
class ImageFolder(ImageFiles):
    """Images below a folder with a sub-folder for each class, read when a batch needs them.

    `labels` are the positions of the sub-folders' names in order: ImageNet's layout. Left out are
    files that are no images by their suffix, and what begins with a dot or stands in a folder that
    a system made for itself (`.ipynb_checkpoints`, `._a.jpg`, `__MACOSX`, `@eaDir`).

    Args:
        folder: with the sub-folders.
        size: as of `ImageFiles`.
        transform: as of `ImageFiles`.
        classes: names of the sub-folders, in the order of the labels; all of them by default.
        upright: as of `ImageFiles`.
        background: as of `ImageFiles`.
        on_error: as of `ImageFiles`.

    Raises `FileNotFoundError` without a sub-folder that has images, `ValueError` for classes of the
    same name, and as `ImageFiles`. Warns of sub-folders without images: they are classes too.
    """

    classes: list[str]
    labels: NDArray[np.int32]

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        size: int | None = None,
        transform: Callable[..., Any] | None = None,
        classes: list[str] | None = None,
        upright: bool = True,
        background: Color | None = (255, 255, 255),
        on_error: Literal["raise", "skip"] = "raise",
    ) -> None:
        self._operation = "image_folder"
        self._check(size, transform, background, on_error)
        root = Path(folder)
        found = sorted(e.name for e in root.iterdir() if not _is_left_out(e.name) and e.is_dir())
        names = found if classes is None else classes
        if len(set(names)) < len(names):
            raise ValueError(f"[image_folder] classes {names}: must differ")
        paths: list[Path] = []
        labels: list[int] = []
        empty: list[str] = []
        for label, name in enumerate(names):
            files = sorted(files_below(root / name, IMAGE_SUFFIXES, (root.resolve(),)))
            paths += files
            labels += [label] * len(files)
            if not files:
                empty.append(name)
        if not paths:
            raise FileNotFoundError(f"[image_folder] {root}: no sub-folder has images")
        super().__init__(
            paths,
            np.array(labels, np.int32),
            size=size,
            transform=transform,
            classes=names,
            upright=upright,
            background=background,
            on_error=on_error,
        )
        if empty:
            warn(f"[image_folder] {root}: the classes {empty} have no images")

    def batches(self, batch_size: int, *, seed: int = 0) -> Iterator[_Batch]:
        """Random crops in random order, epoch after epoch, the next batch read ahead.

        Pairs of float32 [batch_size, size, size, 3] and int32 [batch_size]. `Batches` has more
        threads, transforms and a position. Raises `ValueError` for a batch size below 1 or above
        the number of images, a negative seed, or a folder without a size.
        """
        if self.size is None:
            raise ValueError("[image_folder.batches] size None: the size of the crops is required")
        if seed < 0:
            raise ValueError(f"[image_folder] seed {seed}: must not be negative")
        if not 1 <= batch_size <= len(self):
            raise ValueError(
                f"[image_folder] batch_size {batch_size}: must be from 1 to {len(self)}, the images"
            )
        return self._batches(int(batch_size), int(seed))

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


def files_below(
    folder: Path, suffixes: frozenset[str], above: tuple[Path, ...] = ()
) -> Iterator[Path]:
    """The files with these suffixes below a folder, also through links, but for those that lead
    back; without what `ImageFolder` leaves out."""
    here = folder.resolve()
    if here in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if _is_left_out(entry.name):
                continue
            if entry.is_dir():
                yield from files_below(Path(entry.path), suffixes, (*above, here))
            elif Path(entry.name).suffix.lower() in suffixes and entry.is_file():
                yield Path(entry.path)
