"""The process ends while daemon threads compute."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

PROGRAM = """
import sys, threading, time
import numpy as np
import vqswift as vq
from vqswift import nn

def product():
    x = vq.Generator(1).normal((2000, 2000))
    while True:
        x @ x

def convolution():
    layer, x = nn.Conv2d(32, 32, 5, stride=2, padding=2), vq.Generator(1).normal((4, 96, 96, 32))
    while True:
        layer(x).sum().backward()

def sampling():
    layer, z = vq.VectorQuant(32, 1024, temperature=1.0), vq.Generator(1).normal((16384, 32))
    while True:
        layer(z)

def clustering():
    vq.kmeans(vq.Generator(1).normal((400_000, 32)), 1024, iterations=10**6)

def training():
    model, x = vq.models.SQVAE(vq.VectorQuant(64, 256)), vq.Generator(1).uniform((16, 32, 32, 3))
    while True:
        y, info = model(x)
        (nn.functional.mse_loss(y, x) + info.loss).backward()

class Own(vq.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * 2
    @staticmethod
    def backward(ctx, gradient):
        return gradient * 2

def own():
    x = vq.Tensor(np.ones((40, 40), np.float32), requires_grad=True)
    while True:
        (Own.apply(x @ x) @ x).sum().backward()

for name in sys.argv[2].split():
    threading.Thread(target=globals()[name], daemon=True).start()
time.sleep(float(sys.argv[1]))
print("end")
"""


@pytest.mark.parametrize(
    ("work", "runs"),
    [
        ("product", 8),
        ("convolution", 3),
        ("sampling", 4),
        ("clustering", 2),
        ("training", 3),
        ("own own own", 8),
        ("product sampling convolution", 4),
    ],
)
def test_daemon_threads_compute_until_the_end(work: str, runs: int) -> None:
    def run(seconds: float) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, "-c", PROGRAM, str(seconds), work]
        return subprocess.run(program, capture_output=True, text=True, timeout=30)

    with ThreadPoolExecutor(3) as pool:
        for done in pool.map(run, [0.2 + 0.1 * place for place in range(runs)]):
            assert (done.returncode, done.stdout) == (0, "end\n"), done.stderr


def test_exit_status_and_output_survive_a_call_that_outlasts_the_wait() -> None:
    """Nothing stops a product; the process leaves with what it was told to, its output written."""
    program = """
import sys, threading, time
import vqswift as vq
vq.set_threads(1)
x = vq.Generator(1).normal((9000, 9000))
threading.Thread(target=lambda: x @ x, daemon=True).start()
time.sleep(0.5)
sys.stdout.write("no newline, no flush")
sys.exit(7)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=120)
    assert (done.returncode, done.stdout) == (7, b"no newline, no flush"), done.stderr


def test_exit_functions_of_the_user_still_compute() -> None:
    program = """
import atexit, threading, time
import vqswift as vq
x = vq.Generator(1).normal((64, 64))
def compute():
    results = []
    thread = threading.Thread(target=lambda: results.append((x @ x).shape))
    try:
        thread.start()
        thread.join()
    except RuntimeError:  # Python 3.12 starts no threads any more
        results.append((64, 64))
    print((x + x).shape, results)
atexit.register(compute)
threading.Thread(target=lambda: [x @ x for _ in iter(int, 1)], daemon=True).start()
time.sleep(0.2)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, b"(64, 64) [(64, 64)]\n"), done.stderr
