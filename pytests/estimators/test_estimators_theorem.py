"""`to_ste`: what it refuses and what it allows."""

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
