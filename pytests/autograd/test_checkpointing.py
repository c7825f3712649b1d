"""Values that backward computes again: the gradients are those of the plain composition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import vqswift as vq
from conftest import run_python
from vqswift import nn
from vqswift.autograd import checkpoint

pytestmark = pytest.mark.usefixtures("no_leak")
X = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)


class Network(nn.Module):
    def __init__(self, kept: bool) -> None:
        super().__init__()
        self.kept = kept
        self.first = nn.Linear(4, 8, generator=vq.Generator(1))
        self.drop = nn.Dropout(0.5, generator=vq.Generator(2))
        self.second = nn.Linear(8, 4, generator=vq.Generator(3))

    def body(self, x: vq.Tensor) -> vq.Tensor:
        return self.second(self.drop(self.first(x).tanh()))

    def forward(self, x: Any) -> vq.Tensor:
        for _ in range(3):
            x = self.body(x) if self.kept else checkpoint(self.body, x)
        return x


def trained(kept: bool, steps: int = 3) -> list[np.ndarray]:
    model = Network(kept)
    optimizer = vq.optim.SGD(model.parameters(), lr=0.1)
    found = []
    for _ in range(steps):
        x = vq.Tensor(X, requires_grad=True)
        y = model(x)
        optimizer.zero_grad()
        y.square().mean().backward()
        found += [y.numpy(), x.grad.numpy(), *(p.grad.numpy() for p in model.parameters())]
        optimizer.step()
    found += model.rng_state_dict().values()
    return found


def test_gradients_and_draws_are_those_of_the_plain_composition() -> None:
    # Sums of gradients of shared weights are added in another order.
    for plain, again in zip(trained(True), trained(False), strict=True):
        np.testing.assert_allclose(again, plain, rtol=1e-4, atol=1e-6)


def test_generators_of_any_kind_repeat_their_draws() -> None:
    generator, seen = vq.Generator(4), []
    quantizer = vq.GumbelQuant(4, 8, seed=0)

    def body(x: vq.Tensor) -> vq.Tensor:
        noise = generator.normal(x.shape)
        z, info = quantizer(x + noise)
        seen.append((noise.numpy(), info.q.numpy()))
        return z

    x = vq.Tensor(X, requires_grad=True)
    y = checkpoint(body, x)
    counter = generator.counter
    generator.uniform((100,))
    y.sum().backward()
    for first, second in zip(*seen, strict=True):
        np.testing.assert_array_equal(first, second)
    assert generator.counter == counter + 25


def test_nested_checkpoints() -> None:
    drop = nn.Dropout(0.5, generator=vq.Generator(2))
    plain = nn.Dropout(0.5, generator=vq.Generator(2))
    x, other = (vq.Tensor(X, requires_grad=True) for _ in range(2))
    checkpoint(lambda x: checkpoint(lambda x: drop(x * x) * x, x) * 2, x).sum().backward()
    (plain(other * other) * other * 2).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), other.grad.numpy(), rtol=1e-6)


def test_results_and_inputs_of_several_kinds() -> None:
    def body(x: vq.Tensor, codes: vq.Tensor, scale: float, *, shift: float) -> Any:
        rows = x.gather_rows(codes)
        return rows * scale + shift, rows.argmax(-1), rows.sum()

    x, codes = vq.Tensor(X, requires_grad=True), vq.Tensor([1, 1, 0])
    rows, best, total = checkpoint(body, x, codes, 3.0, shift=1.0)
    np.testing.assert_allclose(rows.numpy(), X[[1, 1, 0]] * 3 + 1, rtol=1e-6)
    np.testing.assert_array_equal(best.numpy(), X[[1, 1, 0]].argmax(-1))
    (rows.sum() + total).backward()
    np.testing.assert_array_equal(x.grad.numpy()[:3, 0], [4, 8, 0])


def test_functions_of_gradients_see_the_parameters_inside() -> None:
    layer = nn.Linear(4, 2)
    _, gradients = nn.value_and_grad(layer, lambda x: checkpoint(layer, x).sum())(vq.Tensor(X))
    np.testing.assert_allclose(gradients["bias"].numpy(), [5, 5])
    assert layer.bias.grad is None
    layer.freeze()
    assert not checkpoint(layer, vq.Tensor(X)).requires_grad


def test_what_needs_no_tape_has_none() -> None:
    x = vq.Tensor(X, requires_grad=True)
    with vq.no_grad():
        assert not checkpoint(lambda x: x * 2, x).requires_grad
    assert not checkpoint(lambda x: x * 2, vq.Tensor(X)).requires_grad


def test_errors() -> None:
    x = vq.Tensor(X, requires_grad=True)
    with pytest.raises(KeyError, match="own"):
        checkpoint(lambda x: {}["own"], x)
    with pytest.raises(TypeError, match=r"\[checkpoint\] the result is 3: a Tensor"):
        checkpoint(lambda x: 3, x)
    with pytest.raises(TypeError, match="no float32 tensor"):
        checkpoint(lambda x: x.argmax(-1), x)
    sizes = iter([5, 4])
    y = checkpoint(lambda x: x[: next(sizes)], x)
    with pytest.raises(ValueError, match=r"\[checkpoint\] shapes \[5, 4\] and \[4, 4\]"):
        y.sum().backward()
    calls = []

    def fails_later(x: vq.Tensor) -> vq.Tensor:
        calls.append(1)
        if len(calls) > 1:
            raise KeyError("later")
        return x * 2

    with pytest.raises(KeyError, match="later"):
        checkpoint(fails_later, x).sum().backward()
    y = checkpoint(lambda x: x * 2, x)
    x.assign(X + 1)
    with pytest.raises(RuntimeError, match="changed in place"):
        y.sum().backward()


MEMORY = """
import re, sys
import numpy as np
import vqswift as vq
vq.set_threads(1)

def most():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])

def body(x):
    for _ in range(20):
        x = x.tanh()
    return x

x = vq.Tensor(np.ones((1250, 500), np.float32), requires_grad=True)
body(x).sum().backward()
before = most()
y = x
for _ in range(5):
    y = vq.autograd.checkpoint(body, y) if sys.argv[1] == "again" else body(y)
y.sum().backward()
print((most() - before) / 1024)
"""


def test_values_inside_are_not_kept() -> None:
    # Each of a hundred values is 2.5 MB; twenty of them were there before.
    assert float(run_python(MEMORY, "kept")) > 150
    assert float(run_python(MEMORY, "again")) < 40
