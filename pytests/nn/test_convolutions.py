"""Convolutions with groups, dilation and padding of every kind against sums in Float64."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift import nn
from vqswift.nn import functional as F

rng = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


def convolution(
    x: np.ndarray,
    weight: np.ndarray,
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
) -> np.ndarray:
    """x [n, *s, i], weight [o, i / groups, *k] -> [n, *s', o], tap by tap."""
    x, weight = x.astype(np.float64), weight.astype(np.float64)
    x = np.pad(x, [(0, 0), *((p, p) for p in padding), (0, 0)])
    kernel, (out, inputs) = weight.shape[2:], weight.shape[:2]
    sizes = [
        (n - d * (k - 1) - 1) // s + 1
        for n, k, s, d in zip(x.shape[1:-1], kernel, stride, dilation, strict=True)
    ]
    result = np.zeros((x.shape[0], *sizes, out))
    for taps in itertools.product(*map(range, kernel)):
        cut = tuple(
            slice(t * d, t * d + (n - 1) * s + 1, s)
            for t, d, n, s in zip(taps, dilation, sizes, stride, strict=True)
        )
        part = x[:, *cut]
        for group in range(groups):
            ins = slice(group * inputs, (group + 1) * inputs)
            outs = slice(group * out // groups, (group + 1) * out // groups)
            result[..., outs] += part[..., ins] @ weight[outs, :, *taps].T
    return result


# channels in and out, kernel, stride, padding, dilation, groups
CASES: dict[str, tuple[Any, ...]] = {
    "plain": (8, 16, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    "dilated": (8, 16, (3, 3), (1, 1), (2, 2), (2, 2), 1),
    "dilated and strided": (5, 7, (3, 2), (2, 3), (3, 1), (3, 2), 1),
    "dilated beyond the image": (4, 4, (2, 2), (1, 1), (7, 7), (14, 13), 1),
    "groups": (8, 12, (3, 3), (1, 1), (1, 1), (1, 1), 4),
    "groups of 16": (32, 64, (3, 3), (2, 2), (1, 1), (1, 1), 2),
    "odd groups": (9, 6, (2, 3), (2, 1), (1, 0), (1, 2), 3),
    "large groups": (64, 64, (3, 3), (1, 1), (1, 1), (1, 1), 2),
    "many of one channel each": (64, 64, (3, 3), (1, 1), (1, 1), (1, 1), 64),
    "one channel each": (16, 16, (3, 3), (1, 1), (1, 1), (1, 1), 16),
    "one channel each, strided": (7, 7, (5, 5), (2, 2), (2, 2), (1, 1), 7),
    "two of one channel": (6, 12, (3, 3), (1, 1), (1, 1), (2, 2), 6),
    "wide": (40, 35, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    "wide, dilated": (32, 48, (3, 3), (1, 1), (2, 2), (2, 2), 1),
    "wide, dilated and strided": (33, 32, (3, 2), (2, 3), (3, 1), (3, 2), 1),
    "wide, with gaps": (64, 32, (2, 2), (3, 4), (0, 0), (1, 1), 1),
    "wide, along columns": (48, 64, (7, 1), (1, 1), (3, 0), (1, 1), 1),
    "wide to three": (64, 3, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    "wide groups": (96, 66, (3, 3), (2, 1), (1, 1), (1, 2), 2),
    "deep": (300, 32, (2, 2), (1, 1), (0, 0), (1, 1), 1),
    "pointwise groups": (8, 8, (1, 1), (1, 1), (0, 0), (1, 1), 2),
    "pointwise, strided groups": (8, 8, (1, 1), (2, 3), (0, 1), (1, 1), 4),
}


def check(y: vq.Tensor, expected: np.ndarray, *inputs: vq.Tensor) -> np.ndarray:
    """Compares `y`, and sends a random gradient back."""
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    gradient = normal(*y.shape)
    (y * gradient).sum().backward()
    return gradient


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("images", [1, 3, 9])
@pytest.mark.parametrize("case", CASES)
def test_two_dimensions(case: str, images: int, exact: bool) -> None:
    """The result; and as it is linear in input and weight, so are the products of its gradients."""
    inputs, outputs, kernel, stride, padding, dilation, groups = CASES[case]
    x = vq.Tensor(normal(images, 11, 12, inputs), requires_grad=True)
    weight = vq.Tensor(normal(outputs, inputs // groups, *kernel), requires_grad=True)
    bias = vq.Tensor(normal(outputs), requires_grad=True)
    before = vq.set_exact_convolutions(exact)
    try:
        y = F.conv2d(x, weight, bias, stride, padding, dilation, groups)
        form = stride, padding, dilation, groups
        expected = convolution(x.numpy(), weight.numpy(), *form) + bias.numpy()
        g = check(y, expected, x, weight)
    finally:
        vq.set_exact_convolutions(before)
    assert x.grad is not None and weight.grad is not None and bias.grad is not None
    np.testing.assert_allclose(bias.grad.numpy(), g.sum((0, 1, 2)), rtol=1e-4, atol=1e-3)
    for _ in range(3):
        dx, dw = normal(*x.shape), normal(*weight.shape)
        by_input = (convolution(dx, weight.numpy(), *form) * g).sum()
        by_weight = (convolution(x.numpy(), dw, *form) * g).sum()
        size = np.sqrt(dx.size) * np.abs(x.grad.numpy()).max()
        assert abs((x.grad.numpy() * dx).sum() - by_input) < 1e-4 * size
        size = np.sqrt(dw.size) * np.abs(weight.grad.numpy()).max()
        assert abs((weight.grad.numpy() * dw).sum() - by_weight) < 1e-4 * size


@pytest.mark.parametrize("case", CASES)
def test_the_transposed_one_is_the_transpose(case: str) -> None:
    """<conv(x), y> = <x, transposed(y)>, with groups and dilation."""
    outputs, inputs, kernel, stride, padding, dilation, groups = CASES[case]
    shape = (2, 12, 13, outputs)
    weight = vq.Tensor(normal(inputs, outputs // groups, *kernel), requires_grad=True)
    x = normal(*shape)
    expected = convolution(x, weight.numpy(), stride, padding, dilation, groups)
    y = vq.Tensor(normal(*expected.shape), requires_grad=True)
    rest = tuple(
        shape[1 + i]
        - ((expected.shape[1 + i] - 1) * stride[i] - 2 * padding[i])
        - (dilation[i] * (kernel[i] - 1) + 1)
        for i in range(2)
    )
    turned = F.conv_transpose2d(y, weight, None, stride, padding, rest, groups, dilation)
    assert turned.shape == shape
    scale = np.sqrt(x.size) * np.abs(turned.numpy()).max()
    assert abs((turned.numpy() * x).sum() - (expected * y.numpy()).sum()) < 1e-4 * scale
    (turned * x).sum().backward()
    assert y.grad is not None and weight.grad is not None
    np.testing.assert_allclose(y.grad.numpy(), expected, rtol=1e-3, atol=1e-3)
    dw = normal(*weight.shape)
    by_weight = (convolution(x, dw, stride, padding, dilation, groups) * y.numpy()).sum()
    size = np.sqrt(dw.size) * np.abs(weight.grad.numpy()).max()
    assert abs((weight.grad.numpy() * dw).sum() - by_weight) < 1e-4 * size


@pytest.mark.parametrize("images", [1, 9])
@pytest.mark.parametrize(
    ("length", "kernel", "stride", "padding", "dilation", "groups"),
    [
        (50, 7, 1, 3, 1, 1),
        (51, 4, 2, 1, 1, 1),
        (80, 3, 1, 9, 9, 1),
        (33, 5, 3, 2, 2, 4),
        (9, 1, 1, 0, 1, 2),
    ],
)
def test_one_dimension(
    images: int, length: int, kernel: int, stride: int, padding: int, dilation: int, groups: int
) -> None:
    x, weight, bias = normal(images, length, 16), normal(8, 16 // groups, kernel), normal(8)
    expected = convolution(x, weight, (stride,), (padding,), (dilation,), groups) + bias
    y = F.conv1d(x, weight, bias, stride, padding, dilation, groups)
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-4, atol=1e-4)
    # A column of an image is a sequence too.
    column = F.conv2d(
        x[:, :, None], weight[..., None], bias, (stride, 1), (padding, 0), (dilation, 1), groups
    )
    np.testing.assert_allclose(column.numpy()[:, :, 0], expected, rtol=1e-4, atol=1e-4)
    layer = nn.Conv1d(16, 8, kernel, stride, padding, dilation, groups)
    layer.weight.assign(weight)
    layer.bias.assign(bias)
    np.testing.assert_array_equal(layer(x).numpy(), y.numpy())


def test_long_sequences_in_parts() -> None:
    """Few long sequences are cut along their length."""
    x = vq.Tensor(normal(2, 4096, 32), requires_grad=True)
    weight = vq.Tensor(normal(32, 32, 7), requires_grad=True)
    y = F.conv1d(x, weight, None, 1, 9, 3)
    expected = convolution(x.numpy(), weight.numpy(), (1,), (9,), (3,), 1)
    g = check(y, expected, x, weight)
    assert x.grad is not None and weight.grad is not None
    dx, dw = normal(*x.shape), normal(*weight.shape)
    by_input = (convolution(dx, weight.numpy(), (1,), (9,), (3,), 1) * g).sum()
    by_weight = (convolution(x.numpy(), dw, (1,), (9,), (3,), 1) * g).sum()
    assert abs((x.grad.numpy() * dx).sum() - by_input) < 1e-6 * np.abs(x.grad.numpy() * dx).sum()
    bound = 1e-6 * np.abs(weight.grad.numpy() * dw).sum()
    assert abs((weight.grad.numpy() * dw).sum() - by_weight) < bound


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(
    ("stride", "padding", "dilation"), [(1, 0, 1), (2, 1, 1), ((1, 2, 1), (2, 1, 0), (2, 1, 3))]
)
def test_three_dimensions(groups: int, stride: Any, padding: Any, dilation: Any) -> None:
    layer = nn.Conv3d(4, 6, (2, 3, 2), stride, padding, dilation, groups)
    x = vq.Tensor(normal(2, 6, 7, 8, 4), requires_grad=True)
    y = layer(x)
    stride, padding, dilation = (
        (s,) * 3 if isinstance(s, int) else s for s in (stride, padding, dilation)
    )
    weight, bias = layer.weight.numpy(), layer.bias.numpy()
    form = stride, padding, dilation, groups
    g = check(y, convolution(x.numpy(), weight, *form) + bias, x)
    dw, dx = normal(*weight.shape), normal(*x.shape)
    by_weight = (convolution(x.numpy(), dw, *form) * g).sum()
    by_input = (convolution(dx, weight, *form) * g).sum()
    assert abs((layer.weight.grad.numpy() * dw).sum() - by_weight) < 1e-3 * np.abs(g).sum() ** 0.5
    assert x.grad is not None
    assert abs((x.grad.numpy() * dx).sum() - by_input) < 1e-3 * np.abs(g).sum() ** 0.5


NUMPY_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


@pytest.mark.parametrize("mode", NUMPY_MODES)
@pytest.mark.parametrize(
    ("kernel", "padding"), [((3, 5), (1, 2)), ((3, 5), "same"), ((4, 2), "same")]
)
def test_beyond_the_ends(mode: str, kernel: tuple[int, int], padding: Any) -> None:
    layer = nn.Conv2d(3, 4, kernel, padding=padding, padding_mode=mode)
    x = normal(2, 9, 10, 3)
    total = [k - 1 for k in kernel] if padding == "same" else [2 * p for p in padding]
    widths = [(0, 0), *((t // 2, t - t // 2) for t in total), (0, 0)]
    surrounded: Any = np.pad(x, widths, mode=NUMPY_MODES[mode])  # type: ignore[call-overload]
    expected = convolution(surrounded, layer.weight.numpy(), (1, 1), (0, 0), (1, 1), 1)
    y = layer(x).numpy()
    np.testing.assert_allclose(y, expected + layer.bias.numpy(), rtol=1e-4, atol=1e-5)
    if padding == "same":
        assert y.shape == (2, 9, 10, 4)
    normed = nn.weight_norm(layer)
    np.testing.assert_allclose(normed(x).numpy(), y, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Linear(6, 4),
        lambda: nn.Conv1d(6, 4, 3, 2, 1, dilation=2, groups=2),
        lambda: nn.Conv1d(6, 4, 4, padding="same", padding_mode="reflect"),
        lambda: nn.Conv2d(6, 4, (1, 3), padding=(0, 1), bias=False),
        lambda: nn.ConvTranspose1d(6, 4, 4, 2, 1, 1),
        lambda: nn.ConvTranspose2d(6, 4, 3, 2, groups=2),
    ],
)
def test_weight_norm(make: Any) -> None:
    """The same function; the gradient leaves the direction's length alone."""
    layer = make()
    shape = {2: (5, 6), 3: (2, 12, 6), 4: (2, 5, 12, 6)}[layer.weight.ndim]
    x = normal(*shape)
    normed = nn.weight_norm(layer)
    np.testing.assert_allclose(normed(x).numpy(), layer(x).numpy(), rtol=1e-5, atol=1e-6)
    (normed(x) ** 2).sum().backward()
    v, direction = normed.weight_v.numpy(), normed.weight_v.grad.numpy()
    along = (v * direction).reshape(len(v), -1).sum(1)
    assert np.abs(along).max() < 1e-4 * np.abs(direction).max() * np.sqrt(v.size)
    assert normed.weight_g.grad is not None
    assert set(normed.state_dict()) == {"weight_g", "weight_v"} | (
        {"bias"} - ({"bias"} if not layer.options["bias"] else set())
    )


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_pad(mode: str, axis: int) -> None:
    x = vq.Tensor(normal(4, 5, 6), requires_grad=True)
    widths = [(0, 0)] * 3
    widths[axis] = (2, 3)
    y = vq.pad(x, widths, 0.5, mode)
    name = {"constant": "constant", **NUMPY_MODES}[mode]
    options = {"constant_values": 0.5} if mode == "constant" else {}
    expected: Any = np.pad(x.numpy(), widths, mode=name, **options)  # type: ignore[call-overload]
    np.testing.assert_array_equal(y.numpy(), expected)
    g = normal(*y.shape)
    (y * g).sum().backward()
    places = np.arange(x.size).reshape(x.shape) + 1
    sources: Any = np.pad(places, widths, mode=name)  # type: ignore[call-overload]
    gradient = np.zeros(x.size + 1)
    np.add.at(gradient, sources.reshape(-1), g.reshape(-1).astype(np.float64))
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy().reshape(-1), gradient[1:], rtol=1e-5, atol=1e-5)


def test_pad_of_integers_and_of_nothing() -> None:
    codes = vq.pad(vq.Tensor([[1, 2]]), [(0, 0), (1, 0)], -1)
    np.testing.assert_array_equal(codes.numpy(), [[-1, 1, 2]])
    assert vq.pad(vq.zeros((0, 3)), [(2, 0), (0, 1)], 4.0).numpy().tolist() == [[4.0] * 4] * 2


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: F.conv2d(normal(1, 4, 4, 6), normal(4, 6, 1, 1), groups=4),
            r"\[conv2d\].*channels",
        ),
        (
            lambda: F.conv2d(normal(1, 4, 4, 6), normal(3, 3, 1, 1), groups=2),
            r"groups = 2.*divide the 3",
        ),
        (
            lambda: F.conv2d(normal(1, 4, 4, 2), normal(4, 2, 3, 3), dilation=0),
            r"dilation = \(0, 0\)",
        ),
        (
            lambda: F.conv2d(normal(1, 4, 4, 2), normal(4, 2, 3, 3), dilation=2),
            "dilated to 5x5, exceeds",
        ),
        (
            lambda: F.conv2d(normal(1, 4, 4, 2), normal(4, 2, 3, 3), dilation=2**31 - 1),
            r"\[conv2d\]",
        ),
        (
            lambda: F.conv2d(normal(1, 4, 4, 2), normal(4, 2, 3, 3), groups=2**62),
            r"\[conv2d\].*groups",
        ),
        (lambda: F.conv1d(normal(4, 4), normal(4, 4, 1)), r"\[conv1d\].*\[n, t, c\]"),
        (lambda: F.conv1d(normal(1, 4, 4), normal(4, 4, 1), padding="full"), "'valid' or 'same'"),
        (lambda: F.conv1d(normal(1, 4, 4), normal(4, 4, 1), None, 2, "same"), r"\[conv1d\]"),
        (
            lambda: nn.Conv2d(6, 4, 3, groups=4),
            r"\[conv2d\] groups = 4: must divide in_channels = 6",
        ),
        (
            lambda: nn.Conv1d(6, 4, 3, stride=2, padding="same"),
            r"\[conv1d\] same = true: it goes|\[conv1d\]",
        ),
        (lambda: nn.Conv2d(6, 4, 3, padding_mode="mirror"), "mirror"),
        (lambda: nn.Conv1d(6, 4, 3)(normal(2, 3, 4, 6)), r"\[conv1d\] shape \[2, 3, 4, 6\]"),
        (
            lambda: nn.Conv2d(2, 2, 3, padding=4, padding_mode="reflect")(normal(1, 4, 4, 2)),
            "from 0 to 3",
        ),
        (lambda: vq.pad(normal(2, 2), [(0, 0), (-1, 0)]), r"\[pad\] before = -1"),
        (lambda: vq.pad(normal(2, 2), [(0, 0), (2**40, 0)]), r"\[pad\]"),
        (lambda: vq.pad(normal(2, 2), [(0, 0), (1, 0)], 0.0, "mirror"), "constant, reflect"),
        (lambda: nn.weight_norm(nn.ReLU()), r"\[weight_norm\] layer is .*ReLU"),
    ],
)
def test_bad_input(call: Any, text: str) -> None:
    with pytest.raises((ValueError, TypeError, OverflowError), match=text):
        call()
