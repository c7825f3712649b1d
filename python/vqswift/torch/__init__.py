"""The quantizers as modules of PyTorch, over the native kernels: `pip install "vqswift[torch]"`.

State is PyTorch's: parameters and buffers. Calls are operators of `torch.library`, for
`torch.compile` and `torch.export`.
"""

from ._base import Quantizer, no_quantization
from ._info import QuantizerInfo
from ._sampled import GumbelQuant, SQVAEQuant
from ._scalar import FSQ, LFQ
from ._search import KMeansResult, kmeans, nearest_codes
from ._vector import CodebookQuantizer, GroupVectorQuant, ResidualVectorQuant, VectorQuant

__all__ = [
    "CodebookQuantizer",
    "FSQ",
    "GroupVectorQuant",
    "GumbelQuant",
    "KMeansResult",
    "LFQ",
    "Quantizer",
    "QuantizerInfo",
    "ResidualVectorQuant",
    "SQVAEQuant",
    "VectorQuant",
    "kmeans",
    "nearest_codes",
    "no_quantization",
]
