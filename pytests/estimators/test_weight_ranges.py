"""The range of weight quantizers: what weights it follows, and the share that it clips."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift import Tensor, estimators, nn, optim
from vqswift.estimators import WeightQuantizer, he_bound, quantize_model, weighted_layers


def linear(weight: np.ndarray) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight.assign(weight)
    return layer


def normal(*shape: int, scale: float = 1.0, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=shape) * scale).astype(np.float32)


def quantized(w: np.ndarray, bound: Any, bits: int) -> np.ndarray:
    """Q(w) in Float64."""
    w, bound = w.astype(np.float64), np.asarray(bound, np.float64)
    spacing = 2 * bound / (2**bits - 1)
    return spacing * np.round((np.clip(w, -bound, bound) + bound) / spacing) - bound


def bound_of(model: nn.Module) -> Any:
    (layer,) = weighted_layers(model)
    return layer.quantizer.bounds


WEIGHTS = {
    "wide": normal(6, 9, scale=1.5),
    "narrow": normal(6, 9, scale=0.05),
    "outlier": np.where(np.arange(54) == 7, 9.0, normal(54, scale=0.3)).reshape(6, 9),
    "He's": np.random.default_rng(1).uniform(-((6 / 9) ** 0.5), (6 / 9) ** 0.5, (6, 9)),
}


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("weights", WEIGHTS)
def test_ranges_are_their_rules(weights: str, bits: int) -> None:
    w = WEIGHTS[weights].astype(np.float32)
    he, largest = he_bound(w.shape), float(np.abs(w).max())

    def error(bound: float) -> float:
        return float(((quantized(w, bound, bits) - w) ** 2).sum())

    automatic = largest if error(largest) < 0.75 * error(he) else he
    least = min((largest * step / 40 for step in range(1, 41)), key=error)
    for name, expected in (("he", he), ("max", largest), ("mse", least), ("auto", automatic)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = quantize_model(linear(w), bits=bits, estimator="ste", range=name)
        assert bound_of(model) == pytest.approx(expected, rel=1e-7), name
        (layer,) = weighted_layers(model)
        beyond = float((np.abs(w.astype(np.float64)) > expected * (1 + 1e-7)).mean())
        assert layer.clipped_share == pytest.approx(beyond), name
        values = layer.quantizer(Tensor(w)).numpy()
        # Float64 inside; one rounding to float32, and the bound's.
        np.testing.assert_allclose(values, quantized(w, bound_of(model), bits), rtol=1e-6)


@pytest.mark.parametrize("range_", ["max", "mse", "auto"])
@pytest.mark.parametrize("estimator", ["ste", "dsq", "cosine", "mad", "clipped_ste"])
def test_channels_have_grids_of_their_own(range_: str, estimator: str) -> None:
    w = normal(5, 7) * np.float32([[0.01], [0.3], [1], [4], [50]])
    layer = linear(w)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantize_model(layer, bits=4, estimator=estimator, range=range_, per_channel=True)
    (whole,) = weighted_layers(layer)
    pull = normal(5, 7, seed=3)
    given = Tensor(w, requires_grad=True)
    (whole.quantizer(given) * pull).sum().backward()
    for row in range(5):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            alone = quantize_model(
                linear(w[row : row + 1]), bits=4, estimator=estimator, range=range_
            )
        (single,) = weighted_layers(alone)
        assert bound_of(layer)[row] == bound_of(alone)
        part = Tensor(w[row : row + 1], requires_grad=True)
        (single.quantizer(part) * pull[row : row + 1]).sum().backward()
        assert np.array_equal(whole.quantizer(w).numpy()[row], single.quantizer(part).numpy()[0])
        assert np.array_equal(given.grad.numpy()[row], part.grad.numpy()[0])
        assert np.array_equal(
            whole.quantizer.codes(Tensor(w)).numpy()[row], single.quantizer.codes(part).numpy()[0]
        )
        exact = w.astype(np.float64)
        for name in ("quantize", "derivative", "warp"):
            found = getattr(whole.quantizer.estimator, name)(exact)[row]
            assert np.array_equal(found, getattr(single.quantizer.estimator, name)(exact[row]))
    assert whole.quantizer.estimator.alpha == pytest.approx(single.quantizer.estimator.alpha)


def test_weights_as_they_were_made_have_hes_bound() -> None:
    for layer in (nn.Linear(9, 4), nn.Conv2d(3, 4, 3)):
        quantize_model(layer, bits=8)
        assert bound_of(layer) == he_bound(layer.weight.shape)
    net = quantize_model(vq.models.mnist_net_a(), bits=2, layers="conv")
    for found in estimators.quantized_layers(net):
        assert found.quantizer.bounds == he_bound(found.weight.shape)


def wide() -> np.ndarray:
    return normal(4, 9, scale=3)


GIVEN: dict[str, Callable[[nn.Module, np.ndarray], None]] = {
    "assign": lambda layer, w: layer.weight.assign(w),
    "load": lambda layer, w: layer.load_state_dict({"weight": w}, strict=False),
}


@pytest.mark.parametrize("give", GIVEN.values(), ids=GIVEN)
@pytest.mark.parametrize("range_", ["max", "auto"])
def test_weights_that_are_given_later_are_not_clipped(
    give: Callable[[nn.Module, np.ndarray], None], range_: str
) -> None:
    layer = quantize_model(nn.Linear(9, 4), bits=8, range=range_)
    give(layer, wide())
    (found,) = weighted_layers(layer)
    assert found.clipped_share == 0
    assert bound_of(layer) == np.abs(wide()).max()


def test_training_leaves_the_range_and_a_state_brings_it(tmp_path: Path) -> None:
    layer = quantize_model(linear(wide()), bits=8)
    bound = bound_of(layer)
    layer.weight.grad = Tensor(np.full((4, 9), -100.0))
    optim.SGD([layer.weight], lr=1.0).step()
    assert bound_of(layer) == bound
    (found,) = weighted_layers(layer)
    assert found.clipped_share == 1
    vq.save(tmp_path / "q.safetensors", layer.state_dict())
    other = quantize_model(nn.Linear(9, 4), bits=8)
    assert bound_of(other) != bound
    other.load_state_dict(vq.load(tmp_path / "q.safetensors")[0])
    assert bound_of(other) == bound
    x = normal(3, 9, seed=5)
    assert np.array_equal(layer(x).numpy(), other(x).numpy())
    found.quantizer.fit(layer.weight)
    assert found.clipped_share == 0


def test_initial_weights_add_nothing_to_the_state_until_they_move() -> None:
    """A run that began with He's bound resumes with it, however its weights have grown."""
    layer = quantize_model(nn.Linear(9, 4), bits=8)
    assert {*layer.state_dict()} == {"weight", "bias"}
    layer.weight.grad = Tensor(np.full((4, 9), -100.0))
    optim.SGD([layer.weight], lr=1.0).step()
    assert bound_of(layer) == he_bound((4, 9))
    other = quantize_model(nn.Linear(9, 4), bits=8)
    other.load_state_dict(layer.state_dict())
    assert bound_of(other) == he_bound((4, 9))
    assert other.state_dict().keys() == layer.state_dict().keys()


