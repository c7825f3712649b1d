"""Named settings of `VectorQuant`: what the literature and our own runs say to use, and when.

    recipe = vq.recipes.get("recommended")
    layer = recipe.build(feature_size=32, num_codes=256)
    z_q, info = layer(z)
    loss = task_loss + recipe.alpha * info.loss

Each was measured on one task, where `docs/quantizers.md` compares them: a small autoencoder of
CIFAR-10 images in [-1, 1], 64 vectors an image, 256 codes of 32 elements, L1 loss, AdamW at 3e-4,
600 steps of 128 images. `python -m benchmarks.recipes` trains them all; `measured` is what it wrote
to results/recipes/recipes.json.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ._arguments import checked
from ._tensor import Tensor
from .optim import SGD, Optimizer
from .quantizers._vector import VectorQuant, VectorQuantOptions

__all__ = ["Measured", "Recipe", "get", "names"]


@dataclass(frozen=True)
class Measured:
    """Test MSE and the perplexity of all test codes, each the mean over three seeds."""

    mse: float
    perplexity: float


@checked
@dataclass(frozen=True)
class Recipe:
    """A setting of `VectorQuant`.

    `when` says what it is for, `source` where it comes from and `alpha` the weight of `info.loss`
    in the loss. `options` gives the layer's options from feature size and number of codes.
    """

    name: str
    when: str
    source: str
    alpha: float
    options: Callable[[int, int], VectorQuantOptions]
    measured: Measured

    def build(self, feature_size: int, num_codes: int, **changes: Any) -> VectorQuant:
        """The layer; `changes` are further arguments of `VectorQuant`, or others in place of the
        recipe's."""
        arguments: dict[str, Any] = dict(self.options(feature_size, num_codes))
        return VectorQuant(feature_size, num_codes, **(arguments | changes))


@dataclass(frozen=True)
class _Inplace:
    """SGD that moves a code by `rate` of the way to its vectors' mean, when it has 1/k of them.

    The gradient of the mean squared error is 2 / (k d) times that way, for codes [k, d].
    """

    rate: float

    def __call__(self, codes: list[Tensor]) -> Optimizer:
        return SGD(codes, lr=self.rate * codes[0].size / 2)


def _plain(d: int, k: int) -> VectorQuantOptions:
    return {"init": "kmeans", "beta": 0.5}


def _ema(d: int, k: int) -> VectorQuantOptions:
    return {"init": "kmeans", "beta": 0.0, "ema_decay": 0.9, "replace_freq": 20}


def _rotation(d: int, k: int) -> VectorQuantOptions:
    return _ema(d, k) | {"ema_decay": 0.8, "gradient": "rotation"}


def _alternating(d: int, k: int) -> VectorQuantOptions:
    return {
        "init": "kmeans",
        "beta": 0.5,
        "replace_freq": 20,
        "inplace_optimizer": _Inplace(0.25),
    }


def _synchronized(d: int, k: int) -> VectorQuantOptions:
    return _alternating(d, k) | {"affine_lr": 2.0, "sync_nu": 0.003}


def _directional(d: int, k: int) -> VectorQuantOptions:
    return {"init": "kmeans", "gradient": "directional", "affine": "ema", "replace_freq": 5}


def _projected(d: int, k: int) -> VectorQuantOptions:
    return _directional(d, k) | {"code_size": max(d // 2, 1)}


def _cosine(d: int, k: int) -> VectorQuantOptions:
    return _rotation(d, k) | {"code_size": max(d // 4, 1), "norm": "l2", "cb_norm": "l2"}


def _simvq(d: int, k: int) -> VectorQuantOptions:
    return {"init": "kmeans", "beta": 0.5, "simvq": True}


_RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="recommended",
            when="first choice: every code in use, the lowest error of all that we measured",
            source="directional reparametrization with affine moments (Huh et al. 2023, A.12), "
            "replacement, and projections to half the size",
            alpha=0.0,
            options=_projected,
            measured=Measured(mse=0.03160, perplexity=231.8),
        ),
        Recipe(
            name="directional",
            when="the same without projections: no parameters beside the codebook",
            source="directional reparametrization with affine moments and replacement",
            alpha=0.0,
            options=_directional,
            measured=Measured(mse=0.03357, perplexity=225.3),
        ),
        Recipe(
            name="synchronized",
            when="an exact straight-through layer whose codebook follows encoder and decoder",
            source="all of Huh et al. 2023: affine map, synchronized and alternating updates, "
            "replacement",
            alpha=4.0,
            options=_synchronized,
            measured=Measured(mse=0.03335, perplexity=217.7),
        ),
        Recipe(
            name="alternating",
            when="the same without the affine map and the synchronized gradient",
            source="Huh et al. 2023: alternating updates, k-means start, replacement",
            alpha=4.0,
            options=_alternating,
            measured=Measured(mse=0.03353, perplexity=218.8),
        ),
        Recipe(
            name="ema",
            when="no optimizer for the codebook, as in VQ-VAE-2",
            source="van den Oord et al. 2017, appendix A.1; replacement",
            alpha=10.0,
            options=_ema,
            measured=Measured(mse=0.03453, perplexity=221.6),
        ),
        Recipe(
            name="rotation",
            when="ema with gradients that depend on where in its cell a vector lies",
            source="Fifty et al. 2024",
            alpha=10.0,
            options=_rotation,
            measured=Measured(mse=0.03535, perplexity=207.4),
        ),
        Recipe(
            name="cosine",
            when="large codebooks for a transformer to predict: low-dimensional unit codes",
            source="Yu et al. 2021 (ViT-VQGAN), with EMA and the rotation trick",
            alpha=10.0,
            options=_cosine,
            measured=Measured(mse=0.03518, perplexity=234.9),
        ),
        Recipe(
            name="simvq",
            when="very large codebooks: one linear map moves all codes together",
            source="Zhu et al. 2024",
            alpha=10.0,
            options=_simvq,
            measured=Measured(mse=0.03887, perplexity=151.8),
        ),
        Recipe(
            name="plain",
            when="the baseline that the others are measured against",
            source="van den Oord et al. 2017, k-means start",
            alpha=20.0,
            options=_plain,
            measured=Measured(mse=0.03645, perplexity=139.4),
        ),
    )
}


def names() -> list[str]:
    """The recipes' names, the recommended one first."""
    return [*_RECIPES]


@checked
def get(name: str = "recommended") -> Recipe:
    """The recipe of that name; ValueError for any other."""
    if name not in _RECIPES:
        raise ValueError(f"[recipes] name = {name!r}: it must be one of {names()}")
    return _RECIPES[name]
