"""Configurations as dataclasses, and as TOML both ways."""

from __future__ import annotations

import dataclasses
import enum
import math
import tomllib
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from .._arguments import checked, refuse

Configuration = TypeVar("Configuration")


@checked
def to_toml(configuration: Any) -> str:
    """A dataclass as TOML: nested dataclasses are tables, fields that are None are left out.

    Fields hold bools, integers, floats, text, paths, enumerations of these, tuples or lists of
    them, dictionaries from text to them, and dataclasses. TypeError for anything else, ValueError
    for text that is no Unicode, with the field's name. A field without `init` is left out.
    """
    import tomli_w

    if not dataclasses.is_dataclass(configuration) or isinstance(configuration, type):
        refuse("to_toml", "configuration", configuration, "a dataclass")
    return tomli_w.dumps(_table(configuration, ""))


@checked
def from_toml(kind: type[Configuration], text: str) -> Configuration:
    """A dataclass of `kind` from what `to_toml` gave, or somebody wrote.

    Fields that are left out keep their defaults. ValueError for text that is no TOML, a key that
    is no field, a field that has no default and is left out, or a word that is not among a field's
    choices; TypeError for a value of another type.
    """
    if not dataclasses.is_dataclass(kind):
        refuse("from_toml", "kind", kind, "a dataclass")
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"[from_toml] {error}") from None
    made: Configuration = _read(kind, table, "")
    return made


def difference(there: str, new: str) -> str | None:
    """The first value in which TOML `new` differs from TOML `there`; None where all are the same.

    ValueError for text that is no TOML.
    """
    before, after = (dict(_leaves(tomllib.loads(text), "")) for text in (there, new))
    for name, value in after.items():
        if name not in before:
            return f"{f'{name} = {value!r}'!r} is not in it"
        if not _is_same(before[name], value):
            return f"{f'{name} = {value!r}'!r} is not in it, but {f'{name} = {before[name]!r}'!r}"
    for name, value in before.items():
        if name not in after:
            return f"it has {f'{name} = {value!r}'!r}, which the new one has not"
    return None


def _is_same(a: Any, b: Any) -> bool:
    """Whether a configuration means the same by both; 1 is 1.0, and True is not."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_is_same, a, b))
    if isinstance(a, bool) != isinstance(b, bool):
        return False
    return repr(a) == repr(b) or bool(a == b)


def _leaves(table: dict[str, Any], above: str) -> Iterator[tuple[str, Any]]:
    """Values outside tables by dotted names."""
    for key, value in table.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield above + key, value


def _table(configuration: Any, above: str) -> dict[str, Any]:
    found = {}
    for field in dataclasses.fields(configuration):
        value = getattr(configuration, field.name)
        if value is not None and field.init:
            found[field.name] = _plain(value, above + field.name)
    return found


def _plain(value: Any, name: str) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _table(value, f"{name}.")
    if isinstance(value, enum.Enum):
        return _plain(value.value, name)
    if isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise ValueError(f"[to_toml] {name} = {value!r}: Unicode text is required")
    if isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (tuple, list)):
        return [_plain(entry, f"{name}[{index}]") for index, entry in enumerate(value)]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _plain(entry, f"{name}.{key}") for key, entry in value.items()}
    if hasattr(value, "__fspath__"):
        return str(value)
    refuse("to_toml", name, value, "what a configuration may hold")


def _read(kind: Any, table: dict[str, Any], above: str) -> Any:
    hints = get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}
    if unknown := sorted(table.keys() - fields.keys()):
        raise ValueError(
            f"[from_toml] {above}{unknown[0]}: no field of {kind.__name__}, which has "
            f"{', '.join(fields)}"
        )
    for name, field in fields.items():
        has_default = (field.default, field.default_factory) != (dataclasses.MISSING,) * 2
        if name not in table and not has_default:
            raise ValueError(f"[from_toml] {above}{name} is missing: it has no default")
    return kind(**{key: _typed(hints[key], value, above + key) for key, value in table.items()})


def _typed(hint: Any, value: Any, name: str) -> Any:
    """`value` as the field's type; TypeError for another."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        choices = [choice for choice in get_args(hint) if choice is not type(None)]
        if len(choices) == 1:
            return _typed(choices[0], value, name)
        for choice in choices:
            try:
                return _typed(choice, value, name)
            except (TypeError, ValueError):
                continue
        raise _mismatch(hint, value, name)
    if origin is Literal:
        if not any(type(value) is type(each) and value == each for each in get_args(hint)):
            raise ValueError(f"[from_toml] {name} = {value!r}: must be one of {get_args(hint)}")
        return value
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise _mismatch(hint, value, name)
        return _read(hint, value, f"{name}.")
    if hint in (tuple, list, Sequence) or origin in (tuple, list, Sequence):
        return _sequence(hint, value, name)
    if hint in (dict, Mapping) or origin in (dict, Mapping):
        if not isinstance(value, dict):
            raise _mismatch(hint, value, name)
        if not get_args(hint):
            return value
        return {k: _typed(get_args(hint)[1], v, f"{name}.{k}") for k, v in value.items()}
    return _scalar(hint, value, name)


def _sequence(hint: Any, value: Any, name: str) -> Any:
    if not isinstance(value, list):
        raise _mismatch(hint, value, name)
    make = list if list in (hint, get_origin(hint)) else tuple
    kinds = get_args(hint)
    if hint in (tuple, list, Sequence):
        kinds = (Any,) * len(value)
    elif get_origin(hint) is tuple and (not kinds or kinds[-1] is not Ellipsis):
        if len(value) != len(kinds):
            raise _mismatch(hint, value, name)
    else:
        kinds = (kinds[0],) * len(value)
    entries = [
        _typed(kind, entry, f"{name}[{index}]")
        for index, (kind, entry) in enumerate(zip(kinds, value, strict=True))
    ]
    return make(entries)


def _scalar(hint: Any, value: Any, name: str) -> Any:
    if hint is Any:
        return value
    if isinstance(hint, enum.EnumMeta):
        members: list[enum.Enum] = list(hint)
        for each in members:
            if type(each.value) is type(value) and each.value == value:
                return each
        values = tuple(each.value for each in members)
        raise ValueError(f"[from_toml] {name} = {value!r}: must be one of {values}")
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if hint is float and isinstance(value, float) and math.isnan(value):
        raise ValueError(f"[from_toml] {name} = nan: a number is required")
    if hasattr(hint, "__fspath__") and isinstance(value, str):
        return hint(value)
    if type(value) is not hint:
        raise _mismatch(hint, value, name)
    return value


def _mismatch(hint: Any, value: Any, name: str) -> TypeError:
    wanted = getattr(hint, "__name__", str(hint))
    return TypeError(f"[from_toml] {name} = {value!r}: {wanted} is required")
