"""What a checkpoint holds beside the model, and what a run refuses to go on with."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vqswift as vq
from test_run import a_run, a_trainer, images
from vqswift import data, optim, train

IMAGES = images(24).astype(np.float32) / 255


class Weighed(vq.nn.Module):
    """The squared error, weighed by a parameter that is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = vq.nn.Parameter(np.zeros(1, np.float32))
        self.error = train.Reconstruction()

    def forward(self, model: Any, batch: Any) -> train.Objective:
        found = self.error(model, batch)
        loss = found.loss * (-self.weight).exp().sum() + self.weight.sum()
        return train.Objective(loss, found.task_loss, found.info)


def weighed_run(directory: Path) -> train.Run:
    objective = Weighed()
    trainer = a_trainer(objective=objective)
    trainer.optimizer = optim.AdamW([*trainer.model.parameters(), *objective.parameters()], lr=0.05)
    return train.Run(directory, trainer, checkpoint_every=5)


def test_an_objective_that_learns_goes_on(tmp_path: Path) -> None:
    whole = weighed_run(tmp_path / "whole")
    whole.fit(8, progress=False)
    weighed_run(tmp_path / "parts").fit(5, progress=False)
    again = weighed_run(tmp_path / "parts")
    expected: Any = whole.trainer.objective
    found: Any = again.trainer.objective
    assert again.step == 5 and found.weight.numpy() != 0
    again.fit(8, progress=False)
    assert found.weight.numpy() == expected.weight.numpy()
    whole_file, parts_file = (run.checkpoints()[-1].read_bytes() for run in (whole, again))
    assert whole_file == parts_file


def test_an_objective_that_learns_is_not_taken_for_one_that_does_not(tmp_path: Path) -> None:
    weighed_run(tmp_path).fit(2, progress=False)
    other = weighed_run(tmp_path / "other")
    other.trainer.objective = train.Reconstruction()
    with pytest.raises(ValueError, match="an objective's state in it, unlike the trainer"):
        train.load_trainer(other.trainer, tmp_path / "checkpoint-000000002.safetensors")


def test_a_joined_plateau_goes_on(tmp_path: Path) -> None:
    def a_joined_run(directory: Path) -> train.Run:
        plateau = optim.PlateauSchedule(patience=0, factor=0.5)
        schedule = optim.joined_schedule([optim.constant_schedule(3), plateau], [3])

        def validate(_: Any) -> dict[str, float]:
            plateau.step(1.0)
            return {"metric": 1.0}

        trainer = a_trainer(schedule=schedule)
        return train.Run(directory, trainer, validate=validate, validate_every=4)

    whole, parts = a_joined_run(tmp_path / "whole"), a_joined_run(tmp_path / "parts")
    whole.fit(14, progress=False)
    parts.fit(12, progress=False)
    again = a_joined_run(tmp_path / "parts")
    again.fit(14, progress=False)
    rates = [
        [line["learning_rate"] for line in run.history() if "learning_rate" in line]
        for run in (whole, again)
    ]
    assert rates[0] == rates[1] and rates[0][-1] < rates[0][4]


def test_a_checkpoint_of_another_trainer_is_no_damaged_one(tmp_path: Path) -> None:
    a_run(tmp_path, checkpoint_every=2).fit(5, progress=False)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=r"average of weights in it, unlike") as found:
        a_run(tmp_path, ema=0.9)
    assert "000000005.safetensors is of another trainer" in found.value.__notes__[0]
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_another_process_is_kept_out(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    run.fit(1, progress=False)
    program = (
        "import sys\nfrom test_run import a_run\n"
        f"try:\n    a_run({str(tmp_path)!r})\n"
        "except ValueError as error:\n    sys.exit(str(error))\n"
    )
    command = [sys.executable, "-c", program]
    here = Path(__file__).parent
    told = subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=120)
    assert told.returncode == 1
    assert f"[run] {tmp_path}: another process trains there" in told.stderr
    assert a_run(tmp_path).step == 1  # this process may
    del run
    gc.collect()
    assert subprocess.run(command, cwd=here, timeout=120).returncode == 0


def test_an_error_in_a_stream_that_cannot_go_back_stays_itself() -> None:
    def drawn() -> Iterator[np.ndarray]:
        for _ in range(200):
            yield IMAGES[:4]

    trainer = a_trainer(accumulate=20)
    trainer.batches = data.Stream(drawn())

    def broken(*_: object) -> Any:
        raise KeyboardInterrupt

    trainer.objective = broken
    with pytest.raises(KeyboardInterrupt) as found:
        trainer.fit(1, progress=False)
    assert "cannot be resumed" in found.value.__notes__[0]


@pytest.mark.parametrize("result", [None, 1.0, (1, 2)])
def test_an_objective_that_gives_something_else(result: Any) -> None:
    trainer = a_trainer(objective=lambda *_: result)
    with pytest.raises(TypeError, match=r"\[trainer\] the objective's result"):
        trainer.fit(1, progress=False)


@pytest.mark.parametrize(
    ("name", "value"), [("loss", 1.0), ("info", None), ("values", None), ("values", {"a": "b"})]
)
def test_an_objective_of_wrong_parts(name: str, value: Any) -> None:
    trainer = a_trainer()
    found = trainer.objective(trainer.model, IMAGES[:4])
    parts = {"loss": found.loss, "task_loss": found.loss, "info": found.info} | {name: value}
    with pytest.raises(TypeError, match=rf"\[objective\] {name}"):
        train.Objective(**parts)


def test_a_schedule_that_gives_nothing() -> None:
    trainer = a_trainer(schedule=lambda _: None)
    with pytest.raises(TypeError, match=r"\[trainer\] the schedule's factor at step 0"):
        trainer.fit(1, progress=False)


@pytest.mark.parametrize(("name", "value"), [("loggers", print), ("callbacks", 3)])
def test_loggers_and_callbacks_are_checked_at_the_start(
    tmp_path: Path, name: str, value: Any
) -> None:
    with pytest.raises(TypeError, match=rf"\[run\] a {name[:-1]}"):
        a_run(tmp_path, **{name: [value]})


def test_batches_of_a_step_name_the_same_values() -> None:
    counted = iter(range(9))
    own = train.Reconstruction()

    def objective(model: Any, batch: Any) -> train.Objective:
        found = own(model, batch)
        return train.Objective(found.loss, found.task_loss, found.info, {f"v{next(counted)}": 1.0})

    trainer = a_trainer(objective=objective, accumulate=2)
    with pytest.raises(ValueError, match=r"the objective's values \['v0'\] and \['v1'\]"):
        trainer.fit(1, progress=False)


def test_lists_are_evaluated_as_arrays_are() -> None:
    trainer = a_trainer()
    trainer.fit(1, progress=False)
    model = trainer.model
    expected = train.evaluate(model, IMAGES[:6])
    assert train.evaluate(model, IMAGES[:6].tolist()) == expected  # type: ignore[arg-type]


def test_perplexities_that_are_no_numbers_are_no_collapse(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    run.fit(1, progress=False)
    path = tmp_path / "metrics.jsonl"
    path.write_text(path.read_text() + '{"step": 1, "perplexity": null}\n')
    assert a_run(tmp_path).step == 1
    watch: Any = run._watch
    assert watch.after(2, float("nan")) is None and watch.after(3, 8.0) is None
