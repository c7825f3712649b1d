"""Adam and AdamW."""

from __future__ import annotations

from .._arguments import checked
from ._optimizer import Optimizer, Parameters, two


@checked
class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015); `weight_decay` adds to the gradient."""

    betas: tuple[float, float]
    eps: float

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        decay_biases_and_norms: bool = True,
    ) -> None:
        super().__init__(
            params,
            "adam",
            lr,
            weight_decay,
            betas=two("betas", betas),
            eps=eps,
            decay_biases_and_norms=decay_biases_and_norms,
        )


@checked
class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019)."""

    betas: tuple[float, float]
    eps: float

    _operation = "adamw"

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        *,
        decay_biases_and_norms: bool = True,
    ) -> None:
        super().__init__(
            params,
            "adamw",
            lr,
            weight_decay,
            betas=two("betas", betas),
            eps=eps,
            decay_biases_and_norms=decay_biases_and_norms,
        )
