"""MPI and torch.distributed: the bits of one process, and of each other."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from launch import HERE, require, run
from training import QUANTIZERS, steps

STEPS = 4
SIZES = [
    ("mpi", 1),
    ("mpi", 2),
    ("mpi", 3),
    ("mpi", 4),
    ("mpi", 8),
    ("gloo", 2),
    ("gloo", 3),
    ("gloo", 4),
    ("gloo", 8),
]


@lru_cache
def expected(name: str) -> list[Any]:
    return steps(name, STEPS, 8)


@pytest.mark.parametrize(("engine", "size"), SIZES)
def test_ranks_train_to_the_bits_of_one_process(engine: str, size: int, tmp_path: Path) -> None:
    require(engine)
    run(engine, size, HERE / "training.py", engine, ",".join(QUANTIZERS), STEPS, tmp_path)
    for name in QUANTIZERS:
        for rank in range(size):
            told = json.loads((tmp_path / f"{name}-{size}-{rank}.json").read_text(encoding="utf-8"))
            assert told["steps"] == json.loads(json.dumps(expected(name))), f"{name}, rank {rank}"


@pytest.mark.parametrize("engine", ["mpi", "gloo"])
def test_calls_of_the_communicator(engine: str) -> None:
    require(engine)
    told = run(engine, 3, HERE / "calls.py", engine)
    assert told.count("all calls agree") == 3
