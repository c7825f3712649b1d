"""The tape is released without recursion, whatever made it, and keeps what its pullbacks read."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from conftest import run_python
from vqswift import _core, estimators, nn
from vqswift.nn import functional as F

ROW = np.array([0.5, -0.5], np.float32)
IMAGE = np.full((1, 1, 1, 1), 0.5, np.float32)
ONE = vq.Tensor(np.ones(1, np.float32))
GENERATOR = vq.Generator(1)
CODES = vq.Tensor(np.array([0, 1], np.int32))
KERNEL = vq.Tensor(np.ones((1, 1, 1, 1), np.float32), requires_grad=True)


LOSS = vq.VectorQuant(2, 3, orthogonal_weight=0.1, entropy_weight=0.1)
SIGNS = vq.LFQ(2)
Step = Callable[[vq.Tensor], vq.Tensor]


class Negated(vq.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: vq.Tensor) -> vq.Tensor:
        ctx.save_for_backward(x)
        return -x

    @staticmethod
    def backward(ctx: Any, gradient: vq.Tensor) -> vq.Tensor:
        return -gradient


def recurrent(layer: Any) -> Step:
    return lambda x: layer(x.reshape(1, 1, 2))[0].reshape(1, 2)


def quantized(layer: Callable[[vq.Tensor], tuple[vq.Tensor, object]]) -> Step:
    return lambda x: layer(x)[0]


CHAINS: dict[str, tuple[np.ndarray, Step]] = {
    "add": (ROW, lambda x: x + 1.0),
    "add itself": (ROW, lambda x: x + x),
    "subtract": (ROW, lambda x: x - 1.0),
    "subtract from": (ROW, lambda x: 1.0 - x),
    "multiply": (ROW, lambda x: x * 0.5),
    "multiply by itself": (ROW, lambda x: x * x),
    "divide": (ROW, lambda x: x / 2.0),
    "divide into": (ROW, lambda x: 1.0 / x),
    "negate": (ROW, lambda x: -x),
    "maximum": (ROW, lambda x: vq.maximum(x, ONE)),
    "minimum": (ROW, lambda x: vq.minimum(ONE, x)),
    "matmul": (ROW.reshape(1, 2), lambda x: x @ np.eye(2, dtype=np.float32)),
    "exp": (ROW, lambda x: x.exp()),
    "log": (ROW, lambda x: x.log()),
    "sqrt": (ROW, lambda x: x.sqrt()),
    "tanh": (ROW, lambda x: x.tanh()),
    "sigmoid": (ROW, lambda x: x.sigmoid()),
    "relu": (ROW, lambda x: x.relu()),
    "gelu": (ROW, lambda x: x.gelu()),
    "silu": (ROW, lambda x: x.silu()),
    "abs": (ROW, lambda x: x.abs()),
    "square": (ROW, lambda x: x.square()),
    "pow": (ROW, lambda x: x**1.5),
    "clamp": (ROW, lambda x: x.clamp(-1, 1)),
    "dropout": (ROW, lambda x: F.dropout(x, generator=GENERATOR)),
    "sum": (ROW[:1], lambda x: x.sum(axis=0, keepdims=True)),
    "mean": (ROW[:1], lambda x: x.mean(axis=0, keepdims=True)),
    "max": (ROW[:1], lambda x: x.max(axis=0, keepdims=True)),
    "min": (ROW[:1], lambda x: x.min(axis=0, keepdims=True)),
    "var": (ROW, lambda x: x.var(axis=0, keepdims=True).broadcast_to((2,))),
    "softmax": (ROW, lambda x: x.softmax()),
    "log_softmax": (ROW, lambda x: x.log_softmax()),
    "reshape": (ROW, lambda x: x.reshape(2)),
    "permute": (ROW.reshape(1, 2), lambda x: x.T),
    "slice": (ROW, lambda x: x[:]),
    "index": (ROW.reshape(1, 2), lambda x: x[0][None]),
    "concatenate": (ROW, lambda x: vq.concatenate([x])),
    "stack": (ROW, lambda x: vq.stack([x]).reshape(2)),
    "gather_rows": (ROW.reshape(2, 1), lambda x: x.gather_rows(CODES)),
    "scatter_add_rows": (ROW.reshape(2, 1), lambda x: x.scatter_add_rows(CODES, 2)),
    "mse_loss": (ROW, lambda x: F.mse_loss(x, x * 0).broadcast_to((2,))),
    "l1_loss": (ROW, lambda x: F.l1_loss(x, x * 0).broadcast_to((2,))),
    "cross_entropy": (
        ROW.reshape(2, 1),
        lambda x: F.cross_entropy(x.T, np.zeros(1, np.int32)).broadcast_to((2, 1)),
    ),
    "conv2d": (IMAGE, lambda x: F.conv2d(x, KERNEL)),
    "conv2d weight": (IMAGE, lambda x: F.conv2d(vq.Tensor(IMAGE), x)),
    "conv2d bias": (IMAGE, lambda x: F.conv2d(vq.Tensor(IMAGE), KERNEL, x.reshape(1))),
    "conv_transpose2d": (IMAGE, lambda x: F.conv_transpose2d(x, KERNEL)),
    "conv_transpose2d bias": (
        IMAGE,
        lambda x: F.conv_transpose2d(vq.Tensor(IMAGE), KERNEL, x.reshape(1)),
    ),
    "max_pool2d": (IMAGE, lambda x: F.max_pool2d(x, 1)),
    "avg_pool2d": (IMAGE, lambda x: F.avg_pool2d(x, 1)),
    "upsample_nearest2d": (IMAGE, lambda x: F.upsample_nearest2d(x, 1)),
    "interpolate": (IMAGE, lambda x: F.interpolate(x, 2, mode="bicubic")[:, :1, :1]),
    "batch_norm": (
        ROW.reshape(2, 1),
        lambda x: F.batch_norm(x, ONE, ONE, vq.Tensor([0.0]), vq.Tensor([1.0]), True),
    ),
    "linear": (ROW, nn.Linear(2, 2)),
    "layer_norm": (ROW, nn.LayerNorm(2)),
    "residual": (ROW, nn.Residual(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))),
    "straight through": (ROW.reshape(1, 2), quantized(vq.VectorQuant(2, 3).eval())),
    "rotation": (ROW.reshape(1, 2), quantized(vq.VectorQuant(2, 3, gradient="rotation").eval())),
    "directional": (ROW.reshape(1, 2), quantized(vq.VectorQuant(2, 3, gradient="directional"))),
    "unit rows": (ROW.reshape(1, 2), quantized(vq.VectorQuant(2, 3, norm="l2").eval())),
    "clamped rows": (ROW.reshape(1, 2), quantized(vq.VectorQuant(2, 3, norm="l2c").eval())),
    "groups": (ROW.reshape(1, 2), quantized(vq.GroupVectorQuant(2, 3, groups=2).eval())),
    "stages": (ROW.reshape(1, 2), quantized(vq.ResidualVectorQuant(2, 3, stages=2).eval())),
    "loss": (
        ROW.reshape(1, 2),
        lambda x: LOSS(x)[1].loss.broadcast_to((1, 2)),
    ),
    "FSQ": (ROW.reshape(1, 2), quantized(vq.FSQ([3, 4]))),
    "LFQ": (ROW.reshape(1, 2), lambda x: SIGNS(x)[0] + SIGNS(x)[1].loss),
    "Gumbel": (ROW.reshape(1, 2), quantized(vq.GumbelQuant(2, 3))),
    "Gaussian": (ROW.reshape(1, 2), quantized(vq.SQVAEQuant(2, 3))),
    "reinmax": (ROW.reshape(1, 2), lambda x: estimators.reinmax(x, GENERATOR)),
    "gumbel_softmax": (ROW.reshape(1, 2), lambda x: estimators.gumbel_softmax(x, GENERATOR)),
    "weight quantizer": (ROW, estimators.WeightQuantizer(2, 1.0, "dsq")),
    "PACT": (ROW, estimators.PACT(4).eval()),
    "LSQ": (ROW, estimators.LSQ(4, signed=True)),
    "own function": (ROW, lambda x: Negated.apply(x)),
    "checkpoint": (ROW, lambda x: vq.autograd.checkpoint(lambda y: -y, x)),
    "rnn": (ROW.reshape(1, 2), recurrent(nn.RNN(2, 2))),
    "gru": (ROW.reshape(1, 2), recurrent(nn.GRU(2, 2))),
    "lstm": (ROW.reshape(1, 2), recurrent(nn.LSTM(2, 2))),
    "LSQ+": (ROW, estimators.LSQPlus(4, signed=True)),
}
#: The long form is a million. Recursion on the small stack ends at a thousand nodes.
LENGTH = int(os.environ.get("VQSWIFT_CHAIN_LENGTH", "1500"))
SMALL_STACK = 256 << 10


def on_a_small_stack(work: Callable[[], object]) -> None:
    before = threading.stack_size(SMALL_STACK)
    try:
        thread = threading.Thread(target=work)
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()


def chain(name: str, count: int) -> tuple[vq.Tensor, vq.Tensor]:
    start, step = CHAINS[name]
    leaf = vq.Tensor(start, requires_grad=True)
    x = leaf
    for _ in range(count):
        x = step(x)
    assert x.shape == leaf.shape and x.requires_grad
    return leaf, x


@pytest.mark.parametrize("name", CHAINS)
def test_a_long_chain_is_released_by_another_thread(name: str) -> None:
    ends = [chain(name, LENGTH)[1]]
    on_a_small_stack(ends.clear)
    assert not ends


@pytest.mark.parametrize("name", CHAINS)
def test_a_long_chain_runs_backward(name: str) -> None:
    leaf, end = chain(name, LENGTH)
    on_a_small_stack(lambda: end.sum().backward())
    assert leaf.grad is not None and leaf.grad.shape == leaf.shape


def test_a_running_loss_runs_backward() -> None:
    layer = nn.Linear(2, 1)
    x, target = vq.Tensor(ROW.reshape(1, 2)), vq.Tensor([[1.0]])
    total = vq.Tensor(0.0)
    for _ in range(LENGTH):
        total = total + F.mse_loss(layer(x), target)
    on_a_small_stack(total.backward)
    assert layer.weight.grad is not None
    many = layer.weight.grad.numpy()
    layer.weight.grad = None
    F.mse_loss(layer(x), target).backward()
    assert np.allclose(many, LENGTH * layer.weight.grad.numpy(), rtol=2e-3)


def test_a_running_loss_whose_steps_ran_backward_is_released() -> None:
    layer = nn.Linear(2, 1)
    totals = [vq.Tensor(0.0)]
    for _ in range(LENGTH):
        loss = layer(ROW.reshape(1, 2)).sum()
        loss.backward()
        totals = [totals[0] + loss]
    assert totals[0].requires_grad
    on_a_small_stack(totals.clear)


def test_a_chain_too_long_for_any_stack_is_released() -> None:
    _, end = chain("negate", 200_000)
    del end


def test_threads_release_what_they_share() -> None:
    def ladder(count: int) -> list[vq.Tensor]:
        a = vq.Tensor(ROW, requires_grad=True)
        b = a * 2.0
        for _ in range(count):
            a, b = a + b, a - b
        return [a, b]

    for _ in range(5):
        rails = ladder(20_000)
        ends: list[list[vq.Tensor]] = [[rail + 1.0] for rail in rails]
        del rails
        threads = [threading.Thread(target=end.clear) for end in ends]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def test_a_graph_that_branches_is_released_and_runs_backward() -> None:
    leaf = vq.Tensor([1.0], requires_grad=True)
    x = leaf
    branches = []
    for index in range(LENGTH):
        x = x * 0.5 + x * 0.5
        if index % 100 == 0:
            branches.append(x.exp())
    on_a_small_stack(partial(x.backward, retain_graph=True))
    assert leaf.grad is not None and leaf.grad.item() == 1
    on_a_small_stack(x.backward)
    assert leaf.grad.item() == 2
    ends = [x, *branches]
    del x, branches
    on_a_small_stack(ends.clear)


def test_backward_lets_go_of_the_graph() -> None:
    # The end is held: what it was computed from is not.
    leaf, end = chain("add", 1000)
    before = _core.live_handles()
    end.backward(np.ones(2, np.float32))
    assert _core.live_handles() == before
    with pytest.raises(RuntimeError, match="freed by an earlier backward"):
        end.backward(np.ones(2, np.float32))


def test_a_gradient_that_is_on_a_tape_does_not_keep_it() -> None:
    leaf = vq.Tensor(ROW, requires_grad=True)
    seed = vq.Tensor(ROW, requires_grad=True) * 2.0
    leaf.backward(seed)
    assert leaf.grad is not None and not leaf.grad.requires_grad


# Megabytes that fifty steps on 10 MB keep, when each pullback holds what it reads.
MEMORY = """
import resource, sys
import numpy as np
import vqswift as vq
from vqswift.nn import functional as F
vq.set_threads(1)
x = vq.Tensor(np.ones((1250, 2000), np.float32), requires_grad=True)
images = vq.Tensor(np.ones((1, 500, 1000, 5), np.float32), requires_grad=True)
eye, kernel = vq.Tensor(np.eye(2000)), np.ones((5, 5, 1, 1), np.float32)
row = vq.Tensor(np.ones(2000, np.float32), requires_grad=True)
step, start = {
    "add": (lambda y: y + 1.0, x),
    "subtract": (lambda y: 1.0 - y, x),
    "multiply": (lambda y: y * 0.5, x),
    "divide": (lambda y: y / 2.0, x),
    "negate": (lambda y: -y, x),
    "add a parameter": (lambda y: y + row, x),
    "matmul": (lambda y: y @ eye, x),
    "conv2d": (lambda y: F.conv2d(y, kernel), images),
    "conv_transpose2d": (lambda y: F.conv_transpose2d(y, kernel), images),
    "avg_pool2d": (lambda y: F.avg_pool2d(y, 1), images),
    "dropout": (lambda y: F.dropout(y, generator=vq.Generator(0)), x),
    "permute": (lambda y: y.T, x),
    "slice": (lambda y: y[:], x),
    "concatenate": (lambda y: vq.concatenate([y]), x),
    "sum": (lambda y: y.sum(axis=0, keepdims=True).broadcast_to(y.shape), x),
}[sys.argv[1]]
y = step(start)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for _ in range(int(sys.argv[2])):
    y = step(y)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.parametrize(
    "name",
    [
        *("add", "subtract", "multiply", "divide", "negate", "add a parameter", "matmul"),
        *("conv2d", "conv_transpose2d", "avg_pool2d", "dropout", "permute", "slice"),
        *("concatenate", "sum"),
    ],
)
def test_pullbacks_hold_what_they_read(name: str) -> None:
    steps = 4 if name == "matmul" else 50
    # Two further buffers of 10 MB may be in use at the highest moment.
    assert float(run_python(MEMORY, name, str(steps))) < 30
