"""`FSQ` and `LFQ` in operations of PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ._result import Result
from ._through import once, through

if TYPE_CHECKING:
    from .._base import Quantizer


def _levels(layer: Quantizer, like: torch.Tensor) -> torch.Tensor:
    return torch.tensor(layer._plan.options["levels"], dtype=torch.float64, device=like.device)


def _on_grid(layer: Quantizer, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows within their levels, in steps of 1, and the nearest whole numbers."""
    levels = _levels(layer, rows)
    half = (levels - 1) * (1 + 1e-3) / 2
    offset = torch.where(levels % 2 == 0, 0.5, 0.0).to(half)
    shift = torch.atanh(offset / half)
    bound = (torch.tanh(rows.double() + shift) * half - offset).to(rows.dtype)
    # The margin of 1e-3 is more than half a step from 1002 levels on.
    least = -(levels // 2).to(rows.dtype)
    return bound, bound.detach().round().clamp(least, least + (levels - 1).to(rows.dtype))


def _codes(layer: Quantizer, whole: torch.Tensor) -> torch.Tensor:
    levels = _levels(layer, whole)
    steps = torch.cat([levels.new_ones(1), levels.cumprod(0)[:-1]])
    return ((whole.double() + levels // 2) * steps).sum(1).round().long()


def fsq_codes(layer: Quantizer, rows: torch.Tensor) -> torch.Tensor:
    """The codes of rows [m, d]."""
    return _codes(layer, _on_grid(layer, rows)[1])


def fsq(layer: Quantizer, rows: torch.Tensor) -> Result:
    """Finite scalar quantization of rows [m, d]."""
    rows = once(rows)
    bound, whole = _on_grid(layer, rows)
    width = (_levels(layer, rows) // 2).to(rows.dtype)
    values, compared = whole / width, bound / width
    return Result.of_codes(
        z_q=through(compared, values) if layer._quantizing else rows.clone(),
        codes=_codes(layer, whole),
        distances=(compared - values).detach().square().sum(1),
        compared=compared,
        loss=rows.new_zeros(()),
    )


def decode_fsq(layer: Quantizer, codes: torch.Tensor) -> torch.Tensor:
    """The vectors of codes."""
    levels = _levels(layer, codes).long()
    steps = torch.cat([levels.new_ones(1), levels.cumprod(0)[:-1]])
    half = levels // 2
    return ((codes[..., None] // steps % levels - half).float()) / half


def lfq_codes(rows: torch.Tensor) -> torch.Tensor:
    """The codes of rows [m, bits], the first the highest."""
    places = 2 ** torch.arange(rows.shape[1] - 1, -1, -1, device=rows.device)
    return ((rows.detach() > 0).long() * places).sum(1)


def lfq(layer: Quantizer, rows: torch.Tensor) -> Result:
    """Lookup-free quantization of rows [m, bits]."""
    rows = once(rows)
    options = layer._plan.options
    values = torch.where(rows.detach() > 0, 1.0, -1.0)
    commitment = regularization = rows.new_zeros(())
    if options["commitment_weight"] > 0 and len(rows):
        commitment = options["commitment_weight"] * (rows - values).square().mean()
    if options["entropy_weight"] > 0 and len(rows):
        entropy = _entropy(rows, options["temperature"], options["diversity"])
        regularization = options["entropy_weight"] * entropy
    return Result.of_codes(
        z_q=through(rows, values) if layer._quantizing else rows.clone(),
        codes=lfq_codes(rows),
        distances=(rows - values).detach().square().sum(1),
        compared=rows,
        loss=commitment + regularization,
        commitment=commitment,
        regularization=regularization,
        quantizing=layer._quantizing,
    )


def decode_lfq(layer: Quantizer, codes: torch.Tensor) -> torch.Tensor:
    """The sign vectors of codes."""
    bits: int = layer._plan.options["bits"]
    places = torch.arange(bits - 1, -1, -1, device=codes.device)
    return ((codes[..., None] >> places) & 1).float() * 2 - 1


def _entropy(z: torch.Tensor, temperature: float, diversity: float) -> torch.Tensor:
    """`mean_i H(p_i) - diversity H(mean_i p_i)`: bits are independent, and the mean is the product
    of the softmaxes of two halves."""
    logits = z * (2 / temperature)
    signs = torch.stack([-logits, logits], -1)
    each = -(signs.softmax(-1) * signs.log_softmax(-1)).sum((1, 2)).mean()
    if diversity == 0:
        return each
    middle = (z.shape[1] + 1) // 2
    high, low = (_probabilities(part) for part in (logits[:, :middle], logits[:, middle:]))
    mean = high.T @ low / len(z)
    return each + diversity * (mean * mean.clamp(min=torch.finfo(mean.dtype).tiny).log()).sum()


def _probabilities(logits: torch.Tensor) -> torch.Tensor:
    """The softmax over the sign vectors of [n, b]: [n, 2^b], the first bit the highest."""
    bits = logits.shape[1]
    codes = torch.arange(1 << bits, device=logits.device)
    places = torch.arange(bits - 1, -1, -1, device=logits.device)
    signs = (((codes[:, None] >> places) & 1) * 2 - 1).to(logits.dtype)
    return (logits @ signs.T).softmax(-1)
