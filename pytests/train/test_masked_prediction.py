"""Training a MaskGIT: its loss, what is hidden, runs that go on, a rule that is learned."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift import data, train

CODES = 6


class Noted(vq.nn.Module):
    """Given logits [n, length, k]; it notes the codes and classes that it is called with."""

    def __init__(self, logits: np.ndarray) -> None:
        super().__init__()
        self.logits = vq.nn.Parameter(logits)

    def forward(self, codes: Any, labels: Any = None) -> vq.Tensor:
        self.codes, self.labels = codes, labels
        return self.logits


def noted(n: int, length: int, codes: int = CODES) -> Noted:
    return Noted(np.random.default_rng(1).normal(size=(n, length, codes)).astype(np.float32))


def places(n: int, length: int) -> np.ndarray:
    return np.random.default_rng(2).integers(CODES, size=(n, length))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_loss_and_gradient_are_the_formulas(smoothing: float) -> None:
    """The targets 1 - e + e / k and e / k, the mean of each sample's hidden codes, of the batch."""
    n, length = 5, 12
    model, codes = noted(n, length), places(n, length)
    objective = train.MaskedPrediction(smoothing, generator=vq.Generator(3))
    found = objective(model, codes)
    found.loss.backward()
    hidden = model.codes < 0
    np.testing.assert_array_equal(model.codes[~hidden], codes[~hidden])
    assert len(set(hidden.sum(1))) > 1
    logits = model.logits.numpy().astype(np.float64)
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    targets = (1 - smoothing) * np.eye(CODES)[codes] + smoothing / CODES
    losses, gradient = np.zeros(n), np.zeros(logits.shape)
    for row in range(n):
        own = [-(targets[row, t] * np.log(p[row, t])).sum() for t in np.flatnonzero(hidden[row])]
        losses[row] = np.mean(own)
        gradient[row, hidden[row]] = (p - targets)[row, hidden[row]] / len(own) / n
    assert found.loss.item() == pytest.approx(losses.mean(), rel=1e-6)
    assert found.task_loss.item() == found.loss.item() and found.info.loss.item() == 0
    np.testing.assert_allclose(model.logits.grad.numpy(), gradient, atol=1e-8, rtol=1e-5)
    right = logits.argmax(-1)[hidden] == codes[hidden]
    assert found.values == {"accuracy": pytest.approx(right.mean())}


def test_hidden_codes_are_the_cosines_share() -> None:
    n, length = 2000, 40
    model = noted(n, length, 2)
    train.MaskedPrediction(generator=vq.Generator(4))(model, np.zeros((n, length), np.int32))
    hidden = model.codes < 0
    r = vq.Generator(4).uniform((n,)).numpy().astype(np.float64)
    wanted = [max(math.ceil(length * math.cos(math.pi * x / 2)), 1) for x in r]
    np.testing.assert_array_equal(hidden.sum(1), wanted)
    # The share's mean is 2 / pi, and half a code more by rounding up; places are alike.
    share = 2 / math.pi + 0.5 / length
    assert abs(hidden.mean() - share) < 5 * math.sqrt((0.5 - 4 / math.pi**2) / n)
    assert (np.abs(hidden.mean(0) - share) < 5 * math.sqrt(share * (1 - share) / n)).all()


def test_a_single_code_is_always_hidden() -> None:
    model = noted(50, 1)
    train.MaskedPrediction()(model, np.zeros((50, 1), np.int32))
    assert (model.codes == -1).all()


def test_classes_are_dropped_at_times() -> None:
    n, labels = 4000, np.arange(4000) % 3
    model = noted(n, 2, 2)
    train.MaskedPrediction(class_drop=0.1)(model, (np.zeros((n, 2), np.int32), labels))
    dropped = model.labels == -1
    np.testing.assert_array_equal(model.labels[~dropped], labels[~dropped])
    assert abs(dropped.mean() - 0.1) < 5 * math.sqrt(0.09 / n)
    train.MaskedPrediction(class_drop=0.0)(model, (np.zeros((n, 2), np.int32), labels))
    np.testing.assert_array_equal(model.labels, labels)
    train.MaskedPrediction()(model, np.zeros((n, 2), np.int32))
    assert model.labels is None


def test_maps_and_floats_are_codes_too() -> None:
    codes, found = places(3, 12), []
    for given in (codes, codes.reshape(3, 4, 3).astype(np.float32), vq.Tensor(codes)):
        model = noted(3, 12)
        objective = train.MaskedPrediction(generator=vq.Generator(1))
        found.append((objective(model, given).loss.item(), model.codes.tolist()))
    assert found[0] == found[1] == found[2]


def trainer(seed: int = 0, **options) -> train.Trainer:
    vq.manual_seed(seed)
    model = vq.models.MaskGIT(CODES, 4, classes=2, width=8, depth=2, heads=2, hidden=8, dropout=0.2)
    optimizer = vq.optim.AdamW(model.parameters(), lr=1e-2)
    codes = places(24, 4).astype(np.float32)
    batches = data.Batches(codes, np.arange(24) % 2, batch_size=8, value_range=None)
    options = {"objective": train.MaskedPrediction()} | options
    return train.Trainer(model, optimizer, batches, **options)


