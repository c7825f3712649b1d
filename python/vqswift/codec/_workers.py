"""Batches through a network: one after the other, or by threads that each have a copy of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

from .. import _core
from .._threads import get_threads, limit_threads
from ._batches import PIXELS_AT_ONCE, Batch, Item
from ._network import ImageNetwork

Result = TypeVar("Result")
Work = Callable[[ImageNetwork, list[Item]], Result]

_BYTES_OF_COPIES = 1 << 29
_BATCHES_A_THREAD = 4  # the last ones leave threads idle: so many at least


def through(
    network: ImageNetwork, batches: Iterable[Batch[Item]], work: Work[Item, Result], count: int
) -> Iterator[tuple[list[Item], Result]]:
    """Each batch and what `work` makes of it, in their order; `count` batches are expected.

    Where a core's team of threads shares its CPUs with readers and writers, all of it waits for the
    one that lost its CPU. So threads with a copy of the network each, and one thread of the core,
    take the batches, where these are many and small. Results are the same.
    """
    threads = get_threads()
    if (
        threads == 1
        or count < _BATCHES_A_THREAD * threads
        or not network.is_own
        or (threads - 1) * network.bytes > _BYTES_OF_COPIES
    ):
        for batch in batches:
            yield batch.items, work(network, batch.items)
        return
    yield from _in_threads(network, batches, work, threads)


def _in_threads(
    network: ImageNetwork, batches: Iterable[Batch[Item]], work: Work[Item, Result], threads: int
) -> Iterator[tuple[list[Item], Result]]:
    free: SimpleQueue[ImageNetwork] = SimpleQueue()
    for own in (network, *(network.copy() for _ in range(threads - 1))):
        free.put(own)
    products = _core.products()

    def one(items: list[Item]) -> Result:
        own = free.get()
        try:
            _core.set_products(products)
            with limit_threads(1):
                return work(own, items)
        finally:
            free.put(own)

    waiting: deque[tuple[list[Item], Future[Result]]] = deque()

    def first() -> tuple[list[Item], Result]:
        items, future = waiting.popleft()
        return items, future.result()

    pool = ThreadPoolExecutor(threads, "vqswift-network")
    try:
        for batch in batches:
            is_small = batch.pixels * threads <= PIXELS_AT_ONCE
            while waiting and (len(waiting) > threads or not is_small):
                yield first()
            if is_small:
                waiting.append((batch.items, pool.submit(one, batch.items)))
            else:
                yield batch.items, work(network, batch.items)
        while waiting:
            yield first()
    finally:
        pool.shutdown(cancel_futures=True)
