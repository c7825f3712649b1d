"""Models whose layers have weight quantizers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeVar

from .. import _core
from .._arguments import checked
from .._tensor import Tensor
from ..nn._module import Module
from ..nn._native import Native, blank
from ._choice import check_grids, chosen_layers, tell_clipped
from ._estimator import Estimator, get
from ._learned import LSQ, Learned
from ._weight_quantizer import Range, WeightQuantizer, he_bound

_Model = TypeVar("_Model", bound=Module)


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
        self._keep(quantizer)

    def _keep(self, quantizer: Native | None) -> None:
        """Know the quantizer that the core has for the layer."""
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
    def clipped_share(self) -> float:
        """The share of the weights that lie beyond the quantizer's grid; 0 without one, and for
        learned steps, which move their own."""
        quantizer = self.quantizer
        return quantizer.clipped_share(self.weight) if isinstance(quantizer, WeightQuantizer) else 0

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
def quantize_model(
    model: _Model,
    *,
    bits: int = 2,
    estimator: str | Estimator = "dsq",
    layers: Literal["all", "conv", "linear"] = "all",
    skip: str | Iterable[str] = (),
    bound: float | None = None,
    range: Range = "auto",
    per_channel: bool = False,
) -> _Model:
    """Give the layers of `model` a weight quantizer each; returns the model.

    The layers' own weights stay as they are and are what the optimizer trains. Grids that follow
    from weights are in `state_dict` as "weight_quantizer.bound", those of initial weights once they
    have moved. RuntimeWarning names the layers of which more than 1% of the weights that were
    trained or loaded are clipped; `weighted_layers` tells the share of each.

    Args:
        bits: of each weight, 1 to 16.
        estimator: an `Estimator` or its name; "lsq" for an `LSQ` with a learned step in each
            layer, whose parameters are the model's from now on: make the optimizer afterwards.
        layers: "conv" for convolutions only, "linear" for dense layers only.
        skip: names of layers that stay as they are; `*` stands for anything.
        bound: of all grids, in place of a range. Not with "lsq".
        range: where the bound of a weight comes from; not with "lsq". "he": `he_bound`, for
            training from initial weights. "max": the largest absolute weight. "mse": the least
            squared error of Q(w). "auto": "he" for weights as they were made; of weights that were
            trained or loaded, "max" where its squared error is below 3/4 of that of "he", as with
            many bits. Other weights that are loaded or assigned afterwards take their range again;
            training does not.
        per_channel: a bound for each slice along the weight's first axis (outputs; inputs of a
            transposed convolution). Not with "he", "lsq" or a bound.

    ValueError for a name in `skip` that no layer has, and when no layer is left.
    """
    is_learned = estimator == "lsq"
    chosen = chosen_layers(
        partial(weighted_layers, model), layers, skip, lambda layer: layer.weight.ndim == 2
    )
    check_grids(range, bound, per_channel, is_learned=is_learned)

    before = [layer.quantizer for layer in chosen]
    try:
        for layer in chosen:
            if is_learned:
                layer.quantizer = LSQ(bits)
                continue
            limit = he_bound(layer.weight.shape) if bound is None else bound
            source = None if bound is not None or range == "he" else range
            quantizer = blank(WeightQuantizer)
            quantizer._make(
                *(get(estimator), bits, limit, 1.0, source, per_channel),
                *(layer.weight, layer._handle),
            )
            layer._keep(quantizer)
    except BaseException:
        for layer, quantizer_before in zip(chosen, before, strict=True):
            layer.quantizer = quantizer_before
        raise
    tell_clipped(layer for layer in chosen if _core.tensor_is_written(layer.weight._handle))
    return model
