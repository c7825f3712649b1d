"""Adafactor."""

from __future__ import annotations

from .._arguments import checked
from ._optimizer import Optimizer, Parameters, two

_LEAST_SIZE = 2.0**-23  # float32's epsilon


@checked
class Adafactor(Optimizer):
    """Adam with means of squares of rows and columns alone (Shazeer and Stern, 2018), in the form
    of torch; `weight_decay` is decoupled.

    Of a parameter [..., m, n] it keeps m + n means for each matrix, of one with fewer axes a mean
    for each element. The rate of step t is `max(eps[1], rms(parameter)) * min(lr, 1 / sqrt(t))`.

    `beta2_decay`: beta2 of step t is `1 - t**beta2_decay`. `eps`: the least size that divides, None
    for float32's epsilon, and the least size of a parameter. `d`: the root mean square that an
    update has at most.
    """

    beta2_decay: float
    eps: tuple[float | None, float]
    d: float

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (_LEAST_SIZE, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        decay_biases_and_norms: bool = True,
    ) -> None:
        least, scale = two("eps", eps)
        super().__init__(
            params,
            "adafactor",
            lr,
            weight_decay,
            beta2_decay=beta2_decay,
            eps=(_LEAST_SIZE if least is None else least, scale),
            d=d,
            decay_biases_and_norms=decay_biases_and_norms,
        )
