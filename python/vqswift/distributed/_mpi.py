"""Ranks over MPI."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from ._communicator import Communicator, PeerLost
from ._tree import Array

_SPINS = 300  # tests of a message before the process sleeps between them
_LOOKS = 20  # of these sleeps from one look for ranks that have left to the next
_LEFT = 1  # the tag of a rank's last message: how many calls it has made


class MPICommunicator(Communicator):
    """The ranks of `MPI.COMM_WORLD`, through mpi4py."""

    name = "mpi"

    def __init__(self, timeout: float) -> None:
        try:
            engine: Any = import_module("mpi4py.MPI")
        except ImportError as error:
            raise ImportError(
                "[distributed] 'mpi' needs mpi4py and an MPI: pip install 'vqswift[mpi]'"
            ) from error
        self._mpi = engine
        self._world: Any = engine.COMM_WORLD.Dup()
        self.rank, self.size = self._world.Get_rank(), self._world.Get_size()
        self.timeout = timeout
        self.is_threaded = engine.Query_thread() >= engine.THREAD_SERIALIZED
        self._calls = 0
        self._left: dict[int, int] = {}
        # What messages that were given up may still write to.
        self._kept: list[Any] = []
        self._before_hook: Callable[..., Any] = sys.excepthook
        if self.size > 1:
            sys.excepthook = self._end_all

    def _all_gather(self, data: Array, sizes: list[int]) -> Array:
        out = np.empty(sum(sizes), np.uint8)
        byte = self._mpi.BYTE
        request = self._world.Iallgatherv([data, data.size, byte], [out, sizes, byte])
        self._wait(request, "all_gather", data, out)
        return out

    def _all_to_all(self, data: Array, sizes: list[int], theirs: list[int]) -> Array:
        out = np.empty(sum(theirs), np.uint8)
        byte = self._mpi.BYTE
        request = self._world.Ialltoallv([data, sizes, byte], [out, theirs, byte])
        self._wait(request, "all_to_all", data, out)
        return out

    def _wait(self, request: Any, operation: str, *buffers: Array) -> None:
        deadline = time.monotonic() + self.timeout
        spins = 0
        while not request.Test():
            spins += 1
            if spins < _SPINS:
                os.sched_yield()
                continue
            why = ""
            if time.monotonic() > deadline:
                why = (
                    f"has waited {self.timeout:g} s for the others: one of them has ended or hangs"
                )
            elif spins % _LOOKS == 0 and (gone := self._gone()):
                why = f"waits for rank {', '.join(map(str, gone))}, which has left"
            if why:
                self.give_up()
                self._kept += [request, *buffers]
                raise PeerLost(f"[distributed] {operation}: rank {self.rank} of {self.size} {why}")
            time.sleep(5e-5)
        self._calls += 1

    def _gone(self) -> list[int]:
        """The ranks that have left without making the call that this one is in."""
        status = self._mpi.Status()
        while self._world.Iprobe(self._mpi.ANY_SOURCE, _LEFT, status):
            calls = np.empty(1, np.int64)
            source = status.Get_source()
            self._world.Recv([calls, 8, self._mpi.BYTE], source, _LEFT)
            self._left[source] = int(calls[0])
        return sorted(rank for rank, calls in self._left.items() if calls <= self._calls)

    def _end_all(self, kind: type[BaseException], error: BaseException, trace: Any) -> None:
        """An exception that nobody catches ends the other ranks too, which would wait."""
        self._before_hook(kind, error, trace)
        self._abort(f"{kind.__name__} on rank {self.rank}")

    def _abort(self, why: str) -> None:
        print(f"[distributed] {why}: all ranks are ended", file=sys.stderr, flush=True)
        sys.stdout.flush()
        self._world.Abort(1)

    def close(self) -> None:
        """End MPI where all goes well; a rank that has lost others ends them, and one that others
        may wait for tells them that it leaves."""
        if self.size == 1 or self._mpi.Is_finalized():
            return
        if self.has_failed:
            self._abort(f"rank {self.rank} has failed")
        calls = np.array([self._calls], np.int64)
        for rank in range(self.size):
            if rank != self.rank:
                message = self._world.Isend([calls, 8, self._mpi.BYTE], rank, _LEFT)
                # So short a message is on its way at once.
                self._kept += [message, calls]
                message.Test()
