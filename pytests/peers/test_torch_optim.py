"""Optimizers, schedules and averages of weights against torch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from optimizer_steps import OWN_SETTINGS, SETTINGS, gradients, run
from vqswift import Tensor, nn, optim

EPSILON = 2.0**-23


@pytest.mark.parametrize(("name", "settings"), SETTINGS)
def test_ten_steps_equal_torchs(name: str, settings: dict[str, Any]) -> None:
    start = gradients(1)[0]
    parameter = Tensor(start, requires_grad=True)
    ours = run(getattr(optim, name)([parameter], **settings), parameter, gradients())
    theirs = torch.nn.Parameter(torch.tensor(start))
    optimizer = getattr(torch.optim, name)([theirs], **settings)
    for gradient in gradients():
        theirs.grad = torch.tensor(gradient)
        optimizer.step()
    # Ten updates, each of some ten roundings of numbers below 4.
    np.testing.assert_allclose(ours, theirs.detach().numpy(), atol=10 * 10 * EPSILON * 4)


SHAPES = [(), (5,), (4, 5), (7, 3), (2, 3, 4)]


def theirs_after(optimizer: Any, theirs: torch.nn.Parameter, steps: list[np.ndarray]) -> np.ndarray:
    for gradient in steps:
        theirs.grad = torch.tensor(gradient)
        optimizer.step()
    return theirs.detach().numpy()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("name", "settings"), SETTINGS)
def test_further_steps_equal_torchs(
    name: str, settings: dict[str, Any], shape: tuple[int, ...]
) -> None:
    start, *rest = gradients(31, shape)
    parameter = Tensor(start, requires_grad=True)
    ours = run(getattr(optim, name)([parameter], **settings), parameter, rest)
    theirs = torch.nn.Parameter(torch.tensor(start))
    expected = theirs_after(getattr(torch.optim, name)([theirs], **settings), theirs, rest)
    # Thirty updates on both sides, each of some ten roundings of numbers below 4.
    np.testing.assert_allclose(ours, expected, atol=2 * 30 * 10 * EPSILON * 4)


class Float32Torch:
    """torch whose bfloat16 is float32."""

    bfloat16 = torch.float32

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


MUON = [(name, settings) for name, settings in OWN_SETTINGS if name == "Muon"]


@pytest.mark.parametrize("shape", [(4, 5), (7, 3), (1, 6), (33, 20)], ids=str)
@pytest.mark.parametrize(("name", "settings"), MUON)
def test_muon_equals_torchs_in_float32(
    name: str,
    settings: dict[str, Any],
    shape: tuple[int, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("torch.optim._muon.torch", Float32Torch())
    start, *rest = gradients(25, shape)
    parameter = Tensor(start, requires_grad=True)
    ours = run(optim.Muon([parameter], **settings), parameter, rest)
    theirs = torch.nn.Parameter(torch.tensor(start))
    expected = theirs_after(torch.optim.Muon([theirs], **settings), theirs, rest)
    # The polynomials multiply what a product rounds by up to some fifty, and the rate of 0.02 takes
    # that back.
    np.testing.assert_allclose(ours, expected, atol=2 * 24 * 10 * EPSILON * 4)


def test_muon_is_torchs_within_bfloat16() -> None:
    start, gradient = gradients(2, (33, 20))
    parameter = Tensor(start, requires_grad=True)
    ours = run(optim.Muon([parameter], lr=1.0), parameter, [gradient])
    theirs = torch.nn.Parameter(torch.tensor(start))
    expected = theirs_after(torch.optim.Muon([theirs], lr=1.0), theirs, [gradient])
    # Singular values of a step differ by some hundredths.
    assert np.linalg.norm(ours - expected, 2) < 0.1 * np.linalg.norm(ours - start, 2)


def torch_rates(make: Callable[[Any], Any], count: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    schedule = make(optimizer)
    rates = [optimizer.param_groups[0]["lr"]]
    for _ in range(count - 1):
        optimizer.step()
        schedule.step()
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


schedulers = torch.optim.lr_scheduler
CYCLES: list[dict[str, Any]] = [
    {"total_steps": 20},
    {"total_steps": 23, "pct_start": 0.45, "anneal_strategy": "linear"},
    {"total_steps": 17, "pct_start": 0.25, "three_phase": True, "div_factor": 4.0},
    {"total_steps": 12, "pct_start": 0.0, "final_div_factor": 2.0},
    {"total_steps": 12, "pct_start": 1.0},
]
RATES: dict[str, tuple[Callable[[int], float], Callable[[Any], Any], int]] = {
    "exponential": (
        optim.exponential_schedule(0.9),
        lambda o: schedulers.ExponentialLR(o, 0.9),
        30,
    ),
    "multistep": (
        optim.multistep_schedule([2, 3, 11], gamma=0.3),
        lambda o: schedulers.MultiStepLR(o, [2, 3, 11], gamma=0.3),
        20,
    ),
    "joined": (
        optim.joined_schedule(
            [
                optim.constant_schedule(4),
                optim.exponential_schedule(0.8),
                optim.cosine_schedule(5),
            ],
            [4, 9],
        ),
        lambda o: schedulers.SequentialLR(
            o,
            [
                schedulers.LinearLR(o, 1 / 4, total_iters=3),
                schedulers.ExponentialLR(o, 0.8),
                schedulers.CosineAnnealingLR(o, 5),
            ],
            [4, 9],
        ),
        14,
    ),
    **{
        f"one cycle {index}": (
            optim.one_cycle_schedule(**options),
            lambda o, options=options: schedulers.OneCycleLR(
                o, max_lr=1.0, cycle_momentum=False, **options
            ),
            options["total_steps"],
        )
        for index, options in enumerate(CYCLES)
    },
}


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize(("ours", "make", "count"), RATES.values(), ids=RATES)
def test_schedules_are_torchs(
    ours: Callable[[int], float], make: Callable[[Any], Any], count: int
) -> None:
    # torch computes some by recursion, and rounds in each step.
    expected = torch_rates(make, count)
    np.testing.assert_allclose([ours(step) for step in range(count)], expected, atol=1e-13)


PLATEAUS: list[dict[str, Any]] = [
    {"patience": 1},
    {"patience": 0, "factor": 0.5, "cooldown": 2},
    {"mode": "max", "patience": 2, "threshold": 0.1},
    {"mode": "max", "patience": 1, "threshold": 0.3, "threshold_mode": "abs"},
    {"patience": 1, "threshold": 0.2, "threshold_mode": "abs", "factor": 0.3},
]


@pytest.mark.parametrize("options", PLATEAUS, ids=str)
@pytest.mark.parametrize("minimum", [0.0, 0.05])
def test_a_plateau_is_torchs(options: dict[str, Any], minimum: float) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    theirs = schedulers.ReduceLROnPlateau(optimizer, min_lr=minimum, **options)
    ours = optim.PlateauSchedule(minimum=minimum, **options)
    rng = np.random.default_rng(2)
    metrics = [*(1 / np.arange(1, 12) + 0.1 * rng.normal(size=11)), float("nan"), 0.3, 0.3, 0.3]
    for metric in [*metrics, *metrics]:
        theirs.step(metric)
        assert ours.step(metric) == ours(0) == pytest.approx(optimizer.param_groups[0]["lr"])
    state = theirs.state_dict()
    for name in ("best", "num_bad_epochs", "cooldown_counter"):
        assert ours.state_dict()[name] == state[name]


@pytest.mark.parametrize("kind", ["EMA", "SWA"])
def test_averages_are_torchs(kind: str) -> None:
    swa = torch.optim.swa_utils
    ours = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm(4))
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    average: Any = optim.EMA(ours, 0.9) if kind == "EMA" else optim.SWA(ours)
    function = swa.get_ema_multi_avg_fn(0.9) if kind == "EMA" else None
    expected = swa.AveragedModel(theirs, multi_avg_fn=function)
    rng = np.random.default_rng(1)
    for _ in range(25):
        state = {
            name: np.abs(rng.normal(size=value.shape)).astype(np.float32)
            for name, value in ours.state_dict().items()
            if value.dtype == np.float32
        }
        ours.load_state_dict(state, strict=False)
        theirs.load_state_dict({n: torch.tensor(v) for n, v in state.items()}, strict=False)
        average.update()
        expected.update_parameters(theirs)
    found = average.state_dict()
    for name, value in expected.state_dict().items():
        # 25 moves of three roundings each, of numbers below 4.
        np.testing.assert_allclose(found[name], value, atol=25 * 3 * EPSILON * 4, err_msg=name)


@pytest.mark.parametrize("nonlinearity", ["linear", "sigmoid", "tanh", "relu", "selu"])
def test_gains_are_torchs(nonlinearity: str) -> None:
    gain = nn.init.calculate_gain(nonlinearity)
    assert gain == pytest.approx(torch.nn.init.calculate_gain(nonlinearity))


def test_the_gain_of_a_slope_is_torchs() -> None:
    for slope in (0.0, 0.01, 0.5):
        gain = nn.init.calculate_gain("leaky_relu", slope)
        assert gain == pytest.approx(torch.nn.init.calculate_gain("leaky_relu", slope))
