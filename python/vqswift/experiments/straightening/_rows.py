"""Trains the rows of a table that are not done yet, one after the other or side by side."""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ... import train
from ..._threads import set_threads
from ._results import Results, name_of

# Settings that a row's command has in another way, or that hold for one machine.
_NOT_THE_ROWS = frozenset({"rows", "seeds", "data", "output", "threads", "jobs", "lpips"})


class RowConfiguration(Protocol):
    """What the configuration of a row has, whatever it trains."""

    @property
    def row(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def epochs(self) -> int: ...


def folder_of(configuration: RowConfiguration, output: Path) -> Path:
    """The directory of the row's run."""
    return output / name_of(configuration.row, configuration.seed, configuration.epochs)


RunOf = Callable[[Any, Path], train.Run]
Measured = Callable[[train.Run], Mapping[str, Any]]


class Trainable(NamedTuple):
    """How the rows of a table are trained and measured; both can be pickled."""

    run_of: RunOf  # a configuration's run in a directory, at the step where it stopped
    measured: Measured  # of a finished run, the values of the table's columns


def train_rows(
    name: str,
    settings: Any,
    results: Results,
    configurations: Iterable[RowConfiguration],
    trainable: Trainable,
) -> None:
    """Train each row that `results` has not, measure it, write it as it is done; print the table.

    Args:
        name: of the experiment's command.
        settings: of the experiment; its `jobs` rows are trained at a time, each in a process of
            its own, on its share of the CPUs.
        results: of the table; runs are in folders beside its file.
        configurations: of the rows.
        trainable: what trains and measures them.
    """
    missing = [c for c in configurations if not results.has(c.row, c.seed, c.epochs)]
    for chosen, told in _trained(missing, results.folder, trainable, settings):
        key = {"row": chosen.row, "seed": chosen.seed, "epochs": chosen.epochs}
        results.add(key | dict(told) | {"command": command_of(name, chosen, settings)})
    results.print()


def _trained(
    missing: Sequence[RowConfiguration], folder: Path, trainable: Trainable, settings: Any
) -> Iterator[tuple[RowConfiguration, Mapping[str, Any]]]:
    """The rows as they are done, with what was measured."""
    if settings.jobs < 1:
        raise ValueError(f"[rows] jobs = {settings.jobs}: must be at least 1")
    if settings.jobs == 1 or len(missing) < 2:
        for chosen in missing:
            yield chosen, _train(trainable, chosen, folder, shown=True)
        return
    cpus = len(os.sched_getaffinity(0))
    threads = settings.threads or max(1, cpus // settings.jobs)
    # Spawned: a fork would find the parent's threads gone.
    with ProcessPoolExecutor(
        settings.jobs, get_context("spawn"), _begin, (trainable, folder, threads)
    ) as pool:
        try:
            waiting = {pool.submit(_train_there, chosen): chosen for chosen in missing}
            for done in as_completed(waiting):
                chosen, told = waiting[done], done.result()
                minutes = told["seconds"] / 60
                print(f"{chosen.row}, seed {chosen.seed}: done in {minutes:.0f} min", flush=True)
                yield chosen, told
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _train(
    trainable: Trainable, chosen: RowConfiguration, folder: Path, *, shown: bool
) -> dict[str, Any]:
    run = trainable.run_of(chosen, folder_of(chosen, folder))
    run.fit(chosen.epochs * run.epoch, progress=shown, label=chosen.row)
    seconds = sum(line["seconds"] for line in run.history() if "seconds" in line)
    return dict(trainable.measured(run)) | {"seconds": seconds}


class _Worker(NamedTuple):
    """What a worker process keeps between its rows."""

    trainable: Trainable
    folder: Path


_worker: _Worker | None = None


def _begin(trainable: Trainable, folder: Path, threads: int) -> None:
    global _worker
    _worker = _Worker(trainable, folder)
    set_threads(threads)


def _train_there(chosen: RowConfiguration) -> dict[str, Any]:
    assert _worker is not None
    return _train(_worker.trainable, chosen, _worker.folder, shown=False)


def command_of(name: str, configuration: RowConfiguration, settings: Any) -> str:
    """The command of one row: what differs from the settings' defaults is told."""
    words = ["vqswift", "run", name, "--rows", configuration.row]
    words += ["--seeds", str(configuration.seed)]
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if field.name in _NOT_THE_ROWS or value == field.default:
            continue
        words += ["--" + field.name.replace("_", "-"), str(value)]
    return shlex.join(words)
