"""Models of PyTorch whose layers have weight quantizers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeVar

from torch import nn
from torch.nn.utils import parametrize

from ...estimators import Estimator, get, he_bound
from ...estimators._choice import check_grids, chosen_layers, tell_clipped
from ._weight_quantizer import Range, WeightQuantizer

_Model = TypeVar("_Model", bound=nn.Module)
_WEIGHTED = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)


@dataclass(eq=False)
class WeightedLayer:
    """A linear or convolution layer of a model.

    Attributes:
        name: dotted, as in `named_modules`.
        module: the layer.
    """

    name: str
    module: nn.Module

    @property
    def weight(self) -> nn.Parameter:
        """The latent weight, which the optimizer trains."""
        if self.quantizer is None:
            weight: nn.Parameter = self.module.weight  # type: ignore[assignment]
            return weight
        original: nn.Parameter = self._list.original  # type: ignore[assignment]
        return original

    @property
    def _list(self) -> parametrize.ParametrizationList:
        lists: nn.ModuleDict = self.module.parametrizations  # type: ignore[assignment]
        found: parametrize.ParametrizationList = lists["weight"]  # type: ignore[assignment]
        return found

    @property
    def quantizer(self) -> WeightQuantizer | None:
        """What the forward's weight passes through; None for nothing."""
        if not parametrize.is_parametrized(self.module, "weight"):
            return None
        steps = [step for step in self._list if isinstance(step, WeightQuantizer)]
        return steps[-1] if steps else None

    @quantizer.setter
    def quantizer(self, quantizer: WeightQuantizer | None) -> None:
        if parametrize.is_parametrized(self.module, "weight"):
            if self.quantizer is None or len(self._list) > 1:
                raise ValueError(
                    f"[quantizer] {self.name or 'the layer'}: its weight has another "
                    "parametrization"
                )
            if quantizer is not None:
                self._list[0] = quantizer
                return
            parametrize.remove_parametrizations(self.module, "weight", leave_parametrized=False)
        if quantizer is not None:
            parametrize.register_parametrization(self.module, "weight", quantizer)

    @property
    def clipped_share(self) -> float:
        """The share of the weights that lie beyond the quantizer's grid; 0 without one."""
        return 0.0 if self.quantizer is None else self.quantizer.clipped_share(self.weight)


def weighted_layers(model: nn.Module) -> list[WeightedLayer]:
    """The linear and convolution layers of `model`, each weight once."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"[weighted_layers] a {type(model).__name__}: a Module is required")
    found: dict[int, WeightedLayer] = {}
    for name, module in model.named_modules():
        if isinstance(module, _WEIGHTED):
            layer = WeightedLayer(name, module)
            found.setdefault(id(layer.weight), layer)
    return list(found.values())


def quantized_layers(model: nn.Module) -> list[WeightedLayer]:
    """Those of `weighted_layers` that have a quantizer."""
    return [layer for layer in weighted_layers(model) if layer.quantizer is not None]


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

    Quantizers are parametrizations (`torch.nn.utils.parametrize`): a layer's own weight stays the
    parameter that the optimizer trains, in `state_dict` as "parametrizations.weight.original", with
    its bound beside it. RuntimeWarning names the layers of which more than 1% of the weights are
    clipped; `weighted_layers` tells the share of each.

    Args:
        bits: of each weight, 1 to 16.
        estimator: an `Estimator` of `vqswift.estimators`, or its name.
        layers: "conv" for convolutions only, "linear" for dense layers only.
        skip: names of layers that stay as they are; `*` stands for anything.
        bound: of all grids, in place of a range.
        range: where the bound of a weight comes from. "he": `he_bound`, for training from initial
            weights. "max": the largest absolute weight. "mse": the least squared error of Q(w).
            "auto": "max" where its squared error is below 3/4 of that of "he", else "he".
        per_channel: a bound for each slice along the weight's first axis. Not with "he" or a bound.

    ValueError for a name in `skip` that no layer has, and when no layer is left.
    """
    if estimator == "lsq":
        raise ValueError("[quantize_model] 'lsq': learned steps are vqswift.estimators' alone")
    chosen = chosen_layers(
        partial(weighted_layers, model),
        layers,
        skip,
        lambda layer: isinstance(layer.module, nn.Linear),
    )
    check_grids(range, bound, per_channel)
    kind = get(estimator)
    made = []
    for layer in chosen:
        weight = layer.weight
        if bound is not None or range == "he":
            limit = he_bound(weight.shape) if bound is None else bound
            made.append(WeightQuantizer(bits, limit, kind))
        else:
            made.append(
                WeightQuantizer.of(weight, bits, kind, range=range, per_channel=per_channel)
            )
    for layer, quantizer in zip(chosen, made, strict=True):
        layer.quantizer = quantizer
    tell_clipped(chosen)
    return model
