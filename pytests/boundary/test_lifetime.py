"""Native handles and memory come back, through errors too."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import vqswift as vq
from conftest import run_python
from vqswift import _core, nn, optim

pytestmark = pytest.mark.usefixtures("no_leak")


def small_network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 2))


def images(*shape: int) -> vq.Tensor:
    return vq.Generator(1).normal(shape)


def sqvae_quantizer() -> object:
    layer, z = vq.SQVAEQuant(4, 8, kind="IV"), images(6, 4)
    return layer(z, z), layer.encode(z, z), layer.reconstruction_loss(z, z)


KINDS: dict[str, Callable[[], object]] = {
    "tensor": lambda: vq.Tensor(np.ones((3, 2)), requires_grad=True),
    "operators": lambda: (vq.Tensor(np.ones((3, 2))) * 2).sum(),
    "generator": lambda: vq.Generator(4),
    "linear": lambda: nn.Linear(3, 4),
    "convolution": lambda: nn.Conv2d(3, 4, 3)(images(1, 5, 5, 3)),
    "transposed convolution": lambda: nn.ConvTranspose2d(3, 4, 2, stride=2),
    "batch norm": lambda: nn.BatchNorm(4),
    "layer norm": lambda: nn.LayerNorm(4),
    "embedding": lambda: nn.Embedding(4, 2),
    "pooling": lambda: (nn.MaxPool2d(2), nn.AvgPool2d(2), nn.Upsample(2)),
    "interpolation": lambda: nn.functional.interpolate(images(2, 5, 4, 3), 7, mode="bicubic"),
    "activations": lambda: (nn.ReLU(), nn.GELU(), nn.SiLU(), nn.Tanh(), nn.Sigmoid(), nn.Flatten()),
    "sequential": small_network,
    "residual": lambda: nn.Residual(small_network()),
    "autoencoder": lambda: vq.models.SQVAE(vq.VectorQuant(8, 4), width=8),
    "residual network": lambda: vq.models.ResNet50(2, small_images=True)(images(2, 8, 8, 3)),
    "quantizer": lambda: vq.VectorQuant(4, 8)(images(6, 4)),
    "alternating quantizer": lambda: vq.VectorQuant(
        4, 8, inplace_optimizer=lambda p: optim.SGD(p, lr=0.1), affine_lr=1.0, replace_freq=2
    )(images(6, 4)),
    "scalar quantizers": lambda: (vq.FSQ([3, 5])(images(6, 2)), vq.LFQ(3)(images(6, 3))),
    "Gumbel quantizer": lambda: vq.GumbelQuant(4, 8, code_size=2)(images(6, 4)),
    "Gaussian quantizer": lambda: sqvae_quantizer(),
    "recurrent layers": lambda: (nn.GRU(3, 4, 2)(images(5, 2, 3)), nn.LSTM(3, 4)(images(5, 2, 3))),
    "checkpoint": lambda: vq.autograd.checkpoint(nn.Linear(3, 4), images(2, 3)),
    "optimizer": lambda: optim.AdamW(small_network().parameters()),
    "schedule": lambda: optim.cosine_schedule(10),
    "state": lambda: small_network().state_dict(),
    "k-means": lambda: vq.kmeans(images(20, 2), 3),
    "nearest codes": lambda: vq.nearest_codes(images(5, 2), images(3, 2), True),
    "nearest codes ranked": lambda: vq.nearest_codes(images(5, 2), images(3, 2), True, topk=2),
}


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS.keys())
def test_dropping_returns_every_handle(make: Callable[[], object]) -> None:
    before = _core.live_handles()
    held = make()
    del held
    gc.collect()
    assert _core.live_handles() == before


def test_handles_are_counted_while_they_live() -> None:
    before = _core.live_handles()
    held = vq.Tensor([1.0]), vq.Generator(1)
    assert _core.live_handles() == before + len(held)


ERRORS: dict[str, Callable[[], object]] = {
    "shape": lambda: vq.Tensor(np.ones((2, 3))) @ vq.Tensor(np.ones((2, 3))),
    "broadcast": lambda: vq.Tensor(np.ones(3)) + np.ones(4),
    "codes": lambda: vq.Tensor(np.ones((3, 2))).gather_rows([3]),
    "backward": lambda: (vq.Tensor(np.ones(3), requires_grad=True) * 2).backward(),
    "layer": lambda: small_network()(images(2, 5)),
    "layer sizes": lambda: nn.Linear(0, 4),
    "quantizer": lambda: vq.VectorQuant(4, 8)(images(2, 3)),
    "quantizer options": lambda: vq.VectorQuant(4, 8, affine_groups=3),
    "not finite": lambda: vq.VectorQuant(2, 4)(vq.Tensor([[1.0, np.nan]])),
    "log variance": lambda: vq.SQVAEQuant(4, 8, kind="II")(images(2, 4), images(2, 3)),
    "levels": lambda: vq.FSQ([3, 0]),
    "k-means": lambda: vq.kmeans(np.ones((4, 2)), 0),
    "optimizer": lambda: optim.Adam([vq.Tensor([1.0])]),
    "optimizer groups": lambda: optim.Adam([{"params": small_network().parameters()}] * 2),
    "second backward": lambda: twice_backward(),
    "load": lambda: small_network().load_state_dict({"0.weight": np.ones((1, 1))}),
    "archive": lambda: vq.load("/nonexistent/file"),
    "save": lambda: vq.save("/nonexistent/folder/file", {"a": np.ones(3)}),
    "overflow": lambda: vq.Generator(1).uniform((1 << 40, 1 << 40)),
    "memory": lambda: vq.Generator(1).uniform((1 << 43,)),
    "wrong handle": lambda: _core.tensor_add(vq.Tensor([1.0])._handle, vq.Generator(1)._handle),
    "concatenate": lambda: vq.concatenate([np.ones((2, 3)), np.ones((2, 4))]),
}


def twice_backward() -> None:
    x = vq.Tensor([1.0, 2.0], requires_grad=True)
    loss = x.square().sum()
    loss.backward()
    loss.backward()


@pytest.mark.parametrize("fail", ERRORS.values(), ids=ERRORS.keys())
def test_errors_return_every_handle(fail: Callable[[], object]) -> None:
    before = _core.live_handles()
    with pytest.raises(Exception) as caught:
        fail()
    assert not isinstance(caught.value, (AttributeError, AssertionError, SystemError))
    del caught
    gc.collect()
    assert _core.live_handles() == before


def test_damaged_file_returns_every_handle(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    vq.save(path, {"a": np.arange(100.0)})
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ValueError, match="a.safetensors"):
        vq.load(path)


def test_training_does_not_grow() -> None:
    """Five hundred steps to fill pools and caches, then a thousand that must add nothing.

    A leaked batch of 32 x 16 floats a step would be 2 MB, a leaked tape several times that.
    """
    output = run_python(
        """
