"""Layers, activations and losses against torch; weights move both ways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import vqswift as vq
from vqswift import Tensor, nn
from vqswift.nn import functional as F

EPSILON = 2.0**-23


def images(*shape: int, seed: int = 1) -> Tensor:
    return vq.Generator(seed).normal(shape)


LAYERS: dict[str, tuple[Callable[[], nn.Module], Callable[[Any], Any], tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(5, 7), lambda t: t.nn.Linear(5, 7), (4, 5)),
    "conv2d": (
        lambda: nn.Conv2d(3, 8, (3, 5), stride=(2, 1), padding=(1, 2)),
        lambda t: t.nn.Conv2d(3, 8, (3, 5), stride=(2, 1), padding=(1, 2)),
        (2, 9, 8, 3),
    ),
    "conv_transpose2d": (
        lambda: nn.ConvTranspose2d(4, 6, 4, stride=2, padding=1, output_padding=1),
        lambda t: t.nn.ConvTranspose2d(4, 6, 4, stride=2, padding=1, output_padding=1),
        (2, 5, 6, 4),
    ),
    "batch_norm": (lambda: nn.BatchNorm(4), lambda t: t.nn.BatchNorm2d(4), (3, 5, 5, 4)),
    "layer_norm": (lambda: nn.LayerNorm(6), lambda t: t.nn.LayerNorm(6), (4, 6)),
}


def to_torch(torch: Any, array: np.ndarray) -> Any:
    tensor = torch.tensor(array)
    return tensor.permute(0, 3, 1, 2) if array.ndim == 4 else tensor


def from_torch(tensor: Any) -> np.ndarray:
    tensor = tensor.detach()
    return (tensor.permute(0, 2, 3, 1) if tensor.ndim == 4 else tensor).numpy()


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("direction", ["to torch", "from torch"])
def test_weights_move_to_and_from_torch(name: str, direction: str) -> None:
    make, make_torch, shape = LAYERS[name]
    mine, theirs = make(), make_torch(torch)
    a = images(*shape).numpy()
    mine(Tensor(a))  # moves running statistics
    if direction == "to torch":
        state = {n: torch.tensor(v) for n, v in mine.state_dict().items()}
        theirs.load_state_dict(state, strict=False)
    else:
        theirs(to_torch(torch, a))
        state = {n: v.numpy() for n, v in theirs.state_dict().items()}
        mine.load_state_dict(state)
    for training in (True, False):
        mine.train(training)
        theirs.train(training)
        y = mine(Tensor(a))
        expected = from_torch(theirs(to_torch(torch, a)))
        # Sums of at most 64 products of numbers near 1, in different orders.
        np.testing.assert_allclose(y.numpy(), expected, atol=64 * EPSILON * 4)


@pytest.mark.parametrize("name", LAYERS)
def test_layer_gradients_equal_torchs(name: str) -> None:
    make, make_torch, shape = LAYERS[name]
    mine, theirs = make(), make_torch(torch)
    theirs.load_state_dict({n: torch.tensor(v) for n, v in mine.state_dict().items()}, strict=False)
    a = images(*shape).numpy()
    x = Tensor(a, requires_grad=True)
    y = mine(x)
    seed = images(*y.shape, seed=9)
    y.backward(seed)
    torch_x = to_torch(torch, a).requires_grad_()
    theirs(torch_x).backward(to_torch(torch, seed.numpy()))
    pairs = {
        n: (p.grad.numpy(), dict(theirs.named_parameters())[n].grad.numpy())
        for n, p in mine.named_parameters()
        if p.grad is not None
    }
    assert x.grad is not None
    pairs["x"] = (x.grad.numpy(), from_torch(torch_x.grad))
    for part, (ours, expected) in pairs.items():
        # Sums of at most 200 products of numbers near 1.
        np.testing.assert_allclose(ours, expected, atol=200 * EPSILON * 4, err_msg=part)


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (nn.ReLU, "ReLU"),
        (nn.GELU, "GELU"),
        (nn.SiLU, "SiLU"),
        (nn.Tanh, "Tanh"),
        (nn.Sigmoid, "Sigmoid"),
        (nn.Identity, "Identity"),
    ],
)
def test_activations_equal_torchs(mine: Callable[[], nn.Module], theirs: str) -> None:
    a = (images(1000) * 3.0).numpy()
    expected = getattr(torch.nn, theirs)()(torch.tensor(a, dtype=torch.float64)).numpy()
    np.testing.assert_allclose(mine()(Tensor(a)).numpy(), expected, atol=8 * EPSILON)


def test_losses_equal_torchs(rng: np.random.Generator) -> None:
    a, b = (rng.normal(size=(6, 5)).astype(np.float32) for _ in range(2))
    labels = rng.integers(0, 5, 6)
    cases = [
        (F.mse_loss(a, b), torch.nn.functional.mse_loss(torch.tensor(a), torch.tensor(b))),  # type: ignore[arg-type]
        (F.l1_loss(a, b), torch.nn.functional.l1_loss(torch.tensor(a), torch.tensor(b))),  # type: ignore[arg-type]
    ]
    for smoothing in (0.0, 0.1, 1.0):
        theirs = torch.nn.functional.cross_entropy(
            torch.tensor(a), torch.tensor(labels), label_smoothing=smoothing
        )
        cases.append((F.cross_entropy(Tensor(a), Tensor(labels), smoothing), theirs))
    for ours, expected in cases:
        assert abs(ours.item() - expected.item()) <= 16 * EPSILON * max(1, abs(expected.item()))
