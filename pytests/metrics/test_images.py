"""Metrics of images and of what networks see in them, against their definitions."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from vqswift import metrics


def gaussian(window: int, sigma: float) -> np.ndarray:
    taps = np.exp(-(((np.arange(window) - window // 2) / sigma) ** 2) / 2)
    return taps / taps.sum()


def ssim_by_definition(
    a: np.ndarray, b: np.ndarray, data_range: float, window: int, sigma: float
) -> float:
    x, y = a.astype(np.float64), b.astype(np.float64)
    taps = gaussian(window, sigma)

    def mean(values: np.ndarray) -> np.ndarray:
        views = np.lib.stride_tricks.sliding_window_view(values, (window, window), axis=(1, 2))
        return np.einsum("nhwcij,i,j->nhwc", views, taps, taps)

    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    index = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    return float(index.mean())


def images(rng: np.random.Generator, *shape: int) -> tuple[np.ndarray, np.ndarray]:
    a = rng.random(shape).astype(np.float32)
    return a, np.clip(a + 0.2 * rng.normal(size=shape), 0, 1).astype(np.float32)


@pytest.mark.parametrize("shape", [(3, 32, 32, 3), (1, 11, 11, 1), (2, 13, 50, 4)])
def test_ssim_is_the_definition(rng: np.random.Generator, shape: tuple[int, ...]) -> None:
    a, b = images(rng, *shape)
    for window, sigma, scale in [(11, 1.5, 1.0), (7, 1.0, 2.0), (11, 1.5, 255.0)]:
        found = metrics.ssim(a * scale, b * scale, scale, window=window, sigma=sigma)
        assert found == pytest.approx(
            ssim_by_definition(a * scale, b * scale, scale, window, sigma), abs=1e-5
        )
    assert metrics.ssim(a, a) == 1


def test_ssim_does_not_depend_on_the_thread_count(
    rng: np.random.Generator, threads: Callable[[int], None]
) -> None:
    a, b = images(rng, 9, 40, 33, 3)
    found = []
    for count in (1, 2, 3):
        threads(count)
        found.append(metrics.ssim(a, b))
    assert len(set(found)) == 1


def test_mse_and_psnr_are_the_definition(rng: np.random.Generator) -> None:
    a, b = images(rng, 5, 17, 3)
    error = np.square(a.astype(np.float64) - b).mean()
    assert metrics.mse(a, b) == pytest.approx(error, rel=2.0**-18)
    # 2^-18 of the mse is 10 log10(e) 2^-18 dB.
    assert metrics.psnr(a, b) == pytest.approx(-10 * np.log10(error), abs=4.35 * 2.0**-18)
    assert metrics.psnr(a, b, 2.0) == pytest.approx(
        metrics.psnr(a, b) + 20 * math.log10(2), rel=1e-12
    )
    assert metrics.psnr(a, a) == math.inf


# Networks' features


def test_frechet_distance_of_diagonal_gaussians_is_closed_form() -> None:
    # Columns of a Hadamard matrix are uncorrelated and of mean 0.
    columns = np.array([[1.0]])
    for _ in range(4):
        columns = np.block([[columns, columns], [columns, -columns]])
    columns = columns[:, 1:6] * math.sqrt(15 / 16)
    first, second = np.array([1.0, 2, 0, 3, 0.5]), np.array([2.0, 2, 1, 0, 0])
    shift = np.array([0.0, 1, -1, 2, 0])
    found = metrics.frechet_distance(columns * first, columns * second + shift)
    expected = (shift**2).sum() + ((first - second) ** 2).sum()
    assert found == pytest.approx(expected, rel=1e-13)


def test_frechet_distance_agrees_with_the_matrix_square_root(rng: np.random.Generator) -> None:
    linalg = pytest.importorskip("scipy.linalg")
    a = rng.normal(size=(300, 20)) @ rng.normal(size=(20, 20))
    b = rng.normal(size=(200, 20)) @ rng.normal(size=(20, 20)) + 1
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    root = linalg.sqrtm(cov_a @ cov_b).real
    expected = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(cov_a + cov_b - 2 * root)
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("rows", [(2, 3), (10, 5000), (1024, 1025), (3000, 40)])
def test_frechet_distance_of_any_number_of_rows(
    rng: np.random.Generator, rows: tuple[int, int]
) -> None:
    # Blocks of 1024 rows, and fewer rows than features.
    a, b = (rng.normal(size=(n, 24)) @ rng.normal(size=(24, 24)) + 5 for n in rows)
    ra, rb = (np.linalg.qr((x - x.mean(0)) / math.sqrt(len(x) - 1), mode="r") for x in (a, b))
    cross = np.linalg.svd(ra @ rb.T, compute_uv=False).sum()
    expected = np.square(a.mean(0) - b.mean(0)).sum() + (ra**2).sum() + (rb**2).sum() - 2 * cross
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("rows", [5, 60])
def test_frechet_distance_of_equal_sets_is_zero(rng: np.random.Generator, rows: int) -> None:
    features = rng.normal(size=(rows, 30)) + 100
    scale = np.square(features - features.mean(0)).sum() / (rows - 1)
    assert metrics.frechet_distance(features, features[::-1]) <= 1e-12 * scale


@pytest.mark.parametrize(
    ("call", "library"),
    [(metrics.lpips, "lpips"), (metrics.fid, "torch_fidelity.feature_extractor_inceptionv3")],
    ids=["lpips", "fid"],
)
def test_what_is_not_installed_is_named(
    call: Callable[..., float], library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, library, None)
    weights = tmp_path / "weights.pth"
    weights.touch()
    x = np.zeros((2, 8, 8, 3), np.float32)
    with pytest.raises(ImportError, match=rf"^\[{call.__name__}\] .*vqswift\[metrics\]"):
        call(x, x, weights=weights)


def test_float64_is_compared_in_float64() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(20, 3)), rng.normal(size=(20, 3))
    error = np.square(a - b).mean()
    for scale in (1.0, 1e-25, 1e100):
        assert metrics.mse(a * scale, b * scale) == pytest.approx(error * scale**2, rel=1e-13)
    assert metrics.mse(np.array([1 + 1e-12]), np.array([1.0])) == pytest.approx(1e-24, rel=1e-3)
    ratio = metrics.psnr(a * 1e-30, b * 1e-30, 1e-30)
    assert ratio == pytest.approx(-10 * np.log10(error), rel=1e-12)


def test_squares_may_leave_float32() -> None:
    assert metrics.mse(np.float32([1e20]), np.float32([0])) == pytest.approx(1e40, rel=1e-6)
    assert metrics.mse(np.float32([1e-30]), np.float32([0])) == pytest.approx(1e-60, rel=1e-6)
    assert metrics.psnr(np.float32([1e20]), np.float32([0])) == pytest.approx(-400, rel=1e-6)
    assert metrics.psnr(np.ones(3), np.ones(3)) == np.inf
