"""Gradient estimators of quantized weights, and what the theorem says of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from operator import index
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from .._arguments import checked, described, is_array
from .._arrays import as_array

_KINDS = {
    "ste": 0,
    "clipped_ste": 1,
    "dsq": 2,
    "cosine": 3,
    "tanh": 4,
    "sigmoid": 5,
    "arctan": 6,
    "approx_sign": 7,
    "reste": 8,
    "mad": 9,
    "ewgs": 10,
    "ede": 11,
}
_CELL_SAMPLES, _GRID_SAMPLES = 12, 13
_NAMES = {kind: name for name, kind in _KINDS.items()}


@checked
@dataclass(frozen=True)
class Estimator:
    """h(w), which stands in the place of Q'(w) in the backward of a quantized weight.

    Made by the functions beside it (`dsq`, `cosine`, ...) or by `get`; `on(bits, bound)` lays it on
    a grid.
    """

    name: str
    parameter: float | None = None
    cap: float | None = None
    samples: tuple[float, ...] = field(default=(), repr=False)
    cyclical: bool = True

    def on(self, bits: int, bound: float) -> GridEstimator:
        """The estimator on the grid of 2^bits values from -bound to bound.

        ValueError names bits outside 1...16, a bound or parameter out of its range, and h that is
        not positive.
        """
        return GridEstimator(self, bits, bound)

    def __str__(self) -> str:
        return self.name if self.parameter is None else f"{self.name}({self.parameter:g})"


def ste() -> Estimator:
    """The straight-through estimator: 1 (Bengio et al., 2013)."""
    return Estimator("ste")


def clipped_ste() -> Estimator:
    """1 for |w| <= bound, 0 beyond."""
    return Estimator("clipped_ste")


@checked
def dsq(sharpness: float | None = None) -> Estimator:
    """Differentiable soft quantization: a tanh in each cell (Gong et al., 2019).

    With t from the cell's boundary, `v = k t / bound` and `e = k D / (2 bound)`, h is
    `e coth(e) sech^2(v)`, 0 beyond the grid. k is 2, 5.5, 10.5 at 1, 2, 3 bits and
    1.2 (2^bits - 1) from 4 on unless given.
    """
    return Estimator("dsq", sharpness)


@checked
def cosine(amplitude: float = 0.75) -> Estimator:
    """1 + a cos(2 pi t / D), t from the cell's boundary, |a| < 1; 0 beyond the grid."""
    return Estimator("cosine", amplitude)


@checked
def tanh(sharpness: float | None = None) -> Estimator:
    """k sech^2(k w), 1 bit; k is 2 / bound unless given."""
    return Estimator("tanh", sharpness)


def sigmoid() -> Estimator:
    """sech^2(w / 2) / 4, 1 bit."""
    return Estimator("sigmoid")


def arctan() -> Estimator:
    """1 / (1 + w^2), 1 bit."""
    return Estimator("arctan")


def approx_sign() -> Estimator:
    """2 - 2 |w| for |w| < 1, 1 bit (Bi-Real net, Liu et al., 2018)."""
    return Estimator("approx_sign")


@checked
def reste(power: float = 3.0, cap: float | None = None) -> Estimator:
    """|w|^((1 - o) / o) / o, constant for |w| below `cap` (bound / 10), 1 bit (Wu et al., 2023)."""
    return Estimator("reste", power, cap)


def mad() -> Estimator:
    """Magnitude-aware differentiation: 1 on the grid, bound / |w| beyond (Sakr et al., 2022)."""
    return Estimator("mad")


@checked
def ewgs(strength: float = 0.2) -> Estimator:
    """Element-wise gradient scaling: g (1 + strength sign(g) (w - Q(w)) / (D / 2)).

    0 <= strength < 1, 0 beyond the grid. Lee et al., 2021, whose delta is strength / (D / 2).
    """
    return Estimator("ewgs", strength)


