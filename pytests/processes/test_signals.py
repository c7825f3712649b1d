"""Signals, whose handlers return, in the midst of native calls change no result and no memory."""

from __future__ import annotations

import pytest
from conftest import run_python

PROGRAM = """
import signal, sys, time
import numpy as np
import vqswift as vq
from vqswift import nn

vq.set_threads(int(sys.argv[1]))
rng = np.random.default_rng(0)
x = vq.Tensor(rng.standard_normal((8, 16, 16, 24)).astype(np.float32), requires_grad=True)
layers = [nn.Conv2d(24, 16, 3, padding=1), nn.Conv2d(24, 64, 1), nn.ConvTranspose2d(24, 8, 4)]

def product(m, k, n):
    a, b = (vq.Tensor(rng.standard_normal(s).astype(np.float32)) for s in [(m, k), (k, n)])
    return lambda: (a @ b).numpy()

def gradient(layer):
    def compute():
        x.grad = None
        layer(x).sum().backward()
        return x.grad.numpy()
    return compute

work = [product(*s) for s in [(64, 300, 64), (64, 4096, 64), (500, 600, 700), (3, 2000, 3)]]
work += [gradient(layer) for layer in layers]
expected = [compute() for compute in work]

seen = 0
def handle(number, frame):
    global seen
    seen += 1
# A handler that returns, on the stack of what it meets.
signal.signal(signal.SIGALRM, handle)
signal.setitimer(signal.ITIMER_REAL, 2e-4, 2e-4)
kept, end = [], time.monotonic() + 3
while time.monotonic() < end:
    for compute, value in zip(work, expected, strict=True):
        assert np.array_equal(compute(), value)
        kept.append(bytes([len(kept) % 251]) * (1000 + 97 * len(kept) % 3000))
    kept = kept[-400:]
signal.setitimer(signal.ITIMER_REAL, 0)
assert all(block == block[:1] * len(block) for block in kept)
print(seen > 1000)
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_a_handler_that_returns_changes_nothing(threads: int) -> None:
    assert run_python(PROGRAM, str(threads)) == "True\n"
