"""Fork, spawn and threads around every operator, beside torch, faiss and scikit-learn.

A case loads some of these libraries, computes, loads more, and computes the same in forked and
spawned children and in threads at once, with other numbers of threads; everything gives the result
of an ordinary process.
"""

import importlib
import multiprocessing
import pickle
import random
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
from _campaign import in_fork, main

LIBRARIES = ("torch", "faiss", "sklearn.cluster")
METHODS = ("fork", "spawn", "threads", "fork of threads", "fork of fork")
SECONDS = 120.0


def elements(vq) -> list[np.ndarray]:
    x = vq.Tensor(vq.Generator(1).normal((300, 200)).numpy(), requires_grad=True)
    y = ((x * 0.5).exp() + x.square().sqrt() - x.abs()).gelu().silu() / 3.0
    (y.max(axis=0).sum() + y.mean() + y.softmax(1).log().sum()).backward()
    return [y.numpy(), x.grad.numpy()]


def products(vq) -> list[np.ndarray]:
    a, b = vq.Generator(1).normal((3, 130, 70)), vq.Generator(2).normal((70, 210))
    return [(a @ b).numpy(), (b.permute((1, 0)) @ b).numpy()]


def convolutions(vq) -> list[np.ndarray]:
    found = []
    for images, inputs, outputs, kernel, stride in [
        (2, 16, 24, 3, 2),
        (9, 8, 16, 5, 1),
        (1, 32, 32, 3, 1),
        (13, 3, 8, 1, 2),
    ]:
        layer = vq.nn.Conv2d(
            inputs, outputs, kernel, stride=stride, padding=kernel // 2, generator=vq.Generator(1)
        )
        x = vq.Tensor(vq.Generator(2).normal((images, 20, 20, inputs)).numpy(), requires_grad=True)
        y = layer(x)
        y.square().sum().backward()
        found += [y.numpy(), x.grad.numpy(), layer.weight.grad.numpy()]
    layer = vq.nn.ConvTranspose2d(16, 8, 4, stride=2, padding=1, generator=vq.Generator(1))
    return [*found, layer(vq.Generator(3).normal((3, 9, 9, 16))).numpy()]


def layers(vq) -> list[np.ndarray]:
    nn = vq.nn
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, generator=vq.Generator(1)),
        nn.BatchNorm(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(128, 10, generator=vq.Generator(2)),
        nn.LayerNorm(10),
    )
    x = vq.Generator(4).uniform((6, 16, 16, 3))
    loss = nn.functional.cross_entropy(model(x), np.arange(6, dtype=np.int32))
    loss.backward()
    return [np.float32(loss.item())] + [p.grad.numpy() for p in model.parameters()]


def searches(vq) -> list[np.ndarray]:
    x, codebook = vq.Generator(1).normal((3000, 24)), vq.Generator(2).normal((200, 24))
    fit = vq.kmeans(x, 20, iterations=4, seed=1)
    return [
        *vq.nearest_codes(x, codebook, True),
        *vq.nearest_codes(x, codebook, True, topk=4),
        fit.centroids,
        fit.codes,
    ]


def quantizers(vq) -> list[np.ndarray]:
    found = []
    for layer in (
        vq.VectorQuant(16, 64, affine_lr=1.0, sync_nu=1.0, kmeans_init=True, seed=1),
        vq.VectorQuant(16, 64, temperature=0.5, entropy_weight=0.1, orthogonal_weight=0.1, seed=1),
        vq.ResidualVectorQuant(16, 64, stages=3, ema_decay=0.9, seed=1),
        vq.GroupVectorQuant(16, 64, groups=2, gradient="rotation", seed=1),
    ):
        vq.manual_seed(7)
        z = vq.Tensor(vq.Generator(3).normal((512, 16)).numpy(), requires_grad=True)
        z_q, info = layer(z)
        (z_q.square().sum() + info.loss).backward()
        found += [z_q.numpy(), z.grad.numpy()]
    return found


def optimizers(vq) -> list[np.ndarray]:
    found = []
    for kind in ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Lion", "Adafactor", "Muon"):
        layer = vq.nn.Linear(64, 32, bias=kind != "Muon", generator=vq.Generator(1))
        optimizer = getattr(vq.optim, kind)(layer.parameters(), lr=1e-2)
        for _ in range(3):
            optimizer.zero_grad()
            layer(vq.Generator(2).normal((100, 64))).square().mean().backward()
            optimizer.step()
        found.append(layer.weight.numpy())
    return found


def checkpoints(vq) -> list[np.ndarray]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.safetensors")
        vq.save(path, {"a": np.arange(1000, dtype=np.float32)}, {"k": "v"})
        return [vq.load(path)[0]["a"]]


WORK = (elements, products, convolutions, layers, searches, quantizers, optimizers, checkpoints)


