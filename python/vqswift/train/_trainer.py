"""The training loop."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from .. import nn, optim
from .._arguments import checked, refuse
from .._termination import Termination
from ..data import Batches, Stream
from ..data._cut import samples_of
from ..distributed import rank
from ._diagnosis import first_not_finite
from ._metrics_file import MetricsFile
from ._objectives import Objective, Reconstruction
from ._progress import followed
from ._spread import Measured, Spread, sharing


@dataclass(frozen=True)
class StepMetrics:
    """What one step measured.

    Attributes:
        step: the number of the step, from 1.
        loss: what was minimised, as a rule `task_loss + alpha * quantizer_loss`.
        task_loss: the reconstruction's or the classification's part.
        quantizer_loss: the quantizer's loss, without alpha.
        perplexity: `2^H` of the code usage in the batch.
        active_codes: codes used in the batch.
        learning_rate: of this step.
        seconds: from the batch to the updated parameters.
        images_per_second: batch size over seconds.
        values: further numbers of the objective, such as the accuracy.
    """

    step: int
    loss: float
    task_loss: float
    quantizer_loss: float
    perplexity: float
    active_codes: int
    learning_rate: float
    seconds: float
    images_per_second: float
    values: Mapping[str, float] = field(default_factory=dict)

    @property
    def mse(self) -> float:
        """`task_loss` by the name that it has in an autoencoder."""
        return self.task_loss

    def numbers(self) -> dict[str, float]:
        """All by name, those of `values` beside the others."""
        own = {key: value for key, value in asdict(self).items() if key != "values"}
        return own | dict(self.values)


# In a line of metrics, "run" is the tag.
_OWN_NUMBERS = {each.name for each in fields(StepMetrics)} - {"values"} | {"run"}


@checked
class Trainer:
    """Minimises an objective over batches; by default `mse(model(x), x) + alpha * info.loss`.

    Args:
        model: as the objective calls it; by default with `[n, h, w, c]` images for
            `(reconstruction, info)`.
        optimizer: over the model's parameters; a step's rate is its base rate (what `lr` was set
            to, at any time) times the schedule's factor, which ends with the steps.
        batches: yields images, or pairs whose first entry is the images.
        alpha: the weight of the quantizer's loss.
        reconstruction_loss: of `(reconstruction, x)`; the mean squared error by default.
        objective: of `(model, batch)` in place of those two: `Reconstruction`, `Classification`,
            `MaskedPrediction`, or a function that gives an `Objective`.
        schedule: the factor of the learning rate, called with the number of steps done.
        clip_norm: the largest norm of all gradients together; none by default.
        accumulate: batches in a step: their gradients' mean is the step's.
        ema: the decay of an average of the weights, `trainer.ema`; none by default.
        blocks: parts that each batch is cut into, contiguous and as even as can be; ranks share
            them out, and one process forwards them one after the other. Gradients are added along
            a tree over blocks and codebooks learn after the step, so that every number of ranks
            up to `blocks` gives the same bits. By default one block a rank, and in one process
            the whole batch at once.
        metrics: a JSON-lines file that every step is appended to; steps after the one that
            `load_trainer` goes back to are dropped from it before they are done again.
        tag: written as `"run"` into every line of that file.
        checkpoint: where SIGTERM, while steps run in the main thread and unless the program handles
            it itself, writes what `load_trainer` resumes from, bit for bit; the process then ends
            with status 143. Without it SIGTERM ends the process at once.
    """

    step: int

    def __init__(
        self,
        model: nn.Module,
        optimizer: optim.Optimizer,
        batches: Batches | Stream,
        *,
        alpha: float = 5.0,
        reconstruction_loss: Callable[[Any, Any], Any] | None = None,
        objective: Callable[[Any, Any], Objective] | None = None,
        schedule: Callable[[int], float] | None = None,
        clip_norm: float | None = None,
        accumulate: int = 1,
        ema: float | None = None,
        blocks: int | None = None,
        metrics: str | os.PathLike[str] | None = None,
        tag: str | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> None:
        if not (math.isfinite(alpha) and alpha >= 0):
            raise ValueError(f"[trainer] alpha {alpha}: must be finite and not negative")
        if clip_norm is not None and not clip_norm > 0:
            raise ValueError(f"[trainer] clip_norm {clip_norm}: must be positive")
        if accumulate < 1:
            raise ValueError(f"[trainer] accumulate = {accumulate}: must be at least 1")
        if blocks is not None and not 1 <= blocks <= 4096:
            raise ValueError(f"[trainer] blocks = {blocks}: must be in 1...4096")
        if blocks is not None and accumulate > 1:
            raise ValueError(
                f"[trainer] accumulate = {accumulate} beside blocks = {blocks}: blocks are taken "
                "one after the other already"
            )
        if objective is not None and (alpha != 5.0 or reconstruction_loss is not None):
            raise ValueError(
                "[trainer] objective beside alpha or reconstruction_loss: it says both itself"
            )
        self.model = model
        self.optimizer = optimizer
        self.batches = batches
        self.objective = objective or Reconstruction(alpha, reconstruction_loss)
        self.schedule = schedule
        self.clip_norm = clip_norm
        self.accumulate = accumulate
        self.blocks = blocks
        self.ema = None if ema is None else optim.EMA(model, ema)
        self.step = 0
        self._metrics = MetricsFile(metrics, tag)
        self._checkpoint = checkpoint
        self._is_scheduled = False  # whether the optimizer's rates are those of a schedule

    def steps(self, count: int) -> Generator[StepMetrics]:
        """Run `count` more steps and yields the metrics of each as it is done.

        Raises `ValueError` for a negative count or an encoder's output that is not finite, and
        `FloatingPointError` for such a loss; the optimizer's parameters are then those before the
        step. A step that was interrupted takes its batch again. RuntimeWarning when a schedule has
        come to 0 and steps change nothing.
        """
        if count < 0:
            raise ValueError(f"[trainer] {count} steps: must not be negative")
        self.model.train()
        termination = Termination(None if self._checkpoint is None else self._save)
        spread = Spread.of(self)
        try:
            with termination.handled(), self._metrics as lines, sharing(self.batches, spread):
                remaining = iter(self.batches.forever())
                for _ in range(count):
                    with termination.step():
                        before = self.batches.state_dict()
                        try:
                            taken = [next(remaining) for _ in range(self.accumulate)]
                            metrics = self._one_step(taken, spread)
                        except BaseException as error:
                            self._go_back(before, error)
                            raise
                        if rank() == 0:
                            lines.write(metrics.numbers())
                    yield metrics
        finally:
            self._end_schedule()

    def _go_back(self, position: dict[str, Any], reason: BaseException) -> None:
        """Let the next step take the batches of this one again, where the source can give them."""
        try:
            self.batches.load_state_dict(position)
        except ValueError as error:
            reason.add_note(str(error))

    def _end_schedule(self) -> None:
        if self._is_scheduled:
            self.optimizer.scale_lr(1.0)
        self._is_scheduled = False

    def _save(self) -> None:
        from ._checkpoint import save_trainer

        assert self._checkpoint is not None
        if rank() == 0:
            save_trainer(self, self._checkpoint)

    def fit(self, count: int, *, progress: bool = True, label: str = "train") -> list[StepMetrics]:
        """Run `count` more steps and returns their metrics."""
        steps = self.steps(count)
        with followed(steps, total=count, label=label, progress=progress) as each:
            return list(each)

    def _resume(self, step: int) -> None:
        """Stands at `step`: what the metrics file has of later ones is done again."""
        self.step = step
        self._metrics.resume(step)

    def _one_step(self, taken: list[Any], spread: Spread | None) -> StepMetrics:
        start = time.perf_counter()
        if self.schedule is None:
            self._end_schedule()
        else:
            self._is_scheduled = True
            factor = self.schedule(self.step)
            if not isinstance(factor, (int, float, np.number)):
                refuse("trainer", f"the schedule's factor at step {self.step}", factor, "a number")
            self.optimizer.scale_lr(float(factor))
        rate = float(self.optimizer.lr)
        self.optimizer.zero_grad()
        measured = (
            self._gradients(taken, rate) if spread is None else spread.gradients(taken[0], rate)
        )
        if self.clip_norm is not None:
            optim.clip_grad_norm(self.model.parameters(), self.clip_norm)
        self.optimizer.step()
        if spread is not None:
            measured = spread.update(measured)
        if self.ema is not None:
            self.ema.update()
        self.step += 1
        seconds = time.perf_counter() - start
        return StepMetrics(
            step=self.step,
            learning_rate=rate,
            seconds=seconds,
            images_per_second=measured.count / seconds,
            loss=measured.loss,
            task_loss=measured.task_loss,
            quantizer_loss=measured.quantizer_loss,
            perplexity=measured.perplexity,
            active_codes=measured.active_codes,
            values=measured.values,
        )

    def _gradients(self, taken: list[Any], rate: float) -> Measured:
        """Collect the gradients of the batches' mean."""
        parts = []
        for batch in taken:
            found = self._found(batch, rate)
            (found.loss / self.accumulate if self.accumulate > 1 else found.loss).backward()
            parts.append(found)
        names = parts[0].values.keys()
        if other := next((part.values for part in parts if part.values.keys() != names), None):
            raise ValueError(
                f"[trainer] the objective's values {sorted(names)} and {sorted(other)}: batches "
                "of a step must have the same"
            )

        def mean(values: Iterable[Any]) -> float:
            return sum(map(float, values)) / len(parts)

        return Measured(
            count=sum(map(samples_of, taken)),
            loss=mean(part.loss for part in parts),
            task_loss=mean(part.task_loss for part in parts),
            quantizer_loss=mean(part.info.loss for part in parts),
            perplexity=mean(part.info.perplexity for part in parts),
            active_codes=max(int(part.info.active_codes) for part in parts),
            values={name: mean(part.values[name] for part in parts) for name in names},
        )

    def _found(self, batch: Any, rate: float) -> Objective:
        """The objective of a batch; ValueError or FloatingPointError where it is not finite."""
        try:
            found = self.objective(self.model, batch)
        except ValueError as error:
            if reason := first_not_finite(self, batch):
                raise ValueError(f"{error}; step {self.step + 1}: {reason}") from error
            raise
        if not isinstance(found, Objective):
            refuse("trainer", "the objective's result", found, "a vq.train.Objective")
        if taken := sorted(_OWN_NUMBERS & found.values.keys()):
            raise ValueError(
                f"[trainer] the objective's values have {taken[0]!r}: no name may be among the "
                f"step's own, {', '.join(sorted(_OWN_NUMBERS))}"
            )
        value = float(found.loss)
        if not math.isfinite(value):
            reason = first_not_finite(self, batch)
            raise FloatingPointError(
                f"[trainer] step {self.step + 1}: loss {value} at learning rate {rate:g}"
                f"{reason and '; ' + reason or ''}"
            )
        return found
