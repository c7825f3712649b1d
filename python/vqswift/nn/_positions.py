"""Positions in a sequence: rotations of queries and keys, and sums of sines."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .._arguments import checked
from .._functions import concatenate, stack
from .._integers import as_layer_input
from .._tensor import Tensor
from ._module import Module


def _angles(count: int, offset: int, frequencies: np.ndarray) -> np.ndarray:
    """Positions from `offset` on times frequencies, [count, frequencies]."""
    angles: np.ndarray = np.arange(offset, offset + count, dtype=float)[:, None] * frequencies
    return angles


@checked
class RoPE(Module):
    """Rotates pairs of the first `dims` channels of [..., positions, channels] by angles that grow
    with the position (Su et al. 2021): base^(-2 i / dims) a position for pair i.

    `traditional`: pairs are neighbors; else i and i + dims / 2. `scale` multiplies positions.
    """

    dims: int
    traditional: bool
    base: float
    scale: float

    def __init__(
        self, dims: int, traditional: bool = False, base: float = 10000.0, scale: float = 1.0
    ) -> None:
        super().__init__()
        if dims < 2 or dims % 2:
            raise ValueError(f"[rope] dims = {dims}: must be even and at least 2")
        if not base > 0:
            raise ValueError(f"[rope] base = {base}: must be above 0")
        self.dims, self.traditional, self.base, self.scale = dims, traditional, base, scale

    def forward(self, x: npt.ArrayLike | Tensor, offset: int = 0) -> Tensor:
        """The layer's output; `offset` is the position of the first vector."""
        given = as_layer_input("rope", x)
        if given.ndim < 2 or given.shape[-1] < self.dims:
            raise ValueError(
                f"[rope] shape {list(given.shape)}: [..., positions, channels] of at least "
                f"{self.dims} channels is required"
            )
        half = self.dims // 2
        steps = self.scale * self.base ** (-np.arange(half) / half)
        angles = _angles(given.shape[-2], offset, steps)
        cosine, sine = (Tensor(f(angles).astype(np.float32)) for f in (np.cos, np.sin))
        turned, rest = given[..., : self.dims], given[..., self.dims :]
        if self.traditional:
            a, b = turned[..., 0::2], turned[..., 1::2]
            both = stack([a * cosine - b * sine, a * sine + b * cosine], -1)
            result = both.reshape(*turned.shape)
        else:
            a, b = turned[..., :half], turned[..., half:]
            result = concatenate([a * cosine - b * sine, a * sine + b * cosine], -1)
        return concatenate([result, rest], -1) if rest.shape[-1] else result

    def _options_text(self) -> str:
        return f"{self.dims}, traditional={self.traditional}"


@checked
class SinusoidalPositionalEncoding(Module):
    """x [..., positions, dims] plus sines and cosines of the positions (Vaswani et al. 2017):
    channels 2 i and 2 i + 1 have the sine and cosine of base^(-2 i / dims) times the position."""

    dims: int
    base: float

    def __init__(self, dims: int, base: float = 10000.0) -> None:
        super().__init__()
        if dims < 2 or dims % 2:
            raise ValueError(
                f"[sinusoidal_positional_encoding] dims = {dims}: must be even and at least 2"
            )
        self.dims, self.base = dims, base

    def encoding(self, count: int, offset: int = 0) -> np.ndarray:
        """What is added, [count, dims] float32, from the position `offset` on."""
        angles = _angles(count, offset, self.base ** (-np.arange(0, self.dims, 2) / self.dims))
        both = np.stack([np.sin(angles), np.cos(angles)], axis=-1)
        return both.reshape(count, self.dims).astype(np.float32)

    def forward(self, x: npt.ArrayLike | Tensor, offset: int = 0) -> Tensor:
        """The layer's output; `offset` is the position of the first vector."""
        given = as_layer_input("sinusoidal_positional_encoding", x)
        if given.ndim < 2 or given.shape[-1] != self.dims:
            raise ValueError(
                f"[sinusoidal_positional_encoding] shape {list(given.shape)}: "
                f"[..., positions, {self.dims}] is required"
            )
        return given + self.encoding(given.shape[-2], offset)

    def _options_text(self) -> str:
        return f"{self.dims}"
