"""Scaled dot-product attention as a function."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from .. import _core
from .._arguments import checked
from .._functions import where
from .._integers import as_floats
from .._random import Generator
from .._shapes import place
from .._tensor import Tensor, as_tensor

Array = npt.ArrayLike | Tensor


def attend(
    query: Tensor,
    key: Tensor | None,
    value: Tensor | None,
    mask: Tensor | None,
    heads: int,
    is_causal: bool,
    scale: float,
) -> Tensor:
    """The fused operator: heads side by side in the last axis; `query` all three without others."""
    return Tensor._wrap(
        _core.tensor_attention(
            query._handle,
            None if key is None else key._handle,
            None if value is None else value._handle,
            None if mask is None else mask._handle,
            heads,
            is_causal,
            scale,
        )
    )


@checked
def scaled_dot_product_attention(
    query: Array,
    key: Array,
    value: Array,
    attn_mask: Array | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """softmax(`scale` q k^T + mask) v of q [..., n, d], k [..., m, d] and v [..., m, e].

    `attn_mask`, broadcast to [..., n, m]: bool, true where a query sees a key, or float32 to add.
    `is_causal`: query i sees keys 0...i. `scale` is 1 / sqrt(d) unless given. A query that sees no
    key gets zeros. The matrix of scores is never whole in memory, save with `dropout_p`, whose
    mask `generator` draws, and with a mask that requires a gradient.
    """
    name = "scaled_dot_product_attention"
    q, k, v = (
        as_floats(name, of, x) for of, x in (("query", query), ("key", key), ("value", value))
    )
    place(name, -2, q.ndim)
    mask = None if attn_mask is None else as_tensor(attn_mask)
    factor = 1 / math.sqrt(max(q.shape[-1], 1)) if scale is None else scale
    if dropout_p > 0 or (mask is not None and mask.requires_grad):
        shares = shares_of(q, k, mask, is_causal, factor)
        return (_dropped(shares, dropout_p, generator) if dropout_p > 0 else shares) @ v
    if mask is not None and mask.ndim > 2:
        mask = mask.unsqueeze(-3)  # of the heads, one here
    return attend(q, k, v, mask, 1, is_causal, factor)


def shares_of(q: Tensor, k: Tensor, mask: Tensor | None, is_causal: bool, scale: float) -> Tensor:
    """What each query [..., n, d] takes of each key [..., m, d], [..., n, m]."""
    scores = (q * scale) @ k.transpose(-2, -1)
    if is_causal:
        seen = as_tensor(np.tri(*scores.shape[-2:], dtype=np.bool_))
        scores = where(seen, scores, -math.inf)
    if mask is not None:
        scores = scores + mask if mask.dtype != np.bool_ else where(mask, scores, -math.inf)
    return scores.softmax(-1)


def _dropped(shares: Tensor, probability: float, generator: Generator | None) -> Tensor:
    from ._drop import dropout

    if generator is None:
        raise ValueError(
            f"[scaled_dot_product_attention] dropout_p = {probability}: a generator must draw "
            "its mask"
        )
    return dropout(shares, probability, generator=generator)
