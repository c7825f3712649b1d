"""Address-space limits from nothing to enough around imports, operators, fits and checkpoints.

A case runs one piece of work in a process that may take so much more memory than it has: it
succeeds with the result that it has without a limit, or raises; and after MemoryError it succeeds
once the limit is gone.
"""

import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from _campaign import in_fork, main

SECONDS = 40.0
GOLDEN = 0.6180339887498949


def tensor_operators(vq) -> list[np.ndarray]:
    x = vq.Tensor(vq.Generator(1).normal((700, 900)).numpy(), requires_grad=True)
    y = (x * 2.0 + x.square()).exp().clamp(-3.0, 3.0)
    z = (y @ x.reshape((900, 700))).softmax(-1).sum(axis=0)
    z.sum().backward()
    return [y.numpy(), z.numpy(), x.grad.numpy(), x.permute((1, 0)).numpy()]


def convolution_step(vq) -> list[np.ndarray]:
    layers = [
        vq.nn.Conv2d(3, 16, 5, stride=2, padding=2, generator=vq.Generator(1)),
        vq.nn.Conv2d(16, 32, 3, padding=1, generator=vq.Generator(2)),
        vq.nn.Conv2d(32, 24, 1, generator=vq.Generator(3)),
    ]
    x = vq.Generator(4).uniform((13, 64, 64, 3))
    for layer in layers:
        x = layer(x).relu()
    x.square().sum().backward()
    return [x.numpy()] + [layer.weight.grad.numpy() for layer in layers]


def few_images(vq) -> list[np.ndarray]:
    layer = vq.nn.Conv2d(16, 24, 5, stride=2, padding=1, generator=vq.Generator(1))
    transposed = vq.nn.ConvTranspose2d(24, 5, 4, stride=2, generator=vq.Generator(2))
    y = transposed(layer(vq.Generator(4).uniform((3, 48, 48, 16))))
    y.sum().backward()
    return [y.numpy(), layer.weight.grad.numpy(), transposed.weight.grad.numpy()]


def kmeans(vq) -> list[np.ndarray]:
    found = vq.kmeans(vq.Generator(1).normal((60_000, 24)), 300, iterations=3, seed=1)
    return [found.centroids, found.codes]


def nearest_codes(vq) -> list[np.ndarray]:
    x, codebook = vq.Generator(1).normal((200_000, 16)), vq.Generator(2).normal((4096, 16))
    return list(vq.nearest_codes(x, codebook, True))


def ranked_codes(vq) -> list[np.ndarray]:
    x, codebook = vq.Generator(1).normal((20_000, 16)), vq.Generator(2).normal((512, 16))
    return list(vq.nearest_codes(x, codebook, True, topk=5))


def layer_step(vq, layer) -> list[np.ndarray]:
    z = vq.Tensor(vq.Generator(1).normal((8192, 16)).numpy(), requires_grad=True)
    z_q, info = layer(z)
    (z_q.square().sum() + info.loss).backward()
    return [z_q.numpy(), info.q.numpy(), z.grad.numpy()]


def residual_layer(vq) -> list[np.ndarray]:
    return layer_step(
        vq, vq.ResidualVectorQuant(16, 512, stages=4, kmeans_init=True, ema_decay=0.9, seed=1)
    )


def regularized_layer(vq) -> list[np.ndarray]:
    return layer_step(
        vq,
        vq.VectorQuant(
            *(16, 512),
            temperature=0.5,
            entropy_weight=0.1,
            orthogonal_weight=0.1,
            affine_lr=1.0,
            seed=1,
        ),
    )


def training(vq) -> list[np.ndarray]:
    vq.manual_seed(3)
    model = vq.models.SQVAE(vq.VectorQuant(32, 64, kmeans_init=True, seed=1), width=32)
    optimizer = vq.optim.AdamW(model.parameters(), lr=1e-3)
    for seed in range(2):
        x = vq.Generator(seed).uniform((16, 32, 32, 3))
        y, info = model(x)
        (vq.nn.functional.mse_loss(y, x) + info.loss).backward()
        optimizer.step()
        optimizer.zero_grad()
    return [p.numpy() for p in model.parameters()]


def checkpoint(vq) -> list[np.ndarray]:
    state = {f"tensor.{i}": np.full((64,), i, np.float32) for i in range(20_000)}
    state["large"] = np.arange(6_000_000, dtype=np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "state.safetensors")
        vq.save(path, state)
        loaded, _ = vq.load(path)
    return [np.asarray(loaded[name]) for name in ("tensor.7", "large")]


WORK: dict[Callable, int] = {  # and the MiB within which it meets its limits
    tensor_operators: 120,
    convolution_step: 300,
    few_images: 200,
    kmeans: 160,
    nearest_codes: 160,
    ranked_codes: 420,
    residual_layer: 260,
    regularized_layer: 460,
    training: 420,
    checkpoint: 260,
}

IMPORT = """
import resource, sys
import numpy
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    import vqswift as vq
    x = vq.Generator(1).normal((200, 16))
    vq.nearest_codes(x, x[:32], topk=2)
except (MemoryError, ImportError, OSError) as error:
    print(type(error).__name__)
else:
    print("done")
"""


@cache
def module():
    import vqswift

    vqswift.set_threads(2)
    return vqswift


@cache
def expected(work: Callable) -> list[np.ndarray]:
    """What the work gives without a limit, made in a child, which leaves this process as it was."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "expected.npz")
        in_fork(lambda: np.savez(path, *work_alone(work)), SECONDS)
        with np.load(path) as arrays:
            return [arrays[name] for name in arrays.files]


def work_alone(work: Callable) -> list[np.ndarray]:
    vq = module()
    vq.set_threads(2)
    vq.manual_seed(7)
    return work(vq)


def unlimited() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)


def limited(work: Callable, extra: int) -> None:
    """In a child: the work under a limit of `extra` bytes, then once more without."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    now = pages * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + extra, resource.RLIM_INFINITY))
    try:
        found = work_alone(work)
    except MemoryError:
        unlimited()
        found = work_alone(work)
    for a, b in zip(found, expected(work), strict=True):
        np.testing.assert_array_equal(a, b)


def limited_import(extra: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT, str(extra)], capture_output=True, text=True, timeout=SECONDS
    )
    if done.returncode or done.stdout not in (
        "done\n",
        "MemoryError\n",
        "ImportError\n",
        "OSError\n",
    ):
        raise RuntimeError(f"status {done.returncode}: {done.stdout} {done.stderr[-500:]}")


def case(number: int) -> None:
    place, step = number % (len(WORK) + 1), number // (len(WORK) + 1)
    share = step * GOLDEN % 1
    if place == len(WORK):
        limited_import(int(share * (700 << 20)))
        return
    module()
    work, budget = list(WORK.items())[place]
    expected(work)
    in_fork(lambda: limited(work, int(share * (budget << 20))), SECONDS, before_telling=unlimited)


if __name__ == "__main__":
    main(__file__, case, full=11 * 400, short=11 * 3, batch=110, seconds_per_case=2 * SECONDS)
