"""Modules against PyTorch's autograd on their formulas in Float64, and against
vector-quantize-pytorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: make test-peers")

import vqswift.torch as vqt  # noqa: E402
from family import vectors  # noqa: E402

from pytests.peers.formulas import Reference, double  # noqa: E402

EPSILON = 2.0**-23
SAMPLES, N, D, K, ALPHA = 2, 48, 8, 24, 3.0
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "synchronized": {"sync_nu": 0.7, "beta": 0.8},
    "affine in groups": {"affine_lr": 0.5, "affine_groups": 4, "sync_nu": 1.5},
    "affine by moments": {"affine": "ema", "sync_nu": 0.5},
    "batch norm": {"norm": "bn", "cb_norm": "bn", "sync_nu": 0.5},
    "instance norm": {"norm": "in", "cb_norm": "in"},
    "rotation": {"gradient": "rotation", "sync_nu": 0.5, "affine_lr": 0.5},
    "regularized": {"orthogonal_weight": 2.0, "entropy_weight": 0.5, "entropy_temperature": 3.0},
    "SimVQ, rotation": {"simvq": True, "gradient": "rotation"},
    "projected, l2": {"code_size": 3, "norm": "l2", "cb_norm": "l2", "affine_lr": 0.5},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_values_and_gradients_are_those_of_the_formulas(name: str) -> None:
    options = OPTIONS[name]
    module = vqt.VectorQuant(D, K, seed=1, **options)
    with torch.no_grad():
        for key, parameter in module.named_parameters():
            if key.startswith("affine_"):
                parameter.copy_(vectors(*parameter.shape, seed=5))
    reference = Reference({n: v.numpy() for n, v in module.state_dict().items()}, options)
    z = (0.5 + vectors(SAMPLES, N, D, seed=2)).requires_grad_()
    pull = vectors(SAMPLES, N, D, seed=3) / (SAMPLES * N)
    z_q, info = module(z)
    ((z_q * pull).sum() + ALPHA * info.loss).backward()

    wide = double(z.detach().numpy())
    expected = reference(wide)
    assert torch.equal(info.q, expected.q)
    ((expected.z_q * pull.double()).sum() + ALPHA * expected.loss).backward()
    close(z_q, expected.z_q, "z_q")
    close(info.z, expected.z, "z as compared")
    close(info.loss, expected.loss, "loss")
    assert wide.grad is not None
    close(z.grad, wide.grad, "gradient of z")
    for key, parameter in module.named_parameters():
        gradient = reference.parameters[key].grad
        if parameter.requires_grad:
            assert gradient is not None, key
            close(parameter.grad, gradient, key)


def close(ours: Any, expected: torch.Tensor, name: str) -> None:
    """To the rounding of float32 sums of N terms, of the size of the largest."""
    wanted = expected.detach().numpy()
    scale = max(1.0, float(np.abs(wanted).max()))
    np.testing.assert_allclose(
        ours.detach().numpy(), wanted, rtol=0, atol=SAMPLES * N * EPSILON * scale, err_msg=name
    )


@pytest.mark.parametrize("rotation", [False, True], ids=["straight-through", "rotation"])
def test_a_learned_codebook_has_the_peers_gradients(rotation: bool) -> None:
    peers = pytest.importorskip("vector_quantize_pytorch")
    module = vqt.VectorQuant(
        D, K, beta=0.5, gradient="rotation" if rotation else "ste", dim=1, seed=1
    )
    peer = peers.VectorQuantize(
        D,
        K,
        learnable_codebook=True,
        ema_update=False,
        rotation_trick=rotation,
        accept_image_fmap=True,
    )
    with torch.no_grad():
        peer._codebook.embed.copy_(module.codebook[None])
    images = vectors(2, D, 5, 7)
    pull = vectors(2, D, 5, 7, seed=1)
    ours, theirs = (images.clone().requires_grad_() for _ in range(2))
    z_q, info = module(ours)
    ((z_q * pull).sum() + 2 * info.loss).backward()
    peer_z_q, codes, loss = peer(theirs)
    ((peer_z_q * pull).sum() + loss.sum()).backward()
    assert torch.equal(info.q, codes)
    close(z_q, peer_z_q, "z_q")
    close(ours.grad, theirs.grad, "z")
    close(module.codebook.grad, peer._codebook.embed.grad[0], "codebook")


@pytest.mark.parametrize("levels", [[8, 5, 5, 5], [7, 5, 3]], ids=str)
def test_fsq_is_the_peers(levels: list[int]) -> None:
    peers = pytest.importorskip("vector_quantize_pytorch")
    module, peer = vqt.FSQ(levels), peers.FSQ(levels)
    ours, theirs = (vectors(2, 30, len(levels)).requires_grad_() for _ in range(2))
    z_q, info = module(ours)
    peer_z_q, codes = peer(theirs)
    pull = vectors(2, 30, len(levels), seed=1)
    (z_q * pull).sum().backward()
    (peer_z_q * pull).sum().backward()
    assert torch.equal(info.q, codes.long())
    close(z_q, peer_z_q, "z_q")
    close(ours.grad, theirs.grad, "z")


def test_lfq_is_the_peers() -> None:
    peers = pytest.importorskip("vector_quantize_pytorch")
    module = vqt.LFQ(6, commitment_weight=0.25, temperature=0.1)
    peer = peers.LFQ(dim=6, codebook_size=64, entropy_loss_weight=0.1, commitment_loss_weight=0.25)
    ours, theirs = (0.3 * vectors(2, 30, 6).requires_grad_() for _ in range(2))
    ours.retain_grad()
    theirs.retain_grad()
    z_q, info = module(ours)
    peer_z_q, codes, loss = peer(theirs, inv_temperature=10.0)
    (z_q.sum() + info.loss).backward()
    (peer_z_q.sum() + loss).backward()
    assert torch.equal(info.q, codes)
    close(z_q, peer_z_q, "z_q")
    close(info.loss, loss, "loss")
    close(ours.grad, theirs.grad, "z")
