"""Named settings of quantizers: what the literature and our own runs say to use, and when.

A recipe is `VectorQuant` options and the alpha that weighs `info.loss` in the task's loss:

    recipe = vq.recipes.get("recommended")
    layer = recipe.build(feature_size=32, num_codes=256)
    loss = task_loss + recipe.alpha * info.loss

Each was measured on one task, in which `docs/quantizers.md` compares them: a small autoencoder of
CIFAR-10 images in [-1, 1] with 256 codes of 32 elements, L1 loss, AdamW at 3e-4, 600 steps of 128
images. `mse` and `perplexity` are means over three seeds on 2,000 test images
(`python benchmarks/recipes.py`, results/recipes/recipes.json).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ._tensor import Tensor
from ._vector_quant import VectorQuant
from .optim import SGD, Optimizer

__all__ = ["Measured", "Recipe", "get", "names"]


@dataclass(frozen=True)
class Measured:
    """Test MSE and test perplexity, means over three seeds."""

    mse: float
    perplexity: float


@dataclass(frozen=True)
class Recipe:
    """A setting of `VectorQuant`.

    `when` says what it is for, `source` where it comes from, `alpha` the weight of `info.loss`.
    `inplace_rate`, unless 0, is a rate that does not depend on sizes: an in-place step moves a code
    of average use by this fraction of the way to the mean of its vectors.
    """

    name: str
    when: str
    source: str
    alpha: float
    options: Mapping[str, Any]
    measured: Measured
    inplace_rate: float = field(default=0.0)

    def build(self, feature_size: int, num_codes: int, **changes: Any) -> VectorQuant:
        """The layer; `changes` are further `VectorQuant` arguments, or others in place of the
        recipe's."""
        arguments = dict(self.options)
        if self.inplace_rate:
            arguments["inplace_optimizer"] = self._inplace_optimizer(feature_size, num_codes)
        return VectorQuant(feature_size, num_codes, **(arguments | changes))
