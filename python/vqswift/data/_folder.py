"""Batches from folders of image files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .._arguments import checked

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm"})


@checked
class ImageFolder:
    """Images below a folder with a sub-folder for each class, read when a batch needs them.

    ``labels`` are the positions of the sub-folders' names in order: ImageNet's layout. Files that
    are no images by their suffix are left out.

    Args:
        folder: with the sub-folders.
        size: of the square images that batches hold.
        classes: names of the sub-folders, in the order of the labels; all of them by default.

    Raises ``FileNotFoundError`` without a sub-folder that has images, ``ImportError`` without
    Pillow, and ``ValueError`` for a size below 1.
    """

    def __init__(
        self, folder: str | os.PathLike[str], *, size: int, classes: list[str] | None = None
    ) -> None:
        from PIL import Image

        self._open = Image.open
        if size < 1:
            raise ValueError(f"[image_folder] size {size}: must be at least 1")
        self.size = size
        root = Path(folder)
        found = sorted(entry.name for entry in root.iterdir() if entry.is_dir())
        self.classes = found if classes is None else classes
        self.paths: list[Path] = []
        labels: list[int] = []
        for label, name in enumerate(self.classes):
            files = sorted(p for p in (root / name).rglob("*") if p.suffix.lower() in _SUFFIXES)
            self.paths += files
            labels += [label] * len(files)
        if not self.paths:
            raise FileNotFoundError(f"[image_folder] {root}: no sub-folder has images")
        self.labels = np.array(labels, np.int32)

    def __len__(self) -> int:
        return len(self.paths)

    def image(self, index: int, random: np.random.Generator | None = None) -> NDArray[np.float32]:
        """An image, float32 [size, size, 3] in [0, 1]: its middle, or with `random` a crop of it.

        The shorter side is scaled to 8/7 of the size before; random crops may be mirrored. Raises
        ``ValueError`` with the path of a file that cannot be read.
        """
        scaled = -(-self.size * 8 // 7)
        try:
            with self._open(self.paths[index]) as file:
                picture = file.convert("RGB")
                factor = scaled / min(picture.size)
                width, height = (max(scaled, round(side * factor)) for side in picture.size)
                pixels = np.asarray(picture.resize((width, height)), np.float32) / 255
        except OSError as error:
            raise ValueError(f"[image_folder] {self.paths[index]}: {error}") from error
        rows, columns = height - self.size, width - self.size
        if random is None:
            y, x, mirrored = rows // 2, columns // 2, False
        else:
            y, x = int(random.integers(rows + 1)), int(random.integers(columns + 1))
            mirrored = bool(random.integers(2))
        crop = pixels[y : y + self.size, x : x + self.size]
        return crop[:, ::-1] if mirrored else crop

    def images(self, indices: NDArray[np.integer]) -> NDArray[np.float32]:
        """The middles of these images, float32 [n, size, size, 3]."""
        return np.stack([self.image(int(index)) for index in indices])

    def batches(self, batch_size: int, *, seed: int = 0) -> Iterator[tuple[NDArray, NDArray]]:
        """Random crops in random order, epoch after epoch, the next batch read ahead.

        Pairs of float32 [batch_size, size, size, 3] and int32 [batch_size]. Raises ``ValueError``
        for a batch size below 1 or above the number of images.
        """
        if not 1 <= batch_size <= len(self):
            raise ValueError(
                f"[image_folder] batch_size {batch_size}: must be from 1 to {len(self)}, the images"
            )
        return self._batches(batch_size, seed)

    def _batches(self, batch_size: int, seed: int) -> Iterator[tuple[NDArray, NDArray]]:
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
