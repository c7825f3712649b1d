"""vqtorch's vector quantization in operators of PyTorch, written from its description.

Distances of 1024 vectors at a time by `torch.cdist`, the smallest by `topk`; the loss weighs the
codebook with beta and the vectors with 1 - beta; the gradient goes straight through.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

_AT_ONCE, _BETA = 1024, 0.95


class VectorQuant(nn.Module):
    """Images `[n, width, h, w]` -> codes' vectors, codes and loss."""

    def __init__(self, width: int, codes: int) -> None:
        super().__init__()
        self.codebook = nn.Parameter(torch.randn(codes, width))

    def forward(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The quantized images, channels where they were."""
        rows = z.movedim(1, -1).contiguous()
        with torch.no_grad():
            parts = rows.view(-1, rows.shape[-1]).split(_AT_ONCE)
            nearest = [torch.cdist(part, self.codebook).topk(1, largest=False) for part in parts]
            codes = torch.cat([found.indices for found in nearest]).view(rows.shape[:-1])
        z_q = functional.embedding(codes, self.codebook)
        commitment = functional.mse_loss(rows, z_q.detach())
        loss = (1 - _BETA) * commitment + _BETA * functional.mse_loss(z_q, rows.detach())
        return (rows + (z_q - rows).detach()).movedim(-1, 1), codes, loss
