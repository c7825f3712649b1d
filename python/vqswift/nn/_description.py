"""Modules as plain JSON: class and constructor's arguments."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..optim import Optimizer
from ._module import Module

CLASS, OPTIMIZER, ARGUMENTS, STREAM = "class", "optimizer", "arguments", "drawn_from"


def described(module: Module, classes: dict[str, type]) -> dict[str, Any]:
    """`{"class": name, "arguments": {...}}`, with "drawn_from" where a quantizer has no seed of its
    own: seed and creation index, as texts.

    `classes` gains each module's class by its name. ValueError with the place of what no JSON has.
    """
    name = type(module).__name__
    if classes.setdefault(name, type(module)) is not type(module):
        raise ValueError(f"[save_pretrained] {name}: two classes have this name")
    config = getattr(module, "config", None)
    given = module._arguments() if config is None else config
    if given is None:
        raise ValueError(
            f"[save_pretrained] {name} has no config: an attribute or property with the arguments "
            "of its constructor is required"
        )
    if not isinstance(given, Mapping):
        raise ValueError(
            f"[save_pretrained] {name}.config is a {type(given).__name__}: a mapping from names to "
            "arguments is required"
        )
    told = {CLASS: name, ARGUMENTS: _mapping(f"{name}.config", given, classes)}
    options = module.options
    if "stream" in options and given.get("seed") is None:
        told[STREAM] = [str(options["seed"]), str(options["stream"])]
    return told


def _mapping(place: str, given: Mapping[Any, Any], classes: dict[str, type]) -> dict[str, Any]:
    for key in given:
        if not isinstance(key, str):
            raise ValueError(f"[save_pretrained] {place} has the key {key!r}: a text is required")
    return {key: _plain(f"{place}[{key!r}]", value, classes) for key, value in given.items()}


def _plain(place: str, value: Any, classes: dict[str, type]) -> Any:
    """`value` as JSON has it."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"[save_pretrained] {place} = {value}: JSON has finite numbers alone")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Module):
        return described(value, classes)
    if isinstance(value, (list, tuple)):
        if value and all(isinstance(entry, Optimizer) for entry in value):
            return _optimizer(place, value)
        return [_plain(f"{place}[{i}]", entry, classes) for i, entry in enumerate(value)]
    if isinstance(value, Mapping):
        if {CLASS, OPTIMIZER} & value.keys():
            raise ValueError(
                f"[save_pretrained] {place} has the key {CLASS!r} or {OPTIMIZER!r}: they stand for "
                "modules and optimizers"
            )
        return _mapping(place, value, classes)
    raise ValueError(
        f"[save_pretrained] {place} is a {type(value).__name__}: None, booleans, numbers, texts, "
        "modules, and sequences and mappings of them are written"
    )


def _optimizer(place: str, optimizers: list[Any] | tuple[Any, ...]) -> dict[str, Any]:
    """The optimizers of a quantizer's codebooks, which one function makes."""
    from .. import optim

    told = []
    for each in optimizers:
        kind = type(each)
        if getattr(optim, kind.__name__, None) is not kind:
            raise ValueError(
                f"[save_pretrained] {place} gives a {kind.__name__}: one of vqswift.optim "
                "is written"
            )
        (group,) = each.param_groups
        rates = {"lr": group["initial_lr"], "weight_decay": group["weight_decay"]}
        settings = rates | each._settings | each._betas[0]
        names = inspect.signature(kind).parameters
        told.append((kind.__name__, {n: settings[n] for n in names if n in settings}))
    if any(each != told[0] for each in told):
        raise ValueError(
            f"[save_pretrained] {place}: the codebooks' optimizers differ, and no one call of a "
            "class makes them"
        )
    return {OPTIMIZER: told[0][0], ARGUMENTS: _mapping(place, told[0][1], {})}
