"""Quantizers of weights: the forward, the codes, and the gradient of every estimator."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import vqswift as vq
from test_estimators import BOUND, EPSILON, EVERY, ONE_BIT, h, on_grid, rounded, spacing, weights
from vqswift import Tensor, estimators
from vqswift.estimators import WeightQuantizer


@pytest.mark.parametrize("bits", range(1, 17))
def test_the_forward_is_q_and_codes_number_it(bits: int) -> None:
    w = weights(bits, 3000).astype(np.float32).reshape(3, 1000)
    quantizer = WeightQuantizer(bits, BOUND)
    wanted = rounded(w.astype(np.float64), bits)
    assert np.array_equal(quantizer(Tensor(w)).numpy(), wanted.astype(np.float32))
    codes = quantizer.codes(Tensor(w))
    assert codes.shape == (3, 1000) and codes.dtype == np.int32
    assert np.array_equal(codes.numpy(), np.rint((wanted + BOUND) / spacing(bits)))
    assert codes.numpy().min() == 0 and codes.numpy().max() == 2**bits - 1


def test_not_a_number_stays_and_has_no_code() -> None:
    quantizer = WeightQuantizer(2, BOUND, "dsq")
    w = Tensor(np.array([np.nan, np.inf, -np.inf], np.float32))
    assert quantizer.codes(w).numpy().tolist() == [-1, 3, 0]
    assert np.isnan(quantizer(w).numpy()[0])
    assert quantizer(w).numpy()[1:].tolist() == [np.float32(BOUND), np.float32(-BOUND)]


def gradient(quantizer: WeightQuantizer, w: np.ndarray, g: np.ndarray) -> np.ndarray:
    latent = Tensor(w, requires_grad=True)
    quantizer(latent).backward(Tensor(g))
    assert latent.grad is not None
    return latent.grad.numpy()


@pytest.mark.parametrize("scale", [1.0, 0.61])
@pytest.mark.parametrize(
    ("name", "bits"), [*((n, b) for n, b in EVERY if n != "ewgs"), ("dsq", 12), ("cosine", 16)]
)
def test_the_gradient_is_the_scaled_estimator(name: str, bits: int, scale: float) -> None:
    w = weights(bits).astype(np.float32)
    # Skewed samples jump where cells meet; float32 cannot tell the side within its spacing.
    edge = np.abs((w + BOUND) / spacing(bits) - np.rint((w + BOUND) / spacing(bits)))
    w = w[(edge > 1e-6 * 2**bits) | (np.abs(w) > BOUND)]
    g = vq.Generator(99).normal(w.shape).numpy()
    quantizer = WeightQuantizer(
        bits,
        BOUND,
        on_grid(name, min(bits, 1 if name in ONE_BIT else bits)).estimator,
        gradient_scale=scale,
    )
    wanted = h(name, w.astype(np.float64), bits)
    # Some ten roundings of h at its largest; samples lose what their place among them does.
    roundings = 32 if name != "function" else 36
    tolerance = roundings * EPSILON * scale * wanted.max() * np.abs(g)
    assert (np.abs(gradient(quantizer, w, g) - scale * wanted * g) <= tolerance).all()


@pytest.mark.parametrize("bits", [1, 2, 5])
def test_the_gradient_of_ewgs_is_its_formula(bits: int) -> None:
    w = weights(bits).astype(np.float32)
    g = vq.Generator(99).normal(w.shape).numpy()
    g[:5] = 0
    exact = w.astype(np.float64)
    error = (exact - rounded(exact, bits)) / (spacing(bits) / 2)
    wanted = g * (1 + 0.3 * np.sign(g) * error) * (np.abs(exact) <= BOUND)
    quantizer = WeightQuantizer(bits, BOUND, estimators.ewgs(0.3))
    assert np.abs(gradient(quantizer, w, g) - wanted).max() <= 8 * EPSILON * np.abs(g).max()


@pytest.mark.parametrize("name", ["dsq", "cosine", "samples", "reste", "ewgs", "ede"])
def test_threads_make_no_difference(name: str, threads: Callable[[int], None]) -> None:
    w = vq.Generator(5).normal((150_001,)).numpy()
    g = vq.Generator(6).normal((150_001,)).numpy()
    quantizer = WeightQuantizer(1, BOUND, on_grid(name, 1).estimator)
    found = []
    for count in (1, 2):
        threads(count)
        found.append(
            (
                gradient(quantizer, w, g),
                quantizer(Tensor(w)).numpy(),
                quantizer.codes(Tensor(w)).numpy(),
            )
        )
    for one, two in zip(*found, strict=True):
        assert np.array_equal(one, two)


def test_progress_of_error_decay() -> None:
    quantizer = WeightQuantizer(1, BOUND, "ede")
    w, g = weights(1).astype(np.float32), np.ones(400, np.float32)
    for progress in (0.0, 0.3, 0.5, 1.0):
        quantizer.set_progress(progress)
        t = 10 ** (2 * progress - 1)
        wanted = max(1, 1 / t) * t / np.cosh(t * w.astype(np.float64)) ** 2
        assert quantizer.estimator.derivative(w) == pytest.approx(wanted, rel=1e-6)
        assert str(quantizer.estimator.estimator) == f"ede({progress:g})"
        # t comes from a float32 progress: 2 ln 10 of its rounding.
        assert np.abs(gradient(quantizer, w, g) - wanted).max() <= 64 * EPSILON * wanted.max()


def test_a_quantizer_tells_what_it_is() -> None:
    quantizer = WeightQuantizer(2, 0.5, estimators.dsq(5.5), gradient_scale=0.25)
    assert repr(quantizer) == "WeightQuantizer(2, 0.5, dsq(5.5), gradient_scale=0.25)"
    assert repr(quantizer.estimator) == "GridEstimator(dsq(5.5), bits=2, bound=0.5)"
    assert not quantizer.state_dict() and not quantizer.parameters()
