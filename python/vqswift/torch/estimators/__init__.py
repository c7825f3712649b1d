"""Quantized weights of PyTorch models, and the way back to the straight-through estimator.

Estimators and their grids are those of `vqswift.estimators`.
"""

from ...estimators import Conversion
from ._quantize import WeightedLayer, quantize_model, quantized_layers, weighted_layers
from ._theorem import to_ste
from ._weight_quantizer import WeightQuantizer

__all__ = [
    "Conversion",
    "WeightQuantizer",
    "WeightedLayer",
    "quantize_model",
    "quantized_layers",
    "to_ste",
    "weighted_layers",
]
