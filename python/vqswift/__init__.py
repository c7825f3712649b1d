"""Vector-quantized neural networks on the CPU: exact formulas, fast kernels, no index collapse."""

import os as _os

# Idle OpenMP threads spin for some 0.1 ms, the gap between two loops of a step, then sleep.
# The settings must stand before libgomp loads.
_os.environ.setdefault("OMP_WAIT_POLICY", "passive")
_os.environ.setdefault("GOMP_SPINCOUNT", "3000")

from . import data, models, nn, optim, train  # noqa: E402
from ._checkpoint import load, save  # noqa: E402
from ._quantizer import KMeansResult, QuantizerInfo, VectorQuant, kmeans, nearest_codes  # noqa: E402
from ._random import Generator, manual_seed  # noqa: E402
from ._tensor import Tensor, concatenate, maximum, minimum, no_grad, stack  # noqa: E402
from ._threads import get_threads, libraries, set_threads  # noqa: E402

__version__ = "0.1.0"

__all__ = [
    "Generator",
    "KMeansResult",
    "QuantizerInfo",
    "Tensor",
    "VectorQuant",
    "concatenate",
    "data",
    "get_threads",
    "kmeans",
    "libraries",
    "load",
    "manual_seed",
    "maximum",
    "minimum",
    "models",
    "nearest_codes",
    "nn",
    "no_grad",
    "optim",
    "save",
    "set_threads",
    "stack",
    "train",
]
