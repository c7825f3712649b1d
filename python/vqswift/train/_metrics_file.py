"""The JSON-lines file of a run's metrics, written and read."""

from __future__ import annotations

import json
import os
import zlib
from io import FileIO
from pathlib import Path
from typing import Any

from .._arguments import described


class MetricsFile:
    """Appends lines to a file while it is entered, or drops them without one.

    A line that a full disk broke off is written anew before the next one.

    Args:
        path: of the file; none for no file.
        tag: written as `"run"` into every line; lines of other runs are never dropped.
    """

    def __init__(self, path: str | os.PathLike[str] | None, tag: str | None) -> None:
        self._path = None if path is None else Path(path)
        self._tag = tag
        self._file: FileIO | None = None
        self._resumed_at: int | None = None
        self._waiting: list[bytes] = []  # lines that are not written yet

    def resume(self, step: int) -> None:
        """Before the next line is written, those of this run for later steps are dropped."""
        self._resumed_at, self._waiting = step, []

    def __enter__(self) -> MetricsFile:
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._write_waiting(self._path)
        return self

    def write(self, metrics: dict[str, Any]) -> None:
        """Append a line."""
        if self._path is None:
            return
        run = {} if self._tag is None else {"run": self._tag}
        self._waiting.append(json.dumps(run | metrics).encode() + b"\n")
        self._write_waiting(self._path)

    def __exit__(self, *_: object) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _write_waiting(self, path: Path) -> None:
        while self._waiting:
            if self._file is None:
                self._file = self._opened(path)
            rest = self._waiting[0]
            try:
                while rest:
                    rest = rest[self._file.write(rest) :]
            except OSError:
                self.__exit__()
                raise
            del self._waiting[0]

    def _opened(self, path: Path) -> FileIO:
        """The file, which ends in a whole line; without a buffer it holds what `write` left."""
        if self._resumed_at is not None:
            self._drop_after(path, self._resumed_at)
            self._resumed_at = None
        elif path.is_file():
            _drop_unfinished(path)
        return path.open("ab", buffering=0)

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


def _drop_unfinished(path: Path) -> None:
    """Remove a last line that has no end."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 1, 0))
        if file.read() in (b"", b"\n"):
            return
        file.seek(0)
        whole = file.read().rfind(b"\n") + 1
    os.truncate(path, whole)


def lines_of(
    directory: Path, name: str = "metrics.jsonl", *, operation: str = "run"
) -> list[dict[str, Any]]:
    """The lines of a run's metrics; a last one that was broken off has no end and is left out.

    ValueError, with the file and the line, for one that is no JSON object with an integer `step`.
    """
    path = directory / name
    if not path.is_file():
        return []
    whole = path.read_bytes().rpartition(b"\n")[0]
    return [
        _object(operation, f"{path}, line {number}", line)
        for number, line in enumerate(whole.splitlines(), start=1)
    ]


def _object(operation: str, place: str, line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or type(found.get("step")) is not int:
        text = described(line.decode(errors="replace"))
        raise ValueError(
            f"[{operation}] {place}: {text}: a JSON object with an integer 'step' is required"
        )
    return found
