"""Nearest codes and k-means of tensors, against PyTorch in float64 and the core's own."""

from __future__ import annotations

import pytest
import vqswift as vq

torch = pytest.importorskip("torch", reason="torch is not installed: make test-peers")

import vqswift.torch as vqt  # noqa: E402
from family import D, K, vectors  # noqa: E402


def exact(x: torch.Tensor, codebook: torch.Tensor) -> torch.Tensor:
    x, codebook = x.double(), codebook.double()
    return (x[:, None] - codebook[None]).square().sum(-1)


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64]
)
def test_the_nearest_codes_are_those_of_float64(dtype: torch.dtype) -> None:
    x, codebook = (50 + 9 * vectors(n, D, seed=n) for n in (300, K))
    x, codebook = x.to(dtype), codebook.to(dtype)
    codes, distances = vqt.nearest_codes(x, codebook, return_distances=True)
    expected = exact(x, codebook)
    assert codes.dtype == torch.int64
    assert torch.equal(codes, expected.argmin(-1))
    assert torch.equal(vqt.nearest_codes(x, codebook), codes)
    wide = dtype in (torch.float64, torch.int64)
    assert distances.dtype == (torch.float64 if wide else torch.float32)
    torch.testing.assert_close(distances.double(), expected.amin(-1), rtol=1e-6, atol=1e-5)
    several, order = vqt.nearest_codes(x, codebook, return_distances=True, topk=4)
    wanted = expected.sort(dim=-1, stable=True)
    assert torch.equal(several, wanted.indices[:, :4])
    assert order.shape == (300, 4)


def test_the_search_is_compiled_and_takes_views() -> None:
    run = torch.compile(vqt.nearest_codes, fullgraph=True, dynamic=True, backend="aot_eager")
    codebook = vectors(D, K).T
    for n in (5, 9):
        x = vectors(n, D).requires_grad_()
        assert torch.equal(run(x, codebook), exact(x, codebook).argmin(-1))


def test_bad_searches_are_named() -> None:
    x, codebook = vectors(9, D), vectors(K, D)
    for topk in (0, K + 1):
        with pytest.raises(ValueError, match=f"topk = {topk}: must be at least 1 and at most"):
            vqt.nearest_codes(x, codebook, topk=topk)
    with pytest.raises(ValueError):
        vqt.nearest_codes(x, vectors(K, D + 1))
    with pytest.raises(TypeError, match="real numbers"):
        vqt.nearest_codes(x.to(torch.complex64), codebook)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_kmeans_is_the_native_one(dtype: torch.dtype) -> None:
    x = vectors(500, D).to(dtype)
    found = vqt.kmeans(x, K, iterations=5, seed=3)
    array = x.numpy() if dtype == torch.float64 else x.float().numpy()
    expected = vq.kmeans(array, K, iterations=5, seed=3)
    assert found.centroids.dtype == dtype
    assert found.codes.dtype == torch.int64
    assert torch.equal(found.centroids, torch.from_numpy(expected.centroids).to(dtype))
    assert (found.codes.numpy() == expected.codes).all()
    assert (found.inertia, found.iterations) == (expected.inertia, expected.iterations)
    again = vqt.kmeans(x, K, iterations=2, init=found.centroids.float())
    assert again.inertia <= found.inertia * (1 + 2.0**-7)


def test_kmeans_lowers_the_error_to_a_fixed_point() -> None:
    x = vectors(400, D, seed=2)
    found = vqt.kmeans(x, 8, iterations=200)
    assert torch.equal(found.codes, exact(x, found.centroids).argmin(-1))
    means = torch.stack([x[found.codes == j].double().mean(0) for j in range(8)])
    torch.testing.assert_close(found.centroids.double(), means, rtol=0, atol=1e-5)
