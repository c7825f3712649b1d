"""Means and variances of vectors on several ranks, joined without loss (Chan et al., 1983)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from ._communicator import Communicator
from ._tree import Array, FixedTree


class HasMoments(Protocol):
    """What is joined: of each block count, mean [d] and sum of squared deviations [d]."""

    width: int
    leaves: list[Array]
    total: Array


def joined(a: Array, b: Array) -> Array:
    """Of two sets of vectors, each [1 + 2 d], those of both together."""
    d = len(a) // 2
    (m, n), total = (a[0], b[0]), a[0] + b[0]
    if m == 0 or n == 0:
        return b if m == 0 else a
    difference = b[1 : 1 + d] - a[1 : 1 + d]
    mean = a[1 : 1 + d] + difference * (n / total)
    squares = a[1 + d :] + b[1 + d :] + difference * difference * (m * n / total)
    return np.concatenate([[total], mean, squares])


def joined_moments(
    communicator: Communicator,
    ranges: Sequence[tuple[int, int]],
    blocks: Sequence[int],
    moments: Sequence[HasMoments],
) -> None:
    """Give each its total over the blocks of all ranks: one exchange, of (1 + 2 d) numbers each."""
    if not moments:
        return
    leaves = [np.concatenate([each.leaves[i] for each in moments]) for i in range(len(blocks))]
    width = sum(1 + 2 * each.width for each in moments)
    own = np.concatenate(leaves) if leaves else np.empty(0)
    found = communicator.all_gather_of(own, [(end - begin) * width for begin, end in ranges])
    rows = np.concatenate(found).reshape(-1, width)
    begin = 0
    for each in moments:
        end = begin + 1 + 2 * each.width
        tree = FixedTree(joined)
        for block, row in enumerate(rows):
            tree.add_leaf(block, row[begin:end])
        each.total = tree.total()
        begin = end
