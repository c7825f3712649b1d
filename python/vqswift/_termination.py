"""SIGTERM and Ctrl-C: what ends a command, and what a training writes before it ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any

STATUS = 128 + signal.SIGTERM


def leave(_: int, __: FrameType | None) -> None:
    """Handle SIGTERM by an exit that runs what exits run."""
    raise SystemExit(STATUS)


@contextmanager
def leaving() -> Iterator[None]:
    """While it lasts SIGTERM is handled by `leave`, in the main thread."""
    with _handler(leave):
        yield


class Termination:
    """Turns SIGTERM into `SystemExit` outside of steps, and puts it off within them.

    It answers in the main thread, and where the program does not handle the signal itself.

    Args:
        save: called before the exit, between two steps; None leaves the signal alone.
        interrupts: take Ctrl-C alike, which ends in `KeyboardInterrupt`; a second wish by Ctrl-C
            is met at once. By SIGTERM it is not: one may follow the Ctrl-C of a whole group.
    """

    def __init__(self, save: Callable[[], None] | None, *, interrupts: bool = False) -> None:
        self._save = save
        self._interrupts = interrupts
        self._asked: int | None = None  # the signal
        self._in_step = False
        self._is_whole = True

    @contextmanager
    def handled(self) -> Iterator[None]:
        """While it lasts SIGTERM is answered."""
        if self._save is None:
            yield
            return
        with ExitStack() as handlers:
            handlers.enter_context(_handler(self._ask))
            if self._interrupts:
                by_python = (signal.default_int_handler,)
                handlers.enter_context(_handler(self._ask, signal.SIGINT, by_python))
            try:
                yield
            finally:
                if self._asked is not None and self._is_whole:
                    self._in_step = True
                    self._save()

    @contextmanager
    def step(self) -> Iterator[None]:
        """A step, which is not broken off; behind it the process ends where that was asked."""
        self._in_step, self._is_whole = True, False
        try:
            yield
            self._is_whole = True
        finally:
            self._in_step = False
        if self._asked is not None:
            self._leave(self._asked)

    def _ask(self, number: int, _: FrameType | None) -> None:
        is_urgent = number == signal.SIGINT and self._asked is not None
        self._asked = self._asked or number
        if is_urgent or not self._in_step:
            self._leave(number)

    def _leave(self, number: int) -> None:
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(STATUS)


@contextmanager
def _handler(
    handle: Callable[[int, FrameType | None], None],
    number: int = signal.SIGTERM,
    replaced: tuple[Any, ...] = (signal.SIG_DFL, leave),
) -> Iterator[None]:
    """While it lasts `handle` is the signal's, where one of `replaced` was."""
    before = signal.getsignal(number)
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or before not in replaced:
        yield
        return
    signal.signal(number, handle)
    try:
        yield
    finally:
        signal.signal(number, before)
