"""The communicator that the program runs with."""

from __future__ import annotations

import atexit
import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from .. import _deferral
from .._arguments import checked
from ._communicator import Communicator, OneProcess

_NONE = OneProcess()
_chosen: ContextVar[Communicator | None] = ContextVar("communicator", default=None)
_MPI_MARKS = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK", "MPI_LOCALNRANKS")
_TORCH_MARKS = ("RANK", "WORLD_SIZE", "MASTER_ADDR")


class _State:
    communicator: Communicator = _NONE


@checked
def init(engine: str | None = None, *, timeout: float = 600.0) -> Communicator:
    """Join the ranks that the launcher has started, and give the communicator.

    Args:
        engine: "mpi" (mpi4py, under `mpirun`), "gloo" (torch.distributed, under `torchrun` or with
            a process group of the program's own), or None for what the environment shows: mpi under
            `mpirun`, gloo under `torchrun`, else one process.
        timeout: seconds that a call waits for other ranks before it raises `PeerLost`.

    Calling it again gives the communicator that there is; RuntimeError where that is another
    engine. ImportError where the engine is not installed.
    """
    if engine not in ("mpi", "gloo", None):
        raise ValueError(f"[distributed] engine = {engine!r}: it must be 'mpi', 'gloo' or None")
    if not (math.isfinite(timeout) and timeout > 0):
        raise ValueError(f"[distributed] timeout = {timeout}: must be positive and finite")
    now = _State.communicator
    chosen = engine or _launched()
    if now is not _NONE:
        if engine is not None and engine != now.name:
            raise RuntimeError(
                f"[distributed] init({engine!r}): the program runs with {now.name!r} already"
            )
        return now
    if chosen == "mpi":
        from ._mpi import MPICommunicator

        _State.communicator = MPICommunicator(timeout)
    elif chosen == "gloo":
        from ._gloo import GlooCommunicator

        _State.communicator = GlooCommunicator(timeout)
    found = _State.communicator
    _deferral.set_rank(found.rank if found.size > 1 else None)
    return found


def shut_down() -> None:
    """Leave the other ranks: what follows is one process again."""
    communicator, _State.communicator = _State.communicator, _NONE
    _deferral.set_rank(None)
    communicator.close()


atexit.register(shut_down)


@contextmanager
def alone() -> Iterator[None]:
    """A scope in which each rank works for itself, as one process."""
    with running_with(OneProcess()):
        yield


@contextmanager
def running_with(communicator: Communicator) -> Iterator[None]:
    """A scope, of this thread, in which the program runs with another communicator."""
    token = _chosen.set(communicator)
    try:
        with _deferral.on_rank(communicator.rank if communicator.size > 1 else None):
            yield
    finally:
        _chosen.reset(token)


def current() -> Communicator:
    """The communicator: that of `init`, or of torch.distributed where the program has made a
    process group since; without them one process."""
    if (chosen := _chosen.get()) is not None:
        return chosen
    if _State.communicator is _NONE and _has_process_group():
        init("gloo")
    return _State.communicator


def rank() -> int:
    """This process's number among the ranks, from 0."""
    return current().rank


def size() -> int:
    """How many ranks the program has."""
    return current().size


def _launched() -> str | None:
    """The engine whose launcher has started the process."""
    if _has_process_group() or all(name in os.environ for name in _TORCH_MARKS):
        return "gloo"
    if any(name in os.environ for name in _MPI_MARKS):
        return "mpi"
    return None


def _has_process_group() -> bool:
    engine = sys.modules.get("torch.distributed")
    return engine is not None and engine.is_available() and engine.is_initialized()
