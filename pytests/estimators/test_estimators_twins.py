"""Change points and twins against a record of everything, in plain loops."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from hypothesis import given, settings
from hypothesis import strategies as st
from test_estimators import rounded
from vqswift import Tensor, estimators, nn, optim
from vqswift.estimators import TwinTrainer, quantize_model, quantized_layers, to_ste
from vqswift.estimators._change_points import ChangePoints, compress

LISTS = settings(max_examples=200, deadline=None, derandomize=True)


def changes(values: list[int]) -> list[int]:
    """The first value and each that differs from the one before."""
    return [v for i, v in enumerate(values) if i == 0 or v != values[i - 1]]


def compressed(values: list[int]) -> list[int]:
    """a,b,a,b becomes a,b wherever it stands, until it stands nowhere."""
    values = list(values)
    while True:
        starts = (i for i in range(len(values) - 3) if values[i : i + 2] == values[i + 2 : i + 4])
        start = next(starts, None)
        if start is None:
            return values
        del values[start : start + 2]


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([], []),
        ([1], [1]),
        ([1, 2, 1], [1, 2, 1]),
        ([1, 2, 1, 2], [1, 2]),
        ([1, 2, 1, 2, 1], [1, 2, 1]),
        ([0, 1, 2, 1, 2, 1, 2, 3], [0, 1, 2, 3]),
        ([1, 2, 1, 2, 3, 2, 3, 2], [1, 2, 3, 2]),
    ],
)
def test_compressed_lists(values: list[int], wanted: list[int]) -> None:
    assert compress(values) == wanted == compressed(values)


@LISTS
@given(st.lists(st.integers(0, 3), max_size=24))
def test_compression_equals_repeated_replacement(values: list[int]) -> None:
    listed = changes(values)
    assert compress(listed) == compressed(listed)
    assert compress(compress(listed)) == compress(listed)


@LISTS
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 12),
    st.integers(0, 15),
    st.sampled_from([2, 3, 65536]),
)
def test_change_points_equal_the_lists(seed: int, size: int, steps: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    mine = rng.integers(levels, size=(steps + 1, size)).astype(np.int32)
    theirs = np.where(rng.random(mine.shape) < 0.8, mine, rng.integers(levels, size=mine.shape))
    theirs = theirs.astype(np.int32)
    shape = (size, 1)
    pair = []
    for history in (mine, theirs):
        points = ChangePoints(history[0].reshape(shape))
        for codes in history[1:]:
            points.update(codes.reshape(shape))
        pair.append(points)
    lists = [[changes(column.tolist()) for column in history.T] for history in (mine, theirs)]
    for points, listed in zip(pair, lists, strict=True):
        assert points.count == sum(len(values) - 1 for values in listed)
    equal = sum(a == b for a, b in zip(*lists, strict=True))
    alike = sum(compressed(a) == compressed(b) for a, b in zip(*lists, strict=True))
    assert pair[0].agreement(pair[1]) == pair[1].agreement(pair[0]) == (equal, alike)
    assert pair[0].agreement(pair[0]) == (size, size)


# Twins


def network(seed: int = 1) -> nn.Sequential:
    source = vq.Generator(seed)
    model = nn.Sequential(
        nn.Linear(6, 10, generator=source), nn.Tanh(), nn.Linear(10, 4, generator=source)
    )
    return quantize_model(model, bits=2)


def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(3)
    while True:
        yield rng.normal(size=(16, 6)).astype(np.float32), rng.integers(4, size=16).astype(np.int32)


def validation() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    return rng.normal(size=(101, 6)).astype(np.float32), rng.integers(4, size=101).astype(np.int32)


def schedule(step: int) -> float:
    return 1 / (1 + 0.1 * step)


def members() -> dict[str, tuple[nn.Sequential, optim.Optimizer]]:
    """A model, its straight-through form, itself at another rate and one of another start."""
    made = {}
    for name in ("model", "straight", "jitter", "foreign"):
        model = network(2 if name == "foreign" else 1)
        rate = 0.35 if name == "jitter" else 0.3
        optimizer = optim.SGD(
            [
                {"params": model[0].parameters()},
                {"params": model[2].parameters(), "lr": rate / 2},
            ],
            lr=rate,
            momentum=0.5,
        )
        if name == "straight":
            to_ste(model, optimizer)
        made[name] = (model, optimizer)
    return made


class Everything:
    """Trains alone and keeps every latent weight, code, loss and prediction."""

    def __init__(self, model: nn.Sequential, optimizer: optim.Optimizer) -> None:
        self.model, self.optimizer = model, optimizer
        self.rates = optimizer.lrs
        self.bounds = [(6 / 6) ** 0.5, (6 / 10) ** 0.5]
        self.history = [self.latent()]
        self.losses: list[float] = []
        self.classes: list[np.ndarray] = []

    def latent(self) -> list[np.ndarray]:
        return [self.model[i].weight.numpy().astype(np.float64) for i in (0, 2)]

    def train(self, stream: Iterator[Any], count: int) -> None:
        for _ in range(count):
            x, y = next(stream)
            self.optimizer.lrs = [rate * schedule(len(self.losses)) for rate in self.rates]
            self.optimizer.zero_grad()
            loss = nn.functional.cross_entropy(self.model(Tensor(x)), Tensor(y))
            loss.backward()
            self.optimizer.step()
            self.losses.append(loss.item())
            self.history.append(self.latent())

    def evaluate(self) -> None:
        with vq.no_grad():
            self.classes.append(self.model(Tensor(validation()[0])).numpy().argmax(-1))

    def travelled(self) -> float:
        pairs = zip(self.history, self.history[1:], strict=False)
        return sum(
            np.abs(b - a).sum() / m
            for before, after in pairs
            for a, b, m in zip(before, after, self.bounds, strict=True)
        )

    def quantized(self) -> list[list[float]]:
        """For each weight its quantized value at every step."""
        columns = []
        for layer, bound in enumerate(self.bounds):
            steps = np.array([rounded(latent[layer], 2, bound).ravel() for latent in self.history])
            columns += steps.T.tolist()
        return columns


def test_twins_measure_what_a_record_of_everything_says() -> None:
    made = members()
    trainer = TwinTrainer(*made["model"], schedule=schedule)
    for name in ("straight", "jitter", "foreign"):
        trainer.add(name, *made[name], warped=name == "straight")
    stream, (images, labels) = batches(), validation()
    alone = {name: Everything(*pair) for name, pair in members().items()}
    streams = {name: batches() for name in alone}
    parts: dict[str, list[dict[str, float | None]]] = {n: [] for n in alone}
    for count in (0, 7, 25):
        trainer.fit(stream, count)
        trainer.evaluate(images, labels, batch_size=40)
        for name, one in alone.items():
            one.train(streams[name], count)
            one.evaluate()
        first = alone["model"]
        for name, one in alone.items():
            wrong = (first.classes[-1] != labels) & (one.classes[-1] != labels)
            same = first.classes[-1] == one.classes[-1]
            raw = warped = 0.0
            for layer, w, u, m in zip(
                quantized_layers(made["model"][0]),
                first.latent(),
                one.latent(),
                one.bounds,
                strict=True,
            ):
                moved = layer.quantizer.estimator.warp(w) if name == "straight" else w
                raw += np.abs(w - u).sum() / m
                warped += np.abs(moved - u).sum() / m
            now, then = np.array(first.quantized())[:, -1], np.array(one.quantized())[:, -1]
            parts[name].append(
                {
                    "step": len(one.losses),
                    "alignment_error": warped / (one.travelled() or math.nan),
                    "raw_error": raw / (one.travelled() or math.nan),
                    "weight_agreement": (now == then).mean(),
                    "inference_agreement": same.mean(),
                    "incorrect_agreement": same[wrong].mean() if wrong.any() else None,
                    "accuracy": (first.classes[-1] == labels).mean(),
                    "twin_accuracy": (one.classes[-1] == labels).mean(),
                    "loss": np.mean(first.losses[-count:]) if count else math.nan,
                    "twin_loss": np.mean(one.losses[-count:]) if count else math.nan,
                }
            )
    for name in ("straight", "jitter", "foreign"):
        report = trainer.report(name)
        assert len(report.records) == 3 and report.last is report.records[-1]
        for record, wanted in zip(report.records, parts[name], strict=True):
            for key, value in wanted.items():
                # Steps of float32 weights are summed in Float64 of float32 differences.
                assert getattr(record, key) == pytest.approx(value, rel=1e-6, nan_ok=True), key
        lists = [[changes(v) for v in alone[n].quantized()] for n in ("model", name)]
        total = len(lists[0])
        equal = sum(a == b for a, b in zip(*lists, strict=True))
        alike = sum(compressed(a) == compressed(b) for a, b in zip(*lists, strict=True))
        assert report.change_agreement == equal / total
        assert report.compressed_change_agreement == alike / total
        assert report.change_points == tuple(sum(len(v) - 1 for v in part) for part in lists)
        curves = np.array([[r["accuracy"], r["twin_accuracy"]] for r in parts[name]]).T
        assert report.validation_correlation == pytest.approx(np.corrcoef(curves)[0, 1])
        for kept, w, u in zip(
            trainer.weights(name), alone["model"].latent(), alone[name].latent(), strict=True
        ):
            assert np.array_equal(kept.w, w.ravel()) and np.array_equal(kept.u, u.ravel())
    assert [kept.layer for kept in trainer.weights("jitter")] == ["0", "2"]
    assert trainer.steps == 32
    # The data can tell the twins apart.
    straight, jitter, foreign = (trainer.report(n).last for n in ("straight", "jitter", "foreign"))
    assert straight.alignment_error < straight.raw_error
    assert max(straight.alignment_error, jitter.alignment_error) < foreign.alignment_error


def test_a_twin_that_is_the_same_agrees_in_everything() -> None:
    model, optimizer = members()["model"]
    trainer = TwinTrainer(model, optimizer)
    trainer.add("same", *members()["model"])
    trainer.fit(batches(), 5)
    trainer.evaluate(*validation())
    report = trainer.report("same")
    assert report.last.alignment_error == report.last.raw_error == 0
    assert report.last.weight_agreement == report.last.inference_agreement == 1
    assert report.change_agreement == report.compressed_change_agreement == 1
    assert report.validation_correlation is None
    assert report.last.loss == report.last.twin_loss


def test_without_a_schedule_the_rates_stay() -> None:
    (model, optimizer), twin = members()["model"], members()["jitter"]
    trainer = TwinTrainer(model, optimizer)
    trainer.add("twin", *twin)
    trainer.fit(batches(), 2)
    assert optimizer.lrs == [np.float64(0.3), 0.15] and twin[1].lrs == [0.35, 0.175]


def test_any_loss() -> None:
    calls = []

    def squared(output: Tensor, labels: Tensor) -> Tensor:
        calls.append(output.shape)
        return output.square().mean()

    trainer = TwinTrainer(*members()["model"], loss=squared)
    trainer.add("twin", *members()["jitter"])
    trainer.fit(batches(), 3)
    assert calls == [(16, 4)] * 6


def test_training_and_evaluation_modes() -> None:
    model, optimizer = members()["model"]
    trainer = TwinTrainer(model, optimizer)
    trainer.add("twin", *members()["jitter"])
    trainer.evaluate(*validation())
    assert not model.training
    trainer.fit(batches(), 1)
    assert model.training


# Errors


def trainer_of_one() -> TwinTrainer:
    return TwinTrainer(*members()["model"])


def test_a_twin_with_other_layers_is_refused() -> None:
    source = vq.Generator(1)
    other = nn.Sequential(nn.Linear(6, 11, generator=source), nn.Tanh(), nn.Linear(11, 4))
    quantize_model(other)
    with pytest.raises(ValueError, match=r"\[twins\] wide: .*\(11, 6\).*must be .*\(10, 6\)"):
        trainer_of_one().add("wide", other, optim.SGD(other.parameters(), lr=0.1))
    part = network()
    quantized_layers(part)[1].quantizer = None
    with pytest.raises(ValueError, match=r"\[twins\] part: quantized layers .*must be"):
        trainer_of_one().add("part", part, optim.SGD(part.parameters(), lr=0.1))


@pytest.mark.parametrize("name", ["twin", "model"])
def test_a_name_that_is_taken_is_refused(name: str) -> None:
    trainer = trainer_of_one()
    trainer.add("twin", *members()["jitter"])
    with pytest.raises(ValueError, match=rf"\[twins\] '{name}' is there already"):
        trainer.add(name, *members()["jitter"])


def test_a_twin_after_the_first_step_is_refused() -> None:
    trainer = trainer_of_one()
    trainer.fit(batches(), 2)
    with pytest.raises(ValueError, match=r"\[twins\] 'late' comes after 2 steps: add it before"):
        trainer.add("late", *members()["jitter"])


def test_a_model_without_a_grid_is_refused() -> None:
    plain = nn.Linear(2, 2)
    optimizer = optim.SGD(plain.parameters(), lr=0.1)
    with pytest.raises(ValueError, match=r"\[twins\] model: the model has no quantized layer"):
        TwinTrainer(plain, optimizer)
    learned = network()
    quantized_layers(learned)[0].quantizer = estimators.LSQ(2)
    with pytest.raises(ValueError, match=r"\[twins\] model: 0 has a LSQ, and no grid"):
        TwinTrainer(learned, optimizer)


@pytest.mark.parametrize("bad", ["model", "twin"])
def test_a_loss_that_is_not_finite_stops(bad: str) -> None:
    made = {"model": members()["model"], "twin": members()["jitter"]}
    trainer = TwinTrainer(*made["model"])
    trainer.add("twin", *made["twin"])
    trainer.fit(batches(), 1)
    made[bad][0][2].bias.assign(np.full(4, np.nan, np.float32))
    with pytest.raises(FloatingPointError, match=rf"\[twins\] {bad}: the loss is nan"):
        trainer.fit(batches(), 1)
    assert trainer.steps == 1


def test_a_name_that_is_not_there() -> None:
    trainer = trainer_of_one()
    trainer.add("twin", *members()["jitter"])
    for method in (trainer.report, trainer.weights):
        with pytest.raises(ValueError, match=r"\[twins\] 'ghost': there are twin"):
            method("ghost")


def test_a_warp_that_is_not_there_is_refused_at_once() -> None:
    made = []
    for _ in range(2):
        model = quantize_model(network(), estimator="ewgs")
        made.append((model, optim.SGD(model.parameters(), lr=0.1)))
    trainer = TwinTrainer(*made[0])
    with pytest.raises(ValueError, match=r"\[twins\] twin: warped, but 0 has no warp: ewgs"):
        trainer.add("twin", *made[1], warped=True)
    trainer.add("twin", *made[1])
    trainer.fit(batches(), 1)
    trainer.evaluate(*validation())
