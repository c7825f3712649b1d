"""Elements by position, order and condition: values by hand, gradients, errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vqswift as vq

NAN, INF = np.nan, np.inf
X = np.array([[3.0, 1.0, 2.0], [1.0, 1.0, 0.0]], np.float32)


def test_order_by_hand() -> None:
    values, positions = vq.Tensor(X).sort()
    assert values.tolist() == [[1, 2, 3], [0, 1, 1]]
    assert positions.tolist() == [[1, 2, 0], [2, 0, 1]] and positions.dtype == np.int32
    values, positions = vq.Tensor(X).sort(0, descending=True)
    assert values.tolist() == [[3, 1, 2], [1, 1, 0]]
    assert positions.tolist() == [[0, 0, 0], [1, 1, 1]]


def test_of_equal_elements_the_first_comes_first() -> None:
    x = vq.Tensor(np.zeros(1000, np.float32) * np.tile([1, -1], 500))
    for descending in (False, True):
        assert x.argsort(0, descending).tolist() == list(range(1000))
        assert x.topk(3, 0, descending).indices.tolist() == [0, 1, 2]


def test_nan_is_greater_than_every_number() -> None:
    x = vq.Tensor([NAN, INF, -INF, -NAN, 5.0])
    assert x.argsort().tolist() == [2, 4, 1, 0, 3]
    assert x.argsort(descending=True).tolist() == [0, 3, 1, 4, 2]
    assert x.topk(3).indices.tolist() == [0, 3, 1]
    np.testing.assert_array_equal(np.sort(x).numpy(), np.sort(x.numpy()))


@pytest.mark.parametrize("k", [1, 10, 2500, 5000])
@pytest.mark.parametrize("order", ["random", "rising", "falling"])
def test_topk_of_many(order: str, k: int) -> None:
    x = np.random.default_rng(0).standard_normal((3, 5000)).astype(np.float32)
    if order != "random":
        x = np.sort(x)[:, :: 1 if order == "rising" else -1].copy()
    values, positions = vq.Tensor(x).topk(k)
    expected = np.argsort(-x, kind="stable")[:, :k]
    np.testing.assert_array_equal(positions.numpy(), expected)
    np.testing.assert_array_equal(values.numpy(), np.take_along_axis(x, expected, 1))


def test_the_gradient_goes_where_the_element_stood() -> None:
    x = vq.Tensor(X, requires_grad=True)
    x.topk(2).values.backward(np.float32([[1, 2], [3, 4]]))
    assert x.grad is not None and x.grad.tolist() == [[1, 0, 2], [3, 4, 0]]
    x.grad = None
    x.sort(0).values.backward(np.float32([[1, 2, 3], [4, 5, 6]]))
    assert x.grad.tolist() == [[4, 2, 6], [1, 5, 3]]


def test_order_is_the_same_for_every_number_of_threads(threads: Callable[[int], None]) -> None:
    x = vq.Tensor(np.random.default_rng(0).integers(0, 50, (40, 3000)).astype(np.float32))
    found = []
    for count in (1, 3):
        threads(count)
        found.append((x.argsort().numpy(), x.topk(9).indices.numpy(), x.argsort(0).numpy()))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_gather_by_hand() -> None:
    x = vq.Tensor(X, requires_grad=True)
    found = x.gather(1, [[0, 0, 2, 2], [1, 1, 1, 0]])
    assert found.tolist() == [[3, 3, 2, 2], [1, 1, 1, 1]]
    found.backward(np.float32([[1, 2, 3, 4], [5, 6, 7, 8]]))
    assert x.grad is not None and x.grad.tolist() == [[3, 0, 7], [8, 18, 0]]
    # No larger along the others.
    assert x.gather(0, [[1, 0]]).tolist() == [[1, 1]]


def test_take_along_axis_broadcasts_and_counts_from_the_end() -> None:
    x = vq.Tensor(X, requires_grad=True)
    found = x.take_along_axis([[-1, 0]], 1)
    np.testing.assert_array_equal(found.numpy(), X[:, [2, 0]])
    found.sum().backward()
    assert x.grad is not None and x.grad.tolist() == [[1, 0, 1], [1, 0, 1]]


def test_scatter_add_by_hand() -> None:
    x = vq.Tensor(X, requires_grad=True)
    source = vq.Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    found = x.scatter_add(1, [[2, 2], [0, 1]], source)
    assert found.tolist() == [[3, 1, 5], [4, 5, 0]]
    found.backward(np.float32([[1, 2, 3], [4, 5, 6]]))
    assert x.grad is not None and x.grad.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert source.grad is not None and source.grad.tolist() == [[3, 3], [4, 5]]


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.bool_])
def test_elements_keep_their_kind(dtype: type) -> None:
    x = (X > 1).astype(dtype)
    t = vq.Tensor(x)
    for found, expected in [
        (t.sort().values, np.sort(x)),
        (t.gather(0, [[1, 1, 0]]), x[[1, 1, 0], [0, 1, 2]][None]),
        (t.take([[0, 1]], 1), x.take([[0, 1]], 1)),
        (t.tril(), np.tril(x)),
        (t.triu(1), np.triu(x, 1)),
        (t.masked_fill([True, False, False], 1), np.where([True, False, False], dtype(1), x)),
    ]:
        assert found.dtype == dtype
        np.testing.assert_array_equal(found.numpy(), expected)


def test_what_is_filled_has_no_gradient() -> None:
    x = vq.Tensor([[NAN, 1.0], [INF, 2.0]], requires_grad=True)
    x.masked_fill([[True, False], [True, False]], -1.0).square().sum().backward()
    assert x.grad is not None and x.grad.tolist() == [[0, 2], [0, 4]]
    x.grad = None
    x.triu(1).sum().backward()
    assert x.grad.tolist() == [[0, 1], [0, 0]]


REFUSED: dict[str, tuple[Callable[[vq.Tensor], Any], type[Exception], str]] = {
    "gather": (
        lambda x: x.gather(1, [[0, 3]]),
        IndexError,
        "[gather] index 3 is outside 0..<3",
    ),
    "gather below": (lambda x: x.gather(0, [[-1]]), IndexError, "[gather] index -1 is outside"),
    "gather rank": (
        lambda x: x.gather(0, [0]),
        ValueError,
        "[gather] shapes [2, 3] and [1]: the second must have as many axes, none but axis 0 larger",
    ),
    "gather size": (lambda x: x.gather(1, np.zeros((3, 1), int)), ValueError, "[2, 3] and [3, 1]"),
    "gather kind": (lambda x: x.gather(0, [[0.5]]), TypeError, "[gather] dtype float32"),
    "gather axis": (lambda x: x.gather(2, [[0]]), IndexError, "[gather] axis 2: there are 2"),
    "along axis": (
        lambda x: x.take_along_axis([0], 0),
        ValueError,
        "[take_along_axis] shapes [2, 3] and [1]: they must have as many axes",
    ),
    "along sizes": (
        lambda x: x.take_along_axis([[0], [0], [0]], 1),
        ValueError,
        "[take_along_axis] shapes [2, 3] and [3, 1]: all axes but axis 1 must be equal or 1",
    ),
    "scatter": (
        lambda x: x.scatter_add(0, [[0, 0]], [[1.0]]),
        ValueError,
        "[scatter_add] shapes [1, 1] and [1, 2]: source and positions must have one shape",
    ),
    "scatter size": (
        lambda x: x.scatter_add(0, [[0]], [[1.0]]),
        ValueError,
        "[scatter_add] shapes [2, 3] and [1, 1]: they must be equal in all axes but axis 0",
    ),
    "scatter place": (
        lambda x: x.scatter_add(0, [[0, 1, 2]], [[1.0, 1.0, 1.0]]),
        IndexError,
        "[scatter_add] index 2 is outside 0..<2",
    ),
    "sort axis": (lambda x: x.sort(2), IndexError, "[sort] axis 2: there are 2"),
    "topk": (
        lambda x: x.topk(4),
        ValueError,
        "[topk] k = 4: must lie in 0...3, the size of axis -1",
    ),
    "negative topk": (lambda x: x.topk(-1), ValueError, "[topk] k = -1"),
    "mask": (
        lambda x: x.masked_fill([True, False], 0),
        ValueError,
        "[masked_fill] shapes [2] and [2, 3]: the first must broadcast to the second",
    ),
    "mask kind": (
        lambda x: x.masked_fill([1, 0, 1], 0),
        TypeError,
        "[masked_fill] a mask of int32",
    ),
    "fraction": (
        lambda x: x.astype(int).masked_fill(True, 0.5),
        TypeError,
        "[masked_fill] value = 0.5: an integer is required of int32",
    ),
    "triangle": (lambda x: x[0].tril(), ValueError, "[tril] shape [3]: at least two axes"),
    "outer": (lambda x: vq.outer(x, x[0]), ValueError, "[outer] shapes [2, 3] and [3]: one axis"),
    "meshgrid": (lambda x: vq.meshgrid(x), ValueError, "[meshgrid] shape [2, 3]: one axis"),
    "indexing": (
        lambda x: vq.meshgrid(x[0], indexing="yx"),
        ValueError,
        "[meshgrid] indexing = 'yx': must be ij or xy",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    call, error, words = REFUSED[case]
    with pytest.raises(error) as raised:
        call(vq.Tensor(X))
    assert words in str(raised.value)
