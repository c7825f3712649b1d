"""Quantizers with a learned codebook against PyTorch's autograd on their formulas in Float64."""

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
SAMPLES, N, D, K, ALPHA = 2, 48, 8, 24, 3.0

PLAIN: dict[str, dict[str, Any]] = {
    "plain": {},
    "the encoder's loss alone": {"beta": 0.0},
    "the codebook's loss alone": {"beta": 1.0},
    "synchronized": {"sync_nu": 0.7, "beta": 0.8},
    "affine": {"affine_lr": 0.5},
    "affine in groups, synchronized": {"affine_lr": 0.5, "affine_groups": 4, "sync_nu": 1.5},
    "affine by moments, synchronized": {"affine": "ema", "sync_nu": 0.5},
    "l2 of z": {"norm": "l2"},
    "l2 of the codebook": {"cb_norm": "l2", "sync_nu": 0.5},
    "lengths clamped": {"norm": "l2c", "cb_norm": "l2c", "max_norm": 2.5, "sync_nu": 0.5},
    "norms of groups": {"norm": "gn", "cb_norm": "gn", "sync_nu": 0.5},
    "batch norm": {"norm": "bn", "cb_norm": "bn", "sync_nu": 0.5},
    "instance norm": {"norm": "in", "cb_norm": "in", "sync_nu": 0.5},
    "rotation": {"gradient": "rotation", "beta": 0.5},
    "rotation, synchronized, affine": {"gradient": "rotation", "sync_nu": 0.5, "affine_lr": 0.5},
    "orthogonal": {"orthogonal_weight": 2.0},
    "entropy": {"entropy_weight": 0.5, "entropy_temperature": 3.0},
    "everything": {
        "norm": "l2",
        "cb_norm": "l2",
        "affine_lr": 0.5,
        "affine_groups": 2,
        "sync_nu": 0.5,
        "beta": 0.6,
        "orthogonal_weight": 2.0,
        "entropy_weight": 0.5,
    },
}
JOINT: dict[str, dict[str, Any]] = PLAIN | {
    "directional": {"gradient": "directional"},
    "directional, affine": {"gradient": "directional", "affine_lr": 0.5, "beta": 0.5},
    "SimVQ": {"simvq": True, "beta": 0.8},
    "SimVQ, rotation": {"simvq": True, "gradient": "rotation"},
    "projected": {"code_size": 3, "sync_nu": 0.5},
    "projected, l2, affine, rotation": {
        "code_size": 3,
        "norm": "l2",
        "cb_norm": "l2",
        "affine_lr": 0.5,
        "gradient": "rotation",
    },
}


def started(layer: Any, rng: np.random.Generator) -> Any:
    """The layer with an affine map, if it has one, that is not the identity."""
    state = layer.state_dict()
    for name, value in state.items():
        if name.endswith(("affine_scale", "affine_bias")):
            state[name] = rng.normal(size=value.shape).astype(np.float32)
    layer.load_state_dict(state)
    return layer


def make_layer(rng: np.random.Generator, **options: Any) -> vq.VectorQuant:
    vq.manual_seed(0)
    return started(vq.VectorQuant(D, K, seed=1, **options), rng)


