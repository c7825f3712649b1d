"""Sums whose bits do not depend on how their terms are spread over ranks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Node(NamedTuple):
    """The sum of the leaves `place << level` to `(place + 1) << level`, without the last."""

    level: int
    place: int
    value: Array


def nodes_of(first: int, last: int) -> list[tuple[int, int]]:
    """Level and place of the nodes that a tree has made of the leaves first to last - 1."""
    found: list[tuple[int, int]] = []
    while first < last:
        aligned = (first & -first).bit_length() - 1 if first else 62
        level = min(aligned, (last - first).bit_length() - 1)
        found.append((level, first >> level))
        first += 1 << level
    return found


class FixedTree:
    """Adds leaves 0, 1, ... along a binary tree: (0 + 1) + (2 + 3), and so on.

    Each addition joins two neighbours of one level, so that the total depends on the number of
    leaves alone: parts of the tree may be summed anywhere, and joined in order. What is left over
    when their number is no power of two is added from the right.
    """

    def __init__(self, combine: Callable[[Array, Array], Array] = np.add) -> None:
        self._combine = combine
        self.nodes: list[Node] = []

    def add_leaf(self, index: int, value: Array) -> None:
        """Add the leaf; leaves come in order, but may begin at any."""
        self.add(Node(0, index, value))

    def add(self, node: Node) -> None:
        """Add a node that another tree has made, behind the leaves so far."""
        while self.nodes:
            before = self.nodes[-1]
            if before.level != node.level or before.place & 1 or before.place + 1 != node.place:
                break
            self.nodes.pop()
            node = Node(node.level + 1, node.place >> 1, self._combine(before.value, node.value))
        self.nodes.append(node)

    def total(self) -> Array:
        """The sum of all leaves."""
        values = [node.value for node in self.nodes]
        total = values.pop()
        while values:
            total = self._combine(values.pop(), total)
        return total
