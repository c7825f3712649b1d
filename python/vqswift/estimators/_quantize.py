"""Weight quantizers, and models whose layers have them."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

from .. import _core
from .._arguments import checked
from .._integers import as_floats
from .._tensor import Tensor
from ..nn._module import Module, Native
from ._estimator import Estimator, GridEstimator, ede, get, number
from ._learned import LSQ, Learned

_Model = TypeVar("_Model", bound=Module)


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
        on_grid = get(estimator).on(bits, bound)
        scale = number("weight_quantizer", "gradient_scale", gradient_scale)
        super().__init__(_core.weight_quantizer_create(on_grid._options, scale))
        self._start = on_grid
        self.gradient_scale = scale

    @property
    def estimator(self) -> GridEstimator:
        """The estimator as it is now; of "ede" at the progress that was set."""
        if self._start.estimator.name != "ede":
            return self._start
        return ede(self._progress().item()).on(self._start.bits, self._start.bound)

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
        if self._start.estimator.name == "ede":
            self._progress().assign(np.float32(progress))

    def __repr__(self) -> str:
        grid = self.estimator
        scale = "" if self.gradient_scale == 1 else f", gradient_scale={self.gradient_scale:g}"
        return f"WeightQuantizer({grid.bits}, {grid.bound:g}, {grid.estimator}{scale})"


@dataclass(eq=False)
class WeightedLayer:
    """A linear or convolution layer of a model.

    Attributes:
        name: dotted, as in `state_dict` without the trailing "weight".
        weight: the latent weight, which the optimizer trains.
    """

    name: str
    weight: Tensor
    _owner: Native
    _handle: _core.ModuleHandle

    @property
    def quantizer(self) -> Native | None:
        """What the forward's weight passes through; None for nothing."""
        return _quantizers(self._owner).get(self._key)

    @quantizer.setter
    def quantizer(self, quantizer: Native | None) -> None:
        if not isinstance(quantizer, (WeightQuantizer, Learned, type(None))):
            raise TypeError(
                f"[quantizer] {self.name or 'the layer'}: a {type(quantizer).__name__}: "
                "a WeightQuantizer, LSQ, LSQPlus or PACT is required"
            )
        _core.module_set_weight_quantizer(
            self._handle, None if quantizer is None else quantizer._handle
        )
        if quantizer is None:
            _quantizers(self._owner).pop(self._key, None)
        else:
            _quantizers(self._owner)[self._key] = quantizer
        # The parameters of the quantizer before are no longer the layer's.
        known = self._owner._tensors
        own = next(name for name, tensor in known.items() if tensor is self.weight)
        prefix = own.removesuffix("weight") + "weight_quantizer."
        for name in [name for name in known if name.startswith(prefix)]:
            del known[name]

    @property
    def _key(self) -> int:
        return id(self.weight)


def _quantizers(owner: Native) -> dict[int, Native]:
    found: dict[int, Native] = owner.__dict__.setdefault("_weight_quantizers", {})
    return found


def _natives(module: Module, prefix: str = "") -> Iterator[tuple[str, Native]]:
    if isinstance(module, Native):
        yield prefix, module
    for name, child in module.named_children():
        yield from _natives(child, f"{prefix}{name}.")


@checked
def weighted_layers(model: Module) -> list[WeightedLayer]:
    """The linear and convolution layers of `model`, each once."""
    if not isinstance(model, Module):
        raise TypeError(f"[weighted_layers] a {type(model).__name__}: a Module is required")
    layers: dict[int, WeightedLayer] = {}
    for prefix, native in _natives(model):
        weights = dict(native._own_parameters(True))
        for name, handle in _core.module_weighted_layers(native._handle):
            path = f"{name}.weight" if name else "weight"
            layer = WeightedLayer(
                (prefix + path).removesuffix("weight").rstrip("."), weights[path], native, handle
            )
            layers.setdefault(id(layer.weight), layer)
    return list(layers.values())


@checked
def quantized_layers(model: Module) -> list[WeightedLayer]:
    """Those of `weighted_layers` that have a quantizer."""
    return [layer for layer in weighted_layers(model) if layer.quantizer is not None]


@checked
def he_bound(shape: Iterable[int]) -> float:
    """sqrt(6 / fan_in) of a weight [out, in, ...]: the bound of He's uniform initial weights."""
    sizes = tuple(shape)
    if len(sizes) < 2 or min(sizes) < 1:
        raise ValueError(f"[he_bound] shape {[*sizes]}: [out, in, ...] is required")
    return float(np.sqrt(6 / np.prod(sizes[1:])))


@checked
def quantize_model(
    model: _Model,
    *,
    bits: int = 2,
    estimator: str | Estimator = "dsq",
    layers: Literal["all", "conv", "linear"] = "all",
    skip: str | Iterable[str] = (),
    bound: float | None = None,
) -> _Model:
    """Give the layers of `model` a weight quantizer each; returns the model.

    The layers' own weights stay as they are and are what the optimizer trains.

    Args:
        bits: of each weight, 1 to 16.
        estimator: an `Estimator` or its name; "lsq" for an `LSQ` with a learned step in each
            layer, whose parameters are the model's from now on: make the optimizer afterwards.
        layers: "conv" for convolutions only, "linear" for dense layers only.
        skip: names of layers that stay as they are; `*` stands for anything.
        bound: of the grids; `he_bound` of each weight unless given. Not with "lsq".

    ValueError for a name in `skip` that no layer has, and when no layer is left.
    """
    if layers not in ("all", "conv", "linear"):
        raise ValueError(f"[quantize_model] layers {layers!r}: must be all, conv or linear")
    patterns = [skip] if isinstance(skip, str) else list(skip)
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise TypeError(f"[quantize_model] skip {pattern!r}: a name is required")
    found = weighted_layers(model)
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(layer.name, pattern) for layer in found):
            raise ValueError(
                f"[quantize_model] skip {pattern!r}: no layer has that name; there are "
                f"{', '.join(layer.name for layer in found) or 'none'}"
            )
    chosen = [
        layer
        for layer in found
        if layers in ("all", "linear" if layer.weight.ndim == 2 else "conv")
        and not any(fnmatch.fnmatchcase(layer.name, pattern) for pattern in patterns)
    ]
    if not chosen:
        raise ValueError("[quantize_model] no layer is left to quantize")
    if estimator == "lsq" and bound is not None:
        raise ValueError(f"[quantize_model] bound {bound}: lsq learns its own")

    def quantizer_of(layer: WeightedLayer) -> Native:
        if estimator == "lsq":
            return LSQ(bits)
        limit = he_bound(layer.weight.shape) if bound is None else bound
        return WeightQuantizer(bits, limit, estimator)

    made = [quantizer_of(layer) for layer in chosen]
    for layer, quantizer in zip(chosen, made, strict=True):
        layer.quantizer = quantizer
    return model