def draws(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Vectors, and a gradient of the output."""
    z, gradient = rng.normal(size=(2, SAMPLES, N, D)).astype(np.float32)
    return z, gradient


def assert_close(ours: Any, expected: Any, name: str) -> None:
    """Equal to the rounding of a few sums of all vectors' products, each of the largest's size."""
    expected = expected.detach().numpy()
    scale = max(1, np.abs(expected).max())
    np.testing.assert_allclose(
        np.asarray(ours), expected, rtol=0, atol=SAMPLES * N * EPSILON * scale, err_msg=name
    )


def assert_gradients(layer: Any, references: dict[str, Reference]) -> None:
    """Those of every parameter; `references` by the prefix of their names."""
    for name, parameter in layer.named_parameters():
        prefix = next(p for p in references if name.startswith(p))
        expected = references[prefix].parameters[name.removeprefix(prefix)].grad
        if parameter.grad is None or expected is None:
            # beta = 0 without nu leaves the codebook alone.
            assert parameter.grad is None or not np.asarray(parameter.grad).any(), name
            assert expected is None or not expected.any(), name
        else:
            assert_close(parameter.grad, expected, name)


@pytest.mark.parametrize("options", JOINT.values(), ids=JOINT.keys())
def test_values_and_gradients_equal_autograd(
    rng: np.random.Generator, options: dict[str, Any]
) -> None:
    layer = make_layer(rng, **options)
    reference = Reference(layer.state_dict(), options)
    values, gradient = draws(rng)
    z, peer_z = Tensor(values, requires_grad=True), double(values)
    z_q, info = layer(z)
    direction = None
    if options.get("gradient") == "directional":
        # The direction is drawn, and detached: what was drawn is read off the output.
        moved = z_q.numpy().astype(np.float64) - values
        direction = torch.tensor(moved / np.linalg.norm(moved, axis=-1, keepdims=True))
    peer = reference(peer_z, direction=direction)
    assert np.array_equal(info.q.numpy(), peer.q.numpy())
    assert_close(z_q, peer.z_q, "z_q")
    assert_close(info.loss, peer.loss, "loss")
    if "code_size" not in options:
        assert_close(info.z, peer.z, "z")
    ((z_q * Tensor(gradient)).sum() + ALPHA * info.loss).backward()
    ((peer.z_q * torch.tensor(gradient)).sum() + ALPHA * peer.loss).backward()
    assert_close(z.grad, peer_z.grad, "z")
    assert_gradients(layer, {"": reference})


@pytest.mark.parametrize(
    "options",
    [{}, {"sync_nu": 0.5, "affine_lr": 0.5}, {"norm": "l2", "cb_norm": "l2"}],
    ids=["plain", "synchronized, affine", "l2"],
)
@pytest.mark.parametrize("shared", [False, True])
def test_groups_equal_plain_layers_on_slices(
    rng: np.random.Generator, options: dict[str, Any], shared: bool
) -> None:
    groups = 4
    layer = vq.GroupVectorQuant(D, K, groups=groups, shared=shared, seed=1, **options)
    state = started(layer, rng).state_dict()
    prefixes = [prefix_of(state, 0 if shared else group) for group in range(groups)]
    references = {prefix: Reference(state, options, prefix) for prefix in prefixes}
    values, gradient = draws(rng)
    z, peer_z = Tensor(values, requires_grad=True), double(values)
    z_q, info = layer(z)
    parts = [
        references[prefix](part)
        for prefix, part in zip(prefixes, peer_z.chunk(groups, -1), strict=True)
    ]
    peer_z_q = torch.cat([part.z_q for part in parts], -1)
    peer_loss = sum(part.loss for part in parts) / groups
    assert np.array_equal(info.q.numpy(), torch.stack([part.q for part in parts], -1).numpy())
    assert_close(z_q, peer_z_q, "z_q")
    assert_close(info.loss, peer_loss, "loss")
    ((z_q * Tensor(gradient)).sum() + ALPHA * info.loss).backward()
    ((peer_z_q * torch.tensor(gradient)).sum() + ALPHA * peer_loss).backward()
    assert_close(z.grad, peer_z.grad, "z")
    assert_gradients(layer, references)


@pytest.mark.parametrize(
    "options", [{}, {"sync_nu": 0.5, "affine_lr": 0.5}], ids=["plain", "synchronized, affine"]
)
@pytest.mark.parametrize("shared", [False, True])
def test_stages_quantize_what_the_stages_before_leave(
    rng: np.random.Generator, options: dict[str, Any], shared: bool
) -> None:
    """The output's gradient reaches z once; each stage's commitment reaches it."""
    stages = 3
    layer = vq.ResidualVectorQuant(D, K, stages=stages, shared=shared, seed=1, **options)
    state = started(layer, rng).state_dict()
    prefixes = [prefix_of(state, 0 if shared else stage) for stage in range(stages)]
    references = {prefix: Reference(state, options, prefix) for prefix in prefixes}
    values, gradient = draws(rng)
    z, peer_z = Tensor(values, requires_grad=True), double(values)
    z_q, info = layer(z)
    residual, parts = peer_z, []
    for prefix in prefixes:
        parts.append(references[prefix](residual))
        residual = residual - parts[-1].z_q.detach()
    codes = torch.stack([part.q for part in parts], -1)
    assert np.array_equal(info.q.numpy(), codes.numpy())
    # All but the first stage's values are cut from z.
    through = [part.z_q - (part.z - part.z.detach()) for part in parts[1:]]
    peer_z_q = parts[0].z_q + sum(through)
    losses = torch.stack([part.loss for part in parts])
    assert_close(z_q, peer_z_q, "z_q")
    assert_close(info.loss, losses.sum(), "loss")
    ((z_q * Tensor(gradient)).sum() + ALPHA * info.loss).backward()
    ((peer_z_q * torch.tensor(gradient)).sum() + ALPHA * losses.sum()).backward()
    assert_close(z.grad, peer_z.grad, "z")
    assert_gradients(layer, references)


def prefix_of(state: dict[str, np.ndarray], index: int) -> str:
    """What the names of the codebook at `index` begin with."""
    names = [name for name in state if name.endswith("codebook")]
    return names[index].removesuffix("codebook")


OPTIMIZERS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "SGD": (
        lambda p: optim.SGD(p, lr=2.0, momentum=0.9),
        lambda p: torch.optim.SGD(p, lr=2.0, momentum=0.9),
    ),
    "AdamW": (
        lambda p: optim.AdamW(p, lr=0.03, weight_decay=0.0, eps=1e-3),
        lambda p: torch.optim.AdamW(p, lr=0.03, weight_decay=0.0, eps=1e-3),
    ),
}
ALTERNATING = {
    name: options
    for name, options in PLAIN.items()
    if options.get("affine") != "ema" and "norm" not in name
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("inner_steps", [1, 3])
@pytest.mark.parametrize("options", ALTERNATING.values(), ids=ALTERNATING.keys())
def test_alternating_steps_equal_two_torch_optimizers(
    rng: np.random.Generator, options: dict[str, Any], inner_steps: int, optimizer: str
) -> None:
    """Inner steps on mse(sg z, z_q) in C, and outer steps in z and the affine map."""
    make, make_peer = OPTIMIZERS[optimizer]
    layer = make_layer(
        rng, **options, inplace_optimizer=make, inner_steps=inner_steps, reassign=True
    )
    reference = Reference(layer.state_dict(), options)
    inner = make_peer([reference.parameters["codebook"]])
    values, _ = draws(rng)
    z, peer_z = Tensor(values, requires_grad=True), double(values)
    outer = optim.SGD([z, *layer.parameters()], lr=0.05)
    affine = [reference.parameters[name] for name, _ in layer.named_parameters()]
    peer_outer = torch.optim.SGD([peer_z, *affine], lr=0.05)
    for step in range(4):
        _, gradient = draws(rng)
        gradient /= np.float32(N)
        z_q, info = layer(z)
        for part in peer_z.flatten(0, 1).tensor_split(inner_steps):
            reference.inner_loss(part[None]).backward()
            inner.step()
            inner.zero_grad()
        peer = reference(peer_z, alternating=True)
        assert np.array_equal(info.q.numpy(), peer.q.numpy()), f"step {step}"
        outer.zero_grad()
        ((z_q * Tensor(gradient)).sum() + ALPHA * info.loss).backward()
        outer.step()
        peer_outer.zero_grad()
        ((peer.z_q * torch.tensor(gradient)).sum() + ALPHA * peer.loss).backward()
        peer_outer.step()
    assert_close(layer.codebook, reference.parameters["codebook"], "codebook")
    assert_close(z, peer_z, "z")
    for name, parameter in layer.named_parameters():
        assert_close(parameter, reference.parameters[name], name)
