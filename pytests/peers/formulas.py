"""The formulas of quantizers with a learned codebook in PyTorch, Float64, for autograd."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

DEFAULTS: dict[str, Any] = {
    "beta": 0.95,
    "sync_nu": 0.0,
    "gradient": "ste",
    "affine": "learned",
    "affine_lr": 0.0,
    "affine_groups": 1,
    "norm": "none",
    "cb_norm": "none",
    "max_norm": 10.0,
    "norm_groups": 4,
    "orthogonal_weight": 0.0,
    "entropy_weight": 0.0,
    "entropy_temperature": 1.0,
}


@dataclass
class Quantization:
    """`z` as compared, codes `q`, its `values`, output `z_q` and `loss` without alpha."""

    z: torch.Tensor
    q: torch.Tensor
    values: torch.Tensor
    z_q: torch.Tensor
    loss: torch.Tensor


class Reference:
    """E = norm(map(C)); q = argmin |z - E|; the loss and the gradients of QUANTIZERS.

    Starts with the values of `state` whose names begin with `prefix`; `options` are those that the
    layer was made with. Vectors are [samples, n, d].
    """

    def __init__(
        self, state: Mapping[str, np.ndarray], options: Mapping[str, Any], prefix: str = ""
    ) -> None:
        self.options = DEFAULTS | dict(options)
        self.parameters = {
            name.removeprefix(prefix): double(value)
            for name, value in state.items()
            if name.startswith(prefix) and value.dtype == np.float32
        }

    def __getitem__(self, name: str) -> torch.Tensor | None:
        return self.parameters.get(name)

    def effective(self, codebook: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """E of raw codes; `z` is for a map by moments."""
        o = self.options
        if (transform := self["transform"]) is not None:
            codebook = codebook @ transform
        elif (scale := self["affine_scale"]) is not None:
            bias, size = self.parameters["affine_bias"], len(codebook) // len(scale)
            factor = (1 + o["affine_lr"] * scale).repeat_interleave(size, 0)
            codebook = factor * codebook + (o["affine_lr"] * bias).repeat_interleave(size, 0)
        elif o["affine"] == "ema":  # of the first batch
            codes, vectors = codebook.detach(), z.detach().flatten(0, 1)
            factor = (vectors.var(0, correction=0) / (codes.var(0, correction=0) + 1e-8)).sqrt()
            codebook = factor * codebook + vectors.mean(0) - factor * codes.mean(0)
        return self.normalized(codebook[None], o["cb_norm"])[0]

    def compared(self, z: torch.Tensor) -> torch.Tensor:
        """z after projection and norm."""
        if (weight := self["project_in.weight"]) is not None:
            z = functional.linear(z, weight, self["project_in.bias"])
        return self.normalized(z, self.options["norm"])

    def normalized(self, x: torch.Tensor, norm: str) -> torch.Tensor:
        o = self.options
        if norm == "l2":
            return unit(x)
        if norm == "l2c":
            return x * (o["max_norm"] / x.norm(dim=-1, keepdim=True)).clamp(max=1)
        if norm == "bn":
            return standardized(x, (0, 1))
        if norm == "in":
            return standardized(x, (1,))
        if norm == "gn":
            parts = x.unflatten(-1, (o["norm_groups"], -1))
            return standardized(parts, (-1,)).flatten(-2)
        return x

    def __call__(
        self,
        z: torch.Tensor,
        *,
        alternating: bool = False,
        direction: torch.Tensor | None = None,
    ) -> Quantization:
        """`alternating`: the loss reaches the map alone, and C takes only nu's gradient.
        `direction`: the unit vectors along which a directional output leaves z."""
        o = self.options
        raw, z = self.parameters["codebook"], self.compared(z)
        synchronized = self.effective(raw, z)
        distances = (z[..., None, :] - synchronized).square().sum(-1)  # [samples, n, k]
        codes = distances.argmin(-1)
        moved = synchronized[codes]
        if o["gradient"] == "directional":
            values = z + (moved - z).norm(dim=-1, keepdim=True) * direction
        else:
            through = rotated(z, moved) if o["gradient"] == "rotation" else z
            nothing = (moved - through).detach()
            values = through + nothing + o["sync_nu"] * (moved - moved.detach())
        compared = self.effective(raw.detach(), z) if alternating else synchronized
        moved = compared[codes]
        loss = (1 - o["beta"]) * functional.mse_loss(z, moved.detach())
        loss = loss + o["beta"] * functional.mse_loss(z.detach(), moved)
        loss = loss + self.regularizers(z, compared)
        z_q = values
        if (weight := self["project_out.weight"]) is not None:
            z_q = functional.linear(values, weight, self["project_out.bias"])
        return Quantization(z, codes, values, z_q, loss)

    def regularizers(self, z: torch.Tensor, codebook: torch.Tensor) -> torch.Tensor:
        o = self.options
        directions = unit(codebook)
        products = directions @ directions.T - torch.eye(len(codebook))
        orthogonal = products.square().mean()
        distances = (z[..., None, :] - codebook).square().sum(-1)
        p = (-distances / o["entropy_temperature"]).softmax(-1).flatten(0, 1)
        entropy = -(p * p.log()).sum(-1).mean()
        mean = p.mean(0)
        entropy = entropy + (mean * mean.log()).sum()
        return o["orthogonal_weight"] * orthogonal + o["entropy_weight"] * entropy

    def inner_loss(self, z: torch.Tensor) -> torch.Tensor:
        """mse(sg z, z_q) and the regularizers as a function of the raw codebook alone."""
        z = self.compared(z).detach()
        kept = self.parameters
        self.parameters = {
            name: value if name == "codebook" else value.detach() for name, value in kept.items()
        }
        effective = self.effective(self.parameters["codebook"], z)
        self.parameters = kept
        codes = torch.cdist(z, effective).argmin(-1)
        return functional.mse_loss(effective[codes], z) + self.regularizers(z, effective)


def double(array: np.ndarray) -> torch.Tensor:
    """A Float64 leaf of the array's values."""
    return torch.tensor(array, dtype=torch.float64, requires_grad=True)


def unit(rows: torch.Tensor) -> torch.Tensor:
    return rows / rows.norm(dim=-1, keepdim=True)


def standardized(x: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
    """Mean zero and unit biased variance, eps 1e-5."""
    centered = x - x.mean(axes, keepdim=True)
    return centered / (centered.square().mean(axes, keepdim=True) + 1e-5).sqrt()


def rotated(z: torch.Tensor, to: torch.Tensor) -> torch.Tensor:
    """|q| / |e| (I - 2 w w^T + 2 q^ e^T) e with the factors detached (Fifty et al. 2024)."""
    e, q = unit(z.detach()), unit(to.detach())
    w = unit(e + q)
    scale = to.detach().norm(dim=-1, keepdim=True) / z.detach().norm(dim=-1, keepdim=True)

    def along(direction: torch.Tensor) -> torch.Tensor:
        return (z * direction).sum(-1, keepdim=True)

    return scale * (z - 2 * w * along(w) + 2 * q * along(e))
