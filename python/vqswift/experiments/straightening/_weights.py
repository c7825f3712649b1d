"""Weights of published networks, which a user supplies for distances by their features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ... import metrics

_SIDE = 32  # of the pictures that a check measures


@dataclass(frozen=True)
class Weights:
    """Files of published networks, for distances by their features; none are measured without."""

    lpips: Path | None = None
    inception: Path | None = None

    def check(self) -> None:
        """Measure two pictures with each network, so that a training need not end for its file.

        FileNotFoundError for a file that is absent, ImportError for a package, ValueError for a
        file that has other weights.
        """
        _check("lpips", metrics.lpips, self.lpips)
        _check("fid", metrics.fid, self.inception)


def _check(operation: str, distance: Callable[..., float], path: Path | None) -> None:
    if path is None:
        return
    pictures = np.zeros((2, _SIDE, _SIDE, 3), np.float32)
    try:
        distance(pictures, pictures, weights=path)
    except (ImportError, OSError, ValueError):
        raise
    except Exception as error:  # of many classes, by what a file holds in place of weights
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise ValueError(f"[{operation}] {path}: the network cannot be read: {reason}") from error
