"""Functions of each element of a tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ._arguments import checked

if TYPE_CHECKING:
    from ._tensor import Tensor


@checked
class Elements:
    """The functions of one element of a `Tensor`, float32; docs/numerics.md has their errors."""

    __slots__ = ()
    _function: Callable[..., Tensor]

    def exp(self) -> Tensor:
        """e to the power of each element."""
        return self._function("exp")

    def log(self) -> Tensor:
        """Natural logarithm."""
        return self._function("log")

    def log2(self) -> Tensor:
        """Logarithm to base 2."""
        return self._function("log2")

    def log10(self) -> Tensor:
        """Logarithm to base 10."""
        return self._function("log10")

    def log1p(self) -> Tensor:
        """log(1 + x), exact where x is small."""
        return self._function("log1p")

    def expm1(self) -> Tensor:
        """exp(x) - 1, exact where x is small."""
        return self._function("expm1")

    def sqrt(self) -> Tensor:
        """Square root."""
        return self._function("sqrt")

    def rsqrt(self) -> Tensor:
        """1 / sqrt(x)."""
        return self._function("rsqrt")

    def sin(self) -> Tensor:
        """Sine of radians."""
        return self._function("sin")

    def cos(self) -> Tensor:
        """Cosine of radians."""
        return self._function("cos")

    def tanh(self) -> Tensor:
        """Hyperbolic tangent."""
        return self._function("tanh")

    def erf(self) -> Tensor:
        """Error function."""
        return self._function("erf")

    def sigmoid(self) -> Tensor:
        """1 / (1 + exp(-x))."""
        return self._function("sigmoid")

    def relu(self) -> Tensor:
        """max(x, 0)."""
        return self._function("relu")

    def gelu(self, approximate: str = "none") -> Tensor:
        """x Phi(x), the exact form, or with `approximate="tanh"` the one by tanh."""
        if approximate not in ("none", "tanh"):
            raise ValueError(f"[gelu] approximate = {approximate!r}: must be none or tanh")
        return self._function("gelu" if approximate == "none" else "gelu_tanh")

    def silu(self) -> Tensor:
        """x sigmoid(x)."""
        return self._function("silu")

    def abs(self) -> Tensor:
        """Absolute value."""
        return self._function("abs")

    def sign(self) -> Tensor:
        """1, 0 or -1 of each element; its gradient is 0."""
        return self._function("sign")

    def floor(self) -> Tensor:
        """The next integer below; its gradient is 0."""
        return self._function("floor")

    def ceil(self) -> Tensor:
        """The next integer above; its gradient is 0."""
        return self._function("ceil")

    def round(self) -> Tensor:
        """The nearest integer, the even one of two; its gradient is 0."""
        return self._function("round")

    def square(self) -> Tensor:
        """x times x."""
        return self._function("square")
