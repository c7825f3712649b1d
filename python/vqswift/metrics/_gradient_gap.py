"""How far straight-through gradients are from those of the network without quantization."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .. import _core
from .._arguments import checked
from .._tensor import Tensor
from ..nn._module import Module
from ..quantizers import Quantizer, no_quantization


class Usage(Protocol):
    """What a quantizer's info tells of its codes."""

    @property
    def perplexity(self) -> float:
        """2^entropy of the batch's code usage."""
        ...

    @property
    def active_codes(self) -> int:
        """Codes that the batch uses."""
        ...


@dataclass(frozen=True)
class GradientGap:
    """The gradient gap and the usage of codes that it must be read with.

    `by_parameter`: |g - g'|^2 by parameter name, g without and g' with quantization; `total`: their
    sum; `perplexity` and `active_codes` of the pass with quantization. After index collapse the gap
    is small for want of codes, not of error.
    """

    total: float
    by_parameter: dict[str, float]
    perplexity: float
    active_codes: int


@checked
def gradient_gap(model: Module, loss: Callable[[], tuple[Tensor, Usage]]) -> GradientGap:
    """Sum over parameters of |g - g'|^2: gradients without and with quantization (eq. 14, A.3).

    Args:
        model: holds the quantizers; parameters that the loss reaches without them are compared.
        loss: runs `model` forward on the same data each time and returns (task loss, info): a
            scalar without the commitment loss, and the quantizer's info.

    Both passes run in the modes that the modules are in, with the same draws, the codebooks frozen.
    Afterwards parameters, buffers, generators and gradients are what they were.
    """
    parameters = dict(model.named_parameters())
    with _unchanged(model) as rewind:
        quantized, usage = _gradients(parameters, loss)
        rewind()
        with no_quantization(model):
            exact, _ = _gradients(parameters, loss)
    names = list(exact)
    zeros = {n: Tensor(np.zeros(exact[n].shape, np.float32)) for n in names if n not in quantized}
    quantized |= zeros
    gaps = np.empty(len(names))
    _core.gradient_gap(
        [exact[n]._handle for n in names], [quantized[n]._handle for n in names], gaps
    )
    return GradientGap(
        total=float(gaps.sum()),
        by_parameter=dict(zip(names, gaps.tolist(), strict=True)),
        perplexity=usage.perplexity,
        active_codes=usage.active_codes,
    )


def _gradients(
    parameters: dict[str, Tensor], loss: Callable[[], tuple[Tensor, Usage]]
) -> tuple[dict[str, Tensor], Usage]:
    """The gradient of each parameter that the loss reaches, and the info."""
    for parameter in parameters.values():
        parameter.grad = None
    result = loss()
    if not (
        isinstance(result, tuple)
        and len(result) == 2
        and isinstance(result[0], Tensor)
        and hasattr(result[1], "perplexity")
    ):
        raise TypeError(
            f"[gradient_gap] loss returned {type(result).__name__}: (task loss, info) is required, "
            "so that the usage of codes stands beside the gap"
        )
    result[0].backward()
    found = {name: parameter.grad for name, parameter in parameters.items()}
    return {name: grad for name, grad in found.items() if grad is not None}, result[1]


@contextlib.contextmanager
def _unchanged(model: Module) -> Iterator[Callable[[], None]]:
    """Put all state of `model` back at the end; the function given does so at once."""
    state, draws = model.state_dict(), model.rng_state_dict()
    leaves = [tensor for _, tensor in model._walk_parameters(True)]
    gradients = [leaf.grad for leaf in leaves]
    quantizers = [m for m in model.modules() if isinstance(m, Quantizer)]
    frozen = [quantizer.frozen for quantizer in quantizers]

    def rewind() -> None:
        model.load_state_dict(state)
        model.load_rng_state_dict(draws)
        for leaf, gradient in zip(leaves, gradients, strict=True):
            leaf.grad = gradient

    try:
        for quantizer in quantizers:
            quantizer.freeze()
        yield rewind
    finally:
        for quantizer, before in zip(quantizers, frozen, strict=True):
            quantizer.freeze(before)
        rewind()
