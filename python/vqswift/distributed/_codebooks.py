"""Codebooks that learn from the vectors of all ranks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _core
from .._arguments import checked
from .._tensor import Tensor
from ..nn import Module
from ..quantizers import Quantizer
from ..quantizers._vector import CodebookQuantizer
from ._communicator import Communicator
from ._current import current
from ._moments import joined, joined_moments
from ._tree import Array, FixedTree

Ranges = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class CodebookUpdate:
    """How the codes of one codebook were used by all ranks since the update before.

    Attributes:
        layer: the quantizer's name in the model; "" for the model itself.
        codebook: which of its codebooks.
        counts: int64 [stages, k] vectors of each code, by stage where stages share the codebook.
        replaced: int64 codes that were replaced, ascending.
        rows: int64 the vectors, numbered over all ranks in order, that took their places.
    """

    layer: str
    codebook: int
    counts: Array
    replaced: Array
    rows: Array

    @property
    def perplexity(self) -> float:
        """2^H, H the entropy in bits of the codes' use; the mean over the stages that were used."""
        used = [counts for counts in self.counts if counts.any()]
        return float(np.mean([_core.code_usage(counts, None) for counts in used])) if used else 0.0

    @property
    def active_codes(self) -> int:
        """Codes in use."""
        return int((self.counts.sum(0) > 0).sum())


@checked
def update(model: Module) -> list[CodebookUpdate]:
    """Let the codebooks of `model` learn from what all ranks have forwarded since the last update.

    With several ranks a training forward finds codes and changes nothing. This call, which every
    rank makes once a step, behind the optimizer's, exchanges counts and sums of the vectors of each
    code once, and does what a training forward of all vectors at once would have done: EMA, moments
    of affine maps, in-place steps, k-means starts and refits, replacement, counters. Codebooks are
    the same bits on every rank afterwards. A rank may have forwarded nothing, or vectors that a
    mask leaves out. A codebook that begins with k-means lets vectors pass until the first update.

    Returns how codes were used, by codebook; nothing in one process, where forwards do it.
    RuntimeError for a quantizer that cannot wait (`GumbelQuant`, `SQVAEQuant`, norm = "bn",
    `inner_steps` above 1, `reassign`, or an entropy or orthogonal weight beside an in-place
    optimizer).
    """
    communicator = current()
    if communicator.size == 1:
        return []
    ranges = [(rank, rank + 1) for rank in range(communicator.size)]
    return update_blocks(model, communicator, ranges, [communicator.rank])


def waiting_layers(model: Module) -> list[tuple[str, CodebookQuantizer]]:
    """The quantizers of `model` whose codebooks learn; RuntimeError for one that cannot wait."""
    found = []
    for name, module in model.named_modules():
        if isinstance(module, Quantizer) and not module.frozen:
            _core.quantizer_check_deferred(module._handle)
            if isinstance(module, CodebookQuantizer):
                found.append((name, module))
    return found


def update_blocks(
    model: Module, communicator: Communicator, ranges: Ranges, blocks: Sequence[int]
) -> list[CodebookUpdate]:
    """`update` where each rank has forwarded a range of the blocks of a batch; `blocks` here."""
    books = [
        _Book(name, layer, index, communicator)
        for name, layer in waiting_layers(model)
        for index in range(_core.quantizer_codebook_count(layer._handle))
    ]
    if not books:
        return []
    tree = FixedTree()
    for block in blocks:
        tree.add_leaf(block, np.concatenate([book.leaf(block) for book in books]))
    total = communicator.reduce_tree(tree.nodes, ranges)
    begin = 0
    for book in books:
        begin = book.take(total, begin)
    joined_moments(
        communicator, ranges, blocks, [book.moments for book in books if book.moments is not None]
    )
    for book in books:
        book.apply()
    _refit(communicator, books)
    _replace(communicator, [book for book in books if book.replaced.size])
    for layer in dict.fromkeys(book.layer for book in books):
        layer._end_update()
    return [book.told() for book in books]


