"""Learned steps and clips stay positive, at any rate and from zeros."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift import Tensor, estimators, nn, optim


def normal(*shape: int, seed: int = 1) -> np.ndarray:
    return vq.Generator(seed).normal(shape).numpy()


def spoiled(name: str, value: float) -> Iterator[Any]:
    """Layers whose parameter training moved to `value`."""
    layers = [estimators.PACT(4)] if name == "clip" else [estimators.LSQ(4), estimators.LSQPlus(4)]
    for layer in layers:
        layer(normal(9))
        if np.isfinite(value):
            layer.load_state_dict({name: np.float32(value)}, strict=False)
        else:
            parameter = getattr(layer, name)
            (parameter * -value).sum().backward()
            optim.SGD([parameter], lr=1.0).step()
        yield layer


@pytest.mark.parametrize("name", ["clip", "step"])
@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_a_parameter_that_training_spoiled_is_named(name: str, value: float) -> None:
    for layer in spoiled(name, value):
        with pytest.raises(ValueError, match=rf"{name} = .*: must stay positive and finite"):
            layer(normal(9))


@pytest.mark.parametrize("name", ["clip", "step"])
@pytest.mark.parametrize("value", [0.0, -0.0, -0.25, -3e38, 1e-45])
def test_a_positive_parameter_that_an_update_took_away_starts_anew(name: str, value: float) -> None:
    for layer in spoiled(name, value):
        fresh = type(layer)(4)
        kept = layer.state_dict()
        assert np.array_equal(layer.eval()(normal(9)).numpy(), fresh.eval()(normal(9)).numpy())
        assert layer.state_dict().keys() == kept.keys() and layer.state_dict()[name] == kept[name]
        found, expected = layer.train()(normal(9)), fresh.train()(normal(9))
        assert np.array_equal(found.numpy(), expected.numpy())
        assert getattr(layer, name).item() == getattr(fresh, name).item() > 0


@pytest.mark.parametrize("rate", [1.0, 100.0])
@pytest.mark.parametrize("make", [optim.SGD, optim.Adam, optim.AdamW])
@pytest.mark.parametrize("kind", ["LSQ", "LSQPlus", "PACT"])
def test_large_rates_leave_a_grid(kind: str, make: Callable[..., Any], rate: float) -> None:
    layer = estimators.PACT(3, clip=1.0) if kind == "PACT" else getattr(estimators, kind)(3)
    optimizer = make(layer.parameters(), lr=rate)
    (tensor,) = [t for n, t in layer.named_parameters() if n in ("step", "clip")]
    x = normal(40)
    below = 0
    for _ in range(60):
        y = layer(x)
        assert tensor.item() > 0 and np.isfinite(y.numpy()).all()
        optimizer.zero_grad()
        (y * x * 10).sum().backward()  # Falls with the grid's size.
        optimizer.step()
        below += tensor.item() <= 0
    assert below
    layer.eval()(x)


@pytest.mark.parametrize(
    ("make", "p"),
    [
        (lambda: estimators.LSQ(4), 7),
        (lambda: estimators.LSQ(4, values="activations"), 15),
        (lambda: estimators.LSQ(4, values="activations", signed=True), 7),
    ],
)
def test_zeros_leave_the_start_to_the_first_other_batch(make: Callable[[], Any], p: int) -> None:
    layer = make()
    zeros = Tensor(np.zeros((3, 4), np.float32), requires_grad=True)
    y = layer(zeros)
    y.sum().backward()
    assert not y.numpy().any() and layer.step.grad is None
    # v = 0 is inside the grid with a sign, and its lower end without.
    assert (zeros.grad.numpy() == (p == 7)).all()
    assert layer.state_dict()["initialized"] == 0
    layer(normal(3, 4))
    assert layer.state_dict()["initialized"] == 1
    assert layer.step.item() == pytest.approx(2 * np.abs(normal(3, 4)).mean() / p**0.5, rel=1e-6)


def test_a_constant_leaves_the_start_to_the_first_other_batch() -> None:
    layer = estimators.LSQPlus(4)
    constant = np.full((3, 4), 2.5, np.float32)
    assert np.array_equal(layer(constant).numpy(), constant)
    assert layer.state_dict()["initialized"] == 0
    layer(normal(3, 4))
    assert layer.state_dict()["initialized"] == 1


def test_a_layer_of_zeros_trains_with_lsq() -> None:
    layer = nn.Linear(3, 2)
    layer.weight.assign(np.zeros((2, 3)))
    model = estimators.quantize_model(nn.Sequential(layer), bits=4, estimator="lsq")
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    x = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    target = x[:, :2]
    losses = []
    for _ in range(100):
        loss = nn.functional.mse_loss(model(x), Tensor(target))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]
