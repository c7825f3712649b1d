"""Modules: composition, names, state, modes; layers against torch where it is installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift import Tensor, nn, optim
from vqswift.nn import functional as F

EPSILON = 2.0**-23


class Encoder(nn.Module):
    """A researcher's own encoder: layers, a parameter, a buffer, a plain attribute."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.body = nn.Sequential(nn.BatchNorm(width), nn.ReLU(), nn.Conv2d(width, width, 1))
        self.scale = Tensor(np.ones(width), requires_grad=True)
        self.width = width
        self.register_buffer("offset", Tensor(np.zeros(width)))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self.stem(x)) * self.scale + self.offset


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.quantizer = vq.VectorQuant(8, 16)
        self.decoder = nn.ConvTranspose2d(8, 3, 2, stride=2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z_q, info = self.quantizer(self.encoder(x))
        return self.decoder(z_q), info.loss


PARAMETERS = [
    "encoder.scale",
    "encoder.stem.weight",
    "encoder.stem.bias",
    "encoder.body.0.weight",
    "encoder.body.0.bias",
    "encoder.body.2.weight",
    "encoder.body.2.bias",
    "quantizer.codebook",
    "decoder.weight",
    "decoder.bias",
]
BUFFERS = [
    "encoder.offset",
    "encoder.body.0.running_mean",
    "encoder.body.0.running_var",
    "encoder.body.0.num_batches_tracked",
    "quantizer.unused_steps",
    "quantizer.initialized",
    "quantizer.inner_phase",
    "quantizer.generator",
]


def images(*shape: int, seed: int = 1) -> Tensor:
    return vq.Generator(seed).normal(shape)


# Composition


def test_names_are_dotted_and_ordered() -> None:
    network = Network()
    assert [name for name, _ in network.named_parameters()] == PARAMETERS
    assert [name for name, _ in network.named_buffers()] == BUFFERS
    assert sorted(network.state_dict()) == sorted(PARAMETERS + BUFFERS)
    assert len(network.parameters()) == len(PARAMETERS)
    assert [name for name, _ in network.named_children()] == ["encoder", "quantizer", "decoder"]


def test_own_network_trains() -> None:
    vq.manual_seed(1)
    network, x = Network(), images(4, 6, 6, 3)
    target = images(4, 12, 12, 3, seed=2)
    optimizer = optim.AdamW(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(15):
        y, commitment = network(x)
        loss = F.mse_loss(y, target) + commitment
        loss.backward()
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_modes_reach_every_descendant() -> None:
    network = Network()
    assert network.eval() is network
    assert not any(module.training for module in network.modules())
    x, before = images(2, 4, 4, 3), network.state_dict()
    first, _ = network(x)
    second, _ = network(x)
    assert np.array_equal(first.numpy(), second.numpy())
    assert all(np.array_equal(value, before[name]) for name, value in network.state_dict().items())
    assert network.train() is network
    network(x)
    assert not np.array_equal(
        network.state_dict()["encoder.body.0.running_mean"], before["encoder.body.0.running_mean"]
    )


def test_replaced_and_deleted_attributes_leave_the_registry() -> None:
    module = nn.Module()
    module.layer = nn.Linear(2, 2)
    module.layer = nn.Linear(2, 3)
    assert [p.shape for p in module.parameters()] == [(3, 2), (3,)]
    module.layer = None
    assert module.parameters() == [] and module.state_dict() == {}
    module.weight = Tensor([1.0], requires_grad=True)
    del module.weight
    assert module.parameters() == []
    with pytest.raises(AttributeError):
        _ = module.weight


def test_shared_modules_and_tensors_come_once() -> None:
    module = nn.Module()
    module.first = module.second = nn.Linear(2, 2)
    module.a = module.b = Tensor([1.0], requires_grad=True)
    assert [name for name, _ in module.named_parameters()] == ["a", "first.weight", "first.bias"]
    assert len(module.state_dict()) == 6
    optim.SGD(module.parameters(), lr=0.1)
    module.load_state_dict(module.state_dict())


def test_replacing_the_body_of_a_residual_takes_effect() -> None:
    residual, x = nn.Residual(nn.Identity()), images(2, 3)
    assert np.array_equal(residual(x).numpy(), 2 * x.numpy())
    residual.body = nn.ReLU()
    np.testing.assert_array_equal(residual(x).numpy(), x.numpy() + np.maximum(x.numpy(), 0))


class Wrapped(nn.Module):
    """Hides a native layer, so that a Sequential around it runs in Python."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


@pytest.mark.parametrize("training", [True, False])
def test_native_sequential_equals_its_composition(training: bool) -> None:
    def layers(wrap: Callable[[nn.Module], nn.Module]) -> nn.Sequential:
        generator = vq.Generator(4)
        parts = [
            nn.Conv2d(3, 6, 3, padding=1, generator=generator),
            nn.BatchNorm(6),
            nn.ReLU(),
            nn.Residual(nn.Sequential(nn.Conv2d(6, 6, 1, generator=generator), nn.SiLU())),
            nn.MaxPool2d(2),
            nn.Upsample(2),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(6 * 9, 5, generator=generator),
            nn.LayerNorm(5),
        ]
        return nn.Sequential(*(wrap(part) for part in parts)).train(training)

    native, composed = layers(lambda layer: layer), layers(Wrapped)
    assert len(native) == 10 and isinstance(native[1], nn.BatchNorm)
    x = images(4, 6, 6, 3)
    gradients = []
    for network in (native, composed):
        y = network(x)
        y.square().sum().backward()
        gradients.append([p.grad.numpy() for p in network.parameters()])  # type: ignore[union-attr]
    # The fused batch norm and ReLU order their sums as the separate ones do, up to 144 rows.
    tolerance = 144 * EPSILON
    np.testing.assert_allclose(
        native(x).numpy(), composed(x).numpy(), rtol=tolerance, atol=tolerance
    )
    scale = max(np.abs(g).max() for g in gradients[0])
    for mine, theirs in zip(*gradients, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=tolerance * scale)


# State


def test_state_makes_the_round_trip() -> None:
    source, target = Network(), Network()
    source(images(2, 4, 4, 3))
    x = images(2, 4, 4, 3, seed=5)
    target.load_state_dict(source.state_dict())
    for name, value in target.state_dict().items():
        assert np.array_equal(value, source.state_dict()[name]), name
    source.eval()
    target.eval()
    assert np.array_equal(source(x)[0].numpy(), target(x)[0].numpy())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: state.pop("decoder.bias"),
        lambda state: state.update(extra=np.ones(1)),
        lambda state: state.update({"decoder.bias": np.ones(7)}),
        lambda state: state.update({"decoder.bias": np.ones(3, complex)}),
        lambda state: state.update({"decoder.bias": np.array(["a", "b", "c"])}),
        lambda state: state.update({"quantizer.initialized": np.float32(np.nan)}),
    ],
    ids=["missing", "unexpected", "shape", "complex", "string", "float code"],
)
def test_a_failing_load_changes_nothing(spoil: Callable[[dict[str, Any]], object]) -> None:
    network = Network()
    before = network.state_dict()
    state = {name: value + 1 for name, value in before.items()}
    spoil(state)
    with pytest.raises((ValueError, TypeError), match=r"\[load_state_dict\]"):
        network.load_state_dict(state)
    assert all(np.array_equal(value, before[name]) for name, value in network.state_dict().items())


def test_lenient_load_takes_what_fits_by_name() -> None:
    network = Network()
    network.load_state_dict({"decoder.bias": np.full(3, 9.0), "other": np.ones(1)}, strict=False)
    assert network.state_dict()["decoder.bias"].tolist() == [9, 9, 9]


def test_state_takes_float64_and_tensors() -> None:
    layer = nn.Linear(2, 1)
    layer.load_state_dict({"weight": np.array([[1.0, 2.0]]), "bias": Tensor([3.0])})
    assert layer([[1.0, 1.0]]).item() == 6  # type: ignore[arg-type]


def test_parameters_are_views_of_the_layer() -> None:
    layer = nn.Linear(2, 1, bias=False)
    layer.weight.assign(np.array([[2.0, 3.0]]))
    assert layer(Tensor([[1.0, 1.0]])).item() == 5
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    with pytest.raises(AttributeError, match="bias"):
        _ = layer.bias


# Layers


def test_dropout_scales_what_it_keeps_and_rests_in_evaluation() -> None:
    layer, x = nn.Dropout(0.25, generator=vq.Generator(1)), Tensor(np.ones(100_000))
    y = layer(x).numpy()
    assert set(np.unique(y)) == {0, np.float32(1 / 0.75)}
    assert abs((y == 0).mean() - 0.25) < 5 * np.sqrt(0.25 * 0.75 / y.size)
    assert not np.array_equal(layer(x).numpy(), y)
    assert np.array_equal(layer.eval()(x).numpy(), x.numpy())
    assert not nn.Dropout(1.0)(x).numpy().any()


def test_embedding_and_flatten() -> None:
    layer = nn.Embedding(5, 3)
    codes = np.array([[0, 4], [4, 2]])
    y = layer(Tensor(codes))
    assert np.array_equal(y.numpy(), layer.weight.numpy()[codes])
    y.sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.numpy()[:, 0].tolist() == [1, 0, 1, 0, 2]
    assert nn.Flatten()(images(2, 3, 4)).shape == (2, 12)


def test_batch_norm_normalizes_and_keeps_statistics(rng: np.random.Generator) -> None:
    a = rng.normal(3, 2, (50, 4)).astype(np.float32)
    layer = nn.BatchNorm(4, momentum=0.5)
    y = layer(Tensor(a)).numpy()
    exact = a.astype(np.float64)
    expected = (exact - exact.mean(0)) / np.sqrt(exact.var(0) + 1e-5)
    np.testing.assert_allclose(y, expected, atol=50 * EPSILON)
    state = layer.state_dict()
    np.testing.assert_allclose(state["running_mean"], 0.5 * exact.mean(0), rtol=50 * EPSILON)
    np.testing.assert_allclose(
        state["running_var"], 0.5 + 0.5 * exact.var(0, ddof=1), rtol=50 * EPSILON
    )


def test_empty_batches_pass_in_evaluation() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.BatchNorm(4)).eval()
    assert network(Tensor(np.zeros((0, 3)))).shape == (0, 4)
    assert nn.Conv2d(3, 2, 3)(Tensor(np.zeros((0, 5, 5, 3)))).shape == (0, 3, 3, 2)
