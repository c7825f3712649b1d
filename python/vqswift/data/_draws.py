"""Random numbers of samples, each from a stream of its own."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from .._arguments import checked
from .._arrays import as_array

_STRIDE = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio, odd


@checked
class Draws:
    """Uniform numbers for the samples of a batch.

    What a sample draws follows from the seed, the epoch, its index and the draws before, whatever
    else is in the batch: its numbers are those of SplitMix64 (Steele, Lea and Flood 2014) from a
    state that those three give.

    Args:
        seed: of all samples.
        epoch: the number of the pass over them.
        indices: `[n]`, the samples' positions in the set.
        stream: of several that are independent.

    Raises `ValueError` for negative numbers or indices of another rank, and `TypeError` for
    indices that are no integers.
    """

    def __init__(self, seed: int, epoch: int, indices: npt.ArrayLike, stream: int = 0) -> None:
        rows = as_array("draws", "indices", indices)
        if rows.dtype.kind not in "iu":
            raise TypeError(f"[draws] indices of {rows.dtype}: must be integers")
        if rows.ndim != 1:
            raise ValueError(f"[draws] indices {[*rows.shape]}: must be [n]")
        seed, epoch, stream = int(seed), int(epoch), int(stream)
        for name, value in (("seed", seed), ("epoch", epoch), ("stream", stream)):
            if value < 0:
                raise ValueError(f"[draws] {name} = {value}: must not be negative")
        if rows.size and rows.min() < 0:
            raise ValueError(f"[draws] indices from {rows.min()}: must not be negative")
        state = np.zeros(1, np.uint64)
        for word in (seed, stream, epoch):
            state = _mixed(state + np.uint64((word + 1) * int(_STRIDE) % 2**64))
        self._states = _mixed(state + (rows.astype(np.uint64) + np.uint64(1)) * _STRIDE)  # [n]
        self._drawn = 0

    def __len__(self) -> int:
        """The number of samples."""
        return len(self._states)

    def uniform(self, count: int | None = None) -> NDArray[np.float64]:
        """Numbers in [0, 1): one for each sample, `[n]`, or with a count `[n, count]`."""
        if count is not None and count < 0:
            raise ValueError(f"[draws.uniform] count = {count}: must not be negative")
        number = 1 if count is None else int(count)
        steps = np.arange(self._drawn + 1, self._drawn + 1 + number, dtype=np.uint64) * _STRIDE
        self._drawn += number
        bits = _mixed(self._states[:, None] + steps)
        found = (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53
        return found[:, 0] if count is None else found

    def integers(self, bounds: npt.ArrayLike) -> NDArray[np.int64]:
        """One integer for each sample, `[n]`, from 0 and below its bound: a number or `[n]`."""
        limits = as_array("draws.integers", "bounds", bounds)
        if limits.dtype.kind not in "iu":
            raise TypeError(f"[draws.integers] bounds of {limits.dtype}: must be integers")
        if limits.shape not in ((), (len(self),)):
            raise ValueError(
                f"[draws.integers] bounds {[*limits.shape]}: must be a number or [{len(self)}]"
            )
        if limits.size and limits.min() < 1:
            raise ValueError(f"[draws.integers] bounds from {limits.min()}: must be at least 1")
        found: NDArray[np.int64] = np.floor(self.uniform() * limits).astype(np.int64)
        return found


def _mixed(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's output function."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
