"""Convolutions: errors are bounded by what an output sees, whatever lies beside it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import vqswift as vq
from image_reference import Convolution
from vqswift import Tensor
from vqswift.nn import functional as F

# Of the sum of magnitudes that an output sees; docs/numerics.md.
BOUND = 2.0**-17
Arrays = list[np.ndarray]


# By kernel: images, [n, h, w, c], of which tiles are whole and cut. That of 4x4 has stride 2.
SHAPES = {
    (3, 3): (8, 12, 13, 32),
    (4, 4): (8, 24, 30, 32),
    (5, 5): (8, 12, 13, 32),
    (1, 3): (3, 4, 45, 32),
    (1, 7): (4, 2, 50, 32),
    (5, 1): (4, 38, 3, 32),
    (9, 1): (2, 90, 2, 32),
}
kernels = pytest.mark.parametrize("kernel", SHAPES)


def operands(
    rng: np.random.Generator,
    kernel: tuple[int, int] = (3, 3),
    shape: tuple[int, ...] | None = None,
    out: int = 64,
) -> Arrays:
    """x, weight, gradient of a convolution that keeps the size, or halves it."""
    shape = shape or SHAPES[kernel]
    step = stride(kernel)
    return [
        rng.standard_normal(shape).astype(np.float32),
        (rng.standard_normal((out, shape[3], *kernel)) / 17).astype(np.float32),
        rng.standard_normal((shape[0], shape[1] // step, shape[2] // step, out)).astype(np.float32),
    ]


def stride(kernel: tuple[int, ...]) -> int:
    return 2 if kernel == (4, 4) else 1


def form(weight: np.ndarray) -> Convolution:
    kernel = weight.shape[2:]
    step = stride(kernel)
    return Convolution(kernel, (step, step), (kernel[0] // 2 // step, kernel[1] // 2 // step))


def convolve(x: vq.Tensor, weight: vq.Tensor) -> vq.Tensor:
    c = form(weight)
    return F.conv2d(x, weight, stride=c.stride, padding=c.padding)


def passes(x: np.ndarray, weight: np.ndarray, gradient: np.ndarray) -> Arrays:
    a, b = Tensor(x, requires_grad=True), Tensor(weight, requires_grad=True)
    y = convolve(a, b)
    y.backward(Tensor(gradient))
    return [y.numpy(), a.grad.numpy(), b.grad.numpy()]


def exact(x: np.ndarray, weight: np.ndarray, gradient: np.ndarray) -> Arrays:
    x, weight, gradient = (value.astype(np.float64) for value in (x, weight, gradient))
    c = form(weight)
    return [
        c.forward(x, weight),
        c.input_gradient(gradient, weight, *x.shape[1:3]),
        c.weight_gradient(x, gradient),
    ]


def assert_within_what_is_seen(values: Arrays, bound: float = BOUND) -> None:
    found, wanted = passes(*values), exact(*values)
    seen = exact(*(np.abs(value) for value in values))
    for name, a, b, scale in zip(["y", "dx", "dw"], found, wanted, seen, strict=True):
        assert np.all(np.abs(a - b) <= bound * scale), name


@pytest.fixture
def exact_convolutions() -> Iterator[None]:
    before = vq.set_exact_convolutions(True)
    yield
    vq.set_exact_convolutions(before)


@kernels
def test_even_numbers_are_near_and_come_by_the_transform(
    rng: np.random.Generator, kernel: tuple[int, int]
) -> None:
    values = operands(rng, kernel)
    assert_within_what_is_seen(values, BOUND / 4)
    found = passes(*values)
    before = vq.set_exact_convolutions(True)
    try:
        direct = passes(*values)
    finally:
        vq.set_exact_convolutions(before)
    for a, b in zip(found, direct, strict=True):
        assert not np.array_equal(a, b)


@kernels
@pytest.mark.parametrize("scale", [30.0, 1e3, 1e6, 1e20])
@pytest.mark.parametrize(
    "place, rectified",
    [((0.3, 0.4), False), ((0.0, 0.0), True), ((1.0, 1.0), False), ((0.65, 0.6), True)],
)
def test_one_outlier(
    rng: np.random.Generator,
    kernel: tuple[int, int],
    place: tuple[float, float],
    scale: float,
    rectified: bool,
) -> None:
    """Of the images, of the gradient, of the weight."""
    values = operands(rng, kernel)
    if rectified:
        values[0], values[2] = np.maximum(values[0], 0), np.maximum(values[2], 0)
    rows = [
        [
            round(part * (size - 1))
            for part, size in zip(place, values[which].shape[1:3], strict=True)
        ]
        for which in (0, 2)
    ]
    last = kernel[0] - 1, kernel[1] - 1
    for which, index in [(0, (1, *rows[0], 5)), (2, (1, *rows[1], 40)), (1, (40, 5, *last))]:
        given = [value.copy() for value in values]
        given[which][index] = scale
        assert_within_what_is_seen(given)


@kernels
def test_outliers_in_places(rng: np.random.Generator, kernel: tuple[int, int]) -> None:
    """Borders, corners, masked regions, one image, one channel, scattered elements."""
    x, weight, gradient = operands(rng, kernel)
    _, height, width, _ = x.shape
    step = stride(kernel)
    middle = np.s_[:, height // 2 :, width // 2 :]
    for region in [
        np.s_[:, 0],
        np.s_[:, :, -1],
        middle,
        np.s_[1],
        np.s_[..., 3],
        rng.random(x.shape) < 0.02,
    ]:
        large = x.copy()
        large[region] *= 1e6
        assert_within_what_is_seen([large, weight, gradient])
        assert_within_what_is_seen([x, weight, np.repeat(large[:, ::step, ::step], 2, axis=3)])
    masked = gradient.copy()
    masked[:, height // 2 // step - 1 :, width // 2 // step - 1 :] = 0
    large = x.copy()
    large[middle] *= 1e6
    assert_within_what_is_seen([large, weight, masked])


@kernels
def test_taps_that_corners_do_not_see(rng: np.random.Generator, kernel: tuple[int, int]) -> None:
    x, weight, gradient = operands(rng, kernel)
    for taps in [np.s_[:, :, 0], np.s_[:, :, :, -1], np.s_[:, :, -1, -1], np.s_[:, 7]]:
        uneven = weight.copy()
        uneven[taps] *= 1e6
        assert_within_what_is_seen([x, uneven, gradient])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("channels, out", [(32, 64), (40, 33), (16, 16), (5, 9), (7, 33)])
def test_what_is_not_finite_stays_where_it_is_seen(
    rng: np.random.Generator, value: float, channels: int, out: int
) -> None:
    values = operands(rng, (3, 3), (3, 9, 10, channels), out)
    for which, index in [(0, (1, 4, 5, channels - 1)), (2, (1, 0, 9, out - 1))]:
        given = [value.copy() for value in values]
        given[which][index] = value
        # How many products of each sum have it: what is beyond the image is in none.
        place = [np.zeros_like(value) for value in values]
        place[which][index] = 1
        ones = [np.ones_like(value) for value in values]
        y, dx, dw = exact(place[0], ones[1], place[2])
        dw = exact(ones[0] if which else place[0], ones[1], place[2] if which else ones[2])[2]
        for name, found, seen in zip(["y", "dx", "dw"], passes(*given), [y, dx, dw], strict=True):
            assert np.array_equal(np.isfinite(found), seen == 0), name


@kernels
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_stays_where_the_transform_sees_it(
    rng: np.random.Generator, kernel: tuple[int, int], value: float
) -> None:
    values = operands(rng, kernel)
    values[0][1, -2, -2, 31] = value
    seen = np.zeros_like(values[0])
    seen[1, -2, -2, 31] = 1
    counts = exact(seen, np.ones_like(values[1]), values[2])[0]
    assert np.array_equal(np.isfinite(passes(*values)[0]), counts == 0)


@kernels
def test_sums_near_overflow(rng: np.random.Generator, kernel: tuple[int, int]) -> None:
    x, weight, gradient = operands(rng, kernel)
    assert_within_what_is_seen([x * 1e34, weight, gradient * 1e-6])
    assert_within_what_is_seen([x * 1e-6, weight * 1e34, gradient * 1e-6])


@pytest.mark.usefixtures("exact_convolutions")
def test_exact_convolutions_take_direct_sums(rng: np.random.Generator) -> None:
    values = operands(rng)
    products = [9 * 32, 9 * 64, 8 * 12 * 13]
    assert_within_what_is_seen(values, bound=max(products) * 2.0**-24 / 16)
    given = [value.copy() for value in values]
    given[0][1, 3, 4, 5] = 1e6
    found, plain = passes(*given)[0], passes(*values)[0]
    far = np.ones(found.shape, bool)
    far[1, 2:5, 3:6] = False
    assert np.array_equal(found[far], plain[far])


@kernels
def test_tiles_with_outliers_leave_the_others_alone(
    rng: np.random.Generator, kernel: tuple[int, int]
) -> None:
    """The rest of the images has the same bits as without the outlier."""
    values = operands(rng, kernel)
    given = [value.copy() for value in values]
    given[0][1, 1, 1, 5] = 1e6
    found, plain = passes(*given)[0], passes(*values)[0]
    assert np.array_equal(np.delete(found, 1, 0), np.delete(plain, 1, 0))


@kernels
@pytest.mark.parametrize("factor", [1e2, 1e3, 1e6])
@pytest.mark.parametrize("seed", range(8))
def test_bright_pixels_of_both_sides_keep_the_bound_of_weight_gradients(
    seed: int, factor: float, kernel: tuple[int, int]
) -> None:
    """A tap that sees few products of bright pixels has channels in which they are small."""
    rng = np.random.default_rng(seed)
    batch, side = int(rng.integers(1, 4)), int(rng.choice([6, 10, 14]))
    step = stride(kernel)
    rows, columns = (step * (side - 1) + k if k > 1 else 2 for k in kernel)
    if 1 in kernel:
        rows, columns = (3 * size if size > 2 else 2 for size in (rows, columns))
    c = Convolution(kernel, (step, step))
    share = rng.choice([0.05, 0.1, 0.2, 0.4])
    x = rng.normal(size=(batch, rows, columns, 32))
    g = rng.normal(size=(batch, *c.output_size(rows, columns), 32))
    x *= np.where(rng.random(x.shape[:3])[..., None] < share, factor, 1)
    g *= np.where(rng.random(g.shape[:3])[..., None] < share, factor, 1)
    x, g = x.astype(np.float32), g.astype(np.float32)
    weight = vq.Tensor(np.zeros((32, 32, *kernel), np.float32), requires_grad=True)
    F.conv2d(x, weight, stride=c.stride).backward(g)
    assert weight.grad is not None
    wide = x.astype(np.float64), g.astype(np.float64)
    error = np.abs(weight.grad.numpy() - c.weight_gradient(*wide))
    assert (error <= BOUND * c.weight_gradient(*(np.abs(value) for value in wide))).all()


@kernels
@pytest.mark.parametrize("seed", range(8))
def test_uneven_taps_beside_uneven_pixels_keep_the_bound(
    seed: int, kernel: tuple[int, int]
) -> None:
    """What an output sees may be the dull pixels by the large taps and the bright ones by the
    small."""
    rng = np.random.default_rng(seed)
    batch, side = int(rng.integers(1, 3)), int(rng.choice([6, 8, 12]))
    shape = [side * (5 if 1 in kernel else stride(kernel)) if k > 1 else 2 for k in kernel]
    x, w = rng.normal(size=(batch, *shape, 32)), rng.normal(size=(32, 32, *kernel))
    taps = rng.random((1 if seed % 2 else 32, 1, *kernel)) < 0.3
    x *= np.where(rng.random((batch, *shape, 1)) < 0.4, 10.0 ** rng.integers(1, 5), 1)
    w *= np.where(taps, 10.0 ** rng.integers(1, 5), 1)
    x, w = x.astype(np.float32), w.astype(np.float32)
    found, c = convolve(x, w).numpy(), form(w)
    wide = x.astype(np.float64), w.astype(np.float64)
    seen = c.forward(*(np.abs(value) for value in wide))
    assert (np.abs(found - c.forward(*wide)) <= BOUND * seen).all()
