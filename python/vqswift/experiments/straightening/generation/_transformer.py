"""The transformer of Table 9 as a run: a MaskGIT of the tokenizer's codes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .... import data, models, optim, train
from ...._functions import no_grad
from ...._random import Generator, manual_seed
from ....nn._mode import evaluating
from ._judge import Judge
from ._painter import Painter, SamplingConfiguration
from ._sets import Images
from ._tokenizer import TokenizerConfiguration, encoded

VALIDATION_SEED = 1  # of what validations draw, each alike


@dataclass(frozen=True)
class TransformerConfiguration:
    """A MaskGIT, AdamW with warm-up and cosine, no decay on embeddings, an average of the weights.

    `validated` samples are compared after each of `validations` equal parts of the training.
    """

    epochs: int
    width: int = 96
    depth: int = 8
    heads: int = 3
    dropout: float = 0.1
    norm_first: bool = True
    batch_size: int = 32
    label_smoothing: float = 0.1
    class_drop: float = 0.1
    learning_rate: float = 1e-3
    weight_decay: float = 0.045
    betas: tuple[float, float] = (0.9, 0.96)
    warmup: float = 0.1  # of all steps
    clip_norm: float | None = 1.0
    ema: float = 0.995
    validations: int = 6
    validated: int = 400

    def trainer(
        self,
        seed: int,
        codes: NDArray[np.int32],
        labels: NDArray[np.int32] | None,
        num_codes: int,
        classes: int,
    ) -> train.Trainer:
        """The trainer at its first step, over codes [n, length]."""
        batches = data.Batches(
            codes.astype(np.float32),
            labels,
            batch_size=min(self.batch_size, len(codes)),
            seed=seed,
            value_range=None,
        )
        steps = self.epochs * len(batches)
        manual_seed(seed)
        model = models.MaskGIT(
            num_codes,
            codes.shape[1],
            classes=classes,
            width=self.width,
            depth=self.depth,
            heads=self.heads,
            hidden=4 * self.width,
            dropout=self.dropout,
            norm_first=self.norm_first,
        )
        still = [model.embedding.weight, model.positions]
        moving = [p for p in model.parameters() if not any(p is each for each in still)]
        groups: list[dict[str, Any]] = [
            {"params": moving},
            {"params": still, "weight_decay": 0.0},
        ]
        optimizer = optim.AdamW(
            groups,
            lr=self.learning_rate,
            betas=self.betas,
            weight_decay=self.weight_decay,
        )
        return train.Trainer(
            model,
            optimizer,
            batches,
            objective=train.MaskedPrediction(self.label_smoothing, self.class_drop),
            schedule=optim.cosine_schedule(steps, warmup_steps=round(self.warmup * steps)),
            clip_norm=self.clip_norm,
            ema=self.ema,
        )


@dataclass(frozen=True)
class GenerationConfiguration:
    """A row of Table 9: its tokenizer, its transformer, and how samples are drawn.

    `epochs` are the transformer's.
    """

    row: str
    tokenizer: TokenizerConfiguration
    transformer: TransformerConfiguration
    sampling: SamplingConfiguration

    @property
    def seed(self) -> int:
        """Of weights, codes and batches."""
        return self.tokenizer.seed

    @property
    def epochs(self) -> int:
        """Of the transformer, by which rows are told apart."""
        return self.transformer.epochs

    def painter(self, tokenizer: models.VQGAN, transformer: models.MaskGIT) -> Painter:
        """Both networks with the row's way to draw."""
        return Painter(tokenizer, transformer, self.sampling, self.tokenizer.map_side)


def transformer_run(
    chosen: GenerationConfiguration,
    directory: Path,
    tokenizer: models.VQGAN,
    codes: tuple[NDArray[np.int32], NDArray[np.int32] | None],
    images: Images,
    judge: Judge,
) -> train.Run:
    """The run in its directory, at the step where it stopped.

    `codes`: those of the training images [n, h, w], and their classes.
    """
    own = chosen.transformer
    real = judge.features(images.compared_images(own.validated))
    test = encoded(tokenizer, images.test[: own.validated]).reshape(-1, codes[0][0].size)
    test_labels = None if images.test_labels is None else images.test_labels[: own.validated]

    def validate(model: Any) -> dict[str, float]:
        start = time.perf_counter()
        made, _ = chosen.painter(tokenizer, model).samples(own.validated, VALIDATION_SEED)
        found = judge.distances(real, judge.features(made))
        found["test_loss"] = _loss(model, test, test_labels)
        return found | {"seconds": time.perf_counter() - start}

    trainer = own.trainer(
        chosen.seed,
        codes[0].reshape(len(codes[0]), -1),
        codes[1],
        chosen.tokenizer.codes,
        images.classes,
    )
    steps = own.epochs * len(trainer.batches)
    return train.Run(
        directory,
        trainer,
        configuration=chosen,
        checkpoint_every=500,
        validate=validate,
        validate_every=max(steps // own.validations, 1),
    )


def _loss(model: Any, codes: NDArray[np.int32], labels: NDArray[np.int32] | None) -> float:
    """Cross-entropy on hidden codes, of the same places every time, nothing smoothed."""
    objective = train.MaskedPrediction(0.0, 0.0, generator=Generator(VALIDATION_SEED))
    batches = data.Batches(
        codes.astype(np.float32), labels, batch_size=64, shuffle=False, value_range=None
    )
    with evaluating(model), no_grad():
        losses = [float(objective(model, batch).loss) for batch in batches]
    return float(np.mean(losses))