class _Moments:
    """Count, mean and sum of squared deviations, [1 + 2 d], of a book's vectors by block."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.leaves: list[Array] = []
        self.total = np.zeros(1 + 2 * width)


class _Book:
    """One codebook: what waits for it here, then what all ranks have together."""

    def __init__(
        self, name: str, layer: CodebookQuantizer, index: int, communicator: Communicator
    ) -> None:
        self.name, self.layer, self.index = name, layer, index
        self.shape = layer.codebooks[index].shape
        options: dict[str, Any] = layer.options
        is_shared = bool(options.get("shared"))
        self.stages = int(options["stages"]) if is_shared and "stages" in options else 1
        self.moments = _Moments(self.shape[1]) if options["affine"] == "ema" else None
        self.replaced = self.rows = np.empty(0, np.int64)
        self._ranks, self._rank = communicator.size, communicator.rank
        self._marks = layer._parts_of(index)  # the block of each part
        k, d = self.shape
        self._sums = np.zeros(self.stages * k + k * d + self._ranks)

    def leaf(self, block: int) -> Array:
        """Counts [stages, k], sums [k, d] and, in this rank's place, vectors [ranks] of a block."""
        k, d = self.shape
        counts = np.zeros((self.stages, k))
        sums = np.zeros((k, d))
        moments = np.zeros(1 + 2 * d)
        for part, of in enumerate(self._marks):
            if of != block:
                continue
            own = np.zeros(k, np.int64), np.zeros((k, d)), np.zeros(d), np.zeros(d)
            _core.quantizer_waiting_statistics(self.layer._handle, self.index, part, *own)
            stage = self._part(part)[2] if self.stages > 1 else 0
            counts[stage] += own[0]
            sums += own[1]
            n = float(own[0].sum())
            moments = joined(moments, np.concatenate([[n], own[2], own[3] * n]))
        if self.moments is not None:
            self.moments.leaves.append(moments)
        ranks = np.zeros(self._ranks)
        ranks[self._rank] = counts.sum()
        return np.concatenate([counts.reshape(-1), sums.reshape(-1), ranks])

    def take(self, total: Array, begin: int) -> int:
        """Keep the part of all ranks' sums that is this book's; gives where the next one begins."""
        end = begin + len(self._sums)
        self._sums = total[begin:end]
        return end

    @property
    def counts(self) -> Array:
        """int64 [stages, k]."""
        k = self.shape[0]
        return self._sums[: self.stages * k].astype(np.int64).reshape(self.stages, k)

    @property
    def per_rank(self) -> Array:
        """int64 [ranks]: vectors of each."""
        return self._sums[len(self._sums) - self._ranks :].astype(np.int64)

    def apply(self) -> None:
        """Change the codebook, and find the codes that are dead then."""
        k, d = self.shape
        counts = self.counts.sum(0)
        if not counts.any():
            return
        begin = self.stages * k
        sums = np.ascontiguousarray(self._sums[begin : begin + k * d].reshape(k, d))
        mean, variance = np.zeros(d), np.zeros(d)
        if self.moments is not None:
            n, mean, deviations = np.split(self.moments.total, [1, 1 + d])
            mean, variance = mean.copy(), deviations / n
        dead = np.zeros(k, np.int32)
        _core.quantizer_apply_statistics(
            self.layer._handle, self.index, counts, sums, mean, variance, dead
        )
        self.replaced = np.flatnonzero(dead)
        if self.replaced.size:
            rows = np.zeros(self.replaced.size, np.int32)
            _core.quantizer_draw_rows(self.layer._handle, self.index, int(counts.sum()), rows)
            self.rows = rows.astype(np.int64)

    def owners(self) -> Array:
        """The rank of each of `rows`."""
        return np.searchsorted(np.cumsum(self.per_rank), self.rows, side="right")

    def own_rows(self) -> Array:
        """The vectors of `rows` that this rank has, [m, d]."""
        mine = self.rows[self.owners() == self._rank] - self.per_rank[: self._rank].sum()
        vectors = np.empty((len(mine), self.shape[1]), np.float32)
        begin = 0
        for part in range(len(self._marks)):
            found = self._part(part)[0]
            here = (mine >= begin) & (mine < begin + found.shape[0])
            if here.any():
                vectors[here] = found.numpy()[mine[here] - begin]
            begin += found.shape[0]
        return vectors

    def replace(self, vectors: Array) -> None:
        """Put `vectors`, those of `rows` by rank, in the places of the dead codes."""
        order = np.argsort(self.owners(), kind="stable")
        sorted_back = np.empty_like(vectors)
        sorted_back[order] = vectors
        codes = self.replaced.astype(np.int32)
        _core.quantizer_replace(self.layer._handle, self.index, codes, Tensor(sorted_back)._handle)

    def told(self) -> CodebookUpdate:
        """What the caller hears."""
        return CodebookUpdate(self.name, self.index, self.counts, self.replaced, self.rows)

    def _part(self, part: int) -> tuple[Tensor, Tensor, int]:
        vectors, codes, stage = _core.quantizer_waiting(self.layer._handle, self.index, part)
        return Tensor._wrap(vectors), Tensor._wrap(codes), stage


def _refit(communicator: Communicator, books: Sequence[_Book]) -> None:
    """k-means of all ranks' inputs, for layers that are due, by each rank alike."""
    for layer in dict.fromkeys(book.layer for book in books):
        updates = _core.quantizer_due_fit(layer._handle)
        if updates < 0:
            continue
        rows = np.concatenate(communicator.all_gather(layer._kept_rows()))
        if not len(rows):
            continue
        _core.quantizer_fit(layer._handle, Tensor(rows)._handle, None, updates)
        for book in books:
            if book.layer is layer:
                book.replaced = book.rows = np.empty(0, np.int64)


def _replace(communicator: Communicator, books: Sequence[_Book]) -> None:
    """The vectors of dead codes, from the ranks that have them to all: one exchange."""
    if not books:
        return
    sizes = [
        sum(int((book.owners() == rank).sum()) * book.shape[1] for book in books)
        for rank in range(communicator.size)
    ]
    own = np.concatenate([book.own_rows().reshape(-1) for book in books])
    parts = [
        iter(_split(books, rank, part))
        for rank, part in enumerate(communicator.all_gather_of(own, sizes))
    ]
    for book in books:
        book.replace(np.concatenate([next(part) for part in parts]))


def _split(books: Sequence[_Book], rank: int, values: Array) -> Iterator[Array]:
    """What a rank has sent for each book."""
    begin = 0
    for book in books:
        count, d = int((book.owners() == rank).sum()), book.shape[1]
        yield values[begin : begin + count * d].reshape(count, d)
        begin += count * d
