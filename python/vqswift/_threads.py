"""Threads and libraries of the core."""

import contextlib
from collections.abc import Iterator

from . import _core
from ._arguments import checked


@checked
def set_threads(count: int) -> None:
    """Use `count` threads (at least 1) for every later call; `OMP_NUM_THREADS` sets the start."""
    _core.set_threads(count)


def get_threads() -> int:
    """The number of threads that calls of this thread use."""
    return _core.get_threads()


@checked
@contextlib.contextmanager
def limit_threads(count: int) -> Iterator[None]:
    """Within the block, on this thread alone, use `count` threads (at least 1) at most.

    In a block within the block its own count holds. Threads of Python that each call the core do
    best with one each: none waits for another then.

        def work(images):
            with vq.limit_threads(1):
                return own_model.encode(images)
    """
    if count == 0:
        raise ValueError("[limit_threads] count = 0: it must lie in 1...4096")
    before = _core.thread_limit()
    _core.set_thread_limit(count)
    try:
        yield
    finally:
        _core.set_thread_limit(before)


def libraries() -> str:
    """The libraries under the core, their versions, and the instruction set of the kernels."""
    return _core.libraries()
