"""Which rows are done, and that they were trained with the settings that are asked for."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...train._configuration import difference, from_toml, to_toml
from ._results import Results
from ._row import NOT_THE_ROWS, RowConfiguration, command_of, folder_of


def missing_rows(
    name: str,
    settings: Any,
    results: Results,
    configurations: Iterable[RowConfiguration],
    wanted: Sequence[str],
) -> list[RowConfiguration]:
    """Those that `results` has not, or has without all keys `wanted`.

    ValueError for one that was begun or done with other settings: by the configuration in its
    directory, or by its numbers and its command where the directory is gone.
    """
    missing = []
    for chosen in configurations:
        folder = folder_of(chosen, results.folder)
        path = folder / "config.toml"
        found = results.find(chosen.row, chosen.seed, chosen.epochs)
        absent = [] if found is None else [key for key in wanted if key not in found]
        told = _configured_otherwise(path, chosen, is_done=found is not None)
        if found is not None:
            told = told or _recorded_otherwise(found, settings)
            if not path.is_file():
                told = told or _commanded_otherwise(found, command_of(name, chosen, settings))
        if absent and not any(folder.glob("checkpoint-*.safetensors")):
            told = told or f"done without {', '.join(absent)}, and its checkpoints are gone"
        if told is not None:
            place = f"{chosen.row}, seed {chosen.seed}, {folder}"
            raise ValueError(f"[{name}] {place}: {told}; take another --output")
        if found is None or absent:
            missing.append(chosen)
    return missing


def _configured_otherwise(path: Path, chosen: RowConfiguration, *, is_done: bool) -> str | None:
    """How the file differs; a field that it lacks has its default where the row is done."""
    if not path.is_file():
        return None
    try:
        text = path.read_text(encoding="utf-8")
        if is_done:
            text = to_toml(from_toml(type(chosen), text))
        told = difference(text, to_toml(chosen))
    except (TypeError, ValueError) as error:
        return f"{path.name} cannot be read: {error}"
    return None if told is None else f"{path.name} has another configuration: {told}"


def _recorded_otherwise(found: Mapping[str, Any], settings: Any) -> str | None:
    """The first setting whose value in the result is another one."""
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if value is None or field.name in NOT_THE_ROWS or field.name not in found:
            continue
        if found[field.name] != value:
            return f"done with {field.name} = {found[field.name]}, not {value}"
    return None


def _commanded_otherwise(found: Mapping[str, Any], command: str) -> str | None:
    """The first option in which the result's command differs."""
    before, after = _options(found["command"]), _options(command)
    for option in dict.fromkeys([*after, *before]):
        if option not in before:
            return f"done without {option} {after[option]}"
        if option not in after:
            return f"done with {option} {before[option]}"
        if before[option] != after[option]:
            return f"done with {option} {before[option]}, not {after[option]}"
    return None


def _options(command: str) -> dict[str, str]:
    """Values of a command's options, save those that tell rows apart."""
    found: dict[str, list[str]] = {}
    option = ""
    for word in shlex.split(command):
        if word.startswith("--"):
            option = word
        found.setdefault(option, []).append(word)
    told = {key: shlex.join(words[1:]) for key, words in found.items()}
    return {k: v for k, v in told.items() if k not in ("", "--rows", "--seeds", "--epochs")}