@checked
def ede(progress: float = 0.0) -> Estimator:
    """Error decay of IR-Net, k t sech^2(t w), 1 bit (Qin et al., 2020).

    t = 10^(2 progress - 1), k = max(1 / t, 1). The training loop raises
    `WeightQuantizer.progress` from 0 to 1.
    """
    return Estimator("ede", progress)


@checked
def from_samples(h: npt.ArrayLike, *, cyclical: bool = True) -> Estimator:
    """h by its values at equally spaced points, both ends included, linear between them.

    `cyclical`: the points span a cell, the boundary in its middle, and every cell is the same;
    otherwise they span the grid. h is 0 beyond the grid. alpha and M come from the exact integral
    of 1 / h. ValueError unless all values are positive and finite.
    """
    values = _numbers("from_samples", h)
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"[from_samples] shape {[*values.shape]}: a list of two or more")
    range_of = np.finfo(np.float32)
    bad = np.flatnonzero(~((values >= range_of.tiny) & (values <= range_of.max)))
    if len(bad):
        raise ValueError(
            f"[from_samples] h[{bad[0]}] = {values[bad[0]]}: an estimator must be positive and "
            "finite everywhere, in float32 too"
        )
    return Estimator("sampled", samples=tuple(values.tolist()), cyclical=cyclical)


@checked
def from_function(
    h: Callable[[np.ndarray], npt.ArrayLike], *, samples: int = 4097, cyclical: bool = True
) -> Estimator:
    """A function's estimator, by `samples` of its values.

    `cyclical`: h takes the position in a cell, t / D in -1/2...1/2 with the boundary at 0;
    otherwise the position on the grid, w / bound in -1...1. It is called once, with an array.
    """
    if samples < 2:
        raise ValueError(f"[from_function] samples = {samples}: must be at least 2")
    ends = 0.5 if cyclical else 1.0
    positions = np.linspace(-ends, ends, samples)
    values = _numbers("from_function", h(positions))
    if values.shape not in ((), positions.shape):
        raise ValueError(
            f"[from_function] h of {samples} positions has the shape {[*values.shape]}: "
            "one value for each"
        )
    return from_samples(np.broadcast_to(values, positions.shape), cyclical=cyclical)


def number(operation: str, name: str, value: Any) -> float:
    """`value` in Float64; TypeError names what it is of."""
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"[{operation}] {name} = {value!r}: a number is required") from None


def _numbers(operation: str, values: npt.ArrayLike) -> np.ndarray:
    as_array(operation, "the array", values)
    if not is_array(values):
        raise TypeError(f"[{operation}] {described(values)}: real numbers are required")
    return np.asarray(values, np.float64)


_FACTORIES: dict[str, Callable[[], Estimator]] = {
    "ste": ste,
    "clipped_ste": clipped_ste,
    "dsq": dsq,
    "cosine": cosine,
    "tanh": tanh,
    "sigmoid": sigmoid,
    "arctan": arctan,
    "approx_sign": approx_sign,
    "reste": reste,
    "mad": mad,
    "ewgs": ewgs,
    "ede": ede,
}


def names() -> list[str]:
    """The estimators that `get` knows."""
    return list(_FACTORIES)


@checked
def get(name: str | Estimator) -> Estimator:
    """The estimator of a name with its usual parameter."""
    if isinstance(name, Estimator):
        return name
    if name == "lsq":
        raise ValueError(
            "[estimator] 'lsq': its step is learned, so it has no fixed grid and no warp; "
            "quantize_model takes it, and LSQ is its layer"
        )
    if not isinstance(name, str) or name not in _FACTORIES:
        raise ValueError(f"[estimator] {name!r}: must be one of {', '.join(_FACTORIES)}")
    return _FACTORIES[name]()


