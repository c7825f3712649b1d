"""Stochastic gradient descent."""

from __future__ import annotations

from .._arguments import checked
from ._optimizer import Optimizer, Parameters


@checked
class SGD(Optimizer):
    """Stochastic gradient descent with momentum; `weight_decay` adds to the gradient."""

    momentum: float
    nesterov: bool

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        decay_biases_and_norms: bool = True,
    ) -> None:
        super().__init__(
            params,
            "sgd",
            lr,
            weight_decay,
            momentum=momentum,
            nesterov=nesterov,
            decay_biases_and_norms=decay_biases_and_norms,
        )
