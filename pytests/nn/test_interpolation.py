"""Interpolation against dense matrices in Float64, and its gradient against their transposes."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import vqswift as vq
from interpolation_matrices import MODES, interpolated
from vqswift import nn
from vqswift.nn import functional as F

EPSILON = 2.0**-23
CASES = [(mode, axes, align) for mode in MODES for axes in MODES[mode] for align in (False, True)]
CASES = [case for case in CASES if not (case[2] and case[0].startswith("nearest"))]
# Of an axis, before and after: up, down, by whole numbers, of one element and to one.
SIZES = [(4, 8), (5, 13), (13, 5), (6, 6), (1, 3), (7, 1), (9, 3), (2, 82), (3, 4)]


def random(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def check(y: vq.Tensor, x: vq.Tensor, expected: np.ndarray, transposed: np.ndarray) -> None:
    """At most 4 terms an axis of weights below 1.2, each with its roundings."""
    assert y.shape == expected.shape
    np.testing.assert_allclose(y.numpy(), expected, atol=64 * EPSILON * np.abs(x.numpy()).max())
    assert x.grad is not None and x.grad.shape == transposed.shape
    bound = 64 * EPSILON * (1 + np.abs(transposed).max())
    np.testing.assert_allclose(x.grad.numpy(), transposed, atol=bound * 8)


@pytest.mark.parametrize("channels", [1, 3, 4, 17])
@pytest.mark.parametrize(("before", "after"), SIZES)
@pytest.mark.parametrize(("mode", "axes", "align"), CASES)
def test_sizes(mode: str, axes: int, align: bool, before: int, after: int, channels: int) -> None:
    sizes = [(before, after), (5, 7), (4, 3)][:axes]
    given, target = [tuple(size[i] for size in sizes) for i in (0, 1)]
    x = vq.Tensor(random((2, *given, channels)), requires_grad=True)
    y = F.interpolate(x, target, mode=mode, align_corners=align or None)
    none = (None,) * axes
    expected = interpolated(x.numpy().astype(float), target, none, mode, align)
    g = random(y.shape, 1)
    y.backward(g)
    # The gradient along each axis by the transposed matrix: that of the identity's columns.
    identity = np.eye(int(np.prod(given))).reshape(-1, *given, 1)
    columns = interpolated(identity, target, none, mode, align)[..., 0]
    over = tuple(range(1, axes + 1))
    transposed = np.tensordot(g, columns, (over, over)).reshape(2, channels, *given)
    check(y, x, expected, np.moveaxis(transposed, 1, -1))


@pytest.mark.parametrize("factor", [0.3, 0.5, 1.0, 1.2, 1.7, 2, 3.1])
@pytest.mark.parametrize(("mode", "axes", "align"), CASES)
def test_factors(mode: str, axes: int, align: bool, factor: float) -> None:
    shape = (2, *(6, 5, 4)[:axes], 3)
    sizes = tuple(int(size * factor) for size in shape[1:-1])
    x = random(shape)
    y = nn.Upsample(factor, mode, align or None)(x)
    expected = interpolated(x.astype(float), sizes, (factor,) * axes, mode, align)
    assert y.shape == expected.shape
    np.testing.assert_allclose(y.numpy(), expected, atol=64 * EPSILON * np.abs(x).max())


def test_hand_values() -> None:
    x = np.array([0.0, 1.0, 3.0], np.float32).reshape(1, 3, 1)
    for options, expected in (
        ({"scale_factor": 2}, [0, 0, 1, 1, 3, 3]),
        ({"scale_factor": 2, "mode": "linear"}, [0, 0.25, 0.75, 1.5, 2.5, 3]),
        ({"size": 5, "mode": "linear", "align_corners": True}, [0, 0.5, 1, 2, 3]),
        ({"size": 2, "mode": "nearest-exact"}, [0, 3]),
        ({"size": 2}, [0, 1]),
    ):
        assert F.interpolate(x, **options).numpy().ravel().tolist() == expected  # type: ignore[arg-type]


def test_a_number_is_a_factor_of_every_axis() -> None:
    x = random((2, 3, 4, 5))
    expected = x.repeat(2, axis=1).repeat(2, axis=2)
    for layer in (nn.Upsample(2), nn.Upsample((2, 2)), nn.Upsample(scale_factor=2.0)):
        np.testing.assert_array_equal(layer(x).numpy(), expected)
    np.testing.assert_array_equal(F.upsample_nearest2d(x, 2).numpy(), expected)
    assert nn.Upsample((2, 1))(x).shape == (2, 6, 4, 5)
    assert nn.Upsample(size=7)(x).shape == (2, 7, 7, 5)
    assert nn.Upsample(size=(7, 2), mode="bilinear")(x).shape == (2, 7, 2, 5)


@pytest.mark.parametrize("factor", [41, 47, 55])
def test_whole_factors_repeat_where_a_rounded_step_would_not(factor: int) -> None:
    x = random((1, 5, 1))
    found = F.interpolate(x, scale_factor=factor).numpy()
    np.testing.assert_array_equal(found, x.repeat(factor, axis=1))


def test_an_infinite_neighbor_without_weight_does_not_count() -> None:
    x = np.array([1.0, np.inf, 2.0], np.float32).reshape(1, 3, 1)
    y = F.interpolate(x, 5, mode="linear", align_corners=True).numpy().ravel()
    assert y.tolist() == [1, np.inf, np.inf, np.inf, 2]


def test_nothing_gives_nothing() -> None:
    for shape in ((0, 3, 4, 2), (2, 3, 4, 0), (2, 0, 4, 3)):
        x = vq.Tensor(np.ones(shape), requires_grad=True)
        y = F.interpolate(x, scale_factor=2, mode="bilinear")
        assert y.shape == (shape[0], 2 * shape[1], 8, shape[3])
        y.sum().backward()
        assert x.grad is not None and x.grad.shape == shape


def test_every_number_of_threads_gives_the_same(threads: Callable[[int], None]) -> None:
    x = random((3, 37, 29, 5))
    found = []
    for count in (1, 2, 5):
        threads(count)
        given = vq.Tensor(x, requires_grad=True)
        y = F.interpolate(given, (101, 53), mode="bicubic")
        y.backward(random(y.shape, 1))
        assert given.grad is not None
        found.append((y.numpy(), given.grad.numpy()))
    for y, g in found[1:]:
        np.testing.assert_array_equal(y, found[0][0])
        np.testing.assert_array_equal(g, found[0][1])


def test_a_layer_shows_and_copies_what_it_is_made_of() -> None:
    layer = nn.Upsample(1.5, "bilinear", True)
    assert repr(layer) == "Upsample(scale_factor=(1.5,), mode='bilinear', align_corners=True)"
    x = random((1, 4, 4, 2))
    again = copy.deepcopy(layer)
    np.testing.assert_array_equal(again(x).numpy(), layer(x).numpy())
    assert repr(nn.Upsample(size=[3, 4])) == "Upsample(size=(3, 4))"  # type: ignore[arg-type]
    network = nn.Sequential(nn.Conv2d(2, 3, 1), layer, nn.ReLU())
    composed = network[2](network[1](network[0](x)))
    np.testing.assert_array_equal(network(x).numpy(), composed.numpy())
