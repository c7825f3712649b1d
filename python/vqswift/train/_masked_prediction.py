"""What a MaskGIT is trained by."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._arguments import checked, refuse
from .._arrays import as_array
from .._functions import no_grad
from .._random import Generator, layer_generator
from .._tensor import Tensor, as_tensor
from ..nn import Module
from ..nn.functional import cross_entropy
from ..quantizers._base import unquantized
from ._objectives import Objective


@checked
class MaskedPrediction(Module):
    """Cross-entropy of codes that are hidden (Chang et al., 2022), for `MaskGIT`.

    Of each sample's N codes ceil(N cos(pi/2 r)), at least one, are hidden, r uniform in [0, 1).
    The loss is their cross-entropy with smoothed labels, the mean over a sample's hidden codes and
    then over the batch. What is drawn comes from `generator`, whose place is in a trainer's
    checkpoint.

    Args:
        label_smoothing: e: the code itself counts 1 - e + e / k, every other e / k.
        class_drop: the share of samples whose class is dropped, so that the network learns to do
            without it, as guidance wants.
    """

    def __init__(
        self,
        label_smoothing: float = 0.1,
        class_drop: float = 0.1,
        *,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        for name, value in (("label_smoothing", label_smoothing), ("class_drop", class_drop)):
            if not 0 <= value <= 1:
                raise ValueError(f"[masked_prediction] {name} = {value}: must be in 0...1")
        self.label_smoothing, self.class_drop = label_smoothing, class_drop
        self.generator = layer_generator(generator)

    def forward(self, model: Module, batch: Any) -> Objective:
        """The objective of codes [n, ...], or of a pair of them and classes [n].

        Codes are integers, or floats without fractions, as `Batches` of codes gives them, none
        hidden. `values` has the accuracy on hidden codes.
        """
        codes, labels = batch if isinstance(batch, tuple) else (batch, None)
        places = _codes(codes)
        if labels is not None:
            labels = as_tensor(labels).numpy()
            if labels.shape != places.shape[:1]:
                raise ValueError(
                    f"[masked_prediction] labels of shape {list(labels.shape)}: one for each of "
                    f"{len(places)} samples is required"
                )
        hidden = self._hidden(*places.shape)
        if labels is not None:
            labels[self.generator.uniform(labels.shape).numpy() < self.class_drop] = -1
        logits: Tensor = model(np.where(hidden, -1, places), labels)
        loss = self._loss(logits, places, hidden)
        with no_grad():
            right = logits.argmax(-1).numpy()[hidden] == places[hidden]
        return Objective(
            loss, loss, unquantized(logits.detach()), {"accuracy": float(right.mean())}
        )

    def _hidden(self, n: int, length: int) -> np.ndarray:
        """Which codes are hidden, bool [n, length]."""
        ratios = np.cos(np.pi / 2 * self.generator.uniform((n,)).numpy().astype(np.float64))
        counts = np.clip(np.ceil(length * ratios), 1, length)
        order = self.generator.uniform((n, length)).numpy().argsort(1, kind="stable")
        hidden: np.ndarray = order.argsort(1, kind="stable") < counts[:, None]
        return hidden

    def _loss(self, logits: Tensor, codes: np.ndarray, hidden: np.ndarray) -> Tensor:
        losses = cross_entropy(logits, codes, self.label_smoothing, reduction="none")
        weights = hidden / hidden.sum(1, keepdims=True) / len(codes)
        return (losses * Tensor(weights)).sum()


def _codes(value: Any) -> np.ndarray:
    """int32 [n, length], at least one sample."""
    numbers = (
        value.numpy()
        if isinstance(value, Tensor)
        else as_array("masked_prediction", "codes", value)
    )
    if numbers.ndim < 2 or numbers.size == 0:
        raise ValueError(
            f"[masked_prediction] codes of shape {list(numbers.shape)}: [n, ...] is required, at "
            "least one"
        )
    whole = numbers.dtype.kind in "iu"
    if not whole and not (numbers.dtype.kind == "f" and (numbers == np.rint(numbers)).all()):
        refuse("masked_prediction", "codes", value, "an array of integers")
    if numbers.min() < 0:
        raise ValueError(
            f"[masked_prediction] codes hold {numbers.min():g}: none may be hidden already"
        )
    return numbers.reshape(len(numbers), -1).astype(np.int32)
