"""k-means of so many points that bounds leave most distances out: Lloyd's codes and centroids."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import vqswift as vq

POINTS, CODES, WIDTH, STEPS = 33_000, 150, 12, 14


def nearest(x: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    x, centroids = x.astype(np.float64), centroids.astype(np.float64)
    center = centroids.mean(0)
    x, centroids = x - center, centroids - center
    codes: np.ndarray = (np.square(centroids).sum(1) / 2 - x @ centroids.T).argmin(1)
    return codes


def lloyd(x: np.ndarray, centroids: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances and means in Float64, centroids in float32."""
    for _ in range(steps):
        codes = nearest(x, centroids)
        sums = np.zeros(centroids.shape)
        np.add.at(sums, codes, x)
        counts = np.bincount(codes, minlength=len(centroids))
        assert counts.all()
        centroids = (sums / counts[:, None]).astype(np.float32)
    return centroids, nearest(x, centroids)


def points(kind: str) -> np.ndarray:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(POINTS, WIDTH))
    if kind == "clusters":
        x = x * 0.7 + rng.normal(size=(40, WIDTH))[rng.integers(0, 40, POINTS)] * 3
    if kind == "decaying":
        x = x / np.arange(1, WIDTH + 1)
    return (x + (1000 if kind == "far" else 0)).astype(np.float32)


@pytest.mark.parametrize("steps", [4, STEPS])
@pytest.mark.parametrize("kind", ["normal", "clusters", "decaying", "far"])
def test_codes_and_centroids_are_lloyds(kind: str, steps: int) -> None:
    x = points(kind)
    start = x[:: POINTS // CODES][:CODES]
    expected, codes = lloyd(x, start, steps)
    found = vq.kmeans(x, CODES, iterations=steps, init=start)
    np.testing.assert_array_equal(found.codes, codes)
    np.testing.assert_allclose(found.centroids, expected, rtol=1e-6, atol=1e-6)


def test_threads_change_nothing(threads: Callable[[int], None]) -> None:
    x = points("clusters")
    results = []
    for count in (1, 3):
        threads(count)
        results.append(vq.kmeans(x, CODES, iterations=STEPS, init=x[:CODES]))
    assert np.array_equal(results[0].codes, results[1].codes)
    assert np.array_equal(results[0].centroids, results[1].centroids)


def test_clusters_that_become_empty_are_filled() -> None:
    """Equal and far starts: filled clusters take points whose bounds know of other centroids."""
    x = points("clusters")
    start = np.concatenate([x[:50], x[:50], np.full((50, WIDTH), 1e4, np.float32)])
    found = vq.kmeans(x, CODES, iterations=STEPS, init=start)
    assert np.unique(found.codes).size == CODES
    np.testing.assert_array_equal(found.codes, nearest(x, found.centroids))
    squares = np.square(x.astype(np.float64) - found.centroids[found.codes])
    assert found.inertia == pytest.approx(squares.sum(), rel=1e-6)
