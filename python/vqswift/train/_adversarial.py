"""Adversarial losses of an autoencoder."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from .. import _core
from .._arguments import checked
from .._integers import as_floats
from .._tensor import Tensor
from ..nn import Module

_EPS = 1e-4


@checked
def hinge_discriminator_loss(real: Tensor | npt.ArrayLike, fake: Tensor | npt.ArrayLike) -> Tensor:
    """1/2 mean max(0, 1 - r) + 1/2 mean max(0, 1 + f) of logits r of images and f of made ones."""
    right, wrong = (
        as_floats("hinge_discriminator_loss", name, value)
        for name, value in (("real", real), ("fake", fake))
    )
    loss: Tensor = ((1 - right).relu().mean() + (1 + wrong).relu().mean()) * 0.5
    return loss


@checked
def hinge_generator_loss(fake: Tensor | npt.ArrayLike) -> Tensor:
    """-mean f of logits f of made images."""
    return -as_floats("hinge_generator_loss", "fake", fake).mean()


@checked
def adaptive_weight(error: Tensor, adversarial: Tensor, last_layer: Tensor) -> float:
    """|dE/dW| / (|dA/dW| + 1e-4), at most 10^4: how much an adversarial loss A counts beside E.

    W is a parameter behind which both lie, the decoder's last (Esser et al., 2021). Neither tape is
    freed, and no gradient is collected.
    """
    norms = []
    for loss in (error, adversarial):
        ((_, found),) = _core.tensor_gradients(loss._handle, None, [last_layer._handle], True)
        norms.append(float(np.linalg.norm(Tensor._wrap(found).numpy().astype(np.float64))))
    return min(norms[0] / (norms[1] + _EPS), 1e4)


@checked
class AdversarialLoss:
    """The hinge losses of an autoencoder and its discriminator from a step on (Esser et al., 2021).

    Args:
        discriminator: of images, gives logits of any shape; its parameters have an optimizer of
            their own, and their gradients are to be cleared before its step.
        weight: of the adversarial loss, times `adaptive_weight`.
        start: the step before which both losses are 0.
    """

    def __init__(self, discriminator: Module, *, weight: float = 0.8, start: int = 0) -> None:
        if not (math.isfinite(weight) and weight >= 0):
            raise ValueError(
                f"[adversarial_loss] weight = {weight}: must be finite and not negative"
            )
        if start < 0:
            raise ValueError(f"[adversarial_loss] start = {start}: must not be negative")
        self.discriminator, self.weight, self.start = discriminator, weight, start

    def of_generator(
        self, reconstruction: Tensor, error: Tensor, last_layer: Tensor, step: int
    ) -> Tensor:
        """What is added to `error`, the reconstruction's other losses."""
        if step < self.start:
            return Tensor(0.0)
        loss = hinge_generator_loss(self.discriminator(reconstruction))
        return loss * (self.weight * adaptive_weight(error, loss, last_layer))

    def of_discriminator(
        self, images: Tensor | npt.ArrayLike, reconstruction: Tensor, step: int
    ) -> Tensor:
        """What the discriminator minimises; no gradient reaches the reconstruction."""
        if step < self.start:
            return Tensor(0.0)
        real, fake = self.discriminator(images), self.discriminator(reconstruction.detach())
        return hinge_discriminator_loss(real, fake)
