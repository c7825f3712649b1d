"""A model that `to_ste` converted amid its training goes on as the one that was not converted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from test_estimators_theorem import adam, quantized, sgd, train
from vqswift import estimators, nn, optim
from vqswift.estimators import Estimator, WeightedLayer, quantized_layers, to_ste

# The models below have weights as they were made, or given on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:.*weights beyond the grid:RuntimeWarning")


def nesterov(model: nn.Module, **options: Any) -> optim.SGD:
    return sgd(model, nesterov=True, **options)


def copied(model: nn.Module, make: Callable[[nn.Module], optim.Optimizer], state: Any) -> Any:
    twin = quantized(quantized_layers(model)[0].quantizer.estimator.estimator)
    twin.load_state_dict(model.state_dict())
    optimizer = make(twin)
    optimizer.load_state_dict(state)
    return twin, optimizer


def distance(
    rate: float,
    make: Callable[..., optim.Optimizer],
    estimator: Estimator,
    moments: bool = True,
) -> float:
    """sum |M(w) - u| over sum |du|, 20 steps after a conversion in the middle of a training."""
    model = quantized(estimator)
    optimizer = make(model, lr=rate)
    train(model, optimizer, 20)
    twin, other = copied(model, lambda m: make(m, lr=rate), optimizer.state_dict())
    to_ste(twin, other)
    if not moments:
        other.load_state_dict(optimizer.state_dict())
    start = [layer.weight.numpy() for layer in quantized_layers(twin)]
    train(model, optimizer, 20)
    train(twin, other, 20)

    def gap(one: WeightedLayer, two: WeightedLayer) -> float:
        w = one.weight.numpy().astype(np.float64)
        warped = one.quantizer.estimator.warp(w) if make is not adam else w
        return np.abs(warped - two.weight.numpy()).sum()

    pairs = zip(quantized_layers(model), quantized_layers(twin), strict=True)
    gaps = sum(gap(one, two) for one, two in pairs)
    moved = zip(quantized_layers(twin), start, strict=True)
    return float(gaps / sum(np.abs(layer.weight.numpy() - u).sum() for layer, u in moved))


@pytest.mark.parametrize(
    ("make", "rate"),
    [(sgd, 2.5e-4), (nesterov, 2.5e-4), (adam, 1e-3)],
    ids=["SGD", "Nesterov", "Adam"],
)
@pytest.mark.parametrize(
    "estimator",
    [estimators.dsq(3.0), estimators.cosine(0.7), estimators.from_samples([0.5, 2, 1, 2, 0.5])],
    ids=str,
)
def test_a_conversion_amid_training_goes_on_alike(
    estimator: Estimator, make: Callable[..., optim.Optimizer], rate: float
) -> None:
    coarse, fine = (distance(r, make, estimator) for r in (rate, rate / 8))
    without = distance(rate / 8, make, estimator, moments=False)
    # First order in the rate: an eighth, had no quantized weight changed.
    assert coarse < 0.1 and fine < coarse / 5
    assert without > 8 * fine
