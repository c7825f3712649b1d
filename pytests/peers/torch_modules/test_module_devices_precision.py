"""Reduced precision of products and autocast leave the formulas for other devices exact."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: make test-peers")

import vqswift.torch as vqt  # noqa: E402
from family import D, K, vectors  # noqa: E402
from vqswift.torch import _device  # noqa: E402

search = importlib.import_module("vqswift.torch._device._nearest")


@pytest.fixture
def reduced(request: pytest.FixtureRequest) -> Iterator[None]:
    """Products of float32 by that switch: a precision, or the names of backends."""
    if request.param in ("high", "medium"):
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision(request.param)
        yield
        torch.set_float32_matmul_precision(before)
        return
    place = torch.backends if request.param == "all" else torch.backends.cuda.matmul
    if not hasattr(place, "fp32_precision"):
        pytest.skip("this PyTorch has no such switch")
    # What products have of their own would hold.
    for own in (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul):
        own.fp32_precision = "none"
    place.fp32_precision = "tf32"
    yield
    place.fp32_precision = "none"


switches = pytest.mark.parametrize("reduced", ["high", "medium", "all", "cuda"], indirect=True)


@switches
def test_codes_are_looked_up_under_every_switch(reduced: None) -> None:
    module, z = vqt.VectorQuant(D, K, seed=1), vectors(200, D)
    expected = vqt.nearest_codes(z, module.codebook)
    with _device.forced():
        assert torch.equal(module(z)[1].q, expected)
        assert torch.equal(vqt.nearest_codes(z, module.codebook.detach()), expected)


@switches
def test_products_stay_those_of_float32(reduced: None) -> None:
    points, codes = vectors(300, 64), vectors(100, 64, seed=1)
    left, right, unit = search._factors(points, codes)
    # No factor has more than 8 bits, so that no switch changes it.
    for factor in (left, right):
        assert torch.equal(factor, factor.bfloat16().float())
    product = left.double() @ right.double().T
    lengths = points.double().norm(dim=1)[:, None] * codes.double().norm(dim=1)
    error = (product - points.double() @ codes.double().T).abs()
    assert (error <= unit * lengths).all()
    assert unit <= 2.0**-22


def opened(monkeypatch: pytest.MonkeyPatch, z: torch.Tensor, codebook: torch.Tensor) -> int:
    """Rows that the products in float32 leave to float64."""
    counts = [0]
    whole = search._scaled

    def counted(points: torch.Tensor, codes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        counts.append(len(points))
        return whole(points, codes)

    monkeypatch.setattr(search, "_scaled", counted)
    found = search.nearest(z, codebook)
    assert torch.equal(found, vqt.nearest_codes(z, codebook))
    return sum(counts)


@pytest.mark.parametrize("reduced", ["high", "medium"], indirect=True)
def test_reduced_precision_leaves_few_rows_to_float64(
    reduced: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    z, codebook = vectors(1000, 64), vectors(512, 64, seed=1)
    assert opened(monkeypatch, z, codebook) < 50


def test_small_codes_leave_few_rows_to_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """Codes of which each element is within 1 / k, and vectors far longer."""
    uniform = torch.rand(2048, 64, generator=torch.Generator().manual_seed(0))
    z, codebook = 4 * vectors(1024, 64), (2 * uniform - 1) / 2048
    assert opened(monkeypatch, z, codebook) < 100


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_changes_nothing(dtype: torch.dtype) -> None:
    modules = [
        vqt.VectorQuant(D, K, code_size=3, seed=1).eval(),
        vqt.VectorQuant(D, K, simvq=True, seed=1).eval(),
        vqt.GumbelQuant(D, K, seed=1).eval(),
    ]
    z = vectors(40, D)
    for module in modules:
        with _device.forced(), torch.no_grad():
            expected, info = module(z)
            with torch.autocast("cpu", dtype):
                z_q, found = module(z)
                assert torch.equal(module.encode(z), info.q)
                assert torch.equal(module.decode(info.q), expected)
            assert torch.equal(z_q, expected)
            assert torch.equal(found.loss, info.loss)
    with _device.forced(), torch.autocast("cpu", dtype):
        book = modules[1].effective_codebooks[0]
    assert book.dtype == torch.float32
    torch.testing.assert_close(book, modules[1].effective_codebooks[0])


def test_autocast_leaves_searches_and_clusters_as_they_are() -> None:
    x, codebook = vectors(500, D), vectors(K, D, seed=1)
    with _device.forced():
        codes, clusters = vqt.nearest_codes(x, codebook), vqt.kmeans(x, 8, seed=1)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(vqt.nearest_codes(x, codebook), codes)
            assert torch.equal(vqt.kmeans(x, 8, seed=1).centroids, clusters.centroids)
