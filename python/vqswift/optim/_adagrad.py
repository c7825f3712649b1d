"""Adagrad."""

from __future__ import annotations

from .._arguments import checked
from ._optimizer import Optimizer, Parameters


@checked
class Adagrad(Optimizer):
    """The gradient over the root of the sum of all its squares (Duchi, Hazan and Singer, 2011);
    `weight_decay` adds to the gradient.

    `lr_decay`: the rate of step t, from 1, is `lr / (1 + (t - 1) * lr_decay)`.
    `initial_accumulator_value`: what the sums are at first.
    """

    lr_decay: float
    initial_accumulator_value: float
    eps: float

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        decay_biases_and_norms: bool = True,
    ) -> None:
        super().__init__(
            params,
            "adagrad",
            lr,
            weight_decay,
            lr_decay=lr_decay,
            initial_accumulator_value=initial_accumulator_value,
            eps=eps,
            decay_biases_and_norms=decay_biases_and_norms,
        )
