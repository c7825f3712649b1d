"""Image files as RGB in [0, 1], whatever they hold."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._warning import warn

Color = tuple[int, int, int]
Window = tuple[int, int, int, int]

_WITH_ALPHA = frozenset({"LA", "La", "RGBA", "RGBa", "PA"})
_WITHOUT_PROFILE = frozenset({"CMYK", "YCbCr", "HSV", "LAB"})
_ORIENTATION = 0x0112  # EXIF
# Orientations that exchange width and height, left and right, top and bottom.
_SIDEWAYS, _MIRRORED, _UPSIDE_DOWN = (5, 6, 7, 8), (2, 3, 6, 7), (3, 4, 7, 8)
_PHOTOMETRIC = 262  # TIFF
_LARGEST = 1 << 27  # pixels of a scaled picture


class Unreadable(ValueError):
    """A file that cannot be read as a picture, or holds what no picture can be made of."""


class Picture:
    """A picture that can be scaled and cropped.

    Args:
        path: of the file.
        upright: turn it as its EXIF orientation says.
        background: shows through where the picture is transparent; none leaves transparency out.
        most: pixels that are taken, before any is read; none for as many as Pillow takes.
        needed: of the width and height, how many pixels across and down make one of the result; a
            JPEG is then read at a half, a quarter or an eighth of its resolution where that is
            enough.
        operation: for messages.

    Raises `Unreadable` with the path for a file that cannot be read, or holds numbers of which
    it is not known which are black and white. Warns where a conversion loses something: color
    spaces other than RGB and gray, and colors of 16 bits a channel.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        upright: bool,
        background: Color | None,
        most: int | None = None,
        needed: Callable[[int, int], tuple[float, float]] | None = None,
        operation: str = "image_folder",
    ) -> None:
        from PIL import Image, ImageOps

        self._path, self._operation = path, operation
        self._reduction, self._orientation = 1, 1
        full: tuple[int, int] | None = None
        try:
            with Image.open(path) as file:
                if most is not None:
                    check_pixels(file.size[::-1], most)
                is_deep = _is_deep(file)
                transparent = _transparent(file)
                self._is_integer = file.mode != "I" or file.format in ("PNG", "PPM")
                self._is_inverted = _is_gray(file.mode) and _white_is_zero(file)
                orientation = file.getexif().get(_ORIENTATION, 1) if upright else 1
                self._orientation = orientation
                turned = orientation != 1
                if needed is not None and file.format in ("JPEG", "MPO"):
                    width, height = file.size
                    full = (height, width) if orientation in _SIDEWAYS else (width, height)
                    self._reduce(file, min(needed(*full)))
                picture = ImageOps.exif_transpose(file) if turned else file
                picture.load()
                if is_deep and not _is_gray(picture.mode):
                    self._warn("16 bits a channel are read as 8")
                self._planes = self._converted(picture, transparent, background)
        except MemoryError:
            raise
        except Exception as error:
            raise self._unreadable(error) from error
        self.size: tuple[int, int] = full or self._planes.size
        if needed is not None and full is None:
            needed(*self.size)

    def cropped(self, size: tuple[int, int], rows: slice, columns: slice) -> NDArray[np.float32]:
        """Of the picture scaled to `size`, width and height, a part `[h, w, 3]`."""
        if size[0] * size[1] > _LARGEST:
            width, height = self.size
            raise self._unreadable(f"{width} x {height} pixels: one side is too long for the other")
        try:
            pixels = np.asarray(self._planes.resize(size))[rows, columns]
        except (OSError, ValueError) as error:
            raise self._unreadable(error) from error
        return _floats(pixels)

    def whole(self) -> NDArray[np.float32]:
        """The picture `[h, w, 3]`."""
        return _floats(self._planes)

    def scaled(self, window: Window, size: tuple[int, int]) -> NDArray[np.float32]:
        """Of the picture a window (top, left, height, width) scaled to `size`, height and width.

        Bilinear, `[h, w, 3]`, of 8-bit pictures rounded to 1/255.
        """
        from PIL import Image

        if size[0] * size[1] > _LARGEST:
            raise self._unreadable(f"{size[1]} x {size[0]} pixels of a result: too many")
        top, left, height, width = (length / self._reduction for length in self._moved(window))
        right, bottom = (
            min(start + length, side)
            for start, length, side in zip(
                (left, top), (width, height), self._planes.size, strict=True
            )
        )
        # Pillow also reads around the box, which stays within the crop.
        x, y = math.floor(left), math.floor(top)
        box = (left - x, top - y, right - x, bottom - y)
        try:
            part = self._planes.crop((x, y, math.ceil(right), math.ceil(bottom)))
            planes = part.resize(size[::-1], Image.Resampling.BILINEAR, box=box)
        except (OSError, ValueError) as error:
            raise self._unreadable(error) from error
        return _floats(planes)

    def _moved(self, window: Window) -> Window:
        """The window where a picture was turned whose last pixels stand for fewer of the file."""
        if self._reduction == 1:
            return window
        top, left, height, width = window
        across, down = (
            side * self._reduction - full
            for side, full in zip(self._planes.size, self.size, strict=True)
        )
        top += down if self._orientation in _UPSIDE_DOWN else 0
        left += across if self._orientation in _MIRRORED else 0
        return top, left, height, width

    def _reduce(self, file: Any, factor: float) -> None:
        """Reads a JPEG at a resolution that is at most `factor` times smaller."""
        if factor < 2:
            return
        by = next(by for by in (8, 4, 2) if by <= factor)
        reduced = tuple(math.ceil(side / by) for side in file.size)
        file.draft(None, tuple(side // by for side in file.size))
        if file.size == reduced:
            self._reduction = by

    def _converted(self, picture: Any, transparent: Any, background: Any) -> Any:
        """RGB of 8 bits, or one plane of floats in [0, 1]."""
        mode: str = picture.mode
        if _is_gray(mode):
            return self._gray(picture, transparent, background)
        if mode in _WITHOUT_PROFILE:
            self._warn(f"{mode} is converted to RGB without a color profile")
        if background is not None and (mode in _WITH_ALPHA or transparent is not None):
            if isinstance(transparent, tuple) and max(transparent) > 255:
                raise ValueError("transparent colors of 16 bits a channel are not read")
            if transparent is not None:
                picture.info["transparency"] = transparent
            return _composite(picture.convert("RGBA"), background)
        return picture.convert("RGB")

    def _gray(self, picture: Any, transparent: Any, background: Any) -> Any:
        from PIL import Image

        values = np.asarray(picture)
        if picture.mode == "F":
            if not (values.min(initial=0) >= 0 and values.max(initial=1) <= 1):
                low, high = float(values.min()), float(values.max())
                raise ValueError(f"floats from {low:g} to {high:g}: they must lie in [0, 1]")
            gray = values
        elif self._is_integer:
            gray = values.astype(np.float32) / np.float32(65535)
        else:
            raise ValueError("integers of 32 bits: no value is known to be white")
        if self._is_inverted:
            gray = 1 - gray
        if transparent is None or background is None:
            return Image.fromarray(np.ascontiguousarray(gray, np.float32))
        if len(set(background)) > 1:
            raise ValueError("transparent gray of 16 bits: the background must be gray")
        shown = np.where(values == transparent, np.float32(background[0] / 255), gray)
        return Image.fromarray(np.ascontiguousarray(shown, np.float32))

    def _warn(self, text: str) -> None:
        warn(f"[{self._operation}] {os.fspath(self._path)}: {text}")

    def _unreadable(self, reason: object) -> Unreadable:
        text = str(reason) or type(reason).__name__
        return Unreadable(f"[{self._operation}] {os.fspath(self._path)}: {text}")


def check_pixels(size: tuple[int, int], most: int) -> None:
    """ValueError for more pixels than `most`; `size` is height and width."""
    if size[0] * size[1] > most:
        raise ValueError(f"{size[0]} x {size[1]} pixels: at most max_pixels = {most} are taken")


def _floats(planes: Any) -> NDArray[np.float32]:
    """`[h, w, 3]` in [0, 1]."""
    pixels = np.asarray(planes)
    if pixels.ndim == 3:
        return pixels.astype(np.float32) / np.float32(255)
    # Bicubic scaling overshoots.
    return np.repeat(pixels.clip(0, 1)[:, :, None], 3, axis=2)


def _is_gray(mode: str) -> bool:
    """Whether pixels of this mode are one number of more than 8 bits."""
    return mode in ("I", "F") or mode.startswith("I;16")


def _is_deep(file: Any) -> bool:
    """Whether the file has more than 8 bits a channel, which Pillow keeps of gray alone."""
    for tile in file.tile:
        layout: Sequence[Any] = tile[3] if isinstance(tile[3], (tuple, list)) else (tile[3],)
        if any(isinstance(part, str) and ";16" in part for part in layout):
            return True
        if file.format == "PPM" and any(isinstance(part, int) and part > 255 for part in layout):
            return True
    return False


def _transparent(file: Any) -> Any:
    """What stands for transparent pixels, as Pillow reads them; None for nothing."""
    value = file.info.get("transparency")
    layout = file.tile[0][3] if file.tile else None
    # Pillow stretches gray of fewer bits to 8, and not the value that is transparent.
    if file.format == "PNG" and layout in ("L;2", "L;4") and isinstance(value, int):
        return value * 255 // (2 ** int(layout[2]) - 1)
    return value


def _white_is_zero(file: Any) -> bool:
    """Whether a TIFF's numbers go from white to black, which Pillow heeds up to 8 bits."""
    return bool(file.format == "TIFF" and file.tag_v2.get(_PHOTOMETRIC) == 0)


def _composite(picture: Any, background: Color) -> Any:
    from PIL import Image

    behind = Image.new("RGBA", picture.size, (*background, 255))
    return Image.alpha_composite(behind, picture).convert("RGB")
