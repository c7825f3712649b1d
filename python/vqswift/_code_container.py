"""Codes as packed bits in one block of bytes, whose layout docs/files-and-codes.md tells."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from ._arguments import checked, refuse
from ._arrays import as_array
from ._bits import packed, packed_size, unpacked, width_of
from ._tensor import Tensor

if TYPE_CHECKING:
    from .nn import Module

MAGIC, VERSION = b"\x89VQC\r\n\x1a\n", 1
FIXED = struct.Struct("<8sHBBHHIIQ32sI")
_CHECKSUM = struct.Struct("<I")
MOST_AXES, MOST_COUNTS, _MOST_CODES = 8, 256, 1 << 31
MOST_NAMES = 1 << 24  # bytes
_LONGEST_SIDE = (1 << 31) - 1
_NO_MODEL = bytes(32)


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


@dataclass(frozen=True)
class Header:
    """What stands in front of the payload, and where that stands."""

    shape: tuple[int, ...]
    counts: tuple[int, ...]
    names: tuple[str, ...]
    image_size: tuple[int, int] | None
    model: bytes | None
    start: int
    size: int

    @property
    def widths(self) -> list[int]:
        """Bits of a code, or of each of the last axis."""
        return [width_of(count) for count in self.counts]


@checked
def pack_codes(
    codes: npt.ArrayLike | Tensor,
    num_codes: int | Sequence[int],
    *,
    model: Module | bytes | None = None,
    names: Sequence[str] = (),
    image_size: tuple[int, int] | None = None,
) -> bytes:
    """Codes in ceil(log2 num_codes) bits each, in bytes that tell shape and origin.

    Args:
        codes: integers of up to 8 axes.
        num_codes: k, codes are in 0...k-1, up to 2^31; a sequence has one for each place of the
            last axis, at most 256.
        model: the network that made the codes, or its `fingerprint`.
        names: one for each place of the first axis.
        image_size: height and width of the image that the codes stand for.

    ValueError for codes outside 0...k-1, among them the -1 of vectors that were left out, TypeError
    for codes that are no integers.
    """
    array = codes.numpy() if isinstance(codes, Tensor) else as_array("pack_codes", "codes", codes)
    if array.dtype.kind not in "iu":
        raise TypeError(f"[pack_codes] codes of {array.dtype}: integers are required")
    shape = array.shape
    if len(shape) > MOST_AXES:
        raise ValueError(f"[pack_codes] codes {[*shape]}: at most {MOST_AXES} axes are kept")
    counts = _counts(num_codes, shape)
    rows = array.reshape(-1, len(counts)) if array.size else np.zeros((0, len(counts)), np.int32)
    for column, count in enumerate(counts):
        own = rows[:, column]
        if own.size and not (own.min() >= 0 and own.max() < count):
            wrong = own[(own < 0) | (own >= count)][0]
            place = f" at place {column} of the last axis" if len(counts) > 1 else ""
            raise ValueError(f"[pack_codes] code {wrong}{place}: codes must be in 0...{count - 1}")
    widths = [width_of(count) for count in counts]
    payload = packed(rows, widths)
    told = _names(names, shape)
    fixed = FIXED.pack(
        *(MAGIC, VERSION, len(shape), 0, len(counts), 0, *_size(image_size), len(payload)),
        *(_hash(model), len(told)),
    )
    header = fixed + struct.pack(f"<{len(shape)}Q{len(counts)}I", *shape, *counts) + told
    return b"".join((header, _checksum(header), payload, _checksum(payload)))


@checked
def unpack_codes(content: bytes) -> CodeFile:
    """What `pack_codes` was given.

    ValueError for bytes that are cut short, too many, damaged or something else; nothing larger
    than 32 times the bytes is allocated.
    """
    header = header_of("[unpack_codes]", content, len(content))
    return codes_of("[unpack_codes]", header, memoryview(content)[header.start :])


def header_of(place: str, content: bytes, size: int) -> Header:
    """The header with which `content` begins, of a file of `size` bytes in all.

    ValueError, with `place` in front, for one that is wrong, or does not fit the file's size.
    """
    if content[: len(MAGIC)] != MAGIC[: len(content)] or not content:
        raise ValueError(f"{place} {bytes(content[:8])!r}...: no file of codes begins so")
    fixed = _read(place, FIXED, content, 0)
    version, rank, zero, count, zeros, height, width, payload, model, named = fixed[1:]
    if version != VERSION:
        raise ValueError(f"{place} version {version}: version {VERSION} is read")
    if rank > MOST_AXES or not 1 <= count <= MOST_COUNTS or named > MOST_NAMES:
        raise ValueError(
            f"{place} {rank} axes, {count} numbers of codes, {named} bytes of names: at most "
            f"{MOST_AXES}, 1 to {MOST_COUNTS}, and at most {MOST_NAMES}"
        )
    axes = struct.Struct(f"<{rank}Q{count}I")
    numbers = _read(place, axes, content, FIXED.size)
    shape, counts = numbers[:rank], numbers[rank:]
    end = FIXED.size + axes.size + named
    (checksum,) = _read(place, _CHECKSUM, content, end)
    if _checksum(content[:end]) != _CHECKSUM.pack(checksum):
        raise ValueError(f"{place} the header's checksum is wrong: the file is damaged")
    if zero or zeros:
        raise ValueError(f"{place} bytes 11, 14 and 15 are {zero} and {zeros}: they must be 0")
    if not all(1 <= each <= _MOST_CODES for each in counts):
        raise ValueError(f"{place} num_codes = {counts}: each must be in 1...{_MOST_CODES}")
    if count > 1 and (not rank or shape[-1] != count):
        raise ValueError(
            f"{place} shape {[*shape]} and {count} numbers of codes: one, or one for each "
            "place of the last axis is required"
        )
    if max(height, width) > _LONGEST_SIDE or (height == 0) != (width == 0):
        raise ValueError(
            f"{place} an image of {height} x {width} pixels: both, in 1...2^31-1, or none are told"
        )
    start = end + _CHECKSUM.size
    # In integers without bounds, before anything of this size is made.
    rows = math.prod(shape) // count if count > 1 else math.prod(shape)
    if math.prod(max(side, 1) for side in shape) > 1 << 48:
        raise ValueError(f"{place} shape {[*shape]}: no file holds so many codes")
    if packed_size(rows, [width_of(each) for each in counts]) != payload:
        raise ValueError(
            f"{place} shape {[*shape]} and num_codes {[*counts]} do not fill {payload} bytes"
        )
    if size != start + payload + _CHECKSUM.size:
        what = (
            "is cut short" if size < start + payload + _CHECKSUM.size else "goes on behind its end"
        )
        raise ValueError(
            f"{place} {size} bytes: the file {what}, it must have "
            f"{start + payload + _CHECKSUM.size}"
        )
    names = _split(place, content[end - named : end], shape)
    return Header(
        shape,
        counts,
        names,
        (height, width) if height else None,
        None if model == _NO_MODEL else model,
        start,
        payload,
    )


def codes_of(place: str, header: Header, rest: memoryview) -> CodeFile:
    """The codes of the payload and its checksum, which `rest` is."""
    payload, checksum = rest[: header.size], rest[header.size :]
    if _checksum(payload) != checksum:
        raise ValueError(f"{place} the codes' checksum is wrong: the file is damaged")
    widths, counts = header.widths, header.counts
    rows = math.prod(header.shape) // len(counts)
    unused = -rows * sum(widths) % 8
    if unused and payload[-1] >> (8 - unused):
        raise ValueError(f"{place} the last {unused} bits of the codes are not 0")
    codes = unpacked(payload, rows, widths)
    for column, count in enumerate(counts):
        if rows and count < 1 << widths[column] and (largest := codes[:, column].max()) >= count:
            raise ValueError(f"{place} code {largest}: codes must be in 0...{count - 1}")
    num_codes = counts if len(counts) > 1 else counts[0]
    return CodeFile(
        codes.reshape(header.shape), num_codes, header.names, header.image_size, header.model
    )


def require_model(place: str, header: Header, model: Module | bytes | None) -> None:
    """ValueError for codes that tell of another network than `model`."""
    if model is None or header.model is None:
        return
    wanted = _hash(model)
    if header.model != wanted:
        raise ValueError(
            f"{place} the codes are of the model {header.model.hex()[:16]}..., and the model given "
            f"is {wanted.hex()[:16]}...: no other decodes them"
        )


def _read(place: str, layout: struct.Struct, content: bytes, start: int) -> tuple[Any, ...]:
    if len(content) < start + layout.size:
        raise ValueError(
            f"{place} {len(content)} bytes: the file is cut short, its header has more"
        )
    return layout.unpack_from(content, start)


def _checksum(content: bytes | memoryview) -> bytes:
    import zlib

    return _CHECKSUM.pack(zlib.crc32(content))


def _counts(num_codes: int | Sequence[int], shape: tuple[int, ...]) -> tuple[int, ...]:
    given = num_codes if isinstance(num_codes, Sequence) else (num_codes,)
    counts = tuple(int(count) for count in given)
    if not counts or not all(1 <= count <= _MOST_CODES for count in counts):
        raise ValueError(f"[pack_codes] num_codes = {num_codes}: must be in 1...{_MOST_CODES}")
    if isinstance(num_codes, Sequence):
        if len(counts) > MOST_COUNTS or not shape or shape[-1] != len(counts):
            raise ValueError(
                f"[pack_codes] num_codes has {len(counts)} numbers and codes {[*shape]}: one for "
                f"each place of the last axis is required, at most {MOST_COUNTS}"
            )
        if len(set(counts)) == 1:
            return counts[:1]
    return counts


def _names(names: Sequence[str], shape: tuple[int, ...]) -> bytes:
    for name in names:
        if not isinstance(name, str):
            refuse("pack_codes", "an item of names", name, "a string")
        if not name or "\0" in name:
            raise ValueError(f"[pack_codes] name {name!r}: it must have a character, and no U+0000")
    if names and (not shape or shape[0] != len(names)):
        raise ValueError(
            f"[pack_codes] {len(names)} names and codes {[*shape]}: one for each place of the "
            "first axis is required"
        )
    try:
        told = "\0".join(names).encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"[pack_codes] names hold half a surrogate: {error}") from None
    if len(told) > MOST_NAMES:
        raise ValueError(f"[pack_codes] names of {len(told)} bytes: at most {MOST_NAMES} are kept")
    return told


def _split(place: str, told: bytes, shape: tuple[int, ...]) -> tuple[str, ...]:
    if not told:
        return ()
    try:
        names = tuple(bytes(told).decode().split("\0"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{place} the names are no UTF-8: {error}") from None
    if not shape or len(names) != shape[0] or not all(names):
        raise ValueError(
            f"{place} {len(names)} names and shape {[*shape]}: one for each place of the first "
            "axis is required, and none empty"
        )
    return names


def _size(image_size: tuple[int, int] | None) -> tuple[int, int]:
    if image_size is None:
        return 0, 0
    sides = tuple(int(side) for side in image_size)
    if len(sides) != 2 or not all(1 <= side <= _LONGEST_SIDE for side in sides):
        raise ValueError(
            f"[pack_codes] image_size = {image_size}: height and width in 1...2^31-1 are required"
        )
    return sides[0], sides[1]


def _hash(model: Module | bytes | None) -> bytes:
    if model is None:
        return _NO_MODEL
    found = bytes(model) if isinstance(model, (bytes, bytearray)) else model.fingerprint()
    if len(found) != len(_NO_MODEL):
        raise ValueError(f"[pack_codes] model of {len(found)} bytes: a fingerprint has 32")
    return found
