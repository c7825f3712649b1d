"""Codes to one block of bytes."""

from __future__ import annotations

import operator
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .._arguments import checked, is_integer, refuse
from .._arrays import as_array
from .._tensor import Tensor
from ._bits import packed, width_of
from ._layout import (
    FIXED,
    LONGEST_SIDE,
    MAGIC,
    MOST_AXES,
    MOST_CODES,
    MOST_COUNTS,
    MOST_NAMES,
    VERSION,
    checksum_of,
    fingerprint_of,
)

if TYPE_CHECKING:
    from ..nn import Module


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
        *(fingerprint_of(model), len(told)),
    )
    header = fixed + struct.pack(f"<{len(shape)}Q{len(counts)}I", *shape, *counts) + told
    return b"".join((header, checksum_of(header), payload, checksum_of(payload)))


def _counts(num_codes: int | Sequence[int], shape: tuple[int, ...]) -> tuple[int, ...]:
    given = num_codes if isinstance(num_codes, Sequence) else (num_codes,)
    counts = tuple(_integer("num_codes", count) for count in given)
    if not counts or not all(1 <= count <= MOST_CODES for count in counts):
        raise ValueError(f"[pack_codes] num_codes = {num_codes}: must be in 1...{MOST_CODES}")
    if isinstance(num_codes, Sequence):
        if len(counts) > MOST_COUNTS or not shape or shape[-1] != len(counts):
            raise ValueError(
                f"[pack_codes] num_codes has {len(counts)} numbers and codes {[*shape]}: one for "
                f"each place of the last axis is required, at most {MOST_COUNTS}"
            )
        if len(set(counts)) == 1:
            return counts[:1]
    return counts


def _integer(name: str, value: object) -> int:
    if not is_integer(value):
        refuse("pack_codes", name, value, "an integer")
    return operator.index(value)  # type: ignore[arg-type]


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


def _size(image_size: tuple[int, int] | None) -> tuple[int, int]:
    if image_size is None:
        return 0, 0
    sides = tuple(_integer("image_size", side) for side in image_size)
    if len(sides) != 2 or not all(1 <= side <= LONGEST_SIDE for side in sides):
        raise ValueError(
            f"[pack_codes] image_size = {image_size}: height and width in 1...2^31-1 are required"
        )
    return sides[0], sides[1]
