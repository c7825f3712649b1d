"""Batch norms over the vectors of all ranks."""

from __future__ import annotations

import numpy as np

from .._arguments import checked
from ..nn import Module
from ..nn._native import Native
from ._current import current
from ._moments import joined
from ._tree import Array, FixedTree


@checked
def synchronize_batch_norms(model: Module) -> None:
    """Let the batch norms of `model` normalize by the moments of all ranks' vectors in training.

    As torch's SyncBatchNorm: mean and variance are those of the whole batch, the backward takes its
    sums over all ranks, and running statistics are the same bits on every rank. Layers stay what
    they are; native networks such as the sides of `SQVAE` and `ResNet50` have their batch norms
    synchronized too, copies of a layer as well, and in one process nothing changes. Call it on
    every rank before training, and again on a model that a file has made.

    Each training forward of a batch norm then exchanges 1 + 2 c numbers and each backward 2 c, all
    float64: every rank must make the same forwards and backwards. A rank without vectors forwards a
    batch of none, `x[:0]`. `no_grad` forwards in training count too; `distributed.alone()` is a
    scope without exchange.

    ValueError for a model without batch norms; in training for fewer than two vectors on all ranks
    together.
    """
    layers = [module for module in model.modules() if isinstance(module, Native)]
    if not any([layer._share_moments() for layer in layers]):
        raise ValueError(
            f"[synchronize_batch_norms] {type(model).__name__} has no batch norm: there is nothing "
            "to synchronize"
        )


def shares_moments(model: Module) -> bool:
    """Whether batch norms of `model` take the moments of all ranks."""
    return any(module._shares_moments for module in model.modules())


def exchanged(moments: bool, values: bytes) -> Array:
    """Moments or sums of this rank's vectors to those of all ranks', along a tree over ranks."""
    own, here = np.frombuffer(values), current()
    if here.size == 1:
        return own
    if not moments:
        return here.all_reduce(own)
    tree = FixedTree(joined)
    for rank, part in enumerate(here.all_gather_of(own, [len(own)] * here.size)):
        tree.add_leaf(rank, part)
    return tree.total()
