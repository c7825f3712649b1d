"""Muon."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from .._arguments import checked
from ._optimizer import Optimizer, Parameters


@checked
class Muon(Optimizer):
    """Momentum of a matrix, made nearly orthogonal (Jordan et al., 2024), in the form of torch;
    `weight_decay` is decoupled.

    For weights [m, n] of hidden layers alone: a parameter with another number of axes is refused
    with ValueError; give biases, norms and embeddings to another optimizer. The Newton-Schulz
    iterations are in float32, those of torch in bfloat16.

    `ns_coefficients`: a, b, c of `a x + b x^3 + c x^5`, which acts on singular values, `ns_steps`
    times. `eps`: the least norm that divides. `adjust_lr_fn`: the factor on the rate,
    "original" (for None too) `sqrt(max(1, m / n))`, "match_rms_adamw" `0.2 * sqrt(max(m, n))`,
    "spectral_unclamped" `sqrt(m / n)`.
    """

    momentum: float
    nesterov: bool
    ns_coefficients: tuple[float, float, float]
    eps: float
    ns_steps: int
    adjust_lr_fn: str

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: Sequence[float] = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: Literal["original", "match_rms_adamw", "spectral_unclamped"] | None = None,
        *,
        decay_biases_and_norms: bool = True,
    ) -> None:
        super().__init__(
            params,
            "muon",
            lr,
            weight_decay,
            momentum=momentum,
            nesterov=nesterov,
            ns_coefficients=tuple(ns_coefficients),
            eps=eps,
            ns_steps=ns_steps,
            adjust_lr_fn="original" if adjust_lr_fn is None else adjust_lr_fn,
            decay_biases_and_norms=decay_biases_and_norms,
        )
