"""Threads that prepare what is asked for next."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Generic, TypeVar

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class Ahead(Generic[_Key, _Value]):
    """What `prepare` gives of keys; with `workers` threads the following ones are prepared too.

    Two for each thread lie ready at most. Use it as a context: threads end with it.
    """

    def __init__(self, prepare: Callable[[_Key], _Value], workers: int) -> None:
        self._prepare = prepare
        self._workers = workers
        self._pool: ThreadPoolExecutor | None = None
        self._process = os.getpid()
        self._pending: dict[_Key, Future[_Value]] = {}

    def __enter__(self) -> Ahead[_Key, _Value]:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._pool is not None:
            # The collector of garbage may come by in one of the threads, which cannot wait for
            # itself.
            with contextlib.suppress(RuntimeError):
                self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool, self._pending = None, {}

    def take(self, keys: Iterator[_Key]) -> _Value:
        """What the first key gives; what others than these gave is dropped."""
        if not self._workers:
            return self._prepare(next(keys))
        if self._process != os.getpid():  # threads do not survive a fork
            self._pool, self._pending, self._process = None, {}, os.getpid()
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="vqswift-batches")
        pool, before, self._pending = self._pool, self._pending, {}
        for key in islice(keys, 2 * self._workers + 1):
            future = before.pop(key, None)
            self._pending[key] = future or pool.submit(self._prepare, key)
        for dropped in before.values():
            dropped.cancel()
        return self._pending.pop(next(iter(self._pending))).result()
