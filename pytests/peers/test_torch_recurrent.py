"""Recurrent layers against torch's: states, gradients, and state dictionaries both ways."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift import nn

torch = pytest.importorskip("torch", reason="torch is not installed")
tnn = torch.nn

OPTIONS: list[dict[str, Any]] = [
    {},
    {"num_layers": 2, "bidirectional": True},
    {"num_layers": 3, "bias": False, "batch_first": True},
    {"batch_first": True, "bidirectional": True},
    {"proj_size": 4},
    {"num_layers": 2, "bidirectional": True, "proj_size": 3, "bias": False},
]


def random(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def agree(own: Any, theirs: Any, tolerance: float = 2e-5) -> None:
    assert own.shape == tuple(theirs.shape)
    np.testing.assert_allclose(
        own.numpy(), theirs.detach().numpy(), rtol=10 * tolerance, atol=tolerance
    )


def moved(layer: nn.Module, theirs: Any) -> None:
    """torch's weights in our layer, and back, by the strict names of both."""
    layer.load_state_dict({n: v.numpy() for n, v in theirs.state_dict().items()})
    theirs.load_state_dict({n: torch.tensor(v) for n, v in layer.state_dict().items()})


@pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("kind", ["RNN", "relu", "GRU", "LSTM"])
def test_layers(kind: str, options: dict[str, Any]) -> None:
    if "proj_size" in options and kind != "LSTM":
        pytest.skip("an LSTM alone has projections")
    more = {"nonlinearity": "relu"} if kind == "relu" else {}
    name = "RNN" if kind == "relu" else kind
    layer = getattr(nn, name)(5, 7, **options, **more)
    theirs = getattr(tnn, name)(5, 7, **options, **more)
    moved(layer, theirs)
    x = random((6, 3, 5), 0)
    samples = 6 if options.get("batch_first") else 3
    count = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    sizes = (options.get("proj_size", 7), 7)[: 2 if kind == "LSTM" else 1]
    starts = [random((count, samples, size), seed) for seed, size in enumerate(sizes, 1)]
    ours = [vq.Tensor(a, requires_grad=True) for a in (x, *starts)]
    torchs = [torch.tensor(a, requires_grad=True) for a in (x, *starts)]
    y, end = layer(ours[0], tuple(ours[1:]) if kind == "LSTM" else ours[1])
    ty, tend = theirs(torchs[0], tuple(torchs[1:]) if kind == "LSTM" else torchs[1])
    pairs = [(y, ty), *(zip(end, tend, strict=True) if kind == "LSTM" else [(end, tend)])]
    loss, tloss = vq.Tensor(0.0), torch.zeros(())
    for seed, (own, other) in enumerate(pairs):
        agree(own, other)
        g = random(own.shape, 10 + seed)
        loss, tloss = loss + (own * g).sum(), tloss + (other * torch.tensor(g)).sum()
    loss.backward()
    tloss.backward()
    for own, other in zip(ours, torchs, strict=True):
        agree(own.grad, other.grad)
    parameters = dict(theirs.named_parameters())
    assert list(parameters) == [name for name, _ in layer.named_parameters()]
    for name, parameter in layer.named_parameters():
        agree(parameter.grad, parameters[name].grad, 5e-5)


@pytest.mark.parametrize("kind", ["RNNCell", "GRUCell", "LSTMCell"])
def test_cells(kind: str) -> None:
    cell, theirs = getattr(nn, kind)(5, 7), getattr(tnn, kind)(5, 7)
    moved(cell, theirs)
    x = random((3, 5), 0)
    state: Any = None
    tstate: Any = None
    for _ in range(3):
        state, tstate = cell(x, state), theirs(torch.tensor(x), tstate)
    for own, other in zip(
        *((state, tstate) if kind == "LSTMCell" else ((state,), (tstate,))), strict=True
    ):
        agree(own, other)


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_initial_weights_are_spread_alike(kind: str) -> None:
    layer, theirs = getattr(nn, kind)(64, 64), getattr(tnn, kind)(64, 64)
    for name, value in theirs.state_dict().items():
        # The deviation of n uniform numbers is off by 0.45 / sqrt(n) of it.
        own, tolerance = layer.state_dict()[name], 8 * 0.45 * value.numel() ** -0.5
        assert own.std() == pytest.approx(float(value.std()), rel=tolerance)


def test_a_function_of_our_own_is_torchs() -> None:
    class Ours(vq.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, w: Any) -> Any:
            ctx.save_for_backward(x, w)
            return x * w * w

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            x, w = ctx.saved_tensors
            return g * w * w, (g * x * w * 2 if ctx.needs_input_grad[1] else None)

    class Theirs(torch.autograd.Function):  # type: ignore[misc]
        forward, backward = staticmethod(Ours.forward), staticmethod(Ours.backward)

    a, b = random((4, 3), 0), random((4, 3), 1)
    ours = [vq.Tensor(v, requires_grad=True) for v in (a, b)]
    torchs = [torch.tensor(v, requires_grad=True) for v in (a, b)]
    Ours.apply(*ours).tanh().sum().backward()
    Theirs.apply(*torchs).tanh().sum().backward()
    for own, other in zip(ours, torchs, strict=True):
        agree(own.grad, other.grad)
