"""Running sums and products, products and norms: values by hand, gradients, errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vqswift as vq


def gradient(function: Callable[[vq.Tensor], vq.Tensor], x: Any, g: Any = None) -> list[Any]:
    """Of `function` at x, whose result has the gradient g, or 1."""
    t = vq.Tensor(np.asarray(x, np.float32), requires_grad=True)
    result = function(t)
    result.backward(np.ones(result.shape, np.float32) if g is None else g)
    assert t.grad is not None
    found: list[Any] = t.grad.tolist()
    return found


def test_by_hand() -> None:
    x = vq.Tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert x.cumsum(1).tolist() == [[1, 3, 6], [4, 9, 15]]
    assert x.cumsum(0).tolist() == [[1, 2, 3], [5, 7, 9]]
    assert x.cumprod(-1).tolist() == [[1, 2, 6], [4, 20, 120]]
    assert x.prod().item() == 720 and x.prod(0, keepdims=True).tolist() == [[4, 10, 18]]
    assert x.prod((1, 0)).item() == 720 and x.prod(()).tolist() == x.tolist()


def test_products_beside_zeros_have_their_gradients() -> None:
    assert gradient(lambda x: x.prod(), [2, 3, 5]) == [15, 10, 6]
    assert gradient(lambda x: x.prod(), [2, 0, 5]) == [0, 10, 0]
    assert gradient(lambda x: x.prod(), [0, 0, 5]) == [0, 0, 0]
    assert gradient(lambda x: x.cumprod(0), [2, 0, 5], [1.0, 10, 100]) == [1, 1020, 0]
    assert gradient(lambda x: x.cumprod(0), [0, 0, 5], [1.0, 10, 100]) == [1, 0, 0]


def test_products_of_huge_and_tiny_factors() -> None:
    x = [1e-30, 1e-30, 1e30, 1e30]
    np.testing.assert_allclose(vq.Tensor(x).prod().item(), 1, rtol=1e-6)
    for function in (lambda t: t.prod(), lambda t: t.cumprod(0)[-1]):
        np.testing.assert_allclose(gradient(function, x), [1e30, 1e30, 1e-30, 1e-30], rtol=1e-6)


def test_sums_are_rounded_once() -> None:
    """Float64 inside: a running float32 would lose each of the ones."""
    x = np.ones(1001, np.float32)
    x[0] = 2**24
    np.testing.assert_array_equal(
        vq.Tensor(x).cumsum(0).numpy(), np.cumsum(x, dtype=np.float64).astype(np.float32)
    )


def test_integers_and_truths_count() -> None:
    found = vq.Tensor([True, False, True]).cumsum(0)
    assert found.tolist() == [1, 1, 2] and found.dtype == np.int32
    assert vq.Tensor([3, -2, 4]).cumprod(0).tolist() == [3, -6, -24]
    assert vq.Tensor([3, -2, 4]).prod().item() == -24
    assert vq.Tensor([2**30, 2**30, 2**30, 0]).prod().item() == 0


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (1, 1), ()])
def test_axes_without_elements(shape: tuple[int, ...]) -> None:
    x = np.full(shape, 2, np.float32)
    for axis in (None, *range(len(shape))):
        t = vq.Tensor(x, requires_grad=True)
        found = t.prod(axis)
        np.testing.assert_array_equal(found.numpy(), x.prod(axis))
        (found.sum() + t.norm(axis=axis).sum()).backward()
        assert t.grad is not None and t.grad.shape == shape
    for axis in range(len(shape)):
        np.testing.assert_array_equal(vq.Tensor(x).cumsum(axis).numpy(), x.cumsum(axis))
        np.testing.assert_array_equal(vq.Tensor(x).cumprod(axis).numpy(), x.cumprod(axis))


def test_norms_by_hand() -> None:
    x = vq.Tensor([[3.0, -4.0], [0.0, 2.0]])
    assert x.norm(axis=1).tolist() == [5, 2] and x.norm(1, axis=1).tolist() == [7, 2]
    assert x.norm(np.inf, 1, keepdims=True).tolist() == [[4], [2]]
    np.testing.assert_allclose(x.norm(3, 1).numpy(), [91 ** (1 / 3), 2], rtol=2**-23)
    np.testing.assert_allclose(x.norm().item(), 29**0.5, rtol=2**-23)


def test_norms_of_huge_and_tiny_elements() -> None:
    for size in (1e30, 1e-30):
        x = np.array([3 * size, 4 * size], np.float32)
        for p in (1, 2, 5, 20, np.inf):
            expected = np.linalg.norm(np.array([3.0, 4.0]), p) * size
            np.testing.assert_allclose(vq.Tensor(x).norm(p).item(), expected, rtol=2**-22)
        np.testing.assert_allclose(gradient(lambda t: t.norm(), x), [0.6, 0.8], rtol=2**-22)


@pytest.mark.parametrize("p", [0.5, 1, 1.5, 2, 3, np.inf])
def test_the_zero_vector_has_no_slope(p: float) -> None:
    assert gradient(lambda x: x.norm(p, axis=1), [[0, 0], [3, 0]])[0] == [0, 0]


def test_the_largest_share_the_gradient() -> None:
    assert gradient(lambda x: x.norm(np.inf), [1, -2, 2, 2.0], np.float32(6)) == [0, -2, 2, 2]


def test_bad_numbers_are_not_lost() -> None:
    for p in (1, 2, 3, np.inf):
        assert np.isnan(vq.Tensor([1.0, np.nan, np.inf]).norm(p).item())
        assert vq.Tensor([1.0, -np.inf]).norm(p).item() == np.inf


@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
def test_results_are_the_same_for_every_number_of_threads(name: str, threads: Any) -> None:
    x = np.random.default_rng(0).uniform(0.9, 1.1, (7, 300, 131)).astype(np.float32)
    found = []
    for count in (1, 3):
        threads(count)
        t = vq.Tensor(x, requires_grad=True)
        result = getattr(t, name)(1)
        result.backward(x)
        assert t.grad is not None
        found.append((result.numpy(), t.grad.numpy()))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_value_that_is_written_before_backward_is_noticed() -> None:
    for function in (lambda x: x.cumprod(0), lambda x: x.prod(), lambda x: x.norm()):
        x = vq.Tensor([1.0, 2.0], requires_grad=True)
        result = function(x).sum()
        x.assign([3.0, 4.0])
        with pytest.raises(RuntimeError, match="in place"):
            result.backward()


REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "axis": (lambda: vq.Tensor([1.0]).cumsum(1), IndexError, "[cumsum] axis 1: there are 1"),
    "scalar": (lambda: vq.Tensor(1.0).cumprod(0), IndexError, "[cumprod] axis 0: there are 0"),
    "sum": (
        lambda: vq.Tensor([2**31 - 1, 1]).cumsum(0),
        ValueError,
        "[cumsum] element = 1: its result must fit in int32: convert with astype(float32)",
    ),
    "product": (
        lambda: vq.Tensor([2**16, 2**15]).cumprod(0),
        ValueError,
        "[cumprod] element = 1: its result must fit in int32",
    ),
    "whole product": (
        lambda: vq.Tensor([[1, 1], [2**16, 2**15]]).prod(1),
        ValueError,
        "[prod] the product of row = 1: must fit in int32",
    ),
    "p": (lambda: vq.Tensor([1.0]).norm(0), ValueError, "[norm] p = 0.0: must be above 0"),
    "no p": (lambda: vq.Tensor([1.0]).norm(np.nan), ValueError, "[norm] p = nan"),
    "integers": (lambda: vq.Tensor([1]).norm(), TypeError, "[norm] dtype int32"),
    "nothing": (
        lambda: vq.ones((2, 0)).norm(np.inf, 1),
        ValueError,
        "[norm] shape [2, 0] has no elements",
    ),
    "axes": (lambda: vq.Tensor([1.0]).prod((0, 0)), ValueError, "[prod] axes = [0, 0]: axis 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    call, error, words = REFUSED[case]
    with pytest.raises(error) as raised:
        call()
    assert words in str(raised.value)
