"""Layers that move, pool or turn what they are given, against NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift import nn

RNG = np.random.default_rng(0)


def sample(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def shuffled(x: np.ndarray, r: int) -> np.ndarray:
    """torch's definition, channel by channel."""
    n, h, w, c = x.shape
    out = np.empty((n, h * r, w * r, c // (r * r)), x.dtype)
    for k in range(c // (r * r)):
        for i in range(r):
            for j in range(r):
                out[:, i::r, j::r, k] = x[..., k * r * r + i * r + j]
    return out


@pytest.mark.parametrize("r", [1, 2, 3])
def test_pixel_shuffle_and_back(r: int) -> None:
    x = sample(2, 3, 4, 2 * r * r)
    found = nn.PixelShuffle(r)(x)
    np.testing.assert_array_equal(found.numpy(), shuffled(x, r))
    np.testing.assert_array_equal(nn.PixelUnshuffle(r)(found).numpy(), x)


def test_unflatten() -> None:
    x = sample(2, 12, 3)
    np.testing.assert_array_equal(nn.Unflatten(1, (3, -1))(x).numpy(), x.reshape(2, 3, 4, 3))
    np.testing.assert_array_equal(nn.Unflatten(-2, (2, 6))(x).numpy(), x.reshape(2, 2, 6, 3))


def windows(x: np.ndarray, count: int) -> np.ndarray:
    length = x.shape[1]
    ends = [(i * length // count, -(-(i + 1) * length // count)) for i in range(count)]
    return np.stack([x[:, a:b].mean(axis=1) for a, b in ends], axis=1)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7, 10])
def test_adaptive_pools(count: int) -> None:
    x = sample(2, 7, 3)
    found = nn.AdaptiveAvgPool1d(count)(x).numpy()
    np.testing.assert_allclose(found, windows(x.astype(float), count), atol=1e-6)
    image = sample(2, 7, 6, 3)
    rows = np.stack([windows(image[:, :, j].astype(float), count) for j in range(6)], axis=2)
    both = np.stack([windows(rows[:, i], 4) for i in range(count)], axis=1)
    found = nn.AdaptiveAvgPool2d((count, 4))(image).numpy()
    np.testing.assert_allclose(found, both, atol=1e-6)


def test_pools_of_sequences() -> None:
    x = sample(2, 9, 3)
    parts = x.reshape(2, 3, 3, 3)
    np.testing.assert_array_equal(nn.MaxPool1d(3)(x).numpy(), parts.max(axis=2))
    np.testing.assert_allclose(nn.AvgPool1d(3)(x).numpy(), parts.mean(axis=2), atol=1e-6)
    assert nn.MaxPool1d(3, 1, 1)(x).shape == (2, 9, 3)


@pytest.mark.parametrize("traditional", [False, True])
@pytest.mark.parametrize("offset", [0, 5])
def test_rotary_positions_turn_pairs(traditional: bool, offset: int) -> None:
    x = sample(2, 3, 6, 10)
    layer = nn.RoPE(8, traditional, base=100.0, scale=0.5)
    found = layer(x, offset).numpy()
    order = [*range(0, 8, 2), *range(1, 8, 2)] if traditional else [*range(8)]
    pairs = x[..., order].astype(float)
    turned = pairs[..., :4] + 1j * pairs[..., 4:]
    angles = 0.5 * np.arange(offset, offset + 6)[:, None] * 100.0 ** (-np.arange(4) / 4)
    turned = turned * np.exp(1j * angles)
    expected = np.concatenate([turned.real, turned.imag], axis=-1)
    np.testing.assert_allclose(found[..., order], expected, atol=1e-5)
    np.testing.assert_array_equal(found[..., 8:], x[..., 8:])


def test_scores_of_rotated_vectors_depend_on_the_distance_alone() -> None:
    q, k = (np.repeat(sample(1, 8), 12, axis=0) for _ in range(2))
    layer = nn.RoPE(8)
    scores = layer(q).numpy() @ layer(k).numpy().T
    for shift in range(-5, 6):
        diagonal = np.diagonal(scores, shift)
        np.testing.assert_allclose(diagonal, diagonal[0], atol=1e-4)


def test_sums_of_sines() -> None:
    x = sample(2, 5, 6)
    found = nn.SinusoidalPositionalEncoding(6)(x, offset=3).numpy() - x
    position = np.arange(3, 8)[:, None]
    frequency = 10000.0 ** (-np.arange(0, 6, 2) / 6)
    np.testing.assert_allclose(
        found[..., 0::2], np.broadcast_to(np.sin(position * frequency), (2, 5, 3)), atol=1e-6
    )
    np.testing.assert_allclose(
        found[..., 1::2], np.broadcast_to(np.cos(position * frequency), (2, 5, 3)), atol=1e-6
    )


def test_dropout_of_channels() -> None:
    layer = nn.Dropout2d(0.25, generator=vq.Generator(3))
    x = np.ones((50, 4, 4, 40), np.float32)
    found = layer(x).numpy()
    per_channel = found[:, :1, :1]
    np.testing.assert_array_equal(found, np.broadcast_to(per_channel, found.shape))
    assert set(np.unique(per_channel)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs((per_channel == 0).mean() - 0.25) < 0.04
    np.testing.assert_array_equal(layer.eval()(x).numpy(), x)


def test_modules_by_name_and_a_function_of_all() -> None:
    shared = nn.ReLU()
    model = nn.Sequential(nn.Linear(2, 2), shared, nn.Sequential(shared, nn.Linear(2, 1)))
    assert [name for name, _ in model.named_modules()] == ["", "0", "1", "2", "2.1"]
    seen: list[str] = []
    assert model.apply(lambda module: seen.append(type(module).__name__)) is model
    assert seen == ["Linear", "ReLU", "ReLU", "Linear", "Sequential", "Sequential"]


def test_gradients_pass() -> None:
    layers: list[tuple[nn.Module, tuple[int, ...]]] = [
        (nn.PixelShuffle(2), (1, 2, 2, 4)),
        (nn.PixelUnshuffle(2), (1, 2, 2, 4)),
        (nn.AdaptiveAvgPool2d(2), (1, 3, 3, 2)),
        (nn.RoPE(4), (3, 4)),
        (nn.MaxPool1d(2), (1, 4, 2)),
    ]
    for layer, shape in layers:
        x = vq.Tensor(sample(*shape), requires_grad=True)
        layer(x).square().sum().backward()
        assert x.grad is not None and np.isfinite(x.grad.numpy()).all()
        assert x.grad.numpy().any()


REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "shuffle": (lambda: nn.PixelShuffle(2)(sample(1, 2, 2, 3)), ValueError, "r\\^2 divides"),
    "unshuffle": (lambda: nn.PixelUnshuffle(2)(sample(1, 3, 2, 3)), ValueError, "sides r divides"),
    "factor": (lambda: nn.PixelShuffle(0), ValueError, "upscale_factor = 0"),
    "axis": (lambda: nn.Unflatten(3, (1, 1))(sample(2, 2)), IndexError, "dim = 3"),
    "pool": (lambda: nn.AdaptiveAvgPool1d(2)(sample(2, 2)), ValueError, r"\[n, l, c\]"),
    "sequence": (lambda: nn.MaxPool1d(2)(sample(2, 2)), ValueError, r"\[n, l, c\]"),
    "odd": (lambda: nn.RoPE(5), ValueError, "dims = 5: must be even"),
    "narrow": (lambda: nn.RoPE(8)(sample(3, 4)), ValueError, "at least 8 channels"),
    "sines": (lambda: nn.SinusoidalPositionalEncoding(8)(sample(3, 4)), ValueError, "8"),
    "vector": (lambda: nn.Dropout2d()(sample(3)), ValueError, r"\[n, ..., c\]"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    call, error, words = REFUSED[case]
    with pytest.raises(error, match=words):
        call()
