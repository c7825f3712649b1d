"""An order of the places of a map that spreads over it."""

from __future__ import annotations

import numpy as np

from .._arguments import checked


@checked
def halton_order(height: int, width: int) -> np.ndarray:
    """int32 [height width]: the places of a map, row by row, in the order of a Halton sequence.

    Point i = 1, 2, ... of the sequence has the radical inverses of i in base 2 and 3 as its row and
    column in [0, 1); a place comes where the first point falls into it. Neighbors come far apart,
    so that codes that are drawn together depend little on each other (Besnier et al., 2025).
    """
    if min(height, width) < 1:
        raise ValueError(f"[halton_order] map {height} x {width}: both must be at least 1")
    places, count = height * width, 0
    found = np.zeros(0, np.int64)
    while len(found) < places:
        count = 2 * max(count, places)
        index = np.arange(1, count + 1)
        visited = _scaled(index, 2, height) * width + _scaled(index, 3, width)
        first = np.unique(visited, return_index=True)[1]
        found = visited[np.sort(first)]
    return found.astype(np.int32)


def _scaled(index: np.ndarray, base: int, size: int) -> np.ndarray:
    """floor(size r) of the radical inverses r of `index`, in integers."""
    inverse, power, rest = np.zeros_like(index), 1, index
    while rest.any():
        rest, digit = np.divmod(rest, base)
        inverse, power = inverse * base + digit, power * base
    return inverse * size // power
