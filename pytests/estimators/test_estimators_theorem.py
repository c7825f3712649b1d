"""`to_ste`: what it refuses, and what it leaves as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift import Tensor, estimators, nn, optim
from vqswift.estimators import Estimator, quantize_model, quantized_layers, to_ste

# The models below have weights as they were made, or given on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:.*weights beyond the grid:RuntimeWarning")

EPSILON = 2.0**-23
SKEWED = estimators.from_samples([0.5, 1.0, 2.0, 1.0, 0.7], cyclical=False)


def network() -> nn.Sequential:
    source = vq.Generator(1)
    return nn.Sequential(
        nn.Linear(12, 16, generator=source), nn.Tanh(), nn.Linear(16, 3, generator=source)
    )


def quantized(estimator: str | Estimator = "dsq", bits: int = 2) -> nn.Sequential:
    """Latent weights spread over the whole grid."""
    model = network()
    for index, linear in enumerate((model[0], model[2])):
        bound = estimators.he_bound(linear.weight.shape)
        linear.weight.assign(
            vq.Generator(index).uniform(linear.weight.shape, -1.1 * bound, 1.1 * bound)
        )
    return quantize_model(model, bits=bits, estimator=estimator)


def sgd(model: nn.Module, **options: Any) -> optim.SGD:
    return optim.SGD(model.parameters(), **({"lr": 0.01, "momentum": 0.9} | options))


def adam(model: nn.Module, **options: Any) -> optim.Adam:
    return optim.Adam(model.parameters(), **({"lr": 1e-3, "betas": (0.9, 0.95)} | options))


def train(model: nn.Module, optimizer: optim.Optimizer, steps: int) -> None:
    x, y = vq.Generator(5).normal((32, 12)), vq.Generator(6).normal((32, 3))
    for _ in range(steps):
        optimizer.zero_grad()
        ((model(x) - y).square().mean() * 3).backward()
        optimizer.step()


def everything(model: nn.Module, optimizer: optim.Optimizer) -> tuple[Any, ...]:
    """All that a refused conversion must not touch."""
    states = [model.state_dict(), optimizer.state_dict()]
    values = [(n, v.tobytes()) for state in states for n, v in state.items()]
    return values, [layer.quantizer for layer in quantized_layers(model)], optimizer.lrs


# Refusals


def with_decay() -> tuple[nn.Module, optim.Optimizer]:
    model = quantized()
    return model, sgd(model, weight_decay=0.01)


def with_decay_in_adam() -> tuple[nn.Module, optim.Optimizer]:
    model = quantized()
    return model, optim.AdamW(model.parameters())


def with_clipping() -> tuple[nn.Module, optim.Optimizer]:
    model = quantized()
    optimizer = sgd(model)
    train(model, optimizer, 1)
    optim.clip_grad_norm(model.parameters(), 1.0)
    return model, optimizer


def with_estimator(
    estimator: str | Estimator, bits: int, make: Callable[[nn.Module], optim.Optimizer]
) -> Callable[[], tuple[nn.Module, optim.Optimizer]]:
    def build() -> tuple[nn.Module, optim.Optimizer]:
        model = quantized(estimator, bits)
        return model, make(model)

    return build


def with_learned_step() -> tuple[nn.Module, optim.Optimizer]:
    model = quantized()
    quantized_layers(model)[0].quantizer = estimators.LSQ(2)
    return model, sgd(model)


def with_foreign_optimizer() -> tuple[nn.Module, optim.Optimizer]:
    model = quantized()
    return model, optim.SGD([model[0].weight, model[0].bias], lr=0.1)


class Other(optim.Optimizer):
    def __init__(self, params: list[Tensor]) -> None:
        super().__init__(params, "sgd", 0.1, 0.0)


SIGN = "its factor depends on the gradient's sign, so it has no warp"
ANNEALED = "ede(0): it is annealed, so it has no lasting warp"
DECAY = "acts on the latent weight, and M(w) does not shrink as w does"
REFUSED: dict[str, tuple[Callable[[], tuple[nn.Module, optim.Optimizer]], str]] = {
    "weight decay": (with_decay, f"0 and 1 more: weight decay 0.01 {DECAY}"),
    "weight decay of AdamW": (with_decay_in_adam, f"0 and 1 more: weight decay 0.01 {DECAY}"),
    "clipped norm": (
        with_clipping,
        "0 and 1 more: its gradient is clipped, and the estimator is a part of what is clipped",
    ),
    "ewgs": (with_estimator("ewgs", 2, sgd), f"0 and 1 more: ewgs(0.2): {SIGN}"),
    "ewgs in Adam": (with_estimator("ewgs", 2, adam), f"0 and 1 more: ewgs(0.2): {SIGN}"),
    "ede": (with_estimator("ede", 1, sgd), f"0 and 1 more: {ANNEALED}"),
    "ede in Adam": (with_estimator("ede", 1, adam), f"0 and 1 more: {ANNEALED}"),
    "not cyclical": (
        with_estimator(SKEWED, 2, sgd),
        "sampled: it is uneven: its warp moves the boundary",
    ),
    "learned step": (
        with_learned_step,
        "0: LSQ learns its step or clip, and the grid moves in training",
    ),
    "foreign optimizer": (with_foreign_optimizer, "2: the optimizer does not train its weight"),
    "other optimizer": (
        with_estimator("dsq", 2, lambda model: Other(model.parameters())),
        "0 and 1 more: Other is neither SGD nor Adam",
    ),
}


@pytest.mark.parametrize(("build", "rule"), REFUSED.values(), ids=REFUSED.keys())
def test_what_the_theorem_leaves_out_is_refused(
    build: Callable[[], tuple[nn.Module, optim.Optimizer]], rule: str
) -> None:
    model, optimizer = build()
    before = everything(model, optimizer)
    with pytest.raises(ValueError) as caught:
        to_ste(model, optimizer)
    text = str(caught.value)
    assert text.startswith("[to_ste] the theorem does not hold: ")
    assert text.endswith(". force=True converts all the same")
    assert rule in text
    assert everything(model, optimizer) == before


def test_every_rule_is_told_at_once() -> None:
    model = quantized("ewgs")
    optimizer = sgd(model, weight_decay=0.5)
    optim.clip_grad_value(model.parameters(), 1.0)
    with pytest.raises(ValueError) as caught:
        to_ste(model, optimizer)
    for rule in (SIGN, f"weight decay 0.5 {DECAY}", "its gradient is clipped"):
        assert rule in str(caught.value)


def test_a_model_without_quantized_layers_is_refused() -> None:
    model = network()
    with pytest.raises(ValueError, match=r"^\[to_ste\] the model has no quantized layer$"):
        to_ste(model, sgd(model), force=True)


@pytest.mark.parametrize(
    "name", [n for n in REFUSED if n not in ("learned step", "foreign optimizer")]
)
def test_force_converts_and_says_what_stood_against_it(name: str) -> None:
    build, rule = REFUSED[name]
    model, optimizer = build()
    latent = [layer.weight.numpy() for layer in quantized_layers(model)]
    made = to_ste(model, optimizer, force=True)
    assert [c.layer for c in made] == ["0", "2"]
    for conversion, layer, w in zip(made, quantized_layers(model), latent, strict=True):
        assert any(r in rule for r in conversion.reasons) or rule in conversion.reasons[0]
        assert f"outside the theorem: {conversion.reasons[0]}" in str(conversion)
        assert layer.quantizer.estimator.estimator.name in ("ste", "clipped_ste")
        unmoved = isinstance(optimizer, (optim.Adam, optim.AdamW, Other)) or "ew" in name
        if unmoved or name == "ede":
            assert np.array_equal(layer.weight.numpy(), w)
            assert (conversion.alpha, conversion.moved) == (1, 0)
        else:
            assert conversion.moved > 0
    train(model, optimizer, 2)


def test_a_learned_step_has_no_form_to_force() -> None:
    model, optimizer = with_learned_step()
    before = everything(model, optimizer)
    with pytest.raises(ValueError, match=r"\[to_ste\] 0: a LSQ has no straight-through form"):
        to_ste(model, optimizer, force=True)
    assert everything(model, optimizer) == before


def test_a_forced_conversion_without_the_optimizer_moves_the_weights() -> None:
    model, optimizer = with_foreign_optimizer()
    made = to_ste(model, optimizer, force=True)
    assert [len(c.reasons) for c in made] == [0, 1] and made[1].moved > 0


def test_forced_moments_of_error_decay_are_those_of_its_progress() -> None:
    model = quantized("ede", 1)
    optimizer = adam(model)
    for layer in quantized_layers(model):
        layer.quantizer.set_progress(1.0)
    train(model, optimizer, 3)
    before, w = optimizer.state_dict()["0.exp_avg"], model[0].weight.numpy().astype(np.float64)
    to_ste(model, optimizer, force=True)
    # t = 10, k = 1.
    wanted = before * np.cosh(10 * w) ** 2 / 10
    assert optimizer.state_dict()["0.exp_avg"] == pytest.approx(wanted, rel=1e-5)


# What is allowed


@pytest.mark.parametrize("estimator", [SKEWED, estimators.from_samples([1, 2, 3], cyclical=True)])
def test_adam_takes_any_samples(estimator: Estimator) -> None:
    model = quantized(estimator)
    made = to_ste(model, adam(model))
    assert all(c.alpha == 1 and c.moved == 0 and not c.reasons for c in made)


def test_adamw_without_decay_is_allowed() -> None:
    model = quantized()
    assert len(to_ste(model, optim.AdamW(model.parameters(), weight_decay=0.0))) == 2


def test_weight_decay_of_other_parameters_is_allowed() -> None:
    model = quantize_model(network(), skip="2")
    groups = [
        {"params": model[0].weight, "weight_decay": 0.0},
        {"params": [model[0].bias, model[2].weight, model[2].bias], "weight_decay": 0.1},
    ]
    assert len(to_ste(model, optim.SGD(groups, lr=0.1))) == 1


@pytest.mark.parametrize("decays", [(0.0, 0.1), (0.1, 0.0)])
def test_weight_decay_of_one_group_names_its_layer(decays: tuple[float, float]) -> None:
    model = quantized()
    groups = [
        {"params": [model[i].weight, model[i].bias], "weight_decay": decay}
        for i, decay in zip((0, 2), decays, strict=True)
    ]
    # The optimizer's own decay is overridden by both.
    optimizer = optim.SGD(groups, lr=0.1, weight_decay=7.0)
    before = everything(model, optimizer)
    with pytest.raises(ValueError) as caught:
        to_ste(model, optimizer)
    name = "02"[int(np.argmax(decays))]
    assert f"does not hold: {name}: weight decay 0.1 {DECAY}. force" in str(caught.value)
    assert everything(model, optimizer) == before


def test_clipped_values_of_another_model_are_allowed() -> None:
    model, other = quantized(), quantized()
    train(other, sgd(other), 1)
    optim.clip_grad_norm(other.parameters(), 1.0)
    assert len(to_ste(model, sgd(model))) == 2


# What stays


CASES = [
    ("dsq", 1),
    ("dsq", 2),
    ("dsq", 4),
    ("cosine", 3),
    ("ste", 2),
    ("clipped_ste", 2),
    ("mad", 2),
    ("tanh", 1),
    ("sigmoid", 1),
    ("arctan", 1),
    ("approx_sign", 1),
    ("reste", 1),
    (estimators.from_samples([0.4, 1.0, 2.0, 1.0, 0.4]), 3),
]


@pytest.mark.parametrize("make", [sgd, adam])
@pytest.mark.parametrize(("estimator", "bits"), CASES, ids=str)
def test_quantized_weights_and_outputs_stay_bit_for_bit(
    estimator: str | Estimator, bits: int, make: Callable[[nn.Module], optim.Optimizer]
) -> None:
    model = quantized(estimator, bits)
    optimizer = make(model)
    train(model, optimizer, 3)
    x = vq.Generator(9).normal((20, 12))
    latent = [layer.weight.numpy() for layer in quantized_layers(model)]
    grids = [layer.quantizer.estimator for layer in quantized_layers(model)]

    def seen() -> list[np.ndarray]:
        values = [layer.quantizer(layer.weight).numpy() for layer in quantized_layers(model)]
        return [*values, model(x).numpy()]

    before = seen()
    made = to_ste(model, optimizer)
    for one, two in zip(before, seen(), strict=True):
        assert np.array_equal(one, two)
    for conversion, grid, layer, w in zip(
        made, grids, quantized_layers(model), latent, strict=True
    ):
        exact = w.astype(np.float64)
        warped = grid.warp(exact) if make is sgd else exact
        assert np.abs(layer.weight.numpy() - warped).max() <= 2 * EPSILON * np.abs(warped).max()
        assert conversion.alpha == (grid.alpha if make is sgd else 1)
        assert conversion.moved == pytest.approx(np.abs(warped - exact).max(), abs=1e-15)
        assert layer.quantizer.gradient_scale == conversion.alpha
        assert layer.quantizer.estimator.estimator == grid.partner.estimator
        assert conversion.estimator == str(grid.estimator)


@pytest.mark.parametrize(("estimator", "bits"), CASES, ids=str)
def test_weights_beside_a_boundary_stay_on_their_side(
    estimator: str | Estimator, bits: int
) -> None:
    model = nn.Linear(60, 4 * (2**bits - 1), bias=False)
    quantize_model(model, bits=bits, estimator=estimator)
    (layer,) = quantized_layers(model)
    w = np.repeat(layer.quantizer.estimator.boundaries.astype(np.float32), 60)
    steps = np.arange(len(w)) % 60 - 30
    # Up to 30 numbers of float32 away; beside 0 by as much of the bound's.
    near = np.where(w == 0, 0, w) + steps * np.spacing(np.maximum(np.abs(w), 1e-20))
    tiny = np.array([0.0, -0.0, 1e-45, -1e-45, 1e-38, -1e-38, 1e-8, -1e-8], np.float32)
    values = np.zeros(layer.weight.size, np.float32)
    values[: len(near)], values[-8:] = near, tiny
    layer.weight.assign(values.reshape(layer.weight.shape))
    before = layer.quantizer.codes(layer.weight).numpy()
    to_ste(model, optim.SGD(model.parameters(), lr=0.1))
    assert np.array_equal(layer.quantizer.codes(layer.weight).numpy(), before)


@pytest.mark.parametrize("reach", [1.2, 2.0])
def test_a_warp_beyond_float32_stays_finite(reach: float) -> None:
    """cosh(2 w / bound)^2 overflows for w that have long had no gradient."""
    model = nn.Linear(4, 1)
    model.weight.assign(np.array([[0.01, 0.5, reach, -reach]], np.float32))
    quantize_model(model, bits=1, estimator="tanh", bound=0.05)
    optimizer, x = sgd(model), np.ones((1, 4), np.float32)
    before = model(x).numpy()
    for _ in range(2):
        model(x).sum().backward()
        optimizer.step()
    to_ste(model, optimizer)
    model(x).sum().backward()
    optimizer.step()
    assert np.isfinite(model.weight.numpy()).all()
    assert model(x).numpy() < before and (np.sign(model.weight.numpy()[0, 2:]) == [1, -1]).all()


@pytest.mark.parametrize(("estimator", "reach"), [("approx_sign", 1.0), ("tanh", 40.0)])
def test_weights_that_only_the_partner_moves_are_told(estimator: str, reach: float) -> None:
    model = nn.Linear(4, 1)
    model.weight.assign(np.array([[0.01, 0.5, reach, -reach]], np.float32))
    quantize_model(model, bits=1, estimator=estimator, bound=0.05)
    with pytest.raises(ValueError, match="is 0 at 2 of the weights"):
        to_ste(model, sgd(model))


@pytest.mark.parametrize("make", [sgd, adam])
def test_a_gradient_that_waits_is_the_partners(
    make: Callable[[nn.Module], optim.Optimizer],
) -> None:
    """To first order: the step after the conversion is that of a model converted before."""
    models = [quantized("dsq"), quantized("dsq")]
    x = np.ones((2, models[0][0].weight.shape[1]), np.float32)
    optimizers = [make(model) for model in models]
    to_ste(models[0], optimizers[0])
    for model in models:
        model(x).sum().backward()
    to_ste(models[1], optimizers[1])
    for early, late in zip(*map(quantized_layers, models), strict=True):
        assert late.weight.grad.numpy() == pytest.approx(early.weight.grad.numpy(), rel=1e-5)


def test_a_second_conversion_changes_nothing() -> None:
    model = quantized()
    optimizer = sgd(model)
    train(model, optimizer, 3)
    first = to_ste(model, optimizer)
    latent, momentum = model.state_dict(), optimizer.state_dict()
    scales = [layer.quantizer.gradient_scale for layer in quantized_layers(model)]
    assert [c.alpha for c in to_ste(model, optimizer)] == [1, 1]
    assert scales == [c.alpha for c in first]
    assert scales == [layer.quantizer.gradient_scale for layer in quantized_layers(model)]
    for name, value in model.state_dict().items():
        assert np.array_equal(value, latent[name])
    for name, value in optimizer.state_dict().items():
        assert np.array_equal(value, momentum[name])


@pytest.mark.parametrize("make", [sgd, adam])
def test_only_the_quantized_weights_moments_are_converted(
    make: Callable[[nn.Module], optim.Optimizer],
) -> None:
    model = quantize_model(network(), skip="2")
    optimizer = make(model)
    train(model, optimizer, 3)
    (layer,) = quantized_layers(model)
    grid, w = layer.quantizer.estimator, layer.weight.numpy().astype(np.float64)
    h = np.where(grid.derivative(w) > 0, grid.derivative(w), 1)
    inside = grid.derivative(w) > 0
    before = optimizer.state_dict()
    (made,) = to_ste(model, optimizer)
    index = next(i for i, p in enumerate(model.parameters()) if p is layer.weight)
    factors = {
        f"{index}.momentum_buffer": np.where(inside, made.alpha / h, 1),
        f"{index}.exp_avg": np.where(inside, 1 / h, 1),
        f"{index}.exp_avg_sq": np.where(inside, 1 / h**2, 1),
    }
    assert sorted(optimizer.state_dict()) == sorted(before)
    for name, value in optimizer.state_dict().items():
        if name in factors:
            wanted = before[name].astype(np.float64) * factors[name]
            assert np.abs(value / np.where(wanted, wanted, 1) - (wanted != 0)).max() <= 2 * EPSILON
        else:
            assert np.array_equal(value, before[name])
