"""Averages of weights: their values, how they come into a model and go, their state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift import Tensor, nn, optim

EPSILON = 2.0**-23
KINDS: dict[str, Callable[[nn.Module], Any]] = {
    "EMA": lambda model: optim.EMA(model, decay=0.75),
    "SWA": optim.SWA,
}


class Coder(nn.Module):
    """A layer, a norm with buffers, and a codebook that follows its input."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm(8))
        self.quantizer = vq.VectorQuant(8, 16, **options)

    def forward(self, x: Tensor) -> Any:
        return self.quantizer(self.inner(x))


OPTIONS: dict[str, dict[str, Any]] = {
    "by gradient": {"replace_freq": 2},
    "statistics": {"ema_decay": 0.9, "replace_freq": 2},
    "in place": {"inplace_optimizer": lambda p: optim.SGD(p, lr=0.5, momentum=0.9)},
    "k-means": {"kmeans_init": True},
    "affine": {"affine_lr": 0.1},
}


def step(model: Coder, optimizer: optim.Optimizer, seed: int) -> None:
    x = vq.Generator(seed).normal((64, 6))
    y, info = model(x)
    (y.square().mean() + info.loss).backward()
    optimizer.step()
    optimizer.zero_grad()


@pytest.mark.parametrize("kind", KINDS)
def test_averages_equal_their_formula(kind: str) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm(4))
    average = KINDS[kind](model)
    rng = np.random.default_rng(0)
    expected: dict[str, Any] = {}
    parameters = dict(model.named_parameters())
    for count in range(20):
        for name, parameter in parameters.items():
            value = rng.normal(size=parameter.shape).astype(np.float32)
            parameter.assign(value)
            before = expected.get(name, np.float64(value))
            share = 0.75 if kind == "EMA" else count / (count + 1)
            expected[name] = share * before + (1 - share) * value
        model(rng.normal(size=(5, 3)))
        average.update()
    state = average.state_dict()
    assert state["n_averaged"] == average.n_averaged == 20
    for name, value in expected.items():
        # Twenty moves of three roundings each, of numbers below 4.
        np.testing.assert_allclose(state["module." + name], value, atol=20 * 3 * EPSILON * 4)
    for name, buffer in model.named_buffers():
        np.testing.assert_array_equal(state["module." + name], buffer.numpy())


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_training_goes_on_as_without(kind: str, options: dict[str, Any]) -> None:
    def trained(averaged: bool) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        vq.manual_seed(1)
        model = Coder(**options)
        optimizer = optim.AdamW(model.parameters(), lr=0.05)
        average = KINDS[kind](model)
        for seed in range(6):
            step(model, optimizer, seed)
            if averaged:
                average.update()
                before = model.state_dict()
                with average.applied() as inner:
                    assert inner is model
                    model.eval()(vq.Generator(99).normal((8, 6)))
                model.train()
                assert all(np.array_equal(model.state_dict()[n], v) for n, v in before.items())
        return model.state_dict(), optimizer.state_dict()

    for plain, averaged in zip(trained(False), trained(True), strict=True):
        assert plain.keys() == averaged.keys()
        for name, value in plain.items():
            np.testing.assert_array_equal(averaged[name], value, err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_within_the_scope_the_model_is_its_average(kind: str) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm(2))
    average = KINDS[kind](model)
    first = model.state_dict()
    average.update()
    for parameter in model.parameters():
        parameter.assign(parameter.numpy() + 1)
    average.update()
    own = model.state_dict()
    share = 0.25 if kind == "EMA" else 0.5
    with average.applied():
        inner = model.state_dict()
        for name, _ in model.named_parameters():
            np.testing.assert_allclose(inner[name], first[name] + share, atol=4 * EPSILON)
        model[0].weight.assign(np.full((2, 2), 9.0))
    with pytest.raises(RuntimeError, match="mine"), average.applied():
        raise RuntimeError("mine")
    for name, value in own.items():
        np.testing.assert_array_equal(model.state_dict()[name], value)


@pytest.mark.parametrize("kind", KINDS)
def test_the_state_goes_on_bit_for_bit(kind: str) -> None:
    def model(seed: int) -> Coder:
        vq.manual_seed(seed)
        return Coder(ema_decay=0.9)

    one = model(1)
    first = KINDS[kind](one)
    optimizer = optim.AdamW(one.parameters(), lr=0.05)
    for seed in range(3):
        step(one, optimizer, seed)
        first.update()
    other = model(2)
    second = KINDS[kind](other)
    second.load_state_dict(first.state_dict())
    other.load_state_dict(one.state_dict())
    step(one, optimizer, 3)
    other.load_state_dict(one.state_dict())
    for average in (first, second):
        average.update()
    expected, found = first.state_dict(), second.state_dict()
    assert expected.keys() == found.keys() and found["n_averaged"] == 4
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    for bad in (
        {**expected, "n_averaged": np.int32(-1)},
        {**expected, "module.more": np.zeros(1)},
        {**expected, "module.inner.0.weight": np.full((8, 6), np.nan)},
        {name: value for name, value in expected.items() if name != "module.inner.0.bias"},
        {name: value for name, value in expected.items() if name != "n_averaged"},
    ):
        with pytest.raises(ValueError, match="load_state_dict"):
            second.load_state_dict(bad)
    for name, value in expected.items():
        np.testing.assert_array_equal(second.state_dict()[name], value, err_msg=name)


def test_a_shared_parameter_has_one_average() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(2, 2)
            self.again = self.first

    model = Tied()
    average = optim.SWA(model)
    average.update()
    model.first.weight.assign(model.first.weight.numpy() + 1)
    average.update()
    state = average.state_dict()
    np.testing.assert_array_equal(state["module.first.weight"], state["module.again.weight"])
    with average.applied():
        np.testing.assert_array_equal(model.again.weight.numpy(), state["module.first.weight"])


def test_a_model_that_changed_is_refused() -> None:
    model = nn.ModuleList([nn.Linear(2, 2)])
    average = optim.EMA(model)
    model.append(nn.Linear(2, 2))
    with pytest.raises(ValueError, match=r"\[ema.update\] \['1.bias', '1.weight'\]: the"):
        average.update()
    assert average.n_averaged == 0 and repr(average) == "EMA(decay=0.999, n_averaged=0)"


def test_a_model_that_is_not_finite_stays() -> None:
    model = nn.Linear(1, 1)
    average = optim.SWA(model)
    model.bias.assign([np.inf])
    with pytest.raises(ValueError, match="bias holds inf"), average.applied():
        pass
    assert model.bias.numpy() == np.inf
