"""Attention with learned projections."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from .._arguments import checked
from .._functions import where
from .._integers import as_layer_input
from .._random import Generator, layer_generator
from .._tensor import Tensor, as_tensor
from ._attend import attend, scaled_dot_product_attention, shares_of
from ._collections import Parameter
from ._linear import Linear
from ._module import Module

Array = npt.ArrayLike | Tensor


@checked
class MultiheadAttention(Module):
    """Attention of `num_heads` heads over projections of query, key and value.

    Names, layouts, initial weights and masks are torch's: `in_proj_weight` [3 e, e] and
    `in_proj_bias` [3 e], or `q_proj_weight`, `k_proj_weight` and `v_proj_weight` where key or
    value have features of their own (`kdim`, `vdim`), and `out_proj`. Sequences are [t, n, e], or
    [n, t, e] with `batch_first`. In masks True hides a key, and numbers are added to scores.
    """

    embed_dim: int
    num_heads: int
    dropout: float
    batch_first: bool
    in_proj_weight: Parameter
    q_proj_weight: Parameter
    k_proj_weight: Parameter
    v_proj_weight: Parameter
    in_proj_bias: Parameter | None
    out_proj: Linear

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        *,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        if min(embed_dim, num_heads) < 1 or embed_dim % num_heads:
            raise ValueError(
                f"[multihead_attention] num_heads = {num_heads}: must be at least 1 and divide "
                f"embed_dim = {embed_dim}"
            )
        if not 0 <= dropout < 1:
            raise ValueError(f"[multihead_attention] dropout = {dropout}: must be in 0...1")
        source = layer_generator(generator)
        self.embed_dim, self.num_heads = embed_dim, num_heads
        self.dropout, self.batch_first = dropout, batch_first
        keys, values = kdim or embed_dim, vdim or embed_dim
        self._joined = keys == values == embed_dim
        if self._joined:
            self.in_proj_weight = _xavier(source, 3 * embed_dim, embed_dim)
        else:
            self.q_proj_weight = _xavier(source, embed_dim, embed_dim)
            self.k_proj_weight = _xavier(source, embed_dim, keys)
            self.v_proj_weight = _xavier(source, embed_dim, values)
        zeros = np.zeros(3 * embed_dim, np.float32)
        self.in_proj_bias = Parameter(zeros) if bias else None
        self.out_proj = Linear(embed_dim, embed_dim, bias, generator=source)
        if bias:
            self.out_proj.bias.assign(zeros[:embed_dim])
        self._generator = source

    def forward(
        self,
        query: Array,
        key: Array,
        value: Array,
        key_padding_mask: Array | None = None,
        need_weights: bool = False,
        attn_mask: Array | None = None,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """The result [t, n, e], and with `need_weights` the shares [n, t, s], mean of the heads.

        `key_padding_mask` [n, s], `attn_mask` [t, s] or [n heads, t, s].
        """
        name = "multihead_attention"
        given = [as_layer_input(name, x) for x in (query, key, value)]
        if any(x.ndim != 3 for x in given):
            raise ValueError(f"[{name}] shapes {[list(x.shape) for x in given]}: three axes each")
        is_self = query is key and key is value
        if not self.batch_first:
            given = (
                [given[0].transpose(0, 1)] * 3 if is_self else [x.transpose(0, 1) for x in given]
            )
        mask = self._mask(given[0].shape[0], key_padding_mask, attn_mask)
        drops = self.training and self.dropout > 0
        shares, scale = None, 1 / math.sqrt(self.embed_dim // self.num_heads)
        if not need_weights and not drops and self._joined and is_self:
            packed = given[0] @ self.in_proj_weight.transpose(0, 1)
            packed = packed if self.in_proj_bias is None else packed + self.in_proj_bias
            result = attend(packed, None, None, mask, self.num_heads, is_causal, scale)
        else:
            q, k, v = self._projected(given)
            probability = self.dropout if drops else 0.0
            result = scaled_dot_product_attention(
                q, k, v, mask, probability, is_causal, generator=self._generator
            )
            if need_weights:
                shares = shares_of(q, k, mask, is_causal, scale).mean(1)
            n, heads, t, d = result.shape
            result = result.permute((0, 2, 1, 3)).reshape((n, t, heads * d))
        out: Tensor = self.out_proj(result)
        return (out if self.batch_first else out.transpose(0, 1)), shares

    def _generators(self) -> dict[str, Generator]:
        # Without dropout nothing is drawn, and a state has no name for it.
        return {"generator": self._generator} if self.dropout > 0 else {}

    def _projected(self, given: list[Tensor]) -> list[Tensor]:
        """Query, key and value as [n, heads, t, d]."""
        e = self.embed_dim
        weights = (
            self.in_proj_weight.split(e)
            if self._joined
            else (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        )
        biases = None if self.in_proj_bias is None else self.in_proj_bias.split(e)
        heads = []
        for place, (x, weight) in enumerate(zip(given, weights, strict=True)):
            y = x @ weight.transpose(0, 1)
            y = y if biases is None else y + biases[place]
            n, t, _ = y.shape
            heads.append(y.reshape((n, t, self.num_heads, -1)).permute((0, 2, 1, 3)))
        return heads

    def _mask(self, n: int, hidden: Array | None, mask: Array | None) -> Tensor | None:
        """Both masks as one to add, [n or 1, heads or 1, t or 1, s]."""
        parts = []
        if hidden is not None:
            padding = as_tensor(hidden)
            parts.append(_added(padding.reshape((padding.shape[0], 1, 1, -1))))
        if mask is not None:
            given = _added(as_tensor(mask))
            shape = (n, self.num_heads) if given.ndim == 3 else (1, 1)
            parts.append(given.reshape((*shape, *given.shape[-2:])))
        if not parts:
            return None
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]


def _added(mask: Tensor) -> Tensor:
    """A mask as numbers to add to scores."""
    return where(mask, -math.inf, 0.0) if mask.dtype == np.bool_ else mask


def _xavier(source: Generator, out: int, features: int) -> Parameter:
    bound = math.sqrt(6 / (out + features))
    return Parameter(source.uniform((out, features), -bound, bound))
