"""The plain layer's formulas in PyTorch, Float64, for autograd to differentiate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import vqswift as vq
from torch.nn import functional


@dataclass
class Quantization:
    """`z` as compared, codes `q`, output `z_q` and `loss` without alpha."""

    z: torch.Tensor
    q: torch.Tensor
    z_q: torch.Tensor
    loss: torch.Tensor


class Reference:
    """E = norm((1 + lr s) C + lr b); q = argmin |z - E|; z_q = E[q].

    Starts with the codebook and the affine map of `layer`; `options` are those it was made with.
    """

    def __init__(self, layer: vq.VectorQuant, options: dict[str, Any]) -> None:
        state = layer.state_dict()
        self.options = options
        self.codebook = double(state["codebook"])
        self.scale = double(state["affine_scale"]) if "affine_scale" in state else None
        self.bias = double(state["affine_bias"]) if "affine_bias" in state else None

    def parameters(self) -> dict[str, torch.Tensor]:
        named = {
            "codebook": self.codebook,
            "affine_scale": self.scale,
            "affine_bias": self.bias,
        }
        return {name: tensor for name, tensor in named.items() if tensor is not None}

    def effective(
        self,
        codebook: torch.Tensor,
        scale: torch.Tensor | None,
        bias: torch.Tensor | None,
    ) -> torch.Tensor:
        if scale is not None and bias is not None:
            rate, size = self.options["affine_lr"], len(codebook) // len(scale)
            factor = (1 + rate * scale).repeat_interleave(size, 0)
            codebook = factor * codebook + (rate * bias).repeat_interleave(size, 0)
        return unit(codebook) if self.options.get("cb_norm") == "l2" else codebook

    def compared(self, z: torch.Tensor) -> torch.Tensor:
        return unit(z) if self.options.get("norm") == "l2" else z

    def __call__(self, z: torch.Tensor, *, alternating: bool = False) -> Quantization:
        """`alternating`: the loss reaches the affine map alone, and C takes only nu's gradient."""
        beta, nu = self.options.get("beta", 0.95), self.options.get("sync_nu", 0.0)
        z = self.compared(z)
        synchronized = self.effective(self.codebook, self.scale, self.bias)
        codes = torch.cdist(z, synchronized).argmin(1)
        moved = synchronized[codes]
        z_q = z + (moved - z).detach() + nu * (moved - moved.detach())
        if alternating:
            moved = self.effective(self.codebook.detach(), self.scale, self.bias)[codes]
        encoder = functional.mse_loss(z, moved.detach())
        code = functional.mse_loss(z.detach(), moved)
        return Quantization(z, codes, z_q, (1 - beta) * encoder + beta * code)

    def inner_loss(self, z: torch.Tensor) -> torch.Tensor:
        """mse(sg z, z_q) as a function of the raw codebook alone."""
        z = self.compared(z).detach()
        scale, bias = (None if t is None else t.detach() for t in (self.scale, self.bias))
        effective = self.effective(self.codebook, scale, bias)
        return functional.mse_loss(effective[torch.cdist(z, effective).argmin(1)], z)


def double(array: np.ndarray) -> torch.Tensor:
    """A Float64 leaf of the array's values."""
    return torch.tensor(array, dtype=torch.float64, requires_grad=True)


def unit(rows: torch.Tensor) -> torch.Tensor:
    return rows / rows.norm(dim=-1, keepdim=True)
