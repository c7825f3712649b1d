"""How alike two batches of images are."""

from __future__ import annotations

import numpy.typing as npt

from .. import _core
from .._arguments import checked
from .._tensor import Tensor, as_tensor

Array = npt.ArrayLike | Tensor


@checked
def mse(a: Array, b: Array) -> float:
    """Mean of (a - b)^2 over all elements of two floating arrays of one shape."""
    return _core.mse(as_tensor(a)._handle, as_tensor(b)._handle)


@checked
def psnr(a: Array, b: Array, data_range: float = 1.0) -> float:
    """Peak signal to noise ratio in dB: 10 log10(data_range^2 / mse), the mse over all elements.

    `data_range`: largest value that an element may have less the smallest, 2 for images in [-1, 1].
    Infinite for equal arrays.
    """
    return _core.psnr(as_tensor(a)._handle, as_tensor(b)._handle, data_range)


@checked
def ssim(
    a: Array, b: Array, data_range: float = 1.0, *, window: int = 11, sigma: float = 1.5
) -> float:
    """Structural similarity of images [n, h, w, c], 1 for equal ones.

    Wang et al. 2004: the mean over windows, channels and images of (2 ma mb + C1)(2 cov + C2) /
    ((ma^2 + mb^2 + C1)(va + vb + C2)), C1 = (0.01 R)^2, C2 = (0.03 R)^2, R = `data_range`. Moments
    are biased, under a Gaussian of `window` x `window` taps (odd) and standard deviation `sigma`,
    over the windows that lie inside the image: scikit-image's `gaussian_weights=True,
    use_sample_covariance=False`. (torchmetrics 1.9 also counts windows over a mirrored border.)
    """
    return _core.ssim(as_tensor(a)._handle, as_tensor(b)._handle, data_range, window, sigma)
