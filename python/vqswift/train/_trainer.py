"""The training loop."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from .. import nn, optim
from .._arguments import checked
from .._tensor import Tensor
from .._termination import Termination
from ..data import Batches
from ._metrics_file import MetricsFile
from ._progress import track


@dataclass(frozen=True)
class StepMetrics:
    """What one step measured.

    Attributes:
        step: the number of the step, from 1.
        loss: `reconstruction + alpha * quantizer_loss`.
        mse: the reconstruction loss, mean over all elements.
        quantizer_loss: the quantizer's loss, without alpha.
        perplexity: `2^H` of the code usage in the batch.
        active_codes: codes used in the batch.
        learning_rate: of this step.
        seconds: from the batch to the updated parameters.
        images_per_second: batch size over seconds.
    """

    step: int
    loss: float
    mse: float
    quantizer_loss: float
    perplexity: float
    active_codes: int
    learning_rate: float
    seconds: float
    images_per_second: float


@checked
class Trainer:
    """Minimises `reconstruction_loss(model(x), x) + alpha * info.loss` over batches.

    Args:
        model: called with `[n, h, w, c]` images, gives `(reconstruction, info)`.
        optimizer: over the model's parameters; a step's rate is its base rate (what `lr` was set
            to, at any time) times the schedule's factor, which ends with the steps.
        batches: yields images, or pairs whose first entry is the images.
        alpha: the weight of the quantizer's loss.
        reconstruction_loss: of `(reconstruction, x)`; the mean squared error by default.
        schedule: the factor of the learning rate, called with the number of steps done.
        clip_norm: the largest norm of all gradients together; none by default.
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
        batches: Batches,
        *,
        alpha: float = 5.0,
        reconstruction_loss: Callable[[Any, Any], Any] | None = None,
        schedule: Callable[[int], float] | None = None,
        clip_norm: float | None = None,
        metrics: str | os.PathLike[str] | None = None,
        tag: str | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> None:
        if not (math.isfinite(alpha) and alpha >= 0):
            raise ValueError(f"[trainer] alpha {alpha}: must be finite and not negative")
        if clip_norm is not None and not clip_norm > 0:
            raise ValueError(f"[trainer] clip_norm {clip_norm}: must be positive")
        self.model = model
        self.optimizer = optimizer
        self.batches = batches
        self.alpha = alpha
        self.schedule = schedule
        self.clip_norm = clip_norm
        self.step = 0
        self._reconstruction_loss = reconstruction_loss or nn.functional.mse_loss
        self._metrics = MetricsFile(metrics, tag)
        self._checkpoint = checkpoint
        self._is_scheduled = False  # whether the optimizer's rates are those of a schedule

    def steps(self, count: int) -> Iterator[StepMetrics]:
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
        try:
            with termination.handled(), self._metrics as lines:
                remaining = iter(self.batches.forever())
                for _ in range(count):
                    with termination.step():
                        before = self.batches.state_dict()
                        try:
                            metrics = self._one_step(next(remaining))
                        except BaseException:
                            self.batches.load_state_dict(before)
                            raise
                        lines.write(asdict(metrics))
                    yield metrics
        finally:
            self._end_schedule()

    def _end_schedule(self) -> None:
        if self._is_scheduled:
            self.optimizer.scale_lr(1.0)
        self._is_scheduled = False

    def _save(self) -> None:
        from ._checkpoint import save_trainer

        assert self._checkpoint is not None
        save_trainer(self, self._checkpoint)

    def fit(self, count: int, *, progress: bool = True, label: str = "train") -> list[StepMetrics]:
        """Run `count` more steps and returns their metrics."""
        steps = self.steps(count)
        return list(track(steps, total=count, label=label) if progress else steps)

    def _resume(self, step: int) -> None:
        """Stands at `step`: what the metrics file has of later ones is done again."""
        self.step = step
        self._metrics.resume(step)

    def _one_step(self, batch: Any) -> StepMetrics:
        start = time.perf_counter()
        images = batch[0] if isinstance(batch, tuple) else batch
        x = Tensor(images)
        if self.schedule is None:
            self._end_schedule()
        else:
            self._is_scheduled = True
            self.optimizer.scale_lr(float(self.schedule(self.step)))
        rate = float(self.optimizer.lr)
        reconstruction, info = self.model(x)
        mse = self._reconstruction_loss(reconstruction, x)
        loss = mse + info.loss * self.alpha
        value = float(loss)
        if not math.isfinite(value):
            raise FloatingPointError(
                f"[trainer] step {self.step + 1}: loss {value} at learning rate {rate:g}"
            )
        self.optimizer.zero_grad()
        loss.backward()
        if self.clip_norm is not None:
            optim.clip_grad_norm(self.model.parameters(), self.clip_norm)
        self.optimizer.step()
        self.step += 1
        seconds = time.perf_counter() - start
        return StepMetrics(
            step=self.step,
            loss=value,
            mse=float(mse),
            quantizer_loss=float(info.loss),
            perplexity=float(info.perplexity),
            active_codes=int(info.active_codes),
            learning_rate=rate,
            seconds=seconds,
            images_per_second=len(images) / seconds,
        )
