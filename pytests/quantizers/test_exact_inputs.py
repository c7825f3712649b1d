"""Searches compare what they are given: float64 and integers as they are, no masked elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vqswift as vq


def definition(x: np.ndarray, codebook: np.ndarray, count: int = 1) -> np.ndarray:
    squares = np.zeros((len(x), len(codebook)))
    for i in range(x.shape[1]):
        squares += np.square(x[:, i, None].astype(float) - codebook[None, :, i].astype(float))
    return np.argsort(squares, axis=1, kind="stable")[:, :count]


def test_a_float64_vector_meets_its_nearest_code() -> None:
    x, codebook = np.array([[1e9 + 0.75]]), np.array([[1e9], [1e9 + 1]])
    assert vq.nearest_codes(x, codebook).tolist() == [1]
    codes, distances = vq.nearest_codes(x, codebook, return_distances=True)
    assert distances.dtype == np.float64
    assert (codes.tolist(), distances.tolist()) == ([1], [0.0625])


@pytest.mark.parametrize("power", [-980, -664, -100, 0, 100, 465, 664, 980])
@pytest.mark.parametrize("shift", [0.0, 1e3, 1.7e9])
@pytest.mark.parametrize("n", [1, 7, 200])
def test_float64_is_searched_in_float64(n: int, shift: float, power: int) -> None:
    rng = np.random.default_rng(n)
    for d in (1, 2, 5, 40):
        near, codes_near = rng.normal(size=(n, d)) + shift, rng.normal(size=(300, d)) + shift
        codes_near[7] = codes_near[3]
        expected = definition(near, codes_near, 5)
        # A power of two rounds nothing, where squares overflow and vanish too.
        x, codebook = np.ldexp(near, power), np.ldexp(codes_near, power)
        np.testing.assert_array_equal(vq.nearest_codes(x, codebook), expected[:, 0])
        codes, distances = vq.nearest_codes(x, codebook, return_distances=True, topk=5)
        np.testing.assert_array_equal(codes, expected)
        with np.errstate(over="ignore"):
            squares = np.ldexp(np.square(near[:, None] - codes_near[codes]).sum(-1), 2 * power)
        np.testing.assert_allclose(distances, squares, rtol=1e-14)


@pytest.mark.parametrize("power", [-980, -600, 600, 980])
@pytest.mark.parametrize("init", ["kmeans++", "random", "array"])
def test_kmeans_of_numbers_far_from_1_are_those_of_near_ones(power: int, init: str) -> None:
    near = np.random.default_rng(1).normal(size=(200, 3))
    starts: list[Any] = [near[:4], np.ldexp(near[:4], power)] if init == "array" else [init] * 2
    found = vq.kmeans(np.ldexp(near, power), 4, init=starts[1])
    expected = vq.kmeans(near, 4, init=starts[0])
    np.testing.assert_array_equal(found.codes, expected.codes)
    np.testing.assert_array_equal(found.centroids, np.ldexp(expected.centroids, power))


def test_one_float64_argument_is_enough() -> None:
    codebook = np.array([[0.0], [1e-12]])
    assert vq.nearest_codes(np.float32([[0.0]]), codebook).tolist() == [0]
    assert vq.nearest_codes(vq.Tensor(np.float32([[1.0]])), codebook).tolist() == [1]


@pytest.mark.parametrize("dtype", [np.int64, np.uint64, np.int32, np.uint32])
def test_unix_times_as_integers(dtype: type) -> None:
    rng = np.random.default_rng(0)
    x = (1_700_000_000 + rng.integers(0, 1000, (500, 1))).astype(dtype)
    codebook = (1_700_000_000 + rng.permutation(1000)[:200, None]).astype(dtype)
    np.testing.assert_array_equal(vq.nearest_codes(x, codebook), definition(x, codebook)[:, 0])


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint16, np.bool_, np.float16])
def test_narrow_numbers_are_searched_in_float32(dtype: type) -> None:
    rng = np.random.default_rng(0)
    x, codebook = (rng.integers(0, 100, (size, 3)).astype(dtype) for size in (50, 20))
    codes, distances = vq.nearest_codes(x, codebook, return_distances=True)
    assert distances.dtype == np.float32
    np.testing.assert_array_equal(codes, definition(x, codebook)[:, 0])
    assert vq.kmeans(x, 2).centroids.dtype == np.float32


def test_what_float64_would_round_is_refused() -> None:
    far = np.array([[2**53 + 1]])
    for call in (
        lambda: vq.nearest_codes(far, far),
        lambda: vq.nearest_codes(np.float32([[0]]), far),
        lambda: vq.kmeans(far, 1),
        lambda: vq.kmeans(np.float32([[0]]), 1, init=-far),
        lambda: vq.kmeans(far.astype(np.uint64), 1),
        lambda: vq.kmeans(np.longdouble([[1]]) + np.finfo(np.longdouble).eps, 1),
    ):
        with pytest.raises(ValueError, match="float64 rounds"):
            call()
    assert vq.nearest_codes(far - 1, far - 1).tolist() == [0]
    assert vq.kmeans(np.longdouble([[1.5]]), 1).centroids.tolist() == [[1.5]]


@pytest.mark.parametrize("init", ["kmeans++", "random"])
def test_kmeans_of_unix_times(init: str) -> None:
    rng = np.random.default_rng(0)
    centers = 1.7e9 + np.arange(5) * 3.0
    x = (centers[rng.integers(0, 5, 1000)] + rng.normal(0, 0.05, 1000))[:, None]
    best = min(
        (vq.kmeans(x, 5, init=init, seed=seed) for seed in range(8)), key=lambda r: r.inertia
    )
    assert best.centroids.dtype == np.float64
    np.testing.assert_allclose(np.sort(best.centroids.ravel()), centers, atol=0.02)
    np.testing.assert_array_equal(best.codes, definition(x, best.centroids)[:, 0])
    assert best.inertia == pytest.approx(np.square(x - best.centroids[best.codes]).sum(), rel=1e-9)


def test_float64_kmeans_moves_to_the_means_of_float64() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(400, 3)) + 1e6
    start = x[:7].copy()
    result = vq.kmeans(x, 7, iterations=100, init=start)
    for code in range(7):
        np.testing.assert_allclose(
            result.centroids[code], x[result.codes == code].mean(0), rtol=1e-15
        )
    assert (start == x[:7]).all()


@pytest.mark.parametrize("scale", [1e-140, 1e-40, 1e40, 1e140])
def test_float64_kmeans_of_any_scale(scale: float) -> None:
    x = np.array([[0.0], [1], [2], [100], [101], [102]]) * scale
    result = vq.kmeans(x, 2, seed=3)
    np.testing.assert_allclose(np.sort(result.centroids.ravel()), [scale, 101 * scale], rtol=1e-12)


@pytest.mark.parametrize("k", [1, 4, 12])
def test_float64_kmeans_beyond_the_points(k: int) -> None:
    x = np.array([[1.7e9], [1.7e9 + 0.25], [1.7e9 + 0.5]])
    for init in ("kmeans++", "random"):
        result = vq.kmeans(x, k, init=init)
        assert result.centroids.shape == (k, 1)
        assert (result.inertia == 0) == (k >= 3)


def masked(shape: tuple[int, ...] = (6, 4)) -> np.ma.MaskedArray:
    return np.ma.masked_greater(np.arange(np.prod(shape), dtype=np.float32).reshape(shape), 5)


MASKED: list[Callable[[], Any]] = [
    lambda: vq.Tensor(masked()),
    lambda: vq.Tensor([list(masked()), list(masked())]),
    lambda: vq.nearest_codes(masked(), np.ones((2, 4))),
    lambda: vq.nearest_codes(np.ones((2, 4)), masked()),
    lambda: vq.kmeans(masked(), 2),
    lambda: vq.kmeans([row for row in masked()], 2),
    lambda: vq.kmeans(np.ones((6, 4)), 6, init=masked()),
    lambda: vq.VectorQuant(4, 8)(masked()),
    lambda: vq.VectorQuant(4, 8).encode(masked()),
    lambda: vq.VectorQuant(4, 8).fit(masked()),
    lambda: vq.VectorQuant(4, 6).codebook.assign(masked()),
    lambda: vq.VectorQuant(4, 8)(np.ones((6, 4)), mask=np.ma.masked_equal(np.arange(6), 2) > 0),
    lambda: vq.nn.Linear(4, 2)(masked()),
    lambda: vq.Tensor(np.ones((6, 4))) + masked(),
    lambda: vq.nn.Linear(4, 6).load_state_dict({"weight": masked()}, strict=False),
    lambda: vq.metrics.mse(masked(), masked()),
    lambda: vq.data.Batches(masked((2, 2, 2, 3)), batch_size=1),
]


@pytest.mark.parametrize("call", MASKED)
def test_masked_elements_are_refused(call: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match="has masked elements"):
        call()


def test_a_masked_array_that_masks_nothing_is_an_array() -> None:
    whole = np.ma.masked_array(np.float32([[1, 2], [3, 4]]), mask=False)
    np.testing.assert_array_equal(vq.Tensor(whole).numpy(), whole.data)
    assert vq.kmeans(whole, 2).inertia == 0
