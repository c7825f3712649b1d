"""The peer's half of the recipes' contest: PyTorch with vector-quantize-pytorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from vector_quantize_pytorch import VectorQuantize

from ._recipes_task import ALPHA, CODES, CONVOLUTIONS, RATE, WIDTH, Evaluate, Outcome, Task, run

# Arguments of VectorQuantize by setting; none is a network without a quantizer.
SETTINGS: dict[str, dict[str, Any] | None] = {
    "no quantizer": None,
    "defaults": {},
    "straight-through, EMA .99, k-means, dead code 2": {
        "rotation_trick": False,
        "decay": 0.99,
        "kmeans_init": True,
        "threshold_ema_dead_code": 2,
    },
    "rotation, EMA .8, k-means": {"rotation_trick": True, "decay": 0.8, "kmeans_init": True},
    "learnable, affine, k-means": {
        "learnable_codebook": True,
        "ema_update": False,
        "affine_param": True,
        "kmeans_init": True,
    },
    "learnable, affine, k-means, straight-through": {
        "learnable_codebook": True,
        "ema_update": False,
        "affine_param": True,
        "kmeans_init": True,
        "rotation_trick": False,
    },
    # It has no commitment loss.
    "directional, k-means, dead code 2": {
        "directional_reparam": True,
        "kmeans_init": True,
        "threshold_ema_dead_code": 2,
    },
}


class Autoencoder(nn.Module):
    """Images `[n, 3, 32, 32]` through 8x8 vectors of 32 elements."""

    def __init__(self, quantizer: nn.Module | None) -> None:
        super().__init__()
        for name, (inputs, outputs) in CONVOLUTIONS.items():
            self.add_module(name, nn.Conv2d(inputs, outputs, 3, padding=1))
        self.quantizer = quantizer

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:
        """Reconstruction, codes and commitment loss."""
        x = functional.gelu(functional.max_pool2d(self.narrow_in(x), 2))
        x = functional.max_pool2d(self.wide_in(x), 2)
        codes, loss = None, x.new_zeros(())
        if self.quantizer is not None:
            x, codes, loss = self.quantizer(x)
        x = self.wide_out(functional.interpolate(x, scale_factor=2, mode="nearest"))
        x = functional.interpolate(functional.gelu(x), scale_factor=2, mode="nearest")
        return self.narrow_out(x).clamp(-1, 1), codes, loss


def train(setting: str, task: Task) -> Outcome:
    """Trains one setting on the task."""
    torch.manual_seed(task.seed)
    options = SETTINGS[setting]
    quantizer = None
    if options is not None:
        quantizer = VectorQuantize(WIDTH, CODES, accept_image_fmap=True, **options)
    model = Autoencoder(quantizer)
    weights = {name: torch.from_numpy(value) for name, value in task.weights().items()}
    model.load_state_dict(weights, strict=quantizer is None)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    model.train()

    def step(images: np.ndarray) -> float:
        x = torch.from_numpy(images).permute(0, 3, 1, 2)
        reconstruction, _, commitment = model(x)
        loss = functional.l1_loss(reconstruction, x) + ALPHA * commitment.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    def finish() -> Evaluate:
        model.eval()

        @torch.no_grad()
        def evaluate(images: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
            reconstruction, codes, _ = model(torch.from_numpy(images).permute(0, 3, 1, 2))
            return (
                reconstruction.permute(0, 2, 3, 1).numpy(),
                None if codes is None else codes.numpy(),
            )

        return evaluate

    return run(task, step, finish)
