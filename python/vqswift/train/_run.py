"""A training in a directory, which stops at any moment and goes on as if it had not."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .. import distributed
from .._arguments import checked
from .._termination import Termination
from .._warning import warn
from ..nn._mode import evaluating
from ._checkpoint import load_trainer, save_trainer
from ._configuration import to_toml
from ._loggers import Logger
from ._metrics_file import MetricsFile
from ._progress import track
from ._trainer import StepMetrics, Trainer

_CONFIGURATION, _METRICS = "config.toml", "metrics.jsonl"
_CHECKPOINT, _BEST = "checkpoint-{:09d}.safetensors", "best.safetensors"


@checked
class Run:
    """Trains in a directory, from its newest checkpoint on, and keeps what it measures there.

    `config.toml` has the configuration, `metrics.jsonl` a line for every step and every validation,
    `checkpoint-*.safetensors` the last `keep` checkpoints, `best.safetensors` the one of the best
    validation. A run that ended by kill -9, SIGTERM, Ctrl-C or a full disk goes on bit for bit from
    its last checkpoint; Ctrl-C and SIGTERM write one first. Of several ranks, which share the
    directory, the first writes all files; a run may go on with another number of ranks.

    Args:
        directory: of the run; made where it is missing.
        trainer: built anew as for the first time; without `metrics` and `checkpoint` of its own.
        configuration: a dataclass that is written as TOML, and must be the same when the run goes
            on.
        checkpoint_every: steps from a checkpoint to the next; one stands at the end too.
        keep: how many of the last checkpoints stay.
        validate: of the model in evaluation mode, gives numbers by name; with `ema` of the averaged
            weights.
        validate_every: steps from a validation to the next, by default an epoch; one is at the end
            too.
        best: the name of the validation's number that decides which checkpoint is the best, and
            whether the least or the most is.
        loggers: take the numbers of steps and validations too.
        callbacks: called with the run and the metrics after every step; what they raise ends it.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        trainer: Trainer,
        *,
        configuration: Any = None,
        checkpoint_every: int = 1000,
        keep: int = 2,
        validate: Callable[[Any], Mapping[str, float]] | None = None,
        validate_every: int | None = None,
        best: tuple[str, Literal["min", "max"]] | None = None,
        loggers: Sequence[Logger] = (),
        callbacks: Sequence[Callable[[Any, StepMetrics], object]] = (),
    ) -> None:
        for name, value in (("checkpoint_every", checkpoint_every), ("keep", keep)):
            if value < 1:
                raise ValueError(f"[run] {name} = {value}: must be at least 1")
        if validate_every is not None and validate_every < 1:
            raise ValueError(f"[run] validate_every = {validate_every}: must be at least 1")
        if best is not None and validate is None:
            raise ValueError(f"[run] best = {best!r} without validate: nothing decides it")
        if best is not None and best[1] not in ("min", "max"):
            raise ValueError(f"[run] best = {best!r}: the second must be 'min' or 'max'")
        self.directory = Path(directory)
        self.trainer = trainer
        self.checkpoint_every, self.keep = checkpoint_every, keep
        self.best = best
        self._validate = validate
        batches_a_step = trainer.accumulate
        self.epoch = max(len(trainer.batches) // batches_a_step, 1)
        self.validate_every = validate_every or self.epoch
        self._is_first = distributed.rank() == 0
        self._loggers = tuple(loggers) if self._is_first else ()
        self._callbacks = tuple(callbacks)
        self._lines = MetricsFile(self.directory / _METRICS if self._is_first else None, None)
        self._watch = _Watch(self.epoch)
        self._saved_at: int | None = None
        self.directory.mkdir(parents=True, exist_ok=True)
        self._write_configuration(configuration)
        self._resume()

    @property
    def step(self) -> int:
        """Steps done."""
        return self.trainer.step

    def checkpoints(self) -> list[Path]:
        """Those that the directory has, the oldest first."""
        return sorted(self.directory.glob(_CHECKPOINT.format(0).replace("0" * 9, "[0-9]*")))

    def history(self) -> list[dict[str, Any]]:
        """All lines of `metrics.jsonl` up to the step that the run stands at."""
        return [line for line in lines_of(self.directory) if line["step"] <= self.step]

    def fit(self, steps: int, *, progress: bool = True, label: str = "train") -> None:
        """Train until `steps` steps are done, those of earlier sittings counted.

        ValueError or FloatingPointError where the trainer raises it, with the last checkpoint's
        path; OSError for a disk that is full: the checkpoints so far are whole.
        """
        if steps < self.step:
            raise ValueError(f"[run] steps = {steps}: the run stands at {self.step} already")
        remaining = steps - self.step
        each = self._steps(steps)
        for _ in track(each, total=remaining, label=label) if progress else each:
            pass

    def _steps(self, last: int) -> Iterator[StepMetrics]:
        termination = Termination(self._save, interrupts=True)
        with contextlib.ExitStack() as closing:
            closing.enter_context(self._lines)
            for logger in self._loggers:
                if close := getattr(logger, "close", None):
                    closing.callback(close)
            steps = closing.enter_context(contextlib.closing(self._guarded(last)))
            with termination.handled():
                while self.step < last:
                    with termination.step():
                        metrics = next(steps)
                        self._after(metrics, last)
                    yield metrics

    def _guarded(self, last: int) -> Generator[StepMetrics]:
        """The trainer's steps; what stops them says where the run can go on."""
        try:
            yield from self.trainer.steps(last - self.step)
        except (ValueError, FloatingPointError) as error:
            found = self.checkpoints()
            told = f"the last checkpoint is {found[-1]}" if found else "there is no checkpoint yet"
            raise type(error)(f"{error}; {told}") from error

    def _after(self, metrics: StepMetrics, last: int) -> None:
        step = metrics.step
        self._tell(metrics.numbers())
        drop = self._watch.after(step, metrics.perplexity)
        if drop and self._is_first:
            warn(f"[run] step {step}: {drop}")
        for callback in self._callbacks:
            callback(self, metrics)
        if self._validate and (step % self.validate_every == 0 or step == last):
            self._validated(step)
        if step % self.checkpoint_every == 0 or step == last:
            self._save()

    def _tell(self, numbers: dict[str, float]) -> None:
        self._lines.write(numbers)
        values = {name: float(value) for name, value in numbers.items() if name != "step"}
        for logger in self._loggers:
            logger.log(int(numbers["step"]), values)

    def _validated(self, step: int) -> None:
        assert self._validate is not None
        trainer = self.trainer
        with evaluating(trainer.model):
            if trainer.ema is None:
                numbers = dict(self._validate(trainer.model))
            else:
                with trainer.ema.applied() as averaged:
                    numbers = dict(self._validate(averaged))
        if not self._is_first:
            return
        before = self._best_so_far(step)
        self._tell({"step": step} | {f"validation.{key}": float(v) for key, v in numbers.items()})
        if self.best is None:
            return
        name, direction = self.best
        if name not in numbers:
            raise ValueError(f"[run] best = {self.best!r}: validate gives {', '.join(numbers)}")
        value = float(numbers[name])
        if before is None or (value < before if direction == "min" else value > before):
            save_trainer(trainer, self.directory / _BEST)

    def _best_so_far(self, step: int) -> float | None:
        if self.best is None:
            return None
        name, direction = f"validation.{self.best[0]}", self.best[1]
        found = [line[name] for line in self.history() if name in line and line["step"] < step]
        choose: Callable[[list[float]], float] = min if direction == "min" else max
        return choose(found) if found else None

    def _save(self) -> None:
        if self.step == self._saved_at or not self._is_first:
            return
        save_trainer(self.trainer, self.directory / _CHECKPOINT.format(self.step))
        self._saved_at = self.step
        for old in self.checkpoints()[: -self.keep]:
            old.unlink()

    def _resume(self) -> None:
        """Load the newest checkpoint; one that is damaged is told and the one before it taken."""
        self._lines.resume(0)
        if self._is_first:
            self._resume_newest()
        self._follow_first()
        for line in self.history():
            if "perplexity" in line:
                self._watch.after(line["step"], line["perplexity"])

    def _follow_first(self) -> None:
        """Let the other ranks load what the first one has loaded, from the same directory."""
        step = distributed.current().broadcast(np.array([self.step], np.int64))
        if not self._is_first and step[0]:
            load_trainer(self.trainer, self.directory / _CHECKPOINT.format(int(step[0])))
        self._saved_at = self.step if self.step else self._saved_at

    def _resume_newest(self) -> None:
        for path in reversed(self.checkpoints()):
            try:
                load_trainer(self.trainer, path)
            except (OSError, ValueError) as error:
                others = [each for each in self.checkpoints() if each < path]
                if not others:
                    raise
                warn(f"[run] {error}; {others[-1].name} is taken")
                continue
            self._lines.resume(self.step)
            break

    def _write_configuration(self, configuration: Any) -> None:
        if configuration is None or not self._is_first:
            return
        path, text = self.directory / _CONFIGURATION, to_toml(configuration)
        if not path.is_file():
            part = path.with_suffix(".part")
            part.write_text(text, encoding="utf-8")
            os.replace(part, path)
            return
        there = path.read_text(encoding="utf-8").splitlines()
        new = text.splitlines()
        if there != new:
            changed = [line for line in new if line not in there] or ["it has fewer lines"]
            raise ValueError(
                f"[run] {path} has another configuration: {changed[0]!r} is not in it; "
                "take another directory"
            )


class _Watch:
    """Tells of index collapse: a perplexity of half of what it was an epoch before."""

    def __init__(self, epoch: int) -> None:
        self._window = max(epoch, 50)
        self._means: list[tuple[int, float]] = []
        self._mean: float | None = None
        self._told_at = -epoch

    def after(self, step: int, perplexity: float) -> str | None:
        """What is to be told after this step: the running mean has halved within an epoch."""
        share = min(1.0, 10 / self._window)
        self._mean = (
            perplexity if self._mean is None else self._mean + share * (perplexity - self._mean)
        )
        self._means.append((step, self._mean))
        while self._means[0][0] < step - self._window:
            self._means.pop(0)
        highest_at, highest = max(self._means, key=lambda entry: entry[1])
        if self._mean >= highest / 2 or step - self._told_at < self._window:
            return None
        self._told_at = step
        return (
            f"the perplexity fell from {highest:.1f} at step {highest_at} to {self._mean:.1f}: "
            "codes are no longer used (index collapse)"
        )


def lines_of(directory: Path, name: str = _METRICS) -> list[dict[str, Any]]:
    """The lines of a run's metrics; a last one that was broken off has no end and is left out."""
    path = directory / name
    if not path.is_file():
        return []
    whole = path.read_text(encoding="utf-8").rpartition("\n")[0]
    return [json.loads(line) for line in whole.splitlines()]
