"""From a custom estimator to the straight-through one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .._arguments import checked
from .._tensor import Tensor
from ..nn._module import Module
from ..optim import SGD, Adam, AdamW, Optimizer, is_clipped
from ._quantize import WeightedLayer, quantized_layers
from ._warp import finite, obstacles, optimizer_obstacles, warp_of
from ._weight_quantizer import WeightQuantizer


@dataclass(frozen=True)
class Conversion:
    """What `to_ste` did to one layer.

    Attributes:
        layer: its dotted name.
        estimator: the one that it had.
        alpha: what its gradient is multiplied with from now on; 1 for Adam.
        moved: the largest |M(w) - w|; 0 for Adam.
        reasons: why the theorem does not hold for it; empty when it does.
    """

    layer: str
    estimator: str
    alpha: float
    moved: float
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        text = (
            f"{self.layer}: {self.estimator} -> straight-through, gradient times {self.alpha:.4g}"
        )
        text += f", weights moved by up to {self.moved:.4g}"
        return text + "".join(f"\n  outside the theorem: {reason}" for reason in self.reasons)


@checked
def to_ste(model: Module, optimizer: Optimizer, *, force: bool = False) -> list[Conversion]:
    """Replace every custom estimator of `model` by the straight-through one that trains alike.

    Under SGD, with or without momentum, each latent weight w becomes M(w), its quantizer's gradient
    is multiplied by alpha, and its momentum by M'(w); the learning rate and all other parameters
    stay. Under Adam, which divides a gradient by its own size, only the estimator changes, and its
    moments with it. Q(w) is the same before and after. The two trainings agree to first order in
    the learning rate (Schoenbauer, Moro, Lew and Howard, 2024); Adam needs lr / (1 - beta2) well
    below the grid's spacing, so 0.95 rather than 0.999.

    The theorem does not hold, and ValueError says so and leaves the model as it is, for

    - weight decay on latent weights, since M(w) does not shrink as w does,
    - clipped gradients, of which the estimator is a part (`clip_grad_norm` or `clip_grad_value` was
      called on them at any time),
    - learned steps and annealed estimators, whose grid or h changes in training,
    - EWGS, whose factor depends on the gradient,
    - an estimator that is not the same in every cell, under SGD, when M moves a boundary or an end
      of the grid,
    - weights where the estimator is 0 and the straight-through one is not,
    - optimizers other than SGD and Adam.

    Args:
        model: with layers that `quantize_model` quantized.
        optimizer: the one that trains it.
        force: convert all the same; what has no M keeps its weights. `Conversion.reasons` then has
            what stood against it.

    Returns one `Conversion` for each quantized layer.
    """
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"[to_ste] a {type(optimizer).__name__}: an optimizer is required")
    layers = quantized_layers(model)
    if not layers:
        raise ValueError("[to_ste] the model has no quantized layer")
    reasons = [tuple(_reasons(layer, optimizer)) for layer in layers]
    if any(reasons) and not force:
        listed: dict[str, list[str]] = {}
        for layer, texts in zip(layers, reasons, strict=True):
            for text in texts:
                listed.setdefault(text, []).append(layer.name or "the layer")
        lines = "; ".join(
            f"{names[0]}{f' and {len(names) - 1} more' if names[1:] else ''}: {text}"
            for text, names in listed.items()
        )
        raise ValueError(
            f"[to_ste] the theorem does not hold: {lines}. force=True converts all the same"
        )
    plans = [_plan(layer, optimizer, found) for layer, found in zip(layers, reasons, strict=True)]
    state = optimizer.state_dict()
    for plan in plans:
        for name, factor in plan.moments.items():
            if name in state:
                state[name] = finite(state[name] * factor)
    optimizer.load_state_dict(state)
    for layer, plan in zip(layers, plans, strict=True):
        if layer.weight.grad is not None:
            layer.weight.grad = Tensor(finite(layer.weight.grad.numpy() * plan.gradient))
        layer.weight.assign(plan.weight)
        layer.quantizer = plan.quantizer
    return [plan.conversion for plan in plans]


def _reasons(layer: WeightedLayer, optimizer: Optimizer) -> Iterator[str]:
    quantizer = layer.quantizer
    if not isinstance(quantizer, WeightQuantizer):
        yield f"{type(quantizer).__name__} learns its step or clip, and the grid moves in training"
    else:
        w = layer.weight.numpy().astype(np.float64)
        yield from obstacles(quantizer.estimator, w, by_sgd=isinstance(optimizer, SGD))
    yield from optimizer_obstacles(optimizer, layer.weight, (SGD, Adam, AdamW))
    if is_clipped(layer.weight):
        yield "its gradient is clipped, and the estimator is a part of what is clipped"


@dataclass(frozen=True)
class _Plan:
    weight: np.ndarray
    quantizer: WeightQuantizer
    gradient: np.ndarray  # factor of a gradient that waits for its step
    moments: dict[str, np.ndarray]  # factors by their name in the optimizer's state
    conversion: Conversion


def _plan(layer: WeightedLayer, optimizer: Optimizer, reasons: tuple[str, ...]) -> _Plan:
    quantizer = layer.quantizer
    if not isinstance(quantizer, WeightQuantizer):
        raise ValueError(
            f"[to_ste] {layer.name}: a {type(quantizer).__name__} has no straight-through form"
        )
    before = quantizer.estimator
    warp = warp_of(before, layer.weight.numpy(), by_sgd=isinstance(optimizer, SGD))
    factors = warp.moments
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    index = next((i for i, p in enumerate(parameters) if p is layer.weight), None)
    return _Plan(
        warp.weight,
        quantizer.straight_through(warp.alpha, layer.weight),
        warp.slope,
        {f"{index}.{name}": factor for name, factor in factors.items()},
        Conversion(layer.name, str(before.estimator), warp.alpha, warp.moved, reasons),
    )
