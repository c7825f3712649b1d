"""Gradient estimators of quantized weights, and what the theorem says of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from operator import index
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from .. import _core
from .._arguments import checked, described, is_array
from .._arrays import as_array
from .._options import options_of

_Factory = TypeVar("_Factory", bound="Callable[..., Estimator]")
_FACTORIES: dict[str, Callable[[], Estimator]] = {}
_SAMPLED = "sampled"


def _catalogued(factory: _Factory) -> _Factory:
    """Let `get` find what the function makes by its name."""
    _FACTORIES[factory.__name__] = factory
    return factory


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

    def _options(self) -> dict[str, object]:
        """The options that are given, as the core names them; the grid decides the others."""
        if self.name == _SAMPLED:
            return {"samples": self.samples, "cyclical": self.cyclical}
        known = options_of("estimator", self.name)
        given = zip(known, (self.parameter, self.cap), strict=False)
        return {k: number(self.name, k, value) for k, value in given if value is not None}

    def __str__(self) -> str:
        return self.name if self.parameter is None else f"{self.name}({self.parameter:g})"


@_catalogued
def ste() -> Estimator:
    """The straight-through estimator: 1 (Bengio et al., 2013)."""
    return Estimator("ste")


@_catalogued
def clipped_ste() -> Estimator:
    """1 for |w| <= bound, 0 beyond."""
    return Estimator("clipped_ste")


@_catalogued
@checked
def dsq(sharpness: float | None = None) -> Estimator:
    """Differentiable soft quantization: a tanh in each cell (Gong et al., 2019).

    With t from the cell's boundary, `v = k t / bound` and `e = k D / (2 bound)`, h is
    `e coth(e) sech^2(v)`, 0 beyond the grid. k is 2, 5.5, 10.5 at 1, 2, 3 bits and
    1.2 (2^bits - 1) from 4 on unless given.
    """
    return Estimator("dsq", sharpness)


@_catalogued
@checked
def cosine(amplitude: float = 0.75) -> Estimator:
    """1 + a cos(2 pi t / D), t from the cell's boundary, |a| < 1; 0 beyond the grid."""
    return Estimator("cosine", amplitude)


@_catalogued
@checked
def tanh(sharpness: float | None = None) -> Estimator:
    """k sech^2(k w), 1 bit; k is 2 / bound unless given."""
    return Estimator("tanh", sharpness)


@_catalogued
def sigmoid() -> Estimator:
    """sech^2(w / 2) / 4, 1 bit."""
    return Estimator("sigmoid")


@_catalogued
def arctan() -> Estimator:
    """1 / (1 + w^2), 1 bit."""
    return Estimator("arctan")


@_catalogued
def approx_sign() -> Estimator:
    """2 - 2 |w| for |w| < 1, 1 bit (Bi-Real net, Liu et al., 2018)."""
    return Estimator("approx_sign")


@_catalogued
@checked
def reste(power: float = 3.0, cap: float | None = None) -> Estimator:
    """|w|^((1 - o) / o) / o, constant for |w| below `cap` (bound / 10), 1 bit (Wu et al., 2023)."""
    return Estimator("reste", power, cap)


@_catalogued
def mad() -> Estimator:
    """Magnitude-aware differentiation: 1 on the grid, bound / |w| beyond (Sakr et al., 2022)."""
    return Estimator("mad")


@_catalogued
@checked
def ewgs(strength: float = 0.2) -> Estimator:
    """Element-wise gradient scaling: g (1 + strength sign(g) (w - Q(w)) / (D / 2)).

    0 <= strength < 1, 0 beyond the grid. Lee et al., 2021, whose delta is strength / (D / 2).
    """
    return Estimator("ewgs", strength)


@_catalogued
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
    return Estimator(_SAMPLED, samples=tuple(values.tolist()), cyclical=cyclical)


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


def names() -> list[str]:
    """The estimators that `get` knows."""
    return [name for name, _ in _core.kinds("estimator") if name in _FACTORIES]


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


def grid_of(estimator: Estimator, bits: int, bound: float) -> tuple[int, float]:
    """Bits and bound as numbers; TypeError for what is none."""
    try:
        count = index(bits)
    except TypeError:
        raise TypeError(f"[{estimator.name}] bits = {bits!r}: an integer is required") from None
    return count, number(estimator.name, "bound", bound)


@checked
class GridEstimator:
    """An estimator on the grid of 2^bits values from -bound to bound, D apart. All in Float64.

    Under SGD a model with this estimator, rate eta and start w0 trains almost as the
    straight-through model with rate `alpha` eta and start `warp(w0)`; see Schoenbauer, Moro, Lew
    and Howard, "Custom Gradient Estimators are Straight-Through Estimators in Disguise", 2024.
    """

    bits: int
    bound: float

    def __init__(self, estimator: Estimator, bits: int, bound: float) -> None:
        self.estimator = estimator
        self.bits, self.bound = grid_of(estimator, bits, bound)
        self._handle = _core.estimator_create(
            estimator.name, estimator._options(), self.bits, self.bound
        )

    def __reduce__(self) -> tuple[object, ...]:
        return GridEstimator, (self.estimator, self.bits, self.bound)

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
        _core.estimator_evaluate(self._handle, what, values.reshape(-1), out.reshape(-1))
        return out if np.ndim(w) else out[()]

    def quantize(self, w: npt.ArrayLike) -> Any:
        """Q(w) = D round((clip(w) + bound) / D) - bound, float64 of w's shape."""
        return self._evaluate(0, w)

    def derivative(self, w: npt.ArrayLike) -> Any:
        """h(w), float64 of w's shape; of EWGS that of a gradient of 0."""
        return self._evaluate(1, w)

    @property
    def has_warp(self) -> bool:
        """Whether there are `alpha` and `warp`: not for EWGS and error decay."""
        return _core.estimator_has_warp(self._handle)

    @property
    def alpha(self) -> float:
        """The harmonic mean of h over a cell; 1 for one-bit estimators.

        RuntimeError for EWGS and error decay, which have none.
        """
        return _core.estimator_alpha(self._handle)

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
        return _core.estimator_obstacle(self._handle)

    @property
    def partner(self) -> GridEstimator:
        """The straight-through estimator that does: clipped where this one is 0 beyond the grid."""
        return Estimator(_core.estimator_partner(self._handle)).on(self.bits, self.bound)
