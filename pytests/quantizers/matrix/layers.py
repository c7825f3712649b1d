"""A small layer of each kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vqswift as vq

Layer = vq.VectorQuant | vq.GroupVectorQuant | vq.ResidualVectorQuant


def vectors(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.5, 1.0, shape).astype(np.float32)


def plain(**options: Any) -> Layer:
    return vq.VectorQuant(4, 8, **options)


def group(**options: Any) -> Layer:
    return vq.GroupVectorQuant(4, 8, groups=2, **options)


def shared_group(**options: Any) -> Layer:
    return vq.GroupVectorQuant(4, 8, groups=2, shared=True, **options)


def residual(**options: Any) -> Layer:
    return vq.ResidualVectorQuant(4, 8, stages=3, **options)


def shared_residual(**options: Any) -> Layer:
    return vq.ResidualVectorQuant(4, 8, stages=3, shared=True, **options)


def named(make: Callable[..., Layer]) -> str:
    return make.__name__.replace("_", " ")


LAYERS = [plain, group, shared_group, residual, shared_residual]
every_layer = pytest.mark.parametrize("make", LAYERS, ids=named)
