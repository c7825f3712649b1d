"""Tensors as NumPy users meet them: arithmetic, conversion, indexing, gradients."""

from __future__ import annotations

import operator
from collections.abc import Callable

import numpy as np
import pytest
import vqswift as vq
from vqswift import Tensor

EPSILON = 2.0**-23


def array(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.uniform(0.5, 2.0, shape).astype(np.float32)


# Conversion


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble", ">f4"])
def test_floating_arrays_become_float32(dtype: str) -> None:
    x = Tensor(np.array([1.5, -2.0], dtype))
    assert x.dtype == np.float32
    assert x.numpy().tolist() == [1.5, -2.0]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64", "uint64"])
def test_integer_arrays_become_int32(dtype: str) -> None:
    x = Tensor(np.array([1, 0], dtype))
    assert x.dtype == np.int32
    assert x.numpy().tolist() == [1, 0]


def test_numbers_lists_and_tensors_convert() -> None:
    assert Tensor(2.5).shape == () and Tensor(2.5).item() == 2.5
    assert Tensor([[1.0, 2.0]]).shape == (1, 2)
    x = Tensor([1.0])
    assert Tensor(x).numpy().tolist() == [1.0]


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a.T,
        lambda a: a[::2],
        lambda a: a[:, ::-1],
        lambda a: np.broadcast_to(a[0], (5, 6)),
        lambda a: a[1:, 2:],
    ],
)
def test_non_contiguous_arrays_are_copied(
    view: Callable[[np.ndarray], np.ndarray], rng: np.random.Generator
) -> None:
    source = view(array(rng, 4, 6))
    assert np.array_equal(Tensor(source).numpy(), source)


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (2, 0, 4), (1,), (1, 1, 1)])
def test_every_shape_makes_the_round_trip(shape: tuple[int, ...]) -> None:
    x = Tensor(np.ones(shape))
    assert x.shape == shape and x.ndim == len(shape) and x.size == int(np.prod(shape))
    assert x.numpy().shape == shape


def test_creation_and_reading_copy() -> None:
    source = np.ones(3, np.float32)
    x = Tensor(source)
    source[0] = 7
    x.numpy()[1] = 7
    np.asarray(x)[2] = 7
    assert x.numpy().tolist() == [1, 1, 1]


def test_array_protocol() -> None:
    x = Tensor([1.0, 2.0])
    assert np.asarray(x).dtype == np.float32
    assert np.asarray(x, np.float64).dtype == np.float64
    assert np.hypot(x, 0).tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="copy"):
        np.asarray(x, copy=False) if np.__version__ >= "2" else x.__array__(copy=False)


def test_numbers() -> None:
    assert float(Tensor([2.5])) == 2.5 and int(Tensor([7])) == 7 and bool(Tensor(1.0))
    assert len(Tensor([1.0, 2.0])) == 2
    with pytest.raises(TypeError, match="axes"):
        len(Tensor(1.0))


def test_repr_shows_values_dtype_and_gradient() -> None:
    assert repr(Tensor([1.0, 2.0])) == "Tensor([1., 2.], shape=[2], dtype=float32)"
    assert repr(Tensor([1])) == "Tensor([1], shape=[1], dtype=int32)"
    assert "requires_grad=True" in repr(Tensor([1.0], requires_grad=True))


# Arithmetic

BINARY = [operator.add, operator.sub, operator.mul, operator.truediv]


@pytest.mark.parametrize("op", BINARY)
@pytest.mark.parametrize(
    "other",
    [
        2,
        2.5,
        True,
        np.float32(3),
        np.float64(3),
        np.int64(3) * 1.0,
        np.array(2.0),
        np.array([1.0, 2.0, 4.0], np.float32),
        np.array([[1.0], [2.0]]),
    ],
    ids=repr,
)
def test_arithmetic_with_numbers_and_arrays_on_both_sides(
    op: Callable[..., Tensor], other: object
) -> None:
    a = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], np.float32)
    x = Tensor(a)
    second = np.asarray(other, np.float32)
    for result, expected in ((op(x, other), op(a, second)), (op(other, x), op(second, a))):
        assert isinstance(result, Tensor)
        np.testing.assert_allclose(result.numpy(), expected, rtol=EPSILON)


def test_arrays_defer_to_tensors(rng: np.random.Generator) -> None:
    a, x = array(rng, 2, 3), Tensor(array(rng, 3, 2), requires_grad=True)
    product = a @ x
    assert isinstance(product, Tensor) and product.requires_grad
    np.testing.assert_allclose(product.numpy(), a @ x.numpy(), rtol=3 * EPSILON)


def test_powers_and_negation(rng: np.random.Generator) -> None:
    a = array(rng, 5)
    x = Tensor(a)
    np.testing.assert_allclose((x**2).numpy(), a * a, rtol=EPSILON)
    np.testing.assert_allclose((x**-1.5).numpy(), a.astype(np.float64) ** -1.5, rtol=8 * EPSILON)
    assert np.array_equal((-x).numpy(), -a)


