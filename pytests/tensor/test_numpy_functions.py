"""NumPy's functions on tensors stay on the tape or are refused; they never leave it unseen."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vqswift as vq

X = np.array([[0.5, 1.5, 2.5], [3.5, 0.25, 1.25]], np.float32)

UNARY = [np.exp, np.log, np.sqrt, np.square, np.tanh, np.abs, np.negative, np.positive]
UNARY += [np.reciprocal, np.sin, np.cos, np.log1p, np.expm1, np.log2, np.log10]
BINARY = [np.add, np.subtract, np.multiply, np.divide, np.true_divide, np.maximum, np.minimum]
FUNCTIONS: list[Callable[[Any], Any]] = [
    lambda x: np.sum(x),
    lambda x: np.sum(x, axis=0),
    lambda x: np.sum(x, axis=(0, 1), keepdims=True),
    lambda x: np.mean(x),
    lambda x: np.mean(x, 1, keepdims=True),
    lambda x: np.max(x, axis=0),
    lambda x: np.amin(x),
    lambda x: np.var(x),
    lambda x: np.var(x, axis=1, ddof=1),
    lambda x: np.std(x, axis=0),
    lambda x: np.reshape(x, (3, 2)),
    lambda x: np.ravel(x),
    lambda x: np.transpose(x),
    lambda x: np.transpose(x, (1, 0)),
    lambda x: np.swapaxes(x, 0, -1),
    lambda x: np.expand_dims(x, 1),
    lambda x: np.expand_dims(x, (0, 3)),
    lambda x: np.squeeze(np.expand_dims(x, 0)),
    lambda x: np.broadcast_to(x, (4, 2, 3)),
    lambda x: np.concatenate([x, X, x], axis=1),
    lambda x: np.stack([x, X], axis=2),
    lambda x: np.clip(x, 0.75, 2.0),
    lambda x: np.where(X > 1, x, -1.0),
    lambda x: np.dot(x, X.T),
    lambda x: np.power(x, 3),
    lambda x: np.power(x, np.float64(1.5)),
    lambda x: np.matmul(X.T, x),
    lambda x: np.prod(x),
    lambda x: np.prod(x, axis=1, keepdims=True),
    lambda x: np.cumsum(x),
    lambda x: np.cumsum(x, axis=0),
    lambda x: np.cumprod(x, 1),
    lambda x: np.sort(x),
    lambda x: np.sort(x, axis=None, kind="stable"),
    lambda x: np.take(x, [[0, -1]], axis=1),
    lambda x: np.take(x, 4),
    lambda x: np.take_along_axis(x, np.array([[0, -1]]), 1),
    lambda x: np.tril(x),
    lambda x: np.triu(x, k=1),
    lambda x: np.outer(x, X),
    lambda x: np.einsum("ij,kj->ik", x, X),
    lambda x: np.linalg.norm(x),
    lambda x: np.linalg.norm(x, axis=0, keepdims=True),
    lambda x: np.linalg.norm(x, 1, 1),
    lambda x: np.linalg.norm(np.ravel(x), 3),
]


def check(function: Callable[[Any], Any], x: np.ndarray) -> None:
    """Value of NumPy, and the gradient of a weighted sum against central differences."""
    t = vq.Tensor(x, requires_grad=True)
    result = function(t)
    expected = np.asarray(function(x), np.float32)
    assert isinstance(result, vq.Tensor) and result.requires_grad
    assert result.shape == expected.shape
    assert np.allclose(result.numpy(), expected, rtol=1e-5, atol=1e-6)
    weights = np.linspace(0.5, 1.5, expected.size).reshape(expected.shape)
    (result * weights).sum().backward()
    assert t.grad is not None
    numeric = np.zeros(x.shape)
    for index in np.ndindex(*x.shape):
        step = np.zeros(x.shape)
        step[index] = 1e-4
        up, down = (np.asarray(function(x.astype(np.float64) + s * step)) for s in (1, -1))
        numeric[index] = ((up - down) * weights).sum() / 2e-4
    assert np.allclose(t.grad.numpy(), numeric, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("function", UNARY, ids=lambda f: f.__name__)
def test_unary_functions_stay_on_the_tape(function: np.ufunc) -> None:
    check(function, X)


@pytest.mark.parametrize("function", BINARY, ids=lambda f: f.__name__)
def test_binary_functions_stay_on_the_tape(function: np.ufunc) -> None:
    row = np.array([1.0, 2.0, 3.0], np.float32)
    for other in (row, vq.Tensor(row), 2.0, np.float64(2.0), [1.0, 2.0, 3.0]):
        plain = np.asarray(other)
        for ours, numpy in [
            (lambda t, o=other: function(t, o), lambda x, p=plain: function(x, p)),
            (lambda t, o=other: function(o, t), lambda x, p=plain: function(p, x)),
        ]:
            check(lambda x, ours=ours, numpy=numpy: (ours if _is(x) else numpy)(x), X)


def _is(x: Any) -> bool:
    return isinstance(x, vq.Tensor)


@pytest.mark.parametrize("index", range(len(FUNCTIONS)))
def test_functions_stay_on_the_tape(index: int) -> None:
    check(FUNCTIONS[index], X)


@pytest.mark.parametrize(
    "function",
    [np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal],
    ids=lambda f: f.__name__,
)
def test_comparisons_give_bools(function: np.ufunc) -> None:
    t = vq.Tensor(X, requires_grad=True)
    for a, b, expected in [
        (t, X.T[0].reshape(2, 1), function(X, X.T[0].reshape(2, 1))),
        (X, t, function(X, X)),
        (t, 1.5, function(X, 1.5)),
        (np.float64(1.5), t, function(1.5, X)),
    ]:
        result = function(a, b)
        assert isinstance(result, vq.Tensor) and result.dtype == np.bool_
        assert np.array_equal(result.numpy(), expected)


def test_logic() -> None:
    t, u = vq.Tensor([0.0, 1.0, 2.0]), np.array([True, False, True])
    for function in (np.logical_and, np.logical_or, np.logical_xor):
        assert np.array_equal(function(t, u).numpy(), function(t.numpy(), u))
    assert np.array_equal(np.logical_not(t).numpy(), np.logical_not(t.numpy()))
    assert np.any(t).item() is True and np.all(t, axis=0).item() is False


REFUSED: list[Callable[[Any], Any]] = [
    np.tan,
    np.arctan,
    lambda x: np.hypot(x, 1.0),
    lambda x: np.power(2.0, x),
    lambda x: np.power(x, x),
    lambda x: np.add(x, 1.0, out=np.zeros(X.shape, np.float32)),
    lambda x: np.add(x, 1.0, dtype=np.float64),
    lambda x: np.add(x, 1.0, where=X > 1),
    lambda x: np.add.reduce(x),
    lambda x: np.multiply.outer(x, x),
    lambda x: np.sum(x, dtype=np.float64),
    lambda x: np.mean(x, out=np.zeros((), np.float32)),
    lambda x: np.var(x, ddof=2),
    lambda x: np.sort(x, order="x"),
    lambda x: np.cumsum(x, dtype=np.float64),
    np.median,
    lambda x: np.linalg.norm(x, 1),
    lambda x: np.linalg.norm(x, "fro"),
    np.linalg.svd,
    lambda x: np.einsum(x, [0, 1], [0]),
    lambda x: np.tile(x, 2),
    lambda x: np.pad(x, 1),
    lambda x: np.copy(x),
    lambda x: np.split(x, 2),
    lambda x: np.vstack([x, X]),
    lambda x: np.dot(x, np.zeros((2, x.shape[-1], 2), np.float32)),
]


@pytest.mark.parametrize("index", range(len(REFUSED)))
def test_what_has_no_counterpart_is_refused(index: int) -> None:
    with pytest.raises(TypeError, match=r"\[(numpy\.|pow)|unsupported operand"):
        REFUSED[index](vq.Tensor(X, requires_grad=True))


def test_an_array_does_not_take_the_result_in_place() -> None:
    array = X.copy()
    with pytest.raises(TypeError, match="an array does not take the result"):
        array += vq.Tensor(X, requires_grad=True)
    assert np.array_equal(array, X)


def test_functions_that_only_read_give_what_numpy_gives() -> None:
    t = vq.Tensor(X, requires_grad=True)
    assert np.allclose(t, X) and np.array_equal(t, X) and np.shape(t) == (2, 3)
    assert np.ndim(t) == 2 and np.size(t) == 6 and np.argmax(t).item() == 3
    assert np.isfinite(t).numpy().all() and not np.isnan(t).numpy().any()
    assert np.count_nonzero(t) == 6 and np.argmin(t).item() == 4
    assert np.array_equal(np.argsort(t, axis=None), np.argsort(X, axis=None))
    for ours, expected in zip(np.where(t > 1), np.where(X > 1), strict=True):
        assert np.array_equal(ours, expected)
    np.testing.assert_allclose(t, X)
    np.testing.assert_array_equal(t.detach(), X)


def test_tensors_off_the_tape_may_go_through_numpy() -> None:
    t = vq.Tensor(X)
    assert np.allclose(np.tan(t).numpy(), np.tan(X))
    assert np.array_equal(np.partition(t, 1), np.partition(X, 1))


def test_asarray_leaves_the_tape_by_name() -> None:
    t = vq.Tensor(X, requires_grad=True)
    for array in (np.asarray(t), np.array(t), t.numpy()):
        assert type(array) is np.ndarray and np.array_equal(array, X)
    assert np.asarray(t, dtype=np.float64).dtype == np.float64
    assert np.asarray(t > 1).dtype == np.bool_


def test_constants_of_a_tensors_shape() -> None:
    t = vq.Tensor(X, requires_grad=True)
    for result, value in [
        (np.zeros_like(t), 0),
        (np.ones_like(t), 1),
        (np.full_like(t, 2.5), 2.5),
    ]:
        assert isinstance(result, vq.Tensor) and not result.requires_grad
        assert np.array_equal(result.numpy(), np.full(X.shape, value, np.float32))


@pytest.mark.parametrize(
    "write",
    [
        lambda t: np.copyto(t, np.zeros((2, 2))),
        lambda t: np.fill_diagonal(t, 9),
        lambda t: np.put(t, [0], [1.0]),
        lambda t: np.putmask(t, np.ones((2, 2), bool), 1.0),
        lambda t: np.place(t, np.ones((2, 2), bool), [1.0]),
        lambda t: np.put_along_axis(t, np.zeros((2, 1), int), 1.0, 1),
        lambda t: np.add.at(np.zeros(2), [0, 1], t[0]),
    ],
)
def test_functions_that_write_are_refused(write: Any) -> None:
    with pytest.raises(TypeError, match="it writes in place"):
        write(vq.Tensor(np.ones((2, 2))))


def test_a_parameter_is_not_bound_anew_by_an_operator() -> None:
    w = vq.nn.Parameter(np.ones((2, 2)))
    with pytest.raises(TypeError, match=r"\.assign"):
        w **= 2
    with pytest.raises(TypeError, match=r"\.assign"):
        w @= w


@pytest.mark.parametrize(
    "shapes", [((), ()), ((), (3,)), ((2, 3), ()), ((3,), (3,)), ((2, 3, 4), (4,))]
)
def test_dot_is_that_of_numpy(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    a, b = (np.arange(1, 1 + math.prod(s), dtype=np.float32).reshape(s) for s in shapes)
    found = np.dot(vq.Tensor(a, requires_grad=True), b)
    assert found.requires_grad
    np.testing.assert_allclose(found.numpy(), np.dot(a, b))


def test_integers_of_numpy_on_the_left_are_numbers() -> None:
    x = vq.Tensor(X, requires_grad=True)
    np.testing.assert_array_equal((np.int64(2**40) * x).numpy(), X * np.float32(2**40))
