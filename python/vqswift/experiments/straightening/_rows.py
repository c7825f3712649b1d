"""Trains the rows of a table that are not done yet, one after the other or side by side."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple, Protocol

from ... import distributed, train
from ..._atomic import write_whole
from ..._threads import set_threads
from ._done_rows import missing_rows
from ._results import Results
from ._row import RowConfiguration, command_of, folder_of

RunOf = Callable[[Any, Path], train.Run]
Measured = Callable[[train.Run], Mapping[str, Any]]


class RowTrainer(Protocol):
    """Trains the rows of a table and measures them; it can be pickled."""

    def trained(self, configuration: Any, directory: Path, *, shown: bool) -> Mapping[str, Any]:
        """A row's values of the table's columns and its `seconds`.

        What its directory has already is not done again; `shown`: progress is told.
        """
        ...


class Trainable(NamedTuple):
    """How rows that are one run each are trained and measured; both can be pickled."""

    run_of: RunOf  # a configuration's run in a directory, at the step where it stopped
    measured: Measured  # of a finished run, the values of the table's columns

    def trained(self, configuration: Any, directory: Path, *, shown: bool) -> Mapping[str, Any]:
        """As of `RowTrainer`; seconds are those of all steps."""
        run = self.run_of(configuration, directory)
        run.fit(configuration.epochs * run.epoch, progress=shown, label=configuration.row)
        if distributed.rank() > 0:
            return {}
        seconds = sum(line["seconds"] for line in run.history() if "seconds" in line)
        return dict(self.measured(run)) | {"seconds": seconds}


def train_rows(
    name: str,
    settings: Any,
    results: Results,
    configurations: Iterable[RowConfiguration],
    trainable: Callable[[], RowTrainer],
    *,
    wanted: Sequence[str] = (),
) -> None:
    """Train each row that `results` has not, measure it, write it as it is done; print the table.

    ValueError, before anything is trained, where a row was begun or done with other settings.

    Args:
        name: of the experiment's command.
        settings: of the experiment; its `jobs` rows are trained at a time, each in a process of
            its own, on its share of the CPUs.
        results: of the table; runs are in folders beside its file.
        configurations: of the rows.
        trainable: gives what trains and measures them, where a row is not done.
        wanted: keys that a row must have, or it is measured anew.
    """
    if distributed.size() > 1 and settings.jobs > 1:
        raise ValueError(
            f"[{name}] jobs = {settings.jobs} on {distributed.size()} ranks: one of them"
        )
    missing = missing_rows(name, settings, results, configurations, wanted)
    if missing:
        for chosen, told in _trained(missing, results.folder, trainable(), settings):
            key = {"row": chosen.row, "seed": chosen.seed, "epochs": chosen.epochs}
            if distributed.rank() == 0:
                results.add(key | dict(told) | {"command": command_of(name, chosen, settings)})
    if distributed.rank() == 0:
        results.print()


def _trained(
    missing: Sequence[RowConfiguration], folder: Path, trainable: RowTrainer, settings: Any
) -> Iterator[tuple[RowConfiguration, Mapping[str, Any]]]:
    """The rows as they are done, with what was measured."""
    if distributed.size() > 1 and len(missing) > 1:
        yield from _over_ranks(missing, folder, trainable)
        return
    if settings.jobs == 1 or len(missing) < 2:
        for chosen in missing:
            yield chosen, trainable.trained(chosen, folder_of(chosen, folder), shown=True)
        return
    cpus = len(os.sched_getaffinity(0))
    threads = settings.threads or max(1, cpus // settings.jobs)
    yield from _side_by_side(missing, folder, trainable, settings.jobs, threads)


#: What stands in a row's file in place of what was measured.
_FAILURE = "failure"


def _over_ranks(
    missing: Sequence[RowConfiguration], folder: Path, trainable: RowTrainer
) -> Iterator[tuple[RowConfiguration, Mapping[str, Any]]]:
    """Rows shared out over ranks, each trained by one; the first gives all, as files tell them.

    A row takes hours, so that nothing waits on a communicator: a rank that fails says so in the
    row's file, and one that is gone is the launcher's to notice.
    """
    rank = distributed.rank()
    own = missing[rank :: distributed.size()]
    for chosen in own:
        _told_path(folder, chosen).unlink(missing_ok=True)
    distributed.current().barrier()
    for chosen in own:
        try:
            with distributed.alone():
                told = trainable.trained(chosen, folder_of(chosen, folder), shown=rank == 0)
        except Exception as error:
            _write_told(folder, chosen, {_FAILURE: f"{type(error).__name__}: {error}"})
            raise
        _write_told(folder, chosen, told)
    waiting = deque(missing if rank == 0 else ())
    while waiting:
        chosen = waiting.popleft()
        if (found := _told(folder, chosen)) is None:
            waiting.append(chosen)
            time.sleep(0.5)
            continue
        if _FAILURE in found:
            raise RuntimeError(f"[rows] {chosen.row}, seed {chosen.seed}: {found[_FAILURE]}")
        yield chosen, found


def _told_path(folder: Path, chosen: RowConfiguration) -> Path:
    return folder_of(chosen, folder) / "measured.json"


def _write_told(folder: Path, chosen: RowConfiguration, told: Mapping[str, Any]) -> None:
    write_whole(_told_path(folder, chosen), json.dumps(told).encode() + b"\n")


def _told(folder: Path, chosen: RowConfiguration) -> Mapping[str, Any] | None:
    path = _told_path(folder, chosen)
    if not path.is_file():
        return None
    told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return told


def _side_by_side(
    missing: Sequence[RowConfiguration],
    folder: Path,
    trainable: RowTrainer,
    jobs: int,
    threads: int,
) -> Iterator[tuple[RowConfiguration, Mapping[str, Any]]]:
    """The rows as they are done; what runs when this ends writes a checkpoint and ends too."""
    # Spawned: a fork would find the parent's threads gone.
    context = get_context("spawn")
    waiting, running = deque(missing), dict[Connection, tuple[SpawnProcess, RowConfiguration]]()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                chosen = waiting.popleft()
                result, theirs = context.Pipe(duplex=False)
                process = context.Process(
                    target=_train_there, args=(theirs, trainable, chosen, folder, threads)
                )
                process.start()
                theirs.close()
                running[result] = process, chosen
            ready = wait(running)
            for result in [each for each in running if each in ready]:
                process, chosen = running.pop(result)
                told = _received(result, process, chosen)
                minutes = told["seconds"] / 60
                print(f"{chosen.row}, seed {chosen.seed}: done in {minutes:.0f} min", flush=True)
                yield chosen, told
    finally:
        for process, _ in running.values():
            process.terminate()
        for process, _ in running.values():
            process.join()


def _received(
    result: Connection, process: SpawnProcess, chosen: RowConfiguration
) -> Mapping[str, Any]:
    """What a row's process has measured; its error where it failed."""
    try:
        told = result.recv()
    except EOFError:
        told = None
    process.join()
    if told is None:
        raise ChildProcessError(
            f"[rows] {chosen.row}, seed {chosen.seed}: its process ended with status "
            f"{process.exitcode}"
        )
    if isinstance(told, Exception):
        raise told
    measured: Mapping[str, Any] = told
    return measured


def _train_there(
    result: Connection,
    trainable: RowTrainer,
    chosen: RowConfiguration,
    folder: Path,
    threads: int,
) -> None:
    """In a process of its own: train a row, and send what was measured, or the error."""
    Thread(target=_end_with_parent, daemon=True).start()
    set_threads(threads)
    try:
        result.send(trainable.trained(chosen, folder_of(chosen, folder), shown=False))
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        result.send(error)


def _end_with_parent() -> None:
    """Wait for the parent's end, and end this process as SIGTERM does."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