@pytest.mark.parametrize("strict", [False, True])
def test_a_plain_state_loads_into_a_quantized_model(strict: bool) -> None:
    plain = linear(wide())
    for written in (False, True):
        layer = quantize_model(nn.Linear(9, 4), bits=8)
        if written:
            layer.weight.assign(normal(4, 9))
        layer.load_state_dict(plain.state_dict(), strict=strict)
        assert bound_of(layer) == np.abs(wide()).max()


def test_a_range_of_zeros_is_hes() -> None:
    for name in ("max", "mse", "auto"):
        layer = quantize_model(linear(np.zeros((4, 9), np.float32)), bits=8, range=name)
        assert bound_of(layer) == he_bound((4, 9))
        assert np.isfinite(layer(np.ones((1, 9))).numpy()).all()


def test_clipped_weights_are_told() -> None:
    model = nn.Sequential(linear(wide()), nn.ReLU(), linear(normal(2, 4, scale=0.1)))
    told = r"clipped: 0 \d+\.\d%; range='max' clips none"
    with pytest.warns(RuntimeWarning, match=told) as caught:
        quantize_model(model, bits=8, range="he")
    assert caught[0].filename == __file__
    shares = [layer.clipped_share for layer in weighted_layers(model)]
    expected = (np.abs(wide()) > he_bound((4, 9))).mean()
    assert shares == [pytest.approx(expected), 0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quantize_model(model, bits=8)
    assert [layer.clipped_share for layer in weighted_layers(model)] == [0, 0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"range": "largest"}, "range 'largest': must be auto, he, max or mse"),
        ({"range": "he", "per_channel": True}, "per_channel: range 'he' is one for a whole layer"),
        ({"bound": 0.3, "per_channel": True}, "per_channel: bound 0.3 is one for a whole layer"),
        ({"estimator": "lsq", "per_channel": True}, "per_channel: lsq is one for a whole layer"),
        ({"bound": 0.3, "range": "max"}, "bound 0.3 and range 'max': only one may be"),
    ],
)
def test_ranges_that_contradict_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        quantize_model(nn.Linear(3, 3), **options)


