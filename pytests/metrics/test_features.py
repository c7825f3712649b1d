"""Distances of sets of features, against sums over all pairs."""

from __future__ import annotations

import numpy as np
import pytest
from vqswift import metrics
from vqswift.metrics import _features


def sets(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(size=(40, 6)), rng.normal(size=(25, 6)) + 1.5


@pytest.fixture(params=[_features._PAIRS, 60])
def pairs_at_a_time(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_features, "_PAIRS", request.param)


@pytest.mark.usefixtures("pairs_at_a_time")
def test_kernel_distance_is_its_definition(rng: np.random.Generator) -> None:
    a, b = sets(rng)

    def mean(x: np.ndarray, y: np.ndarray, *, is_same: bool) -> float:
        values = [
            (float(p @ q) / 6 + 1) ** 3
            for i, p in enumerate(x)
            for j, q in enumerate(y)
            if not (is_same and i == j)
        ]
        return float(np.mean(values))

    expected = mean(a, a, is_same=True) + mean(b, b, is_same=True) - 2 * mean(a, b, is_same=False)
    assert metrics.kernel_distance(a, b) == pytest.approx(expected, rel=1e-10)
    assert metrics.kernel_distance(b, a) == pytest.approx(expected, rel=1e-10)


def test_kernel_distance_by_hand() -> None:
    # k(1, 1) = 8, k(0, y) = 1: 8 + 1 - 2.
    assert metrics.kernel_distance([[1.0], [1.0]], [[0.0], [0.0]]) == 7


def test_kernel_distance_of_like_sets_is_about_zero(rng: np.random.Generator) -> None:
    found = [metrics.kernel_distance(*rng.normal(size=(2, 200, 4))) for _ in range(20)]
    assert min(found) < 0 < max(found)
    assert abs(np.mean(found)) < 3 * np.std(found) / 20**0.5


@pytest.mark.usefixtures("pairs_at_a_time")
@pytest.mark.parametrize("neighbors", [1, 3])
def test_precision_and_recall_are_their_definition(
    rng: np.random.Generator, neighbors: int
) -> None:
    real, made = sets(rng)

    def covered(balls: np.ndarray, points: np.ndarray) -> float:
        distances = np.linalg.norm(balls[:, None] - balls[None], axis=-1)
        radii = np.sort(distances, axis=1)[:, neighbors]
        return float(np.mean([(np.linalg.norm(balls - p, axis=1) <= radii).any() for p in points]))

    found = metrics.precision_recall(real, made, neighbors=neighbors)
    assert found == (covered(real, made), covered(made, real))
    assert 0 < found.precision < 1 and 0 < found.recall < 1


def test_precision_and_recall_tell_modes_and_strays_apart(rng: np.random.Generator) -> None:
    modes = rng.normal(size=(2, 100, 3)) + np.array([0, 50])[:, None, None]
    real = modes.reshape(-1, 3)
    one_mode = metrics.precision_recall(real, rng.normal(size=(100, 3)))
    assert one_mode.precision > 0.7 and one_mode.recall < 0.6
    strays = np.concatenate([real + 1e-6, rng.normal(size=(200, 3)) + 500])
    assert metrics.precision_recall(real, strays) == pytest.approx((0.5, 1.0))


@pytest.mark.parametrize("scale", [1e150, 1e-160, 1e160, 1e200])
def test_squares_may_leave_float64(rng: np.random.Generator, scale: float) -> None:
    a, b = rng.normal(size=(40, 6)), rng.normal(size=(50, 6)) * 2 + 1
    found = metrics.frechet_distance(a * scale, b * scale)
    expected = metrics.frechet_distance(a, b)
    with np.errstate(over="ignore"):
        assert found == pytest.approx(np.float64(expected) * scale * scale, rel=1e-9, abs=5e-324)
    assert metrics.precision_recall(a * scale, b * scale) == metrics.precision_recall(a, b)


def test_a_kernel_beyond_float64_is_refused(rng: np.random.Generator) -> None:
    a, b = rng.normal(size=(40, 6)), rng.normal(size=(50, 6))
    with pytest.raises(ValueError, match="is beyond Float64; scale both sets by one factor"):
        metrics.kernel_distance(a * 1e120, b)
