"""Shows how far a command is: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self

_LINE_SECONDS = 5.0


class Progress:
    """Counts files. Within it `say` writes a line to standard error beside the bar."""

    def __init__(self, total: int, label: str, *, shown: bool) -> None:
        self._total, self._label, self._shown = total, label, shown
        self._due = time.monotonic() + _LINE_SECONDS
        self._told = -1
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Self:
        if self._shown and sys.stdout.isatty():
            try:
                from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
            except ImportError:
                return self
            columns = (
                TextColumn("[bold]{task.description}"),
                BarColumn(bar_width=24),
                TextColumn("{task.completed}/{task.total} images"),
                TimeRemainingColumn(),
            )
            self._bar = Progress(*columns)
            self._task = self._bar.add_task(self._label, total=self._total)
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def reach(self, done: int) -> None:
        """So many files are done."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done)
        elif self._is_due(done):
            print(f"{self._label} {done}/{self._total} images", flush=True)
            self._due, self._told = time.monotonic() + _LINE_SECONDS, done

    def _is_due(self, done: int) -> bool:
        if not self._shown or done == self._told:
            return False
        return done == self._total or time.monotonic() >= self._due

    def say(self, text: str) -> None:
        """A line beside the count."""
        if self._shown and self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        elif self._shown:
            print(text, file=sys.stderr, flush=True)
