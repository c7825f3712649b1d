"""`vqswift.models.MaskGIT` without dropout in PyTorch, by the same names; for its tests too."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

EPS = 1e-12


class Block(nn.Module):
    def __init__(self, width: int, heads: int, hidden: int, norm_first: bool) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm1, self.norm2 = nn.LayerNorm(width, EPS), nn.LayerNorm(width, EPS)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.norm_first = norm_first

    def forward(self, x: Any) -> Any:
        if self.norm_first:
            x = x + self.attended(self.norm1(x))
            return x + self.mlp(self.norm2(x))
        x = self.norm1(x + self.attended(x))
        return self.norm2(x + self.mlp(x))

    def attended(self, x: Any) -> Any:
        return self.attention(x, x, x, need_weights=False)[0]


class MaskGIT(nn.Module):
    def __init__(
        self,
        num_codes: int,
        length: int,
        classes: int,
        width: int,
        depth: int,
        heads: int,
        hidden: int,
        norm_first: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if dropout:
            raise ValueError(f"[maskgit] dropout = {dropout}: this one has none")
        self.codes, self.classes = num_codes, classes
        self.embedding = nn.Embedding(num_codes + classes + 2, width)
        self.positions = nn.Parameter(torch.zeros(length + 1, width))
        self.norm = nn.LayerNorm(width, EPS)
        self.blocks = nn.ModuleList(Block(width, heads, hidden, norm_first) for _ in range(depth))
        self.last_norm = nn.LayerNorm(width, EPS) if norm_first else None
        self.head = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width, EPS))
        self.bias = nn.Parameter(torch.zeros(num_codes))
        nn.init.normal_(self.embedding.weight, std=0.02)

    def forward(self, codes: Any, labels: Any) -> Any:
        kinds = torch.where(labels < 0, self.classes, labels) + self.codes + 1
        rows = torch.cat([kinds[:, None], torch.where(codes < 0, self.codes, codes)], 1)
        x = self.norm(self.embedding(rows) + self.positions)
        for block in self.blocks:
            x = block(x)
        if self.last_norm is not None:
            x = self.last_norm(x)
        return F.linear(self.head(x[:, 1:]), self.embedding.weight[: self.codes], self.bias)

    def loss(self, codes: Any, targets: Any, labels: Any) -> Any:
        """Of codes [n, length] whose hidden ones are -1, where the targets are not."""
        logits = self(codes, labels).flatten(0, 1)
        wanted = targets.flatten().long()
        return F.cross_entropy(logits, wanted, ignore_index=-1, label_smoothing=0.1)
