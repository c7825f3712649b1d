"""A row of Table 9 from beginning to end: tokenizer, codes, transformer, samples, pictures."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .... import models, train
from ...._atomic import write_whole
from .._weights import Weights
from . import _measures, _pictures
from ._judge import JudgeConfiguration, loaded_judge
from ._sets import Images
from ._tokenizer import encoded, tokenizer_run
from ._transformer import GenerationConfiguration, transformer_run

TOKENIZER = "tokenizer"  # the folder of its run, in the row's
_CODES, _NETWORKS = "codes.npy", "networks"


@dataclass(frozen=True)
class Generation:
    """Trains and measures rows of Table 9.

    Attributes:
        images: to train on and to compare with.
        judge: how the classifier was trained.
        judge_folder: where it is.
        samples: how many are compared, and how many test images.
        weights: of published networks.
    """

    images: Images
    judge: JudgeConfiguration
    judge_folder: Path
    samples: int
    weights: Weights

    def trained(
        self, configuration: GenerationConfiguration, directory: Path, *, shown: bool
    ) -> Mapping[str, Any]:
        """The row's numbers; what its directory has already is not done again."""
        images, judge = self.images, loaded_judge(self.judge_folder, self.judge)
        own = configuration.tokenizer
        first = tokenizer_run(own, directory / TOKENIZER, images, judge, self.weights)
        first.fit(own.epochs * first.epoch, progress=shown, label=f"{configuration.row}, tokenizer")
        tokenizer: Any = first.trainer.model.eval()
        codes = _kept_codes(directory / _CODES, tokenizer, images)
        run = transformer_run(configuration, directory, tokenizer, codes, images, judge)
        run.fit(configuration.epochs * run.epoch, progress=shown, label=configuration.row)
        start = time.perf_counter()
        assert run.trainer.ema is not None
        with run.trainer.ema.applied() as averaged:
            transformer: Any = averaged
            painter = configuration.painter(tokenizer, transformer)
            # The networks are for `vqswift sample` and `vqswift inpaint`.
            tokenizer.save_pretrained(directory / _NETWORKS / TOKENIZER)
            transformer.save_pretrained(directory / _NETWORKS / "transformer")
            _pictures.draw(painter, images, directory)
            told = _measures.of_tokenizer(painter, images, judge, self.samples, self.weights)
            told |= _measures.of_samples(painter, images, judge, self.samples, self.weights)
        parts = {
            "tokenizer_seconds": _seconds(first),
            "transformer_seconds": _seconds(run),
            "measuring_seconds": time.perf_counter() - start,
        }
        facts = {
            "dataset": images.name,
            "reading": own.reading,
            "tokenizer_epochs": own.epochs,
            "tokenizer_loss": own.loss,
            "training_images": len(images.training),
        }
        return facts | told | parts | {"seconds": sum(parts.values())}


def _seconds(run: train.Run) -> float:
    """Of all steps and validations."""
    keys = ("seconds", "validation.seconds")
    return sum(float(line[key]) for line in run.history() for key in keys if key in line)


def _kept_codes(
    path: Path, tokenizer: models.VQGAN, images: Images
) -> tuple[NDArray[np.int32], NDArray[np.int32] | None]:
    """Codes of all training images and their classes; the codes are kept in a file."""
    if path.is_file():
        return np.load(path, allow_pickle=False), images.code_labels
    codes = images.training_codes(partial(encoded, tokenizer))
    stream = io.BytesIO()
    np.save(stream, codes, allow_pickle=False)
    write_whole(path, stream.getvalue())
    return codes, images.code_labels
