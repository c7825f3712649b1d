"""Names that became others."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from ._warning import warn


def renamed(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """A module's `__getattr__` that gives what an old name is called now, with a warning."""

    def find(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warn(f"{module}.{name} is {names[name]} now", DeprecationWarning)
        return getattr(sys.modules[module], names[name])

    return find
