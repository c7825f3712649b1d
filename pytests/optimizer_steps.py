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
    ("RMSprop", {"lr": 0.01}),
    ("RMSprop", {"lr": 0.01, "alpha": 0.9, "momentum": 0.8, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.01, "alpha": 0.3, "eps": 1e-3, "centered": True}),
    ("RMSprop", {"lr": 0.01, "centered": True, "momentum": 0.5}),
    ("Adagrad", {"lr": 0.1}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "eps": 1e-6}),
    ("Adagrad", {"lr": 0.1, "initial_accumulator_value": 0.5}),
    ("Adafactor", {"lr": 0.1}),
    ("Adafactor", {"lr": 0.3, "beta2_decay": -0.5, "d": 1.5, "weight_decay": 0.1}),
    ("Adafactor", {"lr": 0.1, "eps": (1e-2, 0.5)}),
]
# Those that torch has not, or has in bfloat16.
OWN_SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("Lion", {"lr": 0.01}),
    ("Lion", {"lr": 0.01, "betas": (0.3, 0.6), "weight_decay": 0.1}),
    ("Muon", {"lr": 0.02}),
    ("Muon", {"lr": 0.02, "momentum": 0.3, "nesterov": False, "adjust_lr_fn": "match_rms_adamw"}),
    ("Muon", {"lr": 0.02, "weight_decay": 0.0, "adjust_lr_fn": "spectral_unclamped"}),
    ("Muon", {"lr": 0.02, "ns_coefficients": (1.875, -1.25, 0.375), "ns_steps": 9, "eps": 1e-3}),
]


def gradients(steps: int = 10, shape: tuple[int, ...] = (4, 5)) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [np.asarray(rng.normal(size=shape), np.float32) for _ in range(steps)]


def run(optimizer: optim.Optimizer, parameter: Tensor, steps: list[np.ndarray]) -> np.ndarray:
    for gradient in steps:
        parameter.grad = Tensor(gradient)
        optimizer.step()
    return parameter.numpy()
