"""Images in archives of NumPy's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arguments import checked
from ._files import search_roots
from ._labels import as_int32
from ._sets import ImageSet, Split, check_split, frozen_set


@checked
def npz_images(
    path: str | os.PathLike[str],
    key: str | None = None,
    *,
    split: Split | None = None,
    every: int = 10,
    labels: str | None = None,
) -> ImageSet:
    """The images of an `.npz`, and its labels where it has them.

    Args:
        path: of the archive, as it is or below the folders of `search_roots()`.
        key: the array of images, uint8 `[n, h, w, c]` or, gray, `[n, h, w]`; by default "images",
            or the only array of that form.
        split: "test" has the images whose position is a multiple of `every`, "train" the others;
            None all.
        every: images for each one of the test part.
        labels: the key of the labels, integers `[n]`; by default "labels" where there is one, and
            otherwise all labels are 0.

    Returns:
        images `[n, h, w, c]` uint8 and labels `[n]` int32.

    Raises:
        FileNotFoundError: with the places it looked in.
        ValueError: for a file that is no archive, a key that it does not have, images or labels of
            another form, labels beyond int32, a part without images, or an `every` below 2.
    """
    if split is not None:
        check_split("npz_images", split)
    if every < 2:
        raise ValueError(f"[npz_images] every {every}: must be at least 2")
    found = _found(path)
    with _Archive(found) as arrays:
        images, codes = _chosen(arrays, key, labels)
    rows = np.arange(len(images)) % every == 0
    if split is not None:
        chosen = rows if split == "test" else ~rows
        images, codes = images[chosen], codes[chosen]
    if not len(images):
        raise ValueError(f"[npz_images] {found}: {split or 'it'} has no images")
    return frozen_set(" ".join(filter(None, (found.stem, split))), images, codes, "")


def _chosen(
    arrays: _Archive, key: str | None, labels: str | None
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Images `[n, h, w, c]` and labels `[n]`, both as they are to be."""
    key = arrays.images_key() if key is None else key
    images = arrays.get(key)
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.dtype != np.uint8:
        raise ValueError(
            f"[npz_images] {arrays.path}: {key} is {images.dtype} {[*images.shape]}: must be uint8 "
            "[n, h, w, c] or [n, h, w]; Batches takes other arrays"
        )
    if labels is None and "labels" in arrays.names:
        labels = "labels"
    codes = np.zeros(len(images), np.int32) if labels is None else arrays.get(labels)
    if codes.shape != images.shape[:1] or codes.dtype.kind not in "iub":
        raise ValueError(
            f"[npz_images] {arrays.path}: {labels} is {codes.dtype} {[*codes.shape]}: must be "
            f"integers [{len(images)}]"
        )
    return images, as_int32("npz_images", f"{arrays.path}: {labels}", codes)


def _found(path: str | os.PathLike[str]) -> Path:
    tried = [Path(path), *(root / path for root in search_roots())]
    for candidate in tried:
        if candidate.is_file():
            return candidate
    looked = "\n  ".join(dict.fromkeys(map(str, tried)))
    raise FileNotFoundError(
        f"[npz_images] {os.fspath(path)} is missing; set VQSWIFT_DATA. Looked for\n  {looked}"
    )


class _Archive:
    """Reads arrays by name; ValueError with the path for whatever goes wrong."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("rb")
        try:
            if self._file.read(2) != b"PK":
                raise ValueError("no zip archive")
            self._file.seek(0)
            self._arrays: Any = np.load(self._file, allow_pickle=False)
        except BaseException as error:
            self._file.close()
            if isinstance(error, MemoryError) or not isinstance(error, Exception):
                raise
            raise self._unreadable(error) from error
        self.names: list[str] = list(self._arrays.files)

    def __enter__(self) -> _Archive:
        return self

    def __exit__(self, *exception: object) -> None:
        self._arrays.close()
        self._file.close()

    def get(self, key: str) -> NDArray[Any]:
        if key not in self.names:
            raise ValueError(
                f"[npz_images] {self.path}: no {key!r} among {', '.join(map(repr, self.names))}"
            )
        try:
            array: NDArray[Any] = np.asarray(self._arrays[key])
        except MemoryError:
            raise
        except Exception as error:
            raise self._unreadable(f"{key}: {error}") from error
        return array

    def images_key(self) -> str:
        if "images" in self.names:
            return "images"
        possible = [
            name
            for name in self.names
            if (array := self.get(name)).dtype == np.uint8 and array.ndim in (3, 4)
        ]
        if len(possible) != 1:
            raise ValueError(
                f"[npz_images] {self.path}: key= must say which of "
                f"{', '.join(map(repr, possible or self.names))} are the images"
            )
        return possible[0]

    def _unreadable(self, reason: object) -> ValueError:
        return ValueError(f"[npz_images] {self.path}: {reason}")
