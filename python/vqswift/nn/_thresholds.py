"""Activations that cut elements off, or shrink them towards 0: functions, and layers of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .._arguments import checked
from .._functions import where
from .._integers import as_layer_input
from .._tensor import Tensor
from ._module import Module


def _width(operation: str, lambd: float) -> float:
    """`lambd`; ValueError below 0."""
    if not lambd >= 0:
        raise ValueError(f"[{operation}] lambd = {lambd}: must be at least 0")
    return lambd


@checked
def hardshrink(x: npt.ArrayLike | Tensor, lambd: float = 0.5) -> Tensor:
    """x, 0 where |x| is at most `lambd`."""
    given, width = as_layer_input("hardshrink", x), _width("hardshrink", lambd)
    return where(given.abs() <= width, 0.0, given)


@checked
def softshrink(x: npt.ArrayLike | Tensor, lambd: float = 0.5) -> Tensor:
    """x, nearer to 0 by `lambd`; 0 where |x| is at most that."""
    given, width = as_layer_input("softshrink", x), _width("softshrink", lambd)
    return given - given.clamp(-width, width)


@checked
def tanhshrink(x: npt.ArrayLike | Tensor) -> Tensor:
    """x - tanh(x)."""
    given = as_layer_input("tanhshrink", x)
    return given - given.tanh()


@checked
def threshold(x: npt.ArrayLike | Tensor, threshold: float, value: float) -> Tensor:
    """x where it is above `threshold`, else `value`."""
    given = as_layer_input("threshold", x)
    return where(given <= threshold, value, given)


@checked
def step(x: npt.ArrayLike | Tensor, threshold: float = 0.0) -> Tensor:
    """1 where x is above `threshold`, else 0; no gradient passes."""
    return (as_layer_input("step", x) > threshold).astype(np.float32)


@checked
class Hardshrink(Module):
    """x, 0 where |x| is at most `lambd`."""

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = _width("hardshrink", lambd)

    def forward(self, x: npt.ArrayLike | Tensor) -> Tensor:
        """The layer's output."""
        return hardshrink(x, self.lambd)

    def _options_text(self) -> str:
        return f"{self.lambd}"


@checked
class Softshrink(Module):
    """x, nearer to 0 by `lambd`; 0 where |x| is at most that."""

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = _width("softshrink", lambd)

    def forward(self, x: npt.ArrayLike | Tensor) -> Tensor:
        """The layer's output."""
        return softshrink(x, self.lambd)

    def _options_text(self) -> str:
        return f"{self.lambd}"


@checked
class Tanhshrink(Module):
    """x - tanh(x)."""

    def forward(self, x: npt.ArrayLike | Tensor) -> Tensor:
        """The layer's output."""
        return tanhshrink(x)


@checked
class Threshold(Module):
    """x where it is above `threshold`, else `value`."""

    def __init__(self, threshold: float, value: float) -> None:
        super().__init__()
        self.threshold, self.value = threshold, value

    def forward(self, x: npt.ArrayLike | Tensor) -> Tensor:
        """The layer's output."""
        return threshold(x, self.threshold, self.value)

    def _options_text(self) -> str:
        return f"{self.threshold}, {self.value}"


@checked
class Step(Module):
    """1 where x is above `threshold`, else 0; no gradient passes."""

    def __init__(self, threshold: float = 0.0) -> None:
        super().__init__()
        self.threshold = threshold

    def forward(self, x: npt.ArrayLike | Tensor) -> Tensor:
        """The layer's output."""
        return step(x, self.threshold)

    def _options_text(self) -> str:
        return f"{self.threshold}"
