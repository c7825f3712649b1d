"""Where channels stand, and what stands before and after a layer."""

from __future__ import annotations

import torch
from torch import nn

from .._vector import CodebookQuantizer


def projections(
    size: int, inner: int, *, bias: bool = True, always: bool = False
) -> tuple[nn.Module, nn.Module]:
    """Linear maps from `size` to `inner` channels and back; none where both are equal."""
    if size == inner and not always:
        return nn.Identity(), nn.Identity()
    return nn.Linear(size, inner, bias=bias), nn.Linear(inner, size, bias=bias)


def new_seed() -> int:
    """A seed from PyTorch's generator."""
    return int(torch.randint(2**31, (), device="cpu").item())


def start_uniformly(layer: CodebookQuantizer) -> None:
    """Give codebooks [k, d] the peer's start: uniform in +-sqrt(6 / (k d))."""
    for book in layer.codebooks:
        bound = (6 / book.numel()) ** 0.5
        nn.init.uniform_(book, -bound, bound)
    sums = [b for n, b in layer.named_buffers() if n.rpartition(".")[2] == "ema_sums"]
    with torch.no_grad():
        for own, book in zip(sums, layer.codebooks, strict=bool(sums)):
            own.copy_(book)


def to_last(x: torch.Tensor, axis: int) -> torch.Tensor:
    """x with its channels on the last axis."""
    return x if axis == -1 or x.ndim == 2 else x.movedim(axis, -1)


def to_given(x: torch.Tensor, axis: int) -> torch.Tensor:
    """x with its channels on `axis` again."""
    return x if axis == -1 or x.ndim == 2 else x.movedim(-1, axis)


def rows_of(codebook: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    """Codebook [k, d], indices [...] -> [..., d]; an index of -1 gives 0."""
    found = nn.functional.embedding(indices.clamp(min=0).long(), codebook)
    return torch.where((indices >= 0)[..., None], found, 0)


def padded(
    out: torch.Tensor, x: torch.Tensor, mask: torch.Tensor | None, zeros: bool
) -> torch.Tensor:
    """`out` with 0, or what x has there, where a mask leaves vectors out."""
    if mask is None:
        return out
    return torch.where(mask[..., None] != 0, out, 0 if zeros else x.to(out.dtype))


def length_mask(
    mask: torch.Tensor | None, lengths: torch.Tensor | None, x: torch.Tensor
) -> torch.Tensor | None:
    """The mask of sequences x [batch, time, d] that are padded at the end, or the given one."""
    if lengths is None:
        return mask
    if mask is not None:
        raise ValueError("[VectorQuantize] mask and lens: only one of them may be given")
    return torch.arange(x.shape[1], device=x.device) < lengths[:, None]
