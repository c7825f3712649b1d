"""Positions in a sequence: rotations of queries and keys, sums of sines, and distances."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .._arguments import checked
from .._functions import concatenate, stack
from .._integers import as_floats, as_layer_input
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


@checked
class ALiBi(Module):
    """Attention scores [n, heads, queries, keys] less the distance of query and key times a slope
    of each head (Press et al. 2022): 2^(-8 i / heads) for heads i from 1 on."""

    _operation = "alibi"

    def bias(self, heads: int, queries: int, keys: int, offset: int = 0) -> np.ndarray:
        """What is added, [heads, queries, keys] float32: a `mask` for
        `scaled_dot_product_attention`, the first query at the position `offset`."""
        if min(heads, queries, keys) < 0:
            raise ValueError(
                f"[alibi] {heads} heads, {queries} queries, {keys} keys: all must be at least 0"
            )
        places = np.arange(offset, offset + queries, dtype=float)
        distances = np.abs(places[:, None] - np.arange(keys))
        slopes = 2.0 ** (-8 * np.arange(1, heads + 1) / max(heads, 1))
        return (-slopes[:, None, None] * distances).astype(np.float32)

    def forward(
        self,
        attention_scores: npt.ArrayLike | Tensor,
        offset: int = 0,
        mask: npt.ArrayLike | Tensor | None = None,
    ) -> Tensor:
        """The scores and what is added to them, `mask` too; `offset` is the first query's
        position."""
        scores = as_layer_input("alibi", attention_scores)
        if scores.ndim != 4:
            raise ValueError(
                f"[alibi] shape {list(scores.shape)}: [n, heads, queries, keys] is required"
            )
        _, heads, queries, keys = scores.shape
        added = scores + Tensor(self.bias(heads, queries, keys, offset))
        return added if mask is None else added + as_floats("alibi", "mask", mask)
