"""Quantizers with a learned clip, step or offset."""

from __future__ import annotations

from typing import Any, Literal, NoReturn

from .._arguments import checked
from .._options import create
from .._tensor import Tensor
from ..nn._native import Native


class Learned(Native):
    """A quantizer whose grid training moves: it has no warp."""

    _operation: str

    def _no_warp(self) -> NoReturn:
        raise RuntimeError(
            f"[{self._operation}] no warp and no alpha: the step or clip is learned, and the grid "
            "moves in training"
        )

    @property
    def alpha(self) -> float:
        """RuntimeError: there is none."""
        self._no_warp()

    def warp(self, w: Any) -> NoReturn:
        """RuntimeError: there is none."""
        self._no_warp()

    inverse_warp = warp


@checked
class PACT(Learned):
    """Clipped activation with a learned bound: `round(clip(x, 0, c) L / c) c / L`, L = 2^bits - 1.

    Choi et al., "PACT: Parameterized Clipping Activation for Quantized Neural Networks", 2018.
    x has any shape, finite. Rounding is halves to even; gradients are `dx = g` for 0 <= x < c,
    else 0, and `dc = sum of g where x >= c`. The parameter `clip`, a scalar, is c; an optimizer's
    weight decay holds for it, as the paper wants. A c that an update left at 0 or below starts
    anew at `clip`.

    ValueError in a forward: an element that is not finite, no element in training, a c that is not
    finite.

    Args:
        bits: 1 to 16.
        clip: c at the start, positive.
    """

    clip: Tensor

    _operation = "pact"

    def __init__(self, bits: int, *, clip: float = 6.0) -> None:
        super().__init__(create("pact", bits=bits, clip=clip))


@checked
class LSQ(Learned):
    """Learned step size quantization: `round(clip(x / s, n, p)) s`.

    Esser et al., "Learned Step Size Quantization", 2020. n = -2^(bits-1) and p = 2^(bits-1) - 1
    with a sign, 0 and 2^bits - 1 without. Gradients with v = x / s, rounding halves to even:

        n < v < p: dx = g, ds = sum g (round(v) - v)
        elsewhere: dx = 0, ds = sum g n below and sum g p above

    and ds is multiplied by `1 / sqrt(N p)`. The parameter `step`, a scalar, is s. It starts at
    `2 mean|x| / sqrt(p)` in the first training forward that has an element other than 0, which
    sets the buffer `initialized`; evaluation before that uses the start that its own input gives
    and keeps nothing. A step that is assigned or loaded is the step, and one that an update left at
    0 or below starts anew. Optimizers count the step among biases and norms.

    ValueError in a forward: an element that is not finite, no element in training, an s that is not
    finite.

    Args:
        bits: 1 to 16; at least 2 with a sign.
        values: "weights", of any shape, N all elements; or "activations" [samples, ...], N those
            of one sample.
        signed: by default weights are and activations are not.
    """

    step: Tensor
    initialized: Tensor

    _operation = "lsq"

    def __init__(
        self,
        bits: int,
        *,
        values: Literal["weights", "activations"] = "weights",
        signed: bool | None = None,
    ) -> None:
        super().__init__(create("lsq", bits=bits, values=values, signed=signed))


@checked
class LSQPlus(Learned):
    """LSQ with a learned offset, for activations: `round(clip((x - o) / s, n, p)) s + o`.

    Bhalgat et al., "LSQ+: Improving low-bit quantization through learnable offsets and better
    initialization", 2020. x is [samples, ...]; n and p are those of `LSQ`. Gradients with
    v = (x - o) / s:

        n < v < p: dx = g, ds = sum g (round(v) - v)
        elsewhere: dx = 0, ds = sum g n below and sum g p above, do = sum g

    and ds and do are multiplied by `1 / sqrt(N p)`, N the elements of one sample. The parameters
    `step` and `offset`, scalars, are s and o. They start from the range of the first training
    batch that is not constant: `s = (max - min) / (p - n)`, `o = min - n s`; the rest is as in
    `LSQ`. For an offset that was given, s covers the range from it.

    ValueError as for `LSQ`.

    Args:
        bits: 1 to 16; at least 2 with a sign.
        signed: whether n is negative.
    """

    step: Tensor
    offset: Tensor
    initialized: Tensor

    _operation = "lsq_plus"

    def __init__(self, bits: int, *, signed: bool = False) -> None:
        super().__init__(create("lsq_plus", bits=bits, signed=signed))
