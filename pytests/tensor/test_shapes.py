"""Shapes and orders of elements against NumPy, and their gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vqswift as vq

X = np.random.default_rng(0).standard_normal((3, 1, 4, 5)).astype(np.float32)
CODES = np.array([[4, 0], [2, 2]], np.int32)


def logsumexp(x: np.ndarray, axis: int) -> np.ndarray:
    return np.log(np.exp(x).sum(axis=axis))


# What ours does, and NumPy does; both linear but for the last.
SAME: dict[str, tuple[Callable[[Any], Any], Callable[[np.ndarray], np.ndarray]]] = {
    "squeeze": (lambda x: x.squeeze(), lambda x: x.squeeze()),
    "squeeze an axis": (lambda x: x.squeeze(-3), lambda x: x.squeeze(1)),
    "unsqueeze": (lambda x: x.unsqueeze(-1), lambda x: x[..., None]),
    "unsqueeze the first": (lambda x: x.unsqueeze(0), lambda x: x[None]),
    "flatten": (lambda x: x.flatten(), lambda x: x.reshape(-1)),
    "flatten some": (lambda x: x.flatten(1, 2), lambda x: x.reshape(3, 4, 5)),
    "transpose": (lambda x: x.transpose(-1, 0), lambda x: x.swapaxes(-1, 0)),
    "take": (lambda x: x.take(CODES, 3), lambda x: x.take(CODES, 3)),
    "take of the middle": (lambda x: x.take([1, 1, 3], -2), lambda x: x.take([1, 1, 3], -2)),
    "take one": (lambda x: x.take(np.int32(2), 0), lambda x: x.take(2, 0)),
    "flip": (lambda x: x.flip(2), lambda x: np.flip(x, 2)),
    "roll": (lambda x: x.roll(2, -1), lambda x: np.roll(x, 2, -1)),
    "roll back": (lambda x: x.roll(-7, 0), lambda x: np.roll(x, -7, 0)),
    "split": (lambda x: x.split(2, 3)[1], lambda x: x[..., 2:4]),
    "split the last": (lambda x: x.split(2, 3)[2], lambda x: x[..., 4:]),
    "split by sizes": (lambda x: x.split([1, 0, 4], 3)[2], lambda x: x[..., 1:]),
    "chunk": (lambda x: x.chunk(2, 2)[1], lambda x: x[:, :, 2:]),
    "repeat": (lambda x: x.repeat(2, 3, 1, 1), lambda x: np.tile(x, (2, 3, 1, 1))),
    "repeat in front": (lambda x: x.repeat(2, 1, 1, 2, 1), lambda x: np.tile(x, (2, 1, 1, 2, 1))),
    "pad": (
        lambda x: vq.pad(x, [(1, 0), (0, 0), (2, 3), (0, 1)]),
        lambda x: np.pad(x, [(1, 0), (0, 0), (2, 3), (0, 1)]),
    ),
    "logsumexp": (lambda x: x.logsumexp(2), lambda x: logsumexp(x, 2)),
    "std": (lambda x: x.std(3), lambda x: x.std(3, ddof=1)),
}


@pytest.mark.parametrize("name", SAME)
def test_values_and_gradients(name: str) -> None:
    own, numpys = SAME[name]
    x = vq.Tensor(X, requires_grad=True)
    found = own(x)
    at = X.astype(np.float64)
    expected = numpys(at)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)
    g = np.random.default_rng(1).standard_normal(expected.shape).astype(np.float32)
    found.backward(vq.Tensor(g))
    assert x.grad is not None
    way = np.random.default_rng(2).standard_normal(X.shape)
    slope = ((numpys(at + 1e-6 * way) - numpys(at - 1e-6 * way)) * g).sum() / 2e-6
    np.testing.assert_allclose((x.grad.numpy() * way).sum(), slope, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.int32, np.bool_])
def test_integers_and_truths_keep_their_kind(dtype: type) -> None:
    x = vq.Tensor((np.arange(6).reshape(2, 3) % 2).astype(dtype))
    for found in (x.unsqueeze(0), x.flatten(), x.transpose(0, 1), x.roll(1, 1), x.split(1)[0]):
        assert found.dtype == dtype


def test_logsumexp_of_far_and_infinite_numbers() -> None:
    x = np.array([[1000.0, 1000.0], [-np.inf, -np.inf], [np.inf, 0.0]], np.float32)
    found = vq.Tensor(x).logsumexp(1).numpy()
    np.testing.assert_allclose(found, [1000 + np.log(2), -np.inf, np.inf], rtol=1e-6)
    assert vq.Tensor(x).logsumexp(1, keepdims=True).shape == (3, 1)


def test_argmin_is_the_first() -> None:
    x = np.array([[3, 1, 1], [0, 5, 0]], np.int32)
    np.testing.assert_array_equal(vq.Tensor(x).argmin(1).numpy(), x.argmin(1))
    np.testing.assert_array_equal(vq.Tensor(X).argmin(2).numpy(), X.argmin(2))
    assert vq.Tensor([0, -(2**31)]).argmin().item() == 1  # which has no negative
    assert vq.Tensor([True, False, True]).argmin().item() == 1


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.bool_])
def test_makers(dtype: type) -> None:
    for own, numpys in ((vq.zeros, np.zeros), (vq.ones, np.ones)):
        found = own((2, 3), dtype)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found.numpy(), numpys((2, 3), dtype))
    np.testing.assert_array_equal(vq.full((2,), 1, dtype).numpy(), np.full(2, 1, dtype))


def test_ranges() -> None:
    assert vq.arange(4).dtype == np.int32 and vq.arange(4).tolist() == [0, 1, 2, 3]
    assert vq.arange(1, 7, 2).tolist() == [1, 3, 5]
    assert vq.arange(1.0, 2.0, 0.5).tolist() == [1.0, 1.5]
    assert vq.full((2,), 7).dtype == np.int32 and vq.full(2, 0.5).tolist() == [0.5, 0.5]


REFUSED: dict[str, tuple[Callable[[vq.Tensor], Any], type[Exception], str]] = {
    "squeeze": (lambda x: x.squeeze(0), ValueError, r"\[squeeze\] shape \[3, 1, 4, 5\]"),
    "axis": (lambda x: x.roll(1, 4), IndexError, r"\[roll\] axis 4: there are 4"),
    "flatten": (lambda x: x.flatten(2, 1), ValueError, r"start = 2: must not be behind end = 1"),
    "take": (lambda x: x.take([5], 3), IndexError, "5"),
    "split": (lambda x: x.split(0), ValueError, "size = 0"),
    "sizes": (lambda x: x.split([1, 1]), ValueError, r"sizes \[1, 1\]: they must add up to 3"),
    "chunk": (lambda x: x.chunk(0), ValueError, "count = 0"),
    "repeat": (lambda x: x.repeat(2), ValueError, r"counts \[2\]"),
    "pad": (lambda x: vq.pad(x, [(1, 1)]), ValueError, r"widths \[\(1, 1\)\]"),
    "arange": (lambda x: vq.arange(0, 3, 0), ValueError, "step = 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    call, error, words = REFUSED[case]
    with pytest.raises(error, match=words):
        call(vq.Tensor(X))
