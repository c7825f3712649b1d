"""Where metrics go beside the run's own file."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from typing import Any, Protocol, runtime_checkable

from .._arguments import checked


@runtime_checkable
class Logger(Protocol):
    """What takes a run's numbers: any object with this method.

    Where it has `close` too, that is called at the end of every `Run.fit`; the next one logs again.
    """

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Take the numbers of a step, by name."""


@checked
class TensorBoard:
    """Writes scalars for TensorBoard into a folder, after `close` into a further file there.

    Raises ImportError where tensorboard is not installed.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        try:
            events: Any = import_module("tensorboard.compat.proto.event_pb2")
            summaries: Any = import_module("tensorboard.compat.proto.summary_pb2")
            writer: Any = import_module("tensorboard.summary.writer.event_file_writer")
        except ImportError as error:
            raise ImportError(
                '[tensorboard] tensorboard is required: pip install "vqswift[train]"'
            ) from error
        self._event, self._summary = events.Event, summaries.Summary
        self._open = partial(writer.EventFileWriter, os.fspath(directory))
        self._writer: Any = self._open()

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Write the numbers of a step."""
        summary = self._summary(
            value=[self._summary.Value(tag=name, simple_value=v) for name, v in values.items()]
        )
        if self._writer is None:
            self._writer = self._open()
        self._writer.add_event(self._event(wall_time=time.time(), step=step, summary=summary))

    def close(self) -> None:
        """Write what is left."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
