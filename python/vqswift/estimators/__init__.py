"""Quantized weights, the estimators of their gradient, and the theorem that joins them.

Schoenbauer, Moro, Lew and Howard, "Custom Gradient Estimators are Straight-Through Estimators in
Disguise", 2024.
"""

from ._categorical import gumbel_softmax, reinmax, straight_through_softmax
from ._estimator import (
    Estimator,
    GridEstimator,
    approx_sign,
    arctan,
    clipped_ste,
    cosine,
    dsq,
    ede,
    ewgs,
    from_function,
    from_samples,
    get,
    mad,
    names,
    reste,
    sigmoid,
    ste,
    tanh,
)
from ._learned import LSQ, PACT, LSQPlus
from ._quantize import WeightedLayer, quantize_model, quantized_layers, weighted_layers
from ._theorem import Conversion, to_ste
from ._twins import TwinRecord, TwinReport, TwinTrainer, TwinWeights
from ._weight_quantizer import ChannelEstimators, WeightQuantizer, he_bound

__all__ = [
    "ChannelEstimators",
    "Conversion",
    "Estimator",
    "GridEstimator",
    "LSQ",
    "LSQPlus",
    "PACT",
    "TwinRecord",
    "TwinReport",
    "TwinTrainer",
    "TwinWeights",
    "WeightQuantizer",
    "WeightedLayer",
    "approx_sign",
    "arctan",
    "clipped_ste",
    "cosine",
    "dsq",
    "ede",
    "ewgs",
    "from_function",
    "from_samples",
    "get",
    "gumbel_softmax",
    "he_bound",
    "mad",
    "names",
    "quantize_model",
    "quantized_layers",
    "reinmax",
    "reste",
    "sigmoid",
    "ste",
    "straight_through_softmax",
    "tanh",
    "to_ste",
    "weighted_layers",
]
