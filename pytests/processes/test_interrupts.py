"""Long native calls end soon after a signal whose handler raises, and change nothing."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import vqswift as vq

SOON = 1.0


def points(n: int, d: int) -> vq.Tensor:
    return vq.Generator(0).normal((n, d))


def long_kmeans(init: str, k: int, n: int = 1 << 18, d: int = 64) -> Callable[[], object]:
    x = points(n, d)
    return lambda: vq.kmeans(x, k, iterations=10**6, init=init)


def long_iteration() -> Callable[[], object]:
    x = points(1 << 20, 64)
    start = x.numpy()[:8192]
    return lambda: vq.kmeans(x, 8192, iterations=1, init=start)


def long_blocks() -> Callable[[], object]:
    x = points(1 << 18, 64).numpy()
    return lambda: vq.kmeans_blocks([x] * 64, 1024, init=x[:1024])


def long_mini_batches() -> Callable[[], object]:
    x = points(1 << 18, 64).numpy()
    return lambda: vq.minibatch_kmeans(x, 1024, epochs=10**6, init=x[:1024])


def long_search(topk: int | None = None) -> Callable[[], object]:
    x, codebook = points(1 << 19, 128), points(16384, 128)
    return lambda: vq.nearest_codes(x, codebook, topk=topk)


def long_product(m: int, k: int, n: int) -> Callable[[], object]:
    a, b = points(m, k), points(k, n)
    return lambda: a @ b


def long_fit(make: Callable[[], Any]) -> Callable[[], object]:
    layer, x = make(), points(1 << 18, 64)
    return lambda: layer.fit(x, iterations=10**6)


def long_start(make: Callable[[], Any]) -> Callable[[], object]:
    layer, x = make(), points(1 << 19, 64)
    return lambda: layer(x)


def long_ssim() -> Callable[[], object]:
    x = vq.Generator(0).uniform((64, 512, 512, 3))
    return lambda: [vq.metrics.ssim(x, x, data_range=1.0) for _ in range(100)]


CASES: dict[str, Callable[[], Callable[[], object]]] = {
    "kmeans, many iterations": lambda: long_kmeans("random", 256),
    "kmeans, one long iteration": long_iteration,
    "kmeans of blocks": long_blocks,
    "mini-batch kmeans": long_mini_batches,
    "kmeans++ seeding": lambda: long_kmeans("kmeans++", 1 << 16),
    "nearest codes": long_search,
    "ranked codes": lambda: long_search(8),
    "product": lambda: long_product(6144, 2048, 12288),
    "deep product": lambda: long_product(384, 1 << 18, 384),
    "fit": lambda: long_fit(lambda: vq.VectorQuant(64, 1024)),
    "residual fit": lambda: long_fit(lambda: vq.ResidualVectorQuant(64, 1024, stages=4)),
    "residual start": lambda: long_start(
        lambda: vq.ResidualVectorQuant(64, 2048, stages=4, kmeans_init=True)
    ),
    "group start": lambda: long_start(
        lambda: vq.GroupVectorQuant(64, 4096, groups=2, kmeans_init=True)
    ),
    "ssim": long_ssim,
}


@contextmanager
def handler_of(number: int, handler: Any) -> Iterator[None]:
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


def signal_after(seconds: float, number: int) -> list[float]:
    """Sends the signal to this process; the moment that it was sent, once it was."""
    sent: list[float] = []

    def send() -> None:
        time.sleep(seconds)
        sent.append(time.monotonic())
        os.kill(os.getpid(), number)

    threading.Thread(target=send).start()
    return sent


@pytest.mark.parametrize("name", CASES)
def test_ctrl_c_ends_a_long_call_within_a_second(name: str) -> None:
    call = CASES[name]()
    with handler_of(signal.SIGINT, signal.default_int_handler):
        sent = signal_after(0.3, signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            call()
            while True:
                time.sleep(0.01)
                assert not sent, "the call ended by itself: it is too short for this test"
    assert time.monotonic() - sent[0] < SOON


def test_what_a_handler_raises_comes_out_of_the_call() -> None:
    def stop(number: int, frame: object) -> None:
        raise SystemExit(f"signal {number}")

    call = long_kmeans("random", 256)
    with handler_of(signal.SIGTERM, stop):
        sent = signal_after(0.3, signal.SIGTERM)
        with pytest.raises(SystemExit, match="signal 15"):
            call()
    assert time.monotonic() - sent[0] < SOON


def test_a_handler_that_returns_lets_the_call_go_on() -> None:
    x = points(1 << 16, 64)
    some = x.numpy()[:1000]
    expected = vq.kmeans(x, 256, iterations=60, init="random")
    seen: list[np.ndarray] = []

    def look(number: int, frame: object) -> None:
        seen.append(vq.nearest_codes(some, expected.centroids))

    with handler_of(signal.SIGALRM, look):
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        try:
            got = vq.kmeans(x, 256, iterations=60, init="random")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    np.testing.assert_array_equal(got.codes, expected.codes)
    np.testing.assert_array_equal(got.centroids, expected.centroids)
    assert len(seen) == 1
    for codes in seen:
        np.testing.assert_array_equal(codes, expected.codes[:1000])


@pytest.mark.parametrize(
    "make",
    [
        lambda: vq.VectorQuant(64, 4096, kmeans_init=True, ema_decay=0.9),
        lambda: vq.ResidualVectorQuant(64, 1024, stages=4, kmeans_init=True, quantizer_dropout=0.5),
        lambda: vq.GroupVectorQuant(64, 4096, groups=2, kmeans_init=True),
    ],
)
def test_an_interrupted_start_leaves_the_layer_as_it_was(make: Callable[[], Any]) -> None:
    layer, x = make(), points(1 << 19, 64)
    before = {name: value.copy() for name, value in layer.state_dict().items()}
    with handler_of(signal.SIGINT, signal.default_int_handler):
        signal_after(0.5, signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            layer(x)
            time.sleep(5)
    after = layer.state_dict()
    assert before.keys() == after.keys()
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value, err_msg=name)
    layer(points(8192, 64))


def test_calls_of_other_threads_go_on() -> None:
    x = points(1 << 17, 64)
    expected = vq.kmeans(x, 64, iterations=20, init="random")
    results = []
    worker = threading.Thread(
        target=lambda: results.append(vq.kmeans(x, 64, iterations=20, init="random"))
    )
    with handler_of(signal.SIGINT, signal.default_int_handler):
        worker.start()
        with pytest.raises(KeyboardInterrupt):
            signal_after(0.1, signal.SIGINT)
            time.sleep(10)
        worker.join()
    np.testing.assert_array_equal(results[0].codes, expected.codes)
