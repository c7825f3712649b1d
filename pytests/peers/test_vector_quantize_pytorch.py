"""What vqswift and vector-quantize-pytorch both define gives the same numbers."""

from __future__ import annotations

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


def assert_close(ours: np.ndarray, expected: torch.Tensor, name: str = "") -> None:
    """Equal to the rounding of two float32 sums of N terms near 1 in size."""
    theirs = expected.detach().numpy()
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2 * N * EPSILON, err_msg=name)


def learnable(codebook: np.ndarray, **options: object) -> torch.nn.Module:
    """A peer whose codebook is a parameter with the given values."""
    peer = peers.VectorQuantize(
        D, K, learnable_codebook=True, ema_update=False, rotation_trick=False, **options
    )
    with torch.no_grad():
        peer._codebook.embed.copy_(torch.tensor(codebook)[None])
    return peer


def test_a_learnable_codebook_has_the_peers_values_and_gradients(rng: np.random.Generator) -> None:
    """Equal values; of the gradient the peer takes all on both sides, ours half at beta = 1/2."""
    layer = vq.VectorQuant(D, K, beta=0.5)
    peer = learnable(layer.codebook.numpy())
    values, seed = rng.normal(size=(2, 1, N, D)).astype(np.float32)
    z = Tensor(values, requires_grad=True)
    peer_z = torch.tensor(values, requires_grad=True)
    z_q, info = layer(z)
    peer_z_q, peer_codes, peer_loss = peer(peer_z)
    assert np.array_equal(info.q.numpy(), peer_codes.numpy())
    assert_close(z_q.numpy(), peer_z_q, "z_q")
    assert_close(info.loss.numpy(), peer_loss, "loss")
    ((z_q * Tensor(seed)).sum() + 20.0 * info.loss).backward()
    ((peer_z_q * torch.tensor(seed)).sum() + 10.0 * peer_loss).backward()
    assert z.grad is not None and layer.codebook.grad is not None
    assert_close(z.grad.numpy(), peer_z.grad, "z")
    assert_close(layer.codebook.grad.numpy(), peer._codebook.embed.grad[0], "codebook")


def test_an_in_place_optimizer_moves_the_codebook_as_the_peers_does(
    rng: np.random.Generator,
) -> None:
    layer = vq.VectorQuant(
        D, K, inplace_optimizer=lambda p: optim.SGD(p, lr=5.0, momentum=0.9), reassign=True
    )
    peer = learnable(
        layer.codebook.numpy(),
        in_place_codebook_optimizer=lambda p: torch.optim.SGD(p, lr=5.0, momentum=0.9),
    )
    for step in range(5):
        values = rng.normal(size=(1, N, D)).astype(np.float32)
        z_q, info = layer(Tensor(values))
        peer_z_q, peer_codes, _ = peer(torch.tensor(values))
        assert np.array_equal(info.q.numpy(), peer_codes.numpy()), f"step {step}"
        assert_close(z_q.numpy(), peer_z_q, f"z_q, step {step}")
    assert_close(layer.codebook.numpy(), peer._codebook.embed[0], "codebook")


def test_codes_decode_to_the_peers_vectors(rng: np.random.Generator) -> None:
    layer = vq.VectorQuant(D, K).eval()
    peer = learnable(layer.codebook.numpy()).eval()
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
