"""The SQ-VAE backbone for 32x32 in PyTorch, with the state names of `vqswift.models.SQVAE`."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class Residual(nn.Module):
    """`x + body(x)`, body: ReLU, 3x3, norm, ReLU, 1x1, norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 1),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


class Quantizer(nn.Module):
    """Nearest code by one matrix product, commitment loss and straight-through gradient."""

    def __init__(self, width: int, codes: int, beta: float) -> None:
        super().__init__()
        self.codebook = nn.Parameter(torch.randn(codes, width))
        self.beta = beta

    def forward(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        z = z.permute(0, 2, 3, 1)
        rows = z.reshape(-1, z.shape[-1])  # [n*h*w, c]
        with torch.no_grad():
            codebook = self.codebook
            half_norms = codebook.square().sum(1) / 2
            codes = torch.addmm(half_norms, rows, codebook.t(), alpha=-1).argmin(1)
        quantized = functional.embedding(codes, self.codebook).view_as(z)
        loss = (1 - self.beta) * functional.mse_loss(z, quantized.detach())
        loss = loss + self.beta * functional.mse_loss(z.detach(), quantized)
        return (z + (quantized - z).detach()).permute(0, 3, 1, 2), loss


class SQVAE(nn.Module):
    """Encoder, quantizer and decoder; images are `[n, 3, 32, 32]` in [0, 1]."""

    def __init__(self, width: int, codes: int, beta: float) -> None:
        super().__init__()
        half = width // 2
        self.encoder = nn.Sequential(
            nn.Conv2d(3, half, 4, stride=2, padding=1),
            nn.BatchNorm2d(half),
            nn.ReLU(),
            nn.Conv2d(half, width, 4, stride=2, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            Residual(width),
            Residual(width),
        )
        self.quantizer = Quantizer(width, codes, beta)
        self.decoder = nn.Sequential(
            Residual(width),
            Residual(width),
            nn.ConvTranspose2d(width, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.ConvTranspose2d(width, half, 4, stride=2, padding=1),
            nn.BatchNorm2d(half),
            nn.ReLU(),
            nn.ConvTranspose2d(half, 3, 4, stride=2, padding=1),
            nn.Sigmoid(),
        )

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        quantized, loss = self.quantizer(self.encoder(x))
        return self.decoder(quantized), loss
