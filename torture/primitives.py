"""Image operators and products of random shapes, forward and all gradients against Float64.

Kernels, strides, paddings, channels and images of every small size; 1 to 8 threads, more and fewer
than images; with a heap that checks itself, on each instruction set that oneDNN can be told.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from _campaign import main

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "pytests/nn"))

import vqswift as vq  # noqa: E402
from image_reference import Convolution  # noqa: E402
from vqswift import Tensor  # noqa: E402
from vqswift.nn import functional as F  # noqa: E402

UNIT = 2.0**-24

# A set above the machine's own is taken for its own.
ENVIRONMENTS = [
    {"LD_PRELOAD": "libc_malloc_debug.so.0", "MALLOC_CHECK_": "3", "DNNL_MAX_CPU_ISA": isa} | more
    for isa, more in [
        ("DEFAULT", {}),
        ("AVX512_CORE", {"VQSWIFT_INSTRUCTIONS": "avx512"}),
        ("AVX2", {"VQSWIFT_INSTRUCTIONS": "avx2"}),
        ("AVX512_CORE_VNNI", {}),
        ("SSE41", {"VQSWIFT_INSTRUCTIONS": "portable"}),
        ("AVX512_CORE_BF16", {}),
        ("AVX", {}),
        ("AVX2_VNNI", {}),
    ]
]

Arrays = list[np.ndarray]


def compare(
    names: str, leaves: Arrays, run: Callable, exact: Callable, terms: Callable, seed: int
) -> None:
    """Calls `run` with leaf tensors and backward with a random gradient.

    exact: from the leaves and the gradient, in Float64, the output and the leaves' gradients. Of
    their magnitudes it gives what the rounding of sums of `terms` products is measured by.
    """
    tensors = [Tensor(leaf, requires_grad=True) for leaf in leaves]
    y = run(*tensors)
    rng = np.random.default_rng(seed)
    gradient = rng.standard_normal(y.shape).astype(np.float32)
    y.backward(Tensor(gradient))
    found = [y.numpy(), *(tensor.grad.numpy() for tensor in tensors)]
    doubles = [value.astype(np.float64) for value in (*leaves, gradient)]
    wanted, scale = exact(*doubles), exact(*map(np.abs, doubles))
    for name, values, want, absolute, count in zip(
        names.split(), found, wanted, scale, terms(y.shape), strict=True
    ):
        assert values.shape == want.shape, f"{name}: {values.shape}, not {want.shape}"
        excess = np.abs(values - want) - (count + 4) * UNIT * absolute
        assert np.all(excess <= 0), f"{name}: off by {np.abs(values - want).max():.3g}"


def array(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


def sizes(rng: np.random.Generator, low: int, high: int) -> tuple[int, int]:
    a, b = rng.integers(low, high + 1, 2)
    return int(a), int(b)


def channels(rng: np.random.Generator) -> int:
    """1 to 17, and now and then as many as Winograd's transform takes."""
    return int(rng.choice([32, 64]) if rng.random() < 0.15 else rng.integers(1, 18))


def images(rng: np.random.Generator) -> tuple[int, int, int]:
    side = 40 if rng.random() < 0.1 else 18
    return int(rng.integers(1, 10)), int(rng.integers(1, side)), int(rng.integers(1, side))


