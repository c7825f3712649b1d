"""Quantizers and the search for nearest codes."""

from ._base import Quantizer, QuantizerInfo, no_quantization
from ._blocks import BlockKMeansResult, KMeansProgress, kmeans_blocks
from ._fsq import FSQ
from ._group import GroupVectorQuant
from ._gumbel import GumbelQuant
from ._lfq import LFQ
from ._mini_batches import minibatch_kmeans
from ._residual import ResidualVectorQuant
from ._search import KMeansResult, kmeans, nearest_codes
from ._sqvae import SQVAEQuant
from ._vector import VectorQuant

__all__ = [
    "BlockKMeansResult",
    "FSQ",
    "GroupVectorQuant",
    "GumbelQuant",
    "KMeansProgress",
    "KMeansResult",
    "LFQ",
    "Quantizer",
    "QuantizerInfo",
    "ResidualVectorQuant",
    "SQVAEQuant",
    "VectorQuant",
    "kmeans",
    "kmeans_blocks",
    "minibatch_kmeans",
    "nearest_codes",
    "no_quantization",
]
