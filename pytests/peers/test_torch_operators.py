"""Operators that PyTorch names against PyTorch's, with gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vqswift as vq

torch = pytest.importorskip("torch", reason="torch is not installed: make test-peers")

RNG = np.random.default_rng(0)
X = RNG.standard_normal((4, 5, 6)).astype(np.float32)
TIES = RNG.integers(-2, 3, (4, 5, 6)).astype(np.float32)
INDEX = RNG.integers(0, 5, (4, 7, 6))
FEWER = RNG.integers(0, 4, (3, 2, 6))
SOURCE = RNG.standard_normal((4, 7, 6)).astype(np.float32)
MASK = RNG.random((4, 5, 6)) < 0.5
INF = float("inf")

# What ours does of x, and torch's.
SAME: dict[str, tuple[np.ndarray, Callable[[Any], Any], Callable[[Any], Any]]] = {
    "gather": (X, lambda x: x.gather(1, INDEX), lambda x: x.gather(1, torch.tensor(INDEX))),
    "gather of fewer": (
        X,
        lambda x: x.gather(0, FEWER),
        lambda x: x.gather(0, torch.tensor(FEWER)),
    ),
    "take_along_axis": (
        X,
        lambda x: x.take_along_axis(INDEX[:1], 1),
        lambda x: torch.take_along_dim(x, torch.tensor(INDEX[:1]), 1),
    ),
    "scatter_add": (
        X,
        lambda x: x.scatter_add(1, INDEX, SOURCE),
        lambda x: x.scatter_add(1, torch.tensor(INDEX), torch.tensor(SOURCE)),
    ),
    "sort": (X, lambda x: x.sort(1).values, lambda x: x.sort(1).values),
    "stable sort": (
        TIES,
        lambda x: x.sort(0, descending=True).values,
        lambda x: x.sort(dim=0, descending=True, stable=True).values,
    ),
    "topk": (X, lambda x: x.topk(3, 1).values, lambda x: x.topk(3, 1).values),
    "smallest": (
        X,
        lambda x: x.topk(2, largest=False).values,
        lambda x: x.topk(2, largest=False).values,
    ),
    "cumsum": (X, lambda x: x.cumsum(1), lambda x: x.cumsum(1)),
    "cumprod": (X, lambda x: x.cumprod(2), lambda x: x.cumprod(2)),
    "cumprod with zeros": (TIES, lambda x: x.cumprod(1), lambda x: x.cumprod(1)),
    "prod with zeros": (TIES, lambda x: x.prod(1), lambda x: x.prod(1)),
    "prod of all": (X[0, 0], lambda x: x.prod(), lambda x: x.prod()),
    **{
        f"norm {p}": (TIES, lambda x, p=p: x.norm(p, 1), lambda x, p=p: x.norm(p, 1))
        for p in (1, 1.5, 2, 3, INF)
    },
    "norm of all": (X, lambda x: x.norm(), lambda x: x.norm()),
    "norm of zeros": (0 * X, lambda x: x.norm(2, (0, 2)), lambda x: x.norm(2, (0, 2))),
    "masked_fill": (
        X,
        lambda x: x.masked_fill(MASK, 2.0),
        lambda x: x.masked_fill(torch.tensor(MASK), 2.0),
    ),
    "tril": (X, lambda x: x.tril(-1), lambda x: x.tril(-1)),
    "triu": (X, lambda x: x.triu(2), lambda x: x.triu(2)),
    "mask": (X, lambda x: x[MASK], lambda x: x[torch.tensor(MASK)]),
    "arrays": (
        X,
        lambda x: x[[0, 1, 1], :, [2, 3, 3]],
        lambda x: x[[0, 1, 1], :, [2, 3, 3]],
    ),
    "einsum": (
        X,
        lambda x: vq.einsum("abc,adc->bd", x, X),
        lambda x: torch.einsum("abc,adc->bd", x, torch.tensor(X)),
    ),
    "outer": (
        X[0, 0],
        lambda x: vq.outer(x, X[0, :, 0]),
        lambda x: torch.outer(x, torch.tensor(X[0, :, 0])),
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_values_and_gradients_are_those_of_torch(name: str) -> None:
    given, own, torchs = SAME[name]
    x, y = vq.Tensor(given, requires_grad=True), torch.tensor(given, requires_grad=True)
    found, expected = own(x), torchs(y)
    # Sums of at most 60 terms of size 1 to 4 in float32.
    np.testing.assert_allclose(found.numpy(), expected.detach().numpy(), rtol=1e-5, atol=1e-5)
    g = np.random.default_rng(1).standard_normal(found.shape).astype(np.float32)
    found.backward(g)
    expected.backward(torch.tensor(g))
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("descending", [False, True])
def test_orders_are_torchs_stable_ones(descending: bool) -> None:
    x = np.where(RNG.random(TIES.shape) < 0.2, np.float32(np.nan), TIES)
    for axis in range(3):
        expected = torch.tensor(x).argsort(dim=axis, descending=descending, stable=True).numpy()
        np.testing.assert_array_equal(vq.Tensor(x).argsort(axis, descending).numpy(), expected)


def test_grids_are_torchs() -> None:
    for indexing in ("ij", "xy"):
        lines = [np.arange(3.0, dtype=np.float32), np.arange(4.0, dtype=np.float32)]
        expected = torch.meshgrid(*map(torch.tensor, lines), indexing=indexing)
        for own, other in zip(vq.meshgrid(*lines, indexing=indexing), expected, strict=True):
            np.testing.assert_array_equal(own.numpy(), other.numpy())
