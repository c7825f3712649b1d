"""A row of a table: what its configuration has, its directory, and its command."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import Any, Protocol

from ._results import name_of

# Settings that a row's command has in another way, or that hold for one machine.
NOT_THE_ROWS = frozenset(
    {"rows", "seeds", "data", "output", "threads", "jobs", "lpips", "inception"}
)


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
    return output / name_of(configuration.row, configuration.seed, configuration.epochs)


def command_of(name: str, configuration: RowConfiguration, settings: Any) -> str:
    """The command of one row: what differs from the settings' defaults is told."""
    words = ["vqswift", "run", name, "--rows", configuration.row]
    words += ["--seeds", str(configuration.seed)]
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if field.name in NOT_THE_ROWS or value == field.default:
            continue
        values = value if isinstance(value, tuple) else (value,)
        words += ["--" + field.name.replace("_", "-"), *map(str, values)]
    return shlex.join(words)
