"""Functions of `vqswift.nn.functional` against torch's of the same name, values and parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from test_torch_layers import IMAGE, LABELS, ROWS, WEIGHT, agree, first, last, random
from vqswift.nn import functional

torch = pytest.importorskip("torch", reason="torch is not installed")
tf = torch.nn.functional

LINE, SHARES = (2, 9, 5), (4, 5)
SIDES = (1, 0, 2, 1)


def outer(function: Callable[..., Any], *options: Any) -> Callable[..., Any]:
    """A function of torch on what has its channels last."""
    return lambda x, *parameters: last(function(first(x), *parameters, *options))


# The two functions and the shapes of what they are given.
BESIDE: dict[str, tuple[Callable[..., Any], Callable[..., Any], list[tuple[int, ...]]]] = {
    "sigmoid": (functional.sigmoid, tf.sigmoid, [IMAGE]),
    "tanh": (functional.tanh, tf.tanh, [IMAGE]),
    "logsigmoid": (functional.logsigmoid, tf.logsigmoid, [IMAGE]),
    "hardtanh": (
        lambda x: functional.hardtanh(x, -0.5, 1.5),
        lambda x: tf.hardtanh(x, -0.5, 1.5),
        [IMAGE],
    ),
    "relu6": (lambda x: functional.relu6(9 * x), lambda x: tf.relu6(9 * x), [IMAGE]),
    "prelu": (functional.prelu, outer(tf.prelu), [IMAGE, (8,)]),
    "max_pool1d": (
        lambda x: functional.max_pool1d(x, 3, 2, 1),
        outer(tf.max_pool1d, 3, 2, 1),
        [LINE],
    ),
    "avg_pool1d": (
        lambda x: functional.avg_pool1d(x, 3, 2, 1),
        outer(tf.avg_pool1d, 3, 2, 1),
        [LINE],
    ),
    "pixel_shuffle": (
        lambda x: functional.pixel_shuffle(x, 2),
        outer(tf.pixel_shuffle, 2),
        [IMAGE],
    ),
    "pixel_unshuffle": (
        lambda x: functional.pixel_unshuffle(x, 2),
        outer(tf.pixel_unshuffle, 2),
        [IMAGE],
    ),
    "instance_norm": (
        lambda x, w, b: functional.instance_norm(x, weight=w, bias=b),
        lambda x, w, b: last(tf.instance_norm(first(x), weight=w, bias=b)),
        [IMAGE, (8,), (8,)],
    ),
    "normalize": (
        lambda x: functional.normalize(x, 3.0, 1),
        lambda x: tf.normalize(x, 3.0, 1),
        [IMAGE],
    ),
    "normalize rows": (functional.normalize, tf.normalize, [ROWS]),
    "pad": (
        lambda x: functional.pad(x, SIDES, value=0.5),
        lambda x: tf.pad(x, SIDES, value=0.5),
        [LINE],
    ),
    "pad that cuts": (
        lambda x: functional.pad(x, (-1, 2, -3, -1)),
        lambda x: tf.pad(x, (-1, 2, -3, -1)),
        [LINE],
    ),
    "pad by reflection": (
        lambda x: functional.pad(x, SIDES, "reflect"),
        lambda x: tf.pad(x, SIDES, "reflect"),
        [LINE],
    ),
    "pad by edges": (
        lambda x: functional.pad(x, SIDES, "replicate"),
        lambda x: tf.pad(x, SIDES, "replicate"),
        [LINE],
    ),
    "pad around": (
        lambda x: functional.pad(x, SIDES, "circular"),
        lambda x: tf.pad(x, SIDES, "circular"),
        [LINE],
    ),
    "binary_cross_entropy": (
        lambda p, t: functional.binary_cross_entropy(p.sigmoid(), t.sigmoid(), WEIGHT),
        lambda p, t: tf.binary_cross_entropy(p.sigmoid(), t.sigmoid(), torch.tensor(WEIGHT)),
        [SHARES, SHARES],
    ),
    "embedding": (
        lambda w: functional.embedding(LABELS.clip(0), w, -1),
        lambda w: tf.embedding(torch.tensor(LABELS.clip(0)), w, -1),
        [SHARES[::-1]],
    ),
}


@pytest.mark.parametrize("name", BESIDE)
def test_functions(name: str) -> None:
    agree(*BESIDE[name])


def test_running_statistics_of_instances() -> None:
    x, (mean, var) = random(IMAGE, 0), (random((8,), 1), np.abs(random((8,), 2)) + 0.1)
    ours = vq.Tensor(mean), vq.Tensor(var)
    theirs = torch.tensor(mean), torch.tensor(var)
    for trained in (True, False):
        y = functional.instance_norm(x, *ours, use_input_stats=trained, momentum=0.3)
        expected = tf.instance_norm(
            first(torch.tensor(x)), *theirs, use_input_stats=trained, momentum=0.3
        )
        np.testing.assert_allclose(y.numpy(), last(expected).numpy(), rtol=2e-5, atol=2e-5)
        for own, their in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(own.numpy(), their.numpy(), rtol=1e-5, atol=1e-6)


def test_certain_probabilities() -> None:
    given, target = np.array([0, 1, 0, 1], np.float32), np.array([0, 1, 1, 0], np.float32)
    ours, theirs = vq.Tensor(given, requires_grad=True), torch.tensor(given, requires_grad=True)
    own = functional.binary_cross_entropy(ours, target, reduction="none")
    expected = tf.binary_cross_entropy(theirs, torch.tensor(target), reduction="none")
    np.testing.assert_array_equal(own.numpy(), expected.detach().numpy())
    own.sum().backward()
    expected.sum().backward()
    assert ours.grad is not None
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-6)


def test_one_hot() -> None:
    codes = np.array([[0, 3], [2, 2]], np.int32)
    for classes in (-1, 5):
        own = functional.one_hot(codes, classes).numpy()
        np.testing.assert_array_equal(own, tf.one_hot(torch.tensor(codes).long(), classes).numpy())


# What torch's parameters are called here.
CALLED = {"input": "x", "size_average": "", "reduce": "", "inplace": ""}
NEW = [
    *("sigmoid", "tanh", "logsigmoid", "hardtanh", "relu6", "prelu", "dropout", "dropout2d"),
    *("dropout3d", "instance_norm", "pixel_shuffle", "pixel_unshuffle", "one_hot", "pad"),
    *("max_pool1d", "avg_pool1d", "embedding", "normalize", "binary_cross_entropy"),
]
TORCHS = {
    "max_pool1d": ["x", "kernel_size", "stride", "padding"],
    "avg_pool1d": ["x", "kernel_size", "stride", "padding"],
    "pixel_shuffle": ["x", "upscale_factor"],
    "pixel_unshuffle": ["x", "downscale_factor"],
    "logsigmoid": ["x"],
    "prelu": ["x", "weight"],
    "one_hot": ["x", "num_classes"],
    "embedding": ["x", "weight", "padding_idx"],
    "binary_cross_entropy": ["prediction", "target", "weight", "reduction"],
    "pad": ["x", "pad", "mode", "value"],
}


@pytest.mark.parametrize("name", NEW)
def test_parameters_stand_in_torchs_order(name: str) -> None:
    own = [n for n in inspect.signature(getattr(functional, name)).parameters if n != "generator"]
    if name in TORCHS:
        assert own == TORCHS[name]
        return
    theirs = inspect.signature(getattr(tf, name)).parameters
    names = [CALLED.get(n, n) for n in theirs if n not in ("out", "_stacklevel")]
    assert own == [n for n in names if n]
    defaults = {n: p.default for n, p in theirs.items() if n != "dim"}
    for parameter in inspect.signature(getattr(functional, name)).parameters.values():
        if parameter.name in defaults:
            assert parameter.default == defaults[parameter.name]
