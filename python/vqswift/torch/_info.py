"""What a forward tells."""

from __future__ import annotations

from typing import NamedTuple

import torch


class QuantizerInfo(NamedTuple):
    """What a quantizer's forward tells beside its output.

    With z [..., d] and one code a vector: `q` int64 [...] codes, `d` [...] squared distances;
    group and residual quantizers add an axis of groups or stages to both. A vector that a mask
    leaves out has code -1, as has a stage that dropout leaves out. `loss` is a scalar without
    alpha, `z_q` the output, `z` the vectors as compared: after projection and norm, but z itself
    in a residual quantizer with projections. `summary`, float64 [5], has what is read without an
    axis: `commitment_loss`, `codebook_loss` and `regularization`, the parts of the loss;
    `perplexity`, 2^entropy of the batch's code usage (the mean over stages or groups), and
    `active_codes`, the number of codes that it uses, of all codebooks.

    `stage_losses` and `stage_perplexities` have one entry for each stage or group with a codebook
    of its own, 0 for stages that dropout left out, and one in all for a shared group layer and for
    quantizers without stages. Gradients flow from `z_q`, `loss`, `z` and `stage_losses`.
    """

    q: torch.Tensor
    d: torch.Tensor
    loss: torch.Tensor
    z: torch.Tensor
    z_q: torch.Tensor
    stage_losses: torch.Tensor
    stage_perplexities: torch.Tensor
    summary: torch.Tensor

    @property
    def commitment_loss(self) -> torch.Tensor:
        """The encoder's part of the loss."""
        return self.summary[0]

    @property
    def codebook_loss(self) -> torch.Tensor:
        """The codebook's part of the loss."""
        return self.summary[1]

    @property
    def regularization(self) -> torch.Tensor:
        """The rest of the loss."""
        return self.summary[2]

    @property
    def perplexity(self) -> torch.Tensor:
        """2^entropy of the batch's code usage."""
        return self.summary[3]

    @property
    def active_codes(self) -> torch.Tensor:
        """The number of codes that the batch uses."""
        return self.summary[4]
