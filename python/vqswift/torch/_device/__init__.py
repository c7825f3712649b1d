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
from ._finite import require_finite
from ._nearest import nearest, ranked
from ._result import placed

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
    "require_finite",
    "uncast",
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


def uncast(tensor: torch.Tensor) -> torch.autocast:
    """Leaves operations on a tensor's device in float32 where autocast would not."""
    return torch.autocast(tensor.device.type, enabled=False)


def _kept(
    layer: Quantizer,
    rows: torch.Tensor,
    logvar: torch.Tensor | None,
    mask: torch.Tensor | None,
    encoding: bool,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Rows [m, d] of those that a mask keeps, and their log variance, where the type takes one;
    these and the parameters that they meet are finite."""
    if layer._kind == "sqvae_quant":
        _sampled.require_log_variance(layer, rows, logvar, encoding)
    given = {"z": rows} if logvar is None else {"z": rows, "logvar": logvar}
    kept = {
        name: value[mask] if mask is not None else value.reshape(-1, value.shape[-1])
        for name, value in given.items()
    }
    require_finite(layer._kind, kept | _met(layer, encoding))
    return kept["z"], kept.get("logvar")


def _met(layer: Quantizer, encoding: bool) -> dict[str, torch.Tensor]:
    """The parameters by which codes are chosen, in a forward those of their values too."""
    rule = layer._plan
    names = [name for name in rule.state[: rule.parameters] if "project_out" not in name]
    if encoding and layer._kind == "gumbel_quant":
        names.remove("codebook")
    if encoding and layer._kind == "sqvae_quant" and rule.options["kind"] != "IV":
        names.remove("log_variance")
    return {name: layer._tensor(name) for name in names}


def _samples(rows: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """The index on the first axis of each vector that a mask keeps."""
    lead = rows.shape[:-1]
    first = torch.arange(lead[0] if lead else 1, device=rows.device)
    index = first.reshape((*lead[:1], *[1] * (len(lead) - 1))).expand(lead)
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
    kept, spread = _kept(layer, rows, logvar, mask, encoding=False)
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
    kept, spread = _kept(layer, rows, logvar, mask, encoding=True)
    if layer._kind in _vector.KINDS:
        codes = _vector.encode(layer, kept, stages)
    elif layer._kind == "fsq":
        codes = _scalar.fsq_codes(layer, kept)
    elif layer._kind == "lfq":
        codes = _scalar.lfq_codes(kept)
    elif layer._kind == "gumbel_quant":
        codes = _sampled.gumbel_codes(layer, kept)
    else:
        codes = _sampled.sqvae_codes(layer, kept, spread, _samples(rows, mask))
    return placed(codes, rows.shape[:-1], mask, -1)


def decode(layer: Quantizer, codes: torch.Tensor) -> torch.Tensor:
    """The vectors of integer codes, 0 of -1."""
    bound = layer._plan.codes
    if codes.numel():
        low, high = torch.stack(codes.aminmax()).tolist()
        if low < -1 or high >= bound:
            wrong = low if low < -1 else high
            raise IndexError(f"[{layer._kind}.decode] index {wrong} is outside -1...{bound - 1}")
    if layer._kind in _vector.KINDS:
        return _vector.decode(layer, codes.long())
    decoders = {"fsq": _scalar.decode_fsq, "lfq": _scalar.decode_lfq}
    values = decoders.get(layer._kind, _sampled.decode)(layer, codes.clamp(min=0).long())
    return torch.where((codes >= 0)[..., None], values, 0)


def effective_codebooks(layer: Quantizer) -> list[torch.Tensor]:
    """What vectors are compared with, [k, code size] of each codebook."""
    return _vector.effective_codebooks(layer)
