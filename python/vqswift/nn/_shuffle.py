"""Layers that only move elements: pixel shuffles, and axes taken apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .._arguments import checked, refuse
from .._integers import as_layer_input
from .._tensor import Tensor, as_tensor
from ._module import Module


def _factor(operation: str, way: str, factor: int) -> int:
    """`factor`; ValueError below 1."""
    if factor < 1:
        raise ValueError(f"[{operation}] {way}scale_factor = {factor}: must be at least 1")
    return factor


def _require(fits: bool, operation: str, x: Tensor, factor: int, rule: str) -> None:
    if not fits:
        raise ValueError(f"[{operation}] shape {list(x.shape)}, factor {factor}: {rule}")


@checked
def pixel_shuffle(x: npt.ArrayLike | Tensor, upscale_factor: int) -> Tensor:
    """x [n, h, w, c r^2] -> [n, h r, w r, c], the order of channels torch's (Shi et al. 2016)."""
    given, r = as_layer_input("pixel_shuffle", x), _factor("pixel_shuffle", "up", upscale_factor)
    fits = given.ndim == 4 and given.shape[-1] % (r * r) == 0
    _require(fits, "pixel_shuffle", given, r, "an image of channels that r^2 divides")
    n, h, w, c = given.shape
    apart = given.reshape(n, h, w, c // (r * r), r, r)
    return apart.permute(0, 1, 4, 2, 5, 3).reshape(n, h * r, w * r, c // (r * r))


@checked
def pixel_unshuffle(x: npt.ArrayLike | Tensor, downscale_factor: int) -> Tensor:
    """x [n, h r, w r, c] -> [n, h, w, c r^2], which `pixel_shuffle` undoes."""
    operation = "pixel_unshuffle"
    given, r = as_layer_input(operation, x), _factor(operation, "down", downscale_factor)
    fits = given.ndim == 4 and given.shape[1] % r == 0 and given.shape[2] % r == 0
    _require(fits, operation, given, r, "an image whose sides r divides")
    n, h, w, c = given.shape
    apart = given.reshape(n, h // r, r, w // r, r, c)
    return apart.permute(0, 1, 3, 5, 2, 4).reshape(n, h // r, w // r, c * r * r)


@checked
class PixelShuffle(Module):
    """[n, h, w, c r^2] -> [n, h r, w r, c], the order of channels torch's (Shi et al. 2016)."""

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = _factor("pixel_shuffle", "up", upscale_factor)

    def forward(self, x: npt.ArrayLike | Tensor) -> Tensor:
        """The layer's output."""
        return pixel_shuffle(x, self.upscale_factor)

    def _options_text(self) -> str:
        return f"{self.upscale_factor}"


@checked
class PixelUnshuffle(Module):
    """[n, h r, w r, c] -> [n, h, w, c r^2], which `PixelShuffle` undoes."""

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = _factor("pixel_unshuffle", "down", downscale_factor)

    def forward(self, x: npt.ArrayLike | Tensor) -> Tensor:
        """The layer's output."""
        return pixel_unshuffle(x, self.downscale_factor)

    def _options_text(self) -> str:
        return f"{self.downscale_factor}"


@checked
class Unflatten(Module):
    """One axis as several of the sizes given, of which one may be -1."""

    dim: int
    unflattened_size: tuple[int, ...]

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        sizes = tuple(unflattened_size) if isinstance(unflattened_size, Sequence) else ()
        if not sizes or not all(isinstance(size, (int, np.integer)) for size in sizes):
            refuse("unflatten", "unflattened_size", unflattened_size, "a sequence of integers")
        self.dim, self.unflattened_size = dim, sizes

    def forward(self, x: npt.ArrayLike | Tensor) -> Tensor:
        """The layer's output."""
        given = as_tensor(x)
        if not -given.ndim <= self.dim < given.ndim:
            raise IndexError(
                f"[unflatten] dim = {self.dim}: shape {list(given.shape)} has {given.ndim} axes"
            )
        at = self.dim % given.ndim
        return given.reshape(*given.shape[:at], *self.unflattened_size, *given.shape[at + 1 :])

    def _options_text(self) -> str:
        return f"{self.dim}, {self.unflattened_size}"
