"""The formulas of quantizers in operations of PyTorch, for tensors on other devices than the CPU.

`VectorQuant`, `GroupVectorQuant` and `ResidualVectorQuant` with most options, `FSQ` and `LFQ`;
other layers and options raise.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from . import _scalar, _vector
from ._nearest import nearest

if TYPE_CHECKING:
    from .._base import Quantizer

__all__ = ["decode", "encode", "forced", "is_meant", "nearest", "quantize"]


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


def _refuse(layer: Quantizer, device: torch.device) -> NotImplementedError:
    return NotImplementedError(
        f"[{layer._kind}] a tensor on {device}: quantizers with codebooks, FSQ and LFQ are "
        "there for other devices than the CPU; move the layer and its input to the CPU"
    )


def quantize(
    layer: Quantizer, rows: torch.Tensor, mask: torch.Tensor | None, frozen: bool, stages: int
) -> list[torch.Tensor]:
    """What the operator `quantize` gives of rows [..., d], by the first stages or all, but the
    state, which is written."""
    kept = rows[mask] if mask is not None else rows.reshape(-1, rows.shape[-1])
    if not kept.shape[0] and layer.training:
        raise ValueError(
            f"[{layer._kind}] shape {[*rows.shape]}: training needs at least one vector"
        )
    if not torch.isfinite(kept).all():
        raise ValueError(f"[{layer._kind}] z has elements that are not finite")
    if layer._kind in _vector.KINDS:
        found = _vector.quantize(layer, kept, frozen, stages)
    elif layer._kind == "fsq":
        found = _scalar.fsq(layer, kept)
    elif layer._kind == "lfq":
        found = _scalar.lfq(layer, kept)
    else:
        raise _refuse(layer, rows.device)
    return found.listed(rows.shape[:-1], mask, layer._plan.codes)


def encode(
    layer: Quantizer, rows: torch.Tensor, mask: torch.Tensor | None, stages: int
) -> torch.Tensor:
    """int64 codes of rows [..., d]."""
    training = layer.training
    layer.training = False
    try:
        return quantize(layer, rows, mask, True, stages)[1]
    finally:
        layer.training = training


def decode(layer: Quantizer, codes: torch.Tensor) -> torch.Tensor:
    """The vectors of integer codes, 0 of -1."""
    bound = layer._plan.codes
    if codes.numel() and not -1 <= int(codes.min()) <= int(codes.max()) < bound:
        raise IndexError(f"[{layer._kind}.decode] codes outside -1...{bound - 1}")
    if layer._kind in _vector.KINDS:
        return _vector.decode(layer, codes.long())
    known = codes.clamp(min=0).long()
    if layer._kind == "fsq":
        values = _scalar.decode_fsq(layer, known)
    elif layer._kind == "lfq":
        values = _scalar.decode_lfq(layer, known)
    else:
        raise _refuse(layer, codes.device)
    return torch.where((codes >= 0)[..., None], values, 0)
