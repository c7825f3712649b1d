"""Transposed convolutions of volumes, bilinear layers, distances, and projected states."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import vqswift as vq
from test_recurrent import random, sigmoid
from vqswift import nn
from vqswift.nn import functional as F

EPSILON = 2.0**-23
Triple = tuple[int, int, int]


def transposed(
    x: np.ndarray,
    weight: np.ndarray,
    stride: Triple,
    padding: Triple,
    more: Triple,
    dilation: Triple,
    groups: int,
) -> np.ndarray:
    """By the definition: each element adds the kernel times itself at its place."""
    n, *sizes, _ = x.shape
    kernel = weight.shape[2:]
    reach = [
        (s - 1) * t + d * (k - 1) + 1 + o
        for s, t, d, k, o in zip(sizes, stride, dilation, kernel, more, strict=True)
    ]
    parts = []
    for part, taps in zip(np.split(x, groups, -1), np.split(weight, groups), strict=True):
        whole = np.zeros((n, *reach, weight.shape[1]))
        for tap in np.ndindex(*kernel):
            places = tuple(
                slice(i * d, i * d + (s - 1) * t + 1, t)
                for i, d, s, t in zip(tap, dilation, sizes, stride, strict=True)
            )
            whole[(slice(None), *places)] += part @ taps[(..., *tap)]
        parts.append(whole)
    inside = tuple(slice(p, r - p) for p, r in zip(padding, reach, strict=True))
    return np.concatenate(parts, -1)[(slice(None), *inside)]


FORMS: list[tuple[Triple, Triple, Triple, Triple, Triple, int]] = [
    ((2, 3, 2), (1, 1, 1), (0, 0, 0), (0, 0, 0), (1, 1, 1), 1),
    ((4, 4, 4), (2, 2, 2), (1, 1, 1), (0, 0, 0), (1, 1, 1), 1),
    ((1, 2, 3), (3, 2, 1), (0, 1, 0), (2, 1, 0), (1, 1, 2), 2),
    ((3, 1, 2), (2, 1, 3), (2, 0, 1), (1, 0, 2), (3, 1, 1), 2),
    ((2, 1, 1), (5, 1, 1), (0, 0, 0), (0, 0, 0), (1, 1, 1), 1),
]


@pytest.mark.parametrize("depth", [1, 4])
@pytest.mark.parametrize(("kernel", "stride", "padding", "more", "dilation", "groups"), FORMS)
def test_transposed_convolution_of_volumes(
    kernel: Triple,
    stride: Triple,
    padding: Triple,
    more: Triple,
    dilation: Triple,
    groups: int,
    depth: int,
) -> None:
    layer = nn.ConvTranspose3d(4, 6, kernel, stride, padding, more, groups, dilation=dilation)
    form = stride, padding, more, dilation, groups
    x = vq.Tensor(random((2, depth, 3, 4, 4), 0), requires_grad=True)
    weight, bias = (p.numpy().astype(float) for p in (layer.weight, layer.bias))
    y = layer(x)
    expected = transposed(x.numpy().astype(float), weight, *form) + bias
    terms = 4 * np.prod(kernel) * EPSILON
    assert y.shape == expected.shape
    np.testing.assert_allclose(y.numpy(), expected, atol=8 * terms)
    g = random(y.shape, 1)
    y.backward(g)
    assert x.grad is not None
    # Linear in each: slopes along a direction are values of the same map.
    dx, dw = (random(t.shape, seed).astype(float) for seed, t in enumerate((x, weight), 2))
    by_input = (transposed(dx, weight, *form) * g).sum()
    by_weight = (transposed(x.numpy().astype(float), dw, *form) * g).sum()
    bound = 64 * terms * np.sqrt(g.size)
    assert abs((x.grad.numpy() * dx).sum() - by_input) < bound
    assert layer.weight.grad is not None and layer.bias.grad is not None
    assert abs((layer.weight.grad.numpy() * dw).sum() - by_weight) < 4 * bound
    np.testing.assert_allclose(layer.bias.grad.numpy(), g.sum((0, 1, 2, 3)), atol=bound)


def test_volumes_of_no_samples() -> None:
    layer = nn.ConvTranspose3d(2, 3, 2, stride=2)
    assert layer(np.ones((0, 2, 3, 4, 2), np.float32)).shape == (0, 4, 6, 8, 3)
    assert nn.MaxPool3d(2)(np.ones((0, 4, 4, 4, 2), np.float32)).shape == (0, 2, 2, 2, 2)


@pytest.mark.parametrize("lead", [(), (0,), (5,), (2, 3)])
def test_bilinear(lead: tuple[int, ...]) -> None:
    layer = nn.Bilinear(3, 4, 5)
    a, b = (vq.Tensor(random((*lead, size), size), requires_grad=True) for size in (3, 4))
    w, c = layer.weight.numpy().astype(float), layer.bias.numpy().astype(float)
    x, z = a.numpy().astype(float), b.numpy().astype(float)
    y = layer(a, b)
    np.testing.assert_allclose(
        y.numpy(), np.einsum("...i,oij,...j->...o", x, w, z) + c, atol=64 * EPSILON
    )
    g = random(y.shape, 1)
    y.backward(g)
    assert a.grad is not None and b.grad is not None and layer.weight.grad is not None
    for found, expected in (
        (a.grad, np.einsum("...o,oij,...j->...i", g, w, z)),
        (b.grad, np.einsum("...o,oij,...i->...j", g, w, x)),
    ):
        np.testing.assert_allclose(found.numpy(), expected, atol=256 * EPSILON)
    rows = [part.reshape(int(np.prod(lead)), part.shape[-1]) for part in (g, x, z)]
    np.testing.assert_allclose(
        layer.weight.grad.numpy(), np.einsum("ro,ri,rj->oij", *rows), atol=256 * EPSILON
    )
    assert repr(nn.Bilinear(3, 4, 5, bias=False)) == "Bilinear(3, 4, 5, bias=False)"


def test_distances_are_taken_from_scores() -> None:
    scores, layer = random((2, 4, 3, 5), 0), nn.ALiBi()
    slopes = np.array([1 / 4, 1 / 16, 1 / 64, 1 / 256])
    for offset in (0, 2):
        distances = np.abs(np.arange(3)[:, None] + offset - np.arange(5))
        added = -slopes[:, None, None] * distances
        np.testing.assert_allclose(layer(scores, offset).numpy(), scores + added, atol=1e-6)
        np.testing.assert_array_equal(layer.bias(4, 3, 5, offset), added.astype(np.float32))
    mask = np.where(np.tri(3, 5) > 0, 0, -1e9).astype(np.float32)
    np.testing.assert_allclose(
        layer(scores, mask=mask).numpy(), layer(scores).numpy() + mask, rtol=1e-6
    )


def test_distances_are_a_mask_of_attention() -> None:
    q, k, v = (random((2, 4, 6, 8), seed) for seed in range(3))
    y = F.scaled_dot_product_attention(q, k, v, nn.ALiBi().bias(4, 6, 6))
    scores = np.einsum("nhqd,nhkd->nhqk", q, k) / np.sqrt(8)
    shares = nn.ALiBi()(scores.astype(np.float32)).softmax().numpy()
    np.testing.assert_allclose(y.numpy(), np.einsum("nhqk,nhkd->nhqd", shares, v), atol=1e-5)


def test_channels_of_volumes_are_dropped_whole() -> None:
    layer = nn.Dropout3d(0.5, generator=vq.Generator(1))
    y = layer(np.ones((8, 2, 3, 4, 16), np.float32)).numpy()
    assert (y == y[:, :1, :1, :1]).all() and set(np.unique(y)) == {0, 2}
    assert layer.eval()(y).numpy().tolist() == y.tolist()


def projected(x: Any, h: Any, c: Any, state: dict[str, Any], suffix: str) -> tuple[Any, Any]:
    """The states and the last cell of one side, in Float64, torch's definition."""
    w_ih, w_hh, w_hr = (np.float64(state[f"weight_{n}{suffix}"]) for n in ("ih", "hh", "hr"))
    b = sum(np.float64(state[f"bias_{n}{suffix}"]) for n in ("ih", "hh"))
    states = np.zeros((*x.shape[:2], h.shape[-1]))
    for t in reversed(range(len(x))) if "reverse" in suffix else range(len(x)):
        i, f, g, o = np.split(x[t] @ w_ih.T + h @ w_hh.T + b, 4, -1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c) @ w_hr.T
        states[t] = h
    return states, c


