"""Quantizers without a nearest-code search: FSQ, LFQ, Gumbel softmax and Gaussian SQ-VAE."""

from __future__ import annotations

from collections.abc import Sequence

import numpy.typing as npt

from . import _core
from ._arguments import checked
from ._integers import as_floats
from ._options import create, create_seeded
from ._quantizer import Quantizer, QuantizerInfo
from ._tensor import Tensor


@checked
class FSQ(Quantizer):
    """Finite scalar quantization: rounds each element of a vector to one of its own levels.

    Mentzer et al., "Finite Scalar Quantization: VQ-VAE Made Simple", 2023. z is
    [..., len(levels)]. With L levels, `half = (L - 1)(1 + 1e-3) / 2` and `offset` 1/2 for even L,
    else 0: `bound(z) = tanh(z + artanh(offset / half)) half - offset`, and the output is
    `round(bound(z)) / (L // 2)`, halves to even. The code counts levels, the first element
    fastest: `sum_l (round(bound(z_l)) + L_l // 2) prod_(m<l) L_m`.

    Gradients pass straight through the rounding and keep that of the bound. There are no
    parameters; `info.loss` is 0 and `info.z` is `bound(z) / (L // 2)`. Results are those of
    vector-quantize-pytorch, save for L = 2, which that refuses, and for L of 1002 and more, where
    it rounds past the ends.

    Args:
        levels: of each element, 2 to 4194304; their product fits in int32.
        dim: channel axis of z; 1 for channels-first.
    """

    _operation = "fsq"

    def __init__(self, levels: Sequence[int], *, dim: int = -1) -> None:
        if len(levels) > 30:
            raise ValueError(f"[fsq] levels = {[*levels]}: their product must fit in int32")
        super().__init__(create("fsq", levels=tuple(levels)), dim)

    @property
    def levels(self) -> tuple[int, ...]:
        """Levels of each element."""
        levels: tuple[int, ...] = self.options["levels"]
        return levels


@checked
class LFQ(Quantizer):
    """Lookup-free quantization: each element of a vector becomes its sign, a bit of the code.

    Yu et al., "Language Model Beats Diffusion: Tokenizer Is Key to Visual Generation", 2023. z is
    [..., bits]; the output is +1 where z > 0 and -1 elsewhere, and the first element is the
    highest bit. Gradients pass straight through. `info.loss`, in training and evaluation, is

        commitment_weight mse(z, sg z_q)
        + entropy_weight (mean_i H(p_i) - diversity H(mean_i p_i))

    in nats, p_i the softmax over all sign vectors c of `2 z_i . c / temperature`; it is computed
    from the bits, without a table [vectors, 2^bits]. The parts are `info.commitment_loss` and
    `info.regularization`. The defaults are those of vector-quantize-pytorch (whose
    `inv_temperature` is 1 / temperature). There are no parameters.

    Args:
        bits: 1 to 30; to 20 with the entropy of the mean, which has 2^bits probabilities.
        commitment_weight, entropy_weight, diversity: weights of the loss, 0 for off.
        temperature: of the entropy loss.
        dim: channel axis of z; 1 for channels-first.
    """

    _operation = "lfq"

    def __init__(
        self,
        bits: int,
        *,
        commitment_weight: float = 0.0,
        entropy_weight: float = 0.1,
        diversity: float = 1.0,
        temperature: float = 0.01,
        dim: int = -1,
    ) -> None:
        super().__init__(
            create(
                "lfq",
                bits=bits,
                commitment_weight=commitment_weight,
                entropy_weight=entropy_weight,
                diversity=diversity,
                temperature=temperature,
            ),
            dim,
        )


@checked
class GumbelQuant(Quantizer):
    """Gumbel softmax quantization: a projection's logits choose among the codes.

    Jang et al., "Categorical Reparameterization with Gumbel-Softmax", 2017, as in Karpathy's
    deep-vector-quantization. With logits `z W^T + b` [..., k] and codes C [k, code_size]:

    - training: `y = softmax((logits + g) / tau)`, g Gumbel noise, and `z_q = y C`; `hard` gives
      the code of the largest y, with the gradients of `y C` in y. `info.q` is the largest y's.
    - evaluation and `encode`: the code of the largest logit, the lowest index on equality. The
      output's gradient then reaches the codebook, not z.
    - `info.loss`: `kl_weight mean_i sum_j p_ij log(k p_ij)`, p = softmax(logits): the divergence
      from the uniform distribution, all of it `info.regularization`.
    - `info.d` is -log p of the code, since z and code have different sizes.

    tau starts at `temperature` and is multiplied by `temperature_decay` after each training
    forward, down to `temperature_min` (and 1e-6). tau and the generator are in the state.

    Args:
        feature_size: channels of z.
        num_codes: k.
        code_size: channels of codes and outputs; feature_size by default.
        hard: training outputs are codes.
        seed: of initial weights and noise.
        dim: channel axis of z; 1 for channels-first.
    """

    _operation = "gumbel_quant"

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
            create_seeded(
                "gumbel_quant",
                seed,
                feature_size=feature_size,
                num_codes=num_codes,
                code_size=code_size,
                temperature=temperature,
                temperature_decay=temperature_decay,
                temperature_min=temperature_min,
                kl_weight=kl_weight,
                hard=hard,
            ),
            dim,
        )

    @property
    def codebook(self) -> Tensor:
        """The codebook [k, code_size], the parameter itself."""
        return dict(self._own_parameters(True))["codebook"]

    @property
    def temperature(self) -> float:
        """tau of the next training forward."""
        return float(self.state_dict()["temperature"])


@checked
class SQVAEQuant(Quantizer):
    """Gaussian stochastic quantization, the quantizer of SQ-VAE, types I to IV.

    Takida et al., "SQ-VAE: Variational Bayes on Discrete Representation with Self-annealed
    Stochastic Quantization", ICML 2022. The variance is `s2 = exp(logvar) + exp(s)`, s learned
    from log 20, and `p_j = softmax_j(-1/2 sum_l (z_l - C_jl)^2 / s2_l)` over the codes C [k, d].

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
        seed: of initial codes and noise.
        dim: channel axis of z and logvar; 1 for channels-first.
    """

    _operation = "sqvae_quant"

    def __init__(
        self,
        feature_size: int,
        num_codes: int,
        *,
        kind: str = "I",
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
        with self._shapes_as_passed(rows, given):
            parts = _core.quantizer_forward(self._handle, rows._handle, handle, kept, 0)
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
        with self._shapes_as_passed(rows, given):
            codes = _core.quantizer_encode(self._handle, rows._handle, handle, kept, 0)
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
