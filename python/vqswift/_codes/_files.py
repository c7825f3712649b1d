"""Files of codes."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy.typing as npt

from .._arguments import checked
from .._atomic import write_whole
from .._tensor import Tensor
from ._layout import FIXED, MOST_AXES, MOST_COUNTS, MOST_NAMES, CodeFile
from ._packing import pack_codes
from ._unpacking import Header, codes_of, header_of, require_model

if TYPE_CHECKING:
    from ..nn import Module

_LONGEST_HEADER = FIXED.size + 8 * MOST_AXES + 4 * MOST_COUNTS + MOST_NAMES + 4


@checked
def save_codes(
    path: str | os.PathLike[str],
    codes: npt.ArrayLike | Tensor,
    num_codes: int | Sequence[int],
    *,
    model: Module | bytes | None = None,
    names: Sequence[str] = (),
    image_size: tuple[int, int] | None = None,
) -> None:
    """Write what `pack_codes` gives, complete and at once; OSError, as `open` raises it, for a path
    that cannot be written."""
    content = pack_codes(codes, num_codes, model=model, names=names, image_size=image_size)
    write_whole(Path(path), content)


@checked
def load_codes(path: str | os.PathLike[str], *, model: Module | bytes | None = None) -> CodeFile:
    """What `save_codes` wrote.

    With `model`, a network or its fingerprint, codes that tell of another one are refused; those
    that tell of none are not. ValueError as `unpack_codes` raises it, with the path, OSError, as
    `open` raises it, for a file that cannot be read.
    """
    place = f"[load_codes] {os.fspath(path)}:"
    return load_checked(place, Path(path), lambda header: require_model(place, header, model))


def load_checked(place: str, path: Path, check: Callable[[Header], object]) -> CodeFile:
    """The codes of a file, whose rest is read once `check` has taken the header; errors as of
    `load_codes`."""
    with path.open("rb") as file:
        size = _size_of(file, path)
        content = file.read(_LONGEST_HEADER)
        header = header_of(place, content, size)
        check(header)
        if size > len(content):
            content += file.read(size + 1 - len(content))
    return codes_of(place, header, memoryview(content)[header.start :])


def load_header(place: str, path: Path) -> Header:
    """The header of a file of codes, whose rest is not read; errors as of `load_codes`."""
    with path.open("rb") as file:
        size = _size_of(file, path)
        return header_of(place, file.read(_LONGEST_HEADER), size)


def _size_of(file: BinaryIO, path: str | os.PathLike[str]) -> int:
    about = os.fstat(file.fileno())
    if not stat.S_ISREG(about.st_mode):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), os.fspath(path))
    return about.st_size
