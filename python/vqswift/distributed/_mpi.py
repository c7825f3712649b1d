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
        self._before_hook: Callable[..., Any] = sys.excepthook
        if self.size > 1:
            sys.excepthook = self._end_all

    def _all_gather(self, data: Array, sizes: list[int]) -> Array:
        out = np.empty(sum(sizes), np.uint8)
        byte = self._mpi.BYTE
        request = self._world.Iallgatherv([data, data.size, byte], [out, sizes, byte])
        self._wait(request, "all_gather")
        return out

    def _all_to_all(self, data: Array, sizes: list[int], theirs: list[int]) -> Array:
        out = np.empty(sum(theirs), np.uint8)
        byte = self._mpi.BYTE
        request = self._world.Ialltoallv([data, sizes, byte], [out, theirs, byte])
        self._wait(request, "all_to_all")
        return out

    def _wait(self, request: Any, operation: str) -> None:
        deadline = time.monotonic() + self.timeout
        spins = 0
        while not request.Test():
            spins += 1
            if spins < _SPINS:
                os.sched_yield()
                continue
            if time.monotonic() > deadline:
                self.give_up()
                raise PeerLost(
                    f"[distributed] {operation}: rank {self.rank} of {self.size} has waited "
                    f"{self.timeout:g} s for the others: one of them has ended or hangs"
                )
            time.sleep(5e-5)

    def _end_all(self, kind: type[BaseException], error: BaseException, trace: Any) -> None:
        """An exception that nobody catches ends the other ranks too, which would wait."""
        self._before_hook(kind, error, trace)
        self._abort(f"{kind.__name__} on rank {self.rank}")

    def _abort(self, why: str) -> None:
        print(f"[distributed] {why}: all ranks are ended", file=sys.stderr, flush=True)
        sys.stdout.flush()
        self._world.Abort(1)

    def close(self) -> None:
        """End MPI where all goes well; a rank that has lost others ends them, which would wait."""
        if self.size == 1 or self._mpi.Is_finalized():
            return
        if self.has_failed:
            self._abort(f"rank {self.rank} has failed")