@pytest.mark.parametrize(
    "shapes",
    [((3, 4), (4, 5)), ((4,), (4, 5)), ((3, 4), (4,)), ((4,), (4,)), ((2, 1, 3, 4), (5, 4, 2))],
)
def test_matmul_has_numpys_shapes(
    shapes: tuple[tuple[int, ...], tuple[int, ...]], rng: np.random.Generator
) -> None:
    a, b = (array(rng, *shape) for shape in shapes)
    expected = a.astype(np.float64) @ b
    result = (Tensor(a) @ Tensor(b)).numpy()
    assert result.shape == expected.shape
    np.testing.assert_allclose(result, expected, rtol=4 * EPSILON)


@pytest.mark.parametrize("name", ["exp", "log", "sqrt", "tanh", "abs", "square"])
def test_elementwise_equals_numpy(name: str, rng: np.random.Generator) -> None:
    a = array(rng, 1000)
    expected = getattr(np, name)(a.astype(np.float64))
    # Below 1 in size an absolute error of an ulp of 1: log passes through 0.
    np.testing.assert_allclose(
        getattr(Tensor(a), name)().numpy(), expected, rtol=4 * EPSILON, atol=2 * EPSILON
    )


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min", "var"])
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (1,), np.int64(1)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_reductions_equal_numpy(
    name: str, axis: object, keepdims: bool, rng: np.random.Generator
) -> None:
    a = array(rng, 3, 4, 5)
    extra = {"ddof": 1} if name == "var" else {}
    expected = getattr(a.astype(np.float64), name)(axis=axis, keepdims=keepdims, **extra)
    result = getattr(Tensor(a), name)(axis, keepdims).numpy()
    assert result.shape == expected.shape
    np.testing.assert_allclose(result, expected, rtol=8 * EPSILON)


def test_argmax_maximum_minimum_clamp(rng: np.random.Generator) -> None:
    a, b = array(rng, 4, 6), array(rng, 6)
    assert np.array_equal(Tensor(a).argmax(0).numpy(), a.argmax(0))
    assert np.array_equal(vq.maximum(a, b).numpy(), np.maximum(a, b))
    assert np.array_equal(vq.minimum(Tensor(a), 1.0).numpy(), np.minimum(a, np.float32(1)))
    assert np.array_equal(
        Tensor(a).clamp(0.8, 1.2).numpy(), a.clip(np.float32(0.8), np.float32(1.2))
    )
    assert np.array_equal(Tensor(a).clamp(minimum=1.0).numpy(), a.clip(1))


def test_softmax_rows_sum_to_one(rng: np.random.Generator) -> None:
    a = rng.normal(size=(5, 7)).astype(np.float32) * 50
    soft = Tensor(a).softmax(1).numpy()
    np.testing.assert_allclose(soft.sum(1), 1, rtol=8 * EPSILON)
    logs = Tensor(a).log_softmax(1).numpy()
    shifted = a.astype(np.float64) - a.max(1, keepdims=True)
    expected = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    np.testing.assert_allclose(logs, expected, rtol=4 * EPSILON, atol=np.abs(a).max() * EPSILON)


# Shape

INDICES = [
    0,
    -1,
    np.int64(1),
    slice(None),
    slice(1, 3),
    slice(None, None, 2),
    slice(3, 1),
    slice(-2, None),
    slice(10, 20),
    ...,
    None,
    (0, 1),
    (slice(None), 2),
    (..., 0),
    (0, ..., slice(1, None)),
    (None, slice(None), None, 1),
    (slice(None), slice(None), -1),
    (1, 2, 3),
    (),
]


@pytest.mark.parametrize("key", INDICES, ids=repr)
def test_indexing_equals_numpy(key: object, rng: np.random.Generator) -> None:
    a = array(rng, 4, 3, 5)
    result = Tensor(a)[key].numpy()
    assert np.array_equal(result, a[key])  # type: ignore[index]
    assert result.shape == a[key].shape  # type: ignore[index]


def test_indexing_passes_gradients_back() -> None:
    x = Tensor(np.zeros((3, 4)), requires_grad=True)
    (x[1:, ::2].sum() * 2.0 + x[0, -1]).backward()
    expected = np.zeros((3, 4))
    expected[1:, ::2] = 2
    expected[0, -1] = 1
    assert x.grad is not None and np.array_equal(x.grad.numpy(), expected)


def test_iteration_walks_the_first_axis() -> None:
    assert [row.numpy().tolist() for row in Tensor([[1.0, 2.0], [3.0, 4.0]])] == [[1, 2], [3, 4]]


