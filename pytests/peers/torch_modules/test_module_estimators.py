"""Quantized weights of PyTorch models: the native values and gradients, and the theorem."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import vqswift as vq

torch = pytest.importorskip("torch", reason="torch is not installed: make test-peers")

from family import vectors  # noqa: E402
from torch import nn  # noqa: E402
from torch.library import opcheck  # noqa: E402
from vqswift.torch import estimators  # noqa: E402

NAMES = vq.estimators.names()


def model(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3))


def bits_of(name: str) -> int:
    one = ("tanh", "sigmoid", "arctan", "approx_sign", "reste", "ede")
    return 1 if name in one else 2


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_values_and_gradients_are_the_native_ones(name: str, per_channel: bool) -> None:
    w = vectors(4, 7)
    bits = bits_of(name)
    module = estimators.WeightQuantizer.of(w, bits, name, per_channel=per_channel)
    native = vq.estimators.WeightQuantizer.of(
        vq.Tensor(w.numpy()), bits, name, per_channel=per_channel
    )
    ours, theirs = w.clone().requires_grad_(), vq.Tensor(w.numpy(), requires_grad=True)
    pull = vectors(4, 7, seed=1)
    quantized, expected = module(ours), native(theirs)
    assert (quantized.detach().numpy() == expected.numpy()).all()
    (quantized * pull).sum().backward()
    (expected * pull.numpy()).sum().backward()
    assert theirs.grad is not None
    assert (ours.grad.numpy() == theirs.grad.numpy()).all()
    # The formula in Float64 too, but for a factor that depends on the gradient.
    if name != "ewgs":
        slope = module.estimator.derivative(w.numpy())
        np.testing.assert_allclose(ours.grad, slope * pull.numpy(), rtol=2e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
@pytest.mark.parametrize("name", ["dsq", "ede"])
def test_the_operator_passes_opcheck(name: str) -> None:
    quantizer = estimators.WeightQuantizer(bits_of(name), 1.0, name)
    arguments = (vectors(3, 4).requires_grad_(), quantizer.bound, quantizer.progress)
    opcheck(torch.ops.vqswift.quantize_weight, (*arguments, quantizer._text))


def test_a_quantized_model_trains_its_own_weights() -> None:
    net = model()
    parameter = net[0].weight
    estimators.quantize_model(net, bits=2, estimator="dsq", skip="2", range="max")
    layers = estimators.quantized_layers(net)
    assert [layer.name for layer in layers] == ["0"]
    assert layers[0].weight is parameter
    assert len(net[0].weight.unique()) <= 4
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    before = parameter.detach().clone()
    net(vectors(6, 5)).square().sum().backward()
    optimizer.step()
    assert not torch.equal(parameter, before)
    other = estimators.quantize_model(model(1), bits=2, estimator="dsq", skip="2", range="max")
    other.load_state_dict(net.state_dict(), strict=True)
    x = vectors(6, 5, seed=2)
    assert torch.equal(other(x), net(x))
    assert torch.equal(copy.deepcopy(net)(x), net(x))
    run = torch.compile(net, fullgraph=True, backend="aot_eager")
    assert torch.equal(run(x), net(x))


def test_convolutions_and_layers_are_chosen_by_kind_and_name() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 2))
    estimators.quantize_model(net, layers="conv", per_channel=True, range="max")
    (layer,) = estimators.quantized_layers(net)
    assert layer.name == "0"
    assert layer.quantizer is not None
    assert layer.quantizer.bounds.shape == (4,)
    layer.quantizer = None
    assert not estimators.quantized_layers(net)
    with pytest.raises(ValueError, match="no layer has that name"):
        estimators.quantize_model(net, skip="7")
    with pytest.raises(ValueError, match="no layer is left"):
        estimators.quantize_model(net, skip="*")
    with pytest.raises(ValueError, match="lsq"):
        estimators.quantize_model(net, estimator="lsq")
    with pytest.warns(RuntimeWarning, match="clipped"):
        estimators.quantize_model(net, bound=0.01)


def loss_of(net: nn.Module, seed: int) -> torch.Tensor:
    return net(vectors(16, 5, seed=seed)).square().mean()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("name", ["dsq", "cosine"])
def test_to_ste_trains_alike_under_sgd(name: str, momentum: float) -> None:
    """To first order in the rate: the latent weights agree after M as the theorem says."""
    net = estimators.quantize_model(model(), bits=2, estimator=name, range="max")
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-4, momentum=momentum)

    def train(net: nn.Module, optimizer: Any, steps: range) -> None:
        for step in steps:
            optimizer.zero_grad()
            loss_of(net, step).backward()
            optimizer.step()

    train(net, optimizer, range(3))
    twin = copy.deepcopy(net)
    twin_optimizer = torch.optim.SGD(twin.parameters(), lr=1e-4, momentum=momentum)
    twin_optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    x = vectors(16, 5, seed=30)
    before = net(x)
    found = estimators.to_ste(twin, twin_optimizer)
    assert [conversion.layer for conversion in found] == ["0", "2"]
    assert torch.equal(twin(x), before)
    grids = [layer.quantizer.estimator for layer in estimators.quantized_layers(net)]
    starts = [layer.weight.detach().clone() for layer in estimators.quantized_layers(twin)]
    train(net, optimizer, range(3, 40))
    train(twin, twin_optimizer, range(3, 40))
    pairs = zip(
        estimators.quantized_layers(net),
        estimators.quantized_layers(twin),
        grids,
        starts,
        strict=True,
    )
    for first, second, grid, start in pairs:
        warped = grid.warp(first.weight.detach().numpy())
        moved = np.abs(second.weight.detach().numpy() - start.numpy()).sum()
        apart = np.abs(second.weight.detach().numpy() - warped).sum()
        assert moved > 0
        assert apart < 0.05 * moved
        assert str(second.quantizer.estimator.estimator) in ("ste", "clipped_ste")


def test_to_ste_is_the_native_conversion() -> None:
    """The same weights, factors and moments as `vqswift.estimators.to_ste`."""
    net = estimators.quantize_model(
        nn.Sequential(nn.Linear(5, 4)), bits=2, estimator="dsq", bound=1.0
    )
    layer = vq.nn.Linear(5, 4)
    weight = vectors(4, 5) / 4
    layer.weight.assign(weight.numpy())
    with torch.no_grad():
        net[0].parametrizations.weight.original.copy_(weight)
    vq.estimators.quantize_model(layer, bits=2, estimator="dsq", bound=1.0)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    native = vq.optim.SGD(layer.parameters(), lr=0.1)
    (ours,) = estimators.to_ste(net, optimizer)
    (expected,) = vq.estimators.to_ste(layer, native)
    assert (ours.alpha, ours.moved) == (expected.alpha, expected.moved)
    found = net[0].parametrizations.weight.original.detach().numpy()
    assert (found == layer.weight.numpy()).all()


def test_to_ste_scales_moments_of_adam() -> None:
    net = estimators.quantize_model(model(), bits=2, estimator="dsq", range="max")
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, betas=(0.9, 0.95))
    loss_of(net, 0).backward()
    optimizer.step()
    layer = estimators.quantized_layers(net)[0]
    kept = {n: v.clone() for n, v in optimizer.state[layer.weight].items()}
    slope = 1 / layer.quantizer.estimator.derivative(layer.weight.detach().numpy())
    weight = layer.weight.detach().clone()
    (first, _) = estimators.to_ste(net, optimizer)
    assert (first.alpha, first.moved) == (1.0, 0.0)
    assert torch.equal(layer.weight, weight)
    after = optimizer.state[layer.weight]
    np.testing.assert_allclose(after["exp_avg"], kept["exp_avg"].numpy() * slope, rtol=1e-5)
    np.testing.assert_allclose(
        after["exp_avg_sq"], kept["exp_avg_sq"].numpy() * slope**2, rtol=1e-5
    )


def test_to_ste_says_what_the_theorem_does_not_cover() -> None:
    net = estimators.quantize_model(model(), bits=2, estimator="dsq", range="max")
    with pytest.raises(ValueError, match="weight decay"):
        estimators.to_ste(net, torch.optim.SGD(net.parameters(), lr=0.1, weight_decay=0.1))
    with pytest.raises(ValueError, match="RMSprop is neither SGD nor Adam"):
        estimators.to_ste(net, torch.optim.RMSprop(net.parameters()))
    with pytest.raises(ValueError, match="does not train its weight"):
        estimators.to_ste(net, torch.optim.SGD([net[0].bias], lr=0.1))
    with pytest.raises(TypeError, match="an optimizer is required"):
        estimators.to_ste(net, "sgd")
    with pytest.raises(ValueError, match="no quantized layer"):
        estimators.to_ste(model(), torch.optim.SGD(net.parameters(), lr=0.1))
    forced = estimators.to_ste(
        net, torch.optim.SGD(net.parameters(), lr=0.1, weight_decay=0.1), force=True
    )
    assert all(conversion.reasons for conversion in forced)
