"""Optimizers against torch and against formulas; groups, decay, schedules, clipping, state."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from optimizer_steps import OWN_SETTINGS, SETTINGS, gradients, run
from vqswift import Tensor, nn, optim

EPSILON = 2.0**-23


def test_adamw_equals_its_formula() -> None:
    start = gradients(1)[0]
    parameter = Tensor(start, requires_grad=True)
    ours = run(
        optim.AdamW([parameter], lr=0.01, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.1),
        parameter,
        gradients(),
    )
    p, m, v = start.astype(np.float64), 0.0, 0.0
    for t, g in enumerate(map(np.float64, gradients()), 1):
        p = p - 0.01 * 0.1 * p
        m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g
        p = p - 0.01 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.99**t)) + 1e-8)
    np.testing.assert_allclose(ours, p, atol=10 * 10 * EPSILON * 4)


def test_a_parameter_without_gradient_stays() -> None:
    moved, still = (Tensor(np.ones(3), requires_grad=True) for _ in range(2))
    optimizer = optim.AdamW([moved, still], lr=0.1)
    moved.grad = Tensor(np.ones(3))
    optimizer.step()
    assert still.numpy().tolist() == [1, 1, 1] and moved.numpy().max() < 1
    assert sorted(optimizer.state_dict()) == [
        "0.exp_avg",
        "0.exp_avg_sq",
        "0.step",
        "learning_rates",
        "weight_decays",
    ]
    optimizer.zero_grad()
    assert moved.grad is None


def test_groups_override_rate_and_decay() -> None:
    a, b = (Tensor(np.ones(2), requires_grad=True) for _ in range(2))
    optimizer = optim.SGD(
        [{"params": [a]}, {"params": [b], "lr": 1.0, "weight_decay": 0.5}], lr=0.1
    )
    assert optimizer.lrs == [0.1, 1.0] and optimizer.lr == 0.1
    for parameter in (a, b):
        parameter.grad = Tensor(np.ones(2))
    optimizer.step()
    np.testing.assert_allclose(a.numpy(), 0.9, rtol=EPSILON)
    np.testing.assert_allclose(b.numpy(), -0.5, rtol=EPSILON)
    optimizer.lr = 0.2
    assert optimizer.lrs == [0.2, 0.2]
    optimizer.lrs = [0.3, 0.4]
    assert optimizer.lrs == [0.3, 0.4]


@pytest.mark.parametrize("decay_all", [True, False])
def test_codebooks_never_decay_and_biases_by_option(decay_all: bool) -> None:
    modules = [nn.Linear(2, 2), nn.BatchNorm(2), vq.VectorQuant(2, 4)]
    names = ["weight", "bias", "norm weight", "norm bias", "codebook"]
    parameters = [p for m in modules for p in m.parameters()]
    for parameter in parameters:
        parameter.assign(np.ones(parameter.shape))
        parameter.grad = Tensor(np.zeros(parameter.shape))
    optim.AdamW(parameters, lr=0.1, weight_decay=0.5, decay_biases_and_norms=decay_all).step()
    decayed = {n for n, p in zip(names, parameters, strict=True) if p.numpy().max() < 1}
    assert decayed == ({"weight", "bias", "norm weight", "norm bias"} if decay_all else {"weight"})


@pytest.mark.parametrize(("name", "settings"), SETTINGS + OWN_SETTINGS)
def test_state_continues_bit_for_bit(name: str, settings: dict[str, Any]) -> None:
    start = gradients(1)[0]

    def fresh(value: np.ndarray) -> tuple[optim.Optimizer, Tensor]:
        parameter = Tensor(value, requires_grad=True)
        return getattr(optim, name)([parameter], **settings), parameter

    whole = run(*fresh(start), gradients())
    first, parameter = fresh(start)
    middle = run(first, parameter, gradients()[:4])
    second, resumed = fresh(middle)
    second.load_state_dict(first.state_dict())
    assert np.array_equal(run(second, resumed, gradients()[4:]), whole)


def test_a_failing_load_changes_nothing() -> None:
    parameter = Tensor(np.ones(2), requires_grad=True)
    optimizer = optim.Adam([parameter])
    run(optimizer, parameter, [np.ones(2, np.float32)])
    before = optimizer.state_dict()
    with pytest.raises(ValueError, match="missing"):
        optimizer.load_state_dict({"0.step": np.int32(5), "0.exp_avg": np.zeros(2)})
    after = optimizer.state_dict()
    assert all(np.array_equal(after[name], before[name]) for name in before)


def test_schedules() -> None:
    constant = optim.constant_schedule(warmup_steps=4)
    assert [constant(step) for step in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]
    step = optim.step_schedule(3, gamma=0.5)
    assert [step(n) for n in (0, 2, 3, 5, 6)] == [1, 1, 0.5, 0.5, 0.25]
    cosine = optim.cosine_schedule(10, minimum=0.1)
    for n in range(11):
        expected = 0.1 + 0.9 * (1 + math.cos(math.pi * n / 10)) / 2
        assert cosine(n) == pytest.approx(expected, rel=1e-12)
    assert cosine(1000) == pytest.approx(0.1)
    warm = optim.cosine_schedule(10, warmup_steps=5)
    values = [warm(n) for n in range(20)]
    assert values.index(max(values)) in (4, 5) and values[0] == 0.2


def leaves(*values: list[float]) -> list[Tensor]:
    result = []
    for value in values:
        leaf = Tensor(np.zeros(len(value)), requires_grad=True)
        leaf.grad = Tensor(value)
        result.append(leaf)
    return result


def joint(parameters: list[Tensor]) -> list[float]:
    return [value for p in parameters if p.grad is not None for value in p.grad.numpy().tolist()]


def test_clip_by_norm_scales_jointly() -> None:
    parameters = leaves([3.0], [4.0, 0.0])
    assert optim.clip_grad_norm(parameters, 10.0) == 5
    assert joint(parameters) == [3, 4, 0]
    assert optim.clip_grad_norm(parameters, 1.0) == 5
    np.testing.assert_allclose(
        joint(parameters), [0.6, 0.8, 0], rtol=1e-6
    )  # torch's norm + 1e-6 below


def test_clip_by_value_clamps() -> None:
    (parameter,) = leaves([-5.0, 0.5, 5.0])
    optim.clip_grad_value([parameter], 1.0)
    assert parameter.grad is not None
    assert parameter.grad.numpy().tolist() == [-1, 0.5, 1]


@pytest.mark.parametrize(
    "make",
    [
        lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
        lambda p: optim.Adam(p, lr=0.3),
        lambda p: optim.AdamW(p, lr=0.3, weight_decay=0.0),
        lambda p: optim.RMSprop(p, lr=0.1, momentum=0.5),
        lambda p: optim.RMSprop(p, lr=0.1, centered=True),
        lambda p: optim.Adagrad(p, lr=1.0),
        lambda p: optim.Adafactor(p, lr=0.05),
    ],
)
def test_a_quadratic_is_minimized(make: Callable[[list[Tensor]], optim.Optimizer]) -> None:
    x = Tensor([5.0, -3.0], requires_grad=True)
    optimizer = make([x])
    for _ in range(300):
        (x - np.array([1.0, 2.0])).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    np.testing.assert_allclose(x.numpy(), [1, 2], atol=1e-2)
