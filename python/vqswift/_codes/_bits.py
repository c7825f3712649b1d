"""Integers of a few bits each, one after the other.

Number i of a sequence of widths b_0, b_1, ... stands in bits o_i to o_i + b_i - 1, o_i the sum of
the widths before it, lowest bit first; bit j is bit j % 8 of byte j // 8, the lowest being 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

_WORD = 32
_GROUP = _WORD  # rows that fill whole words, whatever their widths
_AT_ONCE = 1 << 17  # numbers, that all passes over them stay in a cache
_FEWEST = 512  # groups at once, that a pass is long against its call


def width_of(count: int) -> int:
    """ceil(log2 count), and 1 for a single code: no sequence is without bits."""
    return max(1, (count - 1).bit_length())


def packed_size(rows: int, widths: Sequence[int]) -> int:
    """Bytes of so many rows of numbers of these widths."""
    return -(-rows * sum(widths) // 8)


def packed(numbers: NDArray[np.integer], widths: Sequence[int]) -> bytes:
    """`numbers` [rows, columns], each below 2^width of its column, widths up to 31."""
    rows, columns = numbers.shape
    parts = []
    for start, stop in _blocks(rows, columns):
        block = np.zeros((-(-(stop - start) // _GROUP) * _GROUP, columns), np.uint32)
        block[: stop - start] = numbers[start:stop]
        # [32 columns, groups]: numbers of one place lie side by side.
        places = np.ascontiguousarray(block.reshape(-1, _GROUP * columns).T)
        words = np.zeros((sum(widths), places.shape[1]), np.uint32)
        shifted = np.empty_like(places[0])
        for place, word, shift in _overlaps(widths):
            move = np.left_shift if shift >= 0 else np.right_shift
            words[word] |= move(places[place], abs(shift), out=shifted)
        content = np.ascontiguousarray(words.T, "<u4").tobytes()
        parts.append(content[: packed_size(stop - start, widths)])
    return b"".join(parts)


def unpacked(content: memoryview, rows: int, widths: Sequence[int]) -> NDArray[np.int32]:
    """The numbers [rows, columns] of `packed`, of `packed_size(rows, widths)` bytes."""
    columns, group = len(widths), sum(widths)
    numbers = np.empty((rows, columns), np.int32)
    masks = [np.uint32((1 << width) - 1) for width in widths]
    for start, stop in _blocks(rows, columns):
        first, count = start // _GROUP * group * 4, -(-(stop - start) // _GROUP)
        found = np.frombuffer(content[first : first + count * group * 4], np.uint8)
        block = np.zeros(count * group * 4, np.uint8)
        block[: len(found)] = found
        words = np.ascontiguousarray(block.view("<u4").reshape(count, group).T, np.uint32)
        places = np.zeros((_GROUP * columns, count), np.uint32)
        shifted = np.empty_like(words[0])
        for place, word, shift in _overlaps(widths):
            move = np.right_shift if shift >= 0 else np.left_shift
            places[place] |= move(words[word], abs(shift), out=shifted)
        for place in range(_GROUP * columns):
            places[place] &= masks[place % columns]
        numbers[start:stop] = places.T.reshape(-1, columns)[: stop - start]
    return numbers


def _blocks(rows: int, columns: int) -> Iterator[tuple[int, int]]:
    """Ranges of rows that begin at whole words."""
    step = max(_AT_ONCE // columns // _GROUP, _FEWEST) * _GROUP
    for start in range(0, rows, step):
        yield start, min(start + step, rows)


def _overlaps(widths: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Of a group of rows each number and word with bits in common, and the number's first bit
    within the word, negative where the number begins in the word before."""
    offset = 0
    for place in range(_GROUP * len(widths)):
        width = widths[place % len(widths)]
        for word in range(offset // _WORD, (offset + width - 1) // _WORD + 1):
            yield place, word, offset - _WORD * word
        offset += width