def test_a_resumed_run_continues_bit_for_bit(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    whole = trainer()
    history = whole.fit(7, progress=False)
    first = trainer()
    first.fit(3, progress=False)
    train.save_trainer(first, path)
    second = trainer()
    train.load_trainer(second, path)
    assert second.objective.generator.counter == first.objective.generator.counter > 0
    rest = second.fit(4, progress=False)
    assert [m.loss for m in rest] == [m.loss for m in history[3:]]
    for wanted, found in (
        (whole.model.state_dict(), second.model.state_dict()),
        (whole.model.rng_state_dict(), second.model.rng_state_dict()),
        (whole.objective.rng_state_dict(), second.objective.rng_state_dict()),
        (whole.optimizer.state_dict(), second.optimizer.state_dict()),
    ):
        assert wanted.keys() == found.keys()
        assert all(np.array_equal(wanted[name], found[name]) for name in wanted)


def test_an_objective_of_another_kind_is_refused(tmp_path: Path) -> None:
    drawing, other = tmp_path / "drawing.safetensors", tmp_path / "other.safetensors"

    def plain(model: Any, batch: Any) -> train.Objective:
        return train.MaskedPrediction(generator=vq.Generator(1))(model, batch)

    run, own = trainer(), trainer(objective=plain)
    train.save_trainer(run, drawing)
    train.save_trainer(own, other)
    before = own.model.state_dict()
    with pytest.raises(ValueError, match="an objective's state in it, unlike the trainer"):
        train.load_trainer(own, drawing)
    with pytest.raises(ValueError, match=r"names \[\]: they must be \['generator'\]"):
        train.load_trainer(run, other)
    foreign = trainer(objective=train.MaskedPrediction(generator=vq.Generator(8)))
    with pytest.raises(ValueError, match="generator: it must come from the same seed and stream"):
        train.load_trainer(foreign, drawing)
    assert all(np.array_equal(value, own.model.state_dict()[n]) for n, value in before.items())
    train.load_trainer(own, other)


def test_a_rule_is_learned_and_followed() -> None:
    """All codes of a sample are equal, and of its class modulo 4."""
    own = np.random.default_rng(0).integers(16, size=1024)
    codes = np.repeat(own[:, None], 9, 1).astype(np.float32)
    vq.manual_seed(0)
    model = vq.models.MaskGIT(16, 9, classes=4, width=64, depth=2, heads=4, hidden=128, dropout=0.0)
    run = train.Trainer(
        model,
        vq.optim.AdamW(model.parameters(), lr=2e-3, betas=(0.9, 0.96)),
        data.Batches(codes, own % 4, batch_size=32, value_range=None),
        objective=train.MaskedPrediction(label_smoothing=0.0),
        schedule=vq.optim.cosine_schedule(200, warmup_steps=20),
    )
    history = run.fit(200, progress=False)
    # Of 16 codes that nothing tells apart the loss would be 2.77, and of four that are all hidden
    # 1.39, which is the least there: with a share of 2 / pi arccos(8 / 9) that is 0.42 in all.
    assert np.mean([metrics.loss for metrics in history[-20:]]) < 0.9
    labels = np.arange(200) % 4
    for options, least in (({"order": "confidence"}, 13), ({"guidance": 1.0}, 4)):
        made = vq.models.generate(
            model, labels=labels, steps=8, temperature=0.5, generator=vq.Generator(1), **options
        ).numpy()
        assert (made == made[:, :1]).all(1).mean() > 0.9
        assert (made % 4 == labels[:, None]).mean() > 0.95
        assert len(set(made[:, 0])) >= least
    # A code that is given says the others, of another class too.
    given = np.full((16, 9), -1)
    given[:, 4] = np.arange(16)
    filled = vq.models.generate(
        model, codes=given, labels=np.arange(16) % 4, steps=4, temperature=0.5
    ).numpy()
    np.testing.assert_array_equal(filled[:, 4], np.arange(16))
    assert (filled == np.arange(16)[:, None]).mean() > 0.9


@pytest.mark.parametrize(
    ("call", "exception", "text"),
    [
        (lambda: train.MaskedPrediction(1.5), ValueError, "label_smoothing = 1.5: must be in 0"),
        (lambda: train.MaskedPrediction(0.1, -0.1), ValueError, "class_drop = -0.1: must be in"),
        (
            lambda: train.MaskedPrediction()(noted(2, 3), np.full((2, 3), 0.5)),
            TypeError,
            "[masked_prediction] codes is an array of float64 of shape [2, 3]: an array of integ",
        ),
        (
            lambda: train.MaskedPrediction()(noted(2, 3), np.zeros(3, np.int32)),
            ValueError,
            "[masked_prediction] codes of shape [3]: [n, ...] is required, at least one",
        ),
        (
            lambda: train.MaskedPrediction()(noted(2, 3), [[0, -1, 2]]),
            ValueError,
            "[masked_prediction] codes hold -1: none may be hidden already",
        ),
        (
            lambda: train.MaskedPrediction()(noted(2, 3), (places(2, 3), np.zeros(3, np.int32))),
            ValueError,
            "[masked_prediction] labels of shape [3]: one for each of 2 samples is required",
        ),
    ],
)
def test_what_does_not_fit(call, exception: type[Exception], text: str) -> None:
    with pytest.raises(exception) as caught:
        call()
    assert text in str(caught.value)