@pytest.mark.parametrize("steps", [1, 2, 6])
def test_projected_states(steps: int) -> None:
    layer = nn.LSTM(3, 7, 2, bidirectional=True, proj_size=4)
    assert "proj_size=4" in repr(layer)
    x = vq.Tensor(random((steps, 5, 3), 0), requires_grad=True)
    h, c = random((4, 5, 4), 1), random((4, 5, 7), 2)
    state = layer.state_dict()

    def reference(given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        below, cells = given.astype(float), []
        for number in range(2):
            sides = []
            for side, suffix in enumerate(("", "_reverse")):
                at = 2 * number + side
                y, cell = projected(below, h[at], c[at], state, f"_l{number}{suffix}")
                sides.append(y)
                cells.append(cell)
            below = np.concatenate(sides, -1)
        return below, np.stack(cells)

    expected, cells = reference(x.numpy())
    y, (last, cell) = layer(x, (h, c))
    assert last.shape == (4, 5, 4)
    np.testing.assert_allclose(y.numpy(), expected, atol=3e-6)
    np.testing.assert_allclose(cell.numpy(), cells, atol=3e-6)
    np.testing.assert_allclose(last.numpy()[2], expected[-1, :, :4], atol=3e-6)
    np.testing.assert_allclose(last.numpy()[3], expected[0, :, 4:], atol=3e-6)
    g = random(y.shape, 3)
    y.backward(g)
    way = random(x.shape, 4).astype(float)
    ends = [(reference(x.numpy() + s * way)[0] * g).sum() for s in (1e-6, -1e-6)]
    assert x.grad is not None
    slope = (x.grad.numpy() * way).sum()
    assert slope == pytest.approx((ends[0] - ends[1]) / 2e-6, abs=1e-4)
    assert all(p.grad is not None for p in layer.parameters())


def test_a_projected_layer_of_no_steps_keeps_its_state() -> None:
    layer = nn.LSTM(3, 5, proj_size=2)
    h, c = random((1, 4, 2), 0), random((1, 4, 5), 1)
    y, (last, cell) = layer(np.zeros((0, 4, 3), np.float32), (h, c))
    assert y.shape == (0, 4, 2)
    np.testing.assert_array_equal(last.numpy(), h)
    np.testing.assert_array_equal(cell.numpy(), c)
