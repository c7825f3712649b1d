"""Quantizers of weights as parametrizations of PyTorch."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import nn

from ... import Tensor
from ...estimators import ChannelEstimators, Estimator, GridEstimator, get, he_bound
from ...estimators import WeightQuantizer as NativeWeightQuantizer
from ...estimators._estimator import ede, grid_of, number
from . import _operators as operators

Range = Literal["auto", "he", "max", "mse"]


class WeightQuantizer(nn.Module):
    """w -> Q(w), of any shape, with the gradient `gradient_scale` h(w) g.

    A parametrization: `quantize_model` registers one on the weight of each layer. The bound, one or
    one for each slice along the first axis, is the buffer "bound".

    Args:
        bits: 1 to 16.
        bound: the grid's outermost value, positive.
        estimator: an `Estimator` or its name.
        gradient_scale: a constant factor of the gradient; alpha of the theorem goes here.
    """

    bound: torch.Tensor
    progress: torch.Tensor

    def __init__(
        self,
        bits: int,
        bound: float,
        estimator: str | Estimator = "ste",
        *,
        gradient_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self._estimator = get(estimator)
        self._bits, start = grid_of(self._estimator, bits, bound)
        self._estimator.on(self._bits, start)  # which refuses what is out of range
        self._scale = number("weight_quantizer", "gradient_scale", gradient_scale)
        self._range: Range | None = None
        self._start = start
        self._slices: int | None = None
        self.register_buffer("bound", torch.tensor(start, dtype=torch.float32))
        progress = self._estimator.parameter if self._estimator.name == "ede" else None
        self.register_buffer("progress", torch.tensor(progress or 0.0), persistent=self._anneals)
        self._describe()

    def _describe(self) -> None:
        options = self._estimator._options()
        self._text = operators.description(
            self._estimator.name, options, self._bits, self._start, self._scale, self._slices
        )

    @classmethod
    def of(
        cls,
        weight: torch.Tensor,
        bits: int,
        estimator: str | Estimator = "ste",
        *,
        range: Range = "max",
        per_channel: bool = False,
        gradient_scale: float = 1.0,
    ) -> WeightQuantizer:
        """A quantizer whose bound, or a bound for each slice along the first axis, follows from
        `weight`: `quantize_model` says how."""
        quantizer = cls(bits, he_bound(weight.shape), estimator, gradient_scale=gradient_scale)
        quantizer._range = range
        if per_channel:
            quantizer._slices = len(weight)
        quantizer._describe()
        quantizer.fit(weight)
        return quantizer

    @property
    def _anneals(self) -> bool:
        return self._estimator.name == "ede"

    @property
    def gradient_scale(self) -> float:
        """The constant factor of the gradient."""
        return self._scale

    @property
    def bounds(self) -> np.ndarray:
        """The grid's outermost value, float64 [] or [slices]."""
        given = self.bound.detach().float().cpu().numpy()
        # The bound as it was given, not rounded to float32.
        return np.where(given == np.float32(self._start), self._start, given)

    @property
    def estimator(self) -> GridEstimator | ChannelEstimators:
        """The estimator as it is now; of "ede" at the progress that was set."""
        one = ede(float(self.progress)) if self._anneals else self._estimator
        grids = [one.on(self._bits, float(bound)) for bound in self.bounds.reshape(-1)]
        return grids[0] if self._slices is None else ChannelEstimators(grids)

    @torch.no_grad()
    def fit(self, weight: torch.Tensor) -> None:
        """Take the bounds from `weight` again; a bound that was given stays."""
        if self._range is None:
            return
        values = Tensor(weight.detach().float().cpu().numpy())
        native = NativeWeightQuantizer.of(
            values,
            self._bits,
            self._estimator,
            range=self._range,
            per_channel=self._slices is not None,
        )
        native.fit(values)
        bounds = torch.from_numpy(native.bounds.astype(np.float32))
        self.bound = bounds.to(self.bound.device)

    def clipped_share(self, weight: torch.Tensor) -> float:
        """The share of the elements of `weight` that lie beyond the grid."""
        axes = (-1,) + (1,) * (weight.ndim - 1)
        bound = self.bound if self._slices is None else self.bound.reshape(axes)
        return float((weight.detach().abs() > bound).double().mean())

    def set_progress(self, progress: float) -> None:
        """How far training is, 0...1, for the estimator "ede"; others have no use for it."""
        if not 0 <= progress <= 1:
            raise ValueError(f"[weight_quantizer] progress = {progress}: must be in 0...1")
        if self._anneals:
            self.progress.fill_(progress)

    def straight_through(self, alpha: float) -> WeightQuantizer:
        """The same grids with the straight-through estimator that trains alike, its gradient times
        `alpha`."""
        partner = self._estimator.on(self._bits, self._start).partner.estimator
        other = WeightQuantizer(
            self._bits, self._start, partner, gradient_scale=alpha * self._scale
        )
        other._range, other._slices = self._range, self._slices
        other._describe()
        other.bound = self.bound.detach().clone()
        return other

    def forward(self, w: torch.Tensor) -> torch.Tensor:
        """Q(w), of w's dtype."""
        for name, tensor in (("weight", w), ("bound", self.bound), ("progress", self.progress)):
            if tensor.device.type != "cpu":
                raise NotImplementedError(
                    f"[weight_quantizer] the {name} is on {tensor.device}: weights are quantized "
                    "on the CPU; move the module there"
                )
        rows = w.float().contiguous()
        found = operators.quantize_weight(
            rows, self.bound.float(), self.progress.float(), self._text
        )
        quantized: torch.Tensor = found.to(w.dtype)
        return quantized

    def extra_repr(self) -> str:
        """As a call has them."""
        grid = self.estimator
        scale = "" if self._scale == 1 else f", gradient_scale={self._scale:g}"
        return f"{self._bits}, {np.min(grid.bound):g}, {grid.estimator}{scale}"
