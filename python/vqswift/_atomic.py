"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


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
    part = target.with_name(target.name + ".part")
    try:
        with part.open("wb") as file:
            if mode is not None:
                os.fchmod(file.fileno(), stat.S_IMODE(mode))
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
