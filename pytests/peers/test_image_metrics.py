"""SSIM, LPIPS, FID and kernel distances against the libraries that define them."""

from __future__ import annotations

from pathlib import Path

import lpips
import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torch_fidelity import metric_kid
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from vqswift import metrics


def images(rng: np.random.Generator, *shape: int) -> tuple[np.ndarray, np.ndarray]:
    a = rng.random(shape).astype(np.float32)
    return a, np.clip(a + 0.2 * rng.normal(size=shape), 0, 1).astype(np.float32)


def test_ssim_agrees_with_scikit_image(rng: np.random.Generator) -> None:
    a, b = images(rng, 4, 32, 40, 3)
    each = [
        structural_similarity(
            *(np.float64(image) for image in pair),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1.0,
            channel_axis=-1,
        )
        for pair in zip(a, b, strict=True)
    ]
    assert metrics.ssim(a, b) == pytest.approx(np.mean(each), abs=1e-5)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_lpips_is_the_library_with_the_users_weights(
    rng: np.random.Generator, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    reference = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).eval()
    path = tmp_path / "alexnet.pth"
    own = reference.net.state_dict().items()
    torch.save({"features." + n.partition(".")[2]: v for n, v in own}, path)
    a, b = images(rng, 3, 64, 64, 3)
    pair = [torch.from_numpy(x.transpose(0, 3, 1, 2) * 2 - 1) for x in (a, b)]
    expected = reference(*pair).mean().item()
    assert metrics.lpips(a, b, weights=path) == pytest.approx(expected, rel=1e-4)
    assert metrics.lpips(a, b, weights=path, batch_size=2) == pytest.approx(expected, rel=1e-4)
    assert metrics.lpips(a, a, weights=path) == 0
    with pytest.raises(ValueError, match=r"\[lpips\] .*alexnet\.pth: features\."):
        metrics.lpips(a, b, weights=path, net="vgg")
    with pytest.raises(FileNotFoundError, match=r"\[lpips\] weights = '.*none'.*downloaded"):
        metrics.lpips(a, b, weights=tmp_path / "none")
    for bad, text in [((a[..., :1], b), "[3, 64, 64, 1]"), ((a, b[:2]), "[2, 64, 64, 3]")]:
        with pytest.raises(ValueError) as caught:
            metrics.lpips(*bad, weights=path)
        assert text in str(caught.value)


def test_fid_is_the_distance_of_the_librarys_features(
    rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = FeatureExtractorInceptionV3
    path = tmp_path / "inception.pth"
    torch.save({}, path)
    torch.manual_seed(0)
    with monkeypatch.context() as patch:
        patch.setattr(kind, "load_state_dict", lambda self, state: None)
        extractor = kind("random", ["2048"], feature_extractor_weights_path=str(path))
    torch.save(extractor.state_dict(), path)
    a, b = images(rng, 3, 64, 64, 3)
    features = [
        extractor(torch.from_numpy(np.rint(x * 255).astype(np.uint8).transpose(0, 3, 1, 2)))[0]
        for x in (a, b)
    ]
    expected = metrics.frechet_distance(*features)
    assert expected > 0
    assert metrics.fid(a * 2, b * 2, weights=path, data_range=2.0) == pytest.approx(
        expected, rel=1e-6
    )
    with pytest.raises(FileNotFoundError, match=r"\[fid\] weights = '.*none'.*downloaded"):
        metrics.fid(a, b, weights=tmp_path / "none")


def test_kernel_distance_is_that_of_torch_fidelity(rng: np.random.Generator) -> None:
    a, b = rng.normal(size=(50, 16)), rng.normal(size=(50, 16)) + 0.2
    expected = metric_kid.kernel_mmd(
        a,
        b,
        kid_kernel="poly",
        kid_kernel_poly_degree=3,
        kid_kernel_poly_gamma=None,
        kid_kernel_poly_coef0=1,
    )
    assert metrics.kernel_distance(a, b) == pytest.approx(expected, rel=1e-10)
