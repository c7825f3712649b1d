"""A codebook with its map, its projections and its statistics, in operations of PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from ._nearest import nearest
from ._through import through

if TYPE_CHECKING:
    from .._base import Quantizer


@dataclass(frozen=True)
class Assigned:
    """Vectors [m, c], their codes [m] and the codes' values, squared distances, the loss and the
    mean squared error."""

    vectors: torch.Tensor
    codes: torch.Tensor
    values: torch.Tensor
    distances: torch.Tensor
    loss: torch.Tensor
    error: torch.Tensor


class Book:
    """The codebook of a layer whose state has names that begin with `prefix`."""

    def __init__(self, layer: Quantizer, prefix: str, options: dict[str, Any], frozen: bool):
        self._layer, self._prefix = layer, prefix
        self.options, self._frozen = options, frozen

    def _tensor(self, name: str) -> torch.Tensor:
        return self._layer._tensor(self._prefix + name)

    @property
    def is_projected(self) -> bool:
        """Whether codes are of another size than vectors."""
        return f"{self._prefix}project_in.weight" in self._layer._plan.state

    def _linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        if not self.is_projected:
            return x
        weight, bias = self._tensor(f"{name}.weight"), self._tensor(f"{name}.bias")
        return functional.linear(x, weight.float(), bias.float())

    def compared(self, rows: torch.Tensor) -> torch.Tensor:
        """Rows as they are compared with codes."""
        return normalized(self._linear("project_in", rows), self.options)

    def projected(self, values: torch.Tensor) -> torch.Tensor:
        """Values of codes as the layer gives them."""
        return self._linear("project_out", values)

    @cached_property
    def effective(self) -> torch.Tensor:
        """E [k, code size]; gradients reach what an optimizer trains."""
        options = self.options

        def part(name: str) -> torch.Tensor:
            tensor = self._tensor(name).float()
            return tensor.detach() if self._frozen else tensor

        fixed = options["ema_decay"] > 0 or options["simvq"]
        codebook = part("codebook").detach() if fixed else part("codebook")
        if options["simvq"]:
            codebook = codebook @ part("transform")
        elif options["affine_lr"] > 0:
            rate, groups = options["affine_lr"], options["affine_groups"]
            factor, bias = 1 + rate * part("affine_scale"), rate * part("affine_bias")
            parts = codebook.reshape(groups, -1, codebook.shape[1])
            codebook = (parts * factor[:, None] + bias[:, None]).flatten(0, 1)
        return normalized(codebook, options, "cb_norm")

    def assign(self, z: torch.Tensor) -> Assigned:
        """The nearest codes of vectors [m, code size], and the loss of both sides."""
        codes = nearest(z.detach(), self.effective.detach())
        values, beta = self.effective[codes], self.options["beta"]
        squares = (z - values).detach().square()
        error = squares.mean() if len(z) else squares.sum()
        loss = error.new_zeros(())
        if len(z):
            loss = (1 - beta) * functional.mse_loss(z, values.detach())
            loss = loss + beta * functional.mse_loss(z.detach(), values)
        return Assigned(z, codes, values, squares.sum(1), loss, error)

    def through(self, z: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """`values`, whose gradient goes to z and by `sync_nu` to them."""
        return through(z, values, self.options["sync_nu"], self.options["gradient"] == "rotation")

    @torch.no_grad()
    def move(self, parts: Sequence[Assigned]) -> None:
        """What a training forward that assigned vectors, in several stages maybe, does to it."""
        options, k = self.options, self.options["num_codes"]
        if not (self._layer.training and self._layer._quantizing) or self._frozen:
            return
        moves, replaces = options["ema_decay"] > 0, options["replace_freq"] > 0
        if not moves and not replaces:
            return
        if options["affine_lr"] > 0:
            raise NotImplementedError(
                f"[{self._layer._kind}] affine_lr with ema_decay or replace_freq: only on the CPU"
            )
        z = torch.cat([part.vectors for part in parts])
        codes = torch.cat([part.codes for part in parts])
        counts = torch.bincount(codes, minlength=k)
        if moves:
            self._follow(z, codes, counts)
        if replaces:
            self._replace(z, counts)

    def _follow(self, z: torch.Tensor, codes: torch.Tensor, counts: torch.Tensor) -> None:
        decay, epsilon = self.options["ema_decay"], self.options["ema_epsilon"]
        codebook, kept, sums = map(self._tensor, ("codebook", "ema_counts", "ema_sums"))
        batch = torch.zeros_like(sums, dtype=torch.float64).index_add(0, codes, z.double())
        weights = decay * kept.double() + (1 - decay) * counts
        total = weights.sum()
        smoothed = (weights + epsilon) / (total + len(codebook) * epsilon) * total
        moved = decay * sums.double() + (1 - decay) * batch
        kept.copy_(weights)
        sums.copy_(moved)
        codebook.copy_(torch.where(counts[:, None] > 0, moved / smoothed[:, None], codebook))

    def _replace(self, z: torch.Tensor, counts: torch.Tensor) -> None:
        codebook, unused = self._tensor("codebook"), self._tensor("unused_steps")
        unused.copy_(torch.where(counts > 0, 0, unused + 1))
        dead = (unused >= self.options["replace_freq"]).nonzero()[:, 0]
        chosen = z[torch.randint(len(z), (len(dead),), device=z.device)]
        lengths = chosen.norm(dim=1, keepdim=True) / chosen.shape[1] ** 0.5
        codebook[dead] = (chosen + 0.01 * lengths * torch.randn_like(chosen)).to(codebook.dtype)
        unused[dead] = 0
        if self.options["ema_decay"] > 0:
            kept, sums = self._tensor("ema_counts"), self._tensor("ema_sums")
            kept[dead] = 1
            sums[dead] = codebook[dead].to(sums.dtype)


def normalized(x: torch.Tensor, options: dict[str, Any], name: str = "norm") -> torch.Tensor:
    """Rows by the norm of that option."""
    norm, largest = options[name], options["max_norm"]
    if norm == "none":
        return x
    lengths = x.norm(dim=-1, keepdim=True)
    if norm == "l2":
        return x / torch.where(lengths > 0, lengths, 1)
    return x * torch.where(lengths > largest, largest / lengths, 1)
