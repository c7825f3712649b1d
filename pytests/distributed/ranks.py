"""Ranks as threads of one process: each has a communicator of its own, and meets the others."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from vqswift.distributed import Communicator, PeerLost
from vqswift.distributed._current import running_with


class _Meeting:
    def __init__(self, size: int) -> None:
        self.barrier = threading.Barrier(size)
        self.given: list[Any] = [None] * size


class ThreadCommunicator(Communicator):
    name = "threads"

    def __init__(self, rank: int, size: int, meeting: _Meeting, timeout: float) -> None:
        self.rank, self.size, self.timeout = rank, size, timeout
        self._meeting = meeting

    def _met(self, given: Any) -> list[Any]:
        try:
            self._meeting.given[self.rank] = given
            self._meeting.barrier.wait(self.timeout)
            found = list(self._meeting.given)
            self._meeting.barrier.wait(self.timeout)
            return found
        except threading.BrokenBarrierError:
            raise PeerLost(f"[distributed] rank {self.rank}: another rank has ended") from None

    def _all_gather(self, data: np.ndarray, sizes: list[int]) -> np.ndarray:
        found = self._met(data.copy())
        assert [len(each) for each in found] == sizes
        return np.concatenate(found)

    def _all_to_all(self, data: np.ndarray, sizes: list[int], theirs: list[int]) -> np.ndarray:
        ends = np.cumsum([0, *sizes])
        parts = [data[a:b].copy() for a, b in zip(ends, ends[1:], strict=False)]
        found = [each[self.rank] for each in self._met(parts)]
        assert [len(each) for each in found] == theirs
        return np.concatenate(found)

    def close(self) -> None: ...


def on_ranks(size: int, body: Callable[[int], Any], timeout: float = 60) -> list[Any]:
    """What `body(rank)` gives on each rank; the error of the first that failed."""
    meeting = _Meeting(size)
    results: list[Any] = [None] * size
    errors: list[BaseException | None] = [None] * size

    def run(rank: int) -> None:
        try:
            with running_with(ThreadCommunicator(rank, size, meeting, timeout)):
                results[rank] = body(rank)
        except BaseException as error:
            errors[rank] = error
            meeting.barrier.abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in sorted((e for e in errors if e), key=lambda e: isinstance(e, PeerLost)):
        raise error
    return results
