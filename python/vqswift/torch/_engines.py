"""What operators call the core with: engines, its tape, its threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import torch

from .. import _core

_Engine = TypeVar("_Engine")


class Pool(Generic[_Engine]):
    """Engines of one description, each used by one thread at a time."""

    def __init__(self, make: Callable[[], _Engine]) -> None:
        self._make = make
        self._free: list[_Engine] = []

    def take(self) -> _Engine:
        """An engine that no other thread uses, until `give` gets it back. One that raised is not
        given back: its state is undefined."""
        follow_threads()
        try:
            return self._free.pop()
        except IndexError:
            return self._make()

    def give(self, engine: _Engine) -> None:
        """Let others use an engine."""
        self._free.append(engine)


class recording:  # noqa: N801
    """Whether the core keeps a tape on this thread."""

    def __init__(self, enabled: bool) -> None:
        self._enabled = enabled

    def __enter__(self) -> None:
        self._before = _core.set_grad_enabled(self._enabled)

    def __exit__(self, *error: object) -> None:
        _core.set_grad_enabled(self._before)


class _Threads:
    seen = 0


def follow_threads() -> None:
    """Let the core use as many threads as PyTorch does, once that has changed."""
    count = torch.get_num_threads()
    if count != _Threads.seen:
        _Threads.seen = count
        _core.set_threads(count)
