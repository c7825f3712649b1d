"""How alike two batches of images are."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from .. import _core
from .._arguments import checked
from .._integers import as_floats
from .._tensor import Tensor

Array = npt.ArrayLike | Tensor


@checked
def mse(a: Array, b: Array) -> float:
    """Mean of (a - b)^2 over all elements of two arrays of one shape; of float64 in float64."""
    with np.errstate(over="ignore"):
        found = _core.mse(as_floats("mse", "a", a)._handle, as_floats("mse", "b", b)._handle)
    return found if _is_exact(found, a, b) else _mean_square(a, b)


@checked
def psnr(a: Array, b: Array, data_range: float | None = None) -> float:
    """Peak signal to noise ratio in dB: 10 log10(data_range^2 / mse), the mse over all elements.

    `data_range`: largest value that an element may have less the smallest, 2 for images in [-1, 1];
    1 unless given, and to be given for integers. Infinite for equal arrays.
    """
    span = _range("psnr", data_range, a, b)
    with np.errstate(over="ignore"):
        found = _core.psnr(
            as_floats("psnr", "a", a)._handle, as_floats("psnr", "b", b)._handle, span
        )
    if _is_exact(10 ** ((20 * math.log10(span) - found) / 10), a, b):
        return found
    error = _mean_square(a, b)
    return found if error == 0 else 20 * math.log10(span) - 10 * math.log10(error)


@checked
def ssim(
    a: Array,
    b: Array,
    data_range: float | None = None,
    *,
    window: int = 11,
    sigma: float = 1.5,
) -> float:
    """Structural similarity of images [n, h, w, c], 1 for equal ones.

    Wang et al. 2004: the mean over windows, channels and images of (2 ma mb + C1)(2 cov + C2) /
    ((ma^2 + mb^2 + C1)(va + vb + C2)), C1 = (0.01 R)^2, C2 = (0.03 R)^2, R = `data_range`, as in
    `psnr`. Moments are biased, under a Gaussian of `window` x `window` taps (odd) and standard
    deviation `sigma`, over the windows that lie inside the image: scikit-image's
    `gaussian_weights=True, use_sample_covariance=False`. (torchmetrics 1.9 also counts windows over
    a mirrored border.) Pixels of float64 are rounded to float32.
    """
    span = _range("ssim", data_range, a, b)
    first, second = as_floats("ssim", "a", a)._handle, as_floats("ssim", "b", b)._handle
    return _core.ssim(first, second, span, window, sigma)


def _is_exact(square: float, a: Array, b: Array) -> bool:
    """Whether float32 holds the arrays, and squares whose mean this is."""
    wide = any(not isinstance(x, Tensor) and np.asanyarray(x).dtype == np.float64 for x in (a, b))
    return not wide and 1e-30 < square < 1e37


def _mean_square(a: Array, b: Array) -> float:
    first, second = (
        (x.numpy() if isinstance(x, Tensor) else np.asanyarray(x)).astype(np.float64)
        for x in (a, b)
    )
    return float(np.square(first - second).mean())


def _range(operation: str, data_range: float | None, a: Array, b: Array) -> float:
    """`data_range`, or 1 for floating images; integers have a range of their own."""
    if data_range is not None:
        return data_range
    for name, image in (("a", a), ("b", b)):
        dtype = image.dtype if isinstance(image, Tensor) else np.asanyarray(image).dtype
        if dtype.kind in "iu":
            raise ValueError(
                f"[{operation}] {name} holds integers ({dtype}) and data_range is not given: give "
                "data_range=255 for 8-bit images"
            )
    return 1.0
