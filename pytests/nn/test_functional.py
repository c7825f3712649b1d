"""Functions beside layers, and those without one: formulas in Float64, and the layers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift import nn
from vqswift.nn import functional as F

EPSILON = 2.0**-23
Reference = Callable[..., np.ndarray]

#: Functions of another name than their layer's.
RENAMED = {
    "Upsample": "interpolate",
    "LogSigmoid": "logsigmoid",
    "LeakyReLU": "leaky_relu",
    "MultiheadAttention": "scaled_dot_product_attention",
}
#: Layers that have no function, and why.
WITHOUT = {
    "Identity": "gives what it is given",
    **dict.fromkeys(("Flatten", "Unflatten"), "methods of tensors, flatten and reshape"),
    **dict.fromkeys(("RNN", "GRU", "LSTM", "RNNCell", "GRUCell", "LSTMCell"), "own many weights"),
    **dict.fromkeys(
        (
            *("TransformerEncoder", "TransformerDecoder", "TransformerEncoderLayer"),
            "TransformerDecoderLayer",
        ),
        "are made of layers",
    ),
    **dict.fromkeys(
        ("Module", "ModuleDict", "ModuleList", "Parameter", "Residual", "Sequential"),
        "hold layers or values",
    ),
    **dict.fromkeys(("ALiBi", "RoPE", "SinusoidalPositionalEncoding"), "keep tables of positions"),
    "WeightNorm": "wraps a layer",
}


def random(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def name_of(layer: str) -> str:
    """MaxPool1d -> max_pool1d, ReLU6 -> relu6, BatchNorm -> batch_norm."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])|(?<=[A-Z]{3})(?=[A-Z][a-z])", "_", layer).lower()
    return RENAMED.get(layer, words)


def test_every_layer_has_its_function() -> None:
    layers = {n for n in nn.__all__ if isinstance(getattr(nn, n), type)}
    assert set(WITHOUT) < layers
    lacking = {n for n in layers if not hasattr(F, name_of(n)) and not hasattr(F, n.lower())}
    assert lacking == set(WITHOUT)


def check(
    found: Callable[..., vq.Tensor],
    reference: Reference,
    arrays: list[np.ndarray],
    tolerance: float = 64 * EPSILON,
) -> None:
    """Values, and gradients along random ways by differences in Float64."""
    tensors = [vq.Tensor(array, requires_grad=True) for array in arrays]
    y, at = found(*tensors), [array.astype(np.float64) for array in arrays]
    expected = reference(*at)
    assert y.shape == expected.shape
    np.testing.assert_allclose(y.numpy(), expected, rtol=tolerance, atol=tolerance)
    g = random(y.shape, 99)
    y.backward(g)
    for place, tensor in enumerate(tensors):
        assert tensor.grad is not None
        way = random(tensor.shape, place).astype(np.float64)
        ends = []
        for sign in (1, -1):
            moved = list(at)
            moved[place] = moved[place] + sign * 1e-6 * way
            ends.append((reference(*moved) * g).sum())
        slope = (tensor.grad.numpy() * way).sum()
        bound = 1e-5 * np.sqrt(way.size) * (1 + np.abs(tensor.grad.numpy()).max())
        assert abs(slope - (ends[0] - ends[1]) / 2e-6) < bound


def windows(x: np.ndarray, kernel: int, step: int, zeros: int, fill: float) -> np.ndarray:
    """[n, l, c] -> [n, windows, kernel, c]."""
    wide = np.pad(x, ((0, 0), (zeros, zeros), (0, 0)), constant_values=fill)
    starts = np.arange(0, wide.shape[1] - kernel + 1, step)
    return wide[:, starts[:, None] + np.arange(kernel)]


