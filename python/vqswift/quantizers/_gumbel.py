"""Codes drawn by Gumbel softmax."""

from __future__ import annotations

from .._arguments import checked
from .._options import create_seeded
from .._tensor import Tensor
from ._base import Quantizer


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

    generator: Tensor

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
