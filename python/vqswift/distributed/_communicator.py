"""How processes of one program talk: the protocol, and what both engines share."""

from __future__ import annotations

import math
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .._arguments import checked, refuse
from ._tree import Array, FixedTree, Node, nodes_of

_SMALL = 1 << 16  # bytes of a rank below which sums take one round instead of two
_CHECK_BITS = 24  # of a length's int64, which hold what else arrays have in common


class PeerLost(ConnectionError):
    """Another rank has ended, or gave no answer within the time-out."""


@checked
class Communicator(ABC):
    """The ranks of one program, each a process; calls are made by all of them, in one order.

    Sums are the same bits on every rank, with every engine, whenever the parts arrive: they are
    taken along a binary tree whose leaves are the ranks in order.

    Attributes:
        rank: of this process, from 0.
        size: how many there are.
        timeout: seconds that a call waits for the others.
        sent: bytes that this rank has handed over for other ranks so far.
        is_threaded: whether another thread may make calls while the main one makes none.

    All calls raise `PeerLost`, an OSError, when another rank has ended or does not answer in time;
    behind it the ranks are out of step, and every further call raises it. Arrays of another dtype
    or shape than on other ranks raise ValueError on all of them.
    """

    name = "one process"
    rank = 0
    size = 1
    timeout = 600.0
    sent = 0
    is_threaded = True
    has_failed = False
    _has_lost = False

    def all_gather(self, array: Array) -> list[Array]:
        """The arrays of all ranks, by rank; they may differ in the length of the first axis."""
        array = np.ascontiguousarray(_numbers("all_gather", array))
        if self.size == 1:
            return [array]
        kind = f"{array.dtype.str} [n{''.join(f', {side}' for side in array.shape[1:])}]"
        lengths = self._agree("all_gather", kind, len(array))
        return self.all_gather_of(array, lengths)

    def all_gather_of(self, array: Array, lengths: Sequence[int]) -> list[Array]:
        """`all_gather` where every rank knows the lengths of all first axes: one round."""
        array = np.ascontiguousarray(array)
        if len(lengths) != self.size or lengths[self.rank] != len(array):
            raise ValueError(
                f"[all_gather] lengths {[*lengths]} of {self.size} ranks: that of rank {self.rank} "
                f"must be {len(array)}"
            )
        if self.size == 1:
            return [array]
        rest = array.shape[1:]
        row = array.itemsize * int(np.prod(rest, dtype=np.int64))
        found = self._gathered(array, [length * row for length in lengths])
        ends = np.cumsum([length * row for length in lengths])
        return [
            part.view(array.dtype).reshape(-1, *rest)
            if part.size
            else np.empty((0, *rest), array.dtype)
            for part in np.split(found, ends[:-1])
        ]

    def all_reduce(self, array: Array, operation: str = "sum") -> Array:
        """The sum, "max" or "min" of equal-shaped arrays of all ranks, element by element, as a new
        array; of bools the sum is `or`."""
        combine = {"sum": np.add, "max": np.maximum, "min": np.minimum}.get(operation)
        if combine is None:
            raise ValueError(
                f"[all_reduce] operation = {operation!r}: it must be 'sum', 'max' or 'min'"
            )
        array = _numbers("all_reduce", array)
        if self.size == 1:
            return array.copy()
        self._agree("all_reduce", f"{array.dtype.str} {[*array.shape]} {operation}")
        leaf = Node(0, self.rank, np.ascontiguousarray(array).reshape(-1))
        ranges = [(rank, rank + 1) for rank in range(self.size)]
        return self.reduce_tree([leaf], ranges, combine).reshape(array.shape)

    def reduce_tree(
        self, nodes: Sequence[Node], ranges: Sequence[tuple[int, int]], combine: Any = np.add
    ) -> Array:
        """The sum over leaves that lie on several ranks, along the tree of `FixedTree`.

        Args:
            nodes: this rank's, what its own `FixedTree` has made of its leaves; one-dimensional
                arrays of one length and dtype.
            ranges: of each rank, its first leaf and the one behind its last; ascending, without
                gaps.
            combine: adds two arrays element by element.
        """
        expected = [nodes_of(first, last) for first, last in ranges]
        if len(expected) != self.size:
            raise ValueError(f"[reduce_tree] {len(expected)} ranges of {self.size} ranks")
        if [(n.level, n.place) for n in nodes] != expected[self.rank]:
            raise ValueError(
                f"[reduce_tree] nodes {[(n.level, n.place) for n in nodes]} of rank {self.rank}: "
                f"its leaves {ranges[self.rank]} make {expected[self.rank]}"
            )
        if self.size == 1:
            return _merged([nodes], expected, combine)
        length, dtype = self._kind(nodes, ranges)
        if length * dtype.itemsize <= _SMALL:
            return self._reduced(nodes, expected, [(0, length)] * self.size, dtype, combine)
        bounds = [length * rank // self.size for rank in range(self.size + 1)]
        chunks = list(zip(bounds, bounds[1:], strict=False))
        own = self._reduced(nodes, expected, chunks, dtype, combine)
        return np.concatenate(self.all_gather_of(own, [end - begin for begin, end in chunks]))

    def broadcast(self, array: Array | None, root: int = 0) -> Array:
        """`root`'s array, which the other ranks need not give."""
        if not 0 <= root < self.size:
            raise ValueError(f"[broadcast] root = {root}: there are {self.size} ranks")
        given = _numbers("broadcast", array) if self.rank == root else None
        if self.size == 1:
            assert given is not None
            return given.copy()
        head = b"" if given is None else f"{given.dtype.str} {[*given.shape]}".encode()
        heads = self.all_gather(np.frombuffer(head, np.uint8))
        kind, _, shape = heads[root].tobytes().decode().partition(" ")
        sizes = [int(size) for size in shape.strip("[]").split(",") if size.strip()]
        count = int(np.prod(sizes, dtype=np.int64))
        data = np.empty(0, kind) if given is None else np.ascontiguousarray(given).reshape(-1)
        lengths = [count if rank == root else 0 for rank in range(self.size)]
        return self.all_gather_of(data, lengths)[root].reshape(sizes)

    def barrier(self, timeout: float | None = None) -> None:
        """Wait until all ranks have come here, `timeout` seconds at most."""
        if timeout is not None and not (math.isfinite(timeout) and timeout > 0):
            raise ValueError(f"[barrier] timeout = {timeout}: must be positive and finite")
        before = self.timeout
        self.timeout = before if timeout is None else timeout
        try:
            if self.size > 1:
                self._gathered(np.zeros(1, np.uint8), [1] * self.size)
        finally:
            self.timeout = before

    def give_up(self) -> None:
        """Let the other ranks end when this one does, since it has failed."""
        self.has_failed = True

    @abstractmethod
    def close(self) -> None:
        """End what `init` began; the other ranks do so too."""

    # What an engine does.

    @abstractmethod
    def _all_gather(self, data: Array, sizes: list[int]) -> Array:
        """uint8 of every rank, `sizes[rank]` each, one after the other."""

    @abstractmethod
    def _all_to_all(self, data: Array, sizes: list[int], theirs: list[int]) -> Array:
        """`data` has `sizes[rank]` bytes for each rank; gives `theirs[rank]` from each."""

    def _agree(self, operation: str, kind: str, length: int = 0) -> list[int]:
        """The lengths of all ranks' arrays; ValueError on all where these are of several kinds."""
        check = zlib.crc32(kind.encode()) & ((1 << _CHECK_BITS) - 1)
        told = np.array([length << _CHECK_BITS | check], np.int64)
        found = self._gathered(told, [8] * self.size).view(np.int64)
        if len(set((found & ((1 << _CHECK_BITS) - 1)).tolist())) > 1:
            text = np.frombuffer(kind.encode(), np.uint8)
            sizes = self._gathered(np.array([text.size], np.int64), [8] * self.size).view(np.int64)
            kinds = [part.tobytes().decode() for part in self.all_gather_of(text, sizes.tolist())]
            each = "; ".join(f"rank {rank}: {kind}" for rank, kind in enumerate(kinds))
            raise ValueError(f"[{operation}] arrays differ between ranks: {each}")
        return [int(length) for length in found >> _CHECK_BITS]

    def _gathered(self, array: Array, sizes: list[int]) -> Array:
        self.sent += sizes[self.rank] * (self.size - 1)
        data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        return self._exchanged(self._all_gather, data, sizes)

    def _exchanged(self, call: Callable[..., Array], *arguments: Any) -> Array:
        """What an engine's call gives; behind one that others were lost in, none is made."""
        if self._has_lost:
            raise PeerLost(f"[distributed] rank {self.rank} of {self.size} has lost others before")
        try:
            return call(*arguments)
        except PeerLost:
            self._has_lost = True
            raise

    def _kind(
        self, nodes: Sequence[Node], ranges: Sequence[tuple[int, int]]
    ) -> tuple[int, np.dtype[Any]]:
        """Length and type of the arrays; a rank without leaves hears it from another."""
        if nodes and all(end > begin for begin, end in ranges):
            return len(nodes[0].value), nodes[0].value.dtype
        value = nodes[0].value if nodes else np.empty(0, np.float32)
        told = np.array([len(value), ord(value.dtype.char) if nodes else 0], np.int64)
        rows = np.concatenate(self.all_gather_of(told, [2] * self.size)).reshape(-1, 2)
        length, kind = next(row for row in rows if row[1])
        return int(length), np.dtype(chr(kind))

    def _reduced(
        self,
        nodes: Sequence[Node],
        expected: list[list[tuple[int, int]]],
        chunks: list[tuple[int, int]],
        dtype: np.dtype[Any],
        combine: Any,
    ) -> Array:
        """The sum of the elements of this rank's chunk."""
        sizes = [len(nodes) * (end - begin) * dtype.itemsize for begin, end in chunks]
        parts = [node.value[begin:end] for begin, end in chunks for node in nodes]
        data = np.concatenate(parts) if parts else np.empty(0, dtype)
        begin, end = chunks[self.rank]
        theirs = [len(each) * (end - begin) * dtype.itemsize for each in expected]
        self.sent += sum(sizes) - sizes[self.rank]
        found = self._exchanged(self._all_to_all, data.view(np.uint8), sizes, theirs).view(dtype)
        if end == begin:
            return np.empty(0, dtype)
        rows = iter(found.reshape(-1, end - begin))
        given = [[Node(*place, next(rows)) for place in each] for each in expected]
        return _merged(given, expected, combine)


def _numbers(operation: str, value: Any) -> Array:
    """An array of numbers, which goes to other ranks as it lies; a number is one."""
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        refuse(operation, "array", value, "an array of numbers")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _merged(
    nodes: Sequence[Sequence[Node]], expected: list[list[tuple[int, int]]], combine: Any
) -> Array:
    tree = FixedTree(combine)
    for part in nodes:
        for node in part:
            tree.add(node)
    return tree.total()


class OneProcess(Communicator):
    """A program of one rank."""

    def _all_gather(self, data: Array, sizes: list[int]) -> Array:
        return data

    def _all_to_all(self, data: Array, sizes: list[int], theirs: list[int]) -> Array:
        return data

    def close(self) -> None:
        """There is nothing to end."""
