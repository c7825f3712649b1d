"""k-means of vectors on several ranks: the bits of one, for any shards."""

from __future__ import annotations

import numpy as np
import pytest
import vqswift as vq
from ranks import on_ranks
from vqswift import distributed

DRAWS = np.random.default_rng(0)
CENTERS = DRAWS.normal(size=(12, 4)) * 3
POINTS = (CENTERS[DRAWS.integers(0, 12, 900)] + DRAWS.normal(size=(900, 4)) * 0.3).astype(
    np.float32
)
CUTS = {2: [1], 3: [0, 500], 4: [100, 100, 899]}


@pytest.mark.parametrize("init", ["kmeans++", "random", "given"])
@pytest.mark.parametrize("size", [2, 3, 4])
def test_the_result_does_not_depend_on_the_shards(size: int, init: str) -> None:
    start = POINTS[:12] if init == "given" else init
    one = distributed.kmeans(POINTS, 12, init=start, seed=3)
    shards = np.split(POINTS, CUTS[size])
    found = on_ranks(size, lambda rank: distributed.kmeans(shards[rank], 12, init=start, seed=3))
    assert np.array_equal(np.concatenate([each.codes for each in found]), one.codes)
    for each in found:
        assert np.array_equal(each.centroids, one.centroids)
        assert (each.inertia, each.iterations) == (one.inertia, one.iterations)


def test_it_is_lloyds_algorithm() -> None:
    found = distributed.kmeans(POINTS, 12, iterations=50, init=POINTS[:12])
    expected = vq.kmeans(POINTS, 12, iterations=50, init=POINTS[:12])
    assert np.array_equal(found.codes, expected.codes)
    # The points are on a grid of 2^-42 of the largest; centroids are float32.
    np.testing.assert_allclose(found.centroids, expected.centroids, rtol=3e-7)
    assert found.inertia == pytest.approx(expected.inertia, rel=1e-6)
    assert found.iterations == expected.iterations


def test_an_empty_cluster_takes_the_farthest_row() -> None:
    start = np.array([[0.0], [0.5], [100.0]], np.float32)
    points = np.array([[0.0], [0.1], [0.6], [0.4], [7.0]], np.float32)
    shards = np.split(points, [2])
    found = on_ranks(2, lambda rank: distributed.kmeans(shards[rank], 3, 1, init=start))
    assert found[0].centroids[2] == 7.0
    assert np.concatenate([each.codes for each in found]).tolist() == [0, 0, 0, 0, 2]


def test_bad_input_is_refused() -> None:
    with pytest.raises(TypeError, match="float64"):
        distributed.kmeans(np.zeros((3, 2)), 2)
    with pytest.raises(ValueError, match="no rows on any rank"):
        distributed.kmeans(np.zeros((0, 2), np.float32), 2)
    with pytest.raises(ValueError, match="NaN or infinity"):
        distributed.kmeans(np.full((3, 2), np.nan, np.float32), 2)
    with pytest.raises(ValueError, match="k = 0"):
        distributed.kmeans(np.zeros((3, 2), np.float32), 0)

    def body(rank: int) -> None:
        with pytest.raises(ValueError, match=r"d = \[2, 3\] by rank"):
            distributed.kmeans(np.zeros((3, 2 + rank), np.float32), 2)

    on_ranks(2, body)


@pytest.mark.parametrize(
    "wrong", [np.full((1, 4), np.nan, np.float32), np.zeros((1, 4)), np.zeros(3, np.float32), [1j]]
)
def test_the_wrong_rows_of_one_rank_are_an_error_on_all(wrong: object) -> None:
    def body(rank: int) -> str:
        with pytest.raises((TypeError, ValueError)) as raised:
            distributed.kmeans(wrong if rank == 1 else POINTS, 3)
        return str(raised.value)

    others, own = on_ranks(2, body)
    assert "x of rank 1 is refused there" in others and own.startswith("[kmeans]")


@pytest.mark.parametrize("none", [[], np.empty(0), np.empty((0, 4), np.float32)])
def test_a_rank_may_have_no_rows(none: object) -> None:
    found = on_ranks(2, lambda rank: distributed.kmeans(none if rank else POINTS, 3))
    one = distributed.kmeans(POINTS, 3)
    assert all(np.array_equal(each.centroids, one.centroids) for each in found)
    assert len(found[1].codes) == 0


@pytest.mark.parametrize("scale", [1e-38, 1e30])
def test_inertia_is_that_of_any_float32(scale: float) -> None:
    points = (POINTS * np.float32(scale)).astype(np.float32)
    found = distributed.kmeans(points, 3, iterations=2, init=points[:3])
    difference = points.astype(np.float64) - found.centroids[found.codes]
    assert found.inertia == pytest.approx(np.square(difference).sum(), rel=1e-6) and found.inertia


def test_lists_are_rows() -> None:
    assert distributed.kmeans([[1.0, 2.0], [3.0, 4.0]], 2).inertia == 0
