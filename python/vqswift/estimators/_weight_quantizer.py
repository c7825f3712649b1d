"""Quantizers of weights to a uniform grid."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .. import _core
from .._arguments import checked, refuse
from .._integers import as_floats
from .._tensor import Tensor
from ..nn._native import Native
from ._estimator import Estimator, GridEstimator, ede, get, grid_of, number

Range = Literal["auto", "he", "max", "mse"]


@checked
def he_bound(shape: Iterable[int]) -> float:
    """sqrt(6 / fan_in) of a weight [out, in, ...]: the bound of He's uniform initial weights."""
    sizes = tuple(shape)
    if len(sizes) < 2 or min(sizes) < 1:
        raise ValueError(f"[he_bound] shape {[*sizes]}: [out, in, ...] is required")
    return float(np.sqrt(6 / np.prod(sizes[1:])))


@checked
class ChannelEstimators:
    """An estimator on a grid for each slice along the first axis: functions of w [slices, ...]."""

    estimator: Estimator
    bits: int
    bound: np.ndarray

    def __init__(self, slices: list[GridEstimator]) -> None:
        if not slices:
            raise ValueError("[channel_estimators] slices = []: one or more are required")
        for place, grid in enumerate(slices):
            if not isinstance(grid, GridEstimator):
                refuse("channel_estimators", f"slices[{place}]", grid, "a GridEstimator")
        self.slices = slices
        self.estimator, self.bits = slices[0].estimator, slices[0].bits
        self.bound = np.array([grid.bound for grid in slices])

    def __repr__(self) -> str:
        return f"ChannelEstimators({self.estimator}, bits={self.bits}, slices={len(self.slices)})"

    def _each(self, function: Callable[[GridEstimator, Any], Any], w: npt.ArrayLike) -> np.ndarray:
        values = np.asarray(w, np.float64)
        if values.shape[:1] != (len(self.slices),):
            raise ValueError(
                f"[{self.estimator.name}] shape {[*values.shape]}: the first axis must have "
                f"{len(self.slices)} slices"
            )
        return np.stack([function(g, v) for g, v in zip(self.slices, values, strict=True)])

    def quantize(self, w: npt.ArrayLike) -> np.ndarray:
        """Q(w), each slice on its grid."""
        return self._each(GridEstimator.quantize, w)

    def derivative(self, w: npt.ArrayLike) -> np.ndarray:
        """h(w)."""
        return self._each(GridEstimator.derivative, w)

    def warp(self, w: npt.ArrayLike) -> np.ndarray:
        """M(w)."""
        return self._each(GridEstimator.warp, w)

    def inverse_warp(self, u: npt.ArrayLike) -> np.ndarray:
        """The w with M(w) = u."""
        return self._each(GridEstimator.inverse_warp, u)

    @property
    def has_warp(self) -> bool:
        """Whether there are `alpha` and `warp`."""
        return self.slices[0].has_warp

    @property
    def alpha(self) -> float:
        """The harmonic mean of h over a cell, which does not depend on the bound."""
        return self.slices[0].alpha

    @property
    def obstacle(self) -> str | None:
        """Why no straight-through model trains like this one; None when one does."""
        return next((grid.obstacle for grid in self.slices if grid.obstacle), None)

    @property
    def partner(self) -> ChannelEstimators:
        """The straight-through estimators that do."""
        return ChannelEstimators([grid.partner for grid in self.slices])


