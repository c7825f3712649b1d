"""Keys between brackets against NumPy: arrays, masks, backward slices, and their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import vqswift as vq

X = np.arange(120, dtype=np.float32).reshape(4, 5, 6)
PLACES, PAIR = np.array([[0, -1], [2, 1]]), np.array([3, 0])
ROWS = np.array([True, False, True, True])
EVEN = X % 2 == 0
KEYS: list[Any] = [
    *(PLACES, [0, 2], [], (slice(None), [1, 1, 0]), np.int32(2), np.array(2), range(3)),
    # Arrays in place, and in front where something stands between them.
    *(
        np.s_[PLACES, PAIR],
        np.s_[:, PLACES, PAIR],
        np.s_[PLACES, :, PAIR],
        np.s_[:, PAIR, ..., PAIR],
        np.s_[PAIR, ..., PAIR],
    ),
    *(
        np.s_[0, :, PAIR],
        np.s_[:, 0, PAIR],
        np.s_[None, :, PAIR, None, 0],
        np.s_[..., PAIR],
        np.s_[PAIR, None],
    ),
    *(np.s_[::2, PAIR, 1:], np.s_[PAIR, ::-1], np.s_[:, PAIR[:, None], PAIR]),
    *(ROWS, EVEN, np.s_[:, EVEN[0]], np.s_[ROWS, 1], np.s_[ROWS, :, [0, 1, 2]], EVEN & (X > 200)),
    *(np.s_[..., EVEN[0, 0]], np.s_[EVEN[:, :, 0], None]),
    *(np.s_[::-1], np.s_[:, 4:1:-2, ::-3], np.s_[0:3:-1], np.s_[-1::-50], np.s_[..., ::-1]),
]


@pytest.mark.parametrize("number", range(len(KEYS)))
@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.bool_])
def test_keys_are_those_of_numpy(number: int, dtype: type) -> None:
    x = (X % 3).astype(dtype)
    found, expected = vq.Tensor(x)[KEYS[number]], x[KEYS[number]]
    assert found.dtype == dtype and found.shape == expected.shape
    np.testing.assert_array_equal(found.numpy(), expected)


@pytest.mark.parametrize("number", range(len(KEYS)))
def test_gradients_add_up_where_a_place_is_taken_again(number: int) -> None:
    key = KEYS[number]
    x = vq.Tensor(X, requires_grad=True)
    taken = x[key]
    g = np.random.default_rng(0).integers(-9, 9, taken.shape).astype(np.float32)
    taken.backward(g)
    expected = np.zeros_like(X)
    np.add.at(expected, key, g)
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), expected)


def test_tensors_are_keys_too() -> None:
    x = vq.Tensor(X)
    np.testing.assert_array_equal(x[vq.Tensor(PLACES), vq.Tensor(PAIR)].numpy(), X[PLACES, PAIR])
    np.testing.assert_array_equal(x[x > 50].numpy(), X[X > 50])
    np.testing.assert_array_equal(x[x.argmax(0)[0, 0]].numpy(), X[3])


def test_a_table_of_many_rows_adds_up_a_row_that_is_taken_often() -> None:
    table = vq.Tensor(np.zeros((3, 40), np.float32), requires_grad=True)
    codes = np.random.default_rng(0).integers(0, 3, 20_000)
    table[codes].sum().backward()
    assert table.grad is not None
    counts = np.bincount(codes, minlength=3).astype(np.float32)
    np.testing.assert_array_equal(table.grad.numpy(), np.repeat(counts[:, None], 40, 1))


def test_results_are_the_same_for_every_number_of_threads(threads: Any) -> None:
    rng = np.random.default_rng(0)
    x, codes = rng.standard_normal((50, 70, 33)).astype(np.float32), rng.integers(0, 70, 900)
    g = rng.standard_normal((50, 900, 33)).astype(np.float32)
    gradients = []
    for count in (1, 3):
        threads(count)
        t = vq.Tensor(x, requires_grad=True)
        t[:, codes].backward(g)
        assert t.grad is not None
        gradients.append(t.grad.numpy())
    np.testing.assert_array_equal(*gradients)
    expected = np.zeros(x.shape)
    np.add.at(expected, (slice(None), codes), g.astype(np.float64))
    # About 13 terms of size 1 for each place, up to 30.
    np.testing.assert_allclose(gradients[0], expected, atol=30 * 2**-23 * 30)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0), (1, 1)])
def test_axes_without_elements(shape: tuple[int, ...]) -> None:
    x = np.ones(shape, np.float32)
    nothing = np.zeros((2, 0), np.int64)
    for key in (nothing, np.s_[:, nothing], np.s_[nothing, nothing], x > 0, np.s_[::-1, ::-1]):
        t = vq.Tensor(x, requires_grad=True)
        found = t[key]
        assert found.shape == x[key].shape
        found.backward(np.ones(found.shape, np.float32))
        assert t.grad is not None and t.grad.shape == shape


REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "array": ([0, 4], IndexError, "[getitem] index 4 is outside axis 0 of size 4"),
    "below": (np.s_[:, [-6]], IndexError, "[getitem] index -6 is outside axis 1 of size 5"),
    "integer": (np.s_[0, 0, 6], IndexError, "[getitem] index 6 is outside axis 2 of size 6"),
    "mask": (
        np.s_[:, ROWS],
        IndexError,
        "[getitem] a mask of shape [4] from axis 1 on, of sizes [5]: they must be equal",
    ),
    "wide mask": (EVEN[..., None], IndexError, "[getitem] 4 indices for shape [4, 5, 6]"),
    "shapes": (
        np.s_[[0, 1], [0, 1, 2]],
        IndexError,
        "[getitem] index shapes [2] and [3]: they must broadcast",
    ),
    "dots": (np.s_[..., 0, ...], IndexError, "[getitem] '...' may stand once"),
    **{
        f"a {type(key).__name__}": (key, TypeError, "integers, slices, '...', None, and arrays")
        for key in (1.0, "0", True, np.array([0.5]), [[0], [0, 1]], vq.Tensor([0.5]))
    },
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    key, error, words = REFUSED[case]
    with pytest.raises(error) as raised:
        vq.Tensor(X)[key]
    assert words in str(raised.value) and str(raised.value).startswith("[getitem]")
