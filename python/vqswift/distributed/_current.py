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


_TIMEOUT = 600.0


class _State:
    communicator: Communicator = _NONE
    has_left = False  # by `shut_down`: until the next `init` the process is alone


@checked
def init(engine: str | None = None, *, timeout: float | None = None) -> Communicator:
    """Join the ranks that the launcher has started, and give the communicator.

    Args:
        engine: "mpi" (mpi4py, under `mpirun`), "gloo" (torch.distributed, under `torchrun` or with
            a process group of the program's own), or None for what the environment shows: mpi under
            `mpirun`, gloo under `torchrun`, else one process.
        timeout: seconds that a call waits for other ranks before it raises `PeerLost`; 600 where
            none is given.

    Calling it again gives the communicator that there is, with the new time-out if one is given;
    RuntimeError where that is another engine. ImportError where the engine is not installed.
    """
    if engine not in ("mpi", "gloo", None):
        raise ValueError(f"[distributed] engine = {engine!r}: it must be 'mpi', 'gloo' or None")
    if timeout is not None and not (math.isfinite(timeout) and timeout > 0):
        raise ValueError(f"[distributed] timeout = {timeout}: must be positive and finite")
    now = _State.communicator
    chosen = engine or _launched()
    if now is not _NONE:
        if engine is not None and engine != now.name:
            raise RuntimeError(
                f"[distributed] init({engine!r}): the program runs with {now.name!r} already"
            )
        if timeout is not None:
            now.timeout = timeout
        return now
    _State.has_left = False
    seconds = _TIMEOUT if timeout is None else timeout
    if chosen == "mpi":
        from ._mpi import MPICommunicator

        _State.communicator = MPICommunicator(seconds)
    elif chosen == "gloo":
        from ._gloo import GlooCommunicator

        _State.communicator = GlooCommunicator(seconds)
    found = _State.communicator
    _deferral.set_rank(found.rank if found.size > 1 else None)
    return found


def shut_down() -> None:
    """Leave the other ranks: what follows is one process again, until the next `init`."""
    communicator, _State.communicator = _State.communicator, _NONE
    _State.has_left = True
    _deferral.set_rank(None)
    communicator.close()


atexit.register(shut_down)


@contextmanager
def alone() -> Iterator[None]:
    """A scope, of this thread, in which each rank works for itself, as one process."""
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
    process group since, which all ranks join at their first call; without them one process."""
    if (chosen := _chosen.get()) is not None:
        return chosen
    if _joins():
        init("gloo")
    return _State.communicator


def has_joined() -> Communicator:
    """`current()` without joining a process group of the program."""
    chosen = _chosen.get()
    return _State.communicator if chosen is None else chosen


def _joins() -> bool:
    return _State.communicator is _NONE and not _State.has_left and _has_process_group()


def rank() -> int:
    """This process's number among the ranks, from 0."""
    if _chosen.get() is None and _joins():
        return int(sys.modules["torch.distributed"].get_rank())
    return current().rank


def size() -> int:
    """How many ranks the program has."""
    if _chosen.get() is None and _joins():
        return int(sys.modules["torch.distributed"].get_world_size())
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
