"""Training of an autoencoder with a quantizer: a loop, its metrics, evaluation, checkpoints.

trainer = Trainer(model, optimizer, Batches(images), alpha=5.0, metrics="metrics.jsonl")
trainer.fit(600)
print(evaluate(model, test_images))
"""

from typing import TYPE_CHECKING

from .._renamed import renamed
from ._checkpoint import load_model, load_trainer, save_trainer
from ._evaluation import Evaluation, evaluate, perplexity_of, psnr_of, reconstruct
from ._progress import track
from ._trainer import StepMetrics, Trainer

__all__ = [
    "Evaluation",
    "StepMetrics",
    "Trainer",
    "evaluate",
    "load_model",
    "load_trainer",
    "perplexity_of",
    "psnr_of",
    "reconstruct",
    "save_trainer",
    "track",
]

if not TYPE_CHECKING:
    __getattr__ = renamed(__name__, {"psnr": "psnr_of", "perplexity": "perplexity_of"})
