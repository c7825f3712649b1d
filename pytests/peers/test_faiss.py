"""Lloyd's algorithm from given centroids, against faiss."""

from __future__ import annotations

import numpy as np
import pytest
import vqswift as vq

faiss = pytest.importorskip("faiss", reason="faiss is not installed: make test-peers")


def blobs(rng: np.random.Generator, points: int, width: int, clusters: int) -> np.ndarray:
    """Overlapping normal clusters, so that codes go on changing for many iterations."""
    centers = 2 * rng.normal(size=(clusters, width))
    noise = rng.normal(size=(points, width))
    return (centers[rng.integers(clusters, size=points)] + noise).astype(np.float32)


def peer_centroids(x: np.ndarray, start: np.ndarray, iterations: int) -> np.ndarray:
    peer = faiss.Kmeans(
        x.shape[1],
        len(start),
        niter=iterations,
        min_points_per_centroid=1,
        max_points_per_centroid=len(x),  # no subsample
    )
    peer.train(x, init_centroids=start)
    return peer.centroids


def inertia(x: np.ndarray, centroids: np.ndarray) -> float:
    """Sum of squared distances to the nearest centroid, in Float64."""
    _, squared = vq.nearest_codes(x, centroids, return_distances=True)
    return float(squared.sum(dtype=np.float64))


@pytest.mark.parametrize("iterations", [1, 5, 25])
@pytest.mark.parametrize(("points", "width", "clusters"), [(300, 2, 8), (400, 8, 10), (600, 33, 7)])
def test_centroids_equal_faiss(
    rng: np.random.Generator, points: int, width: int, clusters: int, iterations: int
) -> None:
    x = blobs(rng, points, width, clusters)
    start = x[:clusters].copy()
    ours = vq.kmeans(x, clusters, iterations=iterations, init=start)
    assert np.bincount(ours.codes, minlength=clusters).min() > 0
    np.testing.assert_allclose(ours.centroids, peer_centroids(x, start, iterations), atol=1e-5)


def test_the_objective_of_a_large_set_equals_faiss(rng: np.random.Generator) -> None:
    x = blobs(rng, 50_000, 32, 100)
    start = x[:256].copy()
    ours = vq.kmeans(x, 256, iterations=10, init=start)
    # Both may break ties of rounding and fill emptied clusters in their own way.
    assert ours.inertia == pytest.approx(inertia(x, peer_centroids(x, start, 10)), rel=1e-4)
