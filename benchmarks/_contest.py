"""Measures contestants fairly: each in a process of its own, round after round in turn.

A contestant is a command that answers every line that it reads with one JSON object: `case NAME`
with `{"facts": {...}}` when it is ready for that case, `measure` with
`{"seconds": {way: [...]}}`, the seconds of each of its ways, and either with `{"skip": reason}`
when it cannot.
`_serve` is the contestant's side.
"""

from __future__ import annotations

import ctypes.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Where `python -m benchmarks.NAME` finds its module.
ROOT = Path(__file__).resolve().parent.parent
# OpenBLAS chooses its kernels itself, or is told to take those of a core type.
CORE_TYPES = ("", "Haswell", "SkylakeX")
# Variables that pin a library to another CPU's kernels.
_PINNED = (
    "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "VQSWIFT_INSTRUCTIONS", "VQSWIFT_SCREEN"
)  # fmt: skip


@dataclass
class Contestant:
    """A name, its command, variables added to the clean environment, and the core type if named."""

    name: str
    command: Sequence[str]
    variables: dict[str, str] = field(default_factory=dict)
    core: str = ""


@dataclass
class Outcome:
    """The seconds of every repetition of every round of one way of a contestant in one case."""

    name: str
    way: str = ""
    core: str = ""
    case: str = ""
    condition: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    skipped: str | None = None

    @property
    def title(self) -> str:
        """The contestant and its way."""
        return f"{self.name} {self.way}".rstrip()

    @property
    def label(self) -> str:
        """The title and the core type."""
        return f"{self.title} ({self.core})" if self.core else self.title

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def spread(self) -> tuple[float, float]:
        """The first and the ninth decile."""
        ordered = sorted(self.seconds)
        return ordered[len(ordered) // 10], ordered[-1 - len(ordered) // 10]


def clean_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment without variables that pin kernels, and with `variables`."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if key not in _PINNED and not key.startswith("NVPL_")
    }
    return kept | dict(variables)


def core_types(name: str, command: Sequence[str]) -> list[Contestant]:
    """One contestant for each of OpenBLAS' core types."""
    return [
        Contestant(name, command, {"OPENBLAS_CORETYPE": core} if core else {}, core)
        for core in CORE_TYPES
    ]


def with_system_blas(name: str, command: Sequence[str]) -> list[Contestant]:
    """The contestant with the system's OpenBLAS before the one that its package carries, if any."""
    library = ctypes.util.find_library("openblas")
    variables = {"LD_PRELOAD": library or ""}
    return [Contestant(name, command, variables, "system's OpenBLAS")] if library else []


def contest(
    contestants: Sequence[Contestant],
    rounds: int,
    cases: Sequence[str] = ("",),
    conditions: Mapping[str, Callable[[], AbstractContextManager[Any]]] | None = None,
    pause: float = 0.2,
) -> list[Outcome]:
    """Runs, case after case, `rounds` rounds in which every contestant measures once, in turn.

    A round is measured under every condition, within the context that it names. The pause before
    each measurement lets the threads of the contestant before fall asleep.
    """
    conditions = conditions or {"": nullcontext}
    outcomes: list[Outcome] = []
    with ExitStack() as stack:
        entries = [(each, stack.enter_context(_started(each))) for each in contestants]
        for case in cases:
            outcomes += _of_case(entries, rounds, case, conditions, pause)
    return outcomes


def best(outcomes: Iterable[Outcome]) -> Outcome | None:
    """The one with the least median, of those that were measured."""
    measured = [outcome for outcome in outcomes if outcome.seconds]
    return min(measured, key=lambda outcome: outcome.median, default=None)


def best_cores(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Of every way of a contestant, the core type with the least median, in the given order."""
    groups: dict[tuple[str, ...], list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.seconds:
            key = (outcome.case, outcome.condition, outcome.name, outcome.way)
            groups.setdefault(key, []).append(outcome)
    return [min(group, key=lambda outcome: outcome.median) for group in groups.values()]


_Entry = tuple[Contestant, "subprocess.Popen[str]"]


@contextmanager
def _started(contestant: Contestant) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        contestant.command,
        cwd=ROOT,
        env=clean_environment(contestant.variables),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            # A line that nobody read is still in the buffer.
            with suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()


def _of_case(
    entries: Sequence[_Entry],
    rounds: int,
    case: str,
    conditions: Mapping[str, Callable[[], AbstractContextManager[Any]]],
    pause: float,
) -> list[Outcome]:
    found: dict[tuple[str, ...], Outcome] = {}

    def outcome(
        contestant: Contestant, facts: dict[str, Any], way: str = "", condition: str = ""
    ) -> Outcome:
        key = (contestant.name, contestant.core, way, condition)
        new = Outcome(contestant.name, way, contestant.core, case, condition, facts)
        return found.setdefault(key, new)

    def skip(contestant: Contestant, facts: dict[str, Any], reason: str) -> None:
        skipped = outcome(contestant, facts)
        skipped.skipped = reason
        print(f"{case} {skipped.label}: skipped, {reason}".strip(), file=sys.stderr, flush=True)

    ready = []
    for contestant, process in entries:
        answer = _ask(process, f"case {case}")
        if "skip" in answer:
            skip(contestant, {}, answer["skip"])
        else:
            ready.append((contestant, process, answer["facts"]))
    for _ in range(rounds):
        for condition, context in conditions.items():
            with context():
                for entry in [*ready]:
                    contestant, process, facts = entry
                    time.sleep(pause)
                    answer = _ask(process, "measure")
                    if "skip" in answer:
                        skip(contestant, facts, answer["skip"])
                        ready.remove(entry)
                        continue
                    for way, seconds in answer["seconds"].items():
                        outcome(contestant, facts, way, condition).seconds += seconds
    return [*found.values()]


def _ask(process: subprocess.Popen[str], line: str) -> dict[str, Any]:
    """The answer to a line; other output is passed through to standard error."""
    assert process.stdin is not None and process.stdout is not None
    try:
        print(line, file=process.stdin, flush=True)
    except BrokenPipeError:
        return {"skip": f"the process ended with status {process.wait()}"}
    for answer in process.stdout:
        if answer.startswith("{"):
            return json.loads(answer)
        print(answer, end="", file=sys.stderr)
    return {"skip": f"the process ended with status {process.wait()}"}
