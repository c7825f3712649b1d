"""Results of a table's rows: a JSON file that grows, and the table beside the paper's numbers."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..._table import print_table
from .._harness import rounded


@dataclass(frozen=True)
class Column:
    """A measurement of the table: its key in the file, and how it is shown.

    `paper` says that the paper's number stands beside it, under `paper_header`.
    """

    key: str
    header: str
    factor: float = 1.0
    digits: int = 1
    paper: bool = True
    paper_header: str = "paper"

    def text(self, value: float | None) -> str:
        """The value as the table has it; nothing for None."""
        return "" if value is None else f"{self.factor * value:.{self.digits}f}"


class Results:
    """`results.json` of a table: a list `rows`, written anew with every row.

    ValueError, which names the file, for one that holds anything else, or rows of another table.

    Args:
        folder: of the file.
        title: of the table.
        columns: what is measured.
        paper: the paper's numbers by row, one for each column that has them, in its units.
    """

    def __init__(
        self,
        folder: Path,
        title: str,
        columns: Sequence[Column],
        paper: Mapping[str, Sequence[float | None]],
    ) -> None:
        self.folder, self.title, self.columns, self.paper = folder, title, tuple(columns), paper
        self.path = folder / "results.json"
        self.rows: list[dict[str, Any]] = []
        if self.path.is_file():
            self.rows = _rows_of(self.path, paper)

    def find(self, row: str, seed: int, epochs: int) -> dict[str, Any] | None:
        """What the file has of that row; None where it is not done."""
        return next((found for found in self.rows if _key(found) == (row, seed, epochs)), None)

    def add(self, told: Mapping[str, Any]) -> None:
        """Take a row in, in place of an earlier one of the same seed and length.

        It has `row`, `seed`, `epochs`, `seconds`, `command` and the columns' keys.
        """
        new = rounded(dict(told))
        order = list(self.paper)
        rows = [found for found in self.rows if _key(found) != _key(new)] + [new]
        rows.sort(key=lambda found: (order.index(found["row"]), found["epochs"], found["seed"]))
        self.rows = rows
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps({"rows": rows}, indent=1) + "\n", encoding="utf-8")
        os.replace(part, self.path)

    def names(self) -> list[str]:
        """How the files of the rows are named, in the table's order."""
        return [name_of(*_key(found)) for found in self.rows]

    @property
    def header(self) -> tuple[str, ...]:
        """The titles of the table."""
        measured: list[str] = []
        for column in self.columns:
            measured += [column.header, column.paper_header] if column.paper else [column.header]
        return "row", "epochs", "seeds", *measured, "minutes"

    def lines(self) -> list[tuple[str, ...]]:
        """The table: means over the seeds of each row and length, beside the paper's."""
        groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
        for found in self.rows:
            groups.setdefault((found["row"], found["epochs"]), []).append(found)
        return [self._line(row, epochs, group) for (row, epochs), group in groups.items()]

    def _line(self, row: str, epochs: int, group: list[dict[str, Any]]) -> tuple[str, ...]:
        published = iter(self.paper[row])
        cells: list[str] = []
        for column in self.columns:
            cells.append(column.text(_mean(group, column.key)))
            if column.paper:
                value = next(published)
                cells.append("" if value is None else f"{value:.{column.digits}f}")
        minutes = f"{sum(found['seconds'] for found in group) / len(group) / 60:.0f}"
        return row, str(epochs), str(len(group)), *cells, minutes

    def print(self) -> None:
        """Print the table, and write it as Markdown beside the JSON."""
        lines = self.lines()
        print(self.title)
        print_table(self.header, lines, width=160)
        rows = [self.header, ("---",) * len(self.header), *lines]
        text = "\n".join("| " + " | ".join(line) + " |" for line in rows)
        path = self.folder / "table.md"
        path.write_text(f"# {self.title}\n\n{text}\n", encoding="utf-8")


_REQUIRED: dict[str, type | tuple[type, ...]] = {
    "row": str, "seed": int, "epochs": int, "seconds": (int, float), "command": str,
}  # fmt: skip


def _rows_of(path: Path, paper: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows that the file holds; ValueError for anything but rows of the table."""
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"[results] {path}: it is no JSON: {error}") from None
    rows = document.get("rows") if isinstance(document, dict) else None
    if not isinstance(rows, list):
        raise ValueError(f"[results] {path}: an object with a list 'rows' is required")
    for index, found in enumerate(rows):
        for key, kind in _REQUIRED.items():
            if not isinstance(found, dict) or not isinstance(found.get(key), kind):
                raise ValueError(f"[results] {path}: rows[{index}] has no {key!r}")
        if found["row"] not in paper:
            raise ValueError(
                f"[results] {path}: {found['row']!r} is a row of another table; take another "
                "--output"
            )
    return rows


def name_of(row: str, seed: int, epochs: int) -> str:
    """How the files of a row are named."""
    return f"{row}-seed-{seed}-epochs-{epochs}".replace(" ", "-").replace("/", "-")


def _key(found: Mapping[str, Any]) -> tuple[str, int, int]:
    return found["row"], found["seed"], found["epochs"]


def _mean(group: Sequence[Mapping[str, Any]], key: str) -> float | None:
    values = [found[key] for found in group if found.get(key) is not None]
    return float(np.mean(values)) if values else None
