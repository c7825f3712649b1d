"""CelebA from its own files."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .._arguments import checked
from ._crops import CenterCrop, Resize
from ._files import search_roots
from ._image_files import ImageFiles
from ._sets import Root
from ._transform import Compose

_PARTS = {"train": 0, "valid": 1, "test": 2}
_PARTITION, _ATTRIBUTES = "list_eval_partition.txt", "list_attr_celeba.txt"
_IMAGES = ("img_align_celeba", "img_align_celeba/img_align_celeba")


@checked
def celeba(
    split: Literal["train", "valid", "test"] = "train",
    root: Root = None,
    *,
    size: int = 64,
    crop: int = 140,
    on_error: Literal["raise", "skip"] = "raise",
) -> ImageFiles:
    """CelebA (Liu et al. 2015), aligned: 162770, 19867 and 19962 images, read as they are needed.

    Args:
        split: "train", "valid" or "test", of `list_eval_partition.txt`.
        root: has `celeba` or is it: the folder with `img_align_celeba`, `list_eval_partition.txt`
            and `list_attr_celeba.txt`.
        size: of the images, square.
        crop: the middle of the 178 x 218 pixels that is scaled to it.
        on_error: as of `ImageFiles`.

    Returns:
        images `[size, size, 3]`; labels `[n, 40]`, 1 for an attribute that a face has and 0
        otherwise, whose names are `classes`.

    Raises `FileNotFoundError` with the places it looked in, and `ValueError` for a split, a size or
    crop out of range, lists that cannot be understood, or a split without images.
    """
    if split not in _PARTS:
        raise ValueError(f"[celeba] split {split!r}: must be 'train', 'valid' or 'test'")
    for name, value, most in (("size", size, 1 << 12), ("crop", crop, 178)):
        if not 1 <= value <= most:
            raise ValueError(f"[celeba] {name} {value}: must be from 1 to {most}")
    folder = _folder(root)
    pictures = next((folder / name for name in reversed(_IMAGES) if (folder / name).is_dir()), None)
    if pictures is None:
        raise FileNotFoundError(f"[celeba] {folder / _IMAGES[0]}: the folder of images is missing")
    chosen = _chosen(folder / _PARTITION, _PARTS[split])
    if not chosen:
        raise ValueError(f"[celeba] {folder / _PARTITION}: no image is of the split {split!r}")
    classes, values = _attributes(folder / _ATTRIBUTES)
    if missing := [name for name in chosen if name not in values]:
        raise ValueError(f"[celeba] {folder / _ATTRIBUTES}: no attributes of {missing[0]}")
    return ImageFiles(
        [pictures / name for name in chosen],
        np.stack([values[name] for name in chosen]),
        transform=Compose([CenterCrop(crop), Resize((size, size))]),
        classes=classes,
        on_error=on_error,
    )


def _folder(root: Root) -> Path:
    tried = [
        folder for base in search_roots(root) for folder in (base / "celeba", base / "CelebA", base)
    ]
    for folder in tried:
        if (folder / _PARTITION).is_file():
            return folder
    looked = "\n  ".join(map(str, tried))
    raise FileNotFoundError(
        f"[celeba] {_PARTITION} is missing; set VQSWIFT_DATA or pass root=. Looked in\n  {looked}"
    )


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"[celeba] {path}: must be UTF-8: {error}") from error


def _chosen(path: Path, part: int) -> list[str]:
    """The names of the part's images."""
    found = []
    for number, line in enumerate(_lines(path), 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2 or words[1] not in ("0", "1", "2"):
            raise ValueError(f"[celeba] {path}, line {number}: must be a name and 0, 1 or 2")
        if int(words[1]) == part:
            found.append(words[0])
    return found


def _attributes(path: Path) -> tuple[list[str], dict[str, NDArray[np.int32]]]:
    """The attributes' names, and 1 or 0 of each by the image's name."""
    if not path.is_file():
        raise FileNotFoundError(f"[celeba] {path}: the list of attributes is missing")
    _, names, *lines = [*_lines(path), "", ""]
    classes = names.split()
    found = {}
    for number, line in enumerate(lines, 3):
        name, *values = line.split() or [""]
        if not name:
            continue
        if len(values) != len(classes) or not set(values) <= {"-1", "1"}:
            raise ValueError(
                f"[celeba] {path}, line {number}: must be a name and {len(classes)} times 1 or -1"
            )
        found[name] = np.array([value == "1" for value in values], np.int32)
    return classes, found
