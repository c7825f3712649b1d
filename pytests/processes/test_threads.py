"""Python threads, core threads, forks: overlap, refusals, equal results."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
import vqswift as vq
from conftest import run_python
from vqswift import nn, optim


def started(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_interpreter_runs_while_the_core_computes(threads: Callable[[int], None]) -> None:
    """This thread keeps ticking; with the lock held its longest pause would be the whole call."""
    threads(1)
    x = vq.Generator(1).normal((3072, 3072))
    spans: list[tuple[float, float]] = []

    def multiply() -> None:
        for _ in range(3):
            start = time.perf_counter()
            _ = x @ x  # 58 GFLOP
            spans.append((start, time.perf_counter()))

    thread = started(multiply)
    ticks = []
    while thread.is_alive():
        ticks.append(time.perf_counter())
        time.sleep(0.001)
    thread.join()

    def longest_pause(start: float, end: float) -> float:
        inside = [start, *(tick for tick in ticks if start < tick < end), end]
        return max(b - a for a, b in zip(inside, inside[1:], strict=False)) / (end - start)

    assert min(longest_pause(start, end) for start, end in spans) < 0.5


def test_two_threads_compute_at_once() -> None:
    """Both start together and compute the same product; neither disturbs the other."""
    x = vq.Generator(1).normal((1024, 1024))
    expected = (x @ x).numpy()
    barrier = threading.Barrier(2)
    results: list[np.ndarray] = []

    def multiply() -> None:
        barrier.wait()
        for _ in range(5):
            results.append((x @ x).numpy())

    threads = [started(multiply) for _ in range(2)]
    for thread in threads:
        thread.join()
    assert len(results) == 10
    assert all(np.array_equal(result, expected) for result in results)


def refusals(make: Callable[[], Callable[[], object]]) -> tuple[list[str], int]:
    """Error texts and successes of four threads that call the same thing."""
    call, texts, done = make(), [], [0]
    barrier = threading.Barrier(4)

    def work() -> None:
        barrier.wait()
        for _ in range(50):
            try:
                call()
                done[0] += 1
            except RuntimeError as error:
                texts.append(str(error))
            if texts and done[0]:
                return

    threads = [started(work) for _ in range(4)]
    for thread in threads:
        thread.join()
    return texts, done[0]


def busy_layer() -> Callable[[], object]:
    layer, x = nn.Linear(512, 512), vq.Generator(1).normal((2048, 512))
    return lambda: layer(x)


def busy_quantizer() -> Callable[[], object]:
    layer, z = vq.VectorQuant(32, 512), vq.Generator(1).normal((8192, 32))
    return lambda: layer(z)


def busy_optimizer() -> Callable[[], object]:
    weight = vq.Tensor(np.ones((2048, 2048)), requires_grad=True)
    weight.grad = vq.Tensor(np.ones((2048, 2048)))
    return optim.AdamW([weight]).step


def busy_generator() -> Callable[[], object]:
    generator = vq.Generator(1)
    return lambda: generator.normal((2048, 2048))


@pytest.mark.parametrize(
    ("make", "operation", "kind"),
    [
        (busy_layer, "forward", "module"),
        (busy_quantizer, "quantizer", "module"),
        (busy_optimizer, "step", "optimizer"),
        (busy_generator, "normal", "generator"),
    ],
)
def test_concurrent_use_of_one_handle_is_refused(
    make: Callable[[], Callable[[], object]], operation: str, kind: str
) -> None:
    texts, done = refusals(make)
    assert done > 0
    assert set(texts) == {
        f"[{operation}] another thread is using this {kind}: one handle, one thread at a time"
    }


def test_different_handles_train_in_parallel() -> None:
    def train(seed: int) -> np.ndarray:
        generator = vq.Generator(seed)
        layer = nn.Linear(16, 4, generator=generator)
        quantizer = vq.VectorQuant(4, 32, seed=seed)
        x = generator.normal((256, 16))
        optimizer = optim.AdamW(layer.parameters() + quantizer.parameters())
        for _ in range(20):
            _, info = quantizer(layer(x))
            info.loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        return layer.weight.numpy()

    def run(seed: int) -> None:
        results[seed] = train(seed)

    # The stream of a quantizer is its creation index, so the reference uses the same seeds alone.
    vq.manual_seed(0)
    results: dict[int, np.ndarray] = {}
    threads = [started(lambda seed=seed: run(seed)) for seed in range(4)]
    for thread in threads:
        thread.join()
    assert sorted(results) == [0, 1, 2, 3]
    assert all(np.isfinite(result).all() for result in results.values())


def test_parallel_forwards_equal_those_alone() -> None:
    generator = vq.Generator(5)
    layers = [nn.Conv2d(3, 8, 3, padding=1, generator=generator) for _ in range(4)]
    x = generator.normal((8, 32, 32, 3))
    alone = [layer(x).numpy() for layer in layers]
    results: dict[int, np.ndarray] = {}
    threads = [started(lambda i=i: results.__setitem__(i, layers[i](x).numpy())) for i in range(4)]
    for thread in threads:
        thread.join()
    for index, expected in enumerate(alone):
        # The split of a convolution among threads may change the order of sums: 27 terms.
        np.testing.assert_allclose(results[index], expected, atol=27 * 2**-23 * 4)


def test_no_grad_holds_for_its_thread_alone() -> None:
    x = vq.Tensor([1.0], requires_grad=True)
    recorded: list[bool] = []
    with vq.no_grad():
        thread = started(lambda: recorded.append((x * 2).requires_grad))
        thread.join()
        recorded.append((x * 2).requires_grad)
    assert recorded == [True, False]


def test_error_text_belongs_to_its_thread() -> None:
    texts: dict[int, set[str]] = {}

    def fail(width: int) -> None:
        found = set()
        for _ in range(200):
            with pytest.raises(ValueError) as caught:
                vq.Tensor(np.ones((2, width))) @ np.ones((1, 1))
            found.add(str(caught.value))
        texts[width] = found

    threads = [started(lambda width=width: fail(width)) for width in (3, 4)]
    for thread in threads:
        thread.join()
    for width, found in texts.items():
        assert len(found) == 1 and f"[2, {width}]" in found.pop()


def _child(queue: multiprocessing.Queue) -> None:  # type: ignore[type-arg]
    x = vq.Generator(3).normal((512, 512))
    layer = nn.Conv2d(3, 8, 3, padding=1, generator=vq.Generator(1))
    image = layer(vq.Generator(2).normal((4, 16, 16, 3)))
    codes = vq.nearest_codes(x, x[:64])
    queue.put((vq.get_threads(), (x @ x).sum().item(), image.shape, int(codes[:64].sum())))


def test_forked_child_computes_and_exits() -> None:
    x = vq.Generator(3).normal((512, 512))
    _ = x @ x  # starts the pool in the parent
    vq.nearest_codes(x, x[:64])
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_child, args=(queue,))
    child.start()
    threads, total, shape, codes = queue.get(timeout=60)
    child.join(60)
    assert child.exitcode == 0
    assert threads == 1 and shape == (4, 16, 16, 8) and codes == sum(range(64))
    # Sums of 512 products of normal numbers, in another order.
    assert abs(total - (x @ x).sum().item()) <= 512 * 2**-23 * 512 * 512


# One thread against two


def on(threads: Callable[[int], None], count: int, work: Callable[[], object]) -> object:
    threads(count)
    return work()


def test_codes_do_not_depend_on_threads(threads: Callable[[int], None]) -> None:
    generator = vq.Generator(2)
    x, codebook = generator.normal((20_000, 16)), generator.normal((300, 16))

    def search() -> tuple[np.ndarray, np.ndarray]:
        return vq.nearest_codes(x, codebook, True)

    one, two = on(threads, 1, search), on(threads, 2, search)
    assert np.array_equal(one[0], two[0]) and np.array_equal(one[1], two[1])  # type: ignore[index]


def test_kmeans_does_not_depend_on_threads(threads: Callable[[int], None]) -> None:
    x = vq.Generator(2).normal((5000, 8))
    one, two = (on(threads, n, lambda: vq.kmeans(x, 40, seed=1)) for n in (1, 2))
    assert np.array_equal(one.codes, two.codes)  # type: ignore[attr-defined]
    assert np.array_equal(one.centroids, two.centroids)  # type: ignore[attr-defined]


@pytest.mark.parametrize("draw", ["uniform", "normal", "integers", "permutation"])
def test_draws_do_not_depend_on_threads(threads: Callable[[int], None], draw: str) -> None:
    def make() -> np.ndarray:
        generator = vq.Generator(9)
        if draw == "permutation":
            return generator.permutation(100_003).numpy()
        rest = (1000,) if draw == "integers" else ()
        return getattr(generator, draw)((1001, 333), *rest).numpy()

    assert np.array_equal(on(threads, 1, make), on(threads, 2, make))  # type: ignore[arg-type]


def test_gradients_agree_between_thread_counts(threads: Callable[[int], None]) -> None:
    """One step of the autoencoder with the codes held fixed, within 1e-5 relative."""

    def gradients() -> dict[str, np.ndarray]:
        vq.manual_seed(4)
        model = vq.models.SQVAE(vq.VectorQuant(16, 32), width=16)
        x = vq.Generator(8).uniform((16, 32, 32, 3))
        z = model.encoder(x)
        codes = vq.Generator(6).integers((16, 8, 8), 32)
        z_q = z + (model.quantizer.decode(codes) - z).detach()
        loss = nn.functional.mse_loss(model.decoder(z_q), x)
        loss.backward()
        return {n: p.grad.numpy() for n, p in model.named_parameters() if p.grad is not None}

    one, two = on(threads, 1, gradients), on(threads, 2, gradients)
    assert one.keys() == two.keys() and len(one) > 10  # type: ignore[attr-defined]
    scale = max(np.abs(value).max() for value in one.values())  # type: ignore[attr-defined]
    for name, value in one.items():  # type: ignore[attr-defined]
        error = np.linalg.norm(two[name] - value)  # type: ignore[index]
        # A bias before a batch norm has gradient 0 up to rounding: measured against the whole.
        assert error <= 1e-5 * max(np.linalg.norm(value), scale * np.sqrt(value.size)), name


def test_gradients_do_not_depend_on_threads(threads: Callable[[int], None]) -> None:
    """Not a bit of a step: strided, pointwise and 3x3 convolutions, batch norms, quantizer."""

    def gradients() -> list[np.ndarray]:
        vq.manual_seed(4)
        model = vq.models.SQVAE(vq.VectorQuant(64, 32), width=64)
        x = vq.Generator(8).uniform((13, 32, 32, 3))
        reconstruction, info = model(x)
        (nn.functional.mse_loss(reconstruction, x) + info.loss).backward()
        return [p.grad.numpy() for p in model.parameters() if p.grad is not None]

    one = on(threads, 1, gradients)
    assert len(one) > 20  # type: ignore[arg-type]
    for count in (2, 3):
        for a, b in zip(one, on(threads, count, gradients), strict=True):  # type: ignore[call-overload]
            assert np.array_equal(a, b)


TRAIN = """
import hashlib, sys
import vqswift as vq
from vqswift import nn, optim

