"""Layers without parameters that act on each element, or on the shape."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .._arguments import checked
from .._options import create
from .._tensor import Tensor, as_tensor
from ._activate import glu, hardtanh, log_softmax, prelu, relu6, snake, softmax, softmin
from ._collections import Parameter
from ._module import Module
from ._native import Native


class _Activation(Native):
    _kind: str

    def __init__(self) -> None:
        super().__init__(create(self._kind))


class ReLU(_Activation):
    """max(x, 0)."""

    _kind = "relu"


@checked
class GELU(Native):
    """x Phi(x), the exact form, or with `approximate="tanh"` the one by tanh."""

    def __init__(self, approximate: str = "none") -> None:
        if approximate not in ("none", "tanh"):
            raise ValueError(f"[gelu] approximate = {approximate!r}: must be none or tanh")
        super().__init__(create("gelu" if approximate == "none" else "gelu_tanh"))
        self.approximate = approximate

    def _arguments(self) -> dict[str, Any]:
        return {"approximate": self.approximate}

    def _options_text(self) -> str:
        return "" if self.approximate == "none" else "approximate='tanh'"


class SiLU(_Activation):
    """x sigmoid(x)."""

    _kind = "silu"


class Tanh(_Activation):
    """Hyperbolic tangent."""

    _kind = "tanh"


class Sigmoid(_Activation):
    """1 / (1 + exp(-x))."""

    _kind = "sigmoid"


class LogSigmoid(_Activation):
    """log(sigmoid(x))."""

    _kind = "log_sigmoid"


class Mish(_Activation):
    """x tanh(softplus(x))."""

    _kind = "mish"


class Hardswish(_Activation):
    """x clamp(x + 3, 0, 6) / 6."""

    _kind = "hardswish"


class Hardsigmoid(_Activation):
    """clamp(x + 3, 0, 6) / 6."""

    _kind = "hardsigmoid"


class SELU(_Activation):
    """The ELU that keeps mean 0 and variance 1 (Klambauer et al. 2017)."""

    _kind = "selu"


class Softsign(_Activation):
    """x / (1 + |x|)."""

    _kind = "softsign"


@checked
class LeakyReLU(Native):
    """x, `negative_slope` times x below 0."""

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__(create("leaky_relu", negative_slope=negative_slope))


@checked
class ELU(Native):
    """x, `alpha` (exp(x) - 1) below 0."""

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__(create("elu", alpha=alpha))


@checked
class CELU(Native):
    """x, `alpha` (exp(x / alpha) - 1) below 0."""

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__(create("celu", alpha=alpha))


@checked
class Softplus(Native):
    """log(1 + exp(`beta` x)) / beta."""

    def __init__(self, beta: float = 1.0) -> None:
        super().__init__(create("softplus", beta=beta))


@checked
class Hardtanh(Module):
    """Each element, at least `min_val` and at most `max_val`."""

    min_val: float
    max_val: float

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0) -> None:
        super().__init__()
        if not min_val < max_val:
            raise ValueError(f"[hardtanh] min_val = {min_val}: must be below max_val = {max_val}")
        self.min_val, self.max_val = min_val, max_val

    def forward(self, x: npt.ArrayLike | Tensor) -> Tensor:
        """The layer's output."""
        return hardtanh(x, self.min_val, self.max_val)

    def _options_text(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}"


@checked
class ReLU6(Module):
    """min(max(x, 0), 6)."""

    def forward(self, x: npt.ArrayLike | Tensor) -> Tensor:
        """The layer's output."""
        return relu6(x)


@checked
class PReLU(Module):
    """x, `weight` times x below 0; the learned `weight` [num_parameters], 1 or one a channel, the
    last axis."""

    weight: Parameter

    def __init__(self, num_parameters: int = 1, init: float = 0.25) -> None:
        super().__init__()
        if num_parameters < 1:
            raise ValueError(f"[prelu] num_parameters = {num_parameters}: must be at least 1")
        self.weight = Parameter(np.full(num_parameters, init, np.float32))

    def forward(self, x: npt.ArrayLike | Tensor) -> Tensor:
        """The layer's output."""
        return prelu(x, self.weight)

    def _options_text(self) -> str:
        return f"num_parameters={self.weight.size}"


@checked
class Softmax(Module):
    """exp(x) / sum exp(x) along `dim`."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: npt.ArrayLike | Tensor) -> Tensor:
        """The layer's output."""
        return softmax(x, self.dim)

    def _options_text(self) -> str:
        return f"dim={self.dim}"


@checked
class Softmin(Module):
    """exp(-x) / sum exp(-x) along `dim`."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: npt.ArrayLike | Tensor) -> Tensor:
        """The layer's output."""
        return softmin(x, self.dim)

    def _options_text(self) -> str:
        return f"dim={self.dim}"


@checked
class LogSoftmax(Module):
    """Logarithm of softmax along `dim`."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: npt.ArrayLike | Tensor) -> Tensor:
        """The layer's output."""
        return log_softmax(x, self.dim)

    def _options_text(self) -> str:
        return f"dim={self.dim}"


@checked
class GLU(Module):
    """a sigmoid(b), a and b the halves of x along `dim` (Dauphin et al. 2017)."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: npt.ArrayLike | Tensor) -> Tensor:
        """The layer's output."""
        return glu(x, self.dim)

    def _options_text(self) -> str:
        return f"dim={self.dim}"


@checked
class Snake(Module):
    """x + sin(alpha x)^2 / alpha, the learned `alpha` [features] one a channel, the last axis
    (Ziyin et al. 2020)."""

    alpha: Parameter

    def __init__(self, features: int, alpha: float = 1.0) -> None:
        super().__init__()
        if features < 1:
            raise ValueError(f"[snake] features = {features}: must be at least 1")
        self.alpha = Parameter(np.full(features, alpha, np.float32))

    def forward(self, x: npt.ArrayLike | Tensor) -> Tensor:
        """The layer's output."""
        return snake(x, self.alpha)

    def _options_text(self) -> str:
        return f"features={self.alpha.size}"


class Identity(_Activation):
    """x."""

    _kind = "identity"

    def _input(self, x: Any) -> Tensor:
        return as_tensor(x)


class Flatten(_Activation):
    """[n, ...] -> [n, product of the rest]."""

    _kind = "flatten"

    def _input(self, x: Any) -> Tensor:
        return as_tensor(x)