@pytest.mark.parametrize("per_channel", [False, True])
def test_a_ranged_model_becomes_straight_through(per_channel: bool) -> None:
    w = normal(5, 7, scale=2)
    model = quantize_model(
        nn.Sequential(linear(w)), bits=2, estimator="dsq", range="max", per_channel=per_channel
    )
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    x = normal(3, 7, seed=2)
    before, bounds = model(x).numpy(), bound_of(model)
    (conversion,) = estimators.to_ste(model, optimizer)
    assert np.array_equal(model(x).numpy(), before)
    assert np.array_equal(bound_of(model), bounds)
    assert conversion.moved > 0 and {*model.state_dict()} == {
        "0.weight",
        "0.bias",
        "0.weight_quantizer.bound",
    }


def test_twins_want_one_bound() -> None:
    model = quantize_model(nn.Sequential(linear(wide())), range="max", per_channel=True)
    with pytest.raises(ValueError, match="0 has a bound for each channel: one for the layer"):
        estimators.TwinTrainer(model, optim.SGD(model.parameters()))


def test_a_quantizer_of_weights_is_made_alone() -> None:
    w = Tensor(wide())
    quantizer = WeightQuantizer.of(w, 8)
    assert quantizer.bounds == np.abs(wide()).max() and quantizer.clipped_share(w) == 0
    assert repr(quantizer).startswith("WeightQuantizer(8, ")
    with pytest.raises(ValueError, match="range = 'he'"):
        WeightQuantizer.of(w, 8, range="he")
    with pytest.raises(ValueError, match="weight holds nan"):
        WeightQuantizer.of(Tensor(np.full((2, 2), np.nan)), 8)
    assert WeightQuantizer(8, 1.0).clipped_share(w) == (np.abs(wide()) > 1).mean()


def digits() -> tuple[np.ndarray, np.ndarray]:
    datasets = pytest.importorskip("sklearn.datasets")
    x, y = datasets.load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    return (x[order] / 16).astype(np.float32), y[order].astype(np.int32)


def trained(rate: float, x: np.ndarray, y: np.ndarray) -> nn.Sequential:
    vq.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)
    )
    optimizer = optim.Adam(model.parameters(), lr=rate)
    for epoch in range(30):
        order = np.random.default_rng(epoch).permutation(len(x))
        for start in range(0, len(x), 100):
            part = order[start : start + 100]
            loss = nn.functional.cross_entropy(model(x[part]), Tensor(y[part]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval()


@pytest.mark.parametrize("rate", [1e-3, 1e-2, 3e-2])
def test_a_trained_network_keeps_its_accuracy_at_8_bits(rate: float) -> None:
    x, y = digits()
    model = trained(rate, x[:1400], y[:1400])

    def accuracy() -> float:
        return float((model(x[1400:]).argmax(-1).numpy() == y[1400:]).mean())

    before = accuracy()
    assert before > 0.96
    found = {}
    for bits in (2, 8):
        for name in ("auto", "he", "max", "mse"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                quantize_model(model, bits=bits, range=name)
            found[bits, name] = accuracy()
    # One image of 397.
    assert found[8, "auto"] >= before - 0.003
    assert found[8, "max"] >= before - 0.003
    assert found[2, "mse"] > found[2, "he"] - 0.003
    assert found[2, "auto"] == found[2, "he"]
    if rate > 1e-3:
        assert found[8, "he"] < before - 0.02
    quantize_model(model, bits=8, per_channel=True, range="max")
    assert accuracy() >= before - 0.003


@pytest.mark.parametrize("choice", ["max", "mse", "auto"])
@pytest.mark.parametrize("loaded", [False, True])
def test_smaller_weights_take_their_range_too(choice: Any, loaded: bool) -> None:
    given = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)

    def layer(weight: np.ndarray) -> nn.Linear:
        made = nn.Linear(4, 8, bias=False)
        made.weight.assign(weight)
        return quantize_model(made, bits=8, range=choice)

    found, expected = layer(given), layer(given * np.float32(0.001))
    if loaded:
        found.load_state_dict({"weight": given * np.float32(0.001)}, strict=False)
    else:
        found.weight.assign(given * np.float32(0.001))
    x = np.eye(4, dtype=np.float32)
    np.testing.assert_array_equal(found(x).numpy(), expected(x).numpy())
