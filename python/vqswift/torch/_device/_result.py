"""What quantizing rows gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch


@dataclass(frozen=True)
class Result:
    """Of rows [m, d]: values, codes [m], squared distances, the vectors as compared, the loss and
    its parts."""

    z_q: torch.Tensor
    codes: torch.Tensor
    distances: torch.Tensor
    compared: torch.Tensor
    loss: torch.Tensor
    commitment: torch.Tensor
    codebook: torch.Tensor
    regularization: torch.Tensor

    def unquantized(self, rows: torch.Tensor) -> Result:
        """The rows themselves, with the codes that they would have."""
        nothing = torch.zeros_like(self.loss)
        return replace(
            self,
            z_q=rows,
            loss=nothing,
            commitment=nothing,
            codebook=nothing,
            regularization=nothing,
        )

    def listed(
        self, lead: Sequence[int], mask: torch.Tensor | None, count: int
    ) -> list[torch.Tensor]:
        """In the order of the operator, at the places that a mask kept."""
        usage = torch.bincount(self.codes, minlength=count).double()
        shares = usage / usage.sum().clamp(min=1)
        entropy = -(shares * shares.clamp(min=1e-300).log2()).sum()
        perplexity = torch.exp2(entropy) if len(self.codes) else torch.zeros_like(entropy)
        parts = (self.commitment, self.codebook, self.regularization)
        numbers = [part.detach().double() for part in parts]
        summary = torch.stack([*numbers, perplexity, (usage > 0).sum().double()])
        return [
            _placed(self.z_q, lead, mask, 0),
            _placed(self.codes, lead, mask, -1),
            _placed(self.distances.detach(), lead, mask, 0),
            self.loss,
            self.loss.reshape(1).clone(),
            perplexity.reshape(1).float(),
            summary,
            _placed(self.compared, lead, mask, 0),
        ]


def _placed(
    values: torch.Tensor, lead: Sequence[int], mask: torch.Tensor | None, other: int
) -> torch.Tensor:
    if mask is None:
        return values.reshape(*lead, *values.shape[1:])
    whole = values.new_full((*lead, *values.shape[1:]), other)
    return whole.index_put((mask,), values)
