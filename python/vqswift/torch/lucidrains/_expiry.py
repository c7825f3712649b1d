"""Codes whose running count falls below a threshold begin anew."""

from __future__ import annotations

import torch
from torch import distributed, nn

from .. import _distributed
from .._vector import CodebookQuantizer


class CodeExpiry(nn.Module):
    """Gives codes that few vectors choose the place of a vector of the batch.

    Counts are running means of the vectors a code gets in a training forward, from 1: those of the
    EMA where the layer has one, else the buffer `cluster_size` [books, k]. Before a training
    forward looks codes up, a code below `threshold` becomes a vector of that batch, each vector
    once, with a count of `threshold`; where vectors are fewer, the rest waits. The draws are from
    PyTorch's generator.
    """

    cluster_size: torch.Tensor

    def __init__(self, threshold: float, decay: float, books: int, codes: int, has_ema: bool):
        super().__init__()
        self.threshold, self.decay = threshold, decay
        if not has_ema:
            self.register_buffer("cluster_size", torch.ones(books, codes))

    def _counts(self, layer: CodebookQuantizer) -> list[torch.Tensor]:
        if "cluster_size" in self._buffers:
            return list(self.cluster_size)
        return [b for n, b in layer.named_buffers() if n.rpartition(".")[2] == "ema_counts"]

    @torch.no_grad()
    def replace(
        self, layer: CodebookQuantizer, rows: torch.Tensor, kept: torch.Tensor | None
    ) -> None:
        """Replace what is below the threshold by rows [books, n, d], of which `kept` [n] count."""
        sums = [b for n, b in layer.named_buffers() if n.rpartition(".")[2] == "ema_sums"]
        changed: dict[str, torch.Tensor] = {}
        for book, codes in enumerate(layer.codebooks):
            counts, vectors = self._counts(layer)[book], rows[book].to(codes.dtype)
            order = torch.rand(len(vectors), device=vectors.device)
            if kept is not None:
                order = order + (~kept).to(order.dtype)
            count = len(vectors) if kept is None else kept.sum()
            dead = counts < self.threshold
            rank = dead.cumsum(0) - 1
            dead &= rank < count
            chosen = vectors[order.argsort()[rank.clamp(0, len(vectors) - 1)]]
            codes.copy_(torch.where(dead[:, None], chosen, codes))
            counts.masked_fill_(dead, self.threshold)
            changed |= {f"codes {book}": codes, f"counts {book}": counts}
            if sums:
                sums[book].copy_(torch.where(dead[:, None], self.threshold * chosen, sums[book]))
                changed[f"sums {book}"] = sums[book]
        if _distributed.is_active():
            _distributed.synchronize(changed)

    @torch.no_grad()
    def count(self, codes: torch.Tensor) -> None:
        """Count codes [books, n], -1 for none, where no EMA does."""
        if "cluster_size" not in self._buffers:
            return
        found = torch.zeros_like(self.cluster_size)
        found.scatter_add_(1, codes.clamp(min=0), (codes >= 0).to(found.dtype))
        if _distributed.is_active():
            distributed.all_reduce(found)
        self.cluster_size.lerp_(found, 1 - self.decay)
