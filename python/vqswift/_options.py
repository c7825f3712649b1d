"""Modules of the core from options by name."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from . import _core
from ._random import Generator, quantizer_seed


@dataclass(slots=True)
class Made:
    """A module of the core, and the options that it was made of."""

    handle: _core.ModuleHandle
    kind: str
    options: Mapping[str, Any]

    def has(self, name: str) -> bool:
        """Whether the kind has such an option, given or not."""
        return name in self._known()

    def every(self) -> dict[str, Any]:
        """All options, as they were given or as the core has them."""
        initial = {name: option.initial for name, option in self._known().items()}
        return initial | dict(self.options)

    def _known(self) -> dict[str, Option]:
        return options_of("module", self.kind)

    def shown(self, positional: Container[str]) -> str:
        """Required options, then those that differ from the core's, as a call has them."""
        texts = []
        for name, option in sorted(self._known().items(), key=lambda item: not item[1].is_required):
            if name not in self.options or name in ("seed", "stream"):
                continue
            text = _text(self.options[name], option.form)
            if option.is_required and name in positional:
                texts.append(text)
            elif option.is_required or text != _text(option.initial, option.form):
                texts.append(f"{name}={text}")
        return ", ".join(texts)


class Option(NamedTuple):
    """What an option takes, and is at first."""

    form: str
    is_required: bool
    initial: Any  # None for none


@cache
def options_of(family: str, kind: str) -> dict[str, Option]:
    """The options of a kind by name."""
    import ast

    options = {}
    for name, form, is_required, initial, *_ in _core.kind_options(family, kind):
        # The core writes True and False in lower case.
        text = initial.capitalize() if form == "bool" else initial
        options[name] = Option(form, is_required, ast.literal_eval(text) if text else None)
    return options


def _text(value: Any, form: str) -> str:
    if value is None:
        return ""
    if isinstance(value, np.generic):
        value = value.item()
    if form == "float":
        return repr(float(value))
    if form == "pair":
        height, width = value
        return repr(height if height == width else (height, width))
    return repr(bool(value) if form == "bool" else value)


def create(
    kind: str,
    given: Mapping[str, Any] | None = None,
    /,
    *,
    generator: Generator | None = None,
    **options: Any,
) -> Made:
    """A module of `kind`, by options in a mapping or by name. One that is None stays as the core
    has it."""
    given = {
        name: bool(value) if isinstance(value, np.bool_) else value
        for name, value in {**(given or {}), **options}.items()
        if value is not None
    }
    source = None if generator is None else generator._handle
    return Made(_core.module_create(kind, given, (), source), kind, given)


def create_seeded(kind: str, seed: int | None, /, **options: Any) -> Made:
    """A quantizer of `kind` that draws from `seed`, or as `quantizer_seed` says without one."""
    seed, stream = quantizer_seed(kind, seed)
    return create(kind, **options, seed=seed, stream=stream)
