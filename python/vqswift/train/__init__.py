"""Training of an autoencoder with a quantizer: a loop, its metrics, evaluation, checkpoints.

trainer = Trainer(model, optimizer, Batches(images), alpha=5.0, metrics="metrics.jsonl")
trainer.fit(600)
print(evaluate(model, test_images))
"""

from typing import TYPE_CHECKING

from .._renamed import renamed
from ._adversarial import (
    AdversarialLoss,
    adaptive_weight,
    hinge_discriminator_loss,
    hinge_generator_loss,
)
from ._checkpoint import load_model, load_trainer, save_trainer
from ._configuration import from_toml, to_toml
from ._evaluation import Evaluation, evaluate, perplexity_of, psnr_of, reconstruct
from ._loggers import Logger, TensorBoard
from ._masked_prediction import MaskedPrediction
from ._objectives import Classification, Objective, Reconstruction
from ._perceptual_loss import PerceptualLoss
from ._progress import track
from ._run import Run
from ._trainer import StepMetrics, Trainer

__all__ = [
    "AdversarialLoss",
    "Classification",
    "Evaluation",
    "Logger",
    "MaskedPrediction",
    "Objective",
    "PerceptualLoss",
    "Reconstruction",
    "Run",
    "StepMetrics",
    "TensorBoard",
    "Trainer",
    "adaptive_weight",
    "evaluate",
    "from_toml",
    "hinge_discriminator_loss",
    "hinge_generator_loss",
    "load_model",
    "load_trainer",
    "perplexity_of",
    "psnr_of",
    "reconstruct",
    "save_trainer",
    "to_toml",
    "track",
]

if not TYPE_CHECKING:
    __getattr__ = renamed(__name__, {"psnr": "psnr_of", "perplexity": "perplexity_of"})
