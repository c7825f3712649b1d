"""Gumbel and Gaussian quantizers, LFQ's entropies: gradients against PyTorch's autograd, Float64.

The noise of a training forward is read from a twin layer whose logits are 0 and whose codebook is
the identity: its output is softmax(g / tau), and a constant of each row does not matter.
"""

from __future__ import annotations

import numpy as np
import pytest
import vqswift as vq
from vqswift import Tensor

torch = pytest.importorskip("torch", reason="torch is not installed: make test-peers")

N, D, K = 24, 5, 12
# Float32 sums of a few hundred terms of size 1, and noise read back from float32 weights.
TOLERANCE = {"rtol": 2e-5, "atol": 2e-5}


def noise(layer: vq.Quantizer, rows: int) -> torch.Tensor:
    """The Gumbel numbers of the layer's next forward, [rows, K], up to a constant of each row."""
    twin = vq.GumbelQuant(D, K, code_size=K)
    twin.load_state_dict(
        {
            "codebook": np.eye(K, dtype=np.float32),
            "projection.weight": np.zeros((K, D), np.float32),
            "projection.bias": np.zeros(K, np.float32),
            "temperature": np.array(1.0, np.float32),
            "generator": layer.state_dict()["generator"],
        }
    )
    weights, _ = twin(np.zeros((rows, D), np.float32))
    return torch.tensor(weights.numpy().astype(np.float64)).log()


def double(array: np.ndarray) -> torch.Tensor:
    return torch.tensor(array.astype(np.float64), requires_grad=True)


def leaf(seed: int, *shape: int) -> Tensor:
    return Tensor(vq.Generator(seed).normal(shape).numpy(), requires_grad=True)


def compare(ours: dict[str, Tensor], theirs: dict[str, torch.Tensor]) -> None:
    for name, expected in theirs.items():
        gradient = ours[name].grad
        assert gradient is not None, name
        np.testing.assert_allclose(
            gradient.numpy(), expected.grad.numpy(), err_msg=name, **TOLERANCE
        )


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("tau", [0.7, 2.0])
def test_gumbel_training(hard: bool, tau: float) -> None:
    layer = vq.GumbelQuant(D, K, code_size=3, temperature=tau, kl_weight=0.7, hard=hard)
    g, state = noise(layer, N), layer.state_dict()
    z, weights = leaf(1, N, D), vq.Generator(2).normal((N, 3))
    z_q, info = layer(z)
    ((z_q * weights).sum() + info.loss).backward()

    x, codebook = double(z.numpy()), double(state["codebook"])
    weight, bias = double(state["projection.weight"]), double(state["projection.bias"])
    logits = x @ weight.T + bias
    y = ((logits + g) / tau).softmax(1)
    if hard:
        y = y + (torch.nn.functional.one_hot(y.argmax(1), K) - y).detach()
    out, p = y @ codebook, logits.softmax(1)
    loss = 0.7 * (p * (K * p).log()).sum(1).mean()
    np.testing.assert_allclose(z_q.numpy(), out.detach().numpy(), **TOLERANCE)
    np.testing.assert_allclose(info.loss.item(), loss.item(), **TOLERANCE)
    assert np.array_equal(info.q.numpy(), y.argmax(1).numpy())
    ((out * torch.tensor(weights.numpy())).sum() + loss).backward()
    compare(
        {"z": z, **dict(layer.named_parameters())},
        {"z": x, "codebook": codebook, "projection.weight": weight, "projection.bias": bias},
    )


@pytest.mark.parametrize("kind", ["I", "II", "III", "IV"])
@pytest.mark.parametrize("mean", [0.0, 64.0])
def test_gaussian_training(kind: str, mean: float) -> None:
    batch, time = 4, 6
    layer = vq.SQVAEQuant(D, K, kind=kind, temperature=0.8)
    state = layer.state_dict()
    state["log_variance"] = np.array(0.3, np.float32)
    state["codebook"] += np.float32(mean)
    layer.load_state_dict(state)
    g = noise(layer, batch * time).reshape(batch, time, K)
    z, logvar = leaf(1, batch, time, D), leaf(2, batch, time, D)
    z = Tensor(z.numpy() + np.float32(mean), requires_grad=True)
    weights = vq.Generator(3).normal((batch, time, D))
    z_q, info = layer(z) if kind == "I" else layer(z, logvar)
    ((z_q * weights).sum() + info.loss).backward()

    x, v = double(z.numpy()), double(logvar.numpy())
    codebook, s = double(state["codebook"]), double(state["log_variance"])
    own = {
        "I": lambda: torch.zeros(1, dtype=torch.float64),
        "II": lambda: v.mean((1, 2), keepdim=True),
        "III": lambda: v.mean(2, keepdim=True),
        "IV": lambda: v,
    }[kind]()
    s2 = own.exp() + s.exp()
    logits = -0.5 * ((x[..., None, :] - codebook) ** 2 / (s2 + 0 * x)[..., None, :]).sum(-1)
    y = ((logits + g) / 0.8).softmax(-1)
    out, p = y @ codebook, logits.softmax(-1)
    entropy = (p * p.log()).sum() / batch
    error = (0.5 * (x - out) ** 2 / s2).sum() / batch
    # Outputs are rounded at the size of their mean.
    np.testing.assert_allclose(
        z_q.numpy(), out.detach().numpy(), rtol=2e-5, atol=2e-5 + mean * 2.0**-23
    )
    np.testing.assert_allclose(info.regularization, entropy.item(), **TOLERANCE)
    np.testing.assert_allclose(info.commitment_loss, error.item(), **TOLERANCE)
    ((out * torch.tensor(weights.numpy())).sum() + entropy + error).backward()
    theirs = {"z": x, "codebook": codebook, "log_variance": s}
    if kind != "I":
        theirs["logvar"] = v
    compare({"z": z, "logvar": logvar, **dict(layer.named_parameters())}, theirs)


@pytest.mark.parametrize("bits", [1, 3, 8])
@pytest.mark.parametrize("temperature", [0.5, 3.0])
def test_lfq_loss(bits: int, temperature: float) -> None:
    layer = vq.LFQ(bits, temperature=temperature, diversity=0.6, entropy_weight=1.5)
    z = leaf(1, N, bits)
    _, info = layer(z)
    info.loss.backward()
    x = double(z.numpy())
    codes = torch.arange(2**bits)[:, None] >> torch.arange(bits - 1, -1, -1) & 1
    p = (2 * x @ (2.0 * codes.double() - 1).T / temperature).log_softmax(1)
    mean = (p.logsumexp(0) - np.log(N)).exp()
    loss = 1.5 * (-(p.exp() * p).sum(1).mean() + 0.6 * (mean * mean.log()).sum())
    np.testing.assert_allclose(info.loss.item(), loss.item(), **TOLERANCE)
    loss.backward()
    compare({"z": z}, {"z": x})


def test_reconstruction_loss() -> None:
    x, y = leaf(1, 4, 3, 7), leaf(2, 4, 3, 7)
    vq.SQVAEQuant.reconstruction_loss(x, y).backward()
    a, b = double(x.numpy()), double(y.numpy())
    (21 / 2 * (((a - b) ** 2).sum() / 4).log()).backward()
    compare({"x": x, "y": y}, {"x": a, "y": b})
