"""What a training minimises: a loss of a model and a batch, and what is told of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import nn
from .._arguments import checked, refuse
from .._functions import no_grad
from .._tensor import Tensor
from ..quantizers import QuantizerInfo


@dataclass(frozen=True)
class Objective:
    """One batch's part of what is minimised.

    Attributes:
        loss: a scalar, minimised.
        task_loss: its part that is not the quantizer's.
        info: what the quantizer told.
        values: further numbers for the metrics, by names that `StepMetrics` has not.
    """

    loss: Tensor
    task_loss: Tensor
    info: QuantizerInfo
    values: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.loss, Tensor) or self.loss.size != 1:
            refuse("objective", "loss", self.loss, "a scalar Tensor")
        if not all(hasattr(self.info, name) for name in ("loss", "perplexity", "active_codes")):
            refuse("objective", "info", self.info, "a quantizer's info")
        if not isinstance(self.values, Mapping):
            refuse("objective", "values", self.values, "a mapping from names to numbers")
        for name, value in self.values.items():
            if not isinstance(name, str):
                refuse("objective", "a name in values", name, "a string")
            if not isinstance(value, (int, float, np.number, Tensor)):
                refuse("objective", f"values[{name!r}]", value, "a number")


@checked
class Reconstruction:
    """`reconstruction_loss(model(x), x) + alpha * info.loss` of images x.

    Args:
        alpha: the weight of the quantizer's loss.
        reconstruction_loss: of `(reconstruction, x)`; the mean squared error by default.
    """

    def __init__(
        self, alpha: float = 5.0, reconstruction_loss: Callable[[Any, Any], Any] | None = None
    ) -> None:
        self.alpha = _weight("reconstruction", alpha)
        self.reconstruction_loss = reconstruction_loss or nn.functional.mse_loss

    def __call__(self, model: nn.Module, batch: Any) -> Objective:
        """The objective of images, or of a pair whose first entry is the images."""
        x = Tensor(batch[0] if isinstance(batch, tuple) else batch)
        reconstruction, info = told("trainer", model(x))
        error = self.reconstruction_loss(reconstruction, x)
        return Objective(error + info.loss * self.alpha, error, info)


@checked
class Classification:
    """Cross-entropy of `model(x)`'s logits and labels, `+ alpha * info.loss`.

    Args:
        alpha: the weight of the quantizer's loss.
        label_smoothing: of the cross-entropy.
    """

    def __init__(self, alpha: float = 5.0, label_smoothing: float = 0.0) -> None:
        self.alpha = _weight("classification", alpha)
        self.label_smoothing = label_smoothing

    def __call__(self, model: nn.Module, batch: Any) -> Objective:
        """The objective of a pair, images and labels `[n]`; `values` has the accuracy."""
        if not (isinstance(batch, tuple) and len(batch) == 2):
            refuse("trainer", "a batch", batch, "(images, labels)")
        images, labels = batch
        logits, info = told("trainer", model(Tensor(images)))
        error = nn.functional.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        with no_grad():
            right = np.mean(logits.argmax(-1).numpy() == np.asarray(labels))
        return Objective(error + info.loss * self.alpha, error, info, {"accuracy": float(right)})


def module_of(objective: Any) -> nn.Module | None:
    """The module that an objective is, or whose reconstruction loss is one."""
    for part in (objective, getattr(objective, "reconstruction_loss", None)):
        if isinstance(part, nn.Module):
            return part
    return None


def told(operation: str, output: Any) -> tuple[Any, QuantizerInfo]:
    """A model's output, a pair whose second entry is its quantizer's info."""
    if not (isinstance(output, tuple) and len(output) == 2 and hasattr(output[1], "loss")):
        refuse(operation, "the model's output", output, "(output, info)")
    return output


def _weight(operation: str, alpha: float) -> float:
    if not (math.isfinite(alpha) and alpha >= 0):
        raise ValueError(f"[{operation}] alpha = {alpha}: must be finite and not negative")
    return alpha
