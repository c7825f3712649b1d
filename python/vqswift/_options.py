"""Modules of the core from options by name."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Collection, Container, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from . import _core
from ._random import Generator


@dataclass(slots=True)
class Made:
    """A module of the core, and the options that it was made of."""

    handle: _core.ModuleHandle
    kind: str
    options: Mapping[str, Any]

    def has(self, name: str) -> bool:
        """Whether the kind has such an option, given or not."""
        return name in _names(self.kind)

    def every(self) -> dict[str, Any]:
        """All options, as they were given or as the core has them."""
        every = {row[0]: self._initial(row[0]) for row in _described(self.kind)}
        return every | dict(self.options)

    def shown(self, positional: Container[str]) -> str:
        """Required options, then those that differ from the core's, as a call has them."""
        texts = []
        for name, form, required, *_ in _described(self.kind):
            if name not in self.options or name in ("seed", "stream"):
                continue
            text = _text(self.options[name], form)
            if required and name in positional:
                texts.append(text)
            elif required or text != _text(self._initial(name), form):
                texts.append(f"{name}={text}")
        return ", ".join(texts)

    def _initial(self, name: str) -> Any:
        initial = next(row[3] for row in _described(self.kind) if row[0] == name)
        return ast.literal_eval(initial) if initial else None


@cache
def _names(kind: str) -> frozenset[str]:
    return frozenset(row[0] for row in _core.module_options(kind))


@cache
def _described(kind: str) -> list[tuple[str, str, bool, str, str, str]]:
    """The options of a kind; the core writes True and False in lower case."""
    rows = _core.module_options(kind)
    return [
        (*row[:3], row[3].capitalize() if row[1] == "bool" else row[3], *row[4:]) for row in rows
    ]


def _text(value: Any, form: str) -> str:
    if value is None:
        return ""
    if form == "float":
        return repr(float(value))
    if form == "pair":
        height, width = value
        return repr(height if height == width else (height, width))
    return repr(bool(value) if form == "bool" else value)


def create(kind: str, /, *, generator: Generator | None = None, **options: Any) -> Made:
    """A module of `kind`. An option that is None stays as the core has it."""
    given = {
        name: bool(value) if isinstance(value, np.bool_) else value
        for name, value in options.items()
        if value is not None
    }
    source = None if generator is None else generator._handle
    return Made(_core.module_create(kind, given, (), source), kind, given)


def refuse_unknown(operation: str, given: Iterable[str], known: Collection[str]) -> None:
    """TypeError with the nearest name unless all of `given` are `known`."""
    for name in given:
        if name not in known:
            names = list(known)
            near = difflib.get_close_matches(name, names, 1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise TypeError(f"[{operation}] unknown option {name!r}: {hint}the known are {names}")
