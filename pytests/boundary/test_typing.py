"""Types and docstrings of the public surface."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import vqswift as vq

MODULES = {
    "vqswift": vq,
    "vqswift.autograd": vq.autograd,
    "vqswift.nn": vq.nn,
    "vqswift.nn.functional": vq.nn.functional,
    "vqswift.nn.init": vq.nn.init,
    "vqswift.optim": vq.optim,
    "vqswift.models": vq.models,
    "vqswift.codec": vq.codec,
    "vqswift.data": vq.data,
    "vqswift.distributed": vq.distributed,
    "vqswift.estimators": vq.estimators,
    "vqswift.metrics": vq.metrics,
    "vqswift.plots": vq.plots,
    "vqswift.train": vq.train,
}


def public_names() -> Iterator[tuple[str, object]]:
    for prefix, module in MODULES.items():
        yield prefix, module
        names = getattr(module, "__all__", None) or [
            name
            for name, value in vars(module).items()
            if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
        ]
        for name in names:
            value = getattr(module, name)
            yield f"{prefix}.{name}", value
            if inspect.isclass(value):
                for member, item in vars(value).items():
                    shown = inspect.isfunction(item) or isinstance(item, (property, classmethod))
                    if shown and not member.startswith("_"):
                        yield f"{prefix}.{name}.{member}", item


@pytest.mark.parametrize(("name", "value"), [pytest.param(n, v, id=n) for n, v in public_names()])
def test_every_public_name_has_a_docstring(name: str, value: object) -> None:
    assert inspect.getdoc(value), name
    if name.count(".") > 1 and inspect.isclass(value) and "__init__" in vars(value):
        assert value.__doc__, name


def test_every_name_of_all_exists() -> None:
    for module in MODULES.values():
        for name in getattr(module, "__all__", ()):
            assert hasattr(module, name)
    assert "py.typed" in {path.name for path in Path(vq.__file__).parent.iterdir()}


USER = '''
"""A researcher's program, checked strictly."""

import numpy as np
import vqswift as vq
from vqswift import nn, optim


class Encoder(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        stem = nn.Conv2d(3, width, 3, padding=1)
        self.layers = nn.Sequential(stem, nn.BatchNorm(width), nn.ReLU())

    def forward(self, x: vq.Tensor) -> vq.Tensor:
        y: vq.Tensor = self.layers(x)
        return y * 2.0 + 1


encoder = Encoder(8).train()
layer = vq.VectorQuant(8, 16, sync_nu=1.0, inplace_optimizer=lambda p: optim.SGD(p, lr=0.1))
optimizer = optim.AdamW(encoder.parameters() + layer.parameters(), lr=1e-3)
schedule = optim.cosine_schedule(100, warmup_steps=10)
x = vq.Tensor(np.zeros((2, 4, 4, 3), np.float32))
z_q, info = layer(encoder(x))
loss = nn.functional.mse_loss(z_q, z_q.detach()) + info.loss * 5.0
loss.backward()
norm: float = optim.clip_grad_norm(encoder.parameters(), 1.0)
optimizer.lr = 1e-3 * schedule(0)
optimizer.step()
codes: vq.Tensor = layer.encode(x.reshape(-1, 8))
state: dict[str, np.ndarray] = encoder.state_dict()
vq.save("file", state, {"step": "1"})
gradient = next(p.grad for _, p in encoder.named_parameters())
if gradient is not None:
    values: np.ndarray = gradient.numpy()
with vq.no_grad():
    perplexity: float = info.perplexity
nearest: np.ndarray = vq.nearest_codes(np.zeros((4, 2)), np.zeros((3, 2)))
whole: vq.Tensor = vq.FSQ([8, 5, 5])(np.zeros((2, 3)))[0]
gaussian = vq.SQVAEQuant(8, 16, kind="IV", dim=1)
chosen: vq.Tensor = gaussian.encode(x, logvar=x)
objective: vq.Tensor = gaussian.reconstruction_loss(x, x) + vq.LFQ(4)(x)[1].loss
tau: float = vq.GumbelQuant(8, 16, code_size=4, hard=True).temperature
usage = vq.metrics.CodeUsage(16)
usage.update(info.q)
shares: np.ndarray = usage.probabilities
gap: float = vq.metrics.gradient_gap(layer, lambda: (z_q.sum(), info)).total
alike: float = vq.metrics.ssim(x, x, 2.0, window=3)
sampled: vq.Tensor = vq.estimators.reinmax(x, vq.Generator(1), temperature=1.5)
narrow: vq.Tensor = vq.estimators.LSQ(4, values="activations")(x) + vq.estimators.PACT(2)(x)
ranked: np.ndarray = vq.nearest_codes(np.zeros((4, 2)), np.zeros((3, 2)), topk=2)
found = vq.kmeans(np.zeros((4, 2), np.float32), 2).centroids


class Cube(vq.autograd.Function):
    @staticmethod
    def forward(ctx: vq.autograd.FunctionContext, x: vq.Tensor) -> vq.Tensor:
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx: vq.autograd.FunctionContext, gradient: vq.Tensor) -> vq.Tensor | None:
        (x,) = ctx.saved_tensors
        return None if x is None else gradient * 3 * x * x


value, slope = vq.value_and_grad(lambda x: Cube.apply(x).sum())(x)
again: vq.Tensor = vq.autograd.checkpoint(encoder, x)
states, (h, c) = nn.LSTM(3, 4, batch_first=True)(x[:, 0])
with encoder.register_forward_hook(lambda module, args, y: y * 2):
    encoder.freeze()
h.requires_grad = c.requires_grad
'''


def check(program: str, folder: Path) -> tuple[int, str]:
    pytest.importorskip("mypy")
    path = folder / "user.py"
    path.write_text(program)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", folder / "cache", path],
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stdout


def test_a_user_program_passes_strict_mypy(mypy_folder: Path) -> None:
    code, output = check(USER, mypy_folder)
    assert code == 0, output


def test_mypy_sees_wrong_use(mypy_folder: Path) -> None:
    wrong = "import vqswift as vq\nvq.VectorQuant('8', 16)\nvq.Tensor([1.0]).nothing\n"
    code, output = check(wrong, mypy_folder)
    assert code == 1 and '"nothing"' in output and "arg-type" in output
