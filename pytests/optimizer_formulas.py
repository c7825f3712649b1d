"""Steps of optimizers in Float64 NumPy, from their papers."""

from __future__ import annotations

from typing import Any

import numpy as np


def rmsprop(
    p: np.ndarray,
    gradients: list[np.ndarray],
    *,
    lr: float,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    centered: bool = False,
) -> np.ndarray:
    square = mean = buffer = np.zeros_like(p)
    for g in gradients:
        g = g + weight_decay * p
        square = alpha * square + (1 - alpha) * g**2
        mean = alpha * mean + (1 - alpha) * g
        spread = square - mean**2 if centered else square
        buffer = momentum * buffer + g / (np.sqrt(spread) + eps)
        p = p - lr * buffer
    return p


def adagrad(
    p: np.ndarray,
    gradients: list[np.ndarray],
    *,
    lr: float,
    lr_decay: float = 0.0,
    weight_decay: float = 0.0,
    initial_accumulator_value: float = 0.0,
    eps: float = 1e-10,
) -> np.ndarray:
    total = np.full_like(p, initial_accumulator_value)
    for t, g in enumerate(gradients):
        g = g + weight_decay * p
        total = total + g**2
        p = p - lr / (1 + t * lr_decay) * g / (np.sqrt(total) + eps)
    return p


def lion(
    p: np.ndarray,
    gradients: list[np.ndarray],
    *,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.99),
    weight_decay: float = 0.0,
) -> np.ndarray:
    m = np.zeros_like(p)
    for g in gradients:
        p = p * (1 - lr * weight_decay) - lr * np.sign(betas[0] * m + (1 - betas[0]) * g)
        m = betas[1] * m + (1 - betas[1]) * g
    return p


def adafactor(
    p: np.ndarray,
    gradients: list[np.ndarray],
    *,
    lr: float,
    beta2_decay: float = -0.8,
    eps: tuple[float, float] = (2.0**-23, 1e-3),
    d: float = 1.0,
    weight_decay: float = 0.0,
) -> np.ndarray:
    def rms(x: np.ndarray) -> float:
        return float(np.sqrt(np.mean(x**2)))

    row = column = square = 0.0
    for t, g in enumerate(gradients, 1):
        share = t**beta2_decay
        rate = max(eps[1], rms(p)) * min(lr, t**-0.5)
        p = p * (1 - lr * weight_decay)
        if p.ndim > 1:
            row = row + share * ((g**2).mean(-1, keepdims=True) - row)
            column = column + share * ((g**2).mean(-2, keepdims=True) - column)
            estimate = row @ column / np.maximum(row.mean(-2, keepdims=True), eps[0])
        else:
            estimate = square = square + share * (g**2 - square)
        update = g / np.sqrt(np.maximum(estimate, eps[0] ** 2))
        p = p - rate * update / max(1.0, rms(update) / d)
    return p


def muon(
    p: np.ndarray,
    gradients: list[np.ndarray],
    *,
    lr: float,
    weight_decay: float = 0.1,
    momentum: float = 0.95,
    nesterov: bool = True,
    ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
    eps: float = 1e-7,
    ns_steps: int = 5,
    adjust_lr_fn: str = "original",
) -> np.ndarray:
    m = np.zeros_like(p)
    rows, columns = p.shape
    factor = {
        "original": max(1.0, rows / columns) ** 0.5,
        "match_rms_adamw": 0.2 * max(rows, columns) ** 0.5,
        "spectral_unclamped": (rows / columns) ** 0.5,
    }[adjust_lr_fn]
    for g in gradients:
        m = momentum * m + (1 - momentum) * g
        x = (1 - momentum) * g + momentum * m if nesterov else m
        # The polynomial acts on singular values alone.
        u, s, v = np.linalg.svd(x, full_matrices=False)
        s = s / max(float(np.linalg.norm(x)), eps)
        for _ in range(ns_steps):
            s = ns_coefficients[0] * s + ns_coefficients[1] * s**3 + ns_coefficients[2] * s**5
        p = p * (1 - lr * weight_decay) - lr * factor * (u * s) @ v
    return p


FORMULAS: dict[str, Any] = {
    "RMSprop": rmsprop,
    "Adagrad": adagrad,
    "Lion": lion,
    "Adafactor": adafactor,
    "Muon": muon,
}
