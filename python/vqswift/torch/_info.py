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
    in a residual quantizer with projections. The others are tensors without an axis:
    `commitment_loss`, `codebook_loss` and `regularization`, the parts of the loss; `perplexity`,
    2^entropy of the batch's code usage (the mean over stages or groups), and `active_codes`, the
    number of codes that it uses, of all codebooks.

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
    commitment_loss: torch.Tensor
    codebook_loss: torch.Tensor
    regularization: torch.Tensor
    perplexity: torch.Tensor
    active_codes: torch.Tensor