@checked
class WeightQuantizer(Native):
    """w -> Q(w), of any shape, with the gradient `gradient_scale` h(w) g.

    Args:
        bits: 1 to 16.
        bound: the grid's outermost value, positive.
        estimator: an `Estimator` or its name.
        gradient_scale: a constant factor of the gradient; alpha of the theorem goes here.
    """

    def __init__(
        self,
        bits: int,
        bound: float,
        estimator: str | Estimator = "ste",
        *,
        gradient_scale: float = 1.0,
    ) -> None:
        self._make(get(estimator), bits, bound, gradient_scale)

    def _make(
        self,
        estimator: Estimator,
        bits: int,
        bound: float,
        scale: float,
        range: Range | None = None,
        per_channel: bool = False,
        weight: Tensor | None = None,
        layer: _core.ModuleHandle | None = None,
    ) -> None:
        """In one call of the core, which gives it to the layer too."""
        bits, bound = grid_of(estimator, bits, bound)
        scale = number("weight_quantizer", "gradient_scale", scale)
        given = None if weight is None else weight._handle
        super().__init__(
            _core.weight_quantizer_create(
                *(estimator.name, estimator._options(), bits, bound, scale),
                *(range, per_channel, given, layer),
            )
        )
        self._estimator, self._bits, self._bound = estimator, bits, bound
        self._scale = scale
        self._range: Range | None = range

    @classmethod
    def of(
        cls,
        weight: Tensor,
        bits: int,
        estimator: str | Estimator = "ste",
        *,
        range: Range = "max",
        per_channel: bool = False,
        gradient_scale: float = 1.0,
    ) -> WeightQuantizer:
        """A quantizer whose bound, or a bound for each slice along the first axis, follows from
        `weight`: `quantize_model` says how. It is in the state as "bound"."""
        quantizer = cls.__new__(cls)
        bound = he_bound(weight.shape)
        quantizer._make(get(estimator), bits, bound, gradient_scale, range, per_channel, weight)
        return quantizer

    def _copied(self) -> dict[str, Any]:
        state = self.state_dict()
        return {
            "made": (self._estimator, self._bits, self._bound, self._scale, self._range),
            "state": state,
            "slices": self.bounds.shape,
            "training": self.training,
        }

    def __setstate__(self, copied: dict[str, Any]) -> None:
        weight = Tensor(np.zeros(copied["slices"] or (1,), np.float32))
        estimator, bits, bound, scale, range = copied["made"]
        self._make(estimator, bits, bound, scale, range, bool(copied["slices"]), weight)
        self.load_state_dict(copied["state"], strict=False)
        self.train(copied["training"])

    @property
    def gradient_scale(self) -> float:
        """The constant factor of the gradient."""
        return self._scale

    @property
    def range(self) -> Range | None:
        """Where the bounds come from; None for a bound that was given."""
        return self._range

    @property
    def bounds(self) -> np.ndarray:
        """The grid's outermost value, float64 [] or [slices]."""
        start = np.array(self._bound)
        if self.range is None:
            return start
        given = Tensor._wrap(dict(_core.module_optional_buffers(self._handle))["bound"]).numpy()
        # He's bound as it was given, not rounded to float32.
        return np.where(given == start.astype(np.float32), start, given)

    @property
    def estimator(self) -> GridEstimator | ChannelEstimators:
        """The estimator as it is now; of "ede" at the progress that was set."""
        bounds = self.bounds
        if np.ndim(bounds):
            return ChannelEstimators([self._on(float(bound)) for bound in bounds])
        return self._on(float(bounds))

    def _on(self, bound: float) -> GridEstimator:
        estimator = self._estimator
        if estimator.name == "ede":
            estimator = ede(self._progress().item())
        return estimator.on(self._bits, bound)

    def straight_through(self, alpha: float, weight: Tensor) -> WeightQuantizer:
        """The same grids, of `weight`, with the straight-through estimator that trains alike, its
        gradient times `alpha`."""
        bits, bounds, scale = self._bits, self.bounds, alpha * self.gradient_scale
        partner = self._estimator.on(bits, self._bound).partner.estimator
        if self.range is None:
            return WeightQuantizer(bits, self._bound, partner, gradient_scale=scale)
        quantizer = WeightQuantizer.of(
            weight,
            bits,
            partner,
            range=self.range,
            per_channel=np.ndim(bounds) == 1,
            gradient_scale=scale,
        )
        quantizer.load_state_dict({"bound": bounds}, strict=False)
        return quantizer

    def fit(self, weight: Tensor | npt.ArrayLike) -> None:
        """Take the bounds from `weight` again; a bound that was given stays."""
        _core.weight_quantizer_fit(
            self._handle, as_floats("weight_quantizer", "weight", weight)._handle
        )

    def clipped_share(self, weight: Tensor | npt.ArrayLike) -> float:
        """The share of the elements of `weight` that lie beyond the grid."""
        return _core.weight_quantizer_clipped_share(
            self._handle, as_floats("weight_quantizer", "weight", weight)._handle
        )

    def _progress(self) -> Tensor:
        return Tensor._wrap(dict(_core.module_buffers(self._handle))["progress"])

    def codes(self, w: Tensor | npt.ArrayLike) -> Tensor:
        """int32 of w's shape: the number of Q(w) on the grid, 0 for -bound; -1 for NaN."""
        return Tensor._wrap(
            _core.weight_quantizer_codes(
                self._handle, as_floats("weight_quantizer.codes", "w", w)._handle
            )
        )

    def set_progress(self, progress: float) -> None:
        """How far training is, 0...1, for the estimator "ede"; others have no use for it."""
        progress = number("weight_quantizer", "progress", progress)
        if not 0 <= progress <= 1:
            raise ValueError(f"[weight_quantizer] progress = {progress}: must be in 0...1")
        if self._estimator.name == "ede":
            self._progress().assign(np.float32(progress))

    def __repr__(self) -> str:
        grid = self.estimator
        bound = f"{np.min(grid.bound):g}"
        if isinstance(grid, ChannelEstimators):
            bound += f"..{np.max(grid.bound):g}"
        scale = "" if self.gradient_scale == 1 else f", gradient_scale={self.gradient_scale:g}"
        return f"WeightQuantizer({grid.bits}, {bound}, {grid.estimator}{scale})"
