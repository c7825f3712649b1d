"""No cluster of k-means stays empty while a point lies off its centroid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vqswift as vq


def least_inertia(x: np.ndarray, centroids: np.ndarray) -> float:
    squares = ((x[:, None, :].astype(float) - centroids[None].astype(float)) ** 2).sum(-1)
    return float(squares.min(1).sum())


def check(x: np.ndarray, k: int, result: vq.KMeansResult) -> None:
    used = np.unique(result.codes).size
    distinct = np.unique(x, axis=0).shape[0]
    off = (x != result.centroids[result.codes]).any()
    assert used == k or not off, (used, k, distinct)
    assert used == min(k, distinct) or k > distinct
    # float32 distances of n points, each within a few ulp.
    expected = least_inertia(x, result.centroids)
    assert result.inertia == pytest.approx(expected, rel=1e-5, abs=1e-30)


def test_an_empty_cluster_does_not_take_the_point_of_a_single_one() -> None:
    x = np.array([[0], [0], [2], [1]], np.float32)
    result = vq.kmeans(x, 3, init=np.array([[0], [3], [0]], np.float32))
    assert result.inertia == 0
    assert sorted(result.centroids.ravel()) == [0, 1, 2]


def test_random_starts_leave_no_cluster_empty() -> None:
    for seed in range(300):
        rng = np.random.default_rng(seed)
        x = np.concatenate(
            [rng.normal(c, 0.01, (rng.integers(1, 40), 2)) for c in rng.normal(0, 5, (6, 2))]
        ).astype(np.float32)
        k = int(rng.integers(2, 20))
        check(x, k, vq.kmeans(x, k, init="random", seed=seed))


@pytest.mark.parametrize("iterations", [1, 2, 25])
@pytest.mark.parametrize("init", ["random", "kmeans++"])
def test_repeated_points_leave_no_cluster_empty(init: str, iterations: int) -> None:
    for seed in range(60):
        rng = np.random.default_rng(seed)
        distinct = rng.integers(1, 30)
        values = rng.integers(-3, 4, (distinct, 2)) * 10.0 ** rng.integers(-20, 10)
        x = values[rng.integers(0, distinct, rng.integers(1, 500))].astype(np.float32)
        k = int(rng.integers(1, 25))
        result = vq.kmeans(x, k, iterations=iterations, init=init, seed=seed)
        check(x, k, result)
        if k >= np.unique(x, axis=0).shape[0]:
            assert result.inertia == 0


@pytest.mark.parametrize("far", [1.0, 1e6, 1e20])
def test_starts_that_no_point_chooses_are_filled(far: float) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(1000, 3)).astype(np.float32)
    start = np.full((40, 3), far, np.float32)
    result = vq.kmeans(x, 40, init=start)
    check(x, 40, result)
    assert result.inertia < 1.3 * vq.kmeans(x, 40).inertia


def test_inertia_never_rises_with_the_iterations() -> None:
    rng = np.random.default_rng(2)
    x = rng.integers(0, 6, (400, 3)).astype(np.float32)
    start = np.zeros((60, 3), np.float32)
    inertia = [vq.kmeans(x, 60, iterations=i, init=start).inertia for i in range(12)]
    for before, after in zip(inertia[1:], inertia[2:], strict=False):
        assert after <= before * (1 + 1e-5)


def test_as_good_as_scikit_learn_from_an_empty_start() -> None:
    cluster = pytest.importorskip("sklearn.cluster")
    rng = np.random.default_rng(3)
    x = rng.normal(size=(2000, 4)).astype(np.float32)
    start = np.concatenate([x[:10], np.full((20, 4), 50, np.float32)])
    peer = cluster.KMeans(30, init=start, n_init=1, max_iter=100, tol=0).fit(x)
    assert vq.kmeans(x, 30, iterations=100, init=start).inertia < 1.1 * peer.inertia_


STARTS: list[Callable[[], Any]] = [
    lambda: vq.VectorQuant(4, 8, kmeans_init=True),
    lambda: vq.VectorQuant(4, 8, init="kmeans++", ema_decay=0.9),
    lambda: vq.VectorQuant(4, 8, kmeans_init=True, code_size=3),
    lambda: vq.ResidualVectorQuant(4, 8, stages=3, kmeans_init=True),
    lambda: vq.ResidualVectorQuant(4, 8, stages=3, kmeans_init=True, code_size=3),
    lambda: vq.ResidualVectorQuant(4, 8, stages=3, kmeans_init=True, shared=True),
    lambda: vq.GroupVectorQuant(4, 8, groups=2, kmeans_init=True),
    lambda: vq.GroupVectorQuant(4, 8, groups=2, init="kmeans++", shared=True),
]


@pytest.mark.parametrize("make", STARTS)
def test_a_layer_without_its_start_says_so(make: Callable[[], Any]) -> None:
    z = np.random.default_rng(0).normal(5, 1, (200, 4)).astype(np.float32)
    codes = np.zeros((3, *make()(z)[1].q.shape[1:]), np.int32)
    layer = make()
    before = {name: value.copy() for name, value in layer.state_dict().items()}
    layer.eval()
    for call in (lambda: layer(z), lambda: layer.encode(z), lambda: layer.decode(codes)):
        with pytest.raises(RuntimeError, match="waits for its start"):
            call()
    layer.train()
    for call in (lambda: layer.encode(z), lambda: layer.decode(codes)):
        with pytest.raises(RuntimeError, match="waits for its start"):
            call()
    for name, value in layer.state_dict().items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)
    layer(z)
    layer.eval()
    started = make()
    started.load_state_dict(layer.state_dict())
    started.eval()
    np.testing.assert_array_equal(started.encode(z).numpy(), layer.encode(z).numpy())


@pytest.mark.parametrize("make", STARTS)
def test_fit_is_a_start(make: Callable[[], Any]) -> None:
    z = np.random.default_rng(0).normal(5, 1, (200, 4)).astype(np.float32)
    layer = make()
    layer.fit(z)
    layer.eval()
    assert layer(z)[1].q.shape[0] == 200
