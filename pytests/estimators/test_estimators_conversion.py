"""What a conversion to the straight-through estimator keeps, bit for bit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import vqswift as vq
from test_estimators_theorem import EPSILON, adam, network, quantized, sgd, train
from vqswift import estimators, nn, optim
from vqswift.estimators import Estimator, quantize_model, quantized_layers, to_ste

# The models below have weights as they were made, or given on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:.*weights beyond the grid:RuntimeWarning")

CASES = [
    ("dsq", 1),
    ("dsq", 2),
    ("dsq", 4),
    ("cosine", 3),
    ("ste", 2),
    ("clipped_ste", 2),
    ("mad", 2),
    ("tanh", 1),
    ("sigmoid", 1),
    ("arctan", 1),
    ("approx_sign", 1),
    ("reste", 1),
    (estimators.from_samples([0.4, 1.0, 2.0, 1.0, 0.4]), 3),
]


@pytest.mark.parametrize("make", [sgd, adam])
@pytest.mark.parametrize(("estimator", "bits"), CASES, ids=str)
def test_quantized_weights_and_outputs_stay_bit_for_bit(
    estimator: str | Estimator, bits: int, make: Callable[[nn.Module], optim.Optimizer]
) -> None:
    model = quantized(estimator, bits)
    optimizer = make(model)
    train(model, optimizer, 3)
    x = vq.Generator(9).normal((20, 12))
    latent = [layer.weight.numpy() for layer in quantized_layers(model)]
    grids = [layer.quantizer.estimator for layer in quantized_layers(model)]

    def seen() -> list[np.ndarray]:
        values = [layer.quantizer(layer.weight).numpy() for layer in quantized_layers(model)]
        return [*values, model(x).numpy()]

    before = seen()
    made = to_ste(model, optimizer)
    for one, two in zip(before, seen(), strict=True):
        assert np.array_equal(one, two)
    for conversion, grid, layer, w in zip(
        made, grids, quantized_layers(model), latent, strict=True
    ):
        exact = w.astype(np.float64)
        warped = grid.warp(exact) if make is sgd else exact
        assert np.abs(layer.weight.numpy() - warped).max() <= 2 * EPSILON * np.abs(warped).max()
        assert conversion.alpha == (grid.alpha if make is sgd else 1)
        assert conversion.moved == pytest.approx(np.abs(warped - exact).max(), abs=1e-15)
        assert layer.quantizer.gradient_scale == conversion.alpha
        assert layer.quantizer.estimator.estimator == grid.partner.estimator
        assert conversion.estimator == str(grid.estimator)


@pytest.mark.parametrize(("estimator", "bits"), CASES, ids=str)
def test_weights_beside_a_boundary_stay_on_their_side(
    estimator: str | Estimator, bits: int
) -> None:
    model = nn.Linear(60, 4 * (2**bits - 1), bias=False)
    quantize_model(model, bits=bits, estimator=estimator)
    (layer,) = quantized_layers(model)
    w = np.repeat(layer.quantizer.estimator.boundaries.astype(np.float32), 60)
    steps = np.arange(len(w)) % 60 - 30
    # Up to 30 numbers of float32 away; beside 0 by as much of the bound's.
    near = np.where(w == 0, 0, w) + steps * np.spacing(np.maximum(np.abs(w), 1e-20))
    tiny = np.array([0.0, -0.0, 1e-45, -1e-45, 1e-38, -1e-38, 1e-8, -1e-8], np.float32)
    values = np.zeros(layer.weight.size, np.float32)
    values[: len(near)], values[-8:] = near, tiny
    layer.weight.assign(values.reshape(layer.weight.shape))
    before = layer.quantizer.codes(layer.weight).numpy()
    to_ste(model, optim.SGD(model.parameters(), lr=0.1))
    assert np.array_equal(layer.quantizer.codes(layer.weight).numpy(), before)


@pytest.mark.parametrize("reach", [1.2, 2.0])
def test_a_warp_beyond_float32_stays_finite(reach: float) -> None:
    """cosh(2 w / bound)^2 overflows for w that have long had no gradient."""
    model = nn.Linear(4, 1)
    model.weight.assign(np.array([[0.01, 0.5, reach, -reach]], np.float32))
    quantize_model(model, bits=1, estimator="tanh", bound=0.05)
    optimizer, x = sgd(model), np.ones((1, 4), np.float32)
    before = model(x).numpy()
    for _ in range(2):
        model(x).sum().backward()
        optimizer.step()
    to_ste(model, optimizer)
    model(x).sum().backward()
    optimizer.step()
    assert np.isfinite(model.weight.numpy()).all()
    assert model(x).numpy() < before and (np.sign(model.weight.numpy()[0, 2:]) == [1, -1]).all()


@pytest.mark.parametrize(("estimator", "reach"), [("approx_sign", 1.0), ("tanh", 40.0)])
def test_weights_that_only_the_partner_moves_are_told(estimator: str, reach: float) -> None:
    model = nn.Linear(4, 1)
    model.weight.assign(np.array([[0.01, 0.5, reach, -reach]], np.float32))
    quantize_model(model, bits=1, estimator=estimator, bound=0.05)
    with pytest.raises(ValueError, match="is 0 at 2 of the weights"):
        to_ste(model, sgd(model))


@pytest.mark.parametrize("make", [sgd, adam])
def test_a_gradient_that_waits_is_the_partners(
    make: Callable[[nn.Module], optim.Optimizer],
) -> None:
    """To first order: the step after the conversion is that of a model converted before."""
    models = [quantized("dsq"), quantized("dsq")]
    x = np.ones((2, models[0][0].weight.shape[1]), np.float32)
    optimizers = [make(model) for model in models]
    to_ste(models[0], optimizers[0])
    for model in models:
        model(x).sum().backward()
    to_ste(models[1], optimizers[1])
    for early, late in zip(*map(quantized_layers, models), strict=True):
        assert late.weight.grad.numpy() == pytest.approx(early.weight.grad.numpy(), rel=1e-5)


def test_a_second_conversion_changes_nothing() -> None:
    model = quantized()
    optimizer = sgd(model)
    train(model, optimizer, 3)
    first = to_ste(model, optimizer)
    latent, momentum = model.state_dict(), optimizer.state_dict()
    scales = [layer.quantizer.gradient_scale for layer in quantized_layers(model)]
    assert [c.alpha for c in to_ste(model, optimizer)] == [1, 1]
    assert scales == [c.alpha for c in first]
    assert scales == [layer.quantizer.gradient_scale for layer in quantized_layers(model)]
    for name, value in model.state_dict().items():
        assert np.array_equal(value, latent[name])
    for name, value in optimizer.state_dict().items():
        assert np.array_equal(value, momentum[name])


@pytest.mark.parametrize("make", [sgd, adam])
def test_only_the_quantized_weights_moments_are_converted(
    make: Callable[[nn.Module], optim.Optimizer],
) -> None:
    model = quantize_model(network(), skip="2")
    optimizer = make(model)
    train(model, optimizer, 3)
    (layer,) = quantized_layers(model)
    grid, w = layer.quantizer.estimator, layer.weight.numpy().astype(np.float64)
    h = np.where(grid.derivative(w) > 0, grid.derivative(w), 1)
    inside = grid.derivative(w) > 0
    before = optimizer.state_dict()
    (made,) = to_ste(model, optimizer)
    index = next(i for i, p in enumerate(model.parameters()) if p is layer.weight)
    factors = {
        f"{index}.momentum_buffer": np.where(inside, made.alpha / h, 1),
        f"{index}.exp_avg": np.where(inside, 1 / h, 1),
        f"{index}.exp_avg_sq": np.where(inside, 1 / h**2, 1),
    }
    assert sorted(optimizer.state_dict()) == sorted(before)
    for name, value in optimizer.state_dict().items():
        if name in factors:
            wanted = before[name].astype(np.float64) * factors[name]
            assert np.abs(value / np.where(wanted, wanted, 1) - (wanted != 0)).max() <= 2 * EPSILON
        else:
            assert np.array_equal(value, before[name])
