"""Forked children compute with any number of threads, whatever the parent did before."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable

import numpy as np
import pytest
import vqswift as vq
from vqswift import nn, optim


def small_convolution() -> object:
    """Fewer images than oneDNN's passes are divided into here: its own threads."""
    layer = nn.Conv2d(16, 16, 3, stride=2, padding=1, generator=vq.Generator(1))
    y = layer(vq.Generator(2).normal((2, 16, 16, 16)))
    y.sum().backward()
    return y.numpy(), layer.weight.grad.numpy()


def large_convolution() -> object:
    layer = nn.Conv2d(16, 24, 5, stride=2, padding=2, generator=vq.Generator(1))
    y = layer(vq.Generator(2).normal((16, 16, 16, 16)))
    y.sum().backward()
    return y.numpy(), layer.weight.grad.numpy()


def transposed_convolution() -> object:
    layer = nn.ConvTranspose2d(16, 8, 4, stride=2, padding=1, generator=vq.Generator(1))
    y = layer(vq.Generator(2).normal((3, 8, 8, 16)))
    y.sum().backward()
    return y.numpy(), layer.weight.grad.numpy()


def winograd() -> object:
    layer = nn.Conv2d(16, 16, 3, padding=1, generator=vq.Generator(1))
    return layer(vq.Generator(2).normal((3, 16, 16, 16))).numpy()


def product() -> object:
    x = vq.Generator(3).normal((300, 300))
    return (x @ x).numpy()


def search() -> object:
    x = vq.Generator(3).normal((500, 16))
    return vq.nearest_codes(x, x[:64]), vq.nearest_codes(x, x[:64], topk=3)


def clustering() -> object:
    return vq.kmeans(vq.Generator(3).normal((500, 8)), 16, seed=1).codes


def sampling() -> object:
    vq.manual_seed(5)
    layer = vq.VectorQuant(8, 32, temperature=1.0, entropy_weight=0.1, seed=3)
    z = vq.Tensor(vq.Generator(3).normal((64, 8)).numpy(), requires_grad=True)
    z_q, info = layer(z)
    (z_q.sum() + info.loss).backward()
    return z.grad.numpy()


def training() -> object:
    vq.manual_seed(5)
    model = vq.models.SQVAE(vq.ResidualVectorQuant(16, 32, stages=2, seed=1), width=16)
    optimizer = optim.AdamW(model.parameters(), lr=1e-3)
    x = vq.Generator(4).uniform((5, 16, 16, 3))
    y, info = model(x)
    (nn.functional.mse_loss(y, x) + info.loss).backward()
    optimizer.step()
    return [p.numpy() for p in model.parameters()]


WORK = [
    small_convolution,
    large_convolution,
    transposed_convolution,
    winograd,
    product,
    search,
    clustering,
    sampling,
    training,
]


def in_child(body: Callable[[], object], seconds: float = 60) -> tuple[int, str]:
    """Exit status (128 + signal; 124 after `seconds`) and what `body` raised in a forked child."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 0
        try:
            os.close(reader)
            body()
        except BaseException:
            os.write(writer, traceback.format_exc()[-4000:].encode())
            status = 1
        os._exit(status)
    os.close(writer)
    deadline = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            break
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            code = 124
            break
        time.sleep(0.005)
    with os.fdopen(reader) as text:
        return code if code >= 0 else 128 - code, text.read()


def assert_same(found: object, expected: object) -> None:
    if isinstance(expected, (tuple, list)):
        for a, b in zip(found, expected, strict=True):  # type: ignore[call-overload]
            assert_same(a, b)
    else:
        # Sums of up to 1600 products, in another order where oneDNN divides them.
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1600 * 2**-23)


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("work", WORK, ids=lambda work: work.__name__)
def test_a_child_computes_with_any_number_of_threads(
    threads: Callable[[int], None], work: Callable[[], object], count: int
) -> None:
    threads(2)
    expected = work()

    def body() -> None:
        assert vq.get_threads() == 1
        vq.set_threads(count)
        assert_same(work(), expected)
        assert_same(work(), expected)

    assert in_child(body) == (0, "")
    assert_same(work(), expected)


def test_a_child_of_a_child_computes(threads: Callable[[int], None]) -> None:
    threads(2)
    expected = small_convolution()

    def grandchild() -> None:
        vq.set_threads(2)
        assert_same(small_convolution(), expected)

    def child() -> None:
        vq.set_threads(2)
        assert_same(small_convolution(), expected)
        assert in_child(grandchild) == (0, "")

    assert in_child(child) == (0, "")


@pytest.mark.parametrize("work", WORK, ids=lambda work: work.__name__)
def test_a_fork_waits_for_the_calls_of_other_threads(
    threads: Callable[[int], None], work: Callable[[], object]
) -> None:
    """Their locks are free in the child, so that it neither hangs nor is refused."""
    threads(2)
    work()
    stop = threading.Event()

    def compute() -> None:
        while not stop.is_set():
            work()

    others = [threading.Thread(target=compute) for _ in range(2)]
    for other in others:
        other.start()
    try:
        for _ in range(4):
            assert in_child(lambda: (vq.set_threads(2), work())) == (0, "")
            time.sleep(0.01)
    finally:
        stop.set()
        for other in others:
            other.join()


def test_a_child_forked_within_a_long_call_is_refused(threads: Callable[[int], None]) -> None:
    threads(1)
    small = vq.Generator(1).normal((2000, 2000))

    def seconds() -> float:
        started = time.monotonic()
        _ = small @ small
        return time.monotonic() - started

    # A product of six seconds on this machine, or more where it does other work: a fork waits one.
    size = int(2000 * (6 / min(seconds() for _ in range(4))) ** (1 / 3))
    x = vq.Generator(1).normal((size, size))
    other = threading.Thread(target=lambda: x @ x)
    other.start()
    time.sleep(0.3)

    def body() -> None:
        with pytest.raises(RuntimeError, match=r"\[fork\] another thread was computing"):
            _ = x + x

    assert other.is_alive()
    result = in_child(body)
    other.join()
    assert result == (0, "")


def _child(queue: multiprocessing.Queue, expected: object) -> None:  # type: ignore[type-arg]
    vq.set_threads(2)
    assert_same(small_convolution(), expected)
    queue.put(vq.get_threads())


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_of_multiprocessing_compute(method: str) -> None:
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=_child, args=(queue, small_convolution()))
    child.start()
    assert queue.get(timeout=120) == 2
    child.join(60)
    assert child.exitcode == 0
