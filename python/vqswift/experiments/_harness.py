"""What experiments share: settings that are a command's options, results that are kept."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from .._threads import set_threads


def setting(
    default: Any,
    help: str,
    *,
    choices: tuple[str, ...] | None = None,
    least: int | None = None,
    is_distinct: bool = False,
    is_open: bool = False,
    is_positional: bool = False,
    parts: tuple[str, ...] = (),
) -> Any:
    """Return a field of settings that is an option of the command too.

    `least`: of the number, or of each of several. `is_distinct`: none of several is given twice.
    `is_open`: the option's own default is none, as `help` says; a preset may fill it then.
    `is_positional`: it is a word of the command instead, and must be given. `parts`: what each of
    its values is, where there are as many.
    """
    about = {
        "help": help,
        "choices": choices,
        "least": least,
        "is_distinct": is_distinct,
        "is_open": is_open,
        "is_positional": is_positional,
        "parts": parts,
    }
    return dataclasses.field(default=default, metadata=about)


def root_setting() -> Any:
    """Return the folder of the data sets."""
    return setting(None, "folder of the data sets; VQSWIFT_DATA, then ../shared/data by default")


def threads_setting() -> Any:
    """Return the number of threads."""
    return setting(None, "of the core; all CPUs by default", least=1)


def rows_setting(default: tuple[str, ...], help: str, choices: tuple[str, ...]) -> Any:
    """Return the rows of a table."""
    return setting(default, help, choices=choices, is_distinct=True)


def seeds_setting() -> Any:
    """Return the seeds of a table's rows."""
    text = "of weights, codes and batches; 0 by default"
    return setting((0,), text, least=0, is_distinct=True)


def jobs_setting() -> Any:
    """Return how many rows are trained at a time."""
    text = "rows that are trained at a time, each on its share of the CPUs"
    return setting(1, text, least=1)


def output_setting(folder: str) -> Any:
    """Return the folder that is written to."""
    return setting(Path(folder), "folder of all results")


@dataclass(frozen=True)
class Preset:
    """A switch that gives all settings other values, save those that are given beside it."""

    name: str
    help: str
    change: Callable[[Any], Any]


@dataclass(frozen=True)
class Command:
    """An experiment as a command: `run` takes the settings, a dataclass of `setting`s."""

    name: str
    help: str
    description: str | None
    settings: type[Any]
    run: Callable[[Any], Any]
    preset: Preset | None = None

    def add_to(self, commands: Any) -> None:
        """Add the command to the sub-commands of an `argparse` parser."""
        parser = commands.add_parser(
            self.name, help=self.help, description=self.description, formatter_class=_Help
        )
        if self.preset is not None:
            parser.add_argument(f"--{self.preset.name}", action="store_true", help=self.preset.help)
        hints = get_type_hints(self.settings)
        for field in dataclasses.fields(self.settings):
            if field.metadata:
                about = _argument(field, hints[field.name])
                if field.metadata["is_positional"]:
                    known = {k: v for k, v in about.items() if k != "default"}
                    parser.add_argument(field.name, **known)
                    continue
                parser.add_argument("--" + field.name.replace("_", "-"), **about)
        parser.set_defaults(run=lambda options: self.run(self._read(options)))

    def _read(self, options: argparse.Namespace) -> Any:
        given = {
            field.name: getattr(options, field.name)
            for field in dataclasses.fields(self.settings)
            if field.metadata and getattr(options, field.name) is not None
        }
        given = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
        chosen = self.settings(**given)
        if self.preset is None or not getattr(options, self.preset.name):
            return chosen
        fields = dataclasses.fields(self.settings)
        kept = {f.name for f in fields if f.metadata and f.metadata["is_open"]}
        return dataclasses.replace(
            self.preset.change(chosen), **{k: v for k, v in given.items() if k in kept}
        )


@dataclass(frozen=True)
class CommandGroup:
    """A command whose first word chooses among commands."""

    name: str
    help: str
    description: str | None
    commands: tuple[Command, ...]

    def add_to(self, commands: Any) -> None:
        """Add the group to the sub-commands of an `argparse` parser."""
        parser = commands.add_parser(self.name, help=self.help, description=self.description)
        below = parser.add_subparsers(title="experiments", metavar="EXPERIMENT", required=True)
        for command in self.commands:
            command.add_to(below)


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Adds defaults, save to switches and where the text already says what holds without."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text = action.help or ""
        if action.default is None or action.default is False or "by default" in text:
            return text
        return super()._get_help_string(action)


def _argument(field: Any, hint: Any) -> dict[str, Any]:
    """What argparse wants to know of a setting."""
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(kind for kind in get_args(hint) if kind is not type(None))
    about: dict[str, Any] = {"help": field.metadata["help"]}
    if get_origin(hint) is Literal:
        hint = str
    if hint is bool:
        return about | {"action": "store_true"}
    if get_origin(hint) is tuple:
        parts = field.metadata["parts"]
        about |= {
            "nargs": len(parts) or "+",
            "metavar": parts or field.name.removesuffix("s").upper(),
        }
        hint = get_args(hint)[0]
    if field.metadata["choices"]:
        about["choices"] = field.metadata["choices"]
    default = None if field.metadata["is_open"] else field.default
    return about | {"type": hint, "default": default}


def check(name: str, settings: Any) -> None:
    """Check the settings of the experiment `name` by themselves.

    ValueError for a number below its least, and for one of several values that is given twice.
    """
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if value is None or not field.metadata:
            continue
        values = value if isinstance(value, tuple) else (value,)
        least = field.metadata["least"]
        if least is not None and min(values, default=least) < least:
            raise ValueError(f"[{name}] {field.name} = {min(values)}: must be at least {least}")
        if field.metadata["is_distinct"] and len(set(values)) < len(values):
            given = ", ".join(map(str, values))
            raise ValueError(f"[{name}] {field.name} = {given}: must differ from each other")


def begin(settings: Any) -> None:
    """Set what holds for the whole process: the threads."""
    if settings.threads is not None:
        set_threads(settings.threads)


def kept(
    path: Path, key: str, make: Callable[[], dict[str, Any]], *, finished: bool = False
) -> dict[str, Any] | None:
    """Return what `path` has under `key`, else what `make` gives, which is written there.

    Numbers have six significant digits. `finished`: nothing is made; None where nothing is there.
    """
    if path.is_file():
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if document["key"] == key:
            return document
    if finished:
        return None
    document = rounded(make())
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(document) + "\n", encoding="utf-8")
    os.replace(temporary, path)
    return document


def rounded(value: Any) -> Any:
    """Return `value` with six significant digits in every float."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: rounded(entry) for key, entry in value.items()}
    return [rounded(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def written(path: Path, told: dict[str, Any]) -> dict[str, Any]:
    """Write `told` as JSON, numbers with six significant digits, and return it as it was."""
    path.write_text(json.dumps(rounded(told), indent=1) + "\n", encoding="utf-8")
    return told
