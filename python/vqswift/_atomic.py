"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_LONGEST_NAME = 255


def write_whole(path: Path, content: bytes) -> None:
    """Put `content`, complete and synced, in the place of what `path` was.

    An interrupted write leaves the old file, and beside it at most a `.part` that the next write to
    this path replaces. A symbolic link is followed, and a file keeps its mode. OSError, as `open`
    raises it, for a path that cannot be written or is no regular file.
    """
    from pathlib import Path  # brings parsers of addresses

    target = Path(os.path.realpath(path))
    mode = target.stat().st_mode if target.exists() else None
    if mode is not None and not stat.S_ISREG(mode):
        number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        raise OSError(number, os.strerror(number), os.fspath(path))
    part = target.with_name(_part_of(target.name))
    try:
        with part.open("wb") as file:
            if mode is not None:
                os.fchmod(file.fileno(), stat.S_IMODE(mode))
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = os.fspath(path)
        raise


def _part_of(name: str) -> str:
    """The name of the file that is written at first; file systems take 255 bytes."""
    part = name + ".part"
    if len(os.fsencode(part)) <= _LONGEST_NAME:
        return part
    from hashlib import sha256

    return sha256(os.fsencode(name)).hexdigest() + ".part"
