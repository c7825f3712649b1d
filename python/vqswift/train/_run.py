"""A training in a directory, which stops at any moment and goes on as if it had not."""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .. import distributed
from .._arguments import checked, refuse
from .._atomic import write_whole
from .._termination import Termination
from .._warning import warn
from ..nn._mode import evaluating
from ._checkpoint import load_trainer, put_back, read_checkpoint, save_trainer
from ._configuration import difference, to_toml
from ._lock import hold
from ._loggers import Logger
from ._metrics_file import MetricsFile, lines_of
from ._progress import followed
from ._trainer import StepMetrics, Trainer

_CONFIGURATION, _METRICS = "config.toml", "metrics.jsonl"
_CHECKPOINT, _BEST = "checkpoint-{:09d}.safetensors", "best.safetensors"

# A name and what decides, the least or the most.
_Best = tuple[str, Literal["min", "max"]]


@checked
class Run:
    """Trains in a directory, from its newest checkpoint on, and keeps what it measures there.

    `config.toml` has the configuration, `metrics.jsonl` a line for every step and every validation,
    `checkpoint-*.safetensors`, by the step in nine digits or more, the last `keep` checkpoints,
    `best.safetensors` the one of the best validation. A run that ended by kill -9, SIGTERM, Ctrl-C
    or a full disk goes on bit for bit from its last checkpoint; Ctrl-C and SIGTERM write one first.
    Of several ranks, which share the directory, the first writes all files; a run may go on with
    another number of ranks.

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
            whether the least or the most is; NaN is never the best.
        loggers: take the numbers of steps and validations too; those with `close` are closed at the
            end of every `fit`.
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
        best: _Best | None = None,
        loggers: Sequence[Logger] = (),
        callbacks: Sequence[Callable[[Any, StepMetrics], object]] = (),
    ) -> None:
        for name, value in (("checkpoint_every", checkpoint_every), ("keep", keep)):
            if value < 1:
                raise ValueError(f"[run] {name} = {value}: must be at least 1")
        if validate_every is not None and validate_every < 1:
            raise ValueError(f"[run] validate_every = {validate_every}: must be at least 1")
        if best is not None and not _is_pair(best):
            refuse("run", "best", best, "a pair of a name and 'min' or 'max'")
        if best is not None and validate is None:
            raise ValueError(f"[run] best = {best!r} without validate: nothing decides it")
        if best is not None and best[1] not in ("min", "max"):
            raise ValueError(f"[run] best = {best!r}: the second must be 'min' or 'max'")
        for logger in loggers:
            if not isinstance(logger, Logger):
                refuse("run", "a logger", logger, "an object with log(step, values)")
        for callback in callbacks:
            if not callable(callback):
                refuse("run", "a callback", callback, "a function of the run and the metrics")
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
        self._validated_at: int | None = None
        self._open_at: int | None = None  # a step that an error ended before all was kept
        self._best_value: float | None = None
        self.directory.mkdir(parents=True, exist_ok=True)
        if self._is_first:
            hold(self, self.directory)
        self._write_configuration(configuration)
        self._resume()

    @property
    def step(self) -> int:
        """Steps done."""
        return self.trainer.step

    def checkpoints(self) -> list[Path]:
        """Those that the directory has, the oldest first."""
        return list(self._by_step().values())

    def _by_step(self) -> dict[int, Path]:
        """The checkpoints by their steps, in order; files of other names are the user's."""
        found = {}
        for path in self.directory.glob("checkpoint-*.safetensors"):
            digits = re.fullmatch(r"checkpoint-([0-9]{9,})\.safetensors", path.name)
            if digits and path.name == _CHECKPOINT.format(step := int(digits[1])):
                found[step] = path
        return dict(sorted(found.items()))

    def _passed(self) -> list[Path]:
        """The checkpoints up to the step that the run stands at: later ones are damaged."""
        return [path for step, path in self._by_step().items() if step <= self.step]

    def history(self) -> list[dict[str, Any]]:
        """All lines of `metrics.jsonl` up to the step that the run stands at."""
        return [line for line in lines_of(self.directory) if line["step"] <= self.step]

    def fit(self, steps: int, *, progress: bool = True, label: str = "train") -> None:
        """Train until `steps` steps are done, those of earlier sittings counted.

        ValueError or FloatingPointError where the trainer raises it, with the last checkpoint's
        path, of subclasses as a note; OSError for a disk that is full: the checkpoints so far are
        whole.
        """
        if steps < self.step:
            raise ValueError(f"[run] steps = {steps}: the run stands at {self.step} already")
        remaining, ended = steps - self.step, None
        try:
            with followed(
                self._steps(steps), total=remaining, label=label, progress=progress
            ) as each:
                for _ in each:
                    pass
        except _Ended as error:
            ended = error.reason
        if ended is not None:
            raise ended

    def _steps(self, last: int) -> Generator[StepMetrics]:
        termination = Termination(self._save, interrupts=True)
        with contextlib.ExitStack() as closing:
            closing.enter_context(self._lines)
            for logger in self._loggers:
                if close := getattr(logger, "close", None):
                    closing.callback(close)
            steps = closing.enter_context(contextlib.closing(self._guarded(last)))
            with termination.handled():
                if self._open_at == self.step:
                    with termination.step(), _out_of_generators():
                        self._keep(self.step, last)
                while self.step < last:
                    with termination.step(), _out_of_generators():
                        metrics = next(steps)
                        self._after(metrics, last)
                    yield metrics

    def _guarded(self, last: int) -> Generator[StepMetrics]:
        """The trainer's steps; what stops them says where the run can go on."""
        try:
            yield from self.trainer.steps(last - self.step)
        except (ValueError, FloatingPointError) as error:
            found = self._passed()
            told = f"the last checkpoint is {found[-1]}" if found else "there is no checkpoint yet"
            if type(error) in (ValueError, FloatingPointError):
                raise type(error)(f"{error}; {told}") from error
            error.add_note(told)  # constructors of subclasses may take other arguments
            raise

    def _after(self, metrics: StepMetrics, last: int) -> None:
        step = self._open_at = metrics.step
        self._tell(metrics.numbers())
        drop = self._watch.after(step, metrics.perplexity)
        if drop and self._is_first:
            warn(f"[run] step {step}: {drop}")
        for callback in self._callbacks:
            callback(self, metrics)
        self._keep(step, last)

    def _keep(self, step: int, last: int) -> None:
        """Validate and write a checkpoint where that is due; after an error the next `fit` does."""
        is_due = step % self.validate_every == 0 or step == last
        if self._validate and is_due and self._validated_at != step:
            self._validated(step)
            self._validated_at = step
        if step % self.checkpoint_every == 0 or step == last:
            self._save()
        self._open_at = None

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
                given = self._validate(trainer.model)
            else:
                with trainer.ema.applied() as averaged:
                    given = self._validate(averaged)
        numbers = _numbers(step, given)
        if not self._is_first:
            return
        self._tell({"step": step} | {f"validation.{key}": v for key, v in numbers.items()})
        if self.best is None:
            return
        name, direction = self.best
        if name not in numbers:
            raise ValueError(f"[run] best = {self.best!r}: validate gives {', '.join(numbers)}")
        value = numbers[name]
        if math.isnan(value):
            return
        before = self._best_value
        if before is None or (value < before if direction == "min" else value > before):
            save_trainer(trainer, self.directory / _BEST)
            self._best_value = value

    def _save(self) -> None:
        if self.step == self._saved_at or not self._is_first:
            return
        save_trainer(self.trainer, self.directory / _CHECKPOINT.format(self.step))
        self._saved_at = self.step
        for old in self._passed()[: -self.keep]:
            old.unlink()

    def _resume(self) -> None:
        """Load the newest checkpoint; one that is damaged is told and the one before it taken.

        One that is whole and does not fit the trainer is an error.
        """
        self._lines.resume(0)
        if self._is_first:
            self._resume_newest()
        self._follow_first()
        name, direction = self.best or ("", "min")
        best: list[float] = []
        for line in self.history():
            if isinstance(perplexity := line.get("perplexity"), float):
                self._watch.after(line["step"], perplexity)
            value = line.get(f"validation.{name}")
            if isinstance(value, float) and not math.isnan(value):
                best.append(value)
        if best:
            self._best_value = min(best) if direction == "min" else max(best)

    def _follow_first(self) -> None:
        """Let the other ranks load what the first one has loaded, from the same directory."""
        step = distributed.current().broadcast(np.array([self.step], np.int64))
        if not self._is_first and step[0]:
            load_trainer(self.trainer, self.directory / _CHECKPOINT.format(int(step[0])))
        self._saved_at = self.step if self.step else self._saved_at

    def _resume_newest(self) -> None:
        found = self.checkpoints()
        while found:
            path = found.pop()
            try:
                content = read_checkpoint(path)
            except (OSError, ValueError) as error:
                if not found:
                    raise
                warn(f"[run] {error}; {found[-1].name} is taken")
                continue
            try:
                put_back(self.trainer, content)
            except (ValueError, TypeError) as error:
                error.add_note(f"[run] {path} is of another trainer; take another directory")
                raise
            self._lines.resume(self.step)
            break

    def _write_configuration(self, configuration: Any) -> None:
        if configuration is None or not self._is_first:
            return
        path, text = self.directory / _CONFIGURATION, to_toml(configuration)
        if not path.is_file():
            write_whole(path, text.encode())
            return
        try:
            told = difference(path.read_text(encoding="utf-8"), text)
        except ValueError as error:
            raise ValueError(f"[run] {path}: it is no TOML: {error}") from None
        if told is not None:
            raise ValueError(
                f"[run] {path} has another configuration: {told}; take another directory"
            )


