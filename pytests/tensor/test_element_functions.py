"""Functions of each element: values against Float64, gradients against central differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift import _core, nn
from vqswift.nn import functional as F

Function = Callable[[np.ndarray], np.ndarray]


def erf(x: np.ndarray) -> np.ndarray:
    import math

    return np.vectorize(math.erf)(x)


def softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, x)


def tanh_gelu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-2 * np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def below_zero(function: Function) -> Function:
    return lambda x: np.where(x < 0, function(np.minimum(x, 0)), x)


# Name, parameter, reference in Float64, lowest argument, and ulp of a normal result.
FUNCTIONS: list[tuple[str, float, Function, float, float]] = [
    ("exp", 0, np.exp, -20, 2),
    ("log", 0, np.log, 1e-6, 2),
    ("log2", 0, np.log2, 1e-6, 4),
    ("log10", 0, np.log10, 1e-6, 4),
    ("log1p", 0, np.log1p, -0.999, 3),
    ("expm1", 0, np.expm1, -20, 3),
    ("sqrt", 0, np.sqrt, 1e-6, 1),
    ("rsqrt", 0, lambda x: 1 / np.sqrt(x), 1e-6, 2),
    ("sin", 0, np.sin, -20, 2),
    ("cos", 0, np.cos, -20, 2),
    ("tanh", 0, np.tanh, -20, 3),
    ("erf", 0, erf, -20, 3),
    ("sigmoid", 0, lambda x: 1 / (1 + np.exp(-x)), -20, 4),
    ("log_sigmoid", 0, lambda x: -softplus(-x), -20, 4),
    ("softplus", 1, softplus, -20, 4),
    ("softplus", 2.5, lambda x: softplus(2.5 * x) / 2.5, -20, 40),
    ("softsign", 0, lambda x: x / (1 + np.abs(x)), -20, 2),
    ("relu", 0, lambda x: np.maximum(x, 0), -20, 0),
    ("leaky_relu", 0.125, below_zero(lambda x: 0.125 * x), -20, 0),
    ("elu", 1, below_zero(np.expm1), -20, 3),
    ("celu", 0.5, below_zero(lambda x: 0.5 * np.expm1(x / 0.5)), -20, 3),
    ("selu", 0, lambda x: 1.0507009873554805 * below_zero_selu(x), -20, 4),
    ("gelu", 0, lambda x: 0.5 * x * (1 + erf(x / np.sqrt(2))), -3, 16),
    ("gelu_tanh", 0, tanh_gelu, -3, 16),
    ("silu", 0, lambda x: x / (1 + np.exp(-x)), -20, 6),
    ("mish", 0, lambda x: x * np.tanh(softplus(x)), -20, 6),
    ("hardswish", 0, lambda x: x * np.clip(x + 3, 0, 6) / 6, -2.5, 8),
    ("hardsigmoid", 0, lambda x: np.clip(x + 3, 0, 6) / 6, -2.5, 3),
    ("abs", 0, np.abs, -20, 0),
    ("sign", 0, np.sign, -20, 0),
    ("square", 0, np.square, -20, 1),
    ("floor", 0, np.floor, -20, 0),
    ("ceil", 0, np.ceil, -20, 0),
    ("round", 0, np.rint, -20, 0),
    ("pow", 1.5, lambda x: x**1.5, 1e-3, 1),
    ("negate", 0, np.negative, -20, 0),
]
STEPS = ("sign", "floor", "ceil", "round")
IDS = [f"{name} {parameter:g}" for name, parameter, *_ in FUNCTIONS]


def below_zero_selu(x: np.ndarray) -> np.ndarray:
    return np.where(x < 0, 1.6732632423543772 * np.expm1(np.minimum(x, 0)), x)


def apply(name: str, parameter: float, x: Any) -> vq.Tensor:
    return vq.Tensor._wrap(_core.tensor_unary(x._handle, name, parameter))


def arguments(lowest: float) -> np.ndarray:
    even = np.linspace(lowest, 20, 20_001)
    small = np.logspace(-6, 0, 4_001)
    given = np.concatenate([even, small, -small]).astype(np.float32)
    return given[given >= lowest]


@pytest.mark.parametrize(("name", "parameter", "function", "lowest", "ulp"), FUNCTIONS, ids=IDS)
def test_values(name: str, parameter: float, function: Function, lowest: float, ulp: float) -> None:
    x = arguments(lowest)
    expected = function(x.astype(np.float64))
    found = apply(name, parameter, vq.Tensor(x)).numpy()
    bound = ulp * np.spacing(np.maximum(np.abs(expected), 2**-126).astype(np.float32))
    assert np.all(np.abs(found - expected) <= np.maximum(bound, np.spacing(np.float32(2**-126))))


@pytest.mark.parametrize(("name", "parameter", "function", "lowest", "ulp"), FUNCTIONS, ids=IDS)
def test_gradients(
    name: str, parameter: float, function: Function, lowest: float, ulp: float
) -> None:
    x = np.random.default_rng(0).uniform(max(lowest, -6), 6, 500).astype(np.float32)
    # A distance from kinks and steps that the difference does not reach.
    kinks = np.arange(-6, 7, 0.5)
    x = x[(np.abs(x[:, None] - kinks) > 1e-2).all(axis=1)]
    g = np.random.default_rng(1).standard_normal(x.shape).astype(np.float32)
    tensor = vq.Tensor(x, requires_grad=True)
    apply(name, parameter, tensor).backward(vq.Tensor(g))
    assert tensor.grad is not None
    at, h = x.astype(np.float64), 1e-5
    slope = (function(at + h) - function(at - h)) / (2 * h)
    np.testing.assert_allclose(tensor.grad.numpy(), g * slope, rtol=2e-5, atol=2e-6)
    if name in STEPS:
        assert not tensor.grad.numpy().any()


@pytest.mark.parametrize(("name", "parameter", "function", "lowest", "ulp"), FUNCTIONS, ids=IDS)
def test_rows_of_every_length_and_what_is_no_number(
    name: str, parameter: float, function: Function, lowest: float, ulp: float
) -> None:
    x = np.linspace(0.25, 3.75, 40, dtype=np.float32)
    whole = apply(name, parameter, vq.Tensor(x)).numpy()
    for count in range(20):
        part = apply(name, parameter, vq.Tensor(x[:count])).numpy()
        np.testing.assert_array_equal(part, whole[:count])
    spoiled = x.copy()
    spoiled[7] = np.nan
    found = apply(name, parameter, vq.Tensor(spoiled)).numpy()
    assert np.isnan(found[7]) and not np.isnan(np.delete(found, 7)).any()


@pytest.mark.parametrize("name", ["sin", "cos"])
def test_angles_far_from_zero(name: str) -> None:
    x = np.array([8191.5, 8192.5, 1e5, -3e8, 1e30], np.float32)
    expected = getattr(np, name)(x.astype(np.float64))
    tensor = vq.Tensor(x, requires_grad=True)
    y = apply(name, 0, tensor)
    np.testing.assert_allclose(y.numpy(), expected, atol=2e-7)
    y.sum().backward()
    assert tensor.grad is not None
    slope = np.cos(x.astype(float)) if name == "sin" else -np.sin(x.astype(float))
    np.testing.assert_allclose(tensor.grad.numpy(), slope, atol=2e-7)
    assert np.isnan(apply(name, 0, vq.Tensor([np.inf])).numpy()).all()


def test_an_unknown_function_is_told_the_known() -> None:
    with pytest.raises(ValueError, match=r"\[unary\] function = 'tan': it must be one of .*tanh"):
        apply("tan", 0, vq.Tensor([1.0]))


LAYERS: list[tuple[nn.Module, Function]] = [
    (nn.LeakyReLU(0.125), below_zero(lambda x: 0.125 * x)),
    (nn.ELU(), below_zero(np.expm1)),
    (nn.CELU(0.5), below_zero(lambda x: 0.5 * np.expm1(x / 0.5))),
    (nn.SELU(), lambda x: 1.0507009873554805 * below_zero_selu(x)),
    (nn.GELU("tanh"), tanh_gelu),
    (nn.Mish(), lambda x: x * np.tanh(softplus(x))),
    (nn.Hardswish(), lambda x: x * np.clip(x + 3, 0, 6) / 6),
    (nn.Hardsigmoid(), lambda x: np.clip(x + 3, 0, 6) / 6),
    (nn.Softplus(2.0), lambda x: softplus(2 * x) / 2),
    (nn.Softsign(), lambda x: x / (1 + np.abs(x))),
    (nn.LogSigmoid(), lambda x: -softplus(-x)),
    (nn.Hardtanh(-0.5, 2.0), lambda x: np.clip(x, -0.5, 2)),
    (nn.ReLU6(), lambda x: np.clip(x, 0, 6)),
    (nn.PReLU(), below_zero(lambda x: 0.25 * x)),
    (nn.Snake(4, 0.5), lambda x: x + np.sin(0.5 * x) ** 2 / 0.5),
    (nn.Softmax(), lambda x: np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)),
    (nn.LogSoftmax(0), lambda x: x - np.log(np.exp(x).sum(axis=0))),
    (nn.Softmin(0), lambda x: np.exp(-x) / np.exp(-x).sum(axis=0)),
    (nn.Hardshrink(0.75), lambda x: np.where(np.abs(x) > 0.75, x, 0)),
    (nn.Softshrink(0.75), lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.75, 0)),
    (nn.Tanhshrink(), lambda x: x - np.tanh(x)),
    (nn.Threshold(0.25, -2.0), lambda x: np.where(x > 0.25, x, -2)),
    (nn.Step(0.25), lambda x: np.where(x > 0.25, 1, 0)),
    (nn.GLU(), lambda x: x[..., :2] / (1 + np.exp(-x[..., 2:]))),
]


@pytest.mark.parametrize(
    ("layer", "function"), LAYERS, ids=[type(layer).__name__ for layer, _ in LAYERS]
)
def test_layers(layer: nn.Module, function: Function) -> None:
    x = np.random.default_rng(0).standard_normal((7, 4)).astype(np.float32) * 3
    np.testing.assert_allclose(layer(x).numpy(), function(x.astype(float)), rtol=1e-5, atol=1e-6)
    assert repr(layer).startswith(type(layer).__name__)


def test_thresholds_belong_to_what_is_below() -> None:
    x = vq.Tensor([-0.5, 0.5, 0.75, np.nan, np.inf], requires_grad=True)
    nan, inf = np.nan, np.inf
    for y, expected, slopes in (
        (F.hardshrink(x), [0, 0, 0.75, nan, inf], [0, 0, 1, 1, 1]),
        (F.softshrink(x), [0, 0, 0.25, nan, inf], [0, 0, 1, 1, 1]),
        (F.threshold(x, 0.5, 3.0), [3, 3, 0.75, nan, inf], [0, 0, 1, 1, 1]),
    ):
        np.testing.assert_array_equal(y.numpy(), np.float32(expected))
        x.grad = None
        y.sum().backward()
        assert x.grad is not None
        np.testing.assert_array_equal(x.grad.numpy(), slopes)
    assert F.step(x, 0.5).numpy().tolist() == [0, 0, 1, 0, 1]
    assert not F.step(x, 0.5).requires_grad


def test_parameters_of_activations_are_trained_by_channel() -> None:
    x = np.array([[-1.0, -2.0, 3.0]], np.float32)
    layer = nn.PReLU(3)
    layer(x).sum().backward()
    assert layer.weight.grad is not None
    np.testing.assert_allclose(layer.weight.grad.numpy(), [-1, -2, 0])
    with pytest.raises(ValueError, match=r"\[prelu\] shape \[1, 2\]: .* 3 channels"):
        layer(x[:, :2])


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "beta": (lambda: nn.Softplus(0.0), r"\[softplus\] beta = 0.*above 0"),
    "alpha": (lambda: nn.CELU(0.0), r"\[celu\] alpha = 0.*not 0"),
    "form": (lambda: nn.GELU("fast"), r"\[gelu\] approximate = 'fast'"),
    "bounds": (lambda: nn.Hardtanh(1.0, 1.0), r"\[hardtanh\] min_val = 1.0"),
    "halves": (lambda: nn.GLU()(np.ones((2, 3), np.float32)), r"\[glu\] shape \[2, 3\]: axis 1"),
    "channels": (lambda: nn.Snake(0), r"\[snake\] features = 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    call, words = REFUSED[case]
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize("beta", [0.5, 1, 2.5])
def test_softplus_of_huge_numbers_is_themselves(beta: float) -> None:
    x = np.array([3e38, np.inf, -3e38, -np.inf, np.nan], np.float32)
    expected = np.where(x > 0, x, np.where(np.isnan(x), x, 0))
    np.testing.assert_array_equal(apply("softplus", beta, vq.Tensor(x)).numpy(), expected)