def shuffled(x: np.ndarray, r: int) -> np.ndarray:
    """By the definition, one place at a time."""
    n, h, w, c = x.shape
    y = np.empty((n, h * r, w * r, c // (r * r)), x.dtype)
    for i, j, k in np.ndindex(h * r, w * r, c // (r * r)):
        y[:, i, j, k] = x[:, i // r, j // r, k * r * r + (i % r) * r + j % r]
    return y


def instances(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    axes = tuple(range(1, x.ndim - 1))
    centered = x - x.mean(axes, keepdims=True)
    return centered / np.sqrt((centered**2).mean(axes, keepdims=True) + 1e-5) * w + b


def binary(p: np.ndarray, t: np.ndarray, w: np.ndarray) -> np.ndarray:
    return -w * (t * np.log(p) + (1 - t) * np.log(1 - p))


ROWS, IMAGE = random((6, 5), 0), random((2, 4, 6, 8), 1)
SHARES = np.random.default_rng(2).uniform(0.05, 0.95, (2, 6, 5)).astype(np.float32)
SLOPES, RATES = random((5,), 3), np.abs(random((5,), 4)) + 0.5
SHIFT = random((8,), 5)
LINE = random((2, 9, 3), 6)

FUNCTIONS: dict[str, tuple[Callable[..., vq.Tensor], Reference, list[np.ndarray]]] = {
    "sigmoid": (F.sigmoid, lambda x: 1 / (1 + np.exp(-x)), [ROWS]),
    "tanh": (F.tanh, np.tanh, [ROWS]),
    "logsigmoid": (F.logsigmoid, lambda x: -np.log1p(np.exp(-x)), [ROWS]),
    "hardtanh": (lambda x: F.hardtanh(x, -0.5, 1.5), lambda x: np.clip(x, -0.5, 1.5), [ROWS]),
    "hardtanh's limits": (F.hardtanh, lambda x: np.clip(x, -1, 1), [ROWS]),
    "relu6": (lambda x: F.relu6(5 * x), lambda x: np.clip(5 * x, 0, 6), [ROWS]),
    "prelu": (F.prelu, lambda x, w: np.where(x > 0, x, w * x), [ROWS, SLOPES]),
    "prelu of one": (F.prelu, lambda x, w: np.where(x > 0, x, w * x), [IMAGE, SLOPES[:1]]),
    "snake": (F.snake, lambda x, a: x + np.sin(a * x) ** 2 / a, [ROWS, RATES]),
    "snake of one": (F.snake, lambda x, a: x + np.sin(a * x) ** 2 / a, [ROWS, RATES[:1]]),
    "max_pool1d": (
        lambda x: F.max_pool1d(x, 3, 2, 1),
        lambda x: windows(x, 3, 2, 1, -np.inf).max(2),
        [LINE],
    ),
    "avg_pool1d": (
        lambda x: F.avg_pool1d(x, 3, 2, 1),
        lambda x: windows(x, 3, 2, 1, 0).mean(2),
        [LINE],
    ),
    "avg_pool1d's stride": (
        lambda x: F.avg_pool1d(x, 2),
        lambda x: windows(x, 2, 2, 0, 0).mean(2),
        [LINE],
    ),
    "pixel_shuffle": (lambda x: F.pixel_shuffle(x, 2), lambda x: shuffled(x, 2), [IMAGE]),
    "pixel_unshuffle": (
        lambda x: F.pixel_shuffle(F.pixel_unshuffle(x, 2), 2),
        lambda x: x,
        [IMAGE],
    ),
    "instance_norm": (
        lambda x, w, b: F.instance_norm(x, weight=w, bias=b),
        instances,
        [IMAGE, random((8,), 7), SHIFT],
    ),
    "normalize": (
        F.normalize,
        lambda x: x / np.sqrt((x * x).sum(-1, keepdims=True)),
        [ROWS],
    ),
    "normalize of another norm": (
        lambda x: F.normalize(x, 3, 1),
        lambda x: x / (np.abs(x) ** 3).sum(1, keepdims=True) ** (1 / 3),
        [IMAGE],
    ),
    "normalize at eps": (lambda x: F.normalize(x, eps=100), lambda x: x / 100, [ROWS]),
    "embedding": (
        lambda w: F.embedding(np.array([[4, 0], [4, 5]], np.int32), w),
        lambda w: w[np.array([[4, 0], [4, 5]])],
        [ROWS],
    ),
    "pad": (
        lambda x: F.pad(x, (0, 1, 2, 3, 1, 0), value=-2.5),
        lambda x: np.pad(x, ((0, 0), (1, 0), (2, 3), (0, 1)), constant_values=-2.5),
        [IMAGE],
    ),
    "pad that cuts": (
        lambda x: F.pad(x, (-1, 2, 1, -3)),
        lambda x: np.pad(x[:, :, :3, 1:], ((0, 0), (0, 0), (1, 0), (0, 2))),
        [IMAGE],
    ),
    "pad by reflection": (
        lambda x: F.pad(x, (0, 0, 2, 1), "reflect"),
        lambda x: np.pad(x, ((0, 0), (0, 0), (2, 1), (0, 0)), "reflect"),
        [IMAGE],
    ),
    "binary cross entropy": (
        lambda p, t: F.binary_cross_entropy(p, t, RATES, reduction="none"),
        lambda p, t: binary(p, t, RATES.astype(float)),
        [SHARES[0], SHARES[1]],
    ),
    "binary cross entropy's mean": (
        F.binary_cross_entropy,
        lambda p, t: binary(p, t, np.ones(5)).mean(),
        [SHARES[0], SHARES[1]],
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_gradients(name: str) -> None:
    check(*FUNCTIONS[name])


LAYERS: dict[str, tuple[nn.Module, Callable[[Any], vq.Tensor], np.ndarray]] = {
    "Sigmoid": (nn.Sigmoid(), F.sigmoid, ROWS),
    "Tanh": (nn.Tanh(), F.tanh, ROWS),
    "LogSigmoid": (nn.LogSigmoid(), F.logsigmoid, ROWS),
    "Hardtanh": (nn.Hardtanh(-0.5, 1.5), lambda x: F.hardtanh(x, -0.5, 1.5), ROWS),
    "ReLU6": (nn.ReLU6(), F.relu6, ROWS),
    "PReLU": (nn.PReLU(), lambda x: F.prelu(x, np.array([0.25])), ROWS),
    "Snake": (nn.Snake(5, 2.0), lambda x: F.snake(x, np.full(5, 2.0)), ROWS),
    "MaxPool1d": (nn.MaxPool1d(3, 2, 1), lambda x: F.max_pool1d(x, 3, 2, 1), LINE),
    "AvgPool1d": (nn.AvgPool1d(3, 2, 1), lambda x: F.avg_pool1d(x, 3, 2, 1), LINE),
    "MaxPool1d's stride": (nn.MaxPool1d(3), lambda x: F.max_pool1d(x, 3), LINE),
    "InstanceNorm": (nn.InstanceNorm(8), F.instance_norm, IMAGE),
    "PixelShuffle": (nn.PixelShuffle(2), lambda x: F.pixel_shuffle(x, 2), IMAGE),
    "PixelUnshuffle": (nn.PixelUnshuffle(2), lambda x: F.pixel_unshuffle(x, 2), IMAGE),
    "Softmax": (nn.Softmax(1), lambda x: F.softmax(x, 1), ROWS),
    "LogSoftmax": (nn.LogSoftmax(1), lambda x: F.log_softmax(x, 1), ROWS),
    "Dropout": (
        nn.Dropout(0.3, generator=vq.Generator(1)),
        lambda x: F.dropout(x, 0.3, generator=vq.Generator(1)),
        IMAGE,
    ),
    "Dropout2d": (
        nn.Dropout2d(0.3, generator=vq.Generator(1)),
        lambda x: F.dropout2d(x, 0.3, generator=vq.Generator(1)),
        IMAGE,
    ),
    "Dropout3d": (
        nn.Dropout3d(0.3, generator=vq.Generator(1)),
        lambda x: F.dropout3d(x, 0.3, generator=vq.Generator(1)),
        random((2, 3, 4, 4, 2), 8),
    ),
    "Embedding": (
        (table := nn.Embedding(6, 4)),
        lambda x: F.embedding(x, table.weight),
        np.array([[0, 5], [2, 2]], np.int32),
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_its_function(name: str) -> None:
    layer, function, x = LAYERS[name]
    np.testing.assert_array_equal(layer(x).numpy(), function(x).numpy())


def test_old_and_torchs_name_of_the_logarithm_are_one() -> None:
    assert F.log_sigmoid is F.logsigmoid


@pytest.mark.parametrize("function", [F.dropout, F.dropout2d, F.dropout3d])
def test_dropout_draws_when_it_trains(function: Callable[..., vq.Tensor]) -> None:
    x = np.ones((16, 4, 4, 16), np.float32)
    assert function(x, training=False).numpy().tolist() == x.tolist()
    vq.manual_seed(3)
    first, second = function(x).numpy(), function(x).numpy()
    assert set(np.unique(first)) == {0, 2} and (first != second).any()
    vq.manual_seed(3)
    np.testing.assert_array_equal(function(x).numpy(), first)
    is_whole = bool((first == first[:, :1, :1]).all())
    assert is_whole == (function is not F.dropout)


def test_the_row_of_padding_gets_no_gradient() -> None:
    for index in (1, -5):
        weight = vq.Tensor(ROWS, requires_grad=True)
        y = F.embedding(np.array([1, 2, 1, 0], np.int32), weight, index)
        np.testing.assert_array_equal(y.numpy(), ROWS[[1, 2, 1, 0]])
        y.sum().backward()
        assert weight.grad is not None
        assert weight.grad.numpy()[:, 0].tolist() == [1, 0, 1, 0, 0, 0]


@pytest.mark.parametrize("classes", [-1, 4, 6])
def test_one_hot(classes: int) -> None:
    codes = np.array([[0, 3], [2, 2]], np.int32)
    found = F.one_hot(codes, classes)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found.numpy(), np.eye(max(classes, 4), dtype=np.int32)[codes])


def test_rows_of_zeros_stay_zero() -> None:
    x = vq.Tensor(np.zeros((2, 3), np.float32), requires_grad=True)
    y = F.normalize(x, eps=0.5)
    y.sum().backward()
    assert x.grad is not None
    assert not y.numpy().any() and x.grad.numpy().tolist() == [[2] * 3] * 2


def test_running_statistics_of_instances() -> None:
    mean, var = random((8,), 0), np.abs(random((8,), 1)) + 0.5
    running = vq.Tensor(mean), vq.Tensor(var)
    y = F.instance_norm(IMAGE, *running, momentum=0.3)
    np.testing.assert_array_equal(y.numpy(), F.instance_norm(IMAGE).numpy())
    rows = IMAGE.astype(float).reshape(2, 24, 8)
    means, variances = rows.mean(1).mean(0), rows.var(1, ddof=1).mean(0)
    tolerance = 8 * EPSILON
    np.testing.assert_allclose(running[0].numpy(), 0.7 * mean + 0.3 * means, atol=tolerance)
    np.testing.assert_allclose(running[1].numpy(), 0.7 * var + 0.3 * variances, atol=tolerance)
    held = F.instance_norm(IMAGE, vq.Tensor(mean), vq.Tensor(var), use_input_stats=False)
    expected = (IMAGE.astype(float) - mean) / np.sqrt(var.astype(float) + 1e-5)
    np.testing.assert_allclose(held.numpy(), expected, rtol=64 * EPSILON, atol=64 * EPSILON)


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_gumbel_softmax(dim: int) -> None:
    x = vq.Tensor(random((3, 4, 5), 0), requires_grad=True)
    soft = F.gumbel_softmax(x, 0.7, dim=dim, generator=vq.Generator(2))
    hard = F.gumbel_softmax(x, 0.7, True, dim=dim, generator=vq.Generator(2)).numpy()
    y = soft.numpy()
    np.testing.assert_allclose(y.sum(dim), 1, atol=8 * EPSILON)
    np.testing.assert_array_equal(hard, (y == y.max(dim, keepdims=True)).astype(np.float32))
    g = random(x.shape, 1)
    soft.backward(g)
    gy = (g * y).sum(dim, keepdims=True)
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), y * (g - gy) / 0.7, atol=64 * EPSILON)


def test_gumbel_softmax_draws_categories_of_their_shares() -> None:
    logits = np.tile(np.log([0.5, 0.3, 0.2]), (20000, 1))
    shares = F.gumbel_softmax(logits, hard=True, generator=vq.Generator(0)).numpy().mean(0)
    # Five standard deviations of a share of 20000 draws.
    np.testing.assert_allclose(shares, [0.5, 0.3, 0.2], atol=5 * np.sqrt(0.25 / 20000))


def test_certain_probabilities_cost_at_most_100() -> None:
    p = vq.Tensor(np.array([0, 1, 0, 1], np.float32), requires_grad=True)
    loss = F.binary_cross_entropy(p, np.array([0, 1, 1, 0], np.float32), reduction="none")
    assert loss.numpy().tolist() == [0, 0, 100, 100]
    loss.sum().backward()
    assert p.grad is not None
    np.testing.assert_allclose(p.grad.numpy(), [0, 0, -1e12, 1e12], rtol=4 * EPSILON)


REFUSED: dict[str, tuple[Callable[[], object], type[Exception], str]] = {
    "prelu": (lambda: F.prelu(ROWS, np.ones(3)), ValueError, r"\[prelu\] shape \[6, 5\].* 3 ch"),
    "prelu's axes": (lambda: F.prelu(ROWS, ROWS), ValueError, r"weight has shape \[6, 5\]"),
    "snake": (lambda: F.snake(ROWS, np.ones(2)), ValueError, r"\[snake\] shape \[6, 5\].* 2 ch"),
    "hardtanh": (lambda: F.hardtanh(ROWS, 1, 1), ValueError, "min_val = 1.*max_val = 1"),
    "pool of images": (lambda: F.max_pool1d(IMAGE, 2), ValueError, r"\[max_pool1d\].*\[n, l, c\]"),
    "pool of nothing": (lambda: F.avg_pool1d(LINE, 0), ValueError, r"avg_pool1d.*\(0,\).*least 1"),
    "pool's padding": (lambda: F.avg_pool1d(LINE, 3, 1, 2), ValueError, "half the kernel"),
    "shuffle": (lambda: F.pixel_shuffle(IMAGE, 3), ValueError, "factor 3: an image of channels"),
    "unshuffle": (lambda: F.pixel_unshuffle(IMAGE, 0), ValueError, "downscale_factor = 0"),
    "dropout": (lambda: F.dropout(ROWS, 1.5, False), ValueError, r"p = 1.5: must lie in 0...1"),
    "dropout2d": (lambda: F.dropout2d(ROWS[0]), ValueError, r"\[dropout2d\] shape \[5\]"),
    "codes": (lambda: F.embedding(ROWS, ROWS), TypeError, r"float32: codes.*astype\(np.int32"),
    "table": (lambda: F.embedding([0], ROWS[0]), ValueError, r"weight has shape \[5\]"),
    "padding row": (lambda: F.embedding([0], ROWS, 6), IndexError, "padding_idx = 6.*6 rows"),
    "code": (lambda: F.one_hot([3], 3), IndexError, "3"),
    "no codes": (lambda: F.one_hot(np.zeros(0, np.int32)), ValueError, "must be given"),
    "no classes": (lambda: F.one_hot([0], 0), ValueError, "num_classes = 0"),
    "half a pair": (lambda: F.pad(ROWS, (1,)), ValueError, r"pad = \(1,\).*two numbers"),
    "too many pairs": (lambda: F.pad(ROWS, [0] * 6), ValueError, r"shape \[6, 5\]"),
    "cut away": (lambda: F.pad(ROWS, (-3, -3)), ValueError, "cut off more"),
    "norm": (lambda: F.normalize(ROWS, dim=2), IndexError, "axis 2"),
    "one position": (
        lambda: F.instance_norm(ROWS[:, None], vq.zeros(5)),
        ValueError,
        r"\[6, 1, 5\]: running statistics",
    ),
    "no statistics": (
        lambda: F.instance_norm(IMAGE, use_input_stats=False),
        ValueError,
        "running_mean and running_var are required",
    ),
    "logits": (
        lambda: F.binary_cross_entropy(3 * ROWS, ROWS),
        ValueError,
        "binary_cross_entropy_with_logits",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    call, kind, message = REFUSED[name]
    with pytest.raises(kind, match=message):
        call()
