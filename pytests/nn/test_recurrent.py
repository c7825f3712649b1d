"""Recurrent layers against their formulas in Float64 and central differences."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift import _core, nn

LAYERS: dict[str, Callable[..., Any]] = {
    "rnn": nn.RNN,
    "relu": lambda *sizes, **options: nn.RNN(*sizes, nonlinearity="relu", **options),
    "gru": nn.GRU,
    "lstm": nn.LSTM,
}
CELLS: dict[str, Callable[..., Any]] = {
    "rnn": nn.RNNCell,
    "relu": lambda *sizes: nn.RNNCell(*sizes, nonlinearity="relu"),
    "gru": nn.GRUCell,
    "lstm": nn.LSTMCell,
}


def random(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def step(kind: str, sums: np.ndarray, hidden: np.ndarray, h: np.ndarray, c: np.ndarray) -> Any:
    if kind in ("rnn", "relu"):
        total = sums + hidden
        return (np.tanh(total) if kind == "rnn" else np.maximum(total, 0)), c
    if kind == "gru":
        r, z, n = np.split(sums, 3, -1)
        hr, hz, hn = np.split(hidden, 3, -1)
        r, z = sigmoid(r + hr), sigmoid(z + hz)
        n = np.tanh(n + r * hn)
        return (1 - z) * n + z * h, c
    i, f, g, o = np.split(sums + hidden, 4, -1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def reference(
    kind: str, x: Any, h: Any, c: Any, weights: list[Any], reverse: bool
) -> tuple[np.ndarray, np.ndarray]:
    """States [t, n, h] and the last cell, in Float64."""
    x, h, c, w_ih, w_hh, b_ih, b_hh = (np.float64(a) for a in (x, h, c, *weights))
    states = np.zeros((*x.shape[:2], h.shape[-1]))
    for t in reversed(range(len(x))) if reverse else range(len(x)):
        h, c = step(kind, x[t] @ w_ih.T + b_ih, h @ w_hh.T + b_hh, h, c)
        states[t] = h
    return states, c


NAMES = {"rnn": "rnn_tanh", "relu": "rnn_relu", "gru": "gru", "lstm": "lstm"}


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    ("t", "n", "inputs", "width"), [(5, 3, 4, 6), (1, 1, 1, 1), (7, 1, 3, 17), (2, 40, 5, 33)]
)
@pytest.mark.parametrize("kind", LAYERS)
def test_states_and_gradients(
    kind: str, t: int, n: int, inputs: int, width: int, reverse: bool
) -> None:
    gates = {"gru": 3, "lstm": 4}.get(kind, 1)
    shapes = [(t, n, inputs), (n, width), (n, width), (gates * width, inputs)]
    shapes += [(gates * width, width), (gates * width,), (gates * width,)]
    arrays = [random(shape, seed) for seed, shape in enumerate(shapes)]
    arrays = [a * (width if i > 2 else 4) ** -0.5 for i, a in enumerate(arrays)]
    leaves = [vq.Tensor(array, requires_grad=True) for array in arrays]
    x, h, c, *weights = (leaf._handle for leaf in leaves)
    is_lstm = kind == "lstm"
    y, last = map(
        lambda handle: handle and vq.Tensor._wrap(handle),
        _core.tensor_recurrence(NAMES[kind], x, h, c if is_lstm else None, *weights, reverse),
    )
    expected, cell = reference(kind, *arrays[:3], arrays[3:], reverse)
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-5, atol=3e-6)
    g, gc = random(y.shape, 20), random((n, width), 21)
    loss = (y * g).sum()
    if is_lstm:
        np.testing.assert_allclose(last.numpy(), cell, rtol=1e-5, atol=3e-6)
        loss = loss + (last * gc).sum()
    loss.backward()

    def value(given: list[np.ndarray]) -> float:
        states, cell = reference(kind, *given[:3], given[3:], reverse)
        return float((states * g).sum() + (cell * gc).sum() * is_lstm)

    for index, leaf in enumerate(leaves):
        if index == 2 and not is_lstm:
            continue
        way = np.random.default_rng(30 + index).standard_normal(leaf.shape)
        moved = [np.float64(array) for array in arrays]
        slopes = []
        for sign in (1e-5, -1e-5):
            moved[index] = np.float64(arrays[index]) + sign * way
            slopes.append(value(moved))
        slope = (slopes[0] - slopes[1]) / 2e-5
        size = float(np.linalg.norm(leaf.grad.numpy())) + 1
        assert float((leaf.grad.numpy() * way).sum()) == pytest.approx(slope, abs=2e-5 * size * 4)


def test_the_cell_alone_has_gradients() -> None:
    layer, x = nn.LSTM(3, 4, generator=vq.Generator(1)), vq.Tensor(random((5, 2, 3), 0), True)
    _, (_, c) = layer(x)
    c.sum().backward()
    cells = [nn.LSTMCell(3, 4)]
    cells[0].load_state_dict({n.removesuffix("_l0"): v for n, v in layer.state_dict().items()})
    other, state = vq.Tensor(x.numpy(), True), None
    for t in range(5):
        state = cells[0](other[t], state)
    assert state is not None
    state[1].sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), other.grad.numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_is_its_cell_step_by_step(kind: str) -> None:
    layer, cell = LAYERS[kind](3, 5), CELLS[kind](3, 5)
    cell.load_state_dict({n.removesuffix("_l0"): v for n, v in layer.state_dict().items()})
    x = random((4, 2, 3), 0)
    y, last = layer(x)
    state: Any = None
    for t in range(4):
        state = cell(x[t], state)
        h = state[0] if kind == "lstm" else state
        np.testing.assert_allclose(y.numpy()[t], h.numpy(), rtol=1e-5, atol=1e-6)
    ends = (last, state) if kind == "lstm" else ((last,), (state,))
    for end, expected in zip(*ends, strict=True):
        np.testing.assert_allclose(end.numpy()[0], expected.numpy(), rtol=1e-5, atol=1e-6)
    single = cell(x[0, 0])
    assert (single[0] if kind == "lstm" else single).shape == (5,)


@pytest.mark.parametrize("kind", LAYERS)
def test_layouts_of_the_input(kind: str) -> None:
    layer = LAYERS[kind](3, 5, 2, bidirectional=True)
    first = LAYERS[kind](3, 5, 2, bidirectional=True, batch_first=True)
    first.load_state_dict(layer.state_dict())
    x = random((4, 2, 3), 0)
    y, _ = layer(x)
    np.testing.assert_array_equal(first(x.swapaxes(0, 1))[0].numpy().swapaxes(0, 1), y.numpy())
    alone, end = layer(x[:, 1])
    np.testing.assert_allclose(alone.numpy(), y.numpy()[:, 1], rtol=1e-5, atol=1e-6)
    assert (end[0] if kind == "lstm" else end).shape == (4, 5)


@pytest.mark.parametrize("kind", LAYERS)
def test_empty_axes(kind: str) -> None:
    layer = LAYERS[kind](3, 5)
    h = vq.Tensor(random((1, 2, 5), 0), requires_grad=True)
    hx = (h, h) if kind == "lstm" else h
    y, end = layer(np.zeros((0, 2, 3), np.float32), hx)
    assert y.shape == (0, 2, 5)
    for state in end if kind == "lstm" else (end,):
        np.testing.assert_array_equal(state.numpy(), h.numpy())
    (y.sum() + (end[1] if kind == "lstm" else end).sum()).backward()
    np.testing.assert_array_equal(h.grad.numpy(), np.ones(h.shape))
    x = vq.Tensor(np.zeros((4, 0, 3), np.float32), requires_grad=True)
    layer.zero_grad()
    layer(x)[0].sum().backward()
    assert x.grad.shape == (4, 0, 3)
    for parameter in layer.parameters():
        np.testing.assert_array_equal(parameter.grad.numpy(), np.zeros(parameter.shape))


def test_dropout_acts_between_layers_in_training() -> None:
    x = random((3, 2, 4), 0)
    layer = nn.GRU(4, 4, 2, dropout=1.0)
    alone = nn.GRU(4, 4, 2)
    alone.load_state_dict(layer.state_dict())
    assert not np.allclose(layer(x)[0].numpy(), alone(x)[0].numpy())
    np.testing.assert_array_equal(layer.eval()(x)[0].numpy(), alone(x)[0].numpy())
    assert list(nn.GRU(4, 4, 2, dropout=0.5).rng_state_dict()) == ["between_layers.generator"]
    with pytest.warns(UserWarning, match="it acts between layers"):
        nn.GRU(4, 4, dropout=0.5)


def test_names_roles_and_words() -> None:
    layer = nn.LSTM(3, 5, 2, bias=False, bidirectional=True, dropout=0.25)
    names = [f"weight_{side}_l{n}{way}" for n in (0, 1) for way in ("", "_reverse")
             for side in ("ih", "hh")]  # fmt: skip
    assert list(layer.state_dict()) == names
    assert layer.weight_ih_l1.shape == (20, 10)
    text = "LSTM(3, 5, 2, bias=False, dropout=0.25, bidirectional=True"
    assert repr(layer).startswith(text)
    assert repr(nn.RNN(3, 5, nonlinearity="relu")) == "RNN(3, 5, nonlinearity='relu')"
    assert repr(nn.GRUCell(3, 5, bias=False)) == "GRUCell(3, 5, bias=False)"
    bound = 5**-0.5
    assert all(np.abs(v).max() <= bound for v in layer.state_dict().values())


def test_copies_compute_the_same() -> None:
    layer = nn.LSTM(3, 5, 2, dropout=0.5)
    other = copy.deepcopy(layer)
    x = random((4, 2, 3), 0)
    np.testing.assert_array_equal(layer(x)[0].numpy(), other(x)[0].numpy())


def test_results_do_not_depend_on_threads(threads: Callable[[int], None]) -> None:
    layer = nn.LSTM(32, 64, generator=vq.Generator(1))
    x = random((6, 70, 32), 0)
    found = []
    for count in (1, 3):
        threads(count)
        given = vq.Tensor(x, requires_grad=True)
        layer.zero_grad()
        y, _ = layer(given)
        (y * y).sum().backward()
        found.append([y, given.grad, *(p.grad for p in layer.parameters())])
    for one, three in zip(*found, strict=True):
        np.testing.assert_array_equal(one.numpy(), three.numpy())


def test_training_learns_to_remember() -> None:
    """The first of six numbers, told at the end."""
    rng = np.random.default_rng(0)
    layer = nn.GRU(1, 16, batch_first=True, generator=vq.Generator(1))
    head = nn.Linear(16, 1, generator=vq.Generator(2))
    optimizer = vq.optim.Adam([*layer.parameters(), *head.parameters()], lr=1e-2)
    losses = []
    for _ in range(300):
        x = rng.uniform(-1, 1, (64, 6, 1)).astype(np.float32)
        y, _ = layer(x)
        loss = nn.functional.mse_loss(head(y[:, 5]), x[:, 0])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-10:]) < 0.1 * np.mean(losses[:10])
