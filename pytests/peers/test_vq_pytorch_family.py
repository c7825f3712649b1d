"""FSQ and LFQ against vector-quantize-pytorch on the same inputs."""

from __future__ import annotations

import numpy as np
import pytest
import vqswift as vq
from vqswift import Tensor

torch = pytest.importorskip("torch", reason="torch is not installed: make test-peers")
peer = pytest.importorskip(
    "vector_quantize_pytorch",
    reason="vector-quantize-pytorch is not installed: make test-peers",
)

EPSILON = 2.0**-23


def sample(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("levels", [[8, 5, 5, 5], [3, 4], [7, 5, 5, 5, 5], [8, 8, 8, 6, 5], [1000]])
def test_fsq_equals_the_peers(levels: list[int]) -> None:
    x = 2 * sample(3, 200, len(levels))
    ours, theirs = vq.FSQ(levels), peer.FSQ(levels)
    given, z = torch.tensor(x, requires_grad=True), Tensor(x, requires_grad=True)
    z_q, info = ours(z)
    out, indices = theirs(given)
    # tanh rounds differently: a value that stands at a half may go to either side.
    same = info.q.numpy() == indices.numpy()
    assert same.mean() > 0.995
    # z + (round - z) rounds once more.
    close = np.abs(z_q.numpy() - out.detach().numpy()) <= 2 * EPSILON
    assert close[same].all()
    decoded = theirs.indices_to_codes(indices)
    assert np.abs(ours.decode(indices.numpy()).numpy() - decoded.numpy()).max() <= 2 * EPSILON

    weights = sample(*x.shape, seed=1)
    (z_q * Tensor(weights)).sum().backward()
    (out * torch.tensor(weights)).sum().backward()
    # 1 - tanh^2 loses the bits of tanh near 1, times half the levels over half the levels.
    np.testing.assert_allclose(z.grad.numpy(), given.grad.numpy(), rtol=1e-3, atol=32 * EPSILON)


@pytest.mark.parametrize("bits", [1, 2, 4, 9])
@pytest.mark.parametrize("inverse", [0.5, 2.0, 100.0])
def test_lfq_equals_the_peers(bits: int, inverse: float) -> None:
    x = sample(2, 100, bits)
    ours = vq.LFQ(bits, commitment_weight=0.25, entropy_weight=0.1, temperature=1 / inverse)
    theirs = peer.LFQ(dim=bits, commitment_loss_weight=0.25, entropy_loss_weight=0.1)
    given, z = torch.tensor(x, requires_grad=True), Tensor(x, requires_grad=True)
    z_q, info = ours(z)
    (out, indices, loss), parts = theirs(given, inv_temperature=inverse, return_loss_breakdown=True)
    assert np.array_equal(info.q.numpy(), indices.numpy())
    np.testing.assert_allclose(z_q.numpy(), out.detach().numpy(), atol=2 * EPSILON)
    assert np.array_equal(
        ours.decode(indices.numpy()).numpy(), theirs.indices_to_codes(indices).numpy()
    )
    commitment = 0.25 * parts.commitment.item()
    assert info.commitment_loss == pytest.approx(commitment, rel=8 * EPSILON)
    # The peer counts -log p as at most -log 1e-5: of each code, p log(1e-5 / p) <= 1e-5 / e less,
    # in the vectors' entropies and in that of the mean.
    clamped = 0.1 * 2 * 2**bits * 1e-5 / np.e
    rounding = 8 * EPSILON * (1 + 4 * bits * inverse)
    assert abs(info.loss.item() - loss.item()) <= clamped + rounding

    if inverse > 0.5:
        return  # codes without probability: the peer cuts their gradient
    (z_q.sum() + info.loss).backward()
    (out.sum() + loss).backward()
    np.testing.assert_allclose(z.grad.numpy(), given.grad.numpy(), atol=clamped + 64 * EPSILON)


def test_lfq_has_the_peers_defaults() -> None:
    x = sample(1, 64, 6)
    _, info = vq.LFQ(6)(x)
    _, _, loss = peer.LFQ(dim=6)(torch.tensor(x))
    assert info.loss.item() == pytest.approx(loss.item(), abs=0.1 * 2 * 64 * 1e-5 / np.e + 1e-6)
