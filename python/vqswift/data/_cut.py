"""Batches cut into blocks, which ranks and steps of memory share out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


def samples_of(batch: Any) -> int:
    """How many samples a batch has, one array or several beside each other."""
    return len(batch[0] if isinstance(batch, tuple) else batch)


@dataclass(frozen=True)
class Share:
    """The blocks `first` to `last - 1` of `blocks` of every batch: what one rank prepares."""

    first: int
    last: int
    blocks: int

    def rows(self, count: int) -> list[tuple[int, int, int]]:
        """Block, first row and the row behind the last, of a batch of `count` rows.

        Blocks are contiguous and as even as can be; they may be empty.
        """
        return [
            (block, count * block // self.blocks, count * (block + 1) // self.blocks)
            for block in range(self.first, self.last)
        ]

    def filled(self, count: int) -> int:
        """How many of the blocks have samples, of a batch of `count`."""
        return sum(end > begin for _, begin, end in self.rows(count))

    def of(self, batch: Any) -> Cut:
        """The share of a batch that is there."""
        count = samples_of(batch)

        def part(begin: int, end: int) -> Any:
            if isinstance(batch, tuple):
                return tuple(entry[begin:end] for entry in batch)
            return batch[begin:end]

        rows = self.rows(count)
        return Cut(count, {block: part(begin, end) for block, begin, end in rows if end > begin})


@dataclass(frozen=True)
class Cut:
    """A rank's share of a batch.

    Attributes:
        count: samples of the whole batch.
        parts: by block, those that are not empty.
    """

    count: int
    parts: dict[int, Any]


def share_of(rank: int, size: int, blocks: int) -> Share:
    """The share of a rank: blocks in order, as evenly as can be."""
    return Share(blocks * rank // size, blocks * (rank + 1) // size, blocks)
