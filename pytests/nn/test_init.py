"""Initial values by name: moments, bounds, what they are drawn from."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift import Tensor, nn
from vqswift.nn import init

SHAPE = (64, 32, 3, 3)  # fan in 288, fan out 576


def weight(shape: tuple[int, ...] = SHAPE) -> Tensor:
    return Tensor(np.zeros(shape), requires_grad=True)


DRAWN: dict[str, tuple[Callable[[Tensor], Tensor], float, float, float]] = {
    "uniform": (lambda w: init.uniform_(w, -1, 3), 1, 4 / math.sqrt(12), 2),
    "normal": (lambda w: init.normal_(w, 2, 0.5), 2, 0.5, math.inf),
    "xavier uniform": (lambda w: init.xavier_uniform_(w, 2), 0, 2 * math.sqrt(2 / 864), 0),
    "xavier normal": (lambda w: init.xavier_normal_(w), 0, math.sqrt(2 / 864), math.inf),
    "kaiming uniform": (lambda w: init.kaiming_uniform_(w), 0, math.sqrt(2 / 288), 0),
    "kaiming slope": (
        lambda w: init.kaiming_uniform_(w, math.sqrt(5)),
        0,
        math.sqrt(1 / 3 / 288),
        0,
    ),
    "kaiming normal": (
        lambda w: init.kaiming_normal_(w, mode="fan_out", nonlinearity="tanh"),
        0,
        5 / 3 / math.sqrt(576),
        math.inf,
    ),
    # The variance of a normal number within two deviations is 0.774.
    "truncated": (
        lambda w: init.trunc_normal_(w, 1, 0.5, 0, 2),
        1,
        0.5 * math.sqrt(0.7737),
        1,
    ),
}


@pytest.mark.parametrize(("draw", "mean", "deviation", "bound"), DRAWN.values(), ids=DRAWN)
def test_moments_are_those_of_the_formula(
    draw: Callable[[Tensor], Tensor], mean: float, deviation: float, bound: float
) -> None:
    vq.manual_seed(3)
    parameter = weight()
    assert draw(parameter) is parameter
    values = parameter.numpy().astype(np.float64)
    # Four standard errors: 1 / sqrt(n) of the mean, at most 1 / sqrt(2 n) of the deviation.
    error = 4 / math.sqrt(values.size)
    assert abs(values.mean() - mean) < error * deviation
    assert abs(values.std() - deviation) < error * deviation
    # A uniform's bound is sqrt(3) deviations.
    assert np.abs(values - mean).max() <= (bound or math.sqrt(3) * deviation) * (1 + 2**-20)


def test_constants() -> None:
    parameter = weight((2, 3))
    assert (init.constant_(parameter, 0.5).numpy() == 0.5).all()
    assert (init.ones_(parameter).numpy() == 1).all()
    assert (init.zeros_(parameter).numpy() == 0).all()
    assert (init.xavier_uniform_(parameter, 0.0).numpy() == 0).all()


@pytest.mark.parametrize("shape", [(7, 3), (3, 7), (5, 5), (4, 2, 3), (1, 6), (6, 1)], ids=str)
def test_orthogonal_rows_or_columns(shape: tuple[int, ...]) -> None:
    parameter = init.orthogonal_(weight(shape), gain=2.0, generator=vq.Generator(1))
    matrix = parameter.numpy().astype(np.float64).reshape(shape[0], -1) / 2
    gram = matrix @ matrix.T if matrix.shape[0] < matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=2**-22)


def test_orthogonal_matrices_have_no_direction_of_their_own() -> None:
    generator = vq.Generator(5)
    corners = [
        init.orthogonal_(weight((2, 2)), generator=generator)[0, 0].item() for _ in range(400)
    ]
    # A uniform angle: mean cosine 0 within four standard errors of 1 / sqrt(2 n).
    assert abs(np.mean(corners)) < 4 / math.sqrt(800)


CALLS: dict[str, Callable[..., Any]] = {
    name: getattr(init, name)
    for name in init.__all__
    if name not in ("calculate_gain", "constant_", "zeros_", "ones_")
}


@pytest.mark.parametrize("name", CALLS)
def test_draws_come_from_the_generator(name: str) -> None:
    def drawn(generator: vq.Generator | None) -> np.ndarray:
        values: np.ndarray = CALLS[name](weight((4, 5)), generator=generator).numpy()
        return values

    np.testing.assert_array_equal(drawn(vq.Generator(4)), drawn(vq.Generator(4)))
    assert not np.array_equal(drawn(vq.Generator(4)), drawn(vq.Generator(5)))
    vq.manual_seed(7)
    first, second = drawn(None), drawn(None)
    assert not np.array_equal(first, second)
    vq.manual_seed(7)
    np.testing.assert_array_equal(drawn(None), first)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("shape", [(0, 3), (3, 0)], ids=str)
def test_weights_without_elements(name: str, shape: tuple[int, ...]) -> None:
    assert CALLS[name](weight(shape)).shape == shape


@pytest.mark.parametrize("name", ["xavier_uniform_", "kaiming_normal_", "orthogonal_"])
def test_a_vector_has_no_fans(name: str) -> None:
    parameter = weight((3,))
    with pytest.raises(ValueError, match=rf"^\[{name}\] shape \[3\]: a weight must have at least"):
        CALLS[name](parameter)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda w: init.uniform_(w, 1, 1), "[uniform] range"),
        (lambda w: init.normal_(w, 0, -1), "[normal] standard_deviation = -1.0"),
        (lambda w: init.trunc_normal_(w, std=0), "[trunc_normal_] std = 0: must be finite"),
        (lambda w: init.trunc_normal_(w, a=2, b=1), "[trunc_normal_] a = 2, b = 1: the first"),
        (lambda w: init.trunc_normal_(w, a=7, b=8), "[trunc_normal_] a = 7, b = 8: the first"),
        (lambda w: init.kaiming_normal_(w, mode="fan"), "[kaiming_normal_] mode = 'fan'"),
        (
            lambda w: init.kaiming_normal_(w, nonlinearity="x"),
            "[calculate_gain] nonlinearity = 'x'",
        ),
    ],
)
def test_bad_arguments_change_nothing(call: Callable[[Tensor], Tensor], text: str) -> None:
    parameter = weight((2, 2))
    with pytest.raises(ValueError) as caught:
        call(parameter)
    assert str(caught.value).startswith(text)
    assert (parameter.numpy() == 0).all()


def test_a_layer_is_written_and_trains() -> None:
    layer = nn.Linear(3, 2)
    init.kaiming_normal_(layer.weight, nonlinearity="relu")
    init.zeros_(layer.bias)
    layer(np.ones((4, 3))).sum().backward()
    assert layer.weight.grad is not None and (layer.bias.numpy() == 0).all()
    codes = vq.Tensor(np.zeros((2, 2), np.int32))
    with pytest.raises(TypeError, match="dtypes"):
        init.ones_(codes)
