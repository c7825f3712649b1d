"""FSQ and LFQ give the numbers of vector-quantize-pytorch."""

from __future__ import annotations

import numpy as np
import pytest
import vqswift as vq
from vqswift import Tensor

torch = pytest.importorskip("torch", reason="torch is not installed: make test-peers")
peers = pytest.importorskip(
    "vector_quantize_pytorch", reason="vector-quantize-pytorch is not installed: make test-peers"
)

EPSILON = 2.0**-23
N = 200


@pytest.mark.parametrize("levels", [[3, 5, 4], [8, 5, 5, 5], [7, 7, 7, 7, 7, 7], [16, 3]])
def test_fsq_has_the_peers_values_codes_and_gradients(
    rng: np.random.Generator, levels: list[int]
) -> None:
    layer, peer = vq.FSQ(levels), peers.FSQ(levels)
    values = (3 * rng.normal(size=(1, N, len(levels)))).astype(np.float32)
    gradient = rng.normal(size=values.shape).astype(np.float32)
    z, peer_z = Tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    z_q, info = layer(z)
    peer_z_q, peer_codes = peer(peer_z)
    assert np.array_equal(info.q.numpy(), peer_codes.numpy())
    # Levels over their half width, in both one division.
    assert np.array_equal(z_q.numpy(), peer_z_q.detach().numpy())
    z_q.backward(Tensor(gradient))
    peer_z_q.backward(torch.tensor(gradient))
    # 1 - tanh^2 cancels: an error of a few roundings of 1, times the levels.
    np.testing.assert_allclose(z.grad, peer_z.grad, rtol=0, atol=16 * EPSILON)
    every = np.arange(np.prod(levels), dtype=np.int32)[None]
    decoded = peer.indices_to_codes(torch.tensor(every)).numpy()
    assert np.array_equal(layer.decode(every).numpy(), decoded)


@pytest.mark.parametrize("bits", [1, 3, 6])
@pytest.mark.parametrize("diversity", [0.0, 1.0, 2.5])
def test_lfq_has_the_peers_values_losses_and_gradients(
    rng: np.random.Generator, bits: int, diversity: float
) -> None:
    """At a temperature where no probability falls below 1e-5, which the peer cuts off."""
    temperature = 4.0
    layer = vq.LFQ(
        bits,
        commitment_weight=0.25,
        entropy_weight=0.5,
        diversity=diversity,
        temperature=temperature,
    )
    peer = peers.LFQ(
        dim=bits,
        codebook_size=2**bits,
        commitment_loss_weight=0.25,
        entropy_loss_weight=0.5,
        diversity_gamma=diversity,
    )
    values = np.clip(rng.normal(size=(1, N, bits)), -1.5, 1.5).astype(np.float32)
    gradient = rng.normal(size=values.shape).astype(np.float32)
    z, peer_z = Tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    z_q, info = layer(z)
    peer_z_q, peer_codes, peer_loss = peer(peer_z, inv_temperature=1 / temperature)
    assert np.array_equal(info.q.numpy(), peer_codes.numpy())
    # The peer's output is z + (sign - z), rounded.
    np.testing.assert_allclose(z_q, peer_z_q.detach(), rtol=0, atol=2 * EPSILON)
    assert info.loss.item() == pytest.approx(peer_loss.item(), abs=32 * EPSILON * bits)
    ((z_q * Tensor(gradient)).sum() + 10.0 * info.loss).backward()
    ((peer_z_q * torch.tensor(gradient)).sum() + 10.0 * peer_loss).backward()
    np.testing.assert_allclose(z.grad, peer_z.grad, rtol=0, atol=32 * EPSILON * bits)
    every = np.arange(2**bits, dtype=np.int32)[None]
    decoded = peer.indices_to_codes(torch.tensor(every)).numpy()
    assert np.array_equal(layer.decode(every).numpy(), decoded)
