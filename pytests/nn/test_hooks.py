"""Functions that are called with every forward."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift import nn

X = np.ones((2, 3), np.float32)


class Scaled(nn.Module):
    def forward(self, x: Any, scale: float = 2.0) -> vq.Tensor:
        return vq.Tensor(x) * scale


def test_hooks_of_own_modules_see_and_replace() -> None:
    layer, seen = Scaled(), []
    before = layer.register_forward_pre_hook(lambda module, args: seen.append((module, args)))
    after = layer.register_forward_hook(lambda module, args, y: seen.append((args, y)))
    y = layer(X, scale=3.0)
    assert seen[0][0] is layer and seen[0][1][0] is X and seen[1][1] is y
    before.remove()
    after.remove()
    after.remove()
    layer(X)
    assert len(seen) == 2
    with layer.register_forward_pre_hook(lambda module, args: args[0] + 1):
        np.testing.assert_array_equal(layer(X).numpy(), X * 4)
    layer.register_forward_pre_hook(lambda module, args: (args[0] + 1, 5.0))
    layer.register_forward_hook(lambda module, args, y: y + 1)
    layer.register_forward_hook(lambda module, args, y: y * 10)
    np.testing.assert_array_equal(layer(X).numpy(), X * 110)


@pytest.mark.parametrize(
    "wrap", [nn.Sequential, lambda *layers: nn.Residual(nn.Sequential(*layers))]
)
def test_a_layer_with_a_hook_runs_on_its_own(wrap: Any) -> None:
    layers = nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3)
    network, seen = wrap(*layers), []
    expected = network(X).numpy()
    handle = layers[1].register_forward_hook(lambda module, args, y: seen.append(y.shape))
    np.testing.assert_array_equal(network(X).numpy(), expected)
    assert seen == [(2, 3)]
    handle.remove()
    network(X)
    assert len(seen) == 1


def test_hooks_of_a_network_within_one() -> None:
    inner, seen = nn.Sequential(nn.Linear(3, 3), nn.ReLU()), []
    network = nn.Sequential(inner, nn.Linear(3, 2))
    inner.register_forward_hook(lambda module, args, y: seen.append(module) or y * 0)
    np.testing.assert_allclose(network(X).numpy(), np.tile(network[1].bias.numpy(), (2, 1)))
    assert seen == [inner]


def test_hooks_are_no_state() -> None:
    layer = nn.Linear(3, 3)
    names = list(layer.state_dict())
    layer.register_forward_hook(doubled)
    assert list(layer.state_dict()) == names and not list(layer.children())
    other = copy.deepcopy(layer)
    np.testing.assert_array_equal(other(X).numpy(), layer(X).numpy())


def doubled(module: Any, args: Any, y: vq.Tensor) -> vq.Tensor:
    return y * 2


def test_quantizers_have_hooks() -> None:
    quantizer, seen = vq.VectorQuant(3, 4, seed=0), []
    quantizer.register_forward_hook(lambda module, args, out: seen.append(out[1].q.shape))
    quantizer(X)
    assert seen == [(2,)]


def test_a_hook_must_be_a_function() -> None:
    with pytest.raises(TypeError, match=r"\[register_forward_hook\] hook = 3: a function"):
        Scaled().register_forward_hook(3)  # type: ignore[arg-type]
