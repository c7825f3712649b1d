"""Quantizers and what they tell, as notebooks show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._html import bars, table

if TYPE_CHECKING:
    from ._base import QuantizerInfo

_PICTURES = 8


def usage_pictures(state: dict[str, NDArray[Any]]) -> str:
    """Of a quantizer's state how each codebook's codes are used, where it keeps that: running
    counts of an EMA, and steps since a use where dead codes are replaced."""
    pictures = []
    for name, counts in state.items():
        place, _, kind = name.rpartition(".")
        of = f" of {place}" if place else ""
        if kind == "ema_counts":
            shares = counts[counts > 0] / max(counts.sum(), np.finfo(float).tiny)
            perplexity = np.exp2(-(shares * np.log2(shares)).sum())
            told = f"perplexity {perplexity:.1f} of {counts.size} codes"
            pictures.append(bars(f"running counts{of}: {told}", counts))
        elif kind == "unused_steps" and counts.any():
            used = np.count_nonzero(counts == 0)
            pictures.append(
                bars(f"steps since a use{of}: {used} of {counts.size} codes at 0", counts.ravel())
            )
    return _first(pictures)


def info_shown(info: QuantizerInfo) -> str:
    """The numbers of a forward, and how often each code that occurs was used."""
    codes = info.q.numpy()
    parts = ("commitment_loss", "codebook_loss", "regularization")
    rows = [
        ("codes", [*codes.shape]),
        ("perplexity", f"{info.perplexity:.4g}"),
        ("active codes", info.active_codes),
        ("loss", f"{info.loss.item():.4g}"),
        *((name.replace("_", " "), f"{getattr(info, name):.4g}") for name in parts),
    ]
    has_stages = codes.ndim == info.z.ndim and codes.ndim > 0
    columns = np.moveaxis(codes, -1, 0) if has_stages else codes[None]
    pictures = []
    for number, column in enumerate(columns):
        counts = np.unique(column[column >= 0], return_counts=True)[1]
        of = f" of codebook {number}" if len(columns) > 1 else ""
        pictures.append(bars(f"uses{of}: {len(counts)} codes", counts))
    return table("QuantizerInfo", (), rows) + _first(pictures)


def _first(pictures: list[str]) -> str:
    rest = len(pictures) - _PICTURES
    more = f"<small>and {rest} more codebooks</small>" if rest > 0 else ""
    return "".join(pictures[:_PICTURES]) + more
