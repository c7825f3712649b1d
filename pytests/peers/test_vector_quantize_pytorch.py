"""What vqswift and vector-quantize-pytorch both define gives the same numbers.

The peer's mse has its whole gradient on each side that learns; ours is split by beta. Its codebooks
have an axis of heads in front.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift import Tensor, optim

torch = pytest.importorskip("torch", reason="torch is not installed: make test-peers")
peers = pytest.importorskip(
    "vector_quantize_pytorch", reason="vector-quantize-pytorch is not installed: make test-peers"
)

EPSILON = 2.0**-23
N, D, K = 120, 6, 20
STRAIGHT = {"rotation_trick": False}
LEARNABLE = {"learnable_codebook": True, "ema_update": False}


def assert_close(ours: Any, expected: Any, name: str = "") -> None:
    """Equal to the rounding of two float32 sums of N terms near 1 in size."""
    theirs = expected.detach().numpy()
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=0, atol=2 * N * EPSILON, err_msg=name)


def set_codes(peer: Any, codebook: np.ndarray) -> None:
    """Gives a codebook of the peer, its sums too, the given values."""
    with torch.no_grad():
        peer._codebook.embed.copy_(torch.tensor(codebook)[None])
        peer._codebook.embed_avg.copy_(torch.tensor(codebook)[None])


def peer_of(layer: vq.VectorQuant, **options: Any) -> Any:
    """A peer that starts with the layer's effective codebook."""
    peer = peers.VectorQuantize(D, K, **options)
    set_codes(peer, layer.effective_codebook.numpy())
    return peer


def keep_unused(peer: Any, codebook: Tensor, codes: np.ndarray) -> None:
    """Puts unused codes back, which the peer's smoothing draws to the origin and ours leaves."""
    unused = np.setdiff1d(np.arange(K), codes)
    with torch.no_grad():
        peer._codebook.embed[0, unused] = torch.tensor(codebook.numpy()[unused])


def batches(rng: np.random.Generator, count: int) -> np.ndarray:
    """Vectors [count, 1, N, D] off the origin and of unequal spread."""
    return (0.5 + rng.normal(size=(count, 1, N, D)) * np.linspace(0.5, 1.5, D)).astype(np.float32)


def compare_gradients(
    rng: np.random.Generator,
    layer: Any,
    peer: Any,
    weight: float,
    learned: Callable[[], list[tuple[Any, Any]]] = list,
) -> None:
    """Values and gradients of one training forward, of the output and of the loss.

    `weight`: of our loss where the peer's has 1. `learned`: pairs of our and the peer's parameters.
    """
    (values,), seed = batches(rng, 1), rng.normal(size=(1, N, D)).astype(np.float32)
    z = Tensor(values, requires_grad=True)
    peer_z = torch.tensor(values, requires_grad=True)
    z_q, info = layer(z)
    peer_z_q, peer_codes, peer_loss = peer(peer_z)
    assert np.array_equal(info.q.numpy(), peer_codes.numpy())
    assert_close(z_q, peer_z_q, "z_q")
    ((z_q * Tensor(seed)).sum() + weight * 10.0 * info.loss).backward()
    ((peer_z_q * torch.tensor(seed)).sum() + 10.0 * peer_loss.sum()).backward()
    assert z.grad is not None
    assert_close(z.grad, peer_z.grad, "z")
    for ours, theirs in learned():
        gradient = theirs.grad
        assert_close(ours.grad, gradient.reshape(ours.shape), "codebook")


# Gradients


def test_a_learnable_codebook_has_the_peers_values_and_gradients(rng: np.random.Generator) -> None:
    layer = vq.VectorQuant(D, K, beta=0.5)
    peer = peer_of(layer, **LEARNABLE, **STRAIGHT)
    compare_gradients(rng, layer, peer, 2.0, lambda: [(layer.codebook, peer._codebook.embed)])


def test_the_rotation_trick_has_the_peers_gradient(rng: np.random.Generator) -> None:
    layer = vq.VectorQuant(D, K, beta=0.5, gradient="rotation")
    peer = peer_of(layer, **LEARNABLE, rotation_trick=True)
    compare_gradients(rng, layer, peer, 2.0, lambda: [(layer.codebook, peer._codebook.embed)])


def test_directional_reparametrization_has_the_peers_gradients(rng: np.random.Generator) -> None:
    """Without noise, whose draws differ; the peer has no commitment loss there."""
    layer = vq.VectorQuant(D, K, gradient="directional", directional_variance=0.0)
    peer = peer_of(
        layer, directional_reparam=True, directional_reparam_variance=0.0, threshold_ema_dead_code=1
    )
    peer._codebook.has_dead_code_replacement = False
    compare_gradients(rng, layer, peer, 0.0, lambda: [(layer.codebook, peer._codebook.embed)])


