"""The table, and the files beside it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..._table import print_table
from ._trials import TRIALS, Settings

_HEADER = (
    "row",
    "seeds",
    "alignment error",
    "x default",
    "equal weights",
    "equal changes",
    "compressed",
    "equal classes",
    "accuracies",
)


@dataclass(frozen=True)
class TrialRow:
    """Means over seeds of the last record of a row; `errors` has the alignment error of each seed.

    Attributes:
        ratio: of the mean alignment error to that of "default", or of "Adam" for rows with Adam.
    """

    row: str
    note: str
    seeds: tuple[int, ...]
    errors: tuple[float, ...]
    error: float
    raw_error: float
    ratio: float | None
    weight_agreement: float
    change_agreement: float
    compressed_change_agreement: float
    inference_agreement: float
    incorrect_agreement: float | None
    validation_correlation: float | None
    accuracy: float
    twin_accuracy: float
    largest_accuracy_gap: float

    def cells(self) -> tuple[str, ...]:
        """As the table shows them."""
        return (
            self.row,
            str(len(self.seeds)),
            f"{self.error:.4f}",
            "" if self.ratio is None else f"{self.ratio:.2f}",
            *(
                f"{100 * share:.2f}%"
                for share in (
                    self.weight_agreement,
                    self.change_agreement,
                    self.compressed_change_agreement,
                    self.inference_agreement,
                )
            ),
            f"{100 * self.accuracy:.2f} / {100 * self.twin_accuracy:.2f}",
        )

    def more(self) -> tuple[str, str]:
        """What only the file's table shows."""
        wrong, curves = self.incorrect_agreement, self.validation_correlation
        return (
            "" if wrong is None else f"{100 * wrong:.1f}%",
            "" if curves is None else f"{curves:.4f}",
        )


def rows(documents: Sequence[dict[str, Any]]) -> list[TrialRow]:
    """One for each twin, in the order of the trials."""
    order = [twin.row for trial in TRIALS for twin in trial.twins]
    found: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for document in documents:
        for name, report in document["twins"].items():
            found.setdefault(name, []).append((document["seed"], report))
    names = sorted(found, key=order.index)
    means = {
        name: _mean([r["records"][-1]["alignment_error"] for _, r in found[name]]) for name in names
    }
    return [_row(name, found[name], means) for name in names]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _known_mean(records: Sequence[dict[str, Any]], key: str) -> float:
    return float(np.mean([record[key] for record in records]))


def _row(name: str, found: list[tuple[int, dict[str, Any]]], means: dict[str, Any]) -> TrialRow:
    last = [report["records"][-1] for _, report in found]
    reports = [report for _, report in found]
    yardstick = means.get("Adam" if name.startswith("Adam") else "default")
    gaps = [abs(r["accuracy"] - r["twin_accuracy"]) for r in last]
    return TrialRow(
        row=name,
        note=reports[0]["note"],
        seeds=tuple(seed for seed, _ in found),
        errors=tuple(r["alignment_error"] for r in last),
        error=means[name],
        raw_error=_known_mean(last, "raw_error"),
        ratio=None if yardstick is None else means[name] / yardstick,
        incorrect_agreement=_mean([r["incorrect_agreement"] for r in last]),
        validation_correlation=_mean([r["validation_correlation"] for r in reports]),
        largest_accuracy_gap=max(gaps),
        **{
            key: _known_mean(last, key)
            for key in ("weight_agreement", "inference_agreement", "accuracy", "twin_accuracy")
        },
        **{
            key: _known_mean(reports, key)
            for key in ("change_agreement", "compressed_change_agreement")
        },
    )


def trial_line(document: dict[str, Any]) -> str:
    """One finished trial."""
    errors = ", ".join(
        f"{name} {report['records'][-1]['alignment_error']:.4f}"
        for name, report in document["twins"].items()
    )
    return f"  {document['trial']}, seed {document['seed']}, {document['seconds']:.0f} s: {errors}"


def rates_line(study: dict[str, Any]) -> str:
    """What the study of rates found."""
    slopes = ", ".join(f"{value:.2f}" for value in study["slopes"])
    factors = ", ".join(f"{value:.2f}" for value in study["factors"][1:])
    momenta = ", ".join(f"{value:g}" for value in study["momenta"])
    return (
        f"  rates, {study['seconds']:.0f} s: slope {slopes} at momentum {momenta}; "
        f"error times {factors}"
    )


def print_rows(found: Sequence[TrialRow]) -> None:
    """Print one line a row; with rich when it is installed."""
    print_table(_HEADER, [row.cells() for row in found], width=130)


def markdown(found: Sequence[TrialRow]) -> str:
    """The table with a note for each row."""
    header = (*_HEADER, "equal wrong classes", "correlation of accuracies", "what is compared")
    rule = ["---", *["---:"] * (len(header) - 2), "---"]
    lines = [header, rule, *((*row.cells(), *row.more(), row.note) for row in found)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def save(settings: Settings, found: Sequence[TrialRow], study: dict[str, Any] | None) -> list[str]:
    """Write results.json and table.md; returns the second's name."""
    kept = {
        k: v
        for k, v in dataclasses.asdict(settings).items()
        if k not in ("root", "output", "finished")
    }
    document = {
        "settings": kept,
        "rows": [dataclasses.asdict(row) for row in found],
        "rates": study and {k: v for k, v in study.items() if k != "key"},
    }
    text = json.dumps(document, indent=1) + "\n"
    (settings.output / "results.json").write_text(text, encoding="utf-8")
    (settings.output / "table.md").write_text(markdown(found) + "\n", encoding="utf-8")
    return ["table.md"]
