"""Gumbel softmax and Gaussian SQ-VAE against PyTorch's autograd on their formulas in Float64.

With no more codes than elements the weights of the codes can be read off the output, and with them
the noise that was drawn, up to what softmax ignores.
"""

from __future__ import annotations

import numpy as np
import pytest
import vqswift as vq
from vqswift import Tensor

torch = pytest.importorskip("torch", reason="torch is not installed: make test-peers")

from formulas import double  # noqa: E402
from torch.nn import functional  # noqa: E402

EPSILON = 2.0**-23
BATCH, N, D, K, TAU = 3, 20, 8, 5, 0.7


def draws(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    z, gradient = rng.normal(size=(2, BATCH, N, D)).astype(np.float32)
    return z, gradient


def noise_of(z_q: Tensor, codebook: np.ndarray, logits: torch.Tensor) -> torch.Tensor:
    """g of `z_q = softmax((logits + g) / tau) C`, up to a constant a vector."""
    output = z_q.numpy().astype(np.float64).reshape(-1, codebook.shape[1])
    weights, *_ = np.linalg.lstsq(codebook.T.astype(np.float64), output.T, rcond=None)
    np.testing.assert_allclose(weights.sum(0), 1, atol=64 * EPSILON)
    weights = torch.tensor(weights.T).clamp(min=EPSILON).reshape(logits.shape)
    return (TAU * weights.log() - logits).detach()


def assert_close(ours: object, expected: torch.Tensor, name: str) -> None:
    """Equal to the rounding of sums over all vectors; weights were read off float32 outputs."""
    theirs = expected.detach().numpy()
    tolerance = 4 * BATCH * N * EPSILON * max(1, np.abs(theirs).max())
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=0, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("hard", [False, True])
def test_gumbel_values_and_gradients_equal_autograd(rng: np.random.Generator, hard: bool) -> None:
    def make(hard: bool) -> vq.GumbelQuant:
        vq.manual_seed(0)
        return vq.GumbelQuant(D, K, temperature=TAU, kl_weight=0.5, hard=hard, seed=1)

    layer, soft = make(hard), make(False)  # of one seed: they draw the same noise
    values, gradient = draws(rng)
    z, peer_z = Tensor(values, requires_grad=True), double(values)
    peers = {name: double(value.numpy()) for name, value in layer.named_parameters()}
    codebook = peers["codebook"]
    logits = functional.linear(peer_z, peers["projection.weight"], peers["projection.bias"])
    noise = noise_of(soft(Tensor(values))[0], layer.codebook.numpy(), logits)

    z_q, info = layer(z)
    weights = ((logits + noise) / TAU).softmax(-1)
    codes = weights.argmax(-1)
    if hard:
        chosen = functional.one_hot(codes, K).double()
        mixture = weights + (chosen - weights).detach()
    else:
        mixture = weights
    peer_z_q = mixture @ codebook
    p = logits.softmax(-1)
    peer_loss = 0.5 * (p * (K * p).log()).sum(-1).mean()
    assert np.array_equal(info.q.numpy(), codes.numpy())
    assert_close(z_q, peer_z_q, "z_q")
    assert_close(info.loss, peer_loss, "loss")
    ((z_q * Tensor(gradient)).sum() + 3.0 * info.loss).backward()
    ((peer_z_q * torch.tensor(gradient)).sum() + 3.0 * peer_loss).backward()
    assert_close(z.grad, peer_z.grad, "z")
    for name, parameter in layer.named_parameters():
        assert_close(parameter.grad, peers[name].grad, name)


@pytest.mark.parametrize("kind", ["I", "II", "III", "IV"])
def test_gaussian_values_and_gradients_equal_autograd(rng: np.random.Generator, kind: str) -> None:
    layer = vq.SQVAEQuant(D, K, kind=kind, temperature=TAU, seed=1)
    state = layer.state_dict()
    state["log_variance"] = np.float32(0.3)
    layer.load_state_dict(state)
    values, gradient = draws(rng)
    logvar = rng.normal(size=values.shape).astype(np.float32)
    z, peer_z = Tensor(values, requires_grad=True), double(values)
    given, peer_given = Tensor(logvar, requires_grad=True), double(logvar)
    peers = {name: double(value.numpy()) for name, value in layer.named_parameters()}
    codebook = peers["codebook"]
    reduced = {
        "I": torch.zeros(()),
        "II": peer_given.mean((1, 2), keepdim=True),
        "III": peer_given.mean(2, keepdim=True),
        "IV": peer_given,
    }[kind]
    variance = (reduced.exp() + peers["log_variance"].exp()).expand_as(peer_z)
    differences = (peer_z[..., None, :] - codebook).square() / variance[..., None, :]
    logits = -differences.sum(-1) / 2

    z_q, info = layer(z) if kind == "I" else layer(z, given)
    noise = noise_of(z_q, layer.codebook.numpy(), logits.log_softmax(-1))
    weights = ((logits.log_softmax(-1) + noise) / TAU).softmax(-1)
    peer_z_q = weights @ codebook
    p = logits.softmax(-1)
    divergence = (p * p.log()).sum()
    error = ((peer_z - peer_z_q).square() / variance).sum() / 2
    peer_loss = (divergence + error) / BATCH
    assert np.array_equal(info.q.numpy(), weights.argmax(-1).numpy())
    assert_close(info.loss, peer_loss, "loss")
    ((z_q * Tensor(gradient)).sum() + 0.5 * info.loss).backward()
    ((peer_z_q * torch.tensor(gradient)).sum() + 0.5 * peer_loss).backward()
    assert_close(z.grad, peer_z.grad, "z")
    if kind != "I":
        assert_close(given.grad, peer_given.grad, "logvar")
    for name, parameter in layer.named_parameters():
        assert_close(parameter.grad, peers[name].grad, name)


def test_the_gaussian_reconstruction_loss_equals_autograd(rng: np.random.Generator) -> None:
    x, output = rng.normal(size=(2, 4, 6, 5, 3)).astype(np.float32)
    ours, peer = Tensor(output, requires_grad=True), double(output)
    loss = vq.SQVAEQuant.reconstruction_loss(x, ours)
    squared = (torch.tensor(x) - peer).square().flatten(1).sum(1)
    expected = 6 * 5 * 3 / 2 * squared.mean().log()
    assert_close(loss, expected, "loss")
    loss.backward()
    expected.backward()
    assert_close(ours.grad, peer.grad, "gradient")
