"""A small module of each kind, and vectors for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import vqswift.torch as vqt

D, K = 6, 16


def seeded(kind: Callable[..., Any], *sizes: Any, **options: Any) -> Callable[[], Any]:
    return lambda: kind(*sizes, seed=3, **options)


FAMILY: dict[str, Callable[[], Any]] = {
    "plain": seeded(vqt.VectorQuant, D, K, sync_nu=0.5, affine_lr=0.5),
    "rotation, projected": seeded(vqt.VectorQuant, D, K, code_size=3, gradient="rotation"),
    "directional, moments": seeded(
        vqt.VectorQuant, D, K, gradient="directional", affine="ema", replace_freq=2
    ),
    "EMA, k-means, replaced": seeded(
        vqt.VectorQuant, D, K, ema_decay=0.9, kmeans_init=True, replace_freq=1
    ),
    "drawn, l2": seeded(vqt.VectorQuant, D, K, temperature=0.5, norm="l2", cb_norm="l2"),
    "SimVQ": seeded(vqt.VectorQuant, D, K, simvq=True),
    "entropy, batch norm": seeded(vqt.VectorQuant, D, K, entropy_weight=0.1, norm="bn"),
    "group": seeded(vqt.GroupVectorQuant, D, K, groups=2, sync_nu=0.3),
    "shared group": seeded(vqt.GroupVectorQuant, D, K, groups=2, shared=True, ema_decay=0.8),
    "residual": seeded(vqt.ResidualVectorQuant, D, K, stages=3),
    "residual, dropout": seeded(
        vqt.ResidualVectorQuant, D, K, stages=3, quantizer_dropout=0.7, ema_decay=0.8
    ),
    "shared residual": seeded(vqt.ResidualVectorQuant, D, K, stages=3, shared=True),
    "FSQ": lambda: vqt.FSQ([5, 4, 3, 2, 7, 2]),
    "LFQ": lambda: vqt.LFQ(D, commitment_weight=0.3),
    "Gumbel": seeded(vqt.GumbelQuant, D, K, temperature_decay=0.9),
    "SQ-VAE": seeded(vqt.SQVAEQuant, D, K, temperature_decay=0.9),
}


def vectors(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def trained(module: Any, steps: int = 2) -> Any:
    """The module after forwards that start, move and replace codes."""
    for step in range(steps):
        module(vectors(4, 9, D, seed=step))
    return module
