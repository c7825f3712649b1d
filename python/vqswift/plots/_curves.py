"""Numbers of a run's lines over its steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_POINTS = 200


def curve(lines: Sequence[Mapping[str, Any]], key: str, most: int = _POINTS) -> NDArray[np.float64]:
    """Steps and values of a number, [points, 2]: means of windows where there are many."""
    found = [(line["step"], line[key]) for line in lines if key in line]
    points = np.array(found, np.float64).reshape(-1, 2)
    if len(points) <= most:
        return points
    windows = np.array_split(points, most)
    return np.array([window.mean(0) for window in windows])
