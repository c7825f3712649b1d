"""Batch norms over ranks: one process with the whole batch, and Float64 by definition."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from ranks import on_ranks
from vqswift import _core, distributed, nn, train
from vqswift.data import Batches

CHANNELS = 5
SHARDS = {"one": (7,), "even": (4, 4), "uneven": (5, 1, 3), "empty": (6, 0, 2), "first": (0, 5)}
RANDOM = np.random.default_rng(0)
EPS = np.finfo(np.float32).eps


def by_definition(x: Any, weight: Any, bias: Any, relu: bool, eps: float) -> dict[str, Any]:
    """Output and moments of x [..., c] in Float64."""
    rows = x.astype(np.float64).reshape(-1, x.shape[-1])
    mean, variance = rows.mean(0), rows.var(0)
    y = (x - mean) / np.sqrt(variance + eps) * weight + bias
    return {"y": np.maximum(y, 0) if relu else y, "mean": mean, "var": rows.var(0, ddof=1)}


def norm(relu: bool) -> nn.Module:
    layer = nn.BatchNorm(CHANNELS, momentum=0.25)
    layer.weight.assign(np.linspace(0.5, 2, CHANNELS, dtype=np.float32))
    layer.bias.assign(np.linspace(-1, 1, CHANNELS, dtype=np.float32))
    return nn.Sequential(layer, nn.ReLU()) if relu else nn.Sequential(layer)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("name", SHARDS)
def test_output_moments_and_gradients_are_those_of_the_whole_batch(name: str, relu: bool) -> None:
    counts = SHARDS[name]
    x = RANDOM.normal(3, 2, (sum(counts), 2, 3, CHANNELS)).astype(np.float32)
    factor = RANDOM.normal(size=x.shape).astype(np.float32)
    bounds = np.cumsum([0, *counts])
    layers = [norm(relu) for _ in counts]
    for layer in layers:
        distributed.synchronize_batch_norms(layer)

    def body(rank: int) -> list[np.ndarray]:
        rows = slice(bounds[rank], bounds[rank + 1])
        here = vq.Tensor(x[rows], requires_grad=True)
        y = layers[rank](here)
        (y * factor[rows]).sum().backward()
        assert here.grad is not None
        return [y.numpy(), here.grad.numpy(), *(p.grad.numpy() for p in layers[rank].parameters())]

    found = on_ranks(len(counts), body)
    weight, bias = (p.numpy().astype(np.float64) for p in layers[0].parameters())
    expected = by_definition(x, weight, bias, relu, 1e-5)
    y, gradient = (np.concatenate([each[i] for each in found]) for i in (0, 1))
    # The moments are float32: their rounding, times |x| / deviation and the weight, both below 4.
    np.testing.assert_allclose(y, expected["y"], rtol=0, atol=16 * EPS)
    for layer in layers:
        state = layer.state_dict()
        for moment, start in (("mean", 0), ("var", 1)):
            own = state[f"0.running_{moment}"]
            assert np.array_equal(own, layers[0].state_dict()[f"0.running_{moment}"])
            moved = 0.75 * start + 0.25 * expected[moment]
            np.testing.assert_allclose(own, moved, rtol=4 * EPS)
        assert state["0.num_batches_tracked"] == 1

    def loss(values: np.ndarray, w: np.ndarray = weight, b: np.ndarray = bias) -> float:
        return float((by_definition(values, w, b, relu, 1e-5)["y"] * factor).sum())

    wide, step = x.astype(np.float64), 1e-6
    for place in RANDOM.choice(x.size, 20, replace=False):
        move = np.zeros(x.size)
        move[place] = step
        move = move.reshape(x.shape)
        slope = (loss(wide + move) - loss(wide - move)) / (2 * step)
        # Central differences of a loss of about 100 have 1e-8 of it over the step.
        assert abs(gradient.reshape(-1)[place] - slope) < 1e-5
    for index, moved in ((2, "w"), (3, "b")):
        summed = sum(each[index].astype(np.float64) for each in found)
        for channel in range(CHANNELS):
            move = np.eye(CHANNELS)[channel] * step
            ahead, behind = (
                loss(wide, **{moved: (weight if moved == "w" else bias) + sign * move})
                for sign in (1, -1)
            )
            # A rank's sums are float32, of at most 42 terms below 8.
            assert abs(summed[channel] - (ahead - behind) / (2 * step)) < 1e-4


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = vq.models.SQVAE(vq.VectorQuant(8, 16), image_size=28, channels=1, width=8)

    def forward(self, x: Any) -> Any:
        return self.inner(x)


def test_batch_norms_inside_native_networks_take_part() -> None:
    images = RANDOM.random((7, 8, 8, 1), dtype=np.float32)
    vq.manual_seed(0)
    whole = Network()
    layers = [copy.deepcopy(whole) for _ in range(2)]
    for layer in layers:
        distributed.synchronize_batch_norms(layer)
    layers[1] = copy.deepcopy(layers[1])  # a copy stays synchronized

    def run(model: Network, x: np.ndarray) -> Any:
        z = model.inner.encoder(x)
        z.square().sum().backward()
        return z.numpy(), [p.grad.numpy() for p in model.inner.encoder.parameters()]

    expected = run(whole, images)
    found = on_ranks(2, lambda rank: run(layers[rank], (images[:5], images[5:])[rank]))
    z = np.concatenate([each[0] for each in found])
    # Six layers, each of a few units in the last place of values below 8.
    np.testing.assert_allclose(z, expected[0], rtol=0, atol=2e-5)
    for i, gradient in enumerate(expected[1]):
        largest = np.abs(gradient).max()
        summed = found[0][1][i] + found[1][1][i]
        np.testing.assert_allclose(summed, gradient, rtol=0, atol=1e-4 * max(largest, 1))
    for name, buffer in layers[0].named_buffers():
        other = dict(layers[1].named_buffers())[name].numpy()
        if "running" in name:
            assert np.array_equal(buffer.numpy(), other)
            one = dict(whole.named_buffers())[name].numpy()
            np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-6)


def test_one_process_computes_as_before() -> None:
    x = RANDOM.normal(size=(6, CHANNELS)).astype(np.float32)
    plain, other = norm(True), norm(True)
    distributed.synchronize_batch_norms(other)
    results = []
    for layer in (plain, other):
        here = vq.Tensor(x, requires_grad=True)
        y = layer(here)
        y.square().sum().backward()
        assert here.grad is not None
        results.append([y.numpy(), here.grad.numpy(), *layer.state_dict().values()])
    assert all(np.array_equal(a, b) for a, b in zip(*results, strict=True))


def test_too_few_vectors_on_all_ranks_are_refused() -> None:
    for counts, message in (((1, 0), "more than one value"), ((0, 0), "no elements")):
        layers = [norm(False) for _ in counts]
        for layer in layers:
            distributed.synchronize_batch_norms(layer)

        def body(
            rank: int, layers: Sequence[Any] = layers, counts: Any = counts, message: str = message
        ) -> None:
            with pytest.raises(ValueError, match=message):
                layers[rank](np.ones((counts[rank], CHANNELS), np.float32))

        on_ranks(2, body)
        assert all(not layer.state_dict()["0.running_mean"].any() for layer in layers)


def test_a_rank_that_is_lost_ends_the_forward() -> None:
    layer = norm(False)
    distributed.synchronize_batch_norms(layer)

    def body(rank: int) -> None:
        if rank == 0:
            layer(np.ones((4, CHANNELS), np.float32))

    with pytest.raises(distributed.PeerLost):
        on_ranks(2, body, timeout=0.2)
    with distributed.alone():
        layer(np.ones((4, CHANNELS), np.float32))


def test_a_count_that_cannot_be_is_refused() -> None:
    layer = nn.BatchNorm(CHANNELS)
    for count in (3.0, float("nan"), float("inf")):
        found = np.full(1 + 2 * CHANNELS, count)
        assert _core.module_exchange_moments(layer._handle, lambda *_, found=found: found) == 1
        with pytest.raises(ValueError, match="at least this part's 4, and at most 2"):
            layer(np.ones((4, CHANNELS), np.float32))
    assert not layer.running_mean.numpy().any()


def test_a_model_without_batch_norms_is_refused() -> None:
    with pytest.raises(ValueError, match="Linear has no batch norm"):
        distributed.synchronize_batch_norms(nn.Linear(2, 2))


IMAGES = RANDOM.random((24, 8, 8, 3), dtype=np.float32)


class Autoencoder(nn.Module):
    def __init__(self, start: str) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 8, 4, stride=2, padding=1), nn.BatchNorm(8), nn.ReLU()
        )
        self.quantizer = vq.VectorQuant(8, 16, init=start)
        self.decoder = nn.ConvTranspose2d(8, 3, 4, stride=2, padding=1)

    def forward(self, x: Any) -> Any:
        z_q, info = self.quantizer(self.encoder(x))
        return self.decoder(z_q), info


def trainer(synchronized: bool, start: str = "normal", **options: Any) -> train.Trainer:
    vq.manual_seed(0)
    model = Autoencoder(start)
    if synchronized:
        distributed.synchronize_batch_norms(model)
    optimizer = vq.optim.SGD(model.parameters(), lr=1e-2)
    batches = Batches(IMAGES, batch_size=options.pop("batch_size", 11), seed=1, **options)
    return train.Trainer(model, optimizer, batches)


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("start", ["normal", "kmeans"])
def test_a_trainer_over_ranks_follows_one_process(size: int, start: str) -> None:
    one = trainer(False, start, drop_last=True)
    expected = [step.loss for step in one.fit(4, progress=False)]
    trainers = [trainer(True, start, drop_last=True) for _ in range(size)]
    found = on_ranks(size, lambda rank: trainers[rank].fit(4, progress=False))
    states = [each.model.state_dict() for each in trainers]
    for rank in range(size):
        if start == "normal":  # a k-means start sees a batch of its own over ranks
            np.testing.assert_allclose([s.loss for s in found[rank]], expected, rtol=1e-5)
        assert all(np.array_equal(states[rank][n], states[0][n]) for n in states[0])
    if start == "normal":
        for name in ("running_mean", "running_var"):
            own, other = (t.model.state_dict()[f"encoder.1.{name}"] for t in (one, trainers[0]))
            np.testing.assert_allclose(other, own, rtol=1e-5, atol=1e-6)
    assert states[0]["encoder.1.num_batches_tracked"] == 4


def refused(make: Callable[[], train.Trainer], size: int, steps: int, message: str) -> None:
    trainers = [make() for _ in range(size)]

    def body(rank: int) -> None:
        with pytest.raises(ValueError, match=message):
            trainers[rank].fit(steps, progress=False)

    on_ranks(size, body)


def test_a_batch_that_leaves_a_rank_empty_is_refused() -> None:
    def make() -> train.Trainer:
        return trainer(True, drop_last=False)  # 11, 11 and 2 samples

    refused(make, 3, 3, "a batch of 2 samples on 3 ranks leaves one without any")


def test_several_blocks_a_rank_are_refused() -> None:
    def make() -> train.Trainer:
        found = trainer(True)
        found.blocks = 4
        return found

    refused(make, 2, 1, "blocks = 4 on 2 ranks: batch norms that are synchronized")
