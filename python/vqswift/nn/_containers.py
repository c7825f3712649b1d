"""Layers and tensors in lists, tuples, dicts and other containers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from typing import Any

Plain = (list, tuple, dict)


def entries(name: str, value: Any, wanted: Callable[[Any], bool]) -> Iterator[tuple[str, Any]]:
    """Pairs (dotted name, element) of the wanted elements of a list, tuple or dict, at any depth.

    ValueError for a wanted element whose key names another's too, or has a dot.
    """
    yield from _entries(name, value, wanted, ())


def _entries(
    name: str, value: Any, wanted: Callable[[Any], bool], outer: tuple[int, ...]
) -> Iterator[tuple[str, Any]]:
    if id(value) in outer:
        return
    pairs: Iterable[tuple[Any, Any]] = (
        value.items() if isinstance(value, dict) else enumerate(value)
    )
    named: dict[str, Any] = {}
    for key, element in pairs:
        path = f"{name}.{key}"
        if isinstance(element, Plain):
            found = list(_entries(path, element, wanted, (*outer, id(value))))
        else:
            found = [(path, element)] if wanted(element) else []
        if found and isinstance(value, dict):
            _require_name(name, key, named)
        yield from found


def _require_name(name: str, key: Any, named: dict[str, Any]) -> None:
    text = str(key)
    if not text or "." in text:
        raise ValueError(
            f"[module] {name}[{key!r}]: a key is part of a dotted name; it must have no dot and "
            "not be empty"
        )
    if text in named:
        raise ValueError(f"[module] {name} has the keys {named[text]!r} and {key!r}: one name")
    named[text] = key


def elements_of_other(value: Any) -> Iterable[Any]:
    """Elements of a container that is no list, tuple or dict: of a set, deque or mapping."""
    if isinstance(value, (*Plain, str, bytes, bytearray, range, memoryview)):
        return ()
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, (Set, Sequence)) else ()
