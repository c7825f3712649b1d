"""Clusterings and their inertia, against scikit-learn in Float64."""

from __future__ import annotations

import numpy as np
import pytest
import vqswift as vq

cluster = pytest.importorskip(
    "sklearn.cluster", reason="scikit-learn is not installed: make test-peers"
)

EPSILON = 2.0**-23


def points(rng: np.random.Generator) -> np.ndarray:
    centers = 2 * rng.normal(size=(12, 5))
    noise = rng.normal(size=(800, 5))
    return (centers[rng.integers(12, size=800)] + noise).astype(np.float32)


@pytest.mark.parametrize("iterations", [1, 5, 300])
def test_clusters_equal_scikit_learns(rng: np.random.Generator, iterations: int) -> None:
    x = points(rng)
    start = x[:12].copy()
    ours = vq.kmeans(x, 12, iterations=iterations, init=start)
    peer = cluster.KMeans(
        12, init=start.astype(np.float64), n_init=1, max_iter=iterations, tol=0, algorithm="lloyd"
    ).fit(x.astype(np.float64))
    assert np.array_equal(ours.codes, peer.labels_)
    # Centroids are rounded once in each of our iterations.
    np.testing.assert_allclose(ours.centroids, peer.cluster_centers_, atol=8 * EPSILON)
    assert ours.inertia == pytest.approx(peer.inertia_, rel=8 * EPSILON)


def test_inertia_of_given_centroids_equals_scikit_learns_score(rng: np.random.Generator) -> None:
    x = points(rng)
    peer = cluster.KMeans(12, n_init=1, max_iter=2, random_state=0).fit(x.astype(np.float64))
    centroids = peer.cluster_centers_.astype(np.float32)
    given = vq.kmeans(x, 12, iterations=0, init=centroids)
    assert given.iterations == 0 and np.array_equal(given.centroids, centroids)
    assert given.inertia == pytest.approx(-peer.score(x.astype(np.float64)), rel=8 * EPSILON)
    assert np.array_equal(given.codes, peer.predict(x.astype(np.float64)))


def test_starts_are_drawn_as_scikit_learns_single_trial_draws_them(
    rng: np.random.Generator,
) -> None:
    """The inertia of 200 k-means++ starts has the same mean, within four standard errors."""
    x, seeds = points(rng), range(200)
    ours = [vq.kmeans(x, 12, iterations=0, seed=seed).inertia for seed in seeds]
    starts = [
        cluster.kmeans_plusplus(x, 12, n_local_trials=1, random_state=seed)[0] for seed in seeds
    ]
    peers = [vq.kmeans(x, 12, iterations=0, init=start).inertia for start in starts]
    error = np.sqrt((np.var(ours) + np.var(peers)) / len(seeds))
    assert abs(np.mean(ours) - np.mean(peers)) < 4 * error
    uniform = [vq.kmeans(x, 12, iterations=0, init="random", seed=seed).inertia for seed in seeds]
    assert np.mean(uniform) - np.mean(peers) > 4 * error
