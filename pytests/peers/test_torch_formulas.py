"""The plain layer against PyTorch's autograd on its formulas in Float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift import Tensor, optim

torch = pytest.importorskip("torch", reason="torch is not installed: make test-peers")

from formulas import Reference, double  # noqa: E402

EPSILON = 2.0**-23
N, D, K, ALPHA = 96, 6, 24, 3.0

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "the encoder's loss alone": {"beta": 0.0},
    "the codebook's loss alone": {"beta": 1.0},
    "synchronized": {"sync_nu": 0.7, "beta": 0.8},
    "affine": {"affine_lr": 0.5},
    "affine in groups, synchronized": {"affine_lr": 0.5, "affine_groups": 4, "sync_nu": 1.5},
    "l2 of z": {"norm": "l2"},
    "l2 of the codebook": {"cb_norm": "l2", "sync_nu": 0.5},
    "everything": {
        "norm": "l2",
        "cb_norm": "l2",
        "affine_lr": 0.5,
        "affine_groups": 2,
        "sync_nu": 0.5,
        "beta": 0.6,
    },
}


def make_layer(rng: np.random.Generator, **options: Any) -> vq.VectorQuant:
    """A layer whose affine map, if it has one, is not the identity."""
    vq.manual_seed(0)
    layer = vq.VectorQuant(D, K, seed=1, **options)
    state = layer.state_dict()
    for name in ("affine_scale", "affine_bias"):
        if name in state:
            state[name] = rng.normal(size=state[name].shape).astype(np.float32)
    layer.load_state_dict(state)
    return layer


def assert_close(ours: np.ndarray, expected: Any, name: str) -> None:
    """Equal to the rounding of sums of N products."""
    expected = expected.detach().numpy()
    np.testing.assert_allclose(
        ours, expected, rtol=0, atol=N * EPSILON * max(1, np.abs(expected).max()), err_msg=name
    )


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_values_and_gradients_equal_autograd(
    rng: np.random.Generator, options: dict[str, Any]
) -> None:
    layer = make_layer(rng, **options)
    reference = Reference(layer, options)
    values, seed = rng.normal(size=(2, N, D)).astype(np.float32)
    z, peer_z = Tensor(values, requires_grad=True), double(values)
    z_q, info = layer(z)
    peer = reference(peer_z)
    assert np.array_equal(info.q.numpy(), peer.q.numpy())
    assert_close(z_q.numpy(), peer.z_q, "z_q")
    assert_close(info.z.numpy(), peer.z, "z")
    assert_close(info.d.numpy(), (peer.z - peer.z_q).square().sum(1), "d")
    assert_close(info.loss.numpy(), peer.loss, "loss")

    ((z_q * Tensor(seed)).sum() + ALPHA * info.loss).backward()
    ((peer.z_q * torch.tensor(seed)).sum() + ALPHA * peer.loss).backward()
    gradients = {name: p.grad for name, p in layer.named_parameters()} | {"z": z.grad}
    expected = {name: p.grad for name, p in reference.parameters().items()} | {"z": peer_z.grad}
    assert gradients.keys() == expected.keys()
    for name, gradient in gradients.items():
        if expected[name] is None or gradient is None:
            # beta = 0 without nu leaves the codebook alone.
            assert gradient is None or not gradient.numpy().any(), name
            assert expected[name] is None or not expected[name].any(), name
        else:
            assert_close(gradient.numpy(), expected[name], name)


OPTIMIZERS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "SGD": (
        lambda p: optim.SGD(p, lr=20.0, momentum=0.9),
        lambda p: torch.optim.SGD(p, lr=20.0, momentum=0.9),
    ),
    "AdamW": (
        lambda p: optim.AdamW(p, lr=0.03, weight_decay=0.0),
        lambda p: torch.optim.AdamW(p, lr=0.03, weight_decay=0.0),
    ),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("inner_steps", [1, 3])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_alternating_steps_equal_two_torch_optimizers(
    rng: np.random.Generator, options: dict[str, Any], inner_steps: int, optimizer: str
) -> None:
    """Inner steps on mse(sg z, z_q) in C, and outer steps in z and the affine map."""
    make, make_peer = OPTIMIZERS[optimizer]
    layer = make_layer(
        rng, **options, inplace_optimizer=make, inner_steps=inner_steps, reassign=True
    )
    reference = Reference(layer, options)
    inner = make_peer([reference.codebook])
    values = rng.normal(size=(N, D)).astype(np.float32)
    z, peer_z = Tensor(values, requires_grad=True), double(values)
    affine = [p for name, p in reference.parameters().items() if name != "codebook"]
    outer = optim.SGD([z, *layer.parameters()], lr=0.05)
    peer_outer = torch.optim.SGD([peer_z, *affine], lr=0.05)
    for _ in range(4):
        seed = rng.normal(size=(N, D)).astype(np.float32) / N
        z_q, info = layer(z)
        for part in peer_z.tensor_split(inner_steps):
            reference.inner_loss(part).backward()
            inner.step()
            inner.zero_grad()
        peer = reference(peer_z, alternating=True)
        assert np.array_equal(info.q.numpy(), peer.q.numpy())
        outer.zero_grad()
        ((z_q * Tensor(seed)).sum() + ALPHA * info.loss).backward()
        outer.step()
        peer_outer.zero_grad()
        ((peer.z_q * torch.tensor(seed)).sum() + ALPHA * peer.loss).backward()
        peer_outer.step()
    state = layer.state_dict()
    for name, parameter in reference.parameters().items():
        assert_close(state[name], parameter, name)
    assert_close(z.numpy(), peer_z, "z")