def test_simvq_has_the_peers_values_and_gradients(rng: np.random.Generator) -> None:
    """The peer weighs the encoder's side by 1/4: our beta = 4/5, times 5/4."""
    layer = vq.VectorQuant(D, K, beta=0.8, simvq=True)
    peer = peers.SimVQ(D, K, rotation_trick=False)
    named = dict(layer.named_parameters())
    (name,) = named
    with torch.no_grad():
        # E = C W against the peer's linear layer, E = C A^T.
        peer.frozen_codebook.copy_(torch.tensor(layer.codebook.numpy()))
        peer.code_transform.weight.copy_(torch.tensor(named[name].numpy().T.copy()))
    z = batches(rng, 1)[0]
    compare_gradients(rng, layer, peer, 1.25)
    layer.zero_grad()
    peer.zero_grad()
    layer(Tensor(z))[1].loss.backward()
    peer(torch.tensor(z))[2].backward()
    gradient = peer.code_transform.weight.grad.T
    assert_close(1.25 * named[name].grad.numpy(), gradient, name)


@pytest.mark.parametrize("stages", [1, 2, 4])
def test_residual_stages_have_the_peers_codes_and_losses(
    rng: np.random.Generator, stages: int
) -> None:
    """The loss's gradient too; the peer takes the output's once for each stage."""
    layer = vq.ResidualVectorQuant(D, K, stages=stages, beta=0.5)
    peer = peers.ResidualVQ(dim=D, num_quantizers=stages, codebook_size=K, **LEARNABLE, **STRAIGHT)
    for codebook, stage in zip(layer.codebooks, peer.layers, strict=True):
        set_codes(stage, codebook.numpy())
    values = batches(rng, 1)[0]
    z, peer_z = Tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    z_q, info = layer(z)
    peer_z_q, peer_codes, peer_losses = peer(peer_z)
    assert np.array_equal(info.q.numpy(), peer_codes.numpy())
    assert_close(z_q, peer_z_q, "z_q")
    assert_close(info.stage_losses, peer_losses, "stage losses")
    (2.0 * info.loss).backward()
    peer_losses.sum().backward()
    assert_close(z.grad, peer_z.grad, "z")
    for codebook, stage in zip(layer.codebooks, peer.layers, strict=True):
        assert_close(codebook.grad, stage._codebook.embed.grad[0], "codebook")


def test_the_orthogonal_regularizer_has_the_peers_value_and_gradient(
    rng: np.random.Generator,
) -> None:
    layer = vq.VectorQuant(D, K, beta=0.5, orthogonal_weight=3.0)
    peer = peer_of(layer, **LEARNABLE, **STRAIGHT, orthogonal_reg_weight=6.0)
    z = batches(rng, 1)[0]
    _, info = layer(Tensor(z))
    _, _, _, parts = peer(torch.tensor(z), return_loss_breakdown=True)
    assert info.regularization == pytest.approx(3.0 * parts.orthogonal_reg.item(), rel=1e-5)
    compare_gradients(rng, layer, peer, 2.0, lambda: [(layer.codebook, peer._codebook.embed)])


# Codebooks that move without a gradient


MOVING: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "EMA": ({"ema_decay": 0.8}, {"decay": 0.8}),
    "slow EMA, rough smoothing": (
        {"ema_decay": 0.99, "ema_epsilon": 0.1},
        {"decay": 0.99, "eps": 0.1},
    ),
    "EMA of cosines": (
        {"ema_decay": 0.8, "norm": "l2", "cb_norm": "l2"},
        {"decay": 0.8, "use_cosine_sim": True},
    ),
    "affine by moments": (
        {"affine": "ema", "affine_momentum": 0.1},
        LEARNABLE
        | {
            "affine_param": True,
            "affine_param_batch_decay": 0.9,
            "affine_param_codebook_decay": 0.9,
        },
    ),
    "in-place SGD": (
        {"inplace_optimizer": lambda p: optim.SGD(p, lr=5.0, momentum=0.9), "reassign": True},
        LEARNABLE
        | {"in_place_codebook_optimizer": lambda p: torch.optim.SGD(p, lr=5.0, momentum=0.9)},
    ),
}


