"""Gradients of all ranks, added up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np

from .. import _core
from .._arguments import checked
from .._hints import tape_hints
from .._tensor import Tensor
from ._communicator import Communicator
from ._current import current
from ._message import Message
from ._tree import Array, FixedTree

_BUCKET = 1 << 17  # elements


class GradientSum:
    """Adds the gradients of blocks of a batch, those of this rank as they come, along a fixed tree.

    `extra` numbers of every block are added with them. Parameters are in buckets, each a message;
    messages go out in one order. `ranges` are the blocks of each rank.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        communicator: Communicator,
        ranges: Sequence[tuple[int, int]],
    ) -> None:
        self._parameters = list(parameters)
        self._communicator, self._ranges = communicator, ranges
        self._buckets = _buckets([parameter.size for parameter in self._parameters])
        self._trees = [FixedTree() for _ in self._buckets]
        self._rest = FixedTree()
        self._sent: list[Message] = []

    def add(self, block: int, extra: Array) -> None:
        """Take the gradients that the parameters have as those of `block`, and `extra`, float32;
        a parameter without one counts as 0."""
        for place in range(len(self._sent), len(self._buckets)):
            self._trees[place].add_leaf(block, self._flat(place))
        tail = np.array([p.grad is not None for p in self._parameters], np.float32)
        self._rest.add_leaf(block, np.concatenate([tail, extra]))

    def backward(self, loss: Tensor, block: int) -> None:
        """`loss.backward()` for the last block of this rank: a bucket goes out as soon as its
        gradients are there, beside the rest of the backward. `add` follows as ever."""
        if len(self._buckets) < 2 or not self._communicator.is_threaded:
            loss.backward()
            return
        learns = [parameter.requires_grad for parameter in self._parameters]
        missing = [{i for i in bucket if learns[i]} for bucket in self._buckets]
        bucket_of = {i: place for place, bucket in enumerate(self._buckets) for i in bucket}

        def done(parameter: int) -> None:
            missing[bucket_of[parameter]].discard(parameter)
            # The last bucket would go out behind the backward anyway.
            while len(self._sent) < len(missing) - 1 and not missing[len(self._sent)]:
                place = len(self._sent)
                before = self._sent[-1] if self._sent else None
                self._sent.append(Message(partial(self._added, place, block), before))

        leaves = [parameter._handle for parameter in self._parameters]
        with tape_hints():
            _core.tensor_backward_by_leaf(loss._handle, None, False, leaves, done)

    def finish(self, extras: int) -> Array:
        """Give each parameter the sum over all blocks, none where no block had one, and return that
        of the `extras` extra numbers."""
        sums = [message.result() for message in self._sent]
        for tree in self._trees[len(sums) :]:
            sums.append(self._communicator.reduce_tree(tree.nodes, self._ranges))
        tail = self._communicator.reduce_tree(self._rest.nodes, self._ranges)
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

    def _flat(self, place: int) -> Array:
        parameters = [self._parameters[i] for i in self._buckets[place]]
        return np.concatenate([_flat(parameter.grad, parameter) for parameter in parameters])

    def _added(self, place: int, block: int) -> Array:
        """The sum of a bucket over all blocks, of which this is the last here."""
        tree = self._trees[place]
        tree.add_leaf(block, self._flat(place))
        return self._communicator.reduce_tree(tree.nodes, self._ranges)


@checked
def reduce_gradients(parameters: Sequence[Tensor], *, count: float = 1.0) -> None:
    """Replace the gradients by their mean over all ranks, weighted by `count`.

    Call it between `backward` and the optimizer's `step`, on every rank, with the same parameters:
    where each rank's loss is a mean, and `count` is how many samples it is of, the result is the
    gradient of the mean over the samples of all ranks, for shards of any sizes. A rank without
    samples gives 0: its gradients do not count, and it need not have called `backward`. The bits
    are the same on every rank. A parameter that is given twice counts once.

    ValueError for a count that is negative or not finite, or 0 on all ranks; `PeerLost` as with all
    calls.
    """
    if not (math.isfinite(count) and count >= 0):
        raise ValueError(f"[reduce_gradients] count = {count}: must be finite and not negative")
    communicator = current()
    if communicator.size == 1:
        return
    known = list({id(parameter): parameter for parameter in parameters}.values())
    told = communicator.all_gather_of(np.array([count]), [1] * communicator.size)
    counts = [float(each[0]) for each in told]
    largest = max(counts)
    if largest == 0:
        raise ValueError("[reduce_gradients] count = 0 on every rank: there is no mean")
    share = count / largest / math.fsum(each / largest for each in counts)
    for parameter in known:
        if parameter.grad is not None:
            weighted = Tensor(parameter.grad.numpy() * np.float32(share)) if share else None
            parameter.grad = weighted
    ranges = [(rank, rank + 1) for rank in range(communicator.size)]
    adding = GradientSum(known, communicator, ranges)
    adding.add(communicator.rank, np.empty(0, np.float32))
    adding.finish(0)


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
