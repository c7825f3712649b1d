"""The quantizer of the stochastically quantized VAE."""

from __future__ import annotations

import numpy.typing as npt

from .. import _core
from .._arguments import checked
from .._integers import as_floats
from .._options import create_seeded
from .._tensor import Tensor
from ._base import Quantizer, QuantizerInfo


@checked
class SQVAEQuant(Quantizer):
    """Gaussian stochastic quantization, the quantizer of SQ-VAE, types I to IV.

    Takida et al., "SQ-VAE: Variational Bayes on Discrete Representation with Self-annealed
    Stochastic Quantization", ICML 2022. The variance is `s2 = exp(logvar) + exp(s)`, s learned
    from log `initial_variance`, and `p_j = softmax_j(-1/2 sum_l (z_l - C_jl)^2 / s2_l)` over the
    codes C [k, d].

    - kind: what logvar is. "I": 0. From the encoder, `layer(z, logvar)` with z's shape: "II": its
      mean over the sample's positions and channels; "III": over the channels; "IV": itself.
      logvar and s act within -23...23, variances of 1e-10 to 1e10.
    - training: `z_q = softmax((log p + g) / tau) C`, g Gumbel noise; `info.q` is the largest
      weight's.
    - evaluation and `encode`: the code of the largest p, found in Float64, the lowest index on
      equality. The output's gradient then reaches the codebook, not z.
    - `info.loss`: `sum_j p_j log p_j + 1/2 sum_l (z_l - z_ql)^2 / s2_l`, summed over positions and
      averaged over the batch, the entries of the first axis that have a vector. The first term is
      `info.regularization`, the second `info.commitment_loss`. `reconstruction_loss` is the rest
      of the objective: add both with weight 1.
    - `info.d` is the plain squared distance of z to its code.

    tau starts at `temperature` and is multiplied by `temperature_decay` after each training
    forward (the paper anneals by exp(-1e-5)), down to `temperature_min` (and 1e-6). tau and the
    generator are in the state. The paper's networks start their convolutions at N(0, 0.02).

    Args:
        feature_size: d, the size of a vector.
        num_codes: k.
        kind: "I", "II", "III" or "IV".
        initial_variance: exp(s) at the start; the paper takes 20 for color images, 10 for gray.
        seed: of initial codes and noise.
        dim: channel axis of z and logvar; 1 for channels-first.
    """

    log_variance: Tensor
    generator: Tensor

    _operation = "sqvae_quant"

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
            create_seeded(
                "sqvae_quant",
                seed,
                feature_size=feature_size,
                num_codes=num_codes,
                kind=kind,
                initial_variance=initial_variance,
                temperature=temperature,
                temperature_decay=temperature_decay,
                temperature_min=temperature_min,
            ),
            dim,
        )

    @property
    def kind(self) -> str:
        """What logvar is: "I", "II", "III" or "IV"."""
        kind: str = self.options["kind"]
        return kind

    @property
    def codebook(self) -> Tensor:
        """The codebook [k, d], the parameter itself."""
        return dict(self._own_parameters(True))["codebook"]

    @property
    def temperature(self) -> float:
        """tau of the next training forward."""
        return float(self.state_dict()["temperature"])

    def forward(  # type: ignore[override]
        self,
        z: Tensor | npt.ArrayLike,
        logvar: Tensor | npt.ArrayLike | None = None,
        mask: Tensor | npt.ArrayLike | None = None,
        *,
        lengths: npt.ArrayLike | None = None,
    ) -> tuple[Tensor, QuantizerInfo]:
        """z and, but for kind "I", logvar of z's shape -> (z_q of z's shape, info).

        Masks as for every quantizer: they hold for logvar too. ValueError also for a logvar that is
        missing, not taken or of another shape than z.
        """
        rows = self._rows(z)
        kept = self._mask(rows, mask, lengths)
        given = None if logvar is None else self._rows(logvar, "logvar")
        handle = None if given is None else given._handle
        try:
            parts = _core.quantizer_forward(self._handle, rows._handle, handle, kept, 0)
        except ValueError as error:
            raise self._of_passed_shapes(error, rows, given) from None
        return self._info(parts)

    def encode(  # type: ignore[override]
        self,
        z: Tensor | npt.ArrayLike,
        logvar: Tensor | npt.ArrayLike | None = None,
        mask: Tensor | npt.ArrayLike | None = None,
        *,
        lengths: npt.ArrayLike | None = None,
    ) -> Tensor:
        """z -> int32 codes, without the channel axis; changes no state.

        Only kind "IV" needs logvar: the others weigh all channels alike, and the code is the
        nearest.
        """
        rows = self._rows(z)
        kept = self._mask(rows, mask, lengths)
        given = None if logvar is None else self._rows(logvar, "logvar")
        handle = None if given is None else given._handle
        try:
            codes = _core.quantizer_encode(self._handle, rows._handle, handle, kept, 0)
        except ValueError as error:
            raise self._of_passed_shapes(error, rows, given) from None
        return Tensor._wrap(codes)

    @staticmethod
    def reconstruction_loss(
        x: Tensor | npt.ArrayLike, x_reconstructed: Tensor | npt.ArrayLike
    ) -> Tensor:
        """`D/2 log(SSE)`, a scalar: the reconstruction's term of SQ-VAE's objective.

        D is the number of values of an image of x [batch, ...], SSE its summed squared error. The
        mean over the batch stands inside the logarithm, as one variance for all images gives. An
        SSE of 0 counts as the smallest normal float32.
        """
        operation = "sqvae_quant.reconstruction_loss"
        target = as_floats(operation, "x", x)._handle
        given = as_floats(operation, "x_reconstructed", x_reconstructed)._handle
        return Tensor._wrap(_core.gaussian_reconstruction_loss(target, given))
