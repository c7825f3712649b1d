"""k-means of points that are not in memory at once, and by small batches."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import vqswift as vq

RNG = np.random.default_rng(0)
X = (RNG.normal(size=(60, 8))[RNG.integers(0, 60, 9000)] * 3 + RNG.normal(size=(9000, 8))).astype(
    np.float32
)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_blocks_give_the_centroids_of_the_whole(dtype: type) -> None:
    x = X.astype(dtype)
    blocks = [x[:1], x[1:5000], x[5000:5000], x[5000:]]
    whole = vq.kmeans(x, 40, iterations=60, init=x[:40])
    found = vq.kmeans_blocks(blocks, 40, iterations=60, init=x[:40])
    assert found.centroids.dtype == dtype
    # Sums of other parts, rounded to the type once.
    np.testing.assert_allclose(found.centroids, whole.centroids, rtol=1e-6, atol=1e-6)
    assert found.inertia == pytest.approx(whole.inertia, rel=1e-6)
    assert (found.iterations, found.points) == (whole.iterations, len(x))
    assert not found.is_stopped


def test_a_drawn_start_is_as_good() -> None:
    for init in ("kmeans++", "random"):
        found = vq.kmeans_blocks([X[:4000], X[4000:]], 40, init=init, seed=1)
        assert found.inertia < 1.3 * vq.kmeans(X, 40, init=init).inertia
        again = vq.kmeans_blocks([X[:100], X[100:]], 40, init=init, seed=1)
        np.testing.assert_allclose(again.centroids, found.centroids, rtol=1e-6, atol=1e-6)


def test_fewer_rows_drawn_than_there_are() -> None:
    found = vq.kmeans_blocks([X[i : i + 700] for i in range(0, 9000, 700)], 3, seed=2)
    assert found.inertia < 1.2 * vq.kmeans(X, 3).inertia


def test_a_callback_sees_each_pass_and_can_stop() -> None:
    seen: list[vq.KMeansProgress] = []

    def look(progress: vq.KMeansProgress) -> bool:
        seen.append(progress)
        return progress.iteration == 3

    found = vq.kmeans_blocks([X], 40, init=X[:40], on_iteration=look)
    assert [progress.iteration for progress in seen] == [0, 1, 2, 3]
    assert found.is_stopped and found.iterations == 3
    assert found.inertia == seen[-1].inertia == min(p.inertia for p in seen)
    np.testing.assert_array_equal(found.centroids, seen[-1].centroids)
    shorter = vq.kmeans_blocks([X], 40, iterations=3, init=X[:40])
    np.testing.assert_array_equal(found.centroids, shorter.centroids)


def test_what_a_callback_raises_passes_through() -> None:
    def fail(progress: vq.KMeansProgress) -> None:
        raise KeyError(progress.iteration)

    with pytest.raises(KeyError):
        vq.kmeans_blocks([X], 4, on_iteration=fail)


def test_no_cluster_is_left_empty() -> None:
    x = np.repeat(np.arange(6, dtype=np.float32)[:, None], 50, 0)
    found = vq.kmeans_blocks([x[:70], x[70:]], 6, init=np.full((6, 1), 99, np.float32))
    assert found.inertia == 0
    assert sorted(found.centroids[:, 0]) == [0, 1, 2, 3, 4, 5]
    more = vq.kmeans_blocks([x], 9, init=np.zeros((9, 1), np.float32))
    assert more.inertia == 0


def test_a_memory_map_is_a_block(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    found = vq.kmeans_blocks([mapped], 40, init=X[:40])
    np.testing.assert_array_equal(found.centroids, vq.kmeans_blocks([X], 40, init=X[:40]).centroids)
    np.testing.assert_array_equal(
        vq.kmeans(mapped, 40, init=X[:40]).centroids, vq.kmeans(X, 40, init=X[:40]).centroids
    )
    np.testing.assert_array_equal(
        vq.minibatch_kmeans(mapped, 40).centroids, vq.minibatch_kmeans(X, 40).centroids
    )


BOUNDED = """
import resource
import numpy as np
import vqswift as vq

class Blocks:
    def __iter__(self):
        for seed in range(16):
            yield np.random.default_rng(seed).normal(size=(1 << 15, 64)).astype(np.float32)

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

