"""Samples of categories whose gradients reach the logits."""

from __future__ import annotations

import numpy.typing as npt

from .. import _core
from .._arguments import checked
from .._integers import as_floats
from .._random import Generator
from .._tensor import Tensor


@checked
def reinmax(
    logits: Tensor | npt.ArrayLike, generator: Generator, *, temperature: float = 1.0
) -> Tensor:
    """logits [..., k] -> one-hot samples D [..., k] of softmax(logits), with ReinMax's gradient.

    Liu, Dong, Liu, Yu and Gao, "Bridging Discrete and Backpropagation: Straight-Through and
    Beyond", 2023. For the gradient g of D the logits get

        2 J(p1) g - 1/2 J(p0) g,  J(p) g = p (g - p . g)
        p0 = softmax(logits),  p1 = (D + softmax(logits / temperature)) / 2

    At temperature 1 it is accurate to second order: for a quadratic function f of D its mean is
    the gradient of the mean of f. Its authors prefer temperatures of 1 and above.

    ValueError: logits without a category or not finite, a temperature below 1e-6.
    """
    handle = as_floats("reinmax", "logits", logits)._handle
    return Tensor._wrap(_core.tensor_reinmax(handle, temperature, generator._handle))


@checked
def gumbel_softmax(
    logits: Tensor | npt.ArrayLike,
    generator: Generator,
    *,
    temperature: float = 1.0,
    hard: bool = True,
) -> Tensor:
    """logits [..., k] -> y = softmax((logits + noise) / temperature) [..., k], Gumbel noise.

    Jang et al., "Categorical Reparameterization with Gumbel-Softmax", 2017; Maddison et al., "The
    Concrete Distribution", 2017. `hard` gives the one-hot rows of y's largest elements, the lowest
    index on equality, which are samples of softmax(logits); gradients are those of y.

    ValueError: logits without a category or not finite, a temperature below 1e-6.
    """
    handle = as_floats("gumbel_softmax", "logits", logits)._handle
    return Tensor._wrap(_core.tensor_gumbel_softmax(handle, temperature, hard, generator._handle))


@checked
def straight_through_softmax(logits: Tensor | npt.ArrayLike, generator: Generator) -> Tensor:
    """logits [..., k] -> one-hot samples [..., k] of softmax(logits), with softmax's gradient.

    Bengio et al., "Estimating or Propagating Gradients Through Stochastic Neurons for Conditional
    Computation", 2013. For the gradient g of the sample the logits get `p (g - p . g)`, p =
    softmax(logits).

    ValueError: logits without a category or not finite.
    """
    handle = as_floats("straight_through_softmax", "logits", logits)._handle
    return Tensor._wrap(_core.tensor_straight_through_softmax(handle, generator._handle))