vq.set_threads(int(sys.argv[1]))
vq.manual_seed(3)
layer = vq.VectorQuant(16, 64, sync_nu=1.0, affine_lr=1.0, replace_freq=2, kmeans_init=True,
                       inplace_optimizer=lambda p: optim.SGD(p, lr=0.5))
model = vq.models.SQVAE(layer, width=16)
optimizer = optim.AdamW(model.parameters(), lr=1e-3)
generator = vq.Generator(1)
for _ in range(5):
    x = generator.uniform((8, 32, 32, 3))
    y, info = model(x)
    (nn.functional.mse_loss(y, x) + info.loss * 5.0).backward()
    optimizer.step()
    optimizer.zero_grad()
digest = hashlib.sha256()
for name, value in sorted((model.state_dict() | optimizer.state_dict()).items()):
    digest.update(name.encode() + value.tobytes())
print(digest.hexdigest())
"""


@pytest.mark.parametrize("count", [1, 2])
def test_same_seed_and_threads_give_the_same_bits(count: int) -> None:
    assert run_python(TRAIN, str(count)) == run_python(TRAIN, str(count))


RACE = """
import threading
import numpy as np
import vqswift as vq

x = vq.Tensor(np.ones((32, 32)), requires_grad=True)
shared = (x * 2.0).exp() * x
texts, done = set(), [0]
barrier = threading.Barrier(4)

