"""Ranks that die or hang: the others end in time with a sentence, and the run goes on.

`VQSWIFT_KILLS=20` kills so many runs of each engine at random moments; 1 by default.
"""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest
from launch import HERE, Ranks, require, run
from training import digest, trainer
from vqswift.train._run import lines_of

STEPS, TIMEOUT = 12, 60
KILLS = int(os.environ.get("VQSWIFT_KILLS", "1"))
ENGINES = pytest.mark.parametrize("engine", ["mpi", "gloo"])


def started(engine: str, folder: Path, *more: object) -> Ranks:
    for rank in range(2):
        (folder / f"pid-{rank}").unlink(missing_ok=True)
    return Ranks(engine, 2, HERE / "failing.py", engine, folder, STEPS, *more)


def process_of(folder: Path, rank: int, step: int) -> int:
    """The process of a rank, once it has done a step or is gone."""
    path = folder / f"pid-{rank}"
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        words = path.read_text(encoding="utf-8").split() if path.is_file() else []
        if len(words) == 2 and int(words[1]) >= step:
            return int(words[0])
        time.sleep(0.01)
    raise TimeoutError(f"rank {rank} has not done {step} steps")


@ENGINES
def test_a_killed_rank_ends_the_others_and_the_run_goes_on(engine: str, tmp_path: Path) -> None:
    require(engine)
    whole = trainer("best", 8)
    whole.fit(STEPS, progress=False)
    draws = random.Random(0)
    for kill in range(KILLS):
        folder = tmp_path / str(kill)
        folder.mkdir()
        ranks = started(engine, folder, TIMEOUT)
        victim = process_of(folder, draws.randrange(2), draws.randrange(1, STEPS - 2))
        time.sleep(draws.random() * 0.2)
        os.kill(victim, signal.SIGKILL)
        begin = time.monotonic()
        statuses, told = ranks.wait(TIMEOUT + 60)
        took = time.monotonic() - begin
        assert any(statuses), told
        assert took < TIMEOUT + 30, told
        sentence = "signal 9" if engine == "mpi" else "one of them has ended or hangs"
        assert sentence in told, told
        assert f"done: {digest(whole)}" in run(
            engine, 2, HERE / "failing.py", engine, folder, STEPS, TIMEOUT
        )
        steps = [line["step"] for line in lines_of(folder)]
        assert steps == list(range(1, STEPS + 1))


@ENGINES
def test_a_hanging_rank_ends_the_others_by_the_time_out(engine: str, tmp_path: Path) -> None:
    require(engine)
    ranks = started(engine, tmp_path, 20, 3)
    hanging = process_of(tmp_path, 1, 3)
    if engine == "gloo":
        ranks.processes[0].wait(120)
        os.kill(hanging, signal.SIGKILL)
    statuses, told = ranks.wait(120)
    assert statuses[0] != 0
    assert "one of them has ended or hangs" in told


@ENGINES
def test_a_rank_that_leaves_ends_the_others_at_once(engine: str, tmp_path: Path) -> None:
    require(engine)
    ranks = started(engine, tmp_path, 600, -3)
    process_of(tmp_path, 1, 3)
    begin = time.monotonic()
    statuses, told = ranks.wait(120)
    assert time.monotonic() - begin < 60 and any(statuses), told
    assert ("which has left" if engine == "mpi" else "one of them has ended or hangs") in told