first = next(iter(Blocks()))
vq.kmeans_blocks([first], 16, iterations=1)
before = peak()
found = vq.kmeans_blocks(Blocks(), 16, iterations=2)
assert found.points == 16 << 15
print(peak() - before)
"""


def test_memory_is_bounded() -> None:
    result = subprocess.run([sys.executable, "-c", BOUNDED], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    # All points would take 128 MB.
    assert int(result.stdout) < 48_000_000


class Shrinking:
    """Rows that get fewer with each pass."""

    passes = 0

    def __iter__(self) -> Iterator[np.ndarray]:
        self.passes += 1
        yield X[: 1000 // self.passes]


@pytest.mark.parametrize(
    ("blocks", "more", "text"),
    [
        ([], {}, "blocks hold no rows"),
        ([X[:0]], {"init": X[:4]}, "blocks hold no rows"),
        ([X, X[:, :3]], {}, r"block 1 of shape \[9000, 3\]: \[n, 8\] is required"),
        ([X[0]], {}, r"block 0 of shape \[8\]: \[n, d\] is required"),
        ([X, X[:, :3]], {"init": X[:4]}, r"block 1 of shape \[9000, 3\]: \[n, 8\] is required"),
        ([X], {"init": "best"}, "init = 'best'"),
        ([X], {"init": X[:3]}, r"init of shape \[3, 8\]: centroids \[4, d\] are required"),
        ([X], {"iterations": -1}, "iterations = -1"),
        ([X * np.float32(np.nan)], {}, "nan"),
        (Shrinking(), {"init": X[:4]}, "held 1000 rows and then 500"),
    ],
)
def test_what_blocks_cannot_be(blocks: object, more: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text) as caught:
        vq.kmeans_blocks(blocks, 4, **more)  # type: ignore[arg-type]
    assert str(caught.value).startswith("[kmeans")


def test_an_iterator_is_refused() -> None:
    with pytest.raises(TypeError, match=r"\[kmeans_blocks\] blocks is a generator: what can be"):
        vq.kmeans_blocks((X for _ in range(2)), 4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_mini_batches_come_near_lloyds_inertia(dtype: type) -> None:
    x = X.astype(dtype)
    start = vq.kmeans(x, 40, iterations=0, seed=1).centroids
    found = vq.minibatch_kmeans(x, 40, batch_size=512, epochs=5, init=start)
    assert found.centroids.dtype == dtype
    assert found.iterations == 5 * 18
    # Local optima of one start are a few percent apart.
    assert found.inertia < 1.05 * vq.kmeans(x, 40, init=start).inertia
    np.testing.assert_array_equal(found.codes, vq.nearest_codes(x, found.centroids))
    again = vq.minibatch_kmeans(x, 40, batch_size=512, epochs=5, init=start)
    np.testing.assert_array_equal(again.centroids, found.centroids)


def test_a_mini_batch_of_all_rows_is_an_update_of_lloyds() -> None:
    once = vq.minibatch_kmeans(X, 40, batch_size=len(X), epochs=1, init=X[:40])
    np.testing.assert_allclose(
        once.centroids,
        vq.kmeans(X, 40, iterations=1, init=X[:40]).centroids,
        rtol=1e-5,
        atol=1e-5,
    )


@pytest.mark.parametrize(
    ("x", "more", "text"),
    [
        (X, {"batch_size": 0}, "batch_size = 0: must be at least 1"),
        (X, {"epochs": 0}, "epochs = 0: must be at least 1"),
        (X[0], {}, r"x of shape \[8\]"),
        (X[:0], {}, r"x of shape \[0, 8\]"),
        (X, {"init": "best"}, "init = 'best'"),
        (X, {"init": X[:3]}, r"shapes \[3, 8\] and \[4, 8\]"),
        (X * np.float32(np.inf), {}, "inf|nan"),
    ],
)
def test_what_mini_batches_cannot_be(x: np.ndarray, more: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        vq.minibatch_kmeans(x, 4, **more)  # type: ignore[arg-type]


def test_float64_blocks_keep_their_digits_beside_float32_centroids() -> None:
    x = 1.7e9 + np.random.default_rng(1).normal(size=(200, 1)) * 10
    start = np.array([[1.7e9 - 10], [1.7e9 + 10]], np.float32)
    whole = vq.kmeans(x, 2, init=start, iterations=50)
    found = vq.kmeans_blocks([x[:70], x[70:]], 2, init=start, iterations=50)
    assert found.centroids.dtype == np.float64 and found.iterations == whole.iterations
    np.testing.assert_allclose(found.centroids, whole.centroids, rtol=1e-15)
    assert found.inertia == pytest.approx(whole.inertia, rel=1e-12)


def test_a_wider_block_widens_the_centroids() -> None:
    x = np.random.default_rng(2).normal(size=(50, 5))
    blocks = [x.astype(np.float32), x + 1e9]
    rows = np.concatenate(blocks)
    start = rows[[0, 50, 51]].astype(np.float32)
    whole = vq.kmeans(rows, 3, init=start)
    found = vq.kmeans_blocks(blocks, 3, init=start)
    assert found.inertia == pytest.approx(whole.inertia, rel=1e-8)


@pytest.mark.parametrize("scale", [1e30, 1e-30, 1e-42])
def test_inertia_is_that_of_any_float32(scale: float) -> None:
    x = (np.random.default_rng(3).normal(size=(300, 5)) * scale).astype(np.float32)
    found = vq.kmeans_blocks([x[:100], x[100:]], 4, init=x[:4], iterations=3)
    nearest = vq.nearest_codes(x, found.centroids)
    difference = x.astype(np.float64) - found.centroids[nearest]
    assert found.inertia == pytest.approx(np.square(difference).sum(), rel=1e-6)
    assert 0 < found.inertia < np.inf


def test_a_callback_may_return_what_numpy_says() -> None:
    found = vq.kmeans_blocks([X], 3, on_iteration=lambda step: np.all(step.inertia > 0))
    assert found.is_stopped and found.iterations == 0
    with pytest.raises(TypeError, match="what on_iteration returns = 1: True, False or None"):
        vq.kmeans_blocks([X], 3, on_iteration=lambda step: 1)


@pytest.mark.parametrize("init", ["kmeans++", "given"])
def test_the_block_and_row_of_a_nan_are_named(init: str) -> None:
    wrong = X[:100].copy()
    wrong[21, 3] = np.nan
    with pytest.raises(ValueError, match=r"\[kmeans_blocks\] block 1 holds nan in row 21:"):
        vq.kmeans_blocks([X[:50], wrong], 3, init=X[:3] if init == "given" else init)
