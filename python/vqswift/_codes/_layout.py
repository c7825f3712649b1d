"""The layout of packed codes, as docs/files-and-codes.md tells it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ..nn import Module

MAGIC, VERSION = b"\x89VQC\r\n\x1a\n", 1
FIXED = struct.Struct("<8sHBBHHIIQ32sI")
CHECKSUM = struct.Struct("<I")
MOST_AXES, MOST_COUNTS, MOST_CODES = 8, 256, 1 << 31
MOST_NAMES = 1 << 24  # bytes
LONGEST_SIDE = (1 << 31) - 1
NO_MODEL = bytes(32)


@dataclass(frozen=True)
class CodeFile:
    """Codes and what a file says of them.

    `codes` is int32 of any shape, each below `num_codes`: one number, or one for each place of the
    last axis. `names` has one name for each place of the first axis, or none. `image_size` is the
    height and width in pixels of the image that the codes stand for, `model` the `fingerprint` of
    the network that made them; None where it is not told.
    """

    codes: NDArray[np.int32]
    num_codes: int | tuple[int, ...]
    names: tuple[str, ...] = ()
    image_size: tuple[int, int] | None = None
    model: bytes | None = None


def checksum_of(content: bytes | memoryview) -> bytes:
    """The CRC-32 as it is written."""
    import zlib

    return CHECKSUM.pack(zlib.crc32(content))


def fingerprint_of(model: Module | bytes | None) -> bytes:
    """What is written of the model: its fingerprint, or zeros."""
    if model is None:
        return NO_MODEL
    found = bytes(model) if isinstance(model, (bytes, bytearray)) else model.fingerprint()
    if len(found) != len(NO_MODEL):
        raise ValueError(f"[pack_codes] model of {len(found)} bytes: a fingerprint has 32")
    return found
