"""Lion."""

from __future__ import annotations

from .._arguments import checked
from ._optimizer import Optimizer, Parameters, two


@checked
class Lion(Optimizer):
    """Steps of size `lr` along the sign of `beta1 * m + (1 - beta1) * gradient`, after which
    `m = beta2 * m + (1 - beta2) * gradient` (Chen et al., 2023); `weight_decay` is decoupled."""

    betas: tuple[float, float]

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        decay_biases_and_norms: bool = True,
    ) -> None:
        super().__init__(
            params,
            "lion",
            lr,
            weight_decay,
            betas=two("betas", betas),
            decay_biases_and_norms=decay_biases_and_norms,
        )
