"""What was measured against its bar: the rows of the table in `benchmarks/README.md`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ._contest import Outcome

HEADER = ("work", "measured", "peer's best", "ratio", "bar", "verdict")


@dataclass(frozen=True)
class Comparison:
    """A measurement and its bar.

    `value` is what the bar speaks of, in `unit`; None where it was not measured. `measured`
    is ours, `peer` the peer's best with its core type.
    """

    work: str
    measured: str
    peer: str
    value: float | None
    bar: float
    unit: str
    at_most: bool = False

    @property
    def met(self) -> bool | None:
        """None where nothing was measured."""
        if self.value is None:
            return None
        return self.value <= self.bar if self.at_most else self.value >= self.bar

    def cells(self) -> list[str]:
        """The cells under `HEADER`."""
        ratio = "-" if self.value is None else f"{self.value:.3g}"
        bar = f"at {'most' if self.at_most else 'least'} {self.bar:g} {self.unit}"
        verdict = {True: "met", False: "missed", None: "not measured"}[self.met]
        return [self.work, self.measured or "-", self.peer or "-", ratio, bar, verdict]


def ahead(
    work: str, ours: Outcome | None, peer: Outcome | None, bar: float, unit: str
) -> Comparison:
    """That ours takes at most `1 / bar` of the peer's time."""
    value = peer.median / ours.median if ours and peer else None
    return Comparison(work, milliseconds(ours), labeled(peer), value, bar, unit)


def beside(
    work: str, ours: Outcome | None, other: Outcome | None, bar: float, unit: str
) -> Comparison:
    """That ours takes at most `bar` of the time of another of ours."""
    value = ours.median / other.median if ours and other else None
    return Comparison(work, milliseconds(ours), labeled(other), value, bar, unit, at_most=True)


def milliseconds(outcome: Outcome | None) -> str:
    """The median; nothing for nothing."""
    return f"{1e3 * outcome.median:.4g} ms" if outcome else ""


def labeled(outcome: Outcome | None) -> str:
    """The median and whose it is."""
    return f"{milliseconds(outcome)}, {outcome.label}" if outcome else ""


def as_json(rows: Sequence[Comparison]) -> list[dict[str, Any]]:
    return [asdict(row) | {"met": row.met} for row in rows]


def from_json(rows: Iterable[dict[str, Any]]) -> list[Comparison]:
    return [
        Comparison(**{key: value for key, value in row.items() if key != "met"}) for row in rows
    ]
