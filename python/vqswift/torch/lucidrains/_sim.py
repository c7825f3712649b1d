"""SimVQ by the names of vector-quantize-pytorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from .._vector import VectorQuant
from ._options import refuse
from ._shapes import new_seed, rows_of
from ._states import fit_state


class SimVQ(nn.Module):
    """`vector_quantize_pytorch.SimVQ` over the native kernels.

    `quantized, indices, loss = sim_vq(x)` of x [batch, ..., dim], or [batch, dim, ...] with
    `channel_first`; the loss is there in evaluation too. Keywords and initial values are the
    peer's; what there is not raises ValueError with the name of the option.

    Attributes:
        layer: the quantizer, `vqswift.torch.VectorQuant` with `simvq` and channels last.
    """

    def __init__(
        self,
        dim: int,
        codebook_size: int,
        codebook_transform: nn.Module | None = None,
        init_fn: Callable[[torch.Tensor], torch.Tensor] | None = None,
        channel_first: bool = False,
        rotation_trick: bool = True,
        input_to_quantize_commit_loss_weight: float = 0.25,
        commitment_weight: float = 1.0,
        frozen_codebook_dim: int | None = None,
    ) -> None:
        super().__init__()
        if codebook_transform is not None:
            refuse("SimVQ", "codebook_transform", codebook_transform, "codes are a linear map here")
        if frozen_codebook_dim not in (None, dim):
            refuse("SimVQ", "frozen_codebook_dim", frozen_codebook_dim, f"must be dim = {dim}")
        encoder = input_to_quantize_commit_loss_weight
        self.dim, self.codebook_size, self.channel_first = dim, codebook_size, channel_first
        # (1 + w) ((1 - beta) mse(z, sg z_q) + beta mse(sg z, z_q)) with beta = 1 / (1 + w)
        self._weight = commitment_weight * (1 + encoder)
        self.layer = VectorQuant(
            dim,
            codebook_size,
            simvq=True,
            beta=1 / (1 + encoder),
            gradient="rotation" if rotation_trick else "ste",
            seed=new_seed(),
        )
        self.register_load_state_dict_pre_hook(fit_state)  # type: ignore[no-untyped-call]
        frozen = torch.randn(codebook_size, dim) * dim**-0.5
        with torch.no_grad():
            self.layer.codebooks[0].copy_(frozen if init_fn is None else init_fn(frozen))
            self._transform.copy_(nn.Linear(dim, dim, bias=False).weight.T)

    @property
    def _transform(self) -> nn.Parameter:
        return self.layer.get_parameter("transform")

    @property
    def codebook(self) -> torch.Tensor:
        """[k, d], after the linear map."""
        return self.layer.effective_codebook

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, Any]:
        """x -> (quantized, indices, loss)."""
        rows = x.movedim(1, -1) if self.channel_first else x
        quantized, info = self.layer(rows)
        out = quantized.movedim(-1, 1) if self.channel_first else quantized
        return out, info.q, self._weight * info.loss

    def indices_to_codes(self, indices: torch.Tensor) -> torch.Tensor:
        """Indices -> codes, channels where x has them."""
        codes = rows_of(self.codebook, indices)
        return codes.movedim(-1, 1) if self.channel_first else codes
