"""What training forwards leave for an update that comes later."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from .. import _core
from .._tensor import Tensor
from ..nn._native import Native

_MOST = 1 << 16  # forwards from one update to the next


class Waiting:
    """Of one quantizer: its forwards since the last update, by the blocks that they belong to."""

    def __init__(self) -> None:
        #: For each codebook the block of each part that waits in the core.
        self.blocks: list[list[int]] = []
        #: Vectors [n, d] that k-means wants, by forward.
        self.rows: list[np.ndarray] = []
        #: Whether the core's layer is in the deferred mode.
        self.is_deferred = False
        self._forwards = 0
        self._block = -1
        self._of_block = 0  # forwards of that block so far

    @contextmanager
    def deferring(self, layer: Native, block: int | None) -> Iterator[None]:
        """A training forward of this block, or with None one that is not deferred."""
        if block is None:
            if self.is_deferred:
                _core.quantizer_defer(layer._handle, -1)
                self.is_deferred = False
            yield
            return
        if self._forwards >= _MOST:
            raise RuntimeError(
                f"[quantizer] {self._forwards} training forwards without "
                "vq.distributed.update(model): with several ranks codebooks learn there"
            )
        if block != self._block:
            self._block, self._of_block = block, 0
        _core.quantizer_defer(layer._handle, block * _MOST + self._of_block)
        self.is_deferred = True
        yield
        self._forwards += 1
        self._of_block += 1
        books = _core.quantizer_codebook_count(layer._handle)
        self.blocks = self.blocks or [[] for _ in range(books)]
        for index, blocks in enumerate(self.blocks):
            count = _core.quantizer_waiting_count(layer._handle, index)
            blocks += [block] * (count - len(blocks))

    def emptied(self) -> Waiting:
        """Nothing that waits, of the same layer."""
        empty = Waiting()
        empty.is_deferred = self.is_deferred
        return empty

    def keep(self, rows: Tensor, mask: _core.TensorHandle | None) -> None:
        """Keep the vectors of a forward that the mask does not leave out."""
        vectors = rows.numpy().reshape(-1, rows.shape[-1])
        if mask is not None:
            vectors = vectors[Tensor._wrap(mask).numpy().reshape(-1) != 0]
        self.rows.append(vectors)
