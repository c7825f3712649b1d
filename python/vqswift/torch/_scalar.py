"""Quantizers without a codebook."""

from __future__ import annotations

from collections.abc import Sequence

from .. import quantizers as native
from ._base import Quantizer


class FSQ(Quantizer):
    """Finite scalar quantization: rounds each element of a vector to one of its own levels.

    `vqswift.FSQ` in PyTorch: z [..., len(levels)]; there are no parameters, and `info.loss` is 0.

    Args:
        levels: of each element, 2 to 4194304; their product fits in int32.
        dim: channel axis of z; 1 for channels-first.
    """

    def __init__(self, levels: Sequence[int], *, dim: int = -1) -> None:
        super().__init__(native.FSQ(levels, dim=dim))

    @property
    def levels(self) -> tuple[int, ...]:
        """Levels of each element."""
        return tuple(self._options["levels"])


class LFQ(Quantizer):
    """Lookup-free quantization: each element of a vector becomes its sign, one bit of the code.

    `vqswift.LFQ` in PyTorch, with its options; there are no parameters.

    Args:
        bits: the size of a vector; 2^bits codes.
        commitment_weight: of `mse(z, sg z_q)`.
        entropy_weight: of the mean entropy less `diversity` times the entropy of the mean.
        diversity: weight of the entropy of the mean.
        temperature: of the softmax over all codes.
        dim: channel axis of z; 1 for channels-first.
    """

    def __init__(
        self,
        bits: int,
        *,
        commitment_weight: float = 0.0,
        entropy_weight: float = 0.1,
        diversity: float = 1.0,
        temperature: float = 0.01,
        dim: int = -1,
    ) -> None:
        super().__init__(
            native.LFQ(
                bits,
                commitment_weight=commitment_weight,
                entropy_weight=entropy_weight,
                diversity=diversity,
                temperature=temperature,
                dim=dim,
            )
        )
