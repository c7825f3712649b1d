"""What takes a weight from a custom estimator to the straight-through one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._estimator import GridEstimator
from ._weight_quantizer import ChannelEstimators

_Grid = GridEstimator | ChannelEstimators


@dataclass(frozen=True)
class Warp:
    """How a weight w and what an optimizer keeps of it change.

    Attributes:
        alpha: what the gradient is multiplied with; 1 unless by SGD.
        weight: M(w), float32 in the cell of w; w unless by SGD.
        slope: M'(w), the factor of momentum and of a gradient that waits; 1 where nothing moves.
        moved: the largest |M(w) - w|.
    """

    alpha: float
    weight: np.ndarray
    slope: np.ndarray
    moved: float

    @property
    def moments(self) -> dict[str, np.ndarray]:
        """Factors of moments, by the names that optimizers keep them under."""
        square = self.slope**2
        return {
            "momentum_buffer": self.slope,
            "exp_avg": self.slope,
            "exp_avg_sq": square,
            "max_exp_avg_sq": square,
        }


def warp_of(grid: _Grid, weight: np.ndarray, *, by_sgd: bool) -> Warp:
    """The warp of a weight that SGD, or Adam, trains."""
    w = weight.astype(np.float64)
    h = grid.derivative(w)
    alpha, warped = (grid.alpha, finite(grid.warp(w))) if by_sgd and grid.has_warp else (1.0, w)
    slope = np.divide(alpha, h, out=np.ones_like(h), where=h > 0)
    moved = float(np.abs(warped - w).max(initial=0))
    return Warp(alpha, _rounded(warped, grid), slope, moved)


def obstacles(grid: _Grid, w: np.ndarray, *, by_sgd: bool) -> Iterator[str]:
    """Why the theorem does not hold for an estimator and float64 weights."""
    if grid.obstacle and (by_sgd or not grid.has_warp):
        yield f"{grid.estimator}: {grid.obstacle}"
    still = (grid.derivative(w) == 0) & (grid.partner.derivative(w) > 0)
    if still.any():
        yield (
            f"{grid.estimator} is 0 at {int(still.sum())} of the weights, which the "
            "straight-through estimator would move"
        )


def optimizer_obstacles(optimizer: Any, weight: object, known: tuple[type, ...]) -> Iterator[str]:
    """Why it does not hold for an optimizer with groups as PyTorch's; `known`: SGD and Adam."""
    if not isinstance(optimizer, known):
        yield f"{type(optimizer).__name__} is neither SGD nor Adam"
    groups = optimizer.param_groups
    group = next((g for g in groups if any(p is weight for p in g["params"])), None)
    if group is None:
        yield "the optimizer does not train its weight"
    elif group["weight_decay"] != 0:
        yield (
            f"weight decay {group['weight_decay']:g} acts on the latent weight, and M(w) does not "
            "shrink as w does"
        )


def finite(values: np.ndarray) -> np.ndarray:
    """What lies beyond float32, where h is too small to move a weight, at its ends."""
    largest = float(np.finfo(np.float32).max)
    clipped: np.ndarray = np.clip(values, -largest, largest)
    return clipped


def _rounded(w: np.ndarray, grid: _Grid) -> np.ndarray:
    """w in float32 without crossing a boundary of the grid."""
    single = w.astype(np.float32)
    crossed = grid.quantize(single.astype(np.float64)) != grid.quantize(w)
    largest = np.finfo(np.float32).max
    toward = np.where(w > single, largest, -largest)
    return np.where(crossed, np.nextafter(single, toward, dtype=np.float32), single)
