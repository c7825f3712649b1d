"""Results of a table's rows: a JSON file that grows, and the table beside the paper's numbers."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..._table import print_table
from .._harness import rounded


@dataclass(frozen=True)
class Told:
    """What came out of one row with one seed, on the test set."""

    row: str
    seed: int
    epochs: int
    mse: float
    perplexity: float
    active_codes: int
    seconds: float
    command: str
    lpips: float | None = None


class Results:
    """`results.json` of a table: a list `rows`, written anew with every row.

    Args:
        folder: of the file.
        title: of the table.
        paper: the paper's numbers, by row.
    """

    def __init__(
        self, folder: Path, title: str, paper: Mapping[str, tuple[float, float, float]]
    ) -> None:
        self.folder, self.title, self.paper = folder, title, paper
        self.path = folder / "results.json"
        self.rows: list[dict[str, Any]] = []
        if self.path.is_file():
            self.rows = json.loads(self.path.read_text(encoding="utf-8"))["rows"]

    def has(self, row: str, seed: int, epochs: int) -> bool:
        """Whether that row is done."""
        return any(self._key(found) == (row, seed, epochs) for found in self.rows)

    def add(self, told: Told) -> None:
        """Take a row in, in place of an earlier one of the same seed and length."""
        new = rounded(asdict(told))
        self.rows = [found for found in self.rows if self._key(found) != self._key(new)] + [new]
        order = list(self.paper)
        self.rows.sort(key=lambda found: (order.index(found["row"]), found["epochs"]))
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps({"rows": self.rows}, indent=1) + "\n", encoding="utf-8")
        os.replace(part, self.path)

    def cells(self) -> list[tuple[str, ...]]:
        """The table: means over the seeds of each row and length, beside the paper's."""
        groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
        for found in self.rows:
            groups.setdefault((found["row"], found["epochs"]), []).append(found)
        return [self._line(row, epochs, group) for (row, epochs), group in groups.items()]

    def _line(self, row: str, epochs: int, group: list[dict[str, Any]]) -> tuple[str, ...]:
        def mean(name: str, factor: float, digits: int) -> str:
            values = [found[name] for found in group if found[name] is not None]
            return f"{factor * float(np.mean(values)):.{digits}f}" if values else ""

        error, perplexity, distance = self.paper[row]
        return (
            row,
            str(epochs),
            str(len(group)),
            mean("mse", 1e3, 2),
            f"{error:.2f}",
            mean("perplexity", 1, 1),
            f"{perplexity:.1f}",
            mean("lpips", 10, 2),
            f"{distance:.2f}",
            mean("seconds", 1 / 60, 0),
        )

    @staticmethod
    def _key(found: dict[str, Any]) -> tuple[str, int, int]:
        return found["row"], found["seed"], found["epochs"]


HEADER = (
    "row",
    "epochs",
    "seeds",
    "MSE x 1e-3",
    "paper",
    "perplexity",
    "paper",
    "LPIPS x 0.1",
    "paper",
    "minutes",
)


def write_table(results: Results) -> None:
    """Print the table, and write it as Markdown beside the JSON."""
    rows = results.cells()
    print(results.title)
    print_table(HEADER, rows, width=130)
    lines = [HEADER, ("---",) * len(HEADER), *rows]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    (results.folder / "table.md").write_text(f"# {results.title}\n\n{text}\n", encoding="utf-8")
