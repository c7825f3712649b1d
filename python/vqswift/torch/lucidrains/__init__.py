"""vector-quantize-pytorch's classes over the native kernels: a script changes its import.

Keywords, initial values, calls and what they return are those of version 1.32. An option that is
not here raises ValueError with its name; docs/torch.md lists what raises, and what differs.
"""

from ._residual import GroupedResidualVQ, ResidualVQ
from ._scalar import FSQ, LFQ
from ._sim import SimVQ
from ._states import convert_state_dict, to_theirs
from ._vector import LossBreakdown, VectorQuantize

__all__ = [
    "FSQ",
    "GroupedResidualVQ",
    "LFQ",
    "LossBreakdown",
    "ResidualVQ",
    "SimVQ",
    "VectorQuantize",
    "convert_state_dict",
    "to_theirs",
]
