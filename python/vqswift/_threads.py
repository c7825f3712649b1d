"""Threads and libraries of the core."""

from . import _core
from ._arguments import checked


@checked
def set_threads(count: int) -> None:
    """Use `count` threads (at least 1) for every later call; `OMP_NUM_THREADS` sets the start."""
    _core.set_threads(count)


def get_threads() -> int:
    """The number of threads in use."""
    return _core.get_threads()


def libraries() -> str:
    """The libraries under the core, their versions, and the instruction set of the kernels."""
    return _core.libraries()
