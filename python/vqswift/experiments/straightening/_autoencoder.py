"""An autoencoder of images as a run: its configuration, its training, its evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ... import data, distributed, models, optim, train
from ..._random import manual_seed
from ..._tensor import Tensor
from ...quantizers import GroupVectorQuant, GumbelQuant, Quantizer, SQVAEQuant, VectorQuant


@dataclass(frozen=True)
class QuantizerConfiguration:
    """A quantizer: its class, its options, and how its codebook is stepped in place.

    Attributes:
        kind: "vector", "group", "sqvae", "gumbel" or "none".
        options: of the class, beside sizes and seed.
        inplace_rate: of the codebook's own SGD; none without alternating optimization. A code that
            has the share p of the batch moves by `2 p rate / d` of the way to its vectors' mean: a
            rate of d and more may overshoot a collapsed codebook.
        inplace_momentum: of that SGD.
        anneal_to: the temperature at the end of the training, by geometric annealing; none leaves
            it.
    """

    kind: Literal["vector", "group", "sqvae", "gumbel", "none"] = "vector"
    options: dict[str, Any] = field(default_factory=dict)
    inplace_rate: float | None = None
    inplace_momentum: float = 0.9
    anneal_to: float | None = None

    def build(self, width: int, codes: int, steps: int) -> Quantizer | None:
        """The layer, for a training of so many steps."""
        options = dict(self.options)
        if self.anneal_to is not None:
            options["temperature_decay"] = self.anneal_to ** (1 / steps)
            options["temperature_min"] = self.anneal_to
        if self.kind == "none":
            return None
        if self.kind == "sqvae":
            return SQVAEQuant(width, codes, **options)
        if self.kind == "gumbel":
            return GumbelQuant(width, codes, **options)
        if self.inplace_rate is not None:
            options["inplace_optimizer"] = partial(
                optim.SGD, lr=self.inplace_rate, momentum=self.inplace_momentum
            )
        kind = GroupVectorQuant if self.kind == "group" else VectorQuant
        return kind(width, codes, **options)


@dataclass(frozen=True)
class AutoencoderConfiguration:
    """A row of Table 3: the SQ-VAE backbone, a quantizer, AdamW with warm-up and cosine.

    `alpha` weighs the quantizer's loss; a quantizer of SQ-VAE has its own objective.
    """

    row: str
    seed: int
    epochs: int
    quantizer: QuantizerConfiguration
    images: int = 50_000
    batch_size: int = 32
    image_size: int = 32
    channels: int = 3
    width: int = 64
    codes: int = 1024
    start: Literal["torch", "sqvae"] = "torch"
    alpha: float = 5.0
    learning_rate: float = 1e-4
    weight_decay: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.95)
    warmup: float = 1 / 9  # of all steps: 10 epochs of 90

    def trainer(self, images: np.ndarray) -> train.Trainer:
        """The trainer at its first step, over the first of [n, h, w, c] images."""
        batches = data.Batches(images[: self.images], batch_size=self.batch_size, seed=self.seed)
        steps = self.epochs * len(batches)
        manual_seed(self.seed)
        quantizer = self.quantizer.build(self.width, self.codes, steps)
        model = models.SQVAE(
            quantizer,
            image_size=self.image_size,
            channels=self.channels,
            width=self.width,
            start=self.start,
        )
        distributed.synchronize_batch_norms(model)
        optimizer = optim.AdamW(
            model.parameters(),
            lr=self.learning_rate,
            betas=self.betas,
            weight_decay=self.weight_decay,
        )
        objective = train.Reconstruction(self.alpha)
        if self.quantizer.kind == "sqvae":
            objective = train.Reconstruction(1.0, _sqvae_loss)
        schedule = optim.cosine_schedule(steps, warmup_steps=round(self.warmup * steps))
        return train.Trainer(model, optimizer, batches, objective=objective, schedule=schedule)


def run_of(
    configuration: AutoencoderConfiguration, directory: Path, training: np.ndarray, test: np.ndarray
) -> train.Run:
    """The run in its directory, at the step where it stopped."""

    def validate(model: Any) -> dict[str, float]:
        found = train.evaluate(model, test[:2000])
        return {"mse": found.mse, "perplexity": found.perplexity}

    return train.Run(
        directory,
        configuration.trainer(training),
        configuration=configuration,
        checkpoint_every=1000,
        validate=validate,
    )


def _sqvae_loss(reconstruction: Tensor, x: Tensor) -> Tensor:
    """The reconstruction's term of SQ-VAE's objective."""
    return SQVAEQuant.reconstruction_loss(x, reconstruction)
