"""SIGTERM and Ctrl-C: what ends a command, and what a training writes before it ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    """

    def __init__(self, save: Callable[[], None] | None) -> None:
        self._save = save
        self._is_asked = False
        self._in_step = False
        self._is_whole = True

    @contextmanager
    def handled(self) -> Iterator[None]:
        """While it lasts SIGTERM is answered."""
        if self._save is None:
            yield
            return
        with _handler(self._ask):
            try:
                yield
            finally:
                if self._is_asked and self._is_whole:
                    self._in_step = True
                    self._save()

    @contextmanager
    def step(self) -> Iterator[None]:
        """A step, which is not broken off; raises `SystemExit` behind it where that was asked."""
        self._in_step, self._is_whole = True, False
        try:
            yield
            self._is_whole = True
        finally:
            self._in_step = False
        if self._is_asked:
            raise SystemExit(STATUS)

    def _ask(self, _: int, __: FrameType | None) -> None:
        self._is_asked = True
        if not self._in_step:
            raise SystemExit(STATUS)


class Stop:
    """SIGTERM and Ctrl-C as a wish that is met between two steps; asked again, at once.

    They are answered in the main thread, and where the program does not handle them itself.
    """

    def __init__(self) -> None:
        self._signal: int | None = None
        self._in_step = False
        self.is_whole = True

    @property
    def is_asked(self) -> bool:
        """Whether the run is to stop."""
        return self._signal is not None

    @contextmanager
    def asked(self) -> Iterator[None]:
        """While it lasts both are answered."""
        by_python = (signal.default_int_handler,)
        with _handler(self._ask), _handler(self._ask, signal.SIGINT, by_python):
            yield

    @contextmanager
    def step(self) -> Iterator[None]:
        """A step, which the first wish does not break off; behind it the wish is met."""
        self._in_step, self.is_whole = True, False
        try:
            yield
            self.is_whole = True
        finally:
            self._in_step = False
        if self.is_asked:
            self._leave()

    def _leave(self) -> None:
        if self._signal == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(STATUS)

    def _ask(self, number: int, _: FrameType | None) -> None:
        again, self._signal = self.is_asked, number
        if again or not self._in_step:
            self._leave()


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
