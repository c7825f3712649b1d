"""What is measured of a vector-quantized network: usage, divergence, gradients, images.

Numbers are Python floats computed in Float64. Codes of -1 (masked positions) count nowhere.
"""

from ._codebook import (
    CodeUsage,
    activation_probability,
    active_codes,
    divergence,
    divergence_bound,
    perplexity,
    quantization_error,
)
from ._features import PrecisionRecall, frechet_distance, kernel_distance, precision_recall
from ._gradient_gap import GradientGap, gradient_gap
from ._images import mse, psnr, ssim
from ._perceptual import fid, lpips

__all__ = [
    "CodeUsage",
    "GradientGap",
    "PrecisionRecall",
    "activation_probability",
    "active_codes",
    "divergence",
    "divergence_bound",
    "fid",
    "frechet_distance",
    "gradient_gap",
    "kernel_distance",
    "lpips",
    "mse",
    "perplexity",
    "precision_recall",
    "psnr",
    "quantization_error",
    "ssim",
]
