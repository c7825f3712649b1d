"""The formulas of quantizers in operations of PyTorch, for tensors on other devices than the CPU.

The whole family, quantizers with learned codebooks with most of their options; other options raise.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from . import _sampled, _scalar, _vector
from ._clusters import kmeans
from ._nearest import nearest, ranked
from ._result import placed
from ._vector import effective_codebooks

if TYPE_CHECKING:
    from .._base import Quantizer

__all__ = [
    "decode",
    "effective_codebooks",
    "encode",
    "forced",
    "is_meant",
    "kmeans",
    "nearest",
    "quantize",
    "ranked",
]


class _Switch:
    forced = False


@contextlib.contextmanager
def forced() -> Iterator[None]:
    """Take these formulas on the CPU too, so that they can be compared with the kernels."""
    before, _Switch.forced = _Switch.forced, True
    try:
        yield
    finally:
        _Switch.forced = before


def is_meant(tensor: torch.Tensor) -> bool:
    """Whether a tensor lies where the kernels do not reach."""
    return _Switch.forced or tensor.device.type not in ("cpu", "meta")


def _kept(
    layer: Quantizer, rows: torch.Tensor, mask: torch.Tensor | None, name: str = "z"
) -> torch.Tensor:
    """Rows [m, d] of those that a mask keeps."""
    kept = rows[mask] if mask is not None else rows.reshape(-1, rows.shape[-1])
    if not torch.isfinite(kept).all():
        raise ValueError(f"[{layer._kind}] {name} has elements that are not finite")
    return kept


def _spread(
    layer: Quantizer,
    rows: torch.Tensor,
    logvar: torch.Tensor | None,
    mask: torch.Tensor | None,
    encoding: bool,
) -> torch.Tensor | None:
    """The log variance of the rows that a mask keeps, where the type takes one."""
    _sampled.require_log_variance(layer, rows, logvar, encoding)
    return None if logvar is None else _kept(layer, logvar, mask, "logvar")


def _samples(rows: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """The index on the first axis of each vector that a mask keeps."""
    lead = rows.shape[:-1]
    first = torch.arange(lead[0] if lead else 1, device=rows.device)
    index = first.reshape(-1, *[1] * max(len(lead) - 1, 0)).expand(lead)
    return index.reshape(-1) if mask is None else index[mask]


def quantize(
    layer: Quantizer,
    rows: torch.Tensor,
    logvar: torch.Tensor | None,
    mask: torch.Tensor | None,
    frozen: bool,
    stages: int,
) -> list[torch.Tensor]:
    """What the operator `quantize` gives of rows [..., d], by the first stages or all, but the
    state, which is written."""
    kept = _kept(layer, rows, mask)
    if not kept.shape[0] and layer.training:
        raise ValueError(
            f"[{layer._kind}] shape {[*rows.shape]}: training needs at least one vector"
        )
    if layer._kind in _vector.KINDS:
        found = _vector.quantize(layer, kept, frozen, stages)
    elif layer._kind == "fsq":
        found = _scalar.fsq(layer, kept)
    elif layer._kind == "lfq":
        found = _scalar.lfq(layer, kept)
    elif layer._kind == "gumbel_quant":
        found = _sampled.gumbel(layer, kept, frozen)
    else:
        spread = _spread(layer, rows, logvar, mask, encoding=False)
        found = _sampled.sqvae(layer, kept, spread, _samples(rows, mask), frozen)
    return found.listed(rows.shape[:-1], mask, layer._plan.codes)


def encode(
    layer: Quantizer,
    rows: torch.Tensor,
    logvar: torch.Tensor | None,
    mask: torch.Tensor | None,
    stages: int,
) -> torch.Tensor:
    """int64 codes of rows [..., d]."""
    if layer._kind == "sqvae_quant":
        spread = _spread(layer, rows, logvar, mask, encoding=True)
        kept = _kept(layer, rows, mask)
        codes = _sampled.sqvae_codes(layer, kept, spread, _samples(rows, mask))
        return placed(codes, rows.shape[:-1], mask, -1)
    training = layer.training
    layer.training = False
    try:
        return quantize(layer, rows, None, mask, True, stages)[1]
    finally:
        layer.training = training


def decode(layer: Quantizer, codes: torch.Tensor) -> torch.Tensor:
    """The vectors of integer codes, 0 of -1."""
    bound = layer._plan.codes
    if codes.numel() and not -1 <= int(codes.min()) <= int(codes.max()) < bound:
        raise IndexError(f"[{layer._kind}.decode] codes outside -1...{bound - 1}")
    if layer._kind in _vector.KINDS:
        return _vector.decode(layer, codes.long())
    decoders = {"fsq": _scalar.decode_fsq, "lfq": _scalar.decode_lfq}
    values = decoders.get(layer._kind, _sampled.decode)(layer, codes.clamp(min=0).long())
    return torch.where((codes >= 0)[..., None], values, 0)
