"""The JSON-lines file of a run's metrics."""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import Any, TextIO


class MetricsFile:
    """Appends lines to a file while it is entered, or drops them without one.

    Args:
        path: of the file; none for no file.
        tag: written as `"run"` into every line; lines of other runs are never dropped.
    """

    def __init__(self, path: str | os.PathLike[str] | None, tag: str | None) -> None:
        self._path = None if path is None else Path(path)
        self._tag = tag
        self._file: TextIO | None = None
        self._resumed_at: int | None = None

    def resume(self, step: int) -> None:
        """Before the next line is written, those of this run for later steps are dropped."""
        self._resumed_at = step

    def __enter__(self) -> MetricsFile:
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        return self

    def write(self, metrics: dict[str, Any]) -> None:
        """Append a line."""
        if self._path is None:
            return
        if self._file is None:
            if self._resumed_at is not None:
                self._drop_after(self._path, self._resumed_at)
                self._resumed_at = None
            self._file = self._path.open("a", encoding="utf-8", buffering=1)
        run = {} if self._tag is None else {"run": self._tag}
        self._file.write(json.dumps(run | metrics) + "\n")

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _drop_after(self, path: Path, step: int) -> None:
        """Remove this run's lines of later steps, and a last line that was not finished."""
        if not path.is_file():
            return
        lines = path.read_bytes().splitlines(keepends=True)
        kept = [line for line in lines if line.endswith(b"\n") and not self._is_after(line, step)]
        if kept == lines[: len(kept)]:
            os.truncate(path, sum(map(len, kept)))
            return
        target = path.resolve()
        other = target.with_name(f".vqswift-{zlib.crc32(os.fsencode(target.name)):08x}.kept")
        with other.open("wb") as file:
            os.fchmod(file.fileno(), target.stat().st_mode & 0o7777)
            file.writelines(kept)
            file.flush()
            os.fsync(file.fileno())
        other.replace(target)

    def _is_after(self, line: bytes, step: int) -> bool:
        try:
            entry = json.loads(line)
        except ValueError:
            return False
        if not isinstance(entry, dict) or entry.get("run") != self._tag:
            return False
        return isinstance(entry.get("step"), int) and entry["step"] > step