@pytest.mark.parametrize(("options", "peer_options"), MOVING.values(), ids=MOVING.keys())
def test_training_forwards_move_codes_as_the_peers_do(
    rng: np.random.Generator, options: dict[str, Any], peer_options: dict[str, Any]
) -> None:
    layer = vq.VectorQuant(D, K, beta=0.0, **options)
    peer = peer_of(layer, **peer_options, **STRAIGHT)
    if "norm" in options:
        # Raw codes, whose lengths the peer drops at the start.
        state = layer.state_dict()
        unit = layer.effective_codebook.numpy()
        layer.load_state_dict(state | {"codebook": unit, "ema_sums": unit})
    for step, values in enumerate(batches(rng, 5)):
        z, peer_z = Tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
        z_q, info = layer(z)
        peer_z_q, peer_codes, peer_loss = peer(peer_z)
        assert np.array_equal(info.q.numpy(), peer_codes.numpy()), f"step {step}"
        assert_close(z_q, peer_z_q, f"z_q, step {step}")
        assert_close(info.loss, peer_loss, f"loss, step {step}")
        info.loss.backward()
        peer_loss.sum().backward()
        assert_close(z.grad, peer_z.grad, f"z, step {step}")
        peer.zero_grad()
        if options.get("ema_decay") and "norm" not in options:
            keep_unused(peer, layer.codebook, info.q.numpy())


def test_residual_ema_moves_codes_as_the_peers_does(rng: np.random.Generator) -> None:
    """Each stage with a codebook of its own: a shared one the peer decays once for each stage."""
    layer = vq.ResidualVectorQuant(D, K, stages=3, beta=0.0, ema_decay=0.8)
    peer = peers.ResidualVQ(dim=D, num_quantizers=3, codebook_size=K, decay=0.8, **STRAIGHT)
    for codebook, stage in zip(layer.codebooks, peer.layers, strict=True):
        set_codes(stage, codebook.numpy())
    for step, values in enumerate(batches(rng, 5)):
        z_q, info = layer(Tensor(values))
        peer_z_q, peer_codes, peer_losses = peer(torch.tensor(values))
        assert np.array_equal(info.q.numpy(), peer_codes.numpy()), f"step {step}"
        assert_close(z_q, peer_z_q, f"z_q, step {step}")
        assert_close(info.stage_losses, peer_losses, f"losses, step {step}")
        codes = info.q.numpy()
        for index, (stage, book) in enumerate(zip(peer.layers, layer.codebooks, strict=True)):
            keep_unused(stage, book, codes[..., index])


def test_masked_vectors_are_left_out_as_the_peers_are(rng: np.random.Generator) -> None:
    """From the loss and the statistics; output 0, code -1."""
    layer = vq.VectorQuant(D, K, beta=0.0, ema_decay=0.8)
    peer = peer_of(layer, decay=0.8, **STRAIGHT)
    mask = rng.random((1, N)) < 0.6
    for step, values in enumerate(batches(rng, 4)):
        z_q, info = layer(Tensor(values), mask=mask)
        peer_z_q, peer_codes, peer_loss = peer(torch.tensor(values), mask=torch.tensor(mask))
        assert np.array_equal(info.q.numpy(), peer_codes.numpy()), f"step {step}"
        assert_close(z_q, peer_z_q, f"z_q, step {step}")
        assert_close(info.loss, peer_loss, f"loss, step {step}")
        keep_unused(peer, layer.codebook, info.q.numpy())
    assert_close(layer.codebook, peer._codebook.embed[0], "codebook")


def test_codes_decode_to_the_peers_vectors(rng: np.random.Generator) -> None:
    layer = vq.VectorQuant(D, K).eval()
    peer = peer_of(layer, **LEARNABLE).eval()
    codes = rng.integers(0, K, size=(3, 7))
    theirs = peer.get_codes_from_indices(torch.tensor(codes)).detach().numpy()
    assert np.array_equal(layer.decode(codes).numpy(), theirs)


def test_kmeans_from_given_means_equals_the_peers(rng: np.random.Generator) -> None:
    from vector_quantize_pytorch.vector_quantize_pytorch import kmeans

    centers = 2 * rng.normal(size=(8, D))
    noise = rng.normal(size=(400, D))
    x = (centers[rng.integers(8, size=400)] + noise).astype(np.float32)
    start = x[:8].copy()
    means, _ = kmeans(
        torch.tensor(x)[None], 8, num_iters=6, sample_fn=lambda *_: torch.tensor(start)[None]
    )
    ours = vq.kmeans(x, 8, iterations=6, init=start)
    assert np.bincount(ours.codes, minlength=8).min() > 0
    # The peer sums at most 400 points of size 8 in float32 before it divides.
    np.testing.assert_allclose(ours.centroids, means[0].numpy(), atol=16 * 8 * EPSILON)
