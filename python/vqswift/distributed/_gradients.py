"""Gradients of all ranks, added up."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .._arguments import checked
from .._tensor import Tensor
from ._communicator import Communicator
from ._current import current
from ._tree import Array, FixedTree

_BUCKET = 1 << 20  # elements


class GradientSum:
    """Adds the gradients of blocks of a batch, those of this rank as they come, along a fixed tree.

    `extra` numbers of every block are added with them. Parameters are in buckets of about a million
    elements, each a message.
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self._parameters = list(parameters)
        self._trees: list[FixedTree] = []
        self._buckets = _buckets([parameter.size for parameter in self._parameters])

    def add(self, block: int, extra: Array) -> None:
        """Take the gradients that the parameters have as those of `block`, and `extra`, float32;
        a parameter without one counts as 0."""
        gradients = [parameter.grad for parameter in self._parameters]
        tail = np.array([grad is not None for grad in gradients], np.float32)
        leaves = [
            np.concatenate([_flat(gradients[i], self._parameters[i]) for i in bucket])
            for bucket in self._buckets
        ]
        leaves.append(np.concatenate([tail, extra]))
        self._trees = self._trees or [FixedTree() for _ in leaves]
        for tree, leaf in zip(self._trees, leaves, strict=True):
            tree.add_leaf(block, leaf)

    def finish(
        self, communicator: Communicator, ranges: Sequence[tuple[int, int]], extras: int
    ) -> Array:
        """Give each parameter the sum over all blocks, none where no block had one, and return that
        of the `extras` extra numbers."""
        trees = self._trees or [FixedTree() for _ in range(len(self._buckets) + 1)]
        sums = [communicator.reduce_tree(tree.nodes, ranges) for tree in trees]
        tail = sums.pop()
        count = len(self._parameters)
        for bucket, total in zip(self._buckets, sums, strict=True):
            begin = 0
            for i in bucket:
                parameter = self._parameters[i]
                end = begin + parameter.size
                shaped = total[begin:end].reshape(parameter.shape)
                parameter.grad = Tensor(shaped) if tail[i] > 0 else None
                begin = end
        assert len(tail) == count + extras
        return tail[count:]


@checked
def reduce_gradients(parameters: Sequence[Tensor], *, count: float = 1.0) -> None:
    """Replace the gradients by their mean over all ranks, weighted by `count`.

    Call it between `backward` and the optimizer's `step`, on every rank, with the same parameters:
    where each rank's loss is a mean, and `count` is how many samples it is of, the result is the
    gradient of the mean over the samples of all ranks, for shards of any sizes. A rank without
    samples gives 0 and need not have called `backward`. The bits are the same on every rank.

    ValueError for a count that is negative or not finite, or 0 on all ranks; `PeerLost` as with all
    calls.
    """
    if not (math.isfinite(count) and count >= 0):
        raise ValueError(f"[reduce_gradients] count = {count}: must be finite and not negative")
    communicator = current()
    if communicator.size == 1:
        return
    known = list(parameters)
    for parameter in known:
        if parameter.grad is not None:
            parameter.grad = Tensor(parameter.grad.numpy() * np.float32(count))
    adding = GradientSum(known)
    adding.add(communicator.rank, np.array([count], np.float32))
    ranges = [(rank, rank + 1) for rank in range(communicator.size)]
    (total,) = adding.finish(communicator, ranges, 1)
    if not total > 0:
        raise ValueError("[reduce_gradients] count = 0 on every rank: there is no mean")
    for parameter in known:
        if parameter.grad is not None:
            parameter.grad = Tensor(parameter.grad.numpy() / total)


def _flat(gradient: Tensor | None, parameter: Tensor) -> Array:
    if gradient is None:
        return np.zeros(parameter.size, np.float32)
    return gradient.numpy().astype(np.float32, copy=False).reshape(-1)


def _buckets(sizes: Sequence[int]) -> list[list[int]]:
    """Indices of parameters in messages, the last parameters, whose gradients come first, first."""
    buckets: list[list[int]] = []
    room = 0
    for index in reversed(range(len(sizes))):
        if sizes[index] > room or not buckets:
            buckets.append([])
            room = _BUCKET
        buckets[-1].append(index)
        room -= sizes[index]
    return buckets
