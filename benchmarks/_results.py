"""The machine, the common options, and the JSON document that a benchmark leaves."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ._contest import Outcome

RESULTS = Path(__file__).parent / "results"


def options_of(description: str | None, rounds: int) -> argparse.ArgumentParser:
    """A parser that has the options of every benchmark."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=rounds, help=f"{rounds} by default")
    parser.add_argument("--quick", action="store_true", help="a smoke run: small and short")
    parser.add_argument("--peer-python", default=sys.executable, help="interpreter with the peers")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON files")
    parser.add_argument("--contestant", help=argparse.SUPPRESS)
    return parser


def machine() -> dict[str, Any]:
    """The CPU, its logical count and the Python that ran."""
    return {
        "cpu": _cpu_line("model name") or platform.processor() or platform.machine(),
        "cpus": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
    }


def has_cpu_flag(flag: str) -> bool:
    """Whether the kernel lists the flag of the CPU."""
    return flag in _cpu_line("flags").split()


def save(name: str, options: argparse.Namespace, document: dict[str, Any]) -> Path:
    """Writes `<name>.json` into the folder of the results, a smoke run's into `quick` there."""
    head = {
        "command": command_line(sys.argv),
        "date": datetime.date.today().isoformat(),
        "quick": options.quick,
        "machine": machine(),
    }
    folder = options.results / "quick" if options.quick else options.results
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(head | document, indent=2) + "\n", encoding="utf-8")
    return path


def command_line(arguments: Sequence[str]) -> str:
    """The command without the interpreter and the folder, which differ from machine to machine."""
    script, *rest = arguments
    kept, skips = [], False
    for argument in rest:
        if skips:
            skips = False
        elif argument in ("--peer-python", "--results"):
            skips = True
        elif not argument.startswith(("--peer-python=", "--results=")):
            kept.append(argument)
    return shlex.join(["python", "-m", f"benchmarks.{Path(script).stem}", *kept])


def told(outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    """The outcomes as JSON: of every contestant in every case its facts once, and its ways."""
    groups: dict[tuple[str, str, str], dict[str, Any]] = {}
    for outcome in outcomes:
        new = {
            "case": outcome.case,
            "contestant": outcome.name,
            "core type": outcome.core,
            "facts": outcome.facts,
            "skipped": None,
            "ways": [],
        }
        group = groups.setdefault((outcome.case, outcome.name, outcome.core), new)
        group["skipped"] = group["skipped"] or outcome.skipped
        if outcome.seconds:
            way = {"way": outcome.way, "condition": outcome.condition, "median": outcome.median}
            group["ways"].append(way | {"seconds": outcome.seconds})
    return [*groups.values()]


def _cpu_line(name: str) -> str:
    """The first value of a field of /proc/cpuinfo, empty where there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), "")