def _parameters(estimator: Estimator, bits: int, bound: float) -> tuple[float, float]:
    """The parameter and cap of `estimator`, the usual ones where it leaves them open."""
    parameter, cap = estimator.parameter, estimator.cap
    if estimator.name == "dsq" and parameter is None:
        parameter = {1: 2.0, 2: 5.5, 3: 10.5}.get(bits, 1.2 * (2.0 ** min(bits, 16) - 1))
    if estimator.name == "tanh" and parameter is None:
        parameter = 2 / bound if bound else 0.0
    if estimator.name == "reste" and cap is None:
        cap = bound / 10
    return (
        number(estimator.name, "parameter", parameter or 0.0),
        number(estimator.name, "cap", cap or 0.0),
    )


@checked
class GridEstimator:
    """An estimator on the grid of 2^bits values from -bound to bound, D apart. All in Float64.

    Under SGD a model with this estimator, rate eta and start w0 trains almost as the
    straight-through model with rate `alpha` eta and start `warp(w0)`; see Schoenbauer, Moro, Lew
    and Howard, "Custom Gradient Estimators are Straight-Through Estimators in Disguise", 2024.
    """

    def __init__(self, estimator: Estimator, bits: int, bound: float) -> None:
        self.estimator = estimator
        try:
            self.bits = index(bits)
        except TypeError:
            raise TypeError(f"[{estimator.name}] bits = {bits!r}: an integer is required") from None
        self.bound = number(estimator.name, "bound", bound)
        samples = np.array(estimator.samples) if estimator.name == "sampled" else None
        kind = _CELL_SAMPLES if estimator.cyclical else _GRID_SAMPLES
        if samples is None:
            kind = _KINDS[estimator.name]
        parameters = _parameters(estimator, self.bits, self.bound)
        self._options = (kind, self.bits, self.bound, *parameters, samples)
        _core.estimator_obstacle(self._options)

    def __repr__(self) -> str:
        return f"GridEstimator({self.estimator}, bits={self.bits}, bound={self.bound:g})"

    @property
    def spacing(self) -> float:
        """D = 2 bound / (2^bits - 1)."""
        return 2 * self.bound / ((1 << self.bits) - 1)

    @property
    def boundaries(self) -> np.ndarray:
        """Where Q changes: -bound + (i + 1/2) D, float64 [2^bits - 1]."""
        return (np.arange(2**self.bits - 1) + 0.5) * self.spacing - self.bound

    def _evaluate(self, what: int, w: npt.ArrayLike) -> Any:
        values = np.ascontiguousarray(_numbers(self.estimator.name, w)).reshape(np.shape(w))
        out = np.empty(values.shape)
        _core.estimator_evaluate(self._options, what, values.reshape(-1), out.reshape(-1))
        return out if np.ndim(w) else out[()]

    def quantize(self, w: npt.ArrayLike) -> Any:
        """Q(w) = D round((clip(w) + bound) / D) - bound, float64 of w's shape."""
        return self._evaluate(0, w)

    def derivative(self, w: npt.ArrayLike) -> Any:
        """h(w), float64 of w's shape; of EWGS that of a gradient of 0."""
        return self._evaluate(1, w)

    @property
    def alpha(self) -> float:
        """The harmonic mean of h over a cell; 1 for one-bit estimators.

        RuntimeError for EWGS and error decay, which have none.
        """
        return _core.estimator_alpha(self._options)

    def warp(self, w: npt.ArrayLike) -> Any:
        """M(w), float64 of w's shape: increasing, fixes every boundary, so Q(M(w)) = Q(w).

        RuntimeError for EWGS and error decay, which have none.
        """
        return self._evaluate(2, w)

    def inverse_warp(self, u: npt.ArrayLike) -> Any:
        """The w with M(w) = u."""
        return self._evaluate(3, u)

    @property
    def obstacle(self) -> str | None:
        """Why no straight-through model trains like this one under SGD; None when one does."""
        return _core.estimator_obstacle(self._options)

    @property
    def partner(self) -> GridEstimator:
        """The straight-through estimator that does: clipped where this one is 0 beyond the grid."""
        name = _NAMES[_core.estimator_partner(self._options)]
        return Estimator(name).on(self.bits, self.bound)
