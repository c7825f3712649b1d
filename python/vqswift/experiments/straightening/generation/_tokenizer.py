"""The tokenizer of Table 9 as a run: a VQGAN with a row's quantizer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .... import data, metrics, models, nn, optim, train
from ...._functions import no_grad
from ...._random import manual_seed
from ....nn._mode import evaluating
from .._autoencoder import QuantizerConfiguration
from .._weights import Weights
from ._judge import Judge
from ._sets import Images

_BATCH = 128  # images that go through a network together


@dataclass(frozen=True)
class TokenizerConfiguration:
    """A VQGAN, a quantizer, AdamW with warm-up and cosine.

    `alpha` weighs the quantizer's loss and `perceptual` LPIPS, which is added to the squared error;
    `validated` test images are looked at after each of `validations` equal parts of the training.
    """

    quantizer: QuantizerConfiguration
    seed: int
    epochs: int
    image_size: int
    width: int
    multipliers: tuple[int, ...]
    images: int | None = None  # to train on, the first; all
    blocks: int = 1
    features: int = 64
    codes: int = 1024
    batch_size: int = 32
    alpha: float = 5.0
    perceptual: float = 0.0
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.95)
    warmup: float = 0.1  # of all steps
    validations: int = 6
    validated: int = 800

    @property
    def factor(self) -> int:
        """Pixels along a side for one code."""
        return int(2 ** (len(self.multipliers) - 1))

    @property
    def map_side(self) -> int:
        """Codes along a side of the map."""
        return self.image_size // self.factor

    @property
    def reading(self) -> str:
        """Which of the paper's size, factor and map hold."""
        side, codes = self.image_size, self.map_side
        return f"{side}x{side}, factor {self.factor}, {codes}x{codes} map"

    @property
    def loss(self) -> str:
        """What is minimised beside the quantizer's loss."""
        return f"MSE + {self.perceptual:g} LPIPS" if self.perceptual else "MSE"

    def trainer(self, images: Images, weights: Weights) -> train.Trainer:
        """The trainer at its first step; LPIPS is that of `weights`."""
        batches = data.Batches(
            images.training,
            batch_size=min(self.batch_size, len(images.training)),
            seed=self.seed,
            transform=data.RandomHorizontalFlip() if images.mirrored else None,
        )
        steps = self.epochs * len(batches)
        manual_seed(self.seed)
        model = models.VQGAN(
            self.quantizer.build(self.features, self.codes, steps),
            width=self.width,
            multipliers=self.multipliers,
            blocks=self.blocks,
            features=self.features,
        )
        optimizer = optim.AdamW(
            model.parameters(),
            lr=self.learning_rate,
            betas=self.betas,
            weight_decay=self.weight_decay,
        )
        return train.Trainer(
            model,
            optimizer,
            batches,
            objective=train.Reconstruction(self.alpha, self._error(weights)),
            schedule=optim.cosine_schedule(steps, warmup_steps=round(self.warmup * steps)),
        )

    def _error(self, weights: Weights) -> Callable[[Any, Any], Any]:
        """Of reconstructions and images."""
        if not self.perceptual:
            return nn.functional.mse_loss
        assert weights.lpips is not None
        lpips = train.PerceptualLoss(weights.lpips)
        return lambda x, y: nn.functional.mse_loss(x, y) + self.perceptual * lpips(x, y)


def tokenizer_run(
    chosen: TokenizerConfiguration, directory: Path, images: Images, judge: Judge, weights: Weights
) -> train.Run:
    """The run in its directory, at the step where it stopped."""
    test = images.test[: chosen.validated]
    real = judge.features(test)

    def validate(model: Any) -> dict[str, float]:
        codes = encoded(model, test)
        pictures = decoded(model, codes)
        error = np.square(pictures - data.unit_range(test), dtype=np.float64).mean()
        return {
            "mse": float(error),
            "perplexity": metrics.perplexity(codes, chosen.codes),
            **judge.distances(real, judge.features(pictures)),
        }

    trainer = chosen.trainer(images, weights)
    steps = chosen.epochs * len(trainer.batches)
    return train.Run(
        directory,
        trainer,
        configuration=chosen,
        checkpoint_every=500,
        validate=validate,
        validate_every=max(steps // chosen.validations, 1),
    )


def encoded(tokenizer: models.VQGAN, images: NDArray[Any]) -> NDArray[np.int32]:
    """int32 codes [n, h, w] of images, uint8 or float32 in [0, 1]."""
    batches = data.Batches(images, batch_size=_BATCH, shuffle=False)
    with evaluating(tokenizer), no_grad():
        return np.concatenate([tokenizer.encode(x).numpy() for x in batches])


def decoded(tokenizer: models.VQGAN, codes: NDArray[np.int32]) -> NDArray[np.float32]:
    """Images [n, h, w, 3] in [0, 1] of codes [n, h, w]."""
    with evaluating(tokenizer), no_grad():
        pictures = [tokenizer.decode(part).numpy() for part in _parts(codes)]
    return np.concatenate(pictures).clip(0, 1)


def _parts(codes: NDArray[np.int32]) -> Iterator[NDArray[np.int32]]:
    for start in range(0, len(codes), _BATCH):
        yield codes[start : start + _BATCH]
