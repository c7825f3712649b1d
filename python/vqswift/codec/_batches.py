"""What goes through the network together."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

# Of a batch, however many images that are: activations of a network take some hundred bytes each.
PIXELS_AT_ONCE = 1 << 21

Item = TypeVar("Item")


@dataclass
class Batch(Generic[Item]):
    """Items of one size."""

    pixels_of_one: int
    items: list[Item] = field(default_factory=list)

    @property
    def pixels(self) -> int:
        """Of all items."""
        return self.pixels_of_one * len(self.items)


def grouped(items: Iterable[tuple[Hashable, int, Item]], batch_size: int) -> Iterator[Batch[Item]]:
    """Batches of items (size, pixels, item) of equal sizes, read as they are needed.

    A batch has up to `batch_size` items, and of large ones fewer; those of other sizes wait
    meanwhile, as many as a few batches hold: then the group with the most pixels goes as it is.
    """
    groups: dict[Hashable, Batch[Item]] = {}
    waiting = count = 0
    for key, pixels, item in items:
        group = groups.setdefault(key, Batch(pixels))
        group.items.append(item)
        waiting, count = waiting + pixels, count + 1
        is_full = len(group.items) >= min(batch_size, max(PIXELS_AT_ONCE // pixels, 1))
        if not is_full and (waiting > 2 * PIXELS_AT_ONCE or count > 4 * batch_size):
            key = max(groups, key=lambda each: groups[each].pixels)
            is_full = True
        if is_full:
            ready = groups.pop(key)
            waiting, count = waiting - ready.pixels, count - len(ready.items)
            yield ready
    yield from groups.values()
