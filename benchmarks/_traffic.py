"""What a step of a trainer sends, by the formula of docs/distributed.md, one block a rank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import vqswift as vq
from vqswift.distributed._gradients import _buckets
from vqswift.train._running import RunningMoments

_SMALL = 1 << 16


@dataclass(frozen=True)
class Traffic:
    """Messages of a step of one rank.

    Attributes:
        sums: elements and bytes of one, of each sum over ranks.
        gathered: bytes that go to each other rank beside them, in each message.
    """

    sums: tuple[tuple[int, int], ...]
    gathered: tuple[int, ...]

    def bytes_of(self, size: int, rank: int) -> int:
        """What the rank hands over."""
        return sum(_sent(size, rank, *each) for each in self.sums) + (size - 1) * sum(self.gathered)

    def rounds(self, size: int) -> tuple[int, int]:
        """All-to-alls and all-gathers."""
        large = sum(elements * width > _SMALL for elements, width in self.sums)
        return len(self.sums), large + len(self.gathered)


def traffic(trainer: vq.train.Trainer, size: int) -> Traffic:
    """Of a step in which no code is replaced, of codebooks that learn in place."""
    layers: list[Any] = [m for m in trainer.model.modules() if isinstance(m, vq.VectorQuant)]
    books = [book for layer in layers for book in layer.codebooks]
    parameters = [*books, *trainer.model.parameters()]
    sizes = [parameter.size for parameter in parameters]
    sums = [(sum(sizes[i] for i in bucket), 4) for bucket in _buckets(sizes)]
    sums.append((len(parameters) + 1 + RunningMoments(trainer.model).size, 4))
    sums.append((sum(k + k * d + size for k, d in (book.shape for book in books)), 8))
    return Traffic(tuple(sums), (8, 8 * 6))


def _sent(size: int, rank: int, elements: int, width: int) -> int:
    if elements * width <= _SMALL:
        return (size - 1) * elements * width
    own = elements * (rank + 1) // size - elements * rank // size
    return (elements - own + (size - 1) * own) * width
