"""The networks of the examples in PyTorch, by the same names; for their tests too."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

STRIDES = (2, 4)


class ResidualUnit(nn.Module):
    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        first = nn.Conv1d(width, width // 2, 3, padding=dilation, dilation=dilation)
        self.first = weight_norm(first)
        self.second = weight_norm(nn.Conv1d(width // 2, width, 1))

    def forward(self, x: Any) -> Any:
        return x + self.second(F.elu(self.first(F.elu(x))))


class Encoder(nn.Module):
    def __init__(self, width: int, features: int) -> None:
        super().__init__()
        self.begin = weight_norm(nn.Conv1d(1, width, 7, padding=3))
        self.units, self.downs = nn.ModuleList(), nn.ModuleList()
        for stride in STRIDES:
            self.units.extend(ResidualUnit(width, dilation) for dilation in (1, 3))
            down = nn.Conv1d(width, 2 * width, 2 * stride, stride, padding=stride // 2)
            self.downs.append(weight_norm(down))
            width *= 2
        self.end = weight_norm(nn.Conv1d(width, features, 7, padding=3))

    def forward(self, x: Any) -> Any:
        x = self.begin(x)
        for place, down in enumerate(self.downs):
            x = down(F.elu(self.units[2 * place + 1](self.units[2 * place](x))))
        return self.end(F.elu(x))


class Decoder(nn.Module):
    def __init__(self, width: int, features: int) -> None:
        super().__init__()
        width *= 2 ** len(STRIDES)
        self.begin = weight_norm(nn.Conv1d(features, width, 7, padding=3))
        self.units, self.ups = nn.ModuleList(), nn.ModuleList()
        for stride in reversed(STRIDES):
            up = nn.ConvTranspose1d(width, width // 2, 2 * stride, stride, padding=stride // 2)
            self.ups.append(weight_norm(up))
            width //= 2
            self.units.extend(ResidualUnit(width, dilation) for dilation in (1, 3))
        self.end = weight_norm(nn.Conv1d(width, 1, 7, padding=3))

    def forward(self, x: Any) -> Any:
        x = self.begin(x)
        for place, up in enumerate(self.ups):
            x = self.units[2 * place + 1](self.units[2 * place](up(F.elu(x))))
        return self.end(F.elu(x))


class ResidualQuantizer(nn.Module):
    """Straight-through residual stages with codebooks by gradient."""

    def __init__(self, features: int, codes: int, stages: int) -> None:
        super().__init__()
        books = [nn.Parameter(torch.randn(codes, features)) for _ in range(stages)]
        self.codebooks = nn.ParameterList(books)

    def forward(self, z: Any) -> Any:
        residual, total, loss = z, torch.zeros_like(z), 0.0
        for codebook in self.codebooks:
            with torch.no_grad():
                half_norms = codebook.square().sum(1) / 2
                rows = residual.flatten(0, 1)
                codes = torch.addmm(half_norms, rows, codebook.t(), alpha=-1).argmin(1)
            chosen = F.embedding(codes, codebook).view_as(z)
            loss = loss + 0.05 * F.mse_loss(residual, chosen.detach())
            loss = loss + 0.95 * F.mse_loss(chosen, residual.detach())
            residual = residual - chosen.detach()
            total = total + chosen.detach()
        return z + (total - z).detach(), loss


class Codec(nn.Module):
    def __init__(
        self, width: int = 16, features: int = 32, codes: int = 64, stages: int = 4
    ) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder(width, features), Decoder(width, features)
        self.quantizer = ResidualQuantizer(features, codes, stages)

    def loss(self, x: Any) -> Any:
        """Of sound [n, t, 1]."""
        sound = x.movedim(-1, 1)
        z_q, loss = self.quantizer(self.encoder(sound).movedim(1, -1))
        return F.mse_loss(self.decoder(z_q.movedim(-1, 1)), sound) + 0.1 * loss


class VisionTransformer(nn.Module):
    def __init__(self, width: int = 64, depth: int = 3, heads: int = 4) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, width, 2, stride=2)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, 17, width))
        block = nn.TransformerEncoderLayer(
            width, heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True
        )
        norm = nn.LayerNorm(width)
        self.blocks = nn.TransformerEncoder(block, depth, norm, enable_nested_tensor=False)
        self.head = nn.Linear(width, 10)

    def loss(self, images: Any, labels: Any) -> Any:
        """Of images [n, h, w, c]."""
        x = self.patches(images.movedim(-1, 1)).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), 1, -1), x], 1) + self.positions
        return F.cross_entropy(self.head(self.blocks(x)[:, 0]), labels.long())


def rotated(x: Any) -> Any:
    """Rotary positions of halves, base 10,000."""
    half = x.shape[-1] // 2
    steps = 10000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
    angles = torch.arange(x.shape[-2], dtype=torch.float64)[:, None] * steps
    cosine, sine = angles.cos().float(), angles.sin().float()
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cosine - b * sine, a * sine + b * cosine], -1)


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.RMSNorm(width, 1e-5), nn.RMSNorm(width, 1e-5)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Any) -> Any:
        n, t, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(n, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(rotated(q), rotated(k), v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(n, t, width))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class CodeTransformer(nn.Module):
    def __init__(self, codes: int = 32, width: int = 64, depth: int = 3, heads: int = 4) -> None:
        super().__init__()
        self.embedding = nn.Embedding(codes + 10, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.RMSNorm(width, 1e-5)
        self.head = nn.Linear(width, codes, bias=False)

    def loss(self, sequences: Any) -> Any:
        x = self.embedding(sequences[:, :-1])
        for block in self.blocks:
            x = block(x)
        scores = self.head(self.norm(x)).flatten(0, 1)
        return F.cross_entropy(scores, sequences[:, 1:].flatten().long())


class CodeGRU(nn.Module):
    def __init__(self, codes: int = 32, width: int = 64, depth: int = 2) -> None:
        super().__init__()
        self.embedding = nn.Embedding(codes + 10, width)
        self.gru = nn.GRU(width, width, depth, batch_first=True)
        self.head = nn.Linear(width, codes)

    def loss(self, sequences: Any) -> Any:
        scores = self.head(self.gru(self.embedding(sequences[:, :-1]))[0]).flatten(0, 1)
        return F.cross_entropy(scores, sequences[:, 1:].flatten().long())


class ResidualBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(8, inputs), nn.Conv2d(inputs, outputs, 3, 1, 1)
        self.norm2, self.conv2 = nn.GroupNorm(8, outputs), nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Any) -> Any:
        hidden = self.conv1(F.silu(self.norm1(x)))
        return self.skip(x) + self.conv2(F.silu(self.norm2(hidden)))


class Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, width)
        self.qkv, self.out = nn.Conv2d(width, 3 * width, 1), nn.Conv2d(width, width, 1)

    def forward(self, x: Any) -> Any:
        q, k, v = self.qkv(self.norm(x)).flatten(2).transpose(1, 2).chunk(3, -1)
        y = F.scaled_dot_product_attention(q, k, v)
        return x + self.out(y.transpose(1, 2).unflatten(2, x.shape[2:]))


class VQGAN(nn.Module):
    def __init__(self, width: int = 16, features: int = 16, codes: int = 128) -> None:
        super().__init__()
        wide = 2 * width
        self.encoder = nn.Sequential(
            *(nn.Conv2d(1, width, 3, 1, 1), ResidualBlock(width, width), nn.AvgPool2d(2)),
            *(ResidualBlock(width, wide), nn.AvgPool2d(2)),
            *(ResidualBlock(wide, wide), Attention(wide), ResidualBlock(wide, wide)),
            *(nn.GroupNorm(8, wide), nn.SiLU(), nn.Conv2d(wide, features, 1)),
        )
        self.quantizer = ResidualQuantizer(features, codes, 1)
        self.decoder = nn.Sequential(
            *(nn.Conv2d(features, wide, 3, 1, 1), ResidualBlock(wide, wide), Attention(wide)),
            *(ResidualBlock(wide, wide), nn.Upsample(scale_factor=2)),
            *(nn.Conv2d(wide, width, 3, 1, 1), ResidualBlock(width, width)),
            *(nn.Upsample(scale_factor=2), nn.Conv2d(width, width, 3, 1, 1)),
            *(nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, 1, 3, 1, 1)),
        )

    def loss(self, images: Any) -> Any:
        """Of images [n, h, w, 1]."""
        x = images.movedim(-1, 1)
        z = self.encoder(x)
        z_q, loss = self.quantizer(z.flatten(2).transpose(1, 2))
        decoded = self.decoder(z_q.transpose(1, 2).unflatten(2, z.shape[2:]))
        return F.mse_loss(decoded, x) + 0.1 * loss