def _is_pair(best: object) -> bool:
    return isinstance(best, (tuple, list)) and len(best) == 2 and isinstance(best[0], str)


def _numbers(step: int, given: object) -> dict[str, float]:
    """What a validation gave, as floats; TypeError for anything but numbers by name."""
    if not isinstance(given, Mapping):
        refuse("run", f"step {step}: validate's result", given, "a mapping from names to numbers")
    numbers = {}
    for name, value in given.items():
        if not isinstance(name, str):
            refuse("run", f"step {step}: a name in validate's result", name, "a string")
        try:
            numbers[name] = float(value)
        except (TypeError, ValueError, RuntimeError):
            refuse("run", f"step {step}: validate's {name!r}", value, "a number")
    return numbers


class _Ended(Exception):
    """Carries a StopIteration out of generators, which would make it a RuntimeError."""

    def __init__(self, reason: StopIteration) -> None:
        super().__init__()
        self.reason = reason


@contextlib.contextmanager
def _out_of_generators() -> Iterator[None]:
    """While it lasts a StopIteration is raised as `_Ended`."""
    try:
        yield
    except StopIteration as reason:
        raise _Ended(reason) from reason


class _Watch:
    """Tells of index collapse: a perplexity of half of what it was an epoch before."""

    def __init__(self, epoch: int) -> None:
        self._window = max(epoch, 50)
        self._highest: deque[tuple[int, float]] = deque()  # means that none behind exceeds
        self._mean: float | None = None
        self._told_at = -epoch

    def after(self, step: int, perplexity: float) -> str | None:
        """What is to be told after this step: the running mean has halved within an epoch."""
        if math.isnan(perplexity):
            return None
        share = min(1.0, 10 / self._window)
        self._mean = (
            perplexity if self._mean is None else self._mean + share * (perplexity - self._mean)
        )
        while self._highest and self._highest[-1][1] < self._mean:
            self._highest.pop()
        self._highest.append((step, self._mean))
        while self._highest[0][0] < step - self._window:
            self._highest.popleft()
        highest_at, highest = self._highest[0]
        if self._mean >= highest / 2 or step - self._told_at < self._window:
            return None
        self._told_at = step
        return (
            f"the perplexity fell from {highest:.1f} at step {highest_at} to {self._mean:.1f}: "
            "codes are no longer used (index collapse)"
        )
