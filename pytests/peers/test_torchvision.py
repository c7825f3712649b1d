"""The classifiers of the first paper beside torchvision's, with weights that move both ways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift.nn import functional as F

torch = pytest.importorskip("torch", reason="torch is not installed: make test-peers")
theirs = pytest.importorskip("torchvision", reason="torchvision is not installed").models

Pair = tuple[Any, Any, int]


def alexnet() -> Pair:
    return vq.models.AlexNet(dropout=0.0), theirs.AlexNet(dropout=0.0), 224


def resnet18() -> Pair:
    return vq.models.ResNet18(), theirs.resnet18(), 224


def vit() -> Pair:
    own = vq.models.VisionTransformer(image_size=64, patch_size=16)
    options = {"num_layers": 12, "num_heads": 3, "hidden_dim": 192, "mlp_dim": 768}
    return own, theirs.VisionTransformer(64, 16, **options), 64


NETWORKS = [alexnet, resnet18, vit]


def count(model: Any) -> int:
    return sum(int(np.prod(p.shape)) for p in model.parameters())


@pytest.mark.parametrize("make", NETWORKS)
def test_states_move_both_ways(make: Callable[[], Pair]) -> None:
    own, peer, _ = make()
    assert count(own) == count(peer)
    state = {name: value.numpy() for name, value in peer.state_dict().items()}
    own.load_torchvision_state(state)
    back = own.torchvision_state()
    assert back.keys() == state.keys()
    assert all(np.array_equal(back[name], value) for name, value in state.items())
    peer.load_state_dict({name: torch.from_numpy(np.array(v)) for name, v in back.items()})


@pytest.mark.parametrize("make", NETWORKS)
def test_training_step_is_torchvisions(make: Callable[[], Pair]) -> None:
    """Logits and gradients of a batch in training, against Float64."""
    own, peer, side = make()
    # torchvision's head begins at zero, which lets no gradient pass.
    for name, parameter in peer.named_parameters():
        if name.startswith("heads"):
            torch.nn.init.normal_(parameter, std=0.02)
    own.load_torchvision_state({name: v.numpy() for name, v in peer.state_dict().items()})
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, side, side, 3)).astype(np.float32)
    labels = np.array([1, 7, 500, 999])
    logits, info = own(x)
    assert info.q.numpy().max() == -1 and info.loss.item() == 0
    F.cross_entropy(logits, labels).backward()
    peer = peer.double()
    expected = peer(torch.from_numpy(x).double().permute(0, 3, 1, 2))
    torch.nn.functional.cross_entropy(expected, torch.from_numpy(labels)).backward()
    wanted = expected.detach().numpy()
    assert np.linalg.norm(logits.numpy() - wanted) < 2e-4 * np.linalg.norm(wanted)
    gradients = {name: p.grad.numpy() for name, p in peer.named_parameters()}
    for name, parameter in own.named_parameters():
        found = parameter.grad.numpy()
        expected_gradient = gradients[name.partition(".")[2]]
        scale = max(np.linalg.norm(expected_gradient), 1e-6)
        assert np.linalg.norm(found - expected_gradient) < 2e-2 * scale, name


def test_a_quantizer_between_the_halves() -> None:
    """Identity codes pass everything: the logits are those without a quantizer."""
    own = vq.models.ResNet18(classes=10, width=4, small_images=True).eval()
    x = np.random.default_rng(0).random((2, 16, 16, 3), np.float32)
    plain, _ = own(x)
    z = own.front(x).numpy().reshape(-1, 8)
    quantized = vq.models.ResNet18(
        vq.VectorQuant(8, len(z)), classes=10, width=4, small_images=True
    ).eval()
    quantized.load_torchvision_state(own.torchvision_state())
    quantized.quantizer.codebook.assign(z)
    logits, info = quantized(x)
    assert info.q.shape == (2, 8, 8)
    np.testing.assert_array_equal(logits.numpy(), plain.numpy())
    np.testing.assert_array_equal(quantized.encode(x).numpy(), info.q.numpy())
