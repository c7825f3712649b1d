"""Steps of an optimizer with given gradients, for tests against formulas and against torch."""

from __future__ import annotations

from typing import Any

import numpy as np
from vqswift import Tensor, optim

SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("Adam", {"lr": 0.01}),
    ("Adam", {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.01, "weight_decay": 0.1}),
]


def gradients(steps: int = 10) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.normal(size=(4, 5)).astype(np.float32) for _ in range(steps)]


def run(optimizer: optim.Optimizer, parameter: Tensor, steps: list[np.ndarray]) -> np.ndarray:
    for gradient in steps:
        parameter.grad = Tensor(gradient)
        optimizer.step()
    return parameter.numpy()