def test_shape_operators_equal_numpy(rng: np.random.Generator) -> None:
    a, b = array(rng, 2, 3, 4), array(rng, 2, 5, 4)
    x = Tensor(a)
    assert np.array_equal(x.reshape(6, -1).numpy(), a.reshape(6, -1))
    assert np.array_equal(x.reshape((4, 6)).numpy(), a.reshape(4, 6))
    assert np.array_equal(x.permute(2, 0, 1).numpy(), a.transpose(2, 0, 1))
    assert np.array_equal(x.T.numpy(), a.T)
    assert np.array_equal(x[:, :1].broadcast_to((2, 7, 4)).numpy(), a[:, :1].repeat(7, 1))
    assert np.array_equal(vq.concatenate([x, b], 1).numpy(), np.concatenate([a, b], 1))
    assert np.array_equal(vq.stack([x, x * 2], -1).numpy(), np.stack([a, a * 2], -1))


def test_codes_gather_scatter_and_one_hot(rng: np.random.Generator) -> None:
    table, codes = array(rng, 5, 3), np.array([[4, 0], [4, 2]])
    assert np.array_equal(Tensor(table).gather_rows(codes).numpy(), table[codes])
    rows = array(rng, 2, 2, 3)
    expected = np.zeros((5, 3), np.float64)
    np.add.at(expected, codes, rows)
    np.testing.assert_allclose(
        Tensor(rows).scatter_add_rows(codes, 5).numpy(), expected, rtol=2 * EPSILON
    )
    assert np.array_equal(Tensor(codes).one_hot(5).numpy(), np.eye(5)[codes])


# Gradients


def test_gradients_accumulate_until_cleared() -> None:
    x = Tensor([1.0, 2.0], requires_grad=True)
    assert x.grad is None
    for _ in range(2):
        x.square().sum().backward()
    assert x.grad is not None and x.grad.numpy().tolist() == [4, 8]
    x.grad = None
    assert x.grad is None
    x.grad = np.array([1.0, 1.0])  # type: ignore[assignment]
    assert x.grad.numpy().tolist() == [1, 1]


def test_backward_takes_a_gradient_and_retains_the_graph() -> None:
    x = Tensor([1.0, 2.0], requires_grad=True)
    y = x * x
    y.backward(np.array([1.0, 10.0]), retain_graph=True)  # type: ignore[arg-type]
    y.backward(Tensor([1.0, 0.0]))
    assert x.grad is not None and x.grad.numpy().tolist() == [4, 40]


def test_broadcast_operands_get_summed_gradients(rng: np.random.Generator) -> None:
    x = Tensor(array(rng, 3, 4), requires_grad=True)
    row = Tensor(array(rng, 4), requires_grad=True)
    (x * row).sum().backward()
    assert x.grad is not None and row.grad is not None
    np.testing.assert_allclose(row.grad.numpy(), x.numpy().sum(0), rtol=4 * EPSILON)
    assert np.array_equal(x.grad.numpy(), np.broadcast_to(row.numpy(), (3, 4)))


def test_no_grad_and_detach_cut_the_tape() -> None:
    x = Tensor([1.0], requires_grad=True)
    with vq.no_grad():
        assert not (x * 2).requires_grad
        with pytest.raises(KeyError), vq.no_grad():
            raise KeyError
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad
    assert not x.detach().requires_grad
    (x.detach() * x).backward()
    assert x.grad is not None and x.grad.item() == 1


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (x.exp() * x.tanh()).sum(),
        lambda x: (x.log() / x.sqrt()).mean(),
        lambda x: (x.softmax(1) * x).sum(),
        lambda x: (x.sigmoid() - x.silu() + x.gelu()).sum(),
        lambda x: (x[1:] @ x[:2].T).square().sum(),
        lambda x: x.var(0).sum() + x.max(1).sum(),
        lambda x: (2.0 / x + 1.0 - x**3).sum(),
        lambda x: x.permute(1, 0).reshape(2, 6).log_softmax(0).mean(),
    ],
)
def test_gradients_equal_central_differences(
    function: Callable[[Tensor], Tensor], rng: np.random.Generator
) -> None:
    a = array(rng, 3, 4)
    x = Tensor(a, requires_grad=True)
    value = function(x)
    value.backward()
    step = 2.0**-7
    numeric = np.zeros_like(a)
    for index in np.ndindex(a.shape):
        high, low = a.copy(), a.copy()
        high[index] += step
        low[index] -= step
        numeric[index] = (function(Tensor(high)).item() - function(Tensor(low)).item()) / (2 * step)
    assert x.grad is not None
    # Truncation: step^2 times a third derivative that 1/x^4 bounds by some hundreds on [0.5, 2];
    # rounding: an ulp of the value over the step.
    size = np.abs(x.grad.numpy()).max() + abs(value.item())
    np.testing.assert_allclose(
        numeric, x.grad.numpy(), atol=size * (60 * step**2 + 8 * EPSILON / step)
    )


def test_arrays_that_lie_between_words_are_taken() -> None:
    values = np.arange(4, dtype=np.float32)
    array = np.frombuffer(b"x" + values.tobytes(), np.float32, offset=1)
    assert not array.flags.aligned
    np.testing.assert_array_equal(vq.Tensor(array).numpy(), values)
