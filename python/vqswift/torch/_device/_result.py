"""What quantizing rows gives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch.nn import functional

# Codes of a codebook that are counted one by one, however few rows there are.
_FEW = 1 << 14


@dataclass(frozen=True)
class Result:
    """Of rows [m, d]: values, codes [m] or [m, parts], squared distances, the vectors as compared,
    the loss and its parts, the losses of groups or stages, and the codes of each codebook, or of
    each stage where `shares_codebook`."""

    z_q: torch.Tensor
    codes: torch.Tensor
    distances: torch.Tensor
    compared: torch.Tensor
    loss: torch.Tensor
    commitment: torch.Tensor
    codebook: torch.Tensor
    regularization: torch.Tensor
    stage_losses: torch.Tensor
    columns: tuple[torch.Tensor, ...]
    shares_codebook: bool = False

    @classmethod
    def of_codes(
        cls,
        z_q: torch.Tensor,
        codes: torch.Tensor,
        distances: torch.Tensor,
        compared: torch.Tensor,
        loss: torch.Tensor,
        commitment: torch.Tensor | None = None,
        codebook: torch.Tensor | None = None,
        regularization: torch.Tensor | None = None,
        quantizing: bool = True,
    ) -> Result:
        """One code a row, and one loss: none where the values were left as they are."""
        nothing = torch.zeros_like(loss.detach())
        loss = loss if quantizing else nothing

        def told(part: torch.Tensor | None) -> torch.Tensor:
            return part.detach() if quantizing and part is not None else nothing

        return cls(
            z_q=z_q,
            codes=codes,
            distances=distances,
            compared=compared,
            loss=loss,
            commitment=told(commitment),
            codebook=told(codebook),
            regularization=told(regularization),
            stage_losses=loss.reshape(1).clone(),
            columns=(codes,),
        )

    @classmethod
    def added(
        cls,
        parts: Sequence[Result],
        z_q: torch.Tensor,
        compared: torch.Tensor,
        weight: float = 1.0,
        shares_codebook: bool = False,
    ) -> Result:
        """Groups or stages: losses add up, by a weight, and codes become columns."""

        def total(name: str) -> torch.Tensor:
            values = [getattr(part, name) for part in parts]
            return torch.stack(values).sum() * weight

        return cls(
            z_q=z_q,
            codes=torch.stack([part.codes for part in parts], 1),
            distances=torch.stack([part.distances for part in parts], 1),
            compared=compared,
            loss=total("loss"),
            commitment=total("commitment"),
            codebook=total("codebook"),
            regularization=total("regularization"),
            stage_losses=torch.cat([part.stage_losses for part in parts]),
            columns=tuple(column for part in parts for column in part.columns),
            shares_codebook=shares_codebook,
        )

    def folded(self, groups: int) -> Result:
        """Of rows [m groups, d]: those of whole vectors."""

        def wide(values: torch.Tensor) -> torch.Tensor:
            return values.reshape(len(values) // groups, groups * math.prod(values.shape[1:]))

        return replace(
            self,
            z_q=wide(self.z_q),
            codes=wide(self.codes),
            distances=wide(self.distances),
            compared=wide(self.compared),
        )

    def padded(self, stages: int) -> Result:
        """With columns for the stages that were not used: -1 for codes, 0 for the rest."""
        missing = stages - self.codes.shape[1]

        def wider(values: torch.Tensor, value: float) -> torch.Tensor:
            return functional.pad(values, (0, missing), value=value)

        return replace(
            self,
            codes=wider(self.codes, -1),
            distances=wider(self.distances, 0),
            stage_losses=wider(self.stage_losses, 0),
        )

    def _usages(self, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """How often codes of each column are chosen, float64, with zeros or without, and how many
        codes are."""
        columns = torch.stack(self.columns)
        if count > max(_FEW, 4 * columns.shape[1]):
            found = [torch.unique(column, return_counts=True)[1].double() for column in columns]
            usages = torch.nn.utils.rnn.pad_sequence(found, batch_first=True)
            chosen = torch.unique(columns) if self.shares_codebook else torch.cat(found)
            return usages, torch.tensor(chosen.numel(), device=columns.device)
        places = torch.arange(len(columns), device=columns.device)[:, None] * count
        usages = torch.bincount((columns + places).flatten(), minlength=len(columns) * count)
        usages = usages.reshape(len(columns), count)
        used = usages.sum(0) if self.shares_codebook else usages
        return usages.double(), (used > 0).sum()

    def listed(
        self, lead: Sequence[int], mask: torch.Tensor | None, count: int
    ) -> list[torch.Tensor]:
        """In the order of the operator, at the places that a mask kept; codebooks have `count`
        codes."""
        usages, active = self._usages(count)
        shares = usages / usages.sum(1, keepdim=True).clamp(min=1)
        entropies = -(shares * shares.clamp(min=1e-300).log2()).sum(1)
        perplexities = torch.exp2(entropies) * (len(self.codes) > 0)
        numbers = [part.double() for part in (self.commitment, self.codebook, self.regularization)]
        missing = len(self.stage_losses) - len(perplexities)
        return [
            placed(self.z_q, lead, mask, 0),
            placed(self.codes, lead, mask, -1),
            placed(self.distances.detach(), lead, mask, 0),
            self.loss,
            self.stage_losses,
            functional.pad(perplexities.float(), (0, missing)),
            torch.stack([*numbers, perplexities.mean(), active.double()]),
            placed(self.compared, lead, mask, 0),
        ]


def placed(
    values: torch.Tensor, lead: Sequence[int], mask: torch.Tensor | None, other: int
) -> torch.Tensor:
    """Values of the rows that a mask kept, in their places; others elsewhere."""
    if mask is None:
        return values.reshape((*lead, *values.shape[1:]))
    whole = values.new_full((mask.numel(), *values.shape[1:]), other)
    return whole.index_put((mask.reshape(-1),), values).reshape((*lead, *values.shape[1:]))
