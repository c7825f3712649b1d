"""Product quantization."""

from __future__ import annotations

from typing import Unpack

from .._arguments import checked
from ._vector import CodebookQuantizer, VectorQuantOptions, created


@checked
class GroupVectorQuant(CodebookQuantizer):
    """Product quantization: channels in `groups` contiguous groups, each replaced by its own code.

    z [..., d] -> codes [..., groups]. `shared=True`: all groups use one codebook
    [k, d / groups]. The options are `VectorQuant`'s and hold for each group; `info.loss` is the
    mean over groups, so that alpha means the same as in the plain layer. A norm of channels takes
    each of the d by itself, whether codebooks are shared or not.
    """

    _operation = "group_vector_quant"

    def __init__(
        self,
        feature_size: int,
        num_codes: int,
        *,
        groups: int,
        shared: bool = False,
        dim: int = -1,
        seed: int | None = None,
        **options: Unpack[VectorQuantOptions],
    ) -> None:
        own = {"groups": groups, "shared": shared}
        super().__init__(
            created(self._operation, feature_size, num_codes, seed, options, **own),
            dim,
            options.get("inplace_optimizer"),
        )