import gc
import vqswift as vq
from vqswift import _core, nn, optim

def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

vq.set_threads(1)
encoder, decoder = nn.Linear(16, 4), nn.Linear(4, 16)
layer = vq.VectorQuant(4, 16, sync_nu=1.0, affine_lr=1.0, replace_freq=5,
                       inplace_optimizer=lambda p: optim.SGD(p, lr=0.1))
params = [p for m in (encoder, decoder, layer) for p in m.parameters()]
optimizer = optim.AdamW(params, lr=1e-3)
generator = vq.Generator(5)

def steps(count):
    for _ in range(count):
        x = generator.normal((32, 16))
        z_q, info = layer(encoder(x))
        loss = nn.functional.mse_loss(decoder(z_q), x) + info.loss * 5.0
        loss.backward()
        optim.clip_grad_norm(params, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        try:
            decoder(x)
        except ValueError:
            pass

steps(500)
gc.collect()
handles, memory = _core.live_handles(), resident()
steps(1000)
gc.collect()
print(_core.live_handles() - handles, resident() - memory)
"""
    )
    handles, kilobytes = map(int, output.split())
    assert handles == 0
    assert kilobytes < 1024


def test_deep_graph_runs_backward_and_is_released() -> None:
    x = vq.Tensor([1.0], requires_grad=True)
    y = x
    for _ in range(200_000):
        y = y + x
    y.backward()
    assert x.grad is not None
    assert x.grad.item() == 200_001
    del y


def test_deep_graph_is_released_without_backward() -> None:
    x = vq.Tensor([1.0], requires_grad=True)
    y = x
    for _ in range(200_000):
        y = -y
    assert y.item() == 1
    del y


def test_gradient_outlives_its_tensor() -> None:
    x = vq.Tensor([3.0], requires_grad=True)
    x.square().sum().backward()
    gradient = x.grad
    del x
    assert gradient is not None and gradient.item() == 6


def test_parameter_outlives_its_layer() -> None:
    layer = nn.Linear(2, 2)
    weight, before = layer.weight, layer.weight.numpy()
    del layer
    assert np.array_equal(weight.numpy(), before)
