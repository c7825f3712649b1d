"""`typing.TypedDict` without the evaluation of its annotations, a third of the library's import."""

from __future__ import annotations

from typing import Any


class TypedDict:
    """The base of a class of options, whose annotations are strings; its call gives a dict."""

    def __init_subclass__(cls, total: bool = True) -> None:
        every: dict[str, Any] = {}
        for base in reversed(cls.__mro__):
            every |= vars(base).get("__annotations__", {})
        cls.__annotations__ = every

    def __new__(cls, **options: Any) -> dict[str, Any]:  # type: ignore[misc]
        return options
