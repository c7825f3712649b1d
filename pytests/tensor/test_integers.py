"""Integer and bool tensors: arithmetic, comparison, reductions and conversion, against NumPy."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift.nn import functional as F

A = np.array([[5, -7, 0], [2**31 - 1, -(2**31), 3]], np.int32)
B = np.array([[2, 3, -4], [-1, -1, 7]], np.int32)
X = np.array([[0.5, -7.0, np.nan], [np.inf, 3e9, -0.0]], np.float32)


@pytest.mark.parametrize(
    "apply",
    [
        *(operator.add, operator.sub, operator.mul, operator.floordiv, operator.mod),
        *(operator.and_, operator.or_, operator.xor),
    ],
)
def test_integer_arithmetic_is_numpys(apply: Callable[[Any, Any], Any]) -> None:
    with np.errstate(over="ignore"):
        for a, b in [(A, B), (A, B[0]), (A[:, :1], B[:1]), (A, B[0, 0])]:
            expected = apply(a, b)
            for result in (
                apply(vq.Tensor(a), vq.Tensor(b)),
                apply(vq.Tensor(a), b),
                apply(a, vq.Tensor(b)),
            ):
                assert isinstance(result, vq.Tensor) and result.dtype == np.int32
                assert np.array_equal(result.numpy(), expected)
        assert np.array_equal(apply(vq.Tensor(A), 3).numpy(), apply(A, np.int32(3)))
        assert np.array_equal(apply(3, vq.Tensor(B)).numpy(), apply(np.int32(3), B))


def test_one_operand_is_numpys() -> None:
    t = vq.Tensor(A)
    with np.errstate(over="ignore"):
        assert np.array_equal((-t).numpy(), -A)
        assert np.array_equal(t.abs().numpy(), np.abs(A))
        assert np.array_equal(t.square().numpy(), np.square(A))
        assert np.array_equal((~t).numpy(), ~A)
        for exponent in (0, 1, 2, 3, 7):
            assert np.array_equal((t**exponent).numpy(), A**exponent)
    assert np.array_equal(vq.maximum(A, B).numpy(), np.maximum(A, B))
    assert np.array_equal(vq.minimum(A, B).numpy(), np.minimum(A, B))
    for exponent in (-1, 0.5):
        with pytest.raises(ValueError, match="whole exponents"):
            t**exponent


def test_quotients() -> None:
    assert np.array_equal((vq.Tensor(A[0]) / B[0]).numpy(), (A[0] / B[0]).astype(np.float32))
    for apply in (operator.floordiv, operator.mod):
        with pytest.raises(ValueError, match="divisor 1 = 0"):
            apply(vq.Tensor([1, 2]), np.array([1, 0], np.int32))
        with pytest.raises(TypeError, match="int32 or bool"):
            apply(vq.Tensor([1.0]), 2)


def test_integers_beside_floats_are_exact_or_refused() -> None:
    codes = vq.Tensor(np.array([1, 2, 2**24], np.int32))
    x = vq.Tensor([0.5, 1.5, -1.0], requires_grad=True)
    for result in (codes * x, x * codes, codes.numpy() * x, codes + x * 1.0):
        assert result.dtype == np.float32 and result.requires_grad
    (codes * x).sum().backward()
    assert x.grad is not None and x.grad.numpy().tolist() == [1, 2, 2**24]
    assert (codes * 0.5).dtype == np.float32 and (codes * True).dtype == np.int32
    with pytest.raises(ValueError, match="16777217: float32 would round it"):
        vq.Tensor([2**24 + 1]) * 0.5
    with pytest.raises(ValueError, match="would round"):
        vq.Tensor([2**24 + 1]) / 3
    with pytest.raises(OverflowError):
        codes + 2**31


COMPARISONS = [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge]


@pytest.mark.parametrize("compare", COMPARISONS)
def test_comparisons_are_bool_tensors(compare: Callable[[Any, Any], Any]) -> None:
    for a, b in [(A, B), (X, X), (A, X), (X, A), (X, B[0]), (X, X[:, :1]), (A > 0, A == B)]:
        expected = compare(a, b)
        for result in (
            compare(vq.Tensor(a), vq.Tensor(b)),
            compare(vq.Tensor(a), b),
            compare(a, vq.Tensor(b)),
        ):
            assert isinstance(result, vq.Tensor) and result.dtype == np.bool_
            assert np.array_equal(result.numpy(), expected)
    for number in (0, 3, 0.5, np.float32(3e9), np.int64(-7)):
        for array in (A, X):
            assert np.array_equal(compare(vq.Tensor(array), number).numpy(), compare(array, number))
            assert np.array_equal(compare(number, vq.Tensor(array)).numpy(), compare(number, array))
    # An integer and a float32 compare exactly, not after rounding.
    big = vq.Tensor([2**24 + 1])
    assert compare(big, vq.Tensor([2.0**24])).item() == compare(2**24 + 1, 2**24)


def test_comparisons_with_other_objects() -> None:
    t = vq.Tensor([1.0])
    assert (t == None) is False and (t != "a") is True  # noqa: E711
    assert (t == object()) is False and ... not in [t]
    assert t in [t] and {t: 1}[t] == 1
    with pytest.raises(ValueError, match="broadcast"):
        _ = t.broadcast_to((3,)) == np.zeros(2)
    with pytest.raises(ValueError, match="exactly one element"):
        bool(vq.Tensor([1, 2]) == 1)


def test_truth() -> None:
    t, u = vq.Tensor([True, False, True]), vq.Tensor([True, True, False])
    assert t.dtype == np.bool_ and repr(t) == "Tensor([ True, False,  True], shape=[3], dtype=bool)"
    assert np.asarray(t).dtype == np.bool_ and np.arange(3)[np.asarray(t)].tolist() == [0, 2]
    assert (t & u).numpy().tolist() == [True, False, False]
    assert (t | u).numpy().tolist() == [True, True, True]
    assert (t ^ u).numpy().tolist() == [False, True, True]
    assert (~t).numpy().tolist() == [False, True, False]
    assert (t + u).numpy().tolist() == [2, 1, 1]
    assert t.sum().item() == 2 and t.sum().dtype == np.int32
    assert t.mean().item() == np.float32(2 / 3)
    assert t.any().item() is True and t.all().item() is False
    assert vq.Tensor(np.zeros((0, 2), bool)).all(axis=0).numpy().tolist() == [True, True]
    assert vq.Tensor(np.zeros((0, 2), bool)).any(axis=0).numpy().tolist() == [False, False]
    for key in (np.s_[1:], np.s_[::2], np.s_[None]):
        assert np.array_equal(t[key].numpy(), t.numpy()[key])
    for shaped in (t.reshape(3, 1), t.broadcast_to((2, 3)), vq.concatenate([t, u]), t.T):
        assert shaped.dtype == np.bool_
    with pytest.raises(TypeError):
        vq.concatenate([t, vq.Tensor([1])])
    masked = vq.VectorQuant(2, 4)(np.ones((3, 2)), mask=t)[1]
    assert masked.q.numpy()[1] == -1
    assert np.isclose(F.cross_entropy(np.zeros((3, 2)), t).item(), np.log(2))


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [None, 0, 1, -1, (0, 1), ()])
def test_integer_reductions_are_numpys(axis: Any, keepdims: bool) -> None:
    array = np.array([[[3, -5], [7, 7]], [[0, 2], [7, -9]], [[1, 1], [2, 2]]], np.int32)
    t = vq.Tensor(array)
    options = {"axis": axis, "keepdims": keepdims}
    for name in ("sum", "max", "min"):
        result, expected = getattr(t, name)(**options), getattr(array, name)(**options)
        assert result.dtype == np.int32 and np.array_equal(result.numpy(), expected)
    assert np.array_equal(t.mean(**options).numpy(), array.mean(**options).astype(np.float32))
    if isinstance(axis, int):
        assert np.array_equal(t.argmax(axis).numpy(), array.argmax(axis))


def test_a_sum_beyond_int32_is_refused() -> None:
    with pytest.raises(ValueError, match="the sum = 4294967294: must fit in int32"):
        vq.Tensor([2**31 - 1, 2**31 - 1]).sum()
    assert vq.Tensor([2**31 - 1, 2**31 - 1]).mean().item() == 2.0**31


def test_conversion() -> None:
    x = vq.Tensor([1.9, -1.9, 0.0, 2147483520.0])
    assert x.astype(np.int32).numpy().tolist() == [1, -1, 0, 2147483520]
    assert x.astype("bool").numpy().tolist() == [True, True, False, True]
    assert x.astype(bool).astype(np.float32).numpy().tolist() == [1, 1, 0, 1]
    assert x.astype(int).dtype == np.int32 and x.astype(float).dtype == np.float32
    assert vq.Tensor([2**24 + 1]).astype(np.float32).item() == 2**24
    for bad in (np.nan, np.inf, 2.0**31, -(2.0**31) - 300):
        with pytest.raises(ValueError, match=r"\[astype\] element 0 = .*must fit in int32"):
            vq.Tensor([bad]).astype(np.int32)
    with pytest.raises(TypeError, match="tensors are float32, int32 or bool"):
        x.astype(np.float64)
    y = vq.Tensor([1.0], requires_grad=True)
    assert y.astype(np.float32).requires_grad and not y.astype(np.int32).requires_grad


def test_integers_are_indices() -> None:
    assert "abc"[vq.Tensor(1)] == "b" and range(vq.Tensor([2])) == range(2)
    with pytest.raises(TypeError, match="float32 tensor is no index"):
        "abc"[vq.Tensor(1.0)]
    with pytest.raises(ValueError, match="exactly one element"):
        "abc"[vq.Tensor([1, 2])]


def test_where_passes_gradients_to_what_was_taken() -> None:
    a = vq.Tensor([[1.0, 2.0, 3.0]], requires_grad=True)
    b = vq.Tensor([[10.0], [np.inf]], requires_grad=True)
    condition = np.array([[True, False, True], [True, True, True]])
    result = vq.where(condition, a, b)
    assert np.array_equal(result.numpy(), np.where(condition, a.numpy(), b.numpy()))
    result.backward(np.array([[1, 2, 3], [4, 5, 6]], np.float32))
    assert a.grad is not None and a.grad.numpy().tolist() == [[5, 5, 9]]
    assert b.grad is not None and b.grad.numpy().tolist() == [[2], [0]]
    assert vq.where(a > 1.5, vq.Tensor([1, 2, 3]), 0).dtype == np.int32
    with pytest.raises(TypeError, match="condition must be bool"):
        vq.where(a, a, a)


def test_pythons_truths_beside_truths_are_truths() -> None:
    mask = vq.Tensor([True, False])
    for found, wanted in (
        (mask & True, [True, False]),
        (mask | False, [True, False]),
        (True ^ mask, [False, True]),
        (~(mask & True), [False, True]),
    ):
        assert found.dtype == np.bool_ and found.tolist() == wanted
    assert (vq.Tensor([2, 3]) & True).tolist() == [0, 1]


def test_whole_numbers_beside_integers_stay_integers() -> None:
    large = vq.Tensor([2**24 + 1, -5])
    for found, wanted in (
        (vq.maximum(large, 0), [2**24 + 1, 0]),
        (vq.minimum(0, large), [0, -5]),
        (vq.where(vq.Tensor([True, False]), large, 7), [2**24 + 1, 7]),
    ):
        assert found.dtype == np.int32 and found.tolist() == wanted


@pytest.mark.parametrize("key", [True, False])
def test_a_truth_is_no_index(key: bool) -> None:
    with pytest.raises(TypeError, match="(True|False): integers, slices"):
        vq.Tensor(np.ones((2, 3)))[key]
