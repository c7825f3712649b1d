"""Messages that go out beside what the program does meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ._tree import Array


class Message(threading.Thread):
    """An exchange with the other ranks on a thread of its own, behind that of `before`.

    The thread does not keep a process alive that has failed, whose end the others wait for.
    """

    def __init__(self, exchange: Callable[[], Array], before: Message | None) -> None:
        super().__init__(name="vqswift message", daemon=True)
        self._exchange, self._before = exchange, before
        self._found: Array | BaseException
        self.start()

    def run(self) -> None:
        """What the thread does."""
        try:
            if self._before is not None:
                self._before.result()
            self._found = self._exchange()
        except BaseException as error:
            self._found = error
        self._before = None

    def result(self) -> Array:
        """What the exchange gives, once it is done; raises what it raised."""
        self.join()
        if isinstance(self._found, BaseException):
            raise self._found
        return self._found
