"""One block of bytes to codes."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .._arguments import checked
from ._bits import packed_size, unpacked, width_of
from ._layout import (
    CHECKSUM,
    FIXED,
    LONGEST_SIDE,
    MAGIC,
    MOST_AXES,
    MOST_CODES,
    MOST_COUNTS,
    MOST_NAMES,
    NO_MODEL,
    VERSION,
    CodeFile,
    checksum_of,
    fingerprint_of,
)

if TYPE_CHECKING:
    from ..nn import Module


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
    (checksum,) = _read(place, CHECKSUM, content, end)
    if checksum_of(content[:end]) != CHECKSUM.pack(checksum):
        raise ValueError(f"{place} the header's checksum is wrong: the file is damaged")
    if zero or zeros:
        raise ValueError(f"{place} bytes 11, 14 and 15 are {zero} and {zeros}: they must be 0")
    if not all(1 <= each <= MOST_CODES for each in counts):
        raise ValueError(f"{place} num_codes = {counts}: each must be in 1...{MOST_CODES}")
    if count > 1 and (not rank or shape[-1] != count):
        raise ValueError(
            f"{place} shape {[*shape]} and {count} numbers of codes: one, or one for each "
            "place of the last axis is required"
        )
    if max(height, width) > LONGEST_SIDE or (height == 0) != (width == 0):
        raise ValueError(
            f"{place} an image of {height} x {width} pixels: both, in 1...2^31-1, or none are told"
        )
    start = end + CHECKSUM.size
    # In integers without bounds, before anything of this size is made.
    rows = math.prod(shape) // count if count > 1 else math.prod(shape)
    if math.prod(max(side, 1) for side in shape) > 1 << 48:
        raise ValueError(f"{place} shape {[*shape]}: no file holds so many codes")
    if packed_size(rows, [width_of(each) for each in counts]) != payload:
        raise ValueError(
            f"{place} shape {[*shape]} and num_codes {[*counts]} do not fill {payload} bytes"
        )
    if size != start + payload + CHECKSUM.size:
        what = (
            "is cut short" if size < start + payload + CHECKSUM.size else "goes on behind its end"
        )
        raise ValueError(
            f"{place} {size} bytes: the file {what}, it must have {start + payload + CHECKSUM.size}"
        )
    names = _split(place, content[end - named : end], shape)
    return Header(
        shape,
        counts,
        names,
        (height, width) if height else None,
        None if model == NO_MODEL else model,
        start,
        payload,
    )


def codes_of(place: str, header: Header, rest: memoryview) -> CodeFile:
    """The codes of the payload and its checksum, which `rest` is."""
    payload, checksum = rest[: header.size], rest[header.size :]
    if checksum_of(payload) != checksum:
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
    wanted = fingerprint_of(model)
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
