"""The nearest codes in order of distance."""

from __future__ import annotations

import numpy as np
import pytest
import vqswift as vq


def ranked(x: np.ndarray, codebook: np.ndarray, topk: int) -> tuple[np.ndarray, np.ndarray]:
    """By the definition: Float64, the lower index first on equality."""
    difference = x.astype(np.float64)[:, None] - codebook.astype(np.float64)[None]
    distances = (difference**2).sum(-1)
    order = np.argsort(distances, axis=1, kind="stable")[:, :topk]
    return order, np.take_along_axis(distances, order, 1)


@pytest.mark.parametrize(
    ("n", "k", "d", "topk"), [(1, 1, 1, 1), (7, 5, 3, 5), (200, 600, 16, 8), (90, 33, 5, 1)]
)
def test_topk_equals_a_stable_sort(n: int, k: int, d: int, topk: int) -> None:
    x = vq.Generator(1).normal((n, d)).numpy()
    codebook = vq.Generator(2).normal((k, d)).numpy()
    codes, distances = vq.nearest_codes(x, codebook, return_distances=True, topk=topk)
    expected, squared = ranked(x, codebook, topk)
    assert codes.dtype == np.int32 and distances.dtype == np.float32
    assert codes.shape == distances.shape == (n, topk)
    assert np.array_equal(codes, expected)
    np.testing.assert_allclose(distances, squared, rtol=2.0**-23)
    assert np.array_equal(vq.nearest_codes(x, codebook, topk=topk), codes)
    assert np.array_equal(vq.nearest_codes(x, codebook), codes[:, 0])


def test_equal_codes_stand_in_order() -> None:
    codebook = np.array([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    assert vq.nearest_codes([[0.0, 3.0]], codebook, topk=4).tolist() == [[3, 0, 1, 2]]


@pytest.mark.parametrize("topk", [0, -1, 4])
def test_topk_beyond_the_codebook_is_refused(topk: int) -> None:
    with pytest.raises(ValueError, match=rf"\[nearest_codes\] topk = {topk}: .* the 3 codes"):
        vq.nearest_codes(np.ones((2, 2)), np.ones((3, 2)), topk=topk)


def test_topk_of_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="x holds nan at flat index 1"):
        vq.nearest_codes([[0.0, np.nan]], np.ones((3, 2)), topk=2)
