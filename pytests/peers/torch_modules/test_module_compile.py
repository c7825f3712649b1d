"""`torch.compile` and `torch.export` take every layer whole, and change no bit."""

from __future__ import annotations

import copy
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: make test-peers")

import vqswift.torch as vqt  # noqa: E402
from family import FAMILY, D, K, trained, vectors  # noqa: E402
from torch import nn  # noqa: E402
from vqswift.torch import _device  # noqa: E402


@pytest.fixture(autouse=True)
def fresh_compiler() -> None:
    torch._dynamo.reset()


def result(module: Any, z: Any) -> tuple[Any, ...]:
    z = z.clone().requires_grad_()
    z_q, info = module(z)
    (z_q.square().sum() + 3 * info.loss).backward()
    gradients = [z.grad, *(p.grad for p in module.parameters() if p.grad is not None)]
    module.zero_grad()
    return (*info, *gradients)


# The graph as it is, without the C++ of other operators: what is compiled is ours.
@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("name", FAMILY)
def test_a_compiled_layer_is_the_eager_one_bit_for_bit(name: str, dynamic: bool) -> None:
    eager = FAMILY[name]()
    compiled = copy.deepcopy(eager)
    run = torch.compile(compiled, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    for step, size in enumerate([8, 8, 11] if dynamic else [8, 8]):
        z = vectors(3, size, D, seed=step)
        for ours, expected in zip(result(run, z), result(eager, z), strict=True):
            assert torch.equal(ours, expected)
    for (key, ours), expected in zip(
        compiled.state_dict().items(), eager.state_dict().values(), strict=True
    ):
        assert torch.equal(ours, expected), key


class Autoencoder(nn.Module):
    """Images [n, 3, h, w] to their reconstruction and the quantizer's loss."""

    def __init__(self, quantizer: nn.Module) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 8, 4, 2, 1), nn.ReLU(), nn.Conv2d(8, D, 1))
        self.quantizer = quantizer
        self.decoder = nn.Sequential(nn.ConvTranspose2d(D, 8, 4, 2, 1), nn.ReLU())
        self.last = nn.Conv2d(8, 3, 1)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        z_q, info = self.quantizer(self.encoder(images))
        return self.last(self.decoder(z_q)), info.loss


@pytest.mark.parametrize("name", FAMILY)
def test_an_autoencoder_is_compiled_whole(name: str) -> None:
    torch.manual_seed(0)
    quantizer = FAMILY[name]()
    quantizer.dim = 1
    model = Autoencoder(quantizer)
    eager = copy.deepcopy(model)
    run = torch.compile(model, fullgraph=True, dynamic=True, backend="aot_eager")
    for size in (8, 12):
        images = vectors(2, 3, size, size)
        for ours, expected in zip(run(images), eager(images), strict=True):
            assert torch.equal(ours, expected)
        sum(value.sum() for value in run(images)).backward()
        sum(value.sum() for value in eager(images)).backward()
    for ours, expected in zip(model.parameters(), eager.parameters(), strict=True):
        if expected.grad is not None:
            torch.testing.assert_close(ours.grad, expected.grad)


def test_inductor_compiles_an_autoencoder() -> None:
    """With C++ for the rest of the network; its sums are ordered otherwise, so codes may differ
    where two are equally near, which these are not."""
    torch.manual_seed(0)
    quantizer = vqt.VectorQuant(D, K, dim=1, seed=1, affine_lr=0.5, ema_decay=0.0)
    model = Autoencoder(quantizer)
    eager = copy.deepcopy(model)
    run = torch.compile(model, fullgraph=True)
    images = vectors(2, 3, 8, 8)
    (reconstruction, loss), expected = run(images), eager(images)
    torch.testing.assert_close((reconstruction, loss), expected)
    (reconstruction.square().sum() + loss).backward()
    (expected[0].square().sum() + expected[1]).backward()
    torch.testing.assert_close(quantizer.codebook.grad, eager.quantizer.codebook.grad)


def test_a_mask_and_lengths_are_compiled() -> None:
    module = vqt.VectorQuant(D, K, seed=1)
    eager = copy.deepcopy(module)
    z, lengths = vectors(3, 8, D), torch.tensor([8, 3, 5])
    for given in ({"lengths": lengths}, {"mask": torch.arange(8) < lengths[:, None]}):
        run = torch.compile(module, fullgraph=True, backend="aot_eager")
        for ours, expected in zip(run(z, **given)[1], eager(z, **given)[1], strict=True):
            assert torch.equal(ours, expected)


@pytest.mark.parametrize("name", FAMILY)
def test_evaluation_and_decode_are_exported(name: str) -> None:
    module = trained(FAMILY[name]()).eval()
    z = vectors(4, 9, D, seed=7)
    batch = torch.export.Dim("batch")
    program = torch.export.export(module, (z,), dynamic_shapes=({0: batch},))
    for size in (4, 7):
        z = vectors(size, 9, D, seed=size)
        exported, info = program.module()(z)
        expected, wanted = module(z)
        assert torch.equal(exported, expected)
        for ours, value in zip(info, wanted, strict=True):
            assert torch.equal(ours, value)

    class Decoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.quantizer = module

        def forward(self, codes: torch.Tensor) -> torch.Tensor:
            return self.quantizer.decode(codes)

    codes = module.encode(z)
    decoder = torch.export.export(Decoder(), (codes,), dynamic_shapes=({0: batch},))
    assert torch.equal(decoder.module()(codes[:3]), module.decode(codes[:3]))


# Dynamo warns of parts that it looks into.
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_formulas_for_other_devices_are_compiled_in_parts() -> None:
    torch._dynamo.reset()
    module, z = vqt.VectorQuant(D, K, seed=1).eval(), vectors(9, D)
    with _device.forced(), torch.no_grad():
        expected = module(z)[0]
        assert torch.equal(torch.compile(module, backend="aot_eager")(z)[0], expected)
        torch._dynamo.reset()
        with pytest.raises(torch._dynamo.exc.Unsupported):
            torch.compile(module, backend="aot_eager", fullgraph=True)(z)
