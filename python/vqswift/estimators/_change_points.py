"""When quantized weights change, and whether two models' do alike."""

from __future__ import annotations

import numpy as np


class ChangePoints:
    """The list of values that each weight has had: where it began and each change.

    Memory grows with the changes: six bytes for each.
    """

    def __init__(self, codes: np.ndarray) -> None:
        self.first = codes.astype(np.uint16).reshape(-1)
        self.last = self.first
        self.count = 0
        self._positions: list[np.ndarray] = []
        self._codes: list[np.ndarray] = []

    def update(self, codes: np.ndarray) -> None:
        """Add the changes since the last call."""
        codes = codes.astype(np.uint16).reshape(-1)
        changed = np.flatnonzero(codes != self.last)
        if len(changed):
            self._positions.append(changed.astype(np.uint32))
            self._codes.append(codes[changed])
            self.count += len(changed)
            self.last = codes

    def _sorted(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions and new values, by weight and then by time."""
        if not self._positions:
            return np.empty(0, np.uint32), np.empty(0, np.uint16)
        positions = np.concatenate(self._positions)
        order = np.argsort(positions, kind="stable")
        return positions[order], np.concatenate(self._codes)[order]

    def agreement(self, other: ChangePoints) -> tuple[int, int]:
        """Weights with equal lists, and with equal lists once a,b,a,b in them became a,b."""
        (mine, my_codes), (theirs, their_codes) = self._sorted(), other._sorted()
        size = len(self.first)
        my_counts, their_counts = np.bincount(mine, None, size), np.bincount(theirs, None, size)
        equal = (my_counts == their_counts) & (self.first == other.first)
        same = equal.copy()
        # Lists of equal length stand at equal places in both.
        in_mine, in_theirs = same[mine], same[theirs]
        differs = my_codes[in_mine] != their_codes[in_theirs]
        same[mine[in_mine][differs]] = False
        my_ends, their_ends = np.cumsum(my_counts), np.cumsum(their_counts)
        compressed = int(same.sum())
        for weight in np.flatnonzero(~same):
            a = my_codes[my_ends[weight] - my_counts[weight] : my_ends[weight]]
            b = their_codes[their_ends[weight] - their_counts[weight] : their_ends[weight]]
            left = compress([int(self.first[weight]), *a.tolist()])
            compressed += left == compress([int(other.first[weight]), *b.tolist()])
        return int(same.sum()), compressed


def compress(values: list[int]) -> list[int]:
    """`values` with a,b,a,b replaced by a,b until there is none."""
    kept: list[int] = []
    for value in values:
        kept.append(value)
        if len(kept) >= 4 and kept[-4:-2] == kept[-2:]:
            del kept[-2:]
    return kept
