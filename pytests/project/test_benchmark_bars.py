"""What each benchmark checks, and which measurement it holds to which bar."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import growth, import_time, kmeans, nearest_code, quantizer_step, train_step
from benchmarks._contest import Outcome


def outcome(name: str, seconds: float, **given: Any) -> Outcome:
    return Outcome(name, seconds=[seconds], **given)


@pytest.mark.parametrize("kind", ["near", "far"])
def test_the_reference_is_the_float64_arg_min(kind: str) -> None:
    x, codebook = nearest_code.data((600, 40, 5), kind)
    rows, codes = nearest_code.sampled_rows(x, codebook)
    assert len(rows) == nearest_code.SAMPLED
    exact = [[sum((a - b) ** 2 for a, b in zip(r, c, strict=True)) for c in codes.tolist()]
             for r in rows[:20].tolist()]  # fmt: skip
    assert nearest_code.expected_codes(rows[:20], codes).tolist() == [
        e.index(min(e)) for e in exact
    ]
    assert nearest_code.expected_codes(rows[:1], codes[[3, 3, 3]]).tolist() == [0]


def test_our_codes_are_the_expected_ones_and_a_peers_are_counted() -> None:
    sizes, rows = (600, 40, 5), nearest_code._sample(600)
    x, codebook = nearest_code.data(sizes, "far")
    facts, measure = nearest_code._prepare("vqswift", "far", "600,40,5")
    assert {*measure()} == {"", "from NumPy"}
    naive = ((x * x).sum(1)[:, None] - 2 * x @ codebook.T + (codebook**2).sum(1)).argmin(1)
    outcomes = [
        outcome("vqswift", 1.0, facts=facts),
        outcome("peer", 1.0, facts={"codes": {"": naive[rows].tolist()}}),
        Outcome("absent", skipped="not installed"),
    ]
    expected = nearest_code.expected_codes(x[rows], codebook)
    (ours, none), (_, some) = nearest_code.differing(outcomes, expected)
    assert (ours.name, none) == ("vqswift", 0) and some > 100


def test_hopeless_ways_are_not_measured_further() -> None:
    tried = {"a": 1.0, "b": 1.5, "c": 1.6, "d": "RuntimeError: no"}
    assert nearest_code.promising(tried) == ["a", "b"]
    assert nearest_code.promising({"d": "RuntimeError: no"}) == []


def test_nearest_code_is_held_to_each_of_its_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest_code, "has_cpu_flag", lambda flag: flag == "avx512_bf16")
    outcomes = [
        outcome("vqswift", 1.0),
        outcome("vqswift", 0.1, way="from NumPy"),
        outcome("vqswift, float32 screen", 1.5),
        outcome("FMA peak", 0.9),
        outcome("faiss", 1.5, way="IndexFlatL2", core="Haswell"),
        outcome("faiss", 1.3, way="IndexFlatL2"),
        outcome("torch", 2.6, way="cdist + argmin"),
        outcome("torch", 2.7, way="addmm + argmin"),
    ]
    rows = nearest_code.rows_of((1024, 64, 64), (0.65, 1.4), outcomes)
    assert [(row.unit, row.value, row.met) for row in rows] == [
        ("of the FMA peak", pytest.approx(0.6), False),
        ("x faiss", pytest.approx(1.3), False),
        ("x torch", pytest.approx(2.6), True),
        ("x the best peer", pytest.approx(1.3), False),
        ("x our float32 screen", pytest.approx(1.5), True),
    ]
    narrow = nearest_code.rows_of((1024, 64, 8), (0.0, 1.3), outcomes)
    assert [row.unit for row in narrow] == ["x faiss", "x torch"] and narrow[0].met


def test_objectives_are_exact_and_compared() -> None:
    x, start = kmeans.data(Path(), kmeans.NORMAL, (500, 7, 3))
    distances = np.square(x[:, None].astype(np.float64) - start).sum(2)
    assert kmeans.objective((x, start), start) == pytest.approx(distances.min(1).sum(), rel=1e-12)
    assert kmeans.disagreement({"vqswift": 2.0, "a": 2.0, "b": 1.9}) == pytest.approx(0.05)
    assert kmeans.disagreement({"vqswift": 2.0}) is None


def test_k_means_rows_take_the_assignment_from_the_seeding() -> None:
    outcomes = [
        outcome("vqswift", 2.0, case=kmeans.NORMAL),
        outcome("faiss Kmeans", 5.0, case=kmeans.NORMAL),
        outcome("aoclda kmeans", 4.0, case=kmeans.NORMAL),
        outcome("vqswift", 1.5, case="seeding", way="seeding and assignment"),
        outcome("vqswift", 0.5, case="seeding", way="assignment"),
    ]
    objectives = {kmeans.NORMAL: {"vqswift": 1.0, "f": 1.001}}
    best, apart, seeding = kmeans.rows_of(outcomes, objectives)
    assert best.value == 2.0 and best.bar == 2.5 and best.met is False
    assert apart.met is False and seeding.value == 0.5 and seeding.met


def test_a_step_is_held_to_its_bars_quiet_and_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_step, "is_intel", lambda: False)
    outcomes = [
        outcome("vqswift", 1.0),
        outcome("vqswift", 1.2, way="alternating, 1 inner step"),
        outcome("vqswift", 1.9, way="alternating, 4 inner steps"),
        outcome("PyTorch", 2.4, way="eager"),
        outcome("PyTorch", 1.9, way="compiled"),
        outcome("vqswift", 2.0, condition=train_step.BUSY),
        outcome("PyTorch", 4.0, way="compiled", condition=train_step.BUSY),
    ]
    rows = train_step.rows_of(128, outcomes)
    assert [(row.value, row.bar, row.met) for row in rows] == [
        (pytest.approx(2.4), 2.3, True),
        (pytest.approx(1.9), 2.4, False),
        (pytest.approx(1.2), 1.05, False),
        (pytest.approx(1.9), 2.0, True),
        (pytest.approx(2.0), 2.2, True),
        (pytest.approx(2.0), 1.9, True),
    ]
    assert [row.bar for row in train_step.rows_of(32, outcomes[:5])] == [2.2, 1.05, 2.0]
    monkeypatch.setattr(train_step, "is_intel", lambda: True)
    assert [row.bar for row in train_step.rows_of(128, outcomes[:5])] == [2.3, 2.0, 1.05, 2.0]


def test_first_losses_are_compared_with_the_plain_steps() -> None:
    def with_loss(name: str, way: str, loss: float) -> Outcome:
        return outcome(name, 1.0, way=way, facts={"first losses": {way: loss}})

    outcomes = [
        with_loss("vqswift", "", 10.0),
        with_loss("vqswift", "alternating, 1 inner step", 9.0),
        with_loss("PyTorch", "eager", 10.0009),
        with_loss("PyTorch", "compiled", 10.002),
        with_loss("PyTorch", "eager, channels last", float("nan")),
    ]
    assert train_step.differing_losses(outcomes) == [
        "PyTorch compiled",
        "PyTorch eager, channels last",
    ]


def test_each_of_ours_meets_the_best_of_the_peers_quantizers() -> None:
    outcomes = [
        outcome("vqswift", 1.0, way=quantizer_step.LEARNED),
        outcome("vqswift", 1.25, way=quantizer_step.EMA),
        outcome(quantizer_step.PEER, 6.0, way=quantizer_step.EMA),
        outcome(quantizer_step.PEER, 5.5, way=quantizer_step.LEARNED, core="Haswell"),
    ]
    rows = quantizer_step.rows_of(outcomes)
    assert [(row.value, row.met) for row in rows] == [(5.5, True), (pytest.approx(4.4), False)]


def test_growth_is_held_to_proportion_both_ways() -> None:
    steps = growth.growths({1024: 1.0, 2048: 2.2, 4096: 3.3})
    assert steps == {2048: pytest.approx(1.1), 4096: pytest.approx(0.75)}
    row = growth.row_of("n", steps)
    assert row.value == pytest.approx(0.25) and row.met is False and "n 4096" in row.measured


def test_import_time_is_a_median_in_milliseconds() -> None:
    row = import_time.row_of([0.05, 0.9, 0.04])
    assert row.value == pytest.approx(50) and row.met
