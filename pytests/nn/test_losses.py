"""Losses against their formulas in Float64, values and gradients along random ways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift.nn import functional

RNG = np.random.default_rng(0)
A, B, C = (RNG.standard_normal((6, 5)).astype(np.float32) for _ in range(3))
SHARES = RNG.uniform(0.05, 0.95, (6, 5)).astype(np.float32)
LABELS = np.array([0, 4, 2, 2, 1, 3], np.int32)
SIGNS = np.array([1, -1, 1, 1, -1, -1], np.float32)
WEIGHT = np.array([0.5, 1, 2, 1, 3], np.float32)
Loss = Callable[..., Any]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def log_softmax(x: np.ndarray) -> np.ndarray:
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def picked(x: np.ndarray, labels: np.ndarray = LABELS) -> np.ndarray:
    return -np.take_along_axis(x, labels[..., None], -1)[..., 0]


def huber(d: np.ndarray, delta: float) -> np.ndarray:
    return np.where(np.abs(d) <= delta, d * d / 2, delta * (np.abs(d) - delta / 2))


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(-1) / np.sqrt((a * a).sum(-1) * (b * b).sum(-1))


def far(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.sqrt(((a - b + 1e-6) ** 2).sum(-1))


def binary(x: np.ndarray, weight: np.ndarray | float = 1.0) -> np.ndarray:
    return -(weight * SHARES * np.log(sigmoid(x)) + (1 - SHARES) * np.log(1 - sigmoid(x)))


# The loss of the first argument, and each sample's or element's in Float64.
LOSSES: dict[str, tuple[Loss, Loss]] = {
    "mse": (lambda x, r: functional.mse_loss(x, B, r), lambda x: (x - B) ** 2),
    "l1": (lambda x, r: functional.l1_loss(x, B, r), lambda x: np.abs(x - B)),
    "huber": (lambda x, r: functional.huber_loss(x, B, r, 0.7), lambda x: huber(x - B, 0.7)),
    "smooth l1": (
        lambda x, r: functional.smooth_l1_loss(x, B, r, 0.7),
        lambda x: huber(x - B, 0.7) / 0.7,
    ),
    "binary": (
        lambda x, r: functional.binary_cross_entropy_with_logits(x, SHARES, r),
        binary,
    ),
    "weighted binary": (
        lambda x, r: functional.binary_cross_entropy_with_logits(x, SHARES, r, WEIGHT),
        lambda x: binary(x, WEIGHT),
    ),
    "kl": (
        lambda x, r: functional.kl_div(x, SHARES, r),
        lambda x: SHARES * (np.log(SHARES.astype(float)) - x),
    ),
    "kl of logarithms": (
        lambda x, r: functional.kl_div(x, B, r, log_target=True),
        lambda x: np.exp(B.astype(float)) * (B - x),
    ),
    "nll": (lambda x, r: functional.nll_loss(x, LABELS, r), picked),
    "cross entropy": (
        lambda x, r: functional.cross_entropy(x, LABELS, reduction=r),
        lambda x: picked(log_softmax(x)),
    ),
    "cosine": (
        lambda x, r: functional.cosine_embedding_loss(x, B, SIGNS, 0.2, r),
        lambda x: np.where(SIGNS > 0, 1 - cosine(x, B), np.maximum(cosine(x, B) - 0.2, 0)),
    ),
    "triplet": (
        lambda x, r: functional.triplet_margin_loss(x, B, C, reduction=r),
        lambda x: np.maximum(far(x, B) - far(x, C) + 1, 0),
    ),
}
REDUCTIONS: dict[str, Loss] = {"mean": np.mean, "sum": np.sum, "none": lambda x: x}


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", LOSSES)
def test_values_and_gradients(name: str, reduction: str) -> None:
    loss, reference = LOSSES[name]
    reduce = REDUCTIONS[reduction]
    x = vq.Tensor(A, requires_grad=True)
    found = loss(x, reduction)
    at = A.astype(np.float64)
    np.testing.assert_allclose(found.numpy(), reduce(reference(at)), rtol=2e-5, atol=1e-5)
    g = np.random.default_rng(1).standard_normal(found.shape).astype(np.float32)
    found.backward(vq.Tensor(g))
    assert x.grad is not None
    for seed in range(3):
        way = np.random.default_rng(seed).standard_normal(A.shape)
        ends = [(reduce(reference(at + h * way)) * g).sum() for h in (1e-6, -1e-6)]
        np.testing.assert_allclose(
            (x.grad.numpy() * way).sum(), (ends[0] - ends[1]) / 2e-6, rtol=1e-3, atol=1e-4
        )


@pytest.mark.parametrize("function", [functional.cross_entropy, functional.nll_loss])
def test_labels_that_are_ignored_count_nothing(function: Loss) -> None:
    labels = np.array([[0, -1, 2], [-1, 1, 4]], np.int32)
    x = vq.Tensor(A.reshape(2, 3, 5), requires_grad=True)
    found = function(x, labels, ignore_index=-1)
    given = A.reshape(2, 3, 5).astype(float)
    logs = log_softmax(given) if function is functional.cross_entropy else given
    each = picked(logs, np.maximum(labels, 0))
    np.testing.assert_allclose(found.numpy(), each[labels >= 0].mean(), rtol=1e-5)
    found.backward()
    assert x.grad is not None and not x.grad.numpy()[labels < 0].any()
    none = function(x, labels, reduction="none", ignore_index=-1).numpy()
    assert not none[labels < 0].any()
    with pytest.raises(ValueError, match="every label is ignore_index = 3"):
        function(x, np.full((2, 3), 3, np.int32), ignore_index=3)


def test_cross_entropy_of_several_axes_is_that_of_all_rows() -> None:
    x, labels = A.reshape(2, 3, 5), LABELS.reshape(2, 3)
    np.testing.assert_array_equal(
        functional.cross_entropy(x, labels).numpy(), functional.cross_entropy(A, LABELS).numpy()
    )


def test_probabilities_of_zero_cost_nothing_where_they_are_not_picked() -> None:
    logs = np.array([[0.0, -np.inf]], np.float32)
    assert functional.nll_loss(logs, np.array([0], np.int32)).item() == 0
    assert np.isinf(functional.nll_loss(logs, np.array([1], np.int32)).item())
    targets = np.array([[1.0, 0.0]], np.float32)
    assert functional.kl_div(np.zeros((1, 2), np.float32), targets).item() == 0


def test_logits_far_from_zero_are_finite() -> None:
    x = np.array([200.0, -200.0, 200.0, -200.0], np.float32)
    t = np.array([1, 0, 0, 1], np.float32)
    found = functional.binary_cross_entropy_with_logits(x, t, "none").numpy()
    np.testing.assert_allclose(found, [0, 0, 200, 200])


REFUSED: dict[str, tuple[Loss, type[Exception], str]] = {
    "reduction": (lambda: functional.mse_loss(A, B, "median"), ValueError, "mean, sum or none"),
    "shapes": (lambda: functional.huber_loss(A, B[:2]), ValueError, "must have one shape"),
    "delta": (lambda: functional.huber_loss(A, B, delta=0), ValueError, "delta = 0"),
    "beta": (lambda: functional.smooth_l1_loss(A, B, beta=0), ValueError, "beta = 0"),
    "labels": (lambda: functional.nll_loss(A, LABELS[:2]), ValueError, "before the classes"),
    "kind": (lambda: functional.nll_loss(A, SIGNS), TypeError, "int32 is required"),
    "smoothing": (
        lambda: functional.cross_entropy(A, LABELS, 1.5, reduction="sum"),
        ValueError,
        "label_smoothing = 1.5",
    ),
    "target": (
        lambda: functional.cosine_embedding_loss(A, B, SIGNS[:2]),
        ValueError,
        r"the shape \[6\]",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    call, error, words = REFUSED[case]
    with pytest.raises(error, match=words):
        call()
