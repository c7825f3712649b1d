"""RMSprop."""

from __future__ import annotations

from .._arguments import checked
from ._optimizer import Optimizer, Parameters


@checked
class RMSprop(Optimizer):
    """The gradient over the root of its mean square (Tieleman and Hinton, 2012); `weight_decay`
    adds to the gradient.

    `alpha`: the share that the mean keeps in a step. `centered`: over the standard deviation
    instead. `momentum`: `b = momentum * b + update`, and b is the step.
    """

    alpha: float
    eps: float
    momentum: float
    centered: bool

    _operation = "rmsprop"

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        decay_biases_and_norms: bool = True,
    ) -> None:
        super().__init__(
            params,
            "rmsprop",
            lr,
            weight_decay,
            alpha=alpha,
            eps=eps,
            momentum=momentum,
            centered=centered,
            decay_biases_and_norms=decay_biases_and_norms,
        )
