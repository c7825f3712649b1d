"""Shows how a run goes: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from .._arguments import checked, refuse

if TYPE_CHECKING:
    from ._trainer import StepMetrics

_LINE_SECONDS = 5.0


@checked
def track(steps: Iterable[StepMetrics], *, total: int, label: str) -> Generator[StepMetrics]:
    """Pass the metrics through and shows loss, perplexity and images per second meanwhile."""
    if sys.stdout.isatty():
        try:
            import rich.progress  # noqa: F401
        except ImportError:
            pass
        else:
            return _bar(steps, total, label)
    return _lines(steps, total, label)


@contextmanager
def followed(
    steps: Generator[StepMetrics], *, total: int, label: str, progress: bool
) -> Iterator[Generator[StepMetrics]]:
    """The steps, shown where `progress` wants it, and closed where this ends.

    An exception that is held holds their frames too: nothing else would close them meanwhile.
    """
    with closing(steps):
        if not progress:
            yield steps
            return
        with closing(track(steps, total=total, label=label)) as shown:
            yield shown


def _bar(steps: Iterable[StepMetrics], total: int, label: str) -> Generator[StepMetrics]:
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("[bold]{task.description:>8}"),
        BarColumn(bar_width=24),
        TextColumn("{task.completed:>4}/{task.total}"),
        TextColumn("{task.fields[text]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as progress:
        task = progress.add_task(label, total=total, text="starting")
        for metrics in steps:
            progress.update(task, advance=1, text=_text(metrics))
            yield metrics


def _lines(steps: Iterable[StepMetrics], total: int, label: str) -> Generator[StepMetrics]:
    due = 0.0
    for done, metrics in enumerate(steps, start=1):
        if time.monotonic() >= due or done == total:
            print(f"{label:>8} {done:>4}/{total}  {_text(metrics)}", flush=True)
            due = time.monotonic() + _LINE_SECONDS
        yield metrics


def _text(metrics: StepMetrics) -> str:
    if not hasattr(metrics, "images_per_second"):
        refuse("track", "an item of steps", metrics, "StepMetrics")
    return (
        f"loss {metrics.loss:.4f}  perplexity {metrics.perplexity:6.1f}  "
        f"{metrics.images_per_second:5.0f} images/s"
    )
