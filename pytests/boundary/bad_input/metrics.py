"""Metrics of codebooks, gradients and images."""

from __future__ import annotations

from typing import Any

import numpy as np
import vqswift as vq
from vqswift import metrics

from .case import INF, NAN, Case, ints, ones


def activation(**changed: int) -> Any:
    sizes = {"batch_size": 1, "height": 4, "width": 4, **changed}
    codes = sizes.pop("num_codes", 8)
    return lambda: metrics.activation_probability(codes, **sizes)


IMAGE = ones(1, 12, 12, 3)

METRIC: dict[str, Case] = {
    "no codes": (lambda: metrics.CodeUsage(0), ValueError, ["code_usage", "num_codes = 0"]),
    "too many codes": (
        lambda: metrics.CodeUsage(1 << 31),
        ValueError,
        ["num_codes = 2147483648", "int32"],
    ),
    "codes that are no number": (lambda: metrics.CodeUsage(1.5), TypeError, ["num_codes = 1.5"]),  # type: ignore[arg-type]
    "code": (
        lambda: metrics.perplexity(ints(0, 4), 4),
        IndexError,
        ["code_usage", "4", "0..<4"],
    ),
    "code below the mask's": (
        lambda: metrics.active_codes([-2], 4),
        IndexError,
        ["code_usage", "-2", "0..<4"],
    ),
    "code dtype": (
        lambda: metrics.perplexity([0.5], 4),
        TypeError,
        ["code_usage", "float32", "int32"],
    ),
    "only masked codes": (
        lambda: metrics.perplexity([-1, -1], 4),
        ValueError,
        ["code_usage", "not masked"],
    ),
    "perplexity before use": (
        lambda: metrics.CodeUsage(4).perplexity,
        ValueError,
        ["code_usage", "at least one"],
    ),
    "probabilities before use": (
        lambda: metrics.CodeUsage(4).probabilities,
        ValueError,
        ["code_usage", "at least one"],
    ),
    "error shapes": (
        lambda: metrics.quantization_error(ones(2, 3), ones(3, 2)),
        ValueError,
        ["quantization_error", "[2, 3]", "[3, 2]", "equal"],
    ),
    "error mask": (
        lambda: metrics.quantization_error(ones(2, 3), ones(2, 3), ints(1, 1, 1)),
        ValueError,
        ["quantization_error", "[3]", "[2]", "mask"],
    ),
    "error mask dtype": (
        lambda: metrics.quantization_error(ones(1, 3), ones(1, 3), [0.5]),
        TypeError,
        ["quantization_error", "float32", "int32"],
    ),
    "error without vectors": (
        lambda: metrics.quantization_error(ones(2, 3), ones(2, 3), ints(0, 0)),
        ValueError,
        ["quantization_error", "[2, 3]", "at least one"],
    ),
    "divergence widths": (
        lambda: metrics.divergence(ones(2, 3), ones(2, 4)),
        ValueError,
        ["divergence", "[2, 3]", "[2, 4]", "equal d"],
    ),
    "divergence of nothing": (
        lambda: metrics.divergence(ones(0, 3), ones(2, 3)),
        ValueError,
        ["divergence", "[0, 3]", "one point"],
    ),
    "divergence to nothing": (
        lambda: metrics.divergence(ones(2, 3), ones(0, 3)),
        ValueError,
        ["divergence", "[0, 3]", "one point"],
    ),
    "divergence nan": (
        lambda: metrics.divergence([[NAN]], [[1.0]]),
        ValueError,
        ["divergence", "p holds nan", "finite"],
    ),
    "divergence infinity": (
        lambda: metrics.divergence([[0.0]], [[-INF]]),
        ValueError,
        ["divergence", "c holds -inf", "finite"],
    ),
    "bound rank": (
        lambda: metrics.divergence_bound(ones(3)),
        ValueError,
        ["divergence_bound", "[3]", "[..., d]"],
    ),
    "bound nan": (
        lambda: metrics.divergence_bound([[1.0, NAN]]),
        ValueError,
        ["divergence_bound", "p holds nan", "index 1"],
    ),
    "activation without codes": (
        activation(num_codes=0),
        ValueError,
        ["activation_probability", "num_codes = 0"],
    ),
    "activation without images": (
        activation(batch_size=0),
        ValueError,
        ["activation_probability", "batch_size = 0"],
    ),
    "activation pooled away": (
        activation(pool_layers=3),
        ValueError,
        ["pool_layers = 3", "4 x 4", "no pixel"],
    ),
    "activation count": (activation(at_least=-1), ValueError, ["at_least = -1", "at least 0"]),
    "activation overflow": (
        activation(batch_size=1 << 62),
        OverflowError,
        ["activation_probability", "4611686018427387904"],
    ),
    "mse shapes": (lambda: metrics.mse(ones(2), ones(3)), ValueError, ["mse", "[2]", "[3]"]),
    "mse dtype": (
        lambda: metrics.mse([2**24 + 1], [3]),
        ValueError,
        ["mse", "a of dtype", "16777217"],
    ),
    "mse of nothing": (lambda: metrics.mse(ones(0), ones(0)), ValueError, ["mse", "[0]", "one"]),
    "psnr range": (
        lambda: metrics.psnr(ones(2), ones(2), 0.0),
        ValueError,
        ["psnr", "data_range = 0.0", "positive"],
    ),
    "ssim bytes": (
        lambda: metrics.ssim(np.zeros((1, 12, 12, 3), np.uint8), IMAGE),
        ValueError,
        ["ssim", "a holds integers (uint8)", "data_range=255"],
    ),
    "ssim rank": (
        lambda: metrics.ssim(ones(12, 12, 3), ones(12, 12, 3)),
        ValueError,
        ["ssim", "[12, 12, 3]", "[n, h, w, c]"],
    ),
    "ssim size": (
        lambda: metrics.ssim(ones(1, 8, 12, 3), ones(1, 8, 12, 3)),
        ValueError,
        ["ssim", "[1, 8, 12, 3]", "window = 11"],
    ),
    "ssim window": (
        lambda: metrics.ssim(IMAGE, IMAGE, window=4),
        ValueError,
        ["ssim", "window = 4", "odd"],
    ),
    "ssim sigma": (
        lambda: metrics.ssim(IMAGE, IMAGE, sigma=NAN),
        ValueError,
        ["ssim", "sigma = nan", "positive"],
    ),
    "ssim of nothing": (
        lambda: metrics.ssim(ones(0, 12, 12, 3), ones(0, 12, 12, 3)),
        ValueError,
        ["ssim", "[0, 12, 12, 3]", "one"],
    ),
    "gap without usage": (
        lambda: metrics.gradient_gap(vq.VectorQuant(2, 4), lambda: ones(1).sum()),  # type: ignore[arg-type,return-value]
        TypeError,
        ["gradient_gap", "Tensor", "(task loss, info)"],
    ),
    "features of other widths": (
        lambda: metrics.frechet_distance(np.ones((3, 2)), np.ones((3, 3))),
        ValueError,
        ["frechet_distance", "[3, 2]", "[3, 3]", "equal d"],
    ),
    "one feature row": (
        lambda: metrics.frechet_distance(np.ones((1, 2)), np.ones((3, 2))),
        ValueError,
        ["frechet_distance", "[1, 2]", "2 rows"],
    ),
    "features nan": (
        lambda: metrics.frechet_distance(np.ones((3, 2)), np.full((3, 2), NAN)),
        ValueError,
        ["frechet_distance", "features_b", "finite"],
    ),
    "one row of a kernel's features": (
        lambda: metrics.kernel_distance(np.ones((3, 2)), np.ones((1, 2))),
        ValueError,
        ["kernel_distance", "[1, 2]", "2 rows"],
    ),
    "fewer rows than neighbors": (
        lambda: metrics.precision_recall(np.ones((3, 2)), np.ones((9, 2)), neighbors=3),
        ValueError,
        ["precision_recall", "[3, 2]", "4 rows"],
    ),
    "no neighbors": (
        lambda: metrics.precision_recall(np.ones((3, 2)), np.ones((9, 2)), neighbors=0),
        ValueError,
        ["precision_recall", "neighbors = 0", "at least 1"],
    ),
}