def use(library: str) -> None:
    """Loads a library and lets it start its threads."""
    module = importlib.import_module(library)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 32)).astype(np.float32)
    if library == "torch":
        t = module.from_numpy(x)
        (t @ t.T).softmax(-1).sum()
    elif library == "faiss":
        index = module.IndexFlatL2(32)
        index.add(x[:100])
        index.search(x, 1)
    else:
        module.KMeans(8, n_init=1, max_iter=2).fit(x)


def same(found: list[np.ndarray], expected: list[np.ndarray], where: str) -> None:
    for index, (a, b) in enumerate(zip(found, expected, strict=True)):
        if not np.array_equal(a, b):
            # Batch norms and losses sum in an order that may follow the threads.
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4, err_msg=f"{where} {index}")


def compute(work: Callable, threads: int, expected: list[np.ndarray], where: str) -> None:
    import vqswift as vq

    vq.set_threads(threads)
    same(work(vq), expected, where)


def in_threads(work: Callable, expected: list[np.ndarray], count: int) -> None:
    faults: list[BaseException] = []

    def body() -> None:
        try:
            import vqswift as vq

            for _ in range(3):
                same(work(vq), expected, "thread")
        except BaseException as error:
            faults.append(error)

    others = [threading.Thread(target=body) for _ in range(count)]
    for other in others:
        other.start()
    for other in others:
        other.join(SECONDS)
        if other.is_alive():
            raise RuntimeError(f"no end of a thread within {SECONDS:.0f} s")
    if faults:
        raise faults[0]


def around(work: Callable, method: str, threads: int, expected: list[np.ndarray]) -> None:
    def child() -> None:
        compute(work, threads, expected, "child")

    if method == "fork":
        in_fork(child, SECONDS)
    elif method == "fork of fork":
        in_fork(lambda: (child(), in_fork(child, SECONDS)), SECONDS)
    elif method == "threads":
        # Generators of layers are one stream: threads that draw from it would share it.
        if work not in (quantizers,):
            in_threads(work, expected, 3)
    elif method == "fork of threads":
        stop = threading.Event()

        def busy() -> None:
            import vqswift as vq

            x = vq.Generator(5).normal((256, 256))
            while not stop.is_set():
                _ = x @ x

        other = threading.Thread(target=busy)
        other.start()
        try:
            in_fork(child, SECONDS)
        finally:
            stop.set()
            other.join()
    else:
        spawned = multiprocessing.get_context("spawn").Process(
            target=compute, args=(work, threads, expected, "spawned")
        )
        spawned.start()
        spawned.join(SECONDS)
        if spawned.exitcode != 0:
            spawned.kill()
            raise RuntimeError(f"a spawned child ended with {spawned.exitcode}")


def one_process(number: int) -> None:
    """The case, in a process that has loaded nothing yet."""
    rng = random.Random(number)
    order = list(LIBRARIES)
    rng.shuffle(order)
    cut = [rng.randint(0, len(order)) for _ in range(2)]
    before, after = order[: min(cut)], order[min(cut) : max(cut)]
    threads = rng.choice((1, 2, 3, 4))
    for library in before:
        use(library)
    import vqswift as vq

    with open(sys.argv[3], "rb") as stream:
        expected = pickle.load(stream)
    vq.set_threads(rng.choice((1, 2, 4)))
    works = rng.sample(WORK, 3)
    for work in works:
        same(work(vq), expected[work.__name__], "parent")
    for library in after:
        use(library)
    for work in works:
        method = rng.choice(METHODS)
        told = f"{work.__name__}, {method}, {threads} threads, before {before}, after {after}"
        print(told, file=sys.stderr, flush=True)
        around(work, method, threads, expected[work.__name__])
        compute(work, 2, expected[work.__name__], "parent after")


def expectations(path: Path) -> None:
    import vqswift as vq

    vq.set_threads(2)
    with path.open("wb") as stream:
        pickle.dump({work.__name__: work(vq) for work in WORK}, stream)


KEPT: list[Path] = []


def run_process(*arguments: str) -> None:
    command = [sys.executable, str(Path(__file__).resolve()), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=6 * SECONDS)
    if done.returncode:
        raise RuntimeError(f"status {done.returncode}: {done.stderr[-1500:]}")


def case(number: int) -> None:
    if not KEPT:
        KEPT.append(Path(tempfile.mkdtemp(), "expected.pickle"))
        run_process("expectations", "0", str(KEPT[0]))
    run_process("case", str(number), str(KEPT[0]))


if __name__ == "__main__":
    if sys.argv[1:2] == ["expectations"]:
        expectations(Path(sys.argv[3]))
    elif sys.argv[1:2] == ["case"]:
        one_process(int(sys.argv[2]))
    else:
        main(__file__, case, full=300, short=6, batch=50, seconds_per_case=7 * SECONDS)
