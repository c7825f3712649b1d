"""Warnings that point at the code that called the package."""

from __future__ import annotations

import sys
import warnings

# contextlib stands between a `with` and the package's context managers.
_INSIDE = (__name__.split(".")[0], "contextlib")


def warn(text: str, category: type[Warning] = UserWarning) -> None:
    """A warning at the nearest line outside the package."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in _INSIDE:
        frame = frame.f_back
        level += 1
    warnings.warn(text, category, stacklevel=level)
