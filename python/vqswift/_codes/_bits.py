"""Integers of a few bits each, one after the other.

Number i of a sequence of widths b_0, b_1, ... stands in bits o_i to o_i + b_i - 1, o_i the sum of
the widths before it, lowest bit first; bit j is bit j % 8 of byte j // 8, the lowest being 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_WORD = 32
_GROUP = _WORD  # rows that fill whole words, whatever their widths
_AT_ONCE = 1 << 17  # numbers, that all passes over them stay in a cache
_UPPER = np.uint64(_WORD)


def width_of(count: int) -> int:
    """ceil(log2 count), and 1 for a single code: no sequence is without bits."""
    return max(1, (count - 1).bit_length())


def packed_size(rows: int, widths: Sequence[int]) -> int:
    """Bytes of so many rows of numbers of these widths."""
    return -(-rows * sum(widths) // 8)


def packed(numbers: NDArray[np.integer], widths: Sequence[int]) -> bytes:
    """`numbers` [rows, columns], each below 2^width of its column, widths up to 31."""
    rows, columns = numbers.shape
    words, shifts, _ = _places(tuple(widths))
    # A number is shorter than a word: one begins in each.
    firsts = np.searchsorted(words, np.arange(sum(widths)))
    parts = []
    for start, stop in _blocks(rows, columns):
        block = np.zeros((-(-(stop - start) // _GROUP) * _GROUP, columns), np.uint64)
        block[: stop - start] = numbers[start:stop]
        places = block.reshape(-1, len(words))
        places <<= shifts
        begun = np.add.reduceat(places, firsts, axis=1)
        content = begun.astype("<u4")
        content[:, 1:] |= (begun[:, :-1] >> _UPPER).astype("<u4")
        parts.append(content.tobytes()[: packed_size(stop - start, widths)])
    return b"".join(parts)


def unpacked(content: memoryview, rows: int, widths: Sequence[int]) -> NDArray[np.int32]:
    """The numbers [rows, columns] of `packed`, of `packed_size(rows, widths)` bytes."""
    columns, group = len(widths), sum(widths)
    words, shifts, masks = _places(tuple(widths))
    numbers = np.empty((rows, columns), np.int32)
    for start, stop in _blocks(rows, columns):
        first, count = start // _GROUP * group, -(-(stop - start) // _GROUP) * group
        found = np.frombuffer(content[4 * first : 4 * (first + count)], np.uint8)
        block = np.zeros(count + 1, "<u4")
        block.view(np.uint8)[: len(found)] = found
        # Each word and the one behind it.
        pairs = block[:-1] | block[1:].astype(np.uint64) << _UPPER
        places = pairs.reshape(-1, group).take(words, axis=1)
        places >>= shifts
        places &= masks
        numbers[start:stop] = places.reshape(-1, columns)[: stop - start]
    return numbers


def _blocks(rows: int, columns: int) -> Iterator[tuple[int, int]]:
    """Ranges of rows that begin at whole words."""
    step = max(_AT_ONCE // columns // _GROUP, 1) * _GROUP
    for start in range(0, rows, step):
        yield start, min(start + step, rows)


@lru_cache(maxsize=64)
def _places(
    widths: tuple[int, ...],
) -> tuple[NDArray[np.intp], NDArray[np.uint64], NDArray[np.uint64]]:
    """Of a group of rows, each number's word, its first bit there, and the mask of its width."""
    every = np.array(widths * _GROUP)
    offsets = np.cumsum(every) - every
    shifts, masks = offsets % _WORD, (1 << every) - 1
    return offsets // _WORD, shifts.astype(np.uint64), masks.astype(np.uint64)
