"""Schedules by hand values; those that are joined, and one that follows a metric."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import vqswift as vq
from vqswift import Tensor, data, optim, train


def test_exponential_and_multistep() -> None:
    exponential = optim.exponential_schedule(0.5, warmup_steps=2)
    assert [exponential(step) for step in range(5)] == [0.5, 1, 1, 0.5, 0.25]
    steps = optim.multistep_schedule([2, 3, 6], gamma=0.5)
    assert [steps(step) for step in range(8)] == [1, 1, 0.5, 0.25, 0.25, 0.25, 0.125, 0.125]
    assert optim.multistep_schedule([])(1000) == 1
    warm = optim.multistep_schedule([1], gamma=0.5, warmup_steps=2)
    assert [warm(step) for step in range(4)] == [0.5, 1, 1, 0.5]


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (lambda: optim.cosine_schedule(0), "total_steps = 0: must be at least 1"),
        (lambda: optim.cosine_schedule(4, minimum=2), "minimum = 2.0: must be from 0 to 1"),
        (lambda: optim.constant_schedule(-1), "warmup_steps = -1: must be at least 0"),
        (lambda: optim.step_schedule(0), "step_size = 0: must be at least 1"),
        (lambda: optim.exponential_schedule(0), "gamma = 0.0: must be finite and above 0"),
        (lambda: optim.one_cycle_schedule(0), "total_steps = 0: must be at least 1"),
    ],
)
def test_errors_name_the_options(made: Callable[[], object], text: str) -> None:
    with pytest.raises(ValueError) as caught:
        made()
    assert str(caught.value) == f"[schedule] {text}"


def test_one_cycle_rises_to_the_base_rate_and_falls_far_below() -> None:
    cycle = optim.one_cycle_schedule(11, pct_start=0.5, div_factor=4, final_div_factor=10)
    # The rise ends at step 0.5 * 11 - 1 = 4.5.
    for step in range(11):
        if step < 5:
            expected = 1 - 0.75 / 2 * (1 + math.cos(math.pi * step / 4.5))
        else:
            phase = (step - 4.5) / 5.5
            expected = 0.025 + 0.975 / 2 * (1 + math.cos(math.pi * phase))
        assert cycle(step) == pytest.approx(expected, rel=1e-12), step
    assert cycle(0) == pytest.approx(0.25) and cycle(10) == cycle(2**62) == pytest.approx(0.025)


def test_one_cycle_in_three_phases_falls_as_it_rose() -> None:
    cycle = optim.one_cycle_schedule(
        20, pct_start=0.25, anneal_strategy="linear", div_factor=5, three_phase=True
    )
    assert [cycle(step) for step in (0, 4, 8)] == pytest.approx([0.2, 1, 0.2])
    assert cycle(2) == pytest.approx(cycle(6)) == pytest.approx(0.6)
    assert cycle(19) == pytest.approx(0.2e-4)


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("total", [1, 2, 10])
@pytest.mark.parametrize("three_phase", [False, True])
def test_every_cycle_stays_between_its_ends(share: float, total: int, three_phase: bool) -> None:
    cycle = optim.one_cycle_schedule(total, pct_start=share, three_phase=three_phase)
    for step in range(-1, total + 2):
        assert 1 / 25e4 - 1e-12 <= cycle(step) <= 1 + 1e-12


def test_joined_schedules_begin_at_their_own_step_0() -> None:
    joined = optim.joined_schedule(
        [optim.constant_schedule(2), lambda step: 10.0 + step, optim.exponential_schedule(0.5)],
        [3, 5],
    )
    assert [joined(step) for step in range(8)] == [0.5, 1, 1, 10, 11, 1, 0.5, 0.25]
    assert repr(joined).startswith("joined_schedule([constant_schedule(warmup_steps=2), ")
    assert optim.joined_schedule([optim.exponential_schedule(0.5)], [])(3) == 0.125
    nested = optim.joined_schedule([joined, optim.constant_schedule()], [4])
    assert [nested(step) for step in (3, 4, 7)] == [10, 1, 1]


def test_a_plateau_lowers_the_factor_after_its_patience() -> None:
    plateau = optim.PlateauSchedule(factor=0.5, patience=1, cooldown=1, minimum=0.25)
    # Better; then two without improvement; one that cools; two more; the minimum.
    metrics = [2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    factors = [plateau.step(metric) for metric in metrics]
    assert factors == [1, 1, 1, 0.5, 0.5, 0.5, 0.25] + 7 * [0.25]
    assert plateau(0) == plateau(1000) == 0.25
    text = "PlateauSchedule(mode='min', factor=0.5, patience=1, "
    assert repr(plateau).startswith(text)


def test_a_plateau_reads_what_is_a_number() -> None:
    plateau = optim.PlateauSchedule("max", factor=0.5, patience=0)
    assert [plateau.step(value) for value in (Tensor([1.0]), np.float32(2), 3)] == [1, 1, 1]
    assert plateau.step(math.nan) == 0.5
    with pytest.raises(TypeError, match=r"\[plateau_schedule.step\] metric = 'low'"):
        plateau.step("low")  # type: ignore[arg-type]


def test_a_plateau_goes_on_from_its_state() -> None:
    first = optim.PlateauSchedule(factor=0.5, patience=2)
    for metric in (1.0, 1.0, 1.0):
        first.step(metric)
    second = optim.PlateauSchedule(factor=0.5, patience=2)
    second.load_state_dict(first.state_dict())
    assert second.step(1.0) == first.step(1.0) == 0.5
    before = second.state_dict()
    for bad in (
        {**before, "scale": 1.5},
        {**before, "best": math.nan},
        {**before, "num_bad_epochs": -1},
        {**before, "cooldown_counter": 0.5},
        {**before, "more": 1},
    ):
        with pytest.raises(ValueError, match="load_state_dict"):
            second.load_state_dict(bad)
    with pytest.raises(TypeError, match="a number is required"):
        second.load_state_dict({**before, "best": "low"})
    assert second.state_dict() == before


def trainer(schedule: optim.PlateauSchedule | None) -> train.Trainer:
    vq.manual_seed(0)
    model = vq.models.SQVAE(vq.VectorQuant(8, 16), width=8)
    images = np.random.default_rng(0).integers(256, size=(8, 32, 32, 3), dtype=np.uint8)
    optimizer = optim.AdamW(model.parameters(), lr=0.01)
    return train.Trainer(
        model, optimizer, data.Batches(images, batch_size=4), schedule=schedule, clip_norm=1.0
    )


def test_a_trainer_follows_a_plateau_and_resumes_with_it(tmp_path: Path) -> None:
    run = trainer(optim.PlateauSchedule(factor=0.5, patience=0))
    rates = []
    for metric in (1.0, 1.0, 0.5, 0.5):
        rates += [step.learning_rate for step in run.fit(1, progress=False)]
        assert run.optimizer.lr == 0.01  # the base rate
        run.schedule.step(metric)  # type: ignore[union-attr]
    assert rates == [0.01, 0.01, 0.005, 0.005]
    train.save_trainer(run, tmp_path / "run.safetensors")
    resumed = trainer(optim.PlateauSchedule(factor=0.5, patience=0))
    train.load_trainer(resumed, tmp_path / "run.safetensors")
    assert [s.learning_rate for s in resumed.fit(1, progress=False)] == [0.0025]
    assert run.schedule.state_dict() == resumed.schedule.state_dict()  # type: ignore[union-attr]


def test_a_trainer_with_a_plateau_needs_its_state(tmp_path: Path) -> None:
    train.save_trainer(trainer(None), tmp_path / "run.safetensors")
    run = trainer(optim.PlateauSchedule())
    with pytest.raises(ValueError, match=r"\[load_trainer\] .*: no schedule in it"):
        train.load_trainer(run, tmp_path / "run.safetensors")
