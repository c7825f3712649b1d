"""What ends a run or is refused by it, and how the same run goes on."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import vqswift as vq
from test_run import a_run, a_trainer
from vqswift import train


def test_tensorboard_goes_on_in_a_second_fit(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    board = train.TensorBoard(tmp_path / "board")
    run = a_run(tmp_path / "run", loggers=[board])
    run.fit(2, progress=False)
    run.fit(4, progress=False)
    run.fit(4, progress=False)
    board.close()
    events = accumulator.EventAccumulator(str(tmp_path / "board")).Reload()
    assert [event.step for event in events.Scalars("loss")] == [1, 2, 3, 4]


class OwnError(ValueError):
    def __init__(self, first: str, second: int) -> None:
        super().__init__(first)
        self.second = second


def undecodable(*_: object) -> Any:
    return b"\xff".decode()


def no_json(*_: object) -> Any:
    return json.loads("{")


def own(*_: object) -> Any:
    raise OwnError("both", 2)


@pytest.mark.parametrize(
    ("fails", "raised"),
    [(undecodable, UnicodeDecodeError), (no_json, json.JSONDecodeError), (own, OwnError)],
)
@pytest.mark.parametrize("steps", [0, 1])
def test_an_error_of_an_objective_stays_and_tells_the_checkpoint(
    tmp_path: Path, fails: Callable[..., Any], raised: type[Exception], steps: int
) -> None:
    run = a_run(tmp_path)
    run.fit(steps, progress=False)
    run.trainer.objective = fails
    with pytest.raises(raised) as found:
        run.fit(2, progress=False)
    (note,) = found.value.__notes__
    place = "the last checkpoint is " + str(tmp_path / "checkpoint-000000001.safetensors")
    assert note == (place if steps else "there is no checkpoint yet")
    if raised is OwnError:
        assert found.value.second == 2


@pytest.mark.parametrize("by", ["callbacks", "validate"])
@pytest.mark.parametrize("progress", [True, False])
def test_a_stop_iteration_ends_a_run_as_any_exception(
    tmp_path: Path, by: str, progress: bool
) -> None:
    def ends(*_: object) -> Any:
        raise StopIteration("enough")

    run = a_run(tmp_path, validate_every=1, **{by: [ends] if by == "callbacks" else ends})
    with pytest.raises(StopIteration, match="enough"):
        run.fit(3, progress=progress)
    assert run.step == 1


@pytest.mark.parametrize("best", [("mse",), "mse", ("mse", "min", 1), (1, "min"), 5, ()])
def test_best_is_a_pair(tmp_path: Path, best: Any) -> None:
    with pytest.raises(TypeError, match=r"\[run\] best = .*: a pair of a name and 'min' or 'max'"):
        a_run(tmp_path, validate=lambda _: {"mse": 1.0}, best=best)


def test_best_is_the_least_or_the_most(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"the second must be 'min' or 'max'"):
        a_run(tmp_path, validate=lambda _: {"mse": 1.0}, best=("mse", "least"))
    with pytest.raises(ValueError, match="without validate: nothing decides it"):
        a_run(tmp_path, best=("mse", "min"))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (None, "[run] step 3: validate's result = None: a mapping from names to numbers"),
        (0.5, "[run] step 3: validate's result = 0.5: a mapping from names to numbers"),
        ({"mse": None}, "[run] step 3: validate's 'mse' = None: a number"),
        ({"mse": [1.0, 2.0]}, "[run] step 3: validate's 'mse' = [1.0, 2.0]: a number"),
        ({3: 0.5}, "[run] step 3: a name in validate's result = 3: a string"),
    ],
)
def test_validate_gives_numbers_by_name(tmp_path: Path, given: Any, told: str) -> None:
    run = a_run(tmp_path, validate=lambda _: given)
    with pytest.raises(TypeError) as found:
        run.fit(3, progress=False)
    assert str(found.value) == told + " is required"


@pytest.mark.parametrize("name", ["step", "loss", "seconds", "run"])
@pytest.mark.parametrize("blocks", [None, 2])
def test_an_objective_has_no_numbers_of_the_steps_own_names(name: str, blocks: int | None) -> None:
    inner = train.Reconstruction()

    def objective(model: Any, batch: Any) -> train.Objective:
        found = inner(model, batch)
        return train.Objective(found.loss, found.task_loss, found.info, {name: 1.0})

    trainer = a_trainer(objective=objective, blocks=blocks)
    with pytest.raises(ValueError, match=rf"\[trainer\] .*values .*{name!r}: .*the step's own"):
        trainer.fit(1, progress=False)


def test_a_trainers_own_checkpoint_is_written_while_the_exit_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def text(_: train.StepMetrics) -> str:
        os.kill(os.getpid(), signal.SIGTERM)
        return ""

    monkeypatch.setattr(vq.train._progress, "_text", text)
    before = signal.getsignal(signal.SIGTERM)
    path = tmp_path / "stopped.safetensors"
    trainer = a_trainer(checkpoint=path)
    with pytest.raises(SystemExit) as held:
        trainer.fit(5)
    assert held.value.__traceback__ is not None
    assert path.is_file() and signal.getsignal(signal.SIGTERM) is before
