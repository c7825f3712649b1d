"""From a custom estimator to the straight-through one, in a model of PyTorch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from ...estimators import Conversion
from ...estimators._warp import Warp, finite, obstacles, optimizer_obstacles, warp_of
from ._quantize import WeightedLayer, quantized_layers
from ._weight_quantizer import WeightQuantizer


def to_ste(
    model: nn.Module, optimizer: torch.optim.Optimizer, *, force: bool = False
) -> list[Conversion]:
    """Replace every custom estimator of `model` by the straight-through one that trains alike.

    `vqswift.estimators.to_ste` of a model that `quantize_model` quantized and the `torch.optim`
    optimizer that trains it: under SGD each latent weight w becomes M(w), its quantizer's gradient
    is multiplied by alpha and its momentum by M'(w); under Adam only the estimator and its moments
    change. Q(w) is the same before and after.

    The theorem does not hold, and ValueError says so and leaves the model as it is, for weight
    decay on latent weights, annealed estimators, EWGS, an estimator that is not the same in every
    cell under SGD, weights where the estimator is 0 and the straight-through one is not, and
    optimizers other than SGD and Adam. Clipped gradients are outside the theorem too; PyTorch does
    not tell whether they were.

    Args:
        model: with layers that `quantize_model` quantized.
        optimizer: the one that trains it.
        force: convert all the same; `Conversion.reasons` then has what stood against it.

    Returns one `Conversion` for each quantized layer.
    """
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(f"[to_ste] a {type(optimizer).__name__}: an optimizer is required")
    layers = quantized_layers(model)
    if not layers:
        raise ValueError("[to_ste] the model has no quantized layer")
    by_sgd = isinstance(optimizer, torch.optim.SGD)
    reasons = [tuple(_reasons(layer, optimizer, by_sgd)) for layer in layers]
    if any(reasons) and not force:
        lines = "; ".join(
            f"{layer.name or 'the layer'}: {text}"
            for layer, texts in zip(layers, reasons, strict=True)
            for text in texts
        )
        raise ValueError(
            f"[to_ste] the theorem does not hold: {lines}. force=True converts all the same"
        )
    found = []
    for layer, texts in zip(layers, reasons, strict=True):
        grid = _quantizer(layer).estimator
        warp = warp_of(grid, _array(layer), by_sgd=by_sgd)
        _convert(layer, warp, optimizer)
        found.append(Conversion(layer.name, str(grid.estimator), warp.alpha, warp.moved, texts))
    return found


def _quantizer(layer: WeightedLayer) -> WeightQuantizer:
    quantizer = layer.quantizer
    assert quantizer is not None, layer.name
    return quantizer


def _array(layer: WeightedLayer) -> np.ndarray:
    weight: np.ndarray = layer.weight.detach().float().cpu().numpy()
    return weight


def _reasons(layer: WeightedLayer, optimizer: torch.optim.Optimizer, by_sgd: bool) -> Iterator[str]:
    yield from obstacles(
        _quantizer(layer).estimator, _array(layer).astype(np.float64), by_sgd=by_sgd
    )
    known = (torch.optim.SGD, torch.optim.Adam)
    yield from optimizer_obstacles(optimizer, layer.weight, known)


@torch.no_grad()
def _convert(layer: WeightedLayer, warp: Warp, optimizer: torch.optim.Optimizer) -> None:
    weight, quantizer = layer.weight, _quantizer(layer)
    state = optimizer.state.get(weight, {})
    for name, factor in warp.moments.items():
        if state.get(name) is not None:
            # A new tensor: another optimizer may have loaded the one that is there.
            state[name] = _scaled(state[name], factor)
    if weight.grad is not None:
        weight.grad = _scaled(weight.grad, warp.slope)
    weight.copy_(torch.from_numpy(warp.weight))
    layer.quantizer = quantizer.straight_through(warp.alpha)


def _scaled(values: torch.Tensor, factor: np.ndarray) -> torch.Tensor:
    product = finite(values.double().cpu().numpy() * factor)
    return torch.from_numpy(product).to(values)
