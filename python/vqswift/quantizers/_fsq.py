"""Finite scalar quantization."""

from __future__ import annotations

from collections.abc import Sequence

from .._arguments import checked
from .._options import create
from ._base import Quantizer


@checked
class FSQ(Quantizer):
    """Finite scalar quantization: rounds each element of a vector to one of its own levels.

    Mentzer et al., "Finite Scalar Quantization: VQ-VAE Made Simple", 2023. z is
    [..., len(levels)]. With L levels, `half = (L - 1)(1 + 1e-3) / 2` and `offset` 1/2 for even L,
    else 0: `bound(z) = tanh(z + artanh(offset / half)) half - offset`, and the output is
    `round(bound(z)) / (L // 2)`, halves to even. The code counts levels, the first element
    fastest: `sum_l (round(bound(z_l)) + L_l // 2) prod_(m<l) L_m`.

    Gradients pass straight through the rounding and keep that of the bound. There are no
    parameters; `info.loss` is 0 and `info.z` is `bound(z) / (L // 2)`. Results are those of
    vector-quantize-pytorch, save for L = 2, which that refuses, and for L of 1002 and more, where
    it rounds past the ends.

    Args:
        levels: of each element, 2 to 4194304; their product fits in int32.
        dim: channel axis of z; 1 for channels-first.
    """

    _operation = "fsq"

    def __init__(self, levels: Sequence[int], *, dim: int = -1) -> None:
        if len(levels) > 30:
            raise ValueError(f"[fsq] levels = {[*levels]}: their product must fit in int32")
        super().__init__(create("fsq", levels=tuple(levels)), dim)

    @property
    def levels(self) -> tuple[int, ...]:
        """Levels of each element."""
        levels: tuple[int, ...] = self.options["levels"]
        return levels
