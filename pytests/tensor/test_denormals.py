"""Denormal numbers: zeros to the kernels by default, kept where a code is decided and outside."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import vqswift as vq
from vqswift import Tensor, nn, optim
from vqswift.nn import functional as F

TINY = np.float32(1e-40)


@pytest.fixture
def denormals_kept() -> Iterator[None]:
    before = vq.set_flush_denormal(False)
    assert before, "flushing is the default"
    yield
    assert not vq.set_flush_denormal(before)


def convolution(channels: int, kernel: int, images: int, stride: int = 1) -> Callable[[], Tensor]:
    x = Tensor(np.full((images, 16, 16, channels), TINY), requires_grad=True)
    weight = Tensor(np.ones((32, channels, kernel, kernel)), requires_grad=True)

    def run() -> Tensor:
        y = F.conv2d(x, weight, stride=stride)
        y.backward(Tensor(np.full(y.shape, 1e-30)))
        return y

    return run


def matrix(*shape: int) -> Tensor:
    return Tensor(np.full(shape, TINY))


OPERATORS = {
    "product of elements": lambda: matrix(1000, 100) * 1.0,
    "sum of elements": lambda: matrix(1000, 100) + 0.0,
    "matrix product": lambda: matrix(300, 64) @ Tensor(np.eye(64)),
    "sum": lambda: matrix(1000, 100).sum(axis=0),
    "convolution by Winograd's transform": convolution(32, 3, 9),
    "convolution by the library": convolution(24, 3, 9),
    "convolution divided by the library": convolution(24, 3, 3),
    "convolution by patches": convolution(3, 3, 9),
    "pointwise convolution": convolution(32, 1, 9),
    "strided pointwise convolution": convolution(8, 1, 3, 2),
    "pooling": lambda: F.avg_pool2d(Tensor(np.full((4, 16, 16, 32), TINY)), 2),
}


def numpy_keeps_denormals() -> bool:
    """Whether arithmetic outside the core still has gradual underflow."""
    x = np.full(64, TINY)
    return bool(np.all(x * np.float32(1) == x) and np.all(x + x > x))


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("name", OPERATORS)
def test_kernels_take_them_for_zero(threads: Callable[[int], None], name: str, count: int) -> None:
    threads(count)
    assert np.all(OPERATORS[name]().numpy() == 0)
    assert numpy_keeps_denormals()


@pytest.mark.usefixtures("denormals_kept")
@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("name", OPERATORS)
def test_kernels_keep_them_on_request(
    threads: Callable[[int], None], name: str, count: int
) -> None:
    threads(count)
    assert np.all(OPERATORS[name]().numpy() != 0)


def test_threads_follow_the_setting_at_once(threads: Callable[[int], None]) -> None:
    """The team's and the library's threads, which live on, do not remember it."""
    threads(4)
    for run in (OPERATORS["product of elements"], convolution(24, 3, 3)):
        for keep in (False, True, False, True):
            before = vq.set_flush_denormal(not keep)
            try:
                assert np.all((run().numpy() != 0) == keep)
            finally:
                vq.set_flush_denormal(before)


def test_optimizers_let_dead_moments_go() -> None:
    parameter = Tensor(np.ones(1000), requires_grad=True)
    adam = optim.Adam([parameter], lr=1e-3)
    parameter.grad = Tensor(np.full(1000, 1e-38))
    for _ in range(50):
        adam.step()
        parameter.grad = Tensor(np.zeros(1000))
    moments = [v for k, v in adam.state_dict().items() if np.shape(v) == (1000,)]
    assert moments
    assert all(np.all((m == 0) | (np.abs(m) >= 2.0**-126)) for m in map(np.asarray, moments))


def test_codes_keep_them(rng: np.random.Generator, threads: Callable[[int], None]) -> None:
    """Nearest codes of denormal vectors are those of the same vectors made larger."""
    threads(2)
    steps = rng.integers(-40, 41, (500, 8)).astype(np.float32)
    codebook = rng.integers(-40, 41, (64, 8)).astype(np.float32)
    small = np.float32(2.0**-149)
    codes = vq.nearest_codes(steps * small, codebook * small)
    assert np.array_equal(codes, vq.nearest_codes(steps, codebook))
    again, _ = vq.nearest_codes(steps * small, codebook * small, return_distances=True)
    assert np.array_equal(again, codes)
    assert numpy_keeps_denormals()


def test_signs_and_largest_elements_keep_them() -> None:
    x = np.array([[TINY, -TINY, 2 * TINY], [-TINY, TINY, -3 * TINY]], np.float32)
    assert Tensor(x).argmax(axis=1).numpy().tolist() == [2, 1]
    assert np.array_equal(Tensor(x).max(axis=1).numpy(), x.max(1))
    layer = vq.LFQ(3).eval()
    assert np.array_equal(layer.encode(x).numpy(), layer.encode(x / TINY).numpy())


def test_training_step_leaves_the_caller_alone() -> None:
    model = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3))
    adam = optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(2):
        model(Tensor(np.ones((9, 8, 8, 3)))).square().mean().backward()
        adam.step()
        assert numpy_keeps_denormals()
