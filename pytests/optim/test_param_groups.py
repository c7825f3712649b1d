"""What a user writes of an optimizer counts or is refused; base rate and current rate are two."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from vqswift import Tensor, data, estimators, nn, optim, train


def leaf(*values: float) -> Tensor:
    parameter = Tensor(np.array(values), requires_grad=True)
    parameter.grad = Tensor(np.ones(len(values)))
    return parameter


def two_groups(**settings: Any) -> tuple[Tensor, Tensor, optim.Optimizer]:
    a, b = leaf(1.0), leaf(1.0)
    return a, b, optim.SGD([{"params": [a]}, {"params": [b], "lr": 0.5}], lr=0.25, **settings)


def trainer(lr: float = 0.01, **options: Any) -> train.Trainer:
    vq.manual_seed(0)
    model = vq.models.SQVAE(vq.VectorQuant(8, 16), width=8)
    images = np.random.default_rng(0).integers(256, size=(8, 32, 32, 3), dtype=np.uint8)
    optimizer = optim.AdamW(model.parameters(), lr=lr)
    return train.Trainer(model, optimizer, data.Batches(images, batch_size=4), **options)


WRITES: dict[str, Callable[[optim.Optimizer], None]] = {
    "a group's rate": lambda o: o.param_groups[0].__setitem__("lr", 0.125),
    "a group's rate by update": lambda o: o.param_groups[0].update(lr=0.125),
    "a group's base rate": lambda o: o.param_groups[0].__setitem__("initial_lr", 0.125),
    "one of lrs": lambda o: o.lrs.__setitem__(0, 0.125),
    "all of lrs": lambda o: setattr(o, "lrs", [0.125, 0.5]),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_rate_that_is_written_is_that_of_the_step(write: Callable[..., None]) -> None:
    a, b, optimizer = two_groups()
    write(optimizer)
    assert optimizer.lrs == [0.125, 0.5] and optimizer.base_lrs == (0.125, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.125, 0.5]
    optimizer.step()
    assert a.item() == 0.875 and b.item() == 0.5


def test_the_first_rate_is_every_groups() -> None:
    a, b, optimizer = two_groups()
    optimizer.lr = 0.75
    assert optimizer.lrs == [0.75, 0.75]
    optimizer.step()
    assert a.item() == b.item() == 0.25


def test_a_decay_that_is_written_counts() -> None:
    a, b, optimizer = two_groups()
    optimizer.param_groups[1]["weight_decay"] = 0.5
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.0, 0.5]
    optimizer.step()
    assert a.item() == 0.75 and b.item() == 0.25


OPTIMIZERS: dict[str, Callable[..., optim.Optimizer]] = {
    "SGD": lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
    "Adam": lambda p: optim.Adam(p, lr=0.1),
    "AdamW": lambda p: optim.AdamW(p, lr=0.1),
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_every_key_counts_or_is_refused(make: Callable[..., optim.Optimizer]) -> None:
    optimizer = make([leaf(1.0)])
    group = optimizer.param_groups[0]
    settings = {"momentum", "nesterov"} if isinstance(optimizer, optim.SGD) else {"betas", "eps"}
    assert {*group} == {"params", "lr", "initial_lr", "weight_decay", "decay_biases_and_norms"} | (
        settings
    )
    before = dict(group)
    for key in group:
        if key in ("lr", "initial_lr", "weight_decay"):
            group[key] = 0.03125
            assert group[key] == optimizer.param_groups[0][key] == 0.03125
            for wrong in (-1.0, np.nan, np.inf):
                with pytest.raises(ValueError, match="must be finite and at least 0"):
                    group[key] = wrong
            assert group[key] == 0.03125
        else:
            with pytest.raises(ValueError, match=f"{key!r} stays as the optimizer was made with"):
                group[key] = before[key]
            assert group[key] == before[key]
    with pytest.raises(ValueError, match="a group has .* and no 'rate'"):
        group["rate"] = 1.0
    with pytest.raises(TypeError, match="'lr' cannot be deleted"):
        del group["lr"]
    with pytest.raises(KeyError):
        group["rate"]


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_attributes_count_or_are_refused(make: Callable[..., optim.Optimizer]) -> None:
    parameter = leaf(1.0)
    optimizer = make([parameter])
    optimizer.weight_decay = 0.25
    assert optimizer.weight_decay == optimizer.param_groups[0]["weight_decay"] == 0.25
    for name in {*optimizer.param_groups[0]} - {"params", "lr", "initial_lr", "weight_decay"}:
        before = getattr(optimizer, name)
        with pytest.raises(AttributeError, match=f"{name} = .*: it stays as the optimizer was"):
            setattr(optimizer, name, before)
        assert getattr(optimizer, name) == before
    with pytest.raises(AttributeError, match="learning_rate = 0.1: it is lr"):
        optimizer.learning_rate = 0.1
    with pytest.raises(AttributeError, match="has no attribute 'rate'"):
        optimizer.rate  # noqa: B018


def test_groups_are_those_that_the_optimizer_was_made_with() -> None:
    a, b, optimizer = two_groups()
    groups = optimizer.param_groups
    assert [g["params"] for g in groups] == [(a,), (b,)] and groups[0].params == (a,)
    for attempt in (
        lambda: groups.append({"params": []}),
        lambda: groups[0]["params"].append(b),
        lambda: setattr(optimizer, "param_groups", []),
        lambda: setattr(optimizer, "base_lrs", [1.0, 1.0]),
    ):
        with pytest.raises(AttributeError):
            attempt()
    for name in ("append", "extend", "remove", "sort"):
        with pytest.raises(TypeError, match="there are 2 groups, no more and no fewer"):
            getattr(optimizer.lrs, name)([0.1])
    with pytest.raises(TypeError, match="write one rate by its index"):
        optimizer.lrs[:] = [0.1, 0.1]


def test_a_factor_scales_base_rates_until_the_next() -> None:
    a, b, optimizer = two_groups()
    optimizer.scale_lr(0.5)
    assert optimizer.lrs == [0.125, 0.25] and optimizer.base_lrs == (0.25, 0.5)
    assert optimizer.param_groups[1]["initial_lr"] == 0.5
    optimizer.scale_lr(0.0)
    optimizer.scale_lr(1.0)
    assert optimizer.lrs == [0.25, 0.5]
    optimizer.scale_lr(0.5)
    optimizer.param_groups[0]["lr"] = 2.0
    assert optimizer.lrs == [2.0, 0.25]
    optimizer.scale_lr(0.5)
    assert optimizer.lrs == [1.0, 0.25]
    optimizer.param_groups[1]["initial_lr"] = 4.0
    assert optimizer.lrs == [1.0, 2.0] and optimizer.base_lrs == (2.0, 4.0)
    with pytest.raises(ValueError, match="learning_rate = -2.0"):
        optimizer.scale_lr(-1.0)


def test_a_step_at_a_factor_of_0_says_so_once() -> None:
    a, b, optimizer = two_groups()
    optimizer.scale_lr(0.0)
    with pytest.warns(
        RuntimeWarning, match="the learning rate is 0: the schedule has come"
    ) as caught:
        optimizer.step()
    assert caught[0].filename == __file__
    optimizer.step()
    assert a.item() == b.item() == 1
    optimizer.lr = 0.0  # What the user wrote is no surprise.
    optimizer.step()


def test_the_state_holds_base_rates() -> None:
    _, _, optimizer = two_groups()
    optimizer.scale_lr(0.0)
    _, _, other = two_groups()
    other.lr = 3.0
    other.load_state_dict(optimizer.state_dict())
    assert other.lrs == [0.25, 0.5] and other.base_lrs == (0.25, 0.5)


def half(step: int) -> float:
    return 2.0**-step


def test_a_rate_that_is_written_between_fits_is_the_schedules_base() -> None:
    run = trainer(schedule=half)
    first = run.fit(2, progress=False)
    assert [m.learning_rate for m in first] == [0.01, 0.005]
    assert run.optimizer.lr == 0.01
    run.optimizer.lr = 0.5
    assert [m.learning_rate for m in run.fit(2, progress=False)] == [0.125, 0.0625]
    run.optimizer.param_groups[0]["lr"] = 1.0
    assert [m.learning_rate for m in run.fit(1, progress=False)] == [0.0625]
    assert run.optimizer.lrs == [1.0]


def test_a_rate_that_is_written_within_a_fit_counts_from_the_next_step() -> None:
    run = trainer(schedule=half)
    rates = []
    for metrics in run.steps(3):
        rates.append(metrics.learning_rate)
        assert run.optimizer.lr == metrics.learning_rate
        run.optimizer.lr = 8.0
    assert rates == [0.01, 4.0, 2.0]
    plain = trainer()
    plain.fit(1, progress=False)
    plain.optimizer.lr = 0.25
    assert plain.fit(1, progress=False)[0].learning_rate == 0.25


def test_a_second_phase_after_a_cosine_to_zero_trains() -> None:
    run = trainer(schedule=optim.cosine_schedule(3))
    run.fit(3, progress=False)
    before = run.model.state_dict()
    second = train.Trainer(run.model, run.optimizer, run.batches)
    assert second.fit(1, progress=False)[0].learning_rate == 0.01
    after = run.model.state_dict()
    assert not np.array_equal(before["encoder.0.weight"], after["encoder.0.weight"])
    with pytest.warns(RuntimeWarning, match="the learning rate is 0") as caught:
        assert run.fit(2, progress=False)[-1].learning_rate == 0
    assert caught[0].filename == __file__
    assert run.optimizer.lr == 0.01


def test_an_interrupted_fit_leaves_the_base_rates() -> None:
    run = trainer(schedule=half)
    steps = run.steps(3)
    next(steps)
    next(steps)
    steps.close()
    assert run.optimizer.lr == 0.01


def test_a_trainer_resumes_with_the_base_rate_that_was_written(tmp_path: Any) -> None:
    whole = trainer(schedule=half)
    whole.fit(1, progress=False)
    whole.optimizer.lr = 0.0625
    train.save_trainer(whole, tmp_path / "run.safetensors")
    resumed = trainer(schedule=half)
    train.load_trainer(resumed, tmp_path / "run.safetensors")
    assert resumed.optimizer.lr == 0.0625
    assert [m.learning_rate for m in resumed.fit(1, progress=False)] == [0.03125]


def test_twins_scale_what_was_written_between_fits() -> None:
    vq.manual_seed(0)
    model = estimators.quantize_model(nn.Sequential(nn.Linear(4, 3)), bits=2)
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    rates: list[float] = []

    def loss(y: Tensor, labels: Tensor) -> Tensor:
        rates.append(optimizer.lr)
        return nn.functional.cross_entropy(y, labels)

    twins = estimators.TwinTrainer(model, optimizer, schedule=half, loss=loss)
    batch = (np.ones((2, 4), np.float32), np.zeros(2, np.int32))
    twins.fit(iter([batch] * 2), 2)
    optimizer.param_groups[0]["lr"] = 4.0
    twins.fit(iter([batch]), 1)
    assert rates == [0.5, 0.25, 1.0] and optimizer.lr == 4.0


def test_rates_of_which_one_is_refused_stay_as_they_were() -> None:
    a, b = (vq.Tensor(np.ones(2), requires_grad=True) for _ in range(2))
    optimizer = vq.optim.SGD([{"params": [a], "lr": 0.5}, {"params": [b], "lr": 0.25}], lr=1.0)
    with pytest.raises(ValueError):
        optimizer.lrs = [0.1, -1.0]
    assert list(optimizer.lrs) == [0.5, 0.25] and optimizer.base_lrs == (0.5, 0.25)
    optimizer.lrs = [0.1, 0.2]
    assert list(optimizer.lrs) == [0.1, 0.2] and optimizer.base_lrs == (0.1, 0.2)


def test_what_is_no_number_or_no_setting_is_refused() -> None:
    group = two_groups()[2].param_groups[0]
    with pytest.raises(TypeError, match=r"\[optimizer\] lr = None: a number is required"):
        group["lr"] = None
    with pytest.raises(AttributeError, match=r"lr = 0.5: write group\['lr'\]"):
        group.lr = 0.5


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam, optim.AdamW])
def test_a_group_that_comes_later_is_as_one_of_the_start(kind: type[optim.Optimizer]) -> None:
    def steps(optimizer: optim.Optimizer, parameters: list[Tensor]) -> list[np.ndarray]:
        for _ in range(3):
            for parameter in parameters:
                parameter.grad = Tensor(np.ones(parameter.shape))
            optimizer.step()
        return [parameter.numpy() for parameter in parameters]

    first, second = leaf(1.0), leaf(2.0, 3.0)
    together = kind([{"params": [first]}, {"params": second, "lr": 0.5}], lr=0.25)
    expected = steps(together, [first, second])
    a, b = leaf(1.0), leaf(2.0, 3.0)
    optimizer = kind([a], lr=0.25)
    optimizer.add_param_group({"params": b, "lr": 0.5})
    for found, wanted in zip(steps(optimizer, [a, b]), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert optimizer.base_lrs == (0.25, 0.5)
    together.load_state_dict(optimizer.state_dict())


def test_a_group_that_cannot_come_changes_nothing() -> None:
    a = leaf(1.0)
    optimizer = optim.SGD([a], lr=0.25)
    for group, words in (
        ({"params": [a]}, "only once"),
        ({"params": []}, r"params = \[\]"),
        ({"lr": 1.0}, "params are required"),
        ({"params": [leaf(1.0)], "momentum": 0.5}, "unknown settings"),
        ({"params": [leaf(1.0)], "lr": -1.0}, "at least 0"),
    ):
        with pytest.raises(ValueError, match=words):
            optimizer.add_param_group(group)
    assert len(optimizer.param_groups) == 1 and len(optimizer.lrs) == 1


@pytest.mark.parametrize("kind", [optim.Adam, optim.AdamW, optim.Lion])
def test_a_group_may_have_betas_of_its_own(kind: type[optim.Optimizer]) -> None:
    def steps(make: Callable[[list[Tensor]], optim.Optimizer]) -> list[list[float]]:
        parameters = [leaf(1.0, -2.0), leaf(1.0, -2.0)]
        optimizer = make(parameters)
        for value in (1.0, -3.0, 0.5, 2.0):
            for parameter in parameters:
                parameter.grad = Tensor([value, -value])
            optimizer.step()
        return [parameter.numpy().tolist() for parameter in parameters]

    own = (0.5, 0.75)
    plain = steps(lambda p: kind(p, lr=0.25))
    every = steps(lambda p: kind(p, lr=0.25, betas=own))
    assert plain[0] != every[0]
    mixed = steps(lambda p: kind([{"params": p[:1], "betas": own}, {"params": p[1:]}], lr=0.25))
    assert mixed == [every[0], plain[1]]

    def later(parameters: list[Tensor]) -> optim.Optimizer:
        optimizer = kind(parameters[:1], lr=0.25)
        optimizer.add_param_group({"params": parameters[1:], "betas": list(own)})
        assert [group["betas"] for group in optimizer.param_groups] == [optimizer.betas, own]
        return optimizer

    assert steps(later) == [plain[0], every[1]]


def test_betas_that_a_group_cannot_have() -> None:
    optimizer = optim.Adam([leaf(1.0)])
    for betas, words in (
        ((0.9, 1.0), r"^\[adam\] betas = \[0.9, 1.0\]: both must be in 0..<1$"),
        ((0.9, np.nan), "both must be in"),
        ((0.9,), "two are required"),
    ):
        with pytest.raises(ValueError, match=words):
            optimizer.add_param_group({"params": [leaf(1.0)], "betas": betas})
    for betas in (0.9, "high", ("a", "b"), None):
        with pytest.raises(TypeError, match=r"^\[optimizer\] betas = .*: a pair of numbers"):
            optimizer.add_param_group({"params": [leaf(1.0)], "betas": betas})
    with pytest.raises(ValueError, match=r"unknown settings \['betas'\]"):
        optim.SGD([{"params": [leaf(1.0)], "betas": (0.9, 0.9)}])
    assert len(optimizer.param_groups) == 1
