"""Image files that are read when they are needed."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from .._arguments import checked, is_integer, operation_of, refuse
from ._draws import Draws
from ._labels import checked_labels
from ._picture import Color, Picture, Unreadable
from ._transform import Region, Transform, applied, region_of
from ._values import Range, mapped


@checked
class ImageFiles:
    """Images in files, with labels or without, read when a batch needs them.

    Gray, palettes and transparency are converted exactly, 16-bit gray with all its bits; CMYK and
    colors of 16 bits a channel with a warning. A transform that begins with `RandomResizedCrop` or
    `Resize` reads of a JPEG an eighth, a quarter or half of the resolution where that is enough.

    Args:
        paths: of the files.
        labels: `[n]` or `[n, k]` integers, or none.
        size: of the square images: their middles, scaled to 8/7 of the size before. Without size
            and transform an image has the size that its file has.
        transform: of each image `[1, h, w, 3]`, in place of that: a `Transform`, or a function
            of the image alone.
        classes: the names of the labels, or of their columns.
        upright: turn photographs as their EXIF orientation says; Pillow always turns TIFF files.
        background: red, green and blue, 0 to 255, that show through transparent pixels; `None`
            leaves transparency out and shows the colors beneath.
        on_error: what `Batches` does with a file that cannot be read: "raise" stops, "skip" leaves
            it out of its batch and warns once. All files of a batch unreadable is an error.

    Raises `ImportError` without Pillow, `TypeError` for what is no path, and `ValueError` for no
    paths, labels of another length or beyond int32, a size below 1 or beside a transform, or a
    background that is no color.
    """

    def __init__(
        self,
        paths: Sequence[str | os.PathLike[str]],
        labels: npt.ArrayLike | None = None,
        *,
        size: int | None = None,
        transform: Callable[..., Any] | None = None,
        classes: Sequence[str] = (),
        upright: bool = True,
        background: Color | None = (255, 255, 255),
        on_error: Literal["raise", "skip"] = "raise",
    ) -> None:
        import PIL  # noqa: F401

        self._operation = operation_of(type(self))
        self._check(size, transform, background, on_error)
        self.size = None if size is None else int(size)
        self.transform = transform
        self.upright = upright
        self.background = background and _color(background)
        self.on_error = on_error
        self.classes = list(classes)
        self.paths: list[Path] = []
        for path in paths:
            if not isinstance(path, (str, os.PathLike)):
                refuse(self._operation, f"paths[{len(self.paths)}]", path, "a path")
            self.paths.append(Path(path))
        if not self.paths:
            raise ValueError(f"[{self._operation}] paths []: at least one is required")
        self.labels: Any = None
        if labels is not None:
            self.labels = checked_labels(self._operation, labels, len(self.paths))

    def __len__(self) -> int:
        return len(self.paths)

    def image(self, index: int, random: np.random.Generator | None = None) -> NDArray[np.float32]:
        """An image, float32 `[h, w, 3]` in [0, 1].

        With a transform it is that of epoch 0 and seed 0. With a size it is the middle, or with
        `random` a crop that may be mirrored; the shorter side is scaled to 8/7 of the size before.
        Raises `IndexError` for an index below 0 or beyond the last, and `ValueError` with the path
        of a file that cannot be read.
        """
        if not 0 <= index < len(self.paths):
            raise IndexError(
                f"[{self._operation}.image] index {index}: must be from 0 to {len(self.paths) - 1}"
            )
        if random is not None and self.size is None:
            raise ValueError(f"[{self._operation}.image] random without a size: none is known")
        try:
            if random is not None and self.size is not None:
                return self._scaled(self.size, index, random)
            return self._read(index, Draws(0, 0, [index]), None)
        except Unreadable as error:
            raise ValueError(str(error)) from error.__cause__

    def images(self, indices: NDArray[np.integer]) -> NDArray[np.float32]:
        """These images, as `image` gives them, float32 `[n, h, w, 3]`."""
        chosen = np.asarray(indices)
        if chosen.ndim != 1 or chosen.dtype.kind not in "iu" or not chosen.size:
            raise TypeError(
                f"[{self._operation}] indices of {chosen.dtype} {list(chosen.shape)}: one or more "
                "integers are required (np.flatnonzero of a mask)"
            )
        return self._stacked(chosen, [self.image(int(index)) for index in chosen])

    def _check(self, size: int | None, transform: object, background: object, on: str) -> None:
        name = self._operation
        if size is not None and size < 1:
            raise ValueError(f"[{name}] size {size}: must be at least 1")
        if size is not None and transform is not None:
            raise ValueError(f"[{name}] size {size} beside a transform: it gives the size itself")
        if background is not None and not _is_color(background):
            raise ValueError(
                f"[{name}] background {background!r}: must be red, green and blue, 0 to 255"
            )
        if on not in ("raise", "skip"):
            raise ValueError(f"[{name}] on_error {on!r}: must be 'raise' or 'skip'")

    def _picture(self, index: int, needed: Any = None) -> Picture:
        return Picture(
            self.paths[index],
            upright=self.upright,
            background=self.background,
            needed=needed,
            operation=self._operation,
        )

    def _scaled(
        self, size: int, index: int, random: np.random.Generator | None
    ) -> NDArray[np.float32]:
        picture = self._picture(index)
        scaled = -(-size * 8 // 7)
        factor = scaled / min(picture.size)
        width, height = (max(scaled, round(side * factor)) for side in picture.size)
        rows, columns = height - size, width - size
        if random is None:
            y, x, mirrored = rows // 2, columns // 2, False
        else:
            y, x = int(random.integers(rows + 1)), int(random.integers(columns + 1))
            mirrored = bool(random.integers(2))
        window = slice(y, y + size), slice(x, x + size)
        crop = picture.cropped((width, height), *window)
        return crop[:, ::-1] if mirrored else crop

    def _read(self, index: int, draws: Draws, value_range: Range | None) -> NDArray[np.float32]:
        """The image after the transform, in the range; the picture's errors are `Unreadable`."""
        if self.size is not None:
            return mapped(self._scaled(self.size, index, None), value_range)
        own = self.transform if isinstance(self.transform, Transform) else None
        region: Region | None = None

        def needed(width: int, height: int) -> tuple[float, float]:
            """How many pixels of the file, across and down, one of the result takes up."""
            nonlocal region
            region = region_of(own, height, width, draws)
            if region is None:
                return 1.0, 1.0
            return region.window[3] / region.size[1], region.window[2] / region.size[0]

        picture = self._picture(index, needed)
        if own is None or region is None:
            image = mapped(picture.whole(), value_range)[None]
            if self.transform is not None:
                image = applied(self.transform, image, draws)
        else:
            image = mapped(picture.scaled(region.window, region.size), value_range)[None]
            image = own._after(image, draws)
        first: NDArray[np.float32] = image[0]
        return first

    def _stacked(
        self, rows: NDArray[np.integer], images: list[NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        for row, image in zip(rows, images, strict=True):
            if image.shape != images[0].shape:
                raise ValueError(
                    f"[{self._operation}] {self.paths[rows[0]]} is {[*images[0].shape]} and "
                    f"{self.paths[row]} {[*image.shape]}: images of a batch must be of one size "
                    "(size=, or a transform such as RandomResizedCrop)"
                )
        return np.stack(images)


class FileSamples:
    """The samples of `ImageFiles`, in a range."""

    def __init__(self, files: ImageFiles, value_range: Range | None) -> None:
        self._files = files
        self._range = value_range

    def __len__(self) -> int:
        return len(self._files)

    def take(
        self, rows: NDArray[np.intp], draws: Callable[[NDArray[np.intp]], Draws]
    ) -> tuple[NDArray[np.float32], NDArray[np.intp], list[str]]:
        """Float32 `[b, h, w, c]`, the rows that could be read, and what was skipped."""
        files = self._files
        images, kept, told = [], [], []
        for row in rows:
            try:
                images.append(files._read(int(row), draws(np.array([row])), self._range))
            except Unreadable as error:
                if files.on_error == "raise":
                    raise ValueError(str(error)) from error.__cause__
                told.append(f"{error}; it is skipped")
            else:
                kept.append(row)
        if not images:
            raise ValueError(
                f"[batches] none of the {len(rows)} files of a batch can be read: {told[0]}"
            )
        chosen = np.array(kept, np.intp)
        return files._stacked(chosen, images), chosen, told


def _is_color(value: object) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 3
        and all(is_integer(part) and 0 <= part <= 255 for part in value)
    )


def _color(value: Color) -> Color:
    red, green, blue = map(int, value)
    return red, green, blue
