"""Measures contestants fairly: each in a process of its own, round after round in turn.

A contestant is a command. It prints one JSON object when it is ready (``{"skip": reason}`` when
it cannot take part), and for every line that it reads it measures once and prints
``{"seconds": [...]}``. ``serve`` is the contestant's side, ``contest`` the other.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"

# Variables that pin a library to another CPU's kernels.
_PINNED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


@dataclass
class Contestant:
    """A name, its command, and variables added to the clean environment."""

    name: str
    command: Sequence[str]
    variables: dict[str, str] = field(default_factory=dict)


@dataclass
class Outcome:
    """What a contestant said when ready, and the seconds of every repetition of every round."""

    name: str
    facts: dict[str, Any]
    seconds: list[float] = field(default_factory=list)
    skipped: str | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def spread(self) -> tuple[float, float]:
        """The first and the ninth decile."""
        ordered = sorted(self.seconds)
        return ordered[len(ordered) // 10], ordered[-1 - len(ordered) // 10]


def clean_environment(variables: dict[str, str]) -> dict[str, str]:
    """The environment without variables that pin kernels, and with ``variables``."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if key not in _PINNED and not key.startswith("NVPL_")
    }
    return kept | variables


def contest(contestants: Sequence[Contestant], rounds: int, pause: float = 0.2) -> list[Outcome]:
    """Runs ``rounds`` rounds in which every contestant measures once, in turn.

    The pause before each lets the threads of the one before fall asleep.
    """
    entries: list[tuple[Outcome, subprocess.Popen[str]]] = []
    outcomes = []
    try:
        for contestant in contestants:
            process = subprocess.Popen(
                contestant.command,
                env=clean_environment(contestant.variables),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            facts = _answer(process)
            outcome = Outcome(contestant.name, facts, skipped=facts.pop("skip", None))
            outcomes.append(outcome)
            if outcome.skipped is None:
                entries.append((outcome, process))
            else:
                process.kill()
                process.wait()
                print(f"{outcome.name}: skipped, {outcome.skipped}", flush=True)
        for _ in range(rounds):
            for outcome, process in entries:
                time.sleep(pause)
                assert process.stdin is not None
                try:
                    print("go", file=process.stdin, flush=True)
                except BrokenPipeError:
                    continue
                answer = _answer(process)
                if "skip" in answer:
                    outcome.skipped = answer["skip"]
                else:
                    outcome.seconds += answer["seconds"]
    finally:
        for _, process in entries:
            process.kill()
            process.wait()
    return outcomes


def serve(prepare: Callable[[], tuple[dict[str, Any], Callable[[], list[float]]]]) -> None:
    """The contestant's side: ``prepare`` gives the facts and the function that measures once."""
    try:
        facts, measure = prepare()
    except Exception as error:
        _say({"skip": f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200]}"})
        return
    _say(facts)
    for _ in sys.stdin:
        _say({"seconds": measure()})


def machine() -> dict[str, Any]:
    """The CPU, its logical count and the Python that ran."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model n"))
    except (OSError, StopIteration):
        pass
    return {
        "cpu": model,
        "cpus": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
    }


def save(name: str, document: dict[str, Any]) -> Path:
    """Writes ``benchmarks/results/<name>.json`` and returns its path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return path


def _say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


def _answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The next JSON object; other output is passed through to standard error."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("{"):
            return json.loads(line)
        print(line, end="", file=sys.stderr)
    return {"skip": f"the process ended with status {process.wait()}"}