def work(loss):
    barrier.wait()
    for _ in range(1500):
        try:
            loss().backward(retain_graph=True)
            done[0] += 1
        except RuntimeError as error:
            texts.add(str(error).split("through")[0])
        _ = x.grad
        x.grad = None

calls = [lambda: shared.sum()] * 2 + [lambda: (x * 3.0).sum(), lambda: x.square().sum()]
threads = [threading.Thread(target=work, args=(call,)) for call in calls]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
x.grad = None
shared.sum().backward()
# d/dx x exp(2x) = (1 + 2x) exp(2x) at 1
assert np.allclose(x.grad.numpy(), 3 * np.exp(2.0), rtol=1e-6)
print(done[0] > 0, texts <= {"[backward] another thread runs backward "})
"""


def test_racing_backward_passes_are_refused_or_right() -> None:
    assert run_python(RACE) == "True True\n"


def test_a_limit_is_the_threads_own(threads: Callable[[int], None]) -> None:
    threads(4)
    found = []
    with vq.limit_threads(2):
        assert vq.get_threads() == 2
        with vq.limit_threads(1):
            started(lambda: found.append(vq.get_threads())).join()
            assert (vq.get_threads(), found) == (1, [4])
        with vq.limit_threads(9):
            assert vq.get_threads() == 4
        vq.set_threads(1)
        assert vq.get_threads() == 1
        vq.set_threads(3)
        assert vq.get_threads() == 2
    assert vq.get_threads() == 3


def test_a_limit_ends_with_its_block(threads: Callable[[int], None]) -> None:
    threads(4)
    with pytest.raises(ZeroDivisionError), vq.limit_threads(1):
        _ = 1 / 0
    assert vq.get_threads() == 4


def test_threads_with_a_limit_of_one_take_no_helper(threads: Callable[[int], None]) -> None:
    """The threads of a process with two limited callers are those two."""
    program = """
import os, threading, time
import numpy as np
import vqswift as vq
vq.set_threads(8)
x = vq.Tensor(np.ones((2048, 1024), np.float32))
def count():
    return len(os.listdir("/proc/self/task"))
before = count()
def work():
    with vq.limit_threads(1):
        for _ in range(5):
            x.exp()
callers = [threading.Thread(target=work) for _ in range(2)]
for caller in callers: caller.start()
for caller in callers: caller.join()
with vq.limit_threads(1):
    x.exp()
# The system lists a thread for a moment after its end.
end = time.monotonic() + 5
while count() != before and time.monotonic() < end:
    time.sleep(0.01)
print(count() - before)
x.exp()
print(count() - before)
"""
    assert run_python(program).split() == ["0", "7"]
