"""Trains the rows of a table that are not done yet, one after the other."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from ... import train
from ._results import Results

# Settings that a row's command has in another way, or that hold for one machine.
_NOT_THE_ROWS = frozenset({"rows", "seeds", "data", "output", "threads", "lpips"})


class RowConfiguration(Protocol):
    """What the configuration of a row has, whatever it trains."""

    @property
    def row(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def epochs(self) -> int: ...


def folder_of(configuration: RowConfiguration, output: Path) -> Path:
    """The directory of the row's run."""
    name = f"{configuration.row}-seed-{configuration.seed}-epochs-{configuration.epochs}"
    return output / name.replace(" ", "-").replace("/", "-")


def train_rows(
    results: Results,
    configurations: Iterable[RowConfiguration],
    run_of: Callable[[Any, Path], train.Run],
    measured: Callable[[train.Run], Mapping[str, Any]],
    command: Callable[[Any], str],
) -> None:
    """Train each row that `results` has not, measure it, and write it at once.

    Args:
        results: of the table; runs are in folders beside its file.
        configurations: of the rows.
        run_of: a configuration's run in a directory, at the step where it stopped.
        measured: of a finished run, the values of the table's columns.
        command: that trains the row alone.
    """
    for chosen in configurations:
        if results.has(chosen.row, chosen.seed, chosen.epochs):
            continue
        run = run_of(chosen, folder_of(chosen, results.folder))
        run.fit(chosen.epochs * run.epoch, label=chosen.row)
        seconds = sum(line["seconds"] for line in run.history() if "seconds" in line)
        told = {"row": chosen.row, "seed": chosen.seed, "epochs": chosen.epochs}
        results.add(told | dict(measured(run)) | {"seconds": seconds, "command": command(chosen)})
    results.print()


def command_of(name: str, configuration: RowConfiguration, settings: Any) -> str:
    """The command of one row: what differs from the settings' defaults is told."""
    words = ["vqswift", "run", name, "--rows", configuration.row]
    words += ["--seeds", str(configuration.seed)]
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if (
            field.name in ("rows", "seeds", "data", "output", "threads", "lpips")
            or value == field.default
        ):
            continue
        words += ["--" + field.name.replace("_", "-"), str(value)]
    return shlex.join(words)
