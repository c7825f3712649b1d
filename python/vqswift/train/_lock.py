"""One process a directory of a run."""

from __future__ import annotations

import fcntl
import os
import weakref
from pathlib import Path

# Descriptors by device and inode, and how many runs of this process hold each.
_held: dict[tuple[int, int], list[int]] = {}


def hold(owner: object, directory: Path) -> None:
    """Keep other processes out of the directory for as long as `owner` lives.

    ValueError where another process holds it. File systems without locks let all in.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    found = os.fstat(descriptor)
    key = found.st_dev, found.st_ino
    if key in _held:
        os.close(descriptor)
        _held[key][1] += 1
    else:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise ValueError(
                f"[run] {directory}: another process trains there; wait for its end, or take "
                "another directory"
            ) from None
        except OSError:
            pass
        _held[key] = [descriptor, 1]
    weakref.finalize(owner, _release, key)


def _release(key: tuple[int, int]) -> None:
    _held[key][1] -= 1
    if not _held[key][1]:
        os.close(_held.pop(key)[0])
