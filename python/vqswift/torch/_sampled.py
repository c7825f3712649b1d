"""Quantizers whose training codes are sampled."""

from __future__ import annotations

import torch

from .. import quantizers as native
from ._base import Quantizer
from ._info import QuantizerInfo


class GumbelQuant(Quantizer):
    """Vector quantization by Gumbel softmax samples.

    `vqswift.GumbelQuant` in PyTorch, with its options: z [..., feature_size] gives logits by a
    linear layer, training outputs are mixtures of codes, evaluation outputs codes. Its temperature
    and generator are buffers.

    Args:
        feature_size: channels of z.
        num_codes: k.
        code_size: channels of codes and outputs; feature_size by default.
        temperature, temperature_decay, temperature_min: tau of the first training forward, what it
            is multiplied by after each, and the least.
        kl_weight: of the divergence from the uniform distribution.
        hard: training outputs are codes.
        dim: channel axis of z; 1 for channels-first.
        seed: of initial weights and noise.
    """

    def __init__(
        self,
        feature_size: int,
        num_codes: int,
        *,
        code_size: int | None = None,
        temperature: float = 1.0,
        temperature_decay: float = 1.0,
        temperature_min: float = 0.0,
        kl_weight: float = 5e-3,
        hard: bool = False,
        dim: int = -1,
        seed: int | None = None,
    ) -> None:
        super().__init__(
            native.GumbelQuant(
                feature_size,
                num_codes,
                code_size=code_size,
                temperature=temperature,
                temperature_decay=temperature_decay,
                temperature_min=temperature_min,
                kl_weight=kl_weight,
                hard=hard,
                dim=dim,
                seed=seed,
            )
        )


class SQVAEQuant(Quantizer):
    """Gaussian stochastic quantization, the quantizer of SQ-VAE, types I to IV.

    `vqswift.SQVAEQuant` in PyTorch, with its options: `layer(z)` for kind "I", else
    `layer(z, logvar)` with the encoder's log variance, of z's shape. Its objective is
    `reconstruction_loss(x, decoder(z_q)) + info.loss`.

    Args:
        feature_size: d, the size of a vector.
        num_codes: k.
        kind: "I", "II", "III" or "IV": what logvar is.
        initial_variance: exp(s) at the start.
        temperature, temperature_decay, temperature_min: as for `GumbelQuant`.
        dim: channel axis of z and logvar; 1 for channels-first.
        seed: of initial codes and noise.
    """

    def __init__(
        self,
        feature_size: int,
        num_codes: int,
        *,
        kind: str = "I",
        initial_variance: float = 20.0,
        temperature: float = 1.0,
        temperature_decay: float = 0.99999,
        temperature_min: float = 0.0,
        dim: int = -1,
        seed: int | None = None,
    ) -> None:
        super().__init__(
            native.SQVAEQuant(
                feature_size,
                num_codes,
                kind=kind,
                initial_variance=initial_variance,
                temperature=temperature,
                temperature_decay=temperature_decay,
                temperature_min=temperature_min,
                dim=dim,
                seed=seed,
            )
        )

    def forward(  # type: ignore[override]
        self,
        z: torch.Tensor,
        logvar: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        *,
        lengths: torch.Tensor | None = None,
        freeze: bool | None = None,
    ) -> tuple[torch.Tensor, QuantizerInfo]:
        """z and, but for kind "I", logvar of z's shape -> (z_q of z's shape, info).

        Masks as for every quantizer: they hold for logvar too. ValueError also for a logvar that is
        missing, not taken or of another shape than z.
        """
        return self._forward(z, mask, lengths, freeze, logvar=logvar)

    def encode(  # type: ignore[override]
        self,
        z: torch.Tensor,
        logvar: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        *,
        lengths: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """z -> int64 codes, without the channel axis; changes no state. Only kind "IV" needs
        logvar."""
        return self._encode(z, mask, lengths, logvar=logvar)

    @staticmethod
    def reconstruction_loss(x: torch.Tensor, x_reconstructed: torch.Tensor) -> torch.Tensor:
        """`D/2 log(SSE)`, a scalar: the reconstruction's term of SQ-VAE's objective.

        D is the number of values of an image of x [batch, ...], SSE its summed squared error. The
        mean over the batch stands inside the logarithm. An SSE of 0 counts as the smallest normal
        float32, without gradient.
        """
        operation = "sqvae_quant.reconstruction_loss"
        if x.ndim < 1 or x.shape != x_reconstructed.shape:
            raise ValueError(
                f"[{operation}] shapes {[*x.shape]} and {[*x_reconstructed.shape]}: images "
                "[batch, ...] of equal shapes are required"
            )
        if not x.numel():
            raise ValueError(f"[{operation}] shape {[*x.shape]}: the mean needs at least one value")
        least = torch.finfo(torch.float32).tiny
        error = (x.float() - x_reconstructed.float()).square().sum() / x.shape[0]
        return error.clamp(min=least).log() * (x.numel() / x.shape[0] / 2)