def convolution(rng: np.random.Generator) -> None:
    kernel = sizes(rng, 1, 7) if rng.random() < 0.5 else (int(rng.choice([1, 3])),) * 2
    stride = sizes(rng, 1, 4) if rng.random() < 0.5 else (int(rng.choice([1, 2])),) * 2
    # Beyond the kernel too, where outputs see no pixel.
    padding = sizes(rng, 0, 8 if rng.random() < 0.1 else max(kernel) // 2)
    c = Convolution(kernel, stride, padding)
    n, height, width = images(rng)
    if kernel == (1, 1):
        # Larger images, of which a copy of the pixels met fills a workspace.
        n, height, width = min(n, 5), *(int(side) for side in rng.integers(8, 72, 2))
    height = max(height, kernel[0] - 2 * padding[0])
    width = max(width, kernel[1] - 2 * padding[1])
    into, out = channels(rng), channels(rng)
    leaves = [array(rng, n, height, width, into), array(rng, out, into, *kernel), array(rng, out)]
    if rng.random() < 0.3:
        leaves.pop()

    def exact(x: np.ndarray, w: np.ndarray, *rest: np.ndarray) -> Arrays:
        g = rest[-1]
        y = c.forward(x, w) + (rest[0] if len(rest) > 1 else 0)
        gradients = [c.input_gradient(g, w, height, width), c.weight_gradient(x, g)]
        return [y, *gradients, g.sum((0, 1, 2))][: len(leaves) + 1]

    def terms(shape: tuple[int, ...]) -> list[int]:
        area, pixels = kernel[0] * kernel[1], n * shape[1] * shape[2]
        return [area * into + 1, area * out, pixels, pixels][: len(leaves) + 1]

    run = lambda *t: F.conv2d(*t, stride=stride, padding=padding)  # noqa: E731
    compare("y dx dw db"[: 2 + 3 * len(leaves)], leaves, run, exact, terms, int(rng.integers(99)))


def transposed(rng: np.random.Generator) -> None:
    kernel = sizes(rng, 1, 5)
    stride = sizes(rng, 1, 3)
    output_padding = int(rng.integers(stride[0])), int(rng.integers(stride[1]))
    padding = sizes(rng, 0, max(kernel) // 2)
    c = Convolution(kernel, stride, padding)
    n, height, width = images(rng)
    while min(c.transposed_size(height, width, output_padding)) < 1:
        height, width = height + 1, width + 1
    rows, columns = c.transposed_size(height, width, output_padding)
    into, out = channels(rng), channels(rng)
    leaves = [array(rng, n, height, width, into), array(rng, into, out, *kernel), array(rng, out)]

    def exact(x: np.ndarray, w: np.ndarray, b: np.ndarray, g: np.ndarray) -> Arrays:
        y = c.input_gradient(x, w, rows, columns) + b
        return [y, c.forward(g, w), c.weight_gradient(g, x), g.sum((0, 1, 2))]

    def terms(shape: tuple[int, ...]) -> list[int]:
        area, pixels = kernel[0] * kernel[1], n * height * width
        return [area * into + 1, area * out, pixels, n * shape[1] * shape[2]]

    def run(*t: Tensor) -> Tensor:
        return F.conv_transpose2d(*t, stride=stride, padding=padding, output_padding=output_padding)

    compare("y dx dw db", leaves, run, exact, terms, int(rng.integers(99)))


def average_pool(rng: np.random.Generator) -> None:
    kernel, stride = sizes(rng, 1, 4), sizes(rng, 1, 4)
    padding = int(rng.integers(kernel[0] // 2 + 1)), int(rng.integers(kernel[1] // 2 + 1))
    c, depth = Convolution(kernel, stride, padding), channels(rng)
    n, height, width = images(rng)
    height, width = max(height, kernel[0]), max(width, kernel[1])
    # Every channel by itself: a convolution with one channel.
    weight = np.full((1, 1, *kernel), 1 / (kernel[0] * kernel[1]))

    def by_channel(x: np.ndarray) -> np.ndarray:
        return np.moveaxis(x, 3, 1).reshape(-1, *x.shape[1:3], 1)

    def together(x: np.ndarray) -> np.ndarray:
        return np.moveaxis(x.reshape(n, depth, *x.shape[1:3]), 1, 3)

    def exact(x: np.ndarray, g: np.ndarray) -> Arrays:
        y = c.forward(by_channel(x), weight)
        return [together(y), together(c.input_gradient(by_channel(g), weight, height, width))]

    area = kernel[0] * kernel[1]
    run = lambda t: F.avg_pool2d(t, kernel, stride, padding)  # noqa: E731
    leaves = [array(rng, n, height, width, depth)]
    compare("y dx", leaves, run, exact, lambda _: [area, area], int(rng.integers(99)))


def max_pool(rng: np.random.Generator) -> None:
    kernel, stride = sizes(rng, 1, 4), sizes(rng, 1, 4)
    padding = int(rng.integers(kernel[0] // 2 + 1)), int(rng.integers(kernel[1] // 2 + 1))
    depth = channels(rng)
    n, height, width = images(rng)
    height, width = max(height, kernel[0]), max(width, kernel[1])
    x = Tensor(array(rng, n, height, width, depth), requires_grad=True)
    y = F.max_pool2d(x, kernel, stride, padding)
    gradient = array(rng, *y.shape)
    y.backward(Tensor(gradient))
    padded = np.full((n, height + 2 * padding[0], width + 2 * padding[1], depth), -np.inf)
    padded[:, padding[0] : padding[0] + height, padding[1] : padding[1] + width] = x.numpy()
    windows = Convolution(kernel, stride).patches(padded).reshape(*y.shape, -1)
    assert np.array_equal(y.numpy(), windows.max(-1)), "y"
    rows, columns = np.divmod(windows.argmax(-1), kernel[1])
    at = np.indices(y.shape)
    want = np.zeros(padded.shape)
    np.add.at(want, (at[0], at[1] * stride[0] + rows, at[2] * stride[1] + columns, at[3]), gradient)
    want = want[:, padding[0] : padding[0] + height, padding[1] : padding[1] + width]
    assert np.allclose(x.grad.numpy(), want, rtol=0, atol=64 * UNIT), "dx"


def batch_norm(rng: np.random.Generator) -> None:
    depth = channels(rng)
    shape = (*images(rng), depth) if rng.random() < 0.7 else (int(rng.integers(2, 99)), depth)
    rows = int(np.prod(shape[:-1]))
    if rows < 8:
        return
    leaves = [array(rng, *shape) * 2 + 1, array(rng, depth) + 2, array(rng, depth)]
    x, scale, shift = (Tensor(leaf, requires_grad=True) for leaf in leaves)
    mean, variance = Tensor(np.zeros(depth)), Tensor(np.ones(depth))
    y = F.batch_norm(x, scale, shift, mean, variance, training=True)
    gradient = array(rng, *shape)
    y.backward(Tensor(gradient))
    flat, g = (value.reshape(rows, depth).astype(np.float64) for value in (leaves[0], gradient))
    deviation = np.sqrt(flat.var(0) + 1e-5)
    standard = (flat - flat.mean(0)) / deviation
    dx = leaves[1] / deviation * (g - g.mean(0) - standard * (g * standard).mean(0))
    # A variance of few rows can be small against the mean squared: relative to what is divided by.
    tolerance = 64 * UNIT * (1 + np.abs(flat).max(0) / deviation) ** 2 * np.sqrt(rows)
    for name, found, want in [
        ("y", y, standard * leaves[1] + leaves[2]),
        ("dx", x.grad, dx),
        ("dscale", scale.grad, (g * standard).sum(0)),
        ("dshift", shift.grad, g.sum(0)),
        ("mean", mean, 0.1 * flat.mean(0)),
        ("variance", variance, 0.9 + 0.1 * flat.var(0, ddof=1)),
    ]:
        off = np.abs(found.numpy().reshape(want.shape) - want)
        assert np.all(off <= tolerance * (1 + np.abs(want))), f"{name}: off by {off.max():.3g}"


def product(rng: np.random.Generator) -> None:
    large = rng.random() < 0.2
    m, k, n = (int(size) for size in rng.integers(1, 300 if large else 40, 3))
    batch = tuple(int(b) for b in rng.integers(1, 4, rng.integers(0, 2)))
    leaves = [array(rng, *batch, m, k), array(rng, *batch, k, n)]

    def exact(a: np.ndarray, b: np.ndarray, g: np.ndarray) -> Arrays:
        return [a @ b, g @ np.swapaxes(b, -1, -2), np.swapaxes(a, -1, -2) @ g]

    compare(
        "y da db", leaves, lambda a, b: a @ b, exact, lambda _: [k, n, m], int(rng.integers(99))
    )


OPERATORS = [
    *[convolution] * 5,
    *[transposed] * 3,
    average_pool,
    max_pool,
    batch_norm,
    product,
]


def case(number: int) -> None:
    rng = np.random.default_rng(number)
    vq.set_threads(int(rng.choice([1, 2, 4, 8])))
    OPERATORS[int(rng.integers(len(OPERATORS)))](rng)


if __name__ == "__main__":
    main(__file__, case, full=200_000, short=225, batch=75, environments=iter(ENVIRONMENTS))
